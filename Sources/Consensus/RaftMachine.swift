package import SwarmCore

/// Raft as a value: feed it events, perform the effects it returns, in order.
///
/// Ongaro, "Consensus: Bridging Theory and Practice" (2014): figure 3.1, PreVote (§9.6), CheckQuorum (§6.2).
/// Snapshot transfer and membership changes belong to the multi-node release; the seam is here.
package struct RaftMachine: Sendable {
    package enum Role: Sendable, Equatable { case follower, preCandidate, candidate, leader }

    package let id: MemberID
    package private(set) var voters: Set<MemberID>
    package internal(set) var role = Role.follower
    package internal(set) var hardState = HardState()
    package internal(set) var leader: MemberID?
    package internal(set) var commitIndex: LogIndex = 0
    package internal(set) var log = RaftLog()
    let configuration: RaftConfiguration
    var generator: SeededGenerator
    var electionDeadline: Instant?
    var heartbeatDeadline: Instant?
    var votes: Set<MemberID> = []
    var progress: [MemberID: FollowerProgress] = [:]
    var tickets: [LogIndex: UInt64] = [:]
    var nextSequence: UInt64 = 1
    /// Last index of each batch that is still being written.
    var writing: [UInt64: LogIndex] = [:]
    var durableIndex: LogIndex = 0
    private var hasRecovered = false

    package init(id: MemberID, voters: Set<MemberID>, seed: UInt64, configuration: RaftConfiguration = .init()) {
        precondition(voters.contains(id), "a member votes in its own cluster")
        (self.id, self.voters, self.configuration) = (id, voters, configuration)
        generator = SeededGenerator(seed: seed)
    }

    /// The instant at which the driver must deliver `.deadlineReached`, if nothing else arrives first.
    package var nextDeadline: Instant? { role == .leader ? heartbeatDeadline : electionDeadline }
    package var isLeader: Bool { role == .leader }
    var quorum: Int { voters.count / 2 + 1 }
    var peers: [MemberID] { voters.subtracting([id]).sorted() }

    package mutating func receive(_ event: RaftEvent, at now: Instant) -> [RaftEffect] {
        switch event {
        case .recovered(let state): return recover(state, at: now)
        case .deadlineReached: return deadline(at: now)
        case .received(let message): return receive(message, at: now)
        case .propose(let payload, let ticket): return propose(payload, ticket: ticket, at: now)
        case .persisted(let sequence): return persisted(sequence)
        case .compacted(let index):
            log.compact(upTo: min(index, commitIndex))
            return []
        }
    }

    private mutating func recover(_ state: RecoveredState, at now: Instant) -> [RaftEffect] {
        precondition(!hasRecovered, "recovery comes once")
        hasRecovered = true
        hardState = state.hardState
        log = RaftLog(snapshotIndex: state.snapshotIndex, snapshotTerm: state.snapshotTerm, entries: state.entries)
        commitIndex = state.snapshotIndex
        durableIndex = log.lastIndex
        // A cluster of one has nobody to wait for.
        if voters.count == 1 { return campaign(isPreVote: false, at: now) }
        resetElectionDeadline(at: now)
        return []
    }

    private mutating func deadline(at now: Instant) -> [RaftEffect] {
        guard let deadline = nextDeadline, deadline <= now else { return [] }
        guard role == .leader else { return campaign(isPreVote: voters.count > 1, at: now) }
        heartbeatDeadline = now + configuration.heartbeatInterval
        // CheckQuorum: a leader that cannot reach a majority for an election time-out steps down.
        let alive = progress.values.filter { now - $0.lastHeard <= configuration.electionTimeout }.count + 1
        guard alive >= quorum else { return becomeFollower(term: hardState.term, leader: nil, at: now) }
        return peers.map { .send(appendMessage(to: $0)) }
    }

    private mutating func propose(_ payload: [UInt8], ticket: UInt64, at now: Instant) -> [RaftEffect] {
        guard role == .leader else { return [.rejected(ticket: ticket, .notLeader(hint: leader))] }
        guard log.bytes + payload.count <= configuration.logBytesMax else {
            return [.rejected(ticket: ticket, .logFull)]
        }
        let entry = Entry(term: hardState.term, index: log.lastIndex + 1, kind: .command, payload: payload)
        tickets[entry.index] = ticket
        return append([entry])
    }

    /// Appends to the leader's own log; members are told at once, in parallel with the disk (thesis §10.2.1).
    mutating func append(_ entries: [Entry], hardState: HardState? = nil) -> [RaftEffect] {
        log.append(entries)
        var batch = makeBatch()
        batch.hardState = hardState
        batch.entries = entries
        return peers.map { .send(appendMessage(to: $0)) } + [.persist(batch)]
    }

    mutating func makeBatch() -> LogBatch {
        let batch = LogBatch(sequence: nextSequence)
        writing[nextSequence] = log.lastIndex
        nextSequence += 1
        return batch
    }

    private mutating func persisted(_ sequence: UInt64) -> [RaftEffect] {
        guard let index = writing.removeValue(forKey: sequence) else { return [] }
        durableIndex = max(durableIndex, min(index, log.lastIndex))
        return advanceCommit()
    }

    /// Commits what a majority holds, of this leader's own term only (thesis §3.6.2).
    mutating func advanceCommit() -> [RaftEffect] {
        guard role == .leader else { return [] }
        var matched = voters.map { $0 == id ? durableIndex : progress[$0]?.matched ?? 0 }
        matched.sort(by: >)
        let candidate = matched[quorum - 1]
        guard candidate > commitIndex, log.term(at: candidate) == hardState.term else { return [] }
        return commit(upTo: candidate)
    }

    mutating func commit(upTo index: LogIndex) -> [RaftEffect] {
        guard index > commitIndex else { return [] }
        let applied = log.entries(from: commitIndex + 1, through: index).map { entry in
            AppliedEntry(entry: entry, ticket: tickets.removeValue(forKey: entry.index))
        }
        commitIndex = index
        return [.apply(applied)]
    }

    mutating func resetElectionDeadline(at now: Instant) {
        let base = configuration.electionTimeout.wholeNanoseconds
        let jitter = Int64(generator.next() % UInt64(max(base, 1)))
        electionDeadline = now + .nanoseconds(base + jitter)
    }
}

