import SwarmCore

/// Datagrams in and out, and the rumours they carry (SWIM §4.1).
extension MembershipMachine {
    mutating func received(
        _ datagram: GossipDatagram, from source: PeerAddress, at now: Instant
    ) -> [MembershipEffect] {
        guard phase != .idle, datagram.from != id,
            datagram.claims.count <= MembershipConfiguration.claimsPerDatagramMax
        else {
            statistics.refusedInput += 1
            return []
        }
        guard isKnownHost(source.host, of: datagram.from) else {
            statistics.doubtedSenders += 1
            // If it is the member after all, on another address, a stream to there proves it.
            return [.senderDoubted(datagram.from, at: source)] + ask(at: source, now)
        }
        records[datagram.from]?.lastHeard = now
        var effects: [MembershipEffect] = []
        for claim in datagram.claims { effects += absorb(claim, from: datagram.from, at: now) }
        effects += meetStranger(datagram.from, at: source, now)
        switch datagram.body {
        case .ping(let sequence, let target):
            effects += answerPing(sequence, target: target, from: datagram.from, at: source)
        case .pingRequest(let sequence, let target, let address):
            effects += relayPing(
                sequence, target: target, address: address, from: (datagram.from, source), at: now)
        case .ack(let sequence):
            acknowledged(sequence, by: datagram.from, at: now)
            effects += forwardAck(sequence, from: datagram.from)
        case .nack(let sequence): noteNack(sequence, from: datagram.from)
        case .gossip: break
        }
        return effects
    }

    /// Rumours to a few random members each interval, as long as there are any.
    mutating func gossip(at now: Instant) -> [MembershipEffect] {
        guard !queue.isEmpty, !present.isEmpty, nextGossipAt <= now else { return [] }
        nextGossipAt = now + configuration.gossipInterval
        var effects: [MembershipEffect] = []
        for target in pick(configuration.gossipFanout, where: { _ in true }) where !queue.isEmpty {
            guard let address = records[target]?.member.contact.address else { continue }
            effects.append(send(.gossip, to: target, at: address))
        }
        if let corpse = recentlyDead(at: now), let address = records[corpse]?.member.contact.address {
            // Most likely nobody hears it: this does not count as spreading.
            let before = queue
            effects.append(send(.gossip, to: corpse, at: address))
            queue = before
        }
        return effects
    }

    private mutating func recentlyDead(at now: Instant) -> NodeID? {
        let recent = departed.filter { id in
            guard let record = records[id], record.member.status == .dead, let since = record.departedAt else {
                return false
            }
            return now - since <= configuration.gossipToTheDead
        }
        return recent.isEmpty ? nil : recent[Int(generator.next() % UInt64(recent.count))]
    }

    /// A datagram with what the receiver must know of itself first, then as many rumours as fit.
    mutating func send(_ body: GossipDatagram.Body, to target: NodeID, at address: PeerAddress) -> MembershipEffect {
        var datagram = GossipDatagram(from: id, body: body)
        // Lifeguard's buddy system: whoever is suspected hears so from the first that talks to it.
        if let own = accusation(of: target) { datagram.claims.append(own) }
        let bound = configuration.datagramBytesMax * (mutations.contains(.overfillsDatagrams) ? 2 : 1)
        let room = bound - configuration.sealBytes - datagram.sizeBound
        let limit = configuration.transmitLimit(members: clusterSize)
        let rumours = queue.take(bytes: room, limit: limit)
        datagram.claims += rumours.filter { $0.subject != target || datagram.claims.isEmpty }
        return .send(datagram, to: address)
    }

    private func accusation(of target: NodeID) -> Claim? {
        guard let member = records[target]?.member, member.status != .alive else { return nil }
        let content: Claim.Content
        switch member.status {
        case .alive: return nil
        case .suspect:
            content = .suspect(
                by: records[target]?.suspicion?.accusers.first ?? id,
                silentMilliseconds: MembershipConfiguration.silenceMillisecondsMax)
        case .dead: content = .dead(by: id)
        case .left: content = .left
        }
        return Claim(subject: target, incarnation: member.incarnation, content: content)
    }
}
