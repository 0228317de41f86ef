import SwarmCore

/// A change of members that this leader has begun.
struct PendingChange: Sendable, Equatable {
    var voters: Set<MemberID>
    var learners: Set<MemberID>
    var ticket: UInt64
    /// Nil once the new voters have caught up.
    var catchUpBy: Instant?
}

/// Who is a member: learners first, then a joint configuration, then the new one (thesis §4).
extension RaftMachine {
    private var lastConfigurationIndex: LogIndex { configurations[configurations.count - 1].index }

    mutating func adoptConfiguration(of entry: Entry) {
        guard entry.kind == .configuration, let changed = ClusterConfiguration(encoded: entry.payload) else { return }
        configurations.append((entry.index, changed))
    }

    mutating func reconfigure(
        voters: Set<MemberID>, learners: Set<MemberID>, ticket: UInt64, at now: Instant
    ) -> [RaftEffect] {
        guard role == .leader else { return [.rejected(ticket: ticket, .notLeader(hint: leader))] }
        guard !voters.isEmpty, voters.count <= ClusterConfiguration.votersMax, voters.isDisjoint(with: learners),
            learners.count <= ClusterConfiguration.learnersMax
        else { return [.rejected(ticket: ticket, .invalidConfiguration)] }
        // One change at a time, and none before this leader knows that the last one is committed (thesis §4.1).
        guard change == nil, transfer == nil, !membership.isJoint, lastConfigurationIndex <= commitIndex,
            hasCommittedInTerm
        else { return [.rejected(ticket: ticket, .changeInProgress)] }
        change = PendingChange(
            voters: voters, learners: learners, ticket: ticket, catchUpBy: now + configuration.catchUpTimeout)
        let strangers = voters.subtracting(membership.members)
        guard strangers.isEmpty else {
            let interim = ClusterConfiguration(
                voters: membership.voters, learners: membership.learners.union(strangers))
            return append(interim, at: now) + continueChange(at: now)
        }
        return continueChange(at: now)
    }

    /// Enters the joint configuration as soon as every new voter is close behind.
    mutating func continueChange(at now: Instant) -> [RaftEffect] {
        guard role == .leader, let pending = change, pending.catchUpBy != nil, lastConfigurationIndex <= commitIndex
        else { return [] }
        let isReady = pending.voters.subtracting(membership.voters).allSatisfy { member in
            guard member != id else { return true }
            guard let follower = progress[member], follower.mode == .pipelining else { return false }
            return follower.matched + configuration.catchUpEntriesMax >= log.lastIndex
        }
        guard isReady else { return [] }
        change?.catchUpBy = nil
        if pending.voters == membership.voters { return finishChange(at: now) }
        let joint = ClusterConfiguration(
            voters: pending.voters, outgoing: membership.voters, learners: pending.learners)
        return append(joint, at: now)
    }

    /// The joint configuration is committed, or was not needed: the new one alone, by whichever leader.
    private mutating func finishChange(at now: Instant) -> [RaftEffect] {
        let learners = change?.learners ?? membership.learners
        let final = ClusterConfiguration(voters: membership.voters, learners: learners)
        if let change { tickets[log.lastIndex + 1] = change.ticket }
        change = nil
        return append(final, at: now)
    }

    private mutating func append(_ changed: ClusterConfiguration, at now: Instant) -> [RaftEffect] {
        let entry = Entry(
            term: hardState.term, index: log.lastIndex + 1, kind: .configuration, payload: changed.encoded())
        // Whoever goes still gets the entry that says so, if it can be reached now.
        let before = membership.members
        configurations.append((entry.index, changed))
        for peer in peers where progress[peer] == nil {
            progress[peer] = FollowerProgress(next: log.lastIndex + 1, lastHeard: now)
        }
        var effects = append([entry])
        for peer in before.subtracting(changed.members).subtracting([id]).sorted() {
            effects += replicate(to: peer, isHeartbeat: true)
            progress[peer] = nil
        }
        if heartbeatDeadline == nil && !peers.isEmpty { heartbeatDeadline = now + configuration.heartbeatInterval }
        // A leader that is alone commits at once what others would have to acknowledge.
        return effects
    }

    /// What follows from a configuration that has just been committed.
    mutating func settleConfiguration(at now: Instant) -> [RaftEffect] {
        guard role == .leader, lastConfigurationIndex <= commitIndex else { return [] }
        if membership.isJoint {
            // A new leader completes what another one began, with the members of the joint entry.
            return hasCommittedInTerm ? finishChange(at: now) : []
        }
        // Whoever a read waited for may be no member any more.
        guard !isVoter else { return confirmReads(at: now) + continueChange(at: now) }
        // Not a member any more: somebody else leads on (thesis §4.2.2).
        let successor = peers.filter(membership.voters.contains).max {
            (progress[$0]?.matched ?? 0, $1) < (progress[$1]?.matched ?? 0, $0)
        }
        let farewell = successor.map { RaftMessage(from: id, to: $0, term: hardState.term, body: .timeoutNow) }
        return (farewell.map { [.send($0)] } ?? []) + becomeFollower(term: hardState.term, leader: nil, at: now)
    }
}

extension RecoveredState {
    /// Makes this member the whole cluster, when the others are lost for good (`--force-new-cluster`).
    ///
    /// Everything in its log counts as committed from then on; what only the others held is gone. The batch must be
    /// on disk before the machine recovers from this state.
    package mutating func forceNewCluster(of id: MemberID) -> LogBatch {
        let last = entries.last.map { ($0.index, $0.term) } ?? (snapshotIndex, snapshotTerm)
        let alone = ClusterConfiguration(voters: [id])
        let entry = Entry(
            term: max(hardState.term, last.1), index: last.0 + 1, kind: .configuration, payload: alone.encoded())
        entries.append(entry)
        var batch = LogBatch(sequence: 0)
        batch.entries = [entry]
        return batch
    }
}
