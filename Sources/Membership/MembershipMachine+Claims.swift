import SwarmCore

/// What claims do to this node's view (SWIM §4.2, table of overriding; Lifeguard LHA-Suspicion).
extension MembershipMachine {
    ///
    /// - Parameters:
    ///   - speaker: who said it, this node included.
    ///   - isProven: the speaker's certificate was seen. What redirects a member's traffic or ends it counts only
    ///     so, from the member itself: datagrams are sealed with a key that every node has.
    mutating func absorb(
        _ claim: Claim, from speaker: NodeID, isProven: Bool = false, at now: Instant
    ) -> [MembershipEffect] {
        let isFirstHand = isProven && speaker == claim.subject
        guard isAcceptable(claim, isFirstHand) else {
            statistics.refusedInput += 1
            return []
        }
        if claim.subject == id { return defend(against: claim) }
        switch claim.content {
        case .alive(let contact): return absorbAlive(claim, contact, isFirstHand, at: now)
        case .suspect(let accuser, let silence): return absorbSuspect(claim, by: accuser, silence, at: now)
        case .dead(let accuser): return absorbDead(claim, by: accuser, at: now)
        case .left: return absorbLeft(claim, from: isFirstHand ? nil : speaker, at: now)
        }
    }

    /// A peer may send anything: bounds of every field, before it is stored.
    private func isAcceptable(_ claim: Claim, _ isFirstHand: Bool) -> Bool {
        func isName(_ name: NodeID) -> Bool {
            !name.isEmpty && name.utf8.count <= MembershipConfiguration.identifierBytesMax
        }
        guard isName(claim.subject), claim.incarnation <= MembershipConfiguration.incarnationMax else { return false }
        let known = claim.subject == id ? incarnation : records[claim.subject]?.member.incarnation ?? 0
        guard isFirstHand || claim.incarnation <= known + MembershipConfiguration.incarnationStepMax else {
            return false
        }
        switch claim.content {
        case .alive(let contact): return Self.isAcceptable(contact)
        case .suspect(let accuser, _), .dead(let accuser): return isName(accuser)
        case .left: return true
        }
    }

    static func isAcceptable(_ contact: Contact) -> Bool {
        contact.sizeBound <= MembershipConfiguration.metadataBytesMax && !contact.address.host.isEmpty
    }

    /// Nobody but this node knows best whether it lives.
    private mutating func defend(against claim: Claim) -> [MembershipEffect] {
        guard phase == .active, claim.incarnation >= incarnation else { return [] }
        if case .alive(let other) = claim.content {
            guard claim.incarnation > incarnation || other != contact else { return [] }
            announceSelf(above: claim.incarnation)
            return other.address == contact.address ? [] : [.identityContested(other.address)]
        }
        guard !mutations.contains(.losesRefutations) else { return [] }
        statistics.refutations += 1
        health.change(by: 1)
        announceSelf(above: claim.incarnation)
        return []
    }

    private mutating func absorbAlive(
        _ claim: Claim, _ contact: Contact, _ isFirstHand: Bool, at now: Instant
    ) -> [MembershipEffect] {
        guard var record = records[claim.subject] else {
            let member = Member(
                id: claim.subject, contact: contact, incarnation: claim.incarnation, status: .alive)
            guard admit(member, at: now) else { return [] }
            queue.insert(claim)
            return [.memberAlive(member)]
        }
        let before = record.member
        let isNewer =
            claim.incarnation > before.incarnation
            || (mutations.contains(.acceptsOlderIncarnations) && claim.incarnation < before.incarnation)
        let isContactNewer =
            claim.incarnation > record.contactIncarnation
            || (claim.incarnation == record.contactIncarnation
                && (isFirstHand ? before.contact != contact : before.contact.precedes(contact)))
        // Alive is the weakest word of an incarnation: it changes a status only with a higher one.
        guard isNewer || (claim.incarnation == before.incarnation && isContactNewer) else { return [] }
        if contact != before.contact, !isFirstHand, !mutations.contains(.believesContactsByHearsay) {
            statistics.doubtedContacts += 1
            return ask(at: contact.address, now)
        }
        if isContactNewer && !mutations.contains(.keepsOldAddresses) {
            record.member.contact = contact
            record.contactIncarnation = claim.incarnation
        }
        if isNewer {
            record.member.incarnation = claim.incarnation
            record.member.status = .alive
            record.suspicion = nil
            record.departedAt = nil
            record.lastHeard = now
        }
        records[claim.subject] = record
        queue.insert(claim)
        guard before.status != record.member.status else {
            return before.contact == record.member.contact || !record.member.isPresent
                ? [] : [.memberUpdated(record.member)]
        }
        suspects.removeSorted(claim.subject)
        guard !before.isPresent else { return [.memberAlive(record.member)] }
        departed.removeSorted(claim.subject)
        enlist(claim.subject)
        // Whoever was dead knows of others that are; what this node holds for dead, it may know better.
        return [.memberAlive(record.member)] + exchange(with: contact.address, at: now)
    }

