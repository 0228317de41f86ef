import SwarmCore

/// An exchange that this node opened and that has not been answered yet.
struct OpenExchange: Sendable {
    var ticket: UInt64
    var address: PeerAddress
    var failsAt: Instant
}

/// A farewell that somebody else brought, while the member itself is asked.
struct DoubtedDeparture: Sendable {
    var claim: Claim
    var speaker: NodeID
    var ticket: UInt64
    var believedAt: Instant
}

/// Anti-entropy over streams, joining, and finding again who was lost.
extension MembershipMachine {
    /// Whole views, so that nothing depends on a rumour that may have died out.
    var fullState: StateExchange { StateExchange(from: id, members: members) }

    /// Nobody has answered yet, or nobody is left.
    var needsJoin: Bool { !seeds.isEmpty && (!hasJoined || present.isEmpty) }

    /// Cheap, since every event asks: whether there is really somebody is looked at when the time has come.
    var hasSomebodyToReconnect: Bool {
        !mutations.contains(.forgetsTheDead)
            && (!departed.isEmpty || (hasJoined && !present.isEmpty && !seeds.isEmpty))
    }

    /// A seed at which no present member is known: perhaps the other half of a split cluster.
    private func isUnknown(_ seed: PeerAddress) -> Bool {
        seed != contact.address && !present.contains { records[$0]?.member.contact.address == seed }
    }

    mutating func exchange(with address: PeerAddress, at now: Instant) -> [MembershipEffect] {
        guard exchanges.count < configuration.exchangesMax, address != contact.address,
            !exchanges.contains(where: { $0.address == address })
        else { return [] }
        let ticket = takeSequence()
        exchanges.append(OpenExchange(ticket: ticket, address: address, failsAt: now + configuration.exchangeTimeout))
        return [.openExchange(ticket: ticket, to: address, fullState)]
    }

    mutating func exchangeRequested(ticket: UInt64, _ state: StateExchange, at now: Instant) -> [MembershipEffect] {
        guard phase != .idle else { return [] }
        // The answer holds what the request just taught, refutations included.
        let effects = merge(state, at: now)
        return effects + [.answerExchange(ticket: ticket, fullState)]
    }

    mutating func exchangeAnswered(ticket: UInt64, _ state: StateExchange, at now: Instant) -> [MembershipEffect] {
        guard exchanges.contains(where: { $0.ticket == ticket }) else { return [] }
        let host = exchanges.first { $0.ticket == ticket }?.address.host
        exchanges.removeAll { $0.ticket == ticket }
        hasJoined = true
        let effects = merge(state, at: now)
        records[state.from]?.provenHost = host
        return effects + deny(ticket, by: state.from, at: now)
    }

    private mutating func merge(_ state: StateExchange, at now: Instant) -> [MembershipEffect] {
        guard state.from != id, state.members.count <= configuration.membersMax else {
            statistics.refusedInput += 1
            return []
        }
        records[state.from]?.lastHeard = now
        var effects: [MembershipEffect] = []
        var doubted: [Claim] = []
        for member in state.members {
            if let question = question(about: member, from: state.from) {
                doubted.append(question)
            } else {
                effects += merge(member, from: state.from, at: now)
            }
        }
        // Others merge too: each asks some.
        for claim in doubted.shuffled(using: &generator).prefix(configuration.questionsMax) {
            guard let address = records[claim.subject]?.member.contact.address else { continue }
            effects.append(.send(GossipDatagram(from: id, body: .gossip, claims: [claim]), to: address))
        }
        return effects
    }

    /// The other half of a healed split holds everybody here for suspect or dead. Whoever is present here is asked
    /// instead of buried: it refutes if it lives, and is probed like everybody if it does not.
    private func question(about theirs: Member, from peer: NodeID) -> Claim? {
        guard theirs.status == .suspect || theirs.status == .dead, let ours = records[theirs.id]?.member,
            ours.isPresent, theirs.incarnation >= ours.incarnation,
            theirs.incarnation <= MembershipConfiguration.incarnationMax,
            !mutations.contains(.takesMergedDeathsForTruth)
        else { return nil }
        let content = Claim.Content.suspect(
            by: peer, silentMilliseconds: MembershipConfiguration.silenceMillisecondsMax)
        return Claim(subject: theirs.id, incarnation: theirs.incarnation, content: content)
    }

