import SwarmCore

/// The log, from leader to followers (thesis §3.5).
extension RaftMachine {
    mutating func receive(_ message: RaftMessage, at now: Instant) -> [RaftEffect] {
        guard message.to == id, voters.contains(message.from) else { return [] }
        var effects: [RaftEffect] = []
        if message.term > hardState.term, !message.isPreVote {
            var leader: MemberID?
            if case .append = message.body { leader = message.from }
            effects += becomeFollower(term: message.term, leader: leader, at: now)
        }
        switch message.body {
        case .requestVote: return effects + answerVote(message, at: now)
        case .vote(let granted, let isPreVote):
            guard isPreVote || message.term == hardState.term else { return effects }
            return effects + countVote(from: message.from, granted: granted, isPreVote: isPreVote, at: now)
        case .append(let previousIndex, let previousTerm, let entries, let commit):
            guard message.term == hardState.term else {
                return effects + [.send(reply(to: message.from, success: false, matched: commitIndex))]
            }
            if role != .follower || leader != message.from {
                effects += becomeFollower(term: message.term, leader: message.from, at: now)
            }
            resetElectionDeadline(at: now)
            return effects
                + accept(entries, after: (previousIndex, previousTerm), commit: commit, from: message.from)
        case .appended(let success, let matched):
            return effects + acknowledge(message.from, success: success, matched: matched, at: now)
        }
    }

    private func reply(to member: MemberID, success: Bool, matched: LogIndex) -> RaftMessage {
        RaftMessage(from: id, to: member, term: hardState.term, body: .appended(success: success, matched: matched))
    }

    private mutating func accept(
        _ entries: [Entry], after previous: (index: LogIndex, term: Term), commit: LogIndex, from leader: MemberID
    ) -> [RaftEffect] {
        guard log.term(at: previous.index) == previous.term else {
            let hint = min(log.lastIndex, previous.index > 0 ? previous.index - 1 : 0)
            return [.send(reply(to: leader, success: false, matched: max(hint, commitIndex)))]
        }
        var fresh = entries.drop { log.term(at: $0.index) == $0.term }
        // A peer may send anything: entries must follow one another.
        var expected = fresh.first?.index ?? 0
        for entry in fresh {
            guard entry.index == expected, entry.index > commitIndex else { return [] }
            expected += 1
        }
        let matched = previous.index + LogIndex(entries.count)
        var batch = LogBatch(sequence: 0)
        if let first = fresh.first {
            if first.index <= log.lastIndex {
                log.truncate(from: first.index)
                durableIndex = min(durableIndex, first.index - 1)
                batch.truncateFrom = first.index
            }
            guard first.index == log.lastIndex + 1 else { return [] }
            log.append(Array(fresh))
            batch.entries = Array(fresh)
            fresh = []
        }
        let made = makeBatch()
        batch.sequence = made.sequence
        batch.sendAfter = [reply(to: leader, success: true, matched: matched)]
        return [.persist(batch)] + self.commit(upTo: min(commit, matched))
    }

    private mutating func acknowledge(
        _ member: MemberID, success: Bool, matched: LogIndex, at now: Instant
    ) -> [RaftEffect] {
        guard role == .leader, var follower = progress[member], matched <= log.lastIndex else { return [] }
        follower.lastHeard = now
        if success {
            follower.matched = max(follower.matched, matched)
            follower.next = follower.matched + 1
        } else {
            follower.next = max(min(matched + 1, follower.next &- 1), follower.matched + 1)
        }
        progress[member] = follower
        let more = follower.next <= log.lastIndex || !success
        return advanceCommit() + (more ? [.send(appendMessage(to: member))] : [])
    }

    func appendMessage(to member: MemberID) -> RaftMessage {
        let next = max(progress[member]?.next ?? log.lastIndex + 1, log.snapshotIndex + 1)
        let last = min(log.lastIndex, next + LogIndex(configuration.appendEntriesMax) - 1)
        let entries = Array(log.entries(from: next, through: last))
        return RaftMessage(
            from: id, to: member, term: hardState.term,
            body: .append(
                previousIndex: next - 1, previousTerm: log.term(at: next - 1) ?? 0, entries: entries,
                commit: commitIndex))
    }
}

extension RaftMessage {
    var isPreVote: Bool {
        switch body {
        case .requestVote(_, _, let isPreVote): isPreVote
        case .vote(let granted, let isPreVote): isPreVote && granted
        case .append, .appended: false
        }
    }
}
