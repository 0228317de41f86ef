package import SwarmCore
package import SwarmModel

/// A node's end of the assignment stream: it follows the leader, keeps what it holds when there is none, and never
/// takes what a deposed leader or a reordered network still sends.
package struct AgentSession: Sendable {
    package enum Event: Sendable {
        case received(DispatchMessage, from: ObjectID)
        /// Consensus or another manager says who leads.
        case leaderKnown(LeaderClaim)
        /// This node led and leads no more: its own stream has ended.
        case leadershipLost
        case statuses([ObjectID: TaskStatus])
        case deadlineReached
    }
    package enum Effect: Sendable, Equatable {
        case send(AgentMessage, to: ObjectID)
        case assign(Assignment)
        /// A leadership of a later epoch than any before.
        case epochChanged(UInt64)
        /// Leaders have said for a while that this node is not part of the cluster.
        case removed
    }

    package let nodeID: ObjectID
    let configuration: DispatchConfiguration
    package var mutations: DispatchMutations = []
    /// The highest leadership that this node has heard of.
    package private(set) var leader: LeaderClaim?
    package private(set) var epoch: UInt64
    package private(set) var session: SessionID?
    package private(set) var version: UInt64 = 0
    package private(set) var assignment: Assignment?
    package private(set) var managers: [ObjectID] = []
    /// Managers that gossip knows; asked when no leader is known.
    package var candidates: [ObjectID] = []
    /// The fingerprints are only good within one epoch.
    private var assignmentEpoch: UInt64 = 0
    private var attempt: UInt64
    private var turn = 0
    private var backoff: Backoff
    private var generator: SeededGenerator
    private var nextOpenAt: Instant?
    private var nextBeatAt: Instant?
    private var heardAt = Instant.zero
    private var unsent: [ObjectID: TaskStatus] = [:]
    private var sent: (number: UInt64, statuses: [ObjectID: TaskStatus], at: Instant)?
    private var nextNumber: UInt64 = 1
    private var unknownSince: Instant?

    package init(
        nodeID: ObjectID, epoch: UInt64, seed: UInt64, configuration: DispatchConfiguration = .init(),
        managers: [ObjectID] = []
    ) {
        (self.nodeID, self.epoch, self.configuration, self.managers) = (
            nodeID, epoch, configuration, managers
        )
        generator = SeededGenerator(seed: seed)
        attempt = generator.next() >> 1
        backoff = Backoff(initial: configuration.retryInitial, maximum: configuration.retryMax)
    }

    /// Begins to look for a leader.
    package mutating func start(at now: Instant) { if nextOpenAt == nil { nextOpenAt = now } }

    /// What the node held before it restarted: the next session brings only what has changed since.
    ///
    /// Nothing happens when there is a session or an assignment already. A question that is under way said that
    /// nothing is held; its answer would leave out what has gone meanwhile, so that it is not waited for.
    package mutating func restore(_ held: HeldAssignment, at now: Instant) {
        guard session == nil, assignment == nil, held.assignment.nodeID == nodeID else { return }
        (assignment, assignmentEpoch) = (held.assignment, held.epoch)
        attempt += 1
        if nextOpenAt != nil { nextOpenAt = now }
    }

    /// The assignment with the epoch that its versions belong to.
    package var held: HeldAssignment? { assignment.map { HeldAssignment(epoch: assignmentEpoch, assignment: $0) } }

    /// The number of the last report; nil while a leader has not confirmed it.
    package var confirmedReport: UInt64? { sent == nil ? nextNumber - 1 : nil }

    private var isOwnLeader: Bool { session?.leader.nodeID == nodeID }

    package var nextDeadline: Instant? {
        var next = session == nil ? nextOpenAt : nil
        // Between a leader and its own agent nothing gets lost.
        if session != nil && !isOwnLeader {
            next = [nextBeatAt, heardAt + configuration.leaderSilenceMax].compactMap { $0 }.min()
            if let sent { next = min(next ?? sent.at, sent.at + configuration.statusPatience) }
        }
        return next
    }

    package mutating func receive(_ event: Event, at now: Instant) -> [Effect] {
        switch event {
        case .received(let message, let source): return receive(message, from: source, at: now)
        case .leaderKnown(let claim): return follow(claim, at: now)
        case .leadershipLost:
            guard isOwnLeader else { return [] }
            (session, version) = (nil, 0)
            nextOpenAt = now + backoff.next(using: &generator)
            return []
        case .statuses(let statuses):
            unsent.merge(statuses) { _, new in new }
            return report(at: now)
        case .deadlineReached: return deadline(at: now)
        }
    }

    // MARK: Finding the leader

    private mutating func follow(_ claim: LeaderClaim, at now: Instant) -> [Effect] {
        guard leader.map({ claim > $0 }) ?? true, claim.epoch >= epoch else {
            // The same leader again: it may have restarted its stream, or our question got lost.
            guard claim == leader, session == nil else { return [] }
            return open(to: claim.nodeID, at: now)
        }
        leader = claim
        var effects: [Effect] = []
        if claim.epoch > epoch {
            epoch = claim.epoch
            effects.append(.epochChanged(epoch))
        }
        backoff.reset()
        return effects + open(to: claim.nodeID, at: now)
    }

    private mutating func open(to node: ObjectID, at now: Instant) -> [Effect] {
        (session, version) = (nil, 0)
        attempt += 1
        nextOpenAt = now + backoff.next(using: &generator)
        let held = assignmentEpoch == epoch ? assignment?.fingerprints ?? [:] : [:]
        return [.send(.open(attempt: attempt, held: held), to: node)]
    }

    private mutating func deadline(at now: Instant) -> [Effect] {
        if session != nil {
            guard !isOwnLeader else { return [] }
            if now - heardAt >= configuration.leaderSilenceMax {
                (session, version) = (nil, 0)
                nextOpenAt = now
            }
        }
        guard session != nil else {
            guard let due = nextOpenAt, due <= now else { return [] }
            return open(to: nextCandidate(), at: now)
        }
        return beat(at: now) + report(at: now)
    }

    /// The leader first, then every manager in turn, the leader in between.
    private mutating func nextCandidate() -> ObjectID {
        var known = managers
        for candidate in candidates where !known.contains(candidate) { known.append(candidate) }
        turn += 1
        if let leader, turn % 2 == 1 || known.isEmpty { return leader.nodeID }
        return known.isEmpty ? nodeID : known[(turn / 2) % known.count]
    }

    private mutating func beat(at now: Instant) -> [Effect] {
        guard let session, let due = nextBeatAt, due <= now else { return [] }
        nextBeatAt = now + configuration.beatInterval
        return [.send(.beat(session, version: version), to: session.leader.nodeID)]
    }

    // MARK: Messages

    private mutating func receive(_ message: DispatchMessage, from source: ObjectID, at now: Instant)
        -> [Effect]
    {
        switch message {
        case .leader(let claim): return claim.nodeID == source ? follow(claim, at: now) : []
        case .notLeader(let claim): return claim.map { follow($0, at: now) } ?? []
        case .update(let update):
            guard update.session.leader.nodeID == source else { return [] }
            return apply(update, at: now)
        case .beatAnswered(let id):
            if id == session { heardAt = now }
            return []
        case .acknowledged(let id, let number):
            guard id == session, sent?.number == number else { return [] }
            heardAt = now
            sent = nil
            return report(at: now)
        case .sessionUnknown(let id):
            guard id == session else { return [] }
            return open(to: id.leader.nodeID, at: now)
        case .nodeUnknown(let claim):
            guard claim.nodeID == source, leader.map({ claim >= $0 }) ?? true else { return [] }
            let since = unknownSince ?? now
            unknownSince = since
            (session, version) = (nil, 0)
            nextOpenAt = nextOpenAt ?? now + configuration.retryInitial
            guard now - since >= configuration.removalConfirmation else { return [] }
            // Said again after as long only: whoever is to leave may be about it.
            unknownSince = now
            return [.removed]
        }
    }

    private mutating func apply(_ update: AssignmentUpdate, at now: Instant) -> [Effect] {
        var effects: [Effect] = []
        let claim = update.session.leader
        let isStale = leader.map { claim < $0 } ?? false || claim.epoch < epoch
        if isStale && !mutations.contains(.obeysStaleSessions) { return [] }
        if !isStale, leader != claim {
            leader = claim
            if claim.epoch > epoch {
                epoch = claim.epoch
                effects.append(.epochChanged(epoch))
            }
        }
        let isBlind = mutations.contains(.appliesStepsBlindly) || (isStale && session != update.session)
        switch update.base {
        case .held(let asked):
            guard session == nil && asked == attempt || isBlind else { return effects }
            begin(update, at: now)
        case .nothing:
            guard session == update.session, update.version > version || isBlind else { return effects }
            assignment = Assignment(nodeID: nodeID)
        case .version(let base):
            guard session == update.session || isBlind else { return effects }
            if base != version && !isBlind {
                guard base > version, !mutations.contains(.ignoresGaps) else {
                    if base > version { version = update.version }
                    return effects
                }
                return effects + [.send(.resynchronize(update.session), to: claim.nodeID)]
            }
        }
        heardAt = now
        version = update.version
        managers = update.managers
        var changed =
            assignmentEpoch == epoch ? assignment ?? Assignment(nodeID: nodeID) : Assignment(nodeID: nodeID)
        changed.apply(update.delta)
        (assignment, assignmentEpoch) = (changed, epoch)
        return effects + [.assign(changed)] + report(at: now)
    }

    private mutating func begin(_ update: AssignmentUpdate, at now: Instant) {
        session = update.session
        nextOpenAt = nil
        unknownSince = nil
        backoff.reset()
        nextBeatAt = now + configuration.beatInterval
        // Nobody will acknowledge what went to another session.
        if let lost = sent {
            unsent.merge(lost.statuses) { newer, _ in newer }
            sent = nil
        }
    }

    // MARK: Statuses

    /// One batch is on its way at a time; what is reported meanwhile shares the next.
    private mutating func report(at now: Instant) -> [Effect] {
        guard let session else { return [] }
        if var waiting = sent {
            guard now - waiting.at >= configuration.statusPatience, !isOwnLeader else { return [] }
            waiting.at = now
            sent = waiting
            return [
                .send(.statuses(session, number: waiting.number, waiting.statuses), to: session.leader.nodeID)
            ]
        }
        guard !unsent.isEmpty else { return [] }
        var batch: [ObjectID: TaskStatus] = [:]
        for id in unsent.keys.sorted().prefix(configuration.statusesPerBatch) {
            batch[id] = unsent.removeValue(forKey: id)
        }
        let number = nextNumber
        nextNumber += 1
        sent = (number, batch, now)
        return [.send(.statuses(session, number: number, batch), to: session.leader.nodeID)]
    }
}