/// What the leader knows of one member.
struct FollowerProgress: Sendable, Equatable {
    var matched: LogIndex = 0
    var next: LogIndex
    var lastHeard: Instant
}

/// The entries since the last snapshot, in memory, so that a step never reads storage.
package struct RaftLog: Sendable, Equatable {
    package private(set) var snapshotIndex: LogIndex
    package private(set) var snapshotTerm: Term
    private var entries: [Entry]
    private(set) var bytes: Int

    init(snapshotIndex: LogIndex = 0, snapshotTerm: Term = 0, entries: [Entry] = []) {
        (self.snapshotIndex, self.snapshotTerm, self.entries) = (snapshotIndex, snapshotTerm, entries)
        bytes = entries.reduce(0) { $0 + $1.payload.count }
    }

    package var lastIndex: LogIndex { entries.last?.index ?? snapshotIndex }
    package var lastTerm: Term { entries.last?.term ?? snapshotTerm }

    package func term(at index: LogIndex) -> Term? {
        if index == snapshotIndex { return snapshotTerm }
        guard index > snapshotIndex, index <= lastIndex else { return nil }
        return entries[Int(index - snapshotIndex - 1)].term
    }

    func entries(from first: LogIndex, through last: LogIndex) -> ArraySlice<Entry> {
        guard first > snapshotIndex, first <= last, last <= lastIndex else { return [] }
        return entries[Int(first - snapshotIndex - 1)...Int(last - snapshotIndex - 1)]
    }

    mutating func append(_ new: [Entry]) {
        for entry in new {
            precondition(entry.index == lastIndex + 1, "the log has no gaps")
            entries.append(entry)
            bytes += entry.payload.count
        }
    }

    mutating func truncate(from index: LogIndex) {
        guard index > snapshotIndex, index <= lastIndex else { return }
        let kept = Int(index - snapshotIndex - 1)
        bytes -= entries[kept...].reduce(0) { $0 + $1.payload.count }
        entries.removeSubrange(kept...)
    }

    mutating func compact(upTo index: LogIndex) {
        guard index > snapshotIndex, let term = term(at: index) else { return }
        let dropped = Int(index - snapshotIndex)
        bytes -= entries[..<dropped].reduce(0) { $0 + $1.payload.count }
        entries.removeSubrange(..<dropped)
        (snapshotIndex, snapshotTerm) = (index, term)
    }
}
