package import SwarmCore

/// SWIM with Lifeguard as a value: who is in the cluster, and who of them lives.
///
/// Das, Gupta, Motivala, "SWIM" (DSN 2002); Dadgar, Phillips, Currey, "Lifeguard" (2018, arXiv 1707.00788).
/// Beyond the papers: first-hand evidence outweighs hearsay of a death, accusers say when the accused was last
/// heard, a machine that was paused distrusts its own observations, and dead members are tried for ever at a
/// bounded rate, so that a split cluster heals by itself.
///
/// Identity is the id: a claim of a higher incarnation wins, whatever address it names. A node that comes back
/// with a lower incarnation hears what is said of it and raises its own above that.
package struct MembershipMachine: Sendable {
    enum Phase: Sendable, Equatable { case idle, active, leaving, left }

    struct Record: Sendable {
        var member: Member
        /// The incarnation that the contact was announced with.
        var contactIncarnation: Incarnation
        var suspicion: Suspicion?
        /// When this node, or an accuser that said so, last heard the member.
        var lastHeard: Instant
        var departedAt: Instant?
        /// Another host at which the member proved over a stream who it is: a machine with several addresses.
        var provenHost: String?
    }

    package let id: NodeID
    package internal(set) var contact: Contact
    package internal(set) var incarnation: Incarnation
    package internal(set) var statistics = MembershipStatistics()
    let configuration: MembershipConfiguration
    package var mutations: MembershipMutations = []
    var generator: SeededGenerator
    var phase = Phase.idle
    var health = LocalHealth()
    var queue = PiggybackQueue()
    var records: [NodeID: Record] = [:]
    // All three sorted, so that no dictionary order decides anything.
    var present: [NodeID] = []
    var departed: [NodeID] = []
    var suspects: [NodeID] = []
    private var clock = Instant.zero

    // Probing
    var round: [NodeID] = []
    var urgent: [NodeID] = []
    var probe: Probe?
    var nextProbeAt = Instant.zero
    var relays: [Relay] = []
    var nextSequence: UInt64 = 1

    // Dissemination and healing
    var nextGossipAt = Instant.zero
    var seeds: [PeerAddress] = []
    var nextSeed = 0
    var hasJoined = false
    var nextJoinAt = Instant.zero
    var nextExchangeAt = Instant.zero
    var nextReconnectAt = Instant.zero
    var reconnectTurn = 0
    var mayMeetStrangersAt = Instant.zero
    var exchanges: [OpenExchange] = []
    var departures: [DoubtedDeparture] = []
    var leaveAt = Instant.zero

    /// - Parameter incarnation: any number; one that grows with each start (seconds of the wall clock) saves a
    ///   returning node one refutation.
    package init(
        id: NodeID, contact: Contact, incarnation: Incarnation, seed: UInt64,
        configuration: MembershipConfiguration = .lan
    ) {
        (self.id, self.contact, self.configuration) = (id, contact, configuration)
        self.incarnation = min(max(incarnation, 1), MembershipConfiguration.incarnationMax)
        generator = SeededGenerator(seed: seed)
    }

    // MARK: Inputs

    package mutating func receive(_ event: MembershipEvent, at instant: Instant) -> [MembershipEffect] {
        let now = max(clock, instant)
        noticeOwnPause(at: now)
        clock = now
        guard phase != .left || isJoin(event) else { return [] }
        switch event {
        case .join(let seeds): return join(seeds, at: now) + work(at: now)
        case .received(let datagram, let source): return received(datagram, from: source, at: now)
        case .exchangeRequested(let ticket, let state):
            return exchangeRequested(ticket: ticket, state, at: now)
        case .exchangeAnswered(let ticket, let state): return exchangeAnswered(ticket: ticket, state, at: now)
        case .exchangeFailed(let ticket):
            exchanges.removeAll { $0.ticket == ticket }
            return believeDepartures(at: now) { $0.ticket == ticket }
        case .streamPinged(let ticket, let target):
            return target == id && phase != .idle ? [.answerStreamPing(ticket: ticket)] : []
        case .streamPingAnswered(let sequence):
            acknowledged(sequence, by: nil, at: now)
            return []
        case .deadlineReached: return work(at: now)
        case .contactChanged(let changed):
            guard changed != contact else { return [] }
            contact = changed
            announceSelf(above: incarnation)
            return []
        case .leave: return leave(at: now)
        }
    }

    private func isJoin(_ event: MembershipEvent) -> Bool { if case .join = event { true } else { false } }

    // MARK: Queries

    /// The instant at which the driver must deliver `.deadlineReached`, if nothing else arrives first.
    package var nextDeadline: Instant? {
        guard phase == .active || phase == .leaving else { return nil }
        var next: Instant?
        func consider(_ instant: Instant) { next = next.map { min($0, instant) } ?? instant }
        if !queue.isEmpty && !present.isEmpty { consider(nextGossipAt) }
        relays.forEach { consider($0.nackAt) }
        exchanges.forEach { consider($0.failsAt) }
        departures.forEach { consider($0.believedAt) }
        if phase == .leaving {
            consider(leaveAt)
            return next
        }
        if let probe { consider(probe.nextStepAt) } else if !present.isEmpty { consider(nextProbeAt) }
        for suspect in suspects {
            if let record = records[suspect], let dies = deathDeadline(of: record) { consider(dies) }
        }
        if !present.isEmpty { consider(nextExchangeAt) }
        if needsJoin { consider(nextJoinAt) }
        if hasSomebodyToReconnect { consider(nextReconnectAt) }
        return next
    }

    /// 0 when this node does well; up to 8 when it misses what it should have heard.
    package var localHealth: Int { health.score }

    /// This node first, then all others by id, the departed included.
    package var members: [Member] {
        let own = Member(
            id: id, contact: contact, incarnation: incarnation,
            status: phase == .leaving || phase == .left ? .left : .alive)
        return [own] + records.keys.sorted().compactMap { records[$0]?.member }
    }

    package func member(_ id: NodeID) -> Member? { records[id]?.member }

    /// Where to look for the cluster after a restart: worth keeping on disk.
    package var addressesWorthKeeping: [PeerAddress] {
        present.prefix(configuration.seedsMax).compactMap { records[$0]?.member.contact.address }
    }

    /// This node and everybody who may still answer.
    var clusterSize: Int { present.count + 1 }
    package var queuedRumours: Int { queue.count }

    // MARK: Steps

    private mutating func join(_ addresses: [PeerAddress], at now: Instant) -> [MembershipEffect] {
        var unique: [PeerAddress] = []
        for address in addresses where !unique.contains(address) { unique.append(address) }
        seeds = Array(unique.prefix(configuration.seedsMax))
        if phase == .left || phase == .leaving { incarnation += 1 }
        guard phase != .active else { return [] }
        phase = .active
        hasJoined = false
        nextJoinAt = now
        nextProbeAt = now + randomShare(of: configuration.probeInterval)
        nextExchangeAt = now + randomShare(of: configuration.exchangeInterval)
        nextReconnectAt = now + randomShare(of: configuration.reconnectInterval)
        nextGossipAt = now
        queue.insert(ownClaim)
        return []
    }

    private mutating func leave(at now: Instant) -> [MembershipEffect] {
        guard phase == .active else { return [] }
        phase = .leaving
        (probe, relays, urgent) = (nil, [], [])
        queue.insert(Claim(subject: id, incarnation: incarnation, content: .left))
        leaveAt = now + configuration.leaveDuration
        nextGossipAt = now
        return work(at: now)
    }

    /// Everything that is due.
    private mutating func work(at now: Instant) -> [MembershipEffect] {
        var effects: [MembershipEffect] = []
        exchanges.removeAll { $0.failsAt <= now }
        effects += believeDepartures(at: now) { $0.believedAt <= now }
        effects += nackOverdueRelays(at: now)
        if phase == .active {
            effects += continueProbe(at: now)
            effects += declareDeaths(at: now)
            effects += heal(at: now)
        }
        effects += gossip(at: now)
        if phase == .leaving && (leaveAt <= now || queue.isEmpty || present.isEmpty) {
            phase = .left
            effects.append(.leftCluster)
        }
        return effects
    }

    /// A deadline that comes much too late means that this process did not run: what it did not hear in that time
    /// says nothing about others. Suspicions start again and everybody counts as just heard.
    private mutating func noticeOwnPause(at now: Instant) {
        guard !mutations.contains(.ignoresOwnPauses) else { return }
        // What became due by the last event itself was due only then.
        guard let due = nextDeadline.map({ max($0, clock) }), now - due > configuration.ownPauseThreshold
        else { return }
        statistics.ownPauses += 1
        let missed = (now - due).wholeNanoseconds / max(configuration.probeInterval.wholeNanoseconds, 1)
        health.change(by: Int(min(missed, Int64(MembershipConfiguration.localHealthMax))))
        probe = nil
        nextProbeAt = now
        for id in present { records[id]?.lastHeard = now }
        for id in suspects { records[id]?.suspicion?.startedAt = now }
    }

    var ownClaim: Claim { Claim(subject: id, incarnation: incarnation, content: .alive(contact)) }

    mutating func announceSelf(above heard: Incarnation) {
        incarnation = max(incarnation, heard) + 1
        queue.insert(ownClaim)
    }

    mutating func randomShare(of duration: Duration) -> Duration {
        .nanoseconds(Int64(generator.next() % UInt64(max(duration.wholeNanoseconds, 1))))
    }
}

/// Sorted arrays without duplicates.
extension Array where Element == NodeID {
    func position(of id: NodeID) -> (index: Int, isPresent: Bool) {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < id { low = middle + 1 } else { high = middle }
        }
        return (low, low < count && self[low] == id)
    }

    mutating func insertSorted(_ id: NodeID) {
        let (index, isPresent) = position(of: id)
        if !isPresent { insert(id, at: index) }
    }

    mutating func removeSorted(_ id: NodeID) {
        let (index, isPresent) = position(of: id)
        if isPresent { remove(at: index) }
    }
}
