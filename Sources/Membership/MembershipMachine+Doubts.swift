import SwarmCore

/// What others say of a member's address or departure is asked of the member itself, over a stream that proves
/// who answers: every node has the key that seals datagrams, so a datagram proves no more than membership.
extension MembershipMachine {
    /// One exchange stays free for joining and anti-entropy.
    static let questionsReserve = 1

    /// Whether that member is known to speak from there; nothing is known of strangers.
    func isKnownHost(_ host: String, of member: NodeID) -> Bool {
        guard let record = records[member], !mutations.contains(.believesSendersNames) else { return true }
        return host == record.member.contact.address.host || host == record.provenHost
    }

    /// Asks who is there; the answer counts as first-hand for whoever that is.
    mutating func ask(at address: PeerAddress, _ now: Instant) -> [MembershipEffect] {
        guard phase == .active, exchanges.count < configuration.exchangesMax - Self.questionsReserve else {
            return []
        }
        return exchange(with: address, at: now)
    }

    /// Who leaves says so itself when asked, or does not answer any more.
    mutating func doubtDeparture(_ claim: Claim, _ speaker: NodeID, at now: Instant) -> [MembershipEffect] {
        guard !departures.contains(where: { $0.claim.subject == claim.subject }),
            let address = records[claim.subject]?.member.contact.address
        else { return [] }
        let question = ask(at: address, now)
        guard case .openExchange(let ticket, _, _)? = question.first else {
            // No room for a question now: the failure detector finds out.
            let death = Claim.Content.dead(by: speaker)
            return absorb(
                Claim(subject: claim.subject, incarnation: claim.incarnation, content: death), from: speaker, at: now)
        }
        departures.append(
            DoubtedDeparture(
                claim: claim, speaker: speaker, ticket: ticket, believedAt: now + configuration.silenceMin))
        return question
    }

    /// Nobody answered where the member was: what was said of it holds.
    mutating func believeDepartures(at now: Instant, where isOver: (DoubtedDeparture) -> Bool) -> [MembershipEffect] {
        guard !departures.isEmpty else { return [] }
        let over = departures.filter(isOver)
        departures.removeAll(where: isOver)
        return over.flatMap { departure -> [MembershipEffect] in
            guard let record = records[departure.claim.subject], record.member.status != .left,
                departure.claim.incarnation >= record.member.incarnation
            else { return [] }
            return bury(departure.claim, as: .left, at: now)
        }
    }

    /// The exchange was answered, and what the answer says of its sender is known here.
    mutating func deny(_ ticket: UInt64, by answerer: NodeID, at now: Instant) -> [MembershipEffect] {
        guard let index = departures.firstIndex(where: { $0.ticket == ticket }) else { return [] }
        let departure = departures.remove(at: index)
        let subject = departure.claim.subject
        guard answerer == subject else {
            // Somebody else lives there now.
            departures.append(departure)
            return believeDepartures(at: now) { $0.ticket == ticket }
        }
        guard records[subject]?.member.isPresent == true else { return [] }
        statistics.deniedDepartures += 1
        // It must outbid what was said of it, or others go on believing that.
        let effect = MembershipEffect.send(
            GossipDatagram(from: id, body: .gossip, claims: [departure.claim]),
            to: records[subject]?.member.contact.address ?? contact.address)
        return [.departureDenied(subject, speaker: departure.speaker), effect]
    }
}