    private mutating func absorbSuspect(
        _ claim: Claim, by accuser: NodeID, _ silence: UInt32, at now: Instant
    ) -> [MembershipEffect] {
        guard var record = records[claim.subject], claim.incarnation >= record.member.incarnation else { return [] }
        let isNewer = claim.incarnation > record.member.incarnation
        let bounded = min(silence, MembershipConfiguration.silenceMillisecondsMax)
        let heard = now + .milliseconds(-Int64(bounded))
        switch record.member.status {
        case .dead, .left:
            guard isNewer else { return [] }
            // Somebody saw it alive in that incarnation.
            record.member.incarnation = claim.incarnation
            record.member.status = .alive
            record.departedAt = nil
            records[claim.subject] = record
            departed.removeSorted(claim.subject)
            enlist(claim.subject)
            return [.memberAlive(record.member)] + beginSuspicion(claim, by: accuser, heard: heard, at: now)
        case .alive: return beginSuspicion(claim, by: accuser, heard: heard, at: now)
        case .suspect:
            guard var suspicion = record.suspicion else { return [] }
            record.member.incarnation = claim.incarnation
            let isConfirmed = suspicion.confirm(by: accuser)
            // Even who no longer counts as an accuser may know best when the member was last heard.
            // Each accuser is a witness once: a claim that is passed on for a while grows no younger.
            let isWitness = suspicion.admitWitness(accuser)
            let isEvidence = isWitness && heard - record.lastHeard > configuration.evidenceMin
            if isWitness { record.lastHeard = max(record.lastHeard, heard) }
            record.suspicion = suspicion
            records[claim.subject] = record
            if isConfirmed || isNewer || isEvidence { queue.insert(claim) }
            return []
        }
    }

    private mutating func beginSuspicion(
        _ claim: Claim, by accuser: NodeID, heard: Instant, at now: Instant
    ) -> [MembershipEffect] {
        guard var record = records[claim.subject] else { return [] }
        record.member.incarnation = claim.incarnation
        record.member.status = .suspect
        record.lastHeard = max(record.lastHeard, heard)
        record.suspicion = Suspicion(
            accuser: accuser, at: now, members: clusterSize, configuration: configuration)
        records[claim.subject] = record
        suspects.insertSorted(claim.subject)
        queue.insert(claim)
        // A second opinion at once instead of in a whole round; in large clusters by some members only.
        let chance = generator.next() % UInt64(max(clusterSize, 1))
        if accuser != id, chance < UInt64(configuration.promptConfirmersMax), probe?.target != claim.subject,
            !urgent.contains(claim.subject)
        {
            urgent.append(claim.subject)
        }
        return [.memberSuspect(record.member)]
    }

    private mutating func absorbDead(_ claim: Claim, by accuser: NodeID, at now: Instant) -> [MembershipEffect] {
        guard var record = records[claim.subject], claim.incarnation >= record.member.incarnation else { return [] }
        guard record.member.isPresent else {
            guard claim.incarnation > record.member.incarnation else { return [] }
            record.member.incarnation = claim.incarnation
            record.member.status = .dead
            records[claim.subject] = record
            queue.insert(claim)
            return []
        }
        // First-hand evidence outweighs hearsay: the member gets the time to refute.
        var declared = record
        declared.suspicion?.isDeclaredElsewhere = true
        let isDue = deathDeadline(of: declared).map { $0 <= now } ?? false
        if !isDue, !mutations.contains(.believesDeathsByHearsay) {
            statistics.doubtedDeaths += 1
            let doubt = Claim.Content.suspect(
                by: accuser, silentMilliseconds: MembershipConfiguration.silenceMillisecondsMax)
            let effects = absorb(
                Claim(subject: claim.subject, incarnation: claim.incarnation, content: doubt), from: accuser,
                at: now)
            records[claim.subject]?.suspicion?.isDeclaredElsewhere = true
            return effects
        }
        return bury(claim, as: .dead, at: now)
    }