    private mutating func merge(_ theirs: Member, from peer: NodeID, at now: Instant) -> [MembershipEffect] {
        func claim(_ content: Claim.Content) -> Claim {
            Claim(subject: theirs.id, incarnation: theirs.incarnation, content: content)
        }
        guard let ours = records[theirs.id]?.member, theirs.id != id else {
            if theirs.id != id && theirs.status == .left {
                // Not an event here: nobody on this node ever saw it alive.
                guard Self.isAcceptable(theirs.contact), !theirs.id.isEmpty,
                    theirs.id.utf8.count <= MembershipConfiguration.identifierBytesMax,
                    theirs.incarnation <= MembershipConfiguration.incarnationMax,
                    departed.count < configuration.departedMax
                else { return [] }
                _ = admit(theirs, at: now)
                return []
            }
            if theirs.id != id && theirs.status == .dead {
                // Perhaps it lives by now: it is probed like everybody, and this node finds out for itself.
                let doubt = Claim.Content.suspect(
                    by: peer, silentMilliseconds: MembershipConfiguration.silenceMillisecondsMax)
                return absorb(claim(.alive(theirs.contact)), from: peer, isProven: true, at: now)
                    + absorb(claim(doubt), from: peer, isProven: true, at: now)
            }
            let first = absorb(claim(.alive(theirs.contact)), from: peer, isProven: true, at: now)
            return first + (theirs.status == .alive ? [] : mergeStatus(theirs, from: peer, at: now))
        }
        if theirs.status == .alive || (theirs.status == .suspect && theirs.incarnation > ours.incarnation) {
            let first = absorb(claim(.alive(theirs.contact)), from: peer, isProven: true, at: now)
            return first + (theirs.status == .alive ? [] : mergeStatus(theirs, from: peer, at: now))
        }
        if !theirs.isPresent && !ours.isPresent && theirs.incarnation > ours.incarnation,
            Self.isAcceptable(theirs.contact), theirs.incarnation <= MembershipConfiguration.incarnationMax
        {
            records[theirs.id]?.member.contact = theirs.contact
            records[theirs.id]?.contactIncarnation = theirs.incarnation
        }
        return mergeStatus(theirs, from: peer, at: now)
    }

    /// What the peer says of this node, or of a member that is not present here.
    private mutating func mergeStatus(_ theirs: Member, from peer: NodeID, at now: Instant) -> [MembershipEffect] {
        let content: Claim.Content
        switch theirs.status {
        case .alive: return []
        case .suspect:
            content = .suspect(by: peer, silentMilliseconds: MembershipConfiguration.silenceMillisecondsMax)
        case .dead: content = .dead(by: peer)
        case .left: content = .left
        }
        let claim = Claim(subject: theirs.id, incarnation: theirs.incarnation, content: content)
        return absorb(claim, from: peer, isProven: true, at: now)
    }

    /// Joining, periodic anti-entropy and reconnection, each at its own bounded rate.
    mutating func heal(at now: Instant) -> [MembershipEffect] {
        var effects: [MembershipEffect] = []
        if needsJoin && nextJoinAt <= now {
            nextJoinAt = now + configuration.joinRetryInterval
            for _ in 0..<min(configuration.seedsAtOnce, seeds.count) { effects += exchange(with: takeSeed(), at: now) }
        }
        if !present.isEmpty && nextExchangeAt <= now {
            let interval = configuration.exchangeInterval(members: clusterSize)
            nextExchangeAt = now + interval / 2 + randomShare(of: interval)
            if let peer = pick(1, where: { $0.status == .alive }).first,
                let address = records[peer]?.member.contact.address
            {
                effects += exchange(with: address, at: now)
            }
        }
        if hasSomebodyToReconnect && nextReconnectAt <= now {
            nextReconnectAt = now + configuration.reconnectInterval
            effects += reconnect(at: now)
        }
        return effects
    }

    private mutating func takeSeed() -> PeerAddress {
        defer { nextSeed += 1 }
        return seeds[nextSeed % seeds.count]
    }

    /// Dead members in turn by datagram; each fourth time by stream, for networks that swallow datagrams, and
    /// each fourth time a seed at which nobody is known.
    private mutating func reconnect(at now: Instant) -> [MembershipEffect] {
        defer { reconnectTurn += 1 }
        let dead = departed.filter { records[$0]?.member.status == .dead }
        if reconnectTurn % 4 == 3 || dead.isEmpty {
            let unknown = seeds.filter(isUnknown)
            if !unknown.isEmpty && hasJoined {
                return exchange(with: unknown[reconnectTurn / 4 % unknown.count], at: now)
            }
        }
        guard !dead.isEmpty else { return [] }
        let target = dead[reconnectTurn % dead.count]
        guard let address = records[target]?.member.contact.address else { return [] }
        if reconnectTurn % 4 == 1 { return exchange(with: address, at: now) }
        return [send(.ping(sequence: takeSequence(), target: target), to: target, at: address)]
    }

    /// A datagram from an id that is not in the table: ask who that is, and tell it who is here.
    mutating func meetStranger(_ stranger: NodeID, at source: PeerAddress, _ now: Instant) -> [MembershipEffect] {
        guard phase == .active, records[stranger] == nil, mayMeetStrangersAt <= now else { return [] }
        mayMeetStrangersAt = now + configuration.joinRetryInterval
        return exchange(with: source, at: now)
    }
}
