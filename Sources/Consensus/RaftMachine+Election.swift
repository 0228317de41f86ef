import SwarmCore

/// Terms, votes and leadership (thesis §3.4, §4.2.3, §9.6).
extension RaftMachine {
    mutating func campaign(isPreVote: Bool, at now: Instant) -> [RaftEffect] {
        role = isPreVote ? .preCandidate : .candidate
        leader = nil
        votes = [id]
        resetElectionDeadline(at: now)
        var batch: LogBatch?
        if !isPreVote {
            hardState = HardState(term: hardState.term + 1, vote: id)
            var written = makeBatch()
            written.hardState = hardState
            batch = written
        }
        if votes.count >= quorum {
            let effects: [RaftEffect] = batch.map { [.persist($0)] } ?? []
            return effects + (isPreVote ? campaign(isPreVote: false, at: now) : becomeLeader(at: now))
        }
        let term = isPreVote ? hardState.term + 1 : hardState.term
        let requests = peers.map {
            RaftMessage(
                from: id, to: $0, term: term,
                body: .requestVote(lastIndex: log.lastIndex, lastTerm: log.lastTerm, isPreVote: isPreVote))
        }
        guard var batch else { return requests.map { .send($0) } }
        batch.sendAfter = requests
        return [.persist(batch)]
    }

    mutating func becomeLeader(at now: Instant) -> [RaftEffect] {
        role = .leader
        leader = id
        electionDeadline = nil
        heartbeatDeadline = voters.count > 1 ? now + configuration.heartbeatInterval : nil
        progress = [:]
        for peer in peers { progress[peer] = FollowerProgress(next: log.lastIndex + 1, lastHeard: now) }
        // An entry of its own term lets a new leader commit what came before (thesis §3.6.2).
        let noop = Entry(term: hardState.term, index: log.lastIndex + 1, kind: .noop)
        let change = Leadership(term: hardState.term, leader: id, isSelf: true)
        return append([noop]) + [.leadershipChanged(change)]
    }

    mutating func becomeFollower(term: Term, leader: MemberID?, at now: Instant) -> [RaftEffect] {
        var effects: [RaftEffect] = []
        let wasLeader = role == .leader
        let changed = self.leader != leader || term != hardState.term || wasLeader
        role = .follower
        heartbeatDeadline = nil
        resetElectionDeadline(at: now)
        if term > hardState.term {
            hardState = HardState(term: term, vote: nil)
            var batch = makeBatch()
            batch.hardState = hardState
            effects.append(.persist(batch))
        }
        self.leader = leader
        if wasLeader {
            for (_, ticket) in tickets.sorted(by: { $0.key < $1.key }) {
                effects.append(.rejected(ticket: ticket, .lostLeadership))
            }
            tickets = [:]
        }
        if changed {
            effects.append(.leadershipChanged(Leadership(term: hardState.term, leader: leader, isSelf: false)))
        }
        return effects
    }

    mutating func answerVote(_ message: RaftMessage, at now: Instant) -> [RaftEffect] {
        guard case .requestVote(let lastIndex, let lastTerm, let isPreVote) = message.body else { return [] }
        let isCurrent = (lastTerm, lastIndex) >= (log.lastTerm, log.lastIndex)
        let isFree = isPreVote || hardState.vote == nil || hardState.vote == message.from
        // A member that hears its leader grants no vote: a returning member cannot depose a healthy leader.
        let hearsLeader = leader != nil && leader != message.from && (electionDeadline.map { now < $0 } ?? true)
        let granted = message.term >= hardState.term && isCurrent && isFree && !(isPreVote && hearsLeader)
        let reply = RaftMessage(
            from: id, to: message.from, term: isPreVote && granted ? message.term : hardState.term,
            body: .vote(granted: granted, isPreVote: isPreVote))
        guard granted && !isPreVote else { return [.send(reply)] }
        hardState.vote = message.from
        resetElectionDeadline(at: now)
        var batch = makeBatch()
        batch.hardState = hardState
        batch.sendAfter = [reply]
        return [.persist(batch)]
    }

    mutating func countVote(from voter: MemberID, granted: Bool, isPreVote: Bool, at now: Instant) -> [RaftEffect] {
        guard role == (isPreVote ? .preCandidate : .candidate), granted, voters.contains(voter) else { return [] }
        votes.insert(voter)
        guard votes.count >= quorum else { return [] }
        return isPreVote ? campaign(isPreVote: false, at: now) : becomeLeader(at: now)
    }
}
