import SwarmCore

/// One probe of one member, from its ping to its verdict.
struct Probe: Sendable {
    var target: NodeID
    var sequence: UInt64
    var asksHelpersAt: Instant
    var endsAt: Instant
    var hasAskedHelpers = false
    var isAcknowledged = false
    var helpers: [NodeID] = []
    var nacks: Set<NodeID> = []

    var nextStepAt: Instant { isAcknowledged || hasAskedHelpers ? endsAt : min(asksHelpersAt, endsAt) }
}

/// A ping that this node sends for somebody else.
struct Relay: Sendable {
    var sequence: UInt64
    var target: NodeID
    var originalSequence: UInt64
    var requester: PeerAddress
    var requesterID: NodeID
    var nackAt: Instant
}

/// The failure detector (SWIM §4, Lifeguard LHA-Probe).
extension MembershipMachine {
    mutating func continueProbe(at now: Instant) -> [MembershipEffect] {
        var effects: [MembershipEffect] = []
        if let current = probe {
            if !current.isAcknowledged && !current.hasAskedHelpers && current.asksHelpersAt <= now {
                effects += askHelpers(at: now)
            }
            guard current.endsAt <= now else { return effects }
            probe = nil
            nextProbeAt = now
            effects += conclude(probe: current, at: now)
        }
        if nextProbeAt <= now { effects += startProbe(at: now) }
        return effects
    }

    private mutating func startProbe(at now: Instant) -> [MembershipEffect] {
        guard let target = nextTarget(), let record = records[target] else {
            nextProbeAt = now + configuration.probeInterval
            return []
        }
        let sequence = takeSequence()
        statistics.probes += 1
        probe = Probe(
            target: target, sequence: sequence, asksHelpersAt: now + configuration.probeTimeout * health.factor,
            endsAt: now + configuration.probeInterval * health.factor)
        return [send(.ping(sequence: sequence, target: target), to: target, at: record.member.contact.address)]
    }

    /// Fresh suspicions first, then the round: every member once, in random order (SWIM §4.3).
    private mutating func nextTarget() -> NodeID? {
        while !urgent.isEmpty {
            let candidate = urgent.removeFirst()
            if records[candidate]?.member.status == .suspect { return candidate }
        }
        guard !present.isEmpty else { return nil }
        while true {
            while let candidate = round.popLast() {
                if records[candidate]?.member.isPresent == true { return candidate }
            }
            round = present.shuffled(using: &generator)
        }
    }

    private mutating func askHelpers(at now: Instant) -> [MembershipEffect] {
        guard var current = probe, let record = records[current.target] else { return [] }
        current.hasAskedHelpers = true
        guard !mutations.contains(.neverAsksHelpers) else {
            probe = current
            return []
        }
        current.helpers = pick(configuration.indirectProbes) { $0.status == .alive && $0.id != current.target }
        probe = current
        let address = record.member.contact.address
        var effects = current.helpers.compactMap { helper -> MembershipEffect? in
            guard let contact = records[helper]?.member.contact else { return nil }
            let body = GossipDatagram.Body.pingRequest(
                sequence: current.sequence, target: current.target, address: address)
            return send(body, to: helper, at: contact.address)
        }
        effects.append(.openStreamPing(sequence: current.sequence, target: current.target, to: address))
        return effects
    }

    /// An answer makes this node healthier, a helper that did not even say "nothing" makes it doubt itself.
    private mutating func conclude(probe current: Probe, at now: Instant) -> [MembershipEffect] {
        guard let record = records[current.target], record.member.isPresent else { return [] }
        guard !current.isAcknowledged else {
            health.change(by: -1)
            return []
        }
        statistics.failedProbes += 1
        health.change(by: current.helpers.count - current.nacks.count)
        return accuse(current.target, at: now)
    }

    private mutating func accuse(_ target: NodeID, at now: Instant) -> [MembershipEffect] {
        guard let record = records[target] else { return [] }
        let silence = max(0, (now - record.lastHeard).wholeNanoseconds / 1_000_000)
        let milliseconds = UInt32(min(silence, Int64(MembershipConfiguration.silenceMillisecondsMax)))
        let content = Claim.Content.suspect(by: id, silentMilliseconds: milliseconds)
        return absorb(
            Claim(subject: target, incarnation: record.member.incarnation, content: content), from: id, at: now)
    }

    /// - Parameter speaker: nil when the target proved over a stream who it is.
    mutating func acknowledged(_ sequence: UInt64, by speaker: NodeID?, at now: Instant) {
        guard let probe, probe.sequence == sequence else { return }
        let target = probe.target
        // Numbers can be guessed: only the target itself and those that were asked to help may answer.
        guard speaker.map({ $0 == target || probe.helpers.contains($0) }) ?? true else { return }
        self.probe?.isAcknowledged = true
        records[target]?.lastHeard = now
    }

    mutating func answerPing(
        _ sequence: UInt64, target: NodeID, from sender: NodeID, at source: PeerAddress
    ) -> [MembershipEffect] {
        guard target == id else { return [] }
        return [send(.ack(sequence: sequence), to: sender, at: source)]
    }

    mutating func relayPing(
        _ sequence: UInt64, target: NodeID, address: PeerAddress, from sender: (NodeID, PeerAddress), at now: Instant
    ) -> [MembershipEffect] {
        guard relays.count < configuration.relaysMax, target != id else { return [] }
        let own = takeSequence()
        // The nack must arrive before the requester's interval ends.
        relays.append(
            Relay(
                sequence: own, target: target, originalSequence: sequence, requester: sender.1, requesterID: sender.0,
                nackAt: now + configuration.probeTimeout * 0.8))
        return [send(.ping(sequence: own, target: target), to: target, at: address)]
    }

    mutating func forwardAck(_ sequence: UInt64, from sender: NodeID) -> [MembershipEffect] {
        guard let index = relays.firstIndex(where: { $0.sequence == sequence && $0.target == sender }) else {
            return []
        }
        let relay = relays.remove(at: index)
        return [send(.ack(sequence: relay.originalSequence), to: relay.requesterID, at: relay.requester)]
    }

    mutating func nackOverdueRelays(at now: Instant) -> [MembershipEffect] {
        guard relays.contains(where: { $0.nackAt <= now }) else { return [] }
        let overdue = relays.filter { $0.nackAt <= now }
        relays.removeAll { $0.nackAt <= now }
        return overdue.map { relay in
            send(.nack(sequence: relay.originalSequence), to: relay.requesterID, at: relay.requester)
        }
    }

    mutating func noteNack(_ sequence: UInt64, from helper: NodeID) {
        guard probe?.sequence == sequence, probe?.helpers.contains(helper) == true else { return }
        probe?.nacks.insert(helper)
    }

    mutating func takeSequence() -> UInt64 {
        defer { nextSequence += 1 }
        return nextSequence
    }

    /// Up to `count` random present members that satisfy the condition.
    mutating func pick(_ count: Int, where condition: (Member) -> Bool) -> [NodeID] {
        guard !present.isEmpty else { return [] }
        if present.count > 4 * count {
            // Rejection is cheaper than copying a large cluster for three names.
            var picked: [NodeID] = []
            for _ in 0..<(4 * count) where picked.count < count {
                let candidate = present[Int(generator.next() % UInt64(present.count))]
                guard !picked.contains(candidate), let member = records[candidate]?.member, condition(member)
                else { continue }
                picked.append(candidate)
            }
            return picked
        }
        let candidates = present.filter { records[$0].map { condition($0.member) } ?? false }
        return Array(candidates.shuffled(using: &generator).prefix(count))
    }
}