    /// - Parameter speaker: nil when the member says so itself, with its certificate.
    private mutating func absorbLeft(_ claim: Claim, from speaker: NodeID?, at now: Instant) -> [MembershipEffect] {
        guard let record = records[claim.subject], claim.incarnation >= record.member.incarnation,
            record.member.status != .left || claim.incarnation > record.member.incarnation
        else { return [] }
        guard let speaker, record.member.isPresent, !mutations.contains(.believesDeparturesByHearsay) else {
            return bury(claim, as: .left, at: now)
        }
        return doubtDeparture(claim, speaker, at: now)
    }

    mutating func bury(_ claim: Claim, as status: MemberStatus, at now: Instant) -> [MembershipEffect] {
        guard var record = records[claim.subject] else { return [] }
        let before = record.member.status
        record.member.incarnation = claim.incarnation
        record.member.status = status
        record.suspicion = nil
        record.departedAt = now
        records[claim.subject] = record
        present.removeSorted(claim.subject)
        suspects.removeSorted(claim.subject)
        departed.insertSorted(claim.subject)
        queue.insert(claim)
        forgetDeparted(at: now)
        guard before != status else { return [] }
        return [status == .left ? .memberLeft(record.member) : .memberDead(record.member)]
    }

    /// Suspicion's end, but never while somebody is known to have heard the member lately.
    func deathDeadline(of record: Record) -> Instant? {
        guard !mutations.contains(.suspectsForEver) else { return nil }
        return record.suspicion.map { suspicion in
            guard !suspicion.isDeclaredElsewhere else {
                // Others took their time; whoever lives needs a moment to say so here.
                let patience = min(suspicion.shortest, configuration.probeInterval * 2)
                return max(suspicion.startedAt + patience, record.lastHeard + configuration.silenceMin)
            }
            return max(
                suspicion.startedAt + suspicion.timeout,
                record.lastHeard + configuration.silenceMin * health.factor)
        }
    }

    mutating func declareDeaths(at now: Instant) -> [MembershipEffect] {
        var effects: [MembershipEffect] = []
        for suspect in suspects {
            guard let record = records[suspect], let dies = deathDeadline(of: record), dies <= now else { continue }
            let claim = Claim(
                subject: suspect, incarnation: record.member.incarnation, content: .dead(by: id))
            effects += bury(claim, as: .dead, at: now)
        }
        return effects
    }

    /// Takes a new member in, unless the table is full.
    mutating func admit(_ member: Member, at now: Instant) -> Bool {
        guard records.count < configuration.membersMax else {
            statistics.refusedMembers += 1
            return false
        }
        records[member.id] = Record(
            member: member, contactIncarnation: member.incarnation, lastHeard: now,
            departedAt: member.isPresent ? nil : now)
        if member.isPresent { enlist(member.id) } else { departed.insertSorted(member.id) }
        return true
    }

    /// New members enter the running round at a random place (SWIM §4.3).
    mutating func enlist(_ id: NodeID) {
        if present.isEmpty { nextGossipAt = max(nextGossipAt, nextProbeAt) }
        present.insertSorted(id)
        round.insert(id, at: Int(generator.next() % UInt64(round.count + 1)))
        if round.count > 2 * present.count + 8 { round = [] }
    }

    private mutating func forgetDeparted(at now: Instant) {
        func age(_ id: NodeID) -> Instant { records[id]?.departedAt ?? .zero }
        var forgotten = departed.filter { now - age($0) > configuration.departedRetention }
        if departed.count - forgotten.count > configuration.departedMax,
            let oldest = departed.min(by: { (age($0), $0) < (age($1), $1) })
        {
            forgotten.append(oldest)
        }
        for id in forgotten {
            records[id] = nil
            departed.removeSorted(id)
        }
    }
}
