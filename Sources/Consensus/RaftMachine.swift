import DequeModule
package import SwarmCore

/// Raft as a value: feed it events, perform the effects it returns, in order.
///
/// Ongaro, "Consensus: Bridging Theory and Practice" (2014): figure 3.1, leadership transfer (§3.10), joint
/// configuration changes (§4.3), snapshots (§5), ReadIndex (§6.4), CheckQuorum (§6.2), PreVote (§9.6),
/// pipelining and parallel writing (§10.2).
///
/// A member that is not in its own configuration listens and never campaigns: whoever is to join starts with no
/// voters and learns them from the log.
package struct RaftMachine: Sendable {
    package enum Role: Sendable, Equatable { case follower, preCandidate, candidate, leader }

    package let id: MemberID
    package internal(set) var role = Role.follower
    package internal(set) var hardState = HardState()
    package internal(set) var leader: MemberID?
    package internal(set) var commitIndex: LogIndex = 0
    package internal(set) var log = RaftLog()
    /// The latest snapshot, if its image is known here.
    package internal(set) var snapshot: Snapshot?
    let configuration: RaftConfiguration
    package var mutations: RaftMutations = []
    var generator: SeededGenerator
    var electionDeadline: Instant?
    var heartbeatDeadline: Instant?
    var leaderHeardAt: Instant?
    var votes: Set<MemberID> = []
    var progress: [MemberID: FollowerProgress] = [:]
    var tickets: [LogIndex: UInt64] = [:]
    /// Every configuration that the log holds, by the index of its entry; the last one is in force, committed or
    /// not (thesis §4.1). Never empty.
    var configurations: [(index: LogIndex, configuration: ClusterConfiguration)]
    var change: PendingChange?
    var transfer: LeadershipTransfer?
    var reads = PendingReads()
    var staging: SnapshotStaging?

    // Writing
    package internal(set) var nextSequence: UInt64
    /// Batches that are still being written, oldest first, and the last index that each makes durable.
    var writing: Deque<(sequence: UInt64, lastIndex: LogIndex)> = []
    var durableIndex: LogIndex = 0
    /// The batch that makes the present term durable, until it is: before that nothing is said in this term.
    var termSequence: UInt64?
    /// The last batch that was made only to carry an answer.
    var carrierSequence: UInt64 = 0
    private var hasRecovered = false

    /// `firstSequence`: that of the machine before this one when a log was erased, so that a late answer of the disk
    /// to an earlier batch is none to a later one.
    package init(
        id: MemberID, voters: Set<MemberID>, seed: UInt64, configuration: RaftConfiguration = .init(),
        firstSequence: UInt64 = 1
    ) {
        precondition(voters.isEmpty || voters.contains(id), "a member votes in its own cluster")
        (self.id, self.configuration, nextSequence) = (id, configuration, firstSequence)
        configurations = [(0, ClusterConfiguration(voters: voters))]
        generator = SeededGenerator(seed: seed)
    }

    /// The configuration in force.
    package var membership: ClusterConfiguration { configurations[configurations.count - 1].configuration }
    package var voters: Set<MemberID> { membership.voters }
    package var isLeader: Bool { role == .leader }
    var peers: [MemberID] { membership.members.subtracting([id]).sorted() }
    var isVoter: Bool { membership.isVoter(id) }
    /// A voter until its removal is known to be agreed: the others may need what only this member's log holds,
    /// and would not be voted for by it (thesis §4.2.2).
    package var mayCampaign: Bool { isVoter || membership(at: commitIndex).isVoter(id) }

    /// The members as of that index, to be stored beside a snapshot of it.
    package func membership(at index: LogIndex) -> ClusterConfiguration {
        (configurations.last { $0.index <= index } ?? configurations[0]).configuration
    }

    /// The instant at which the driver must deliver `.deadlineReached`, if nothing else arrives first.
    package var nextDeadline: Instant? {
        let own = role == .leader ? heartbeatDeadline : electionDeadline
        return [own, change?.catchUpBy, transfer?.abandonsAt, reads.nextDeadline].compactMap { $0 }.min()
    }

    // MARK: Inputs

    package mutating func receive(_ event: RaftEvent, at now: Instant) -> [RaftEffect] {
        switch event {
        case .recovered(let state): return recover(state, at: now)
        case .deadlineReached: return deadline(at: now)
        case .received(let message): return receive(message, at: now)
        case .propose(let payload, let ticket): return propose([Proposal(payload: payload, ticket: ticket)])
        case .proposeAll(let proposals): return propose(proposals)
        case .persisted(let sequence): return persisted(sequence, at: now)
        case .compacted(let index):
            compact(upTo: min(index, commitIndex))
            return []
        case .snapshotSaved(let index, let image):
            snapshotSaved(index: index, image: image)
            return []
        case .read(let ticket): return read(ticket: ticket, at: now)
        case .reconfigure(let voters, let learners, let ticket):
            return reconfigure(voters: voters, learners: learners, ticket: ticket, at: now)
        case .transferLeadership(let target): return beginTransfer(to: target, at: now)
        }
    }

    private mutating func recover(_ state: RecoveredState, at now: Instant) -> [RaftEffect] {
        precondition(!hasRecovered, "recovery comes once")
        hasRecovered = true
        hardState = state.hardState
        log = RaftLog(snapshotIndex: state.snapshotIndex, snapshotTerm: state.snapshotTerm, entries: state.entries)
        commitIndex = state.snapshotIndex
        durableIndex = log.lastIndex
        configurations = [(state.snapshotIndex, state.configuration ?? membership)]
        for entry in state.entries { adoptConfiguration(of: entry) }
        if !state.snapshot.isEmpty {
            snapshot = Snapshot(
                index: state.snapshotIndex, term: state.snapshotTerm, configuration: configurations[0].configuration,
                image: state.snapshot)
        }
        reads.startContexts(at: generator.next())
        // A cluster of one has nobody to wait for.
        if membership.voters == [id] && !membership.isJoint { return campaign(isPreVote: false, at: now) }
        resetElectionDeadline(at: now)
        return []
    }

    private mutating func deadline(at now: Instant) -> [RaftEffect] {
        var effects = rejectOverdueReads(at: now)
        if let transfer, transfer.abandonsAt <= now { self.transfer = nil }
        if let pending = change, let limit = pending.catchUpBy, limit <= now {
            change = nil
            effects.append(.rejected(ticket: pending.ticket, .catchUpTimedOut))
        }
        if role == .leader {
            guard let due = heartbeatDeadline, due <= now else { return effects }
            return effects + heartbeat(at: now)
        }
        guard let due = electionDeadline, due <= now else { return effects }
        return effects + campaign(isPreVote: !mutations.contains(.skipsPreVote), at: now)
    }

    private mutating func heartbeat(at now: Instant) -> [RaftEffect] {
        heartbeatDeadline = now + configuration.heartbeatInterval
        // CheckQuorum: a leader that cannot reach a majority for an election time-out steps down.
        let isBacked = membership.hasQuorum { member in
            member == id || progress[member].map { now - $0.lastHeard <= configuration.electionTimeout } ?? false
        }
        guard isBacked else { return becomeFollower(term: hardState.term, leader: nil, at: now) }
        return peers.flatMap { replicate(to: $0, isHeartbeat: true) }
    }

    private mutating func propose(_ proposals: [Proposal]) -> [RaftEffect] {
        func refuse(_ some: ArraySlice<Proposal>, _ reason: RaftRejection) -> [RaftEffect] {
            some.map { .rejected(ticket: $0.ticket, reason) }
        }
        guard role == .leader else { return refuse(proposals[...], .notLeader(hint: leader)) }
        guard transfer == nil else { return refuse(proposals[...], .busy) }
        var entries: [Entry] = []
        var bytes = log.bytes
        for proposal in proposals {
            guard bytes + proposal.payload.count <= configuration.logBytesMax else { break }
            let index = log.lastIndex + LogIndex(entries.count) + 1
            let entry = Entry(term: hardState.term, index: index, kind: .command, payload: proposal.payload)
            tickets[index] = proposal.ticket
            bytes += entry.size
            entries.append(entry)
        }
        let refused = refuse(proposals.dropFirst(entries.count), .logFull)
        return entries.isEmpty ? refused : append(entries) + refused
    }

    // MARK: Writing

    /// Appends to the leader's own log; members are told at once, in parallel with the disk (thesis §10.2.1).
    mutating func append(_ entries: [Entry]) -> [RaftEffect] {
        log.append(entries)
        let batch = makeBatch(entries: entries)
        return peers.flatMap { replicate(to: $0, isHeartbeat: false) } + [.persist(batch)]
    }

    mutating func makeBatch(hardState: HardState? = nil, entries: [Entry] = []) -> LogBatch {
        var batch = LogBatch(sequence: nextSequence)
        (batch.hardState, batch.entries) = (hardState, entries)
        writing.append((nextSequence, log.lastIndex))
        if hardState != nil { termSequence = nextSequence }
        nextSequence += 1
        return batch
    }

    /// What was written at and after this index is no longer in the log: a batch under way proves less now.
    mutating func truncate(from index: LogIndex) {
        log.truncate(from: index)
        durableIndex = min(durableIndex, index - 1)
        for position in writing.indices { writing[position].lastIndex = min(writing[position].lastIndex, index - 1) }
        while configurations.count > 1, configurations[configurations.count - 1].index >= index {
            configurations.removeLast()
        }
    }

    private mutating func persisted(_ sequence: UInt64, at now: Instant) -> [RaftEffect] {
        while let first = writing.first, first.sequence <= sequence {
            durableIndex = max(durableIndex, min(first.lastIndex, log.lastIndex))
            writing.removeFirst()
        }
        var effects: [RaftEffect] = []
        if let waiting = termSequence, waiting <= sequence {
            termSequence = nil
            if role == .leader { effects += peers.flatMap { replicate(to: $0, isHeartbeat: true) } }
        }
        return effects + advanceCommit(at: now)
    }

    // MARK: Committing

    /// Commits what a majority holds, of this leader's own term only (thesis §3.6.2).
    mutating func advanceCommit(at now: Instant) -> [RaftEffect] {
        guard role == .leader else { return [] }
        let own = mutations.contains(.countsOwnUnsyncedEntries) ? log.lastIndex : durableIndex
        var electorate = membership
        if mutations.contains(.forgetsOutgoingQuorum) { electorate.outgoing = [] }
        if mutations.contains(.countsLearners) { electorate.voters.formUnion(electorate.learners) }
        let agreed = electorate.agreedIndex { $0 == id ? own : progress[$0]?.matched ?? 0 }
        guard agreed > commitIndex else { return [] }
        guard log.term(at: agreed) == hardState.term || mutations.contains(.commitsEarlierTermsByCounting) else {
            return []
        }
        var effects = commit(upTo: agreed)
        // Whoever has nothing under way would learn of it with the next heartbeat only.
        for peer in peers where progress[peer]?.inflight.isEmpty == true {
            effects += replicate(to: peer, isHeartbeat: true)
        }
        effects += settleConfiguration(at: now)
        return effects + startReadRound(at: now)
    }

    mutating func commit(upTo index: LogIndex) -> [RaftEffect] {
        guard index > commitIndex else { return [] }
        let applied = log.entries(from: commitIndex + 1, through: index).map { entry in
            AppliedEntry(entry: entry, ticket: tickets.removeValue(forKey: entry.index))
        }
        commitIndex = index
        return [.apply(applied + reads.takeReady(upTo: index, term: hardState.term))]
    }

    /// An entry of the present term is committed: this leader knows everything that was ever committed.
    var hasCommittedInTerm: Bool { log.term(at: commitIndex) == hardState.term }

    /// Learners and outsiders wait to be told; they never campaign.
    mutating func resetElectionDeadline(at now: Instant) {
        guard mayCampaign else {
            electionDeadline = nil
            return
        }
        let base = configuration.electionTimeout.wholeNanoseconds
        let jitter = Int64(generator.next() % UInt64(max(base, 1)))
        electionDeadline = now + .nanoseconds(base + jitter)
    }
}
