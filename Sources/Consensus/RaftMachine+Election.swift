import SwarmCore

/// Terms, votes and leadership (thesis §3.4, §4.2.3, §9.6).
extension RaftMachine {
    mutating func campaign(isPreVote: Bool, at now: Instant) -> [RaftEffect] {
        resetElectionDeadline(at: now)
        guard mayCampaign else { return [] }
        role = isPreVote ? .preCandidate : .candidate
        var lost: [RaftEffect] = []
        if leader != nil {
            lost = abandonForwardedReads()
            lost += [.leadershipChanged(Leadership(term: hardState.term, leader: nil, isSelf: false))]
        }
        leader = nil
        votes = [id]
        var batch: LogBatch?
        if !isPreVote {
            hardState = HardState(term: hardState.term + 1, vote: id)
            batch = makeBatch(hardState: hardState)
        }
        if membership.hasQuorum(votes.contains) {
            let effects: [RaftEffect] = lost + (batch.map { [.persist($0)] } ?? [])
            return effects + (isPreVote ? campaign(isPreVote: false, at: now) : becomeLeader(at: now))
        }
        let term = isPreVote ? hardState.term + 1 : hardState.term
        let requests = peers.filter(membership.isVoter).map {
            RaftMessage(
                from: id, to: $0, term: term,
                body: .requestVote(lastIndex: log.lastIndex, lastTerm: log.lastTerm, isPreVote: isPreVote))
        }
        guard var batch else { return lost + requests.map { .send($0) } }
        batch.sendAfter = requests
        return lost + [.persist(batch)]
    }

    mutating func becomeLeader(at now: Instant) -> [RaftEffect] {
        role = .leader
        leader = id
        electionDeadline = nil
        heartbeatDeadline = peers.isEmpty ? nil : now + configuration.heartbeatInterval
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
        if changed { effects += abandonForwardedReads() }
        role = .follower
        heartbeatDeadline = nil
        resetElectionDeadline(at: now)
        if term > hardState.term {
            hardState = HardState(term: term, vote: nil)
            effects.append(.persist(makeBatch(hardState: hardState)))
        }
        self.leader = leader
        leaderHeardAt = leader == nil ? nil : now
        if wasLeader { effects += abandonLeadership() }
        if changed {
            effects.append(.leadershipChanged(Leadership(term: hardState.term, leader: leader, isSelf: false)))
        }
        return effects
    }

    /// Whoever waits for this leader is told that it no longer leads; what was proposed may still be committed.
    private mutating func abandonLeadership() -> [RaftEffect] {
        var effects: [RaftEffect] = tickets.sorted { $0.key < $1.key }.map {
            .rejected(ticket: $0.value, .lostLeadership)
        }
        if let change { effects.append(.rejected(ticket: change.ticket, .lostLeadership)) }
        (tickets, progress, change, transfer) = ([:], [:], nil, nil)
        return effects + refuseReads()
    }

    mutating func answerVote(_ message: RaftMessage, at now: Instant) -> [RaftEffect] {
        guard case .requestVote(let lastIndex, let lastTerm, let isPreVote) = message.body else { return [] }
        let isCurrent =
            (lastTerm, lastIndex) >= (log.lastTerm, log.lastIndex) || mutations.contains(.votesForShorterLogs)
        let isFree =
            isPreVote || hardState.vote == nil || hardState.vote == message.from || mutations.contains(.votesTwice)
        // A member that hears its leader grants no vote: a returning member cannot depose a healthy leader.
        let hearsLeader =
            role == .leader
            || (leader != nil && leader != message.from
                && leaderHeardAt.map { now - $0 < configuration.electionTimeout } ?? false)
        let granted = message.term >= hardState.term && isCurrent && isFree && !(isPreVote && hearsLeader)
        let reply = RaftMessage(
            from: id, to: message.from, term: isPreVote && granted ? message.term : hardState.term,
            body: .vote(granted: granted, isPreVote: isPreVote))
        guard granted && !isPreVote else { return [.send(reply)] }
        hardState.vote = message.from
        resetElectionDeadline(at: now)
        var batch = makeBatch(hardState: hardState)
        if mutations.contains(.sendsVoteBeforePersisting) { return [.send(reply), .persist(batch)] }
        batch.sendAfter = [reply]
        return [.persist(batch)]
    }

    mutating func countVote(from voter: MemberID, granted: Bool, isPreVote: Bool, at now: Instant) -> [RaftEffect] {
        guard role == (isPreVote ? .preCandidate : .candidate), granted else { return [] }
        votes.insert(voter)
        var electorate = membership
        if mutations.contains(.forgetsOutgoingQuorum) { electorate.outgoing = [] }
        guard electorate.hasQuorum(votes.contains) else { return [] }
        return isPreVote ? campaign(isPreVote: false, at: now) : becomeLeader(at: now)
    }

    // MARK: Handing over (thesis §3.10)

    mutating func beginTransfer(to target: MemberID?, at now: Instant) -> [RaftEffect] {
        guard role == .leader, transfer == nil else { return [] }
        let candidates = peers.filter(membership.voters.contains)
        let best = candidates.max { (progress[$0]?.matched ?? 0, $1) < (progress[$1]?.matched ?? 0, $0) }
        guard let chosen = target ?? best, chosen != id, candidates.contains(chosen) else { return [] }
        transfer = LeadershipTransfer(target: chosen, abandonsAt: now + configuration.electionTimeout)
        return continueTransfer()
    }

    /// The target must hold the whole log, or it would lose the election.
    mutating func continueTransfer() -> [RaftEffect] {
        guard let pending = transfer, !pending.hasAsked else { return [] }
        guard progress[pending.target]?.matched == log.lastIndex else {
            return replicate(to: pending.target, isHeartbeat: false)
        }
        transfer?.hasAsked = true
        return [.send(RaftMessage(from: id, to: pending.target, term: hardState.term, body: .timeoutNow))]
    }
}

/// A leader that takes no proposals until its successor has been elected or the time is up.
struct LeadershipTransfer: Sendable, Equatable {
    var target: MemberID
    var abandonsAt: Instant
    var hasAsked = false
}
