import SwarmCore

/// Reads on their way: at the leader until a round of heartbeats proves that it still leads, at a follower until
/// the leader has answered and the state has come that far.
struct PendingReads: Sendable {
    enum Origin: Sendable, Equatable {
        case local(ticket: UInt64)
        case remote(MemberID, context: UInt64)
    }
    struct Forwarded: Sendable {
        var context: UInt64
        var ticket: UInt64
        var failsAt: Instant
        /// Known once the leader has answered.
        var index: LogIndex?
    }

    /// The number of the latest round of heartbeats; every message of the leader carries it.
    var round: UInt64 = 0
    /// Wait for the next round: a round proves nothing about what was asked after it began.
    var collecting: [Origin] = []
    var confirming: [Origin] = []
    var confirmingIndex: LogIndex = 0
    var forwarded: [Forwarded] = []
    private var nextContext: UInt64 = 0

    var count: Int { collecting.count + confirming.count + forwarded.count }
    var nextDeadline: Instant? { forwarded.first?.failsAt }

    /// A restarted member must not take an answer to its former self for its own.
    mutating func startContexts(at context: UInt64) { nextContext = context }

    mutating func takeContext() -> UInt64 {
        nextContext &+= 1
        return nextContext
    }

    /// Forwarded reads whose index has been applied.
    mutating func takeReady(upTo index: LogIndex, term: Term) -> [AppliedEntry] {
        guard forwarded.contains(where: { $0.index != nil }) else { return [] }
        let ready = forwarded.filter { $0.index.map { $0 <= index } ?? false }
        forwarded.removeAll { read in ready.contains { $0.context == read.context } }
        return ready.map { .read(ticket: $0.ticket, index: index, term: term) }
    }
}

extension AppliedEntry {
    static func read(ticket: UInt64, index: LogIndex, term: Term) -> AppliedEntry {
        AppliedEntry(entry: Entry(term: term, index: index, kind: .noop), ticket: ticket, meaning: .read)
    }
}

/// Linearizable reads without a write: ReadIndex (thesis §6.4). No clock is trusted, so that a leader that was
/// paused or whose clock jumped never serves what is no longer true.
extension RaftMachine {
    mutating func read(ticket: UInt64, at now: Instant) -> [RaftEffect] {
        guard reads.count < configuration.readsMax else { return [.rejected(ticket: ticket, .busy)] }
        if role == .leader {
            if mutations.contains(.servesReadsUnconfirmed) {
                return [.apply([.read(ticket: ticket, index: commitIndex, term: hardState.term)])]
            }
            reads.collecting.append(.local(ticket: ticket))
            return startReadRound(at: now)
        }
        guard let leader else { return [.rejected(ticket: ticket, .notLeader(hint: nil))] }
        let context = reads.takeContext()
        let failsAt = now + configuration.electionTimeout * 2
        reads.forwarded.append(PendingReads.Forwarded(context: context, ticket: ticket, failsAt: failsAt))
        return [.send(RaftMessage(from: id, to: leader, term: hardState.term, body: .readRequest(context: context)))]
    }

    mutating func remoteRead(from member: MemberID, context: UInt64, at now: Instant) -> [RaftEffect] {
        guard role == .leader, reads.count < configuration.readsMax else {
            return [.send(readReply(to: member, context: context, index: nil))]
        }
        reads.collecting.append(.remote(member, context: context))
        return startReadRound(at: now)
    }

    private func readReply(to member: MemberID, context: UInt64, index: LogIndex?) -> RaftMessage {
        RaftMessage(from: id, to: member, term: hardState.term, body: .readReply(context: context, index: index))
    }

    /// One round at a time; what is asked meanwhile shares the next one.
    mutating func startReadRound(at now: Instant) -> [RaftEffect] {
        // Before an entry of its own term is committed, a leader may not know what was committed before it.
        guard role == .leader, reads.confirming.isEmpty, !reads.collecting.isEmpty,
            hasCommittedInTerm || mutations.contains(.readsBeforeOwnCommit)
        else { return [] }
        reads.round += 1
        swap(&reads.confirming, &reads.collecting)
        reads.confirmingIndex = commitIndex
        let immediate = confirmReads(at: now)
        guard immediate.isEmpty else { return immediate }
        return peers.flatMap { replicate(to: $0, isHeartbeat: true) }
    }

    /// A majority has answered the round: nobody else led when it began, so nothing later was committed.
    mutating func confirmReads(at now: Instant) -> [RaftEffect] {
        guard role == .leader, !reads.confirming.isEmpty else { return [] }
        let needed = mutations.contains(.confirmsReadsByOldRounds) ? 0 : reads.round
        let isConfirmed = membership.hasQuorum { member in
            member == id || progress[member].map { $0.answeredRound >= needed } ?? false
        }
        guard isConfirmed else { return [] }
        var applied: [AppliedEntry] = []
        var effects: [RaftEffect] = []
        for origin in reads.confirming {
            switch origin {
            case .local(let ticket): applied.append(.read(ticket: ticket, index: commitIndex, term: hardState.term))
            case .remote(let member, let context):
                effects.append(.send(readReply(to: member, context: context, index: reads.confirmingIndex)))
            }
        }
        reads.confirming = []
        if !applied.isEmpty { effects.append(.apply(applied)) }
        return effects + startReadRound(at: now)
    }

    mutating func readAnswered(context: UInt64, index: LogIndex?) -> [RaftEffect] {
        guard let position = reads.forwarded.firstIndex(where: { $0.context == context && $0.index == nil }) else {
            return []
        }
        guard let index else {
            let read = reads.forwarded.remove(at: position)
            return [.rejected(ticket: read.ticket, .notLeader(hint: leader))]
        }
        reads.forwarded[position].index = index
        let ready = reads.takeReady(upTo: commitIndex, term: hardState.term)
        return ready.isEmpty ? [] : [.apply(ready)]
    }

    mutating func rejectOverdueReads(at now: Instant) -> [RaftEffect] {
        let overdue = reads.forwarded.filter { $0.failsAt <= now }
        guard !overdue.isEmpty else { return [] }
        reads.forwarded.removeAll { $0.failsAt <= now }
        return overdue.map { .rejected(ticket: $0.ticket, .timedOut) }
    }

    /// The leader that was asked leads no more: what it has not answered is asked of the next one.
    mutating func abandonForwardedReads() -> [RaftEffect] {
        let unanswered = reads.forwarded.filter { $0.index == nil }
        guard !unanswered.isEmpty else { return [] }
        reads.forwarded.removeAll { $0.index == nil }
        return unanswered.map { .rejected(ticket: $0.ticket, .notLeader(hint: nil)) }
    }

    /// This member no longer leads: who waited for it is told.
    mutating func refuseReads() -> [RaftEffect] {
        let refused = reads.confirming + reads.collecting
        (reads.confirming, reads.collecting) = ([], [])
        return refused.map { origin in
            switch origin {
            case .local(let ticket): .rejected(ticket: ticket, .notLeader(hint: leader))
            case .remote(let member, let context): .send(readReply(to: member, context: context, index: nil))
            }
        }
    }
}
