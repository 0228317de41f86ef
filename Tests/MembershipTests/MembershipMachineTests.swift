import SwarmCore
import Testing

@testable import Membership

@Suite struct MembershipMachineTests {
    static func contact(_ port: UInt16, version: String = "1") -> Contact {
        Contact(
            address: PeerAddress(host: "198.18.0.1", port: port), metadata: MemberMetadata(role: .worker, version: version))
    }

    static func machine(_ others: [NodeID] = []) -> MembershipMachine {
        var machine = MembershipMachine(id: "self", contact: contact(1), incarnation: 5, seed: 1)
        _ = machine.receive(.join(seeds: []), at: .zero)
        let members = others.enumerated().map {
            Member(id: $1, contact: contact(UInt16(10 + $0)), incarnation: 3, status: .alive)
        }
        if let first = others.first {
            _ = machine.receive(.exchangeRequested(ticket: 1, StateExchange(from: first, members: members)), at: .zero)
        }
        return machine
    }

    static func hear(_ claims: [Claim], from: NodeID = "a") -> MembershipEvent {
        .received(
            GossipDatagram(from: from, body: .gossip, claims: claims), from: PeerAddress(host: "198.18.0.1", port: 10))
    }

    static func claim(_ subject: NodeID, _ incarnation: Incarnation, _ content: Claim.Content) -> Claim {
        Claim(subject: subject, incarnation: incarnation, content: content)
    }

    /// The member says so itself, over a stream.
    static func tell(
        _ machine: inout MembershipMachine, _ id: NodeID, _ contact: Contact, _ incarnation: Incarnation,
        _ status: MemberStatus = .alive
    ) {
        let member = Member(id: id, contact: contact, incarnation: incarnation, status: status)
        _ = machine.receive(.exchangeRequested(ticket: 7, StateExchange(from: id, members: [member])), at: .zero)
    }

    @Test func `a suspicion of itself is refuted with a higher incarnation`() {
        var machine = Self.machine(["a", "b"])
        _ = machine.receive(Self.hear([Self.claim("self", 5, .suspect(by: "a", silentMilliseconds: 0))]), at: .zero)
        #expect(machine.incarnation == 6)
        _ = machine.receive(Self.hear([Self.claim("self", 5, .dead(by: "a"))]), at: .zero)
        #expect(machine.incarnation == 6, "old news needs no answer")
        _ = machine.receive(Self.hear([Self.claim("self", 40, .dead(by: "a"))]), at: .zero)
        #expect(machine.incarnation == 41)
        #expect(machine.localHealth == 2)
        #expect(machine.members.first?.status == .alive)
    }

    @Test func `the strongest word of an incarnation wins in every order`() {
        let words: [Claim.Content] = [
            .alive(Self.contact(12)), .suspect(by: "b", silentMilliseconds: 9000), .dead(by: "b"), .left,
        ]
        for (first, one) in words.enumerated() {
            for (second, other) in words.enumerated() {
                var machine = Self.machine(["a", "b", "x"])
                let later = Instant(nanoseconds: 200_000_000_000)
                _ = machine.receive(.deadlineReached, at: later)
                let quiet = later + .milliseconds(1)
                machine.records["x"]?.lastHeard = .zero
                let effects = machine.receive(
                    Self.hear([Self.claim("x", 3, one), Self.claim("x", 3, other)]), at: quiet)
                // Nobody answers who is asked whether it left, and nobody refutes.
                for case .openExchange(let ticket, _, _) in effects {
                    _ = machine.receive(.exchangeFailed(ticket: ticket), at: quiet)
                }
                if max(first, second) == 2 { _ = machine.declareDeaths(at: quiet + .milliseconds(400)) }
                let expected = MemberStatus(rawValue: UInt8(max(first, second)))
                #expect(machine.member("x")?.status == expected, "\(one) then \(other)")
            }
        }
    }

    @Test func `a higher incarnation with another address wins, a lower one does not`() {
        var machine = Self.machine(["a", "x"])
        Self.tell(&machine, "x", Self.contact(99), 9)
        #expect(machine.member("x")?.contact.address.port == 99)
        let effects = machine.receive(Self.hear([Self.claim("x", 4, .alive(Self.contact(50)))]), at: .zero)
        #expect(machine.member("x")?.contact.address.port == 99)
        #expect(effects.isEmpty)
        // One incarnation, two contacts: the greater one, whoever says so.
        _ = machine.receive(Self.hear([Self.claim("x", 9, .alive(Self.contact(7)))]), at: .zero)
        #expect(machine.member("x")?.contact.address.port == 99)
    }

    @Test func `a death by hearsay is doubted while the member was just heard`() {
        var machine = Self.machine(["a", "x"])
        _ = machine.receive(Self.hear([], from: "x"), at: .zero)
        let effects = machine.receive(Self.hear([Self.claim("x", 3, .dead(by: "a"))]), at: .zero)
        #expect(machine.member("x")?.status == .suspect)
        #expect(!effects.contains { if case .memberDead = $0 { true } else { false } })
        #expect(machine.statistics.doubtedDeaths == 1)
    }

    @Test func `who uses this node's identifier elsewhere is reported`() {
        var machine = Self.machine(["a"])
        let effects = machine.receive(Self.hear([Self.claim("self", 7, .alive(Self.contact(99)))]), at: .zero)
        #expect(effects == [.identityContested(PeerAddress(host: "198.18.0.1", port: 99))])
        #expect(machine.incarnation == 8)
    }

    @Test func `input beyond every bound is refused and changes nothing`() {
        var machine = Self.machine(["a"])
        let long = String(repeating: "x", count: 129)
        let fat = Contact(
            address: PeerAddress(host: "198.18.0.1", port: 1),
            metadata: MemberMetadata(role: .worker, version: String(repeating: "v", count: 600)))
        let bad = [
            Self.claim(long, 1, .alive(Self.contact(1))), Self.claim("", 1, .alive(Self.contact(1))),
            Self.claim("y", .max, .alive(Self.contact(1))), Self.claim("y", 1, .alive(fat)),
            Self.claim("self", .max, .dead(by: "a")), Self.claim("a", 3, .dead(by: long)),
        ]
        #expect(machine.receive(Self.hear(bad), at: .zero).isEmpty)
        #expect(machine.statistics.refusedInput == bad.count)
        #expect(machine.members.map(\.id) == ["self", "a"])
        let flood = Array(repeating: Self.claim("y", 1, .left), count: 129)
        #expect(machine.receive(Self.hear(flood), at: .zero).isEmpty)
        #expect(machine.receive(Self.hear([], from: "self"), at: .zero).isEmpty)
    }

    @Test func `the table of members is bounded`() {
        var configuration = MembershipConfiguration.lan
        configuration.membersMax = 10
        var machine = MembershipMachine(
            id: "self", contact: Self.contact(1), incarnation: 1, seed: 1, configuration: configuration)
        _ = machine.receive(.join(seeds: []), at: .zero)
        for number in 0..<40 {
            _ = machine.receive(Self.hear([Self.claim("m\(number)", 1, .alive(Self.contact(5)))]), at: .zero)
        }
        #expect(machine.members.count == 11)
        #expect(machine.statistics.refusedMembers == 30)
    }

    @Test func `a ping for somebody else is not answered`() {
        var machine = Self.machine(["a"])
        let source = PeerAddress(host: "198.18.0.1", port: 10)
        func ping(_ target: NodeID) -> MembershipEvent {
            .received(GossipDatagram(from: "a", body: .ping(sequence: 4, target: target)), from: source)
        }
        #expect(machine.receive(ping("previous-tenant"), at: .zero).isEmpty)
        guard case .send(let answer, let address)? = machine.receive(ping("self"), at: .zero).first else {
            Issue.record("no answer")
            return
        }
        #expect(answer.body == .ack(sequence: 4) && address == source)
    }

    @Test func `a rumour is sent as often as its limit and then forgotten`() {
        var queue = PiggybackQueue()
        queue.insert(Self.claim("x", 1, .left))
        let sizes = (0..<4).map { _ in queue.take(bytes: 1000, limit: 4).count }
        #expect(sizes == [1, 1, 1, 1])
        #expect(queue.isEmpty)
        for number in 0..<200 { queue.insert(Self.claim("x\(number)", 1, .alive(Self.contact(1)))) }
        var heard: Set<NodeID> = []
        while !queue.isEmpty {
            let claims = queue.take(bytes: 1200, limit: 2)
            #expect(claims.reduce(0) { $0 + $1.sizeBound } <= 1200 && !claims.isEmpty)
            heard.formUnion(claims.map(\.subject))
        }
        #expect(heard.count == 200)
        queue.insert(Self.claim("x", 1, .suspect(by: "a", silentMilliseconds: 1)))
        queue.insert(Self.claim("x", 1, .suspect(by: "b", silentMilliseconds: 1)))
        #expect(queue.count == 2)
        queue.insert(Self.claim("x", 2, .alive(Self.contact(1))))
        #expect(queue.count == 1)
    }

    @Test func `each confirmation shortens a suspicion, from the longest to the shortest`() {
        var suspicion = Suspicion(accuser: "a", at: .zero, members: 9, configuration: .lan)
        var timeouts = [suspicion.timeout]
        for accuser in ["b", "c", "d"] {
            let isNew = suspicion.confirm(by: accuser)
            #expect(isNew)
            timeouts.append(suspicion.timeout)
        }
        let isLate = suspicion.confirm(by: "e")
        let isRepeated = suspicion.confirm(by: "a")
        #expect(!isLate && !isRepeated)
        #expect(timeouts == timeouts.sorted(by: >))
        #expect(timeouts.first == .milliseconds(3600) && timeouts.last == .milliseconds(600))
    }

    @Test func `the logarithm agrees with known values`() {
        for exponent in 0...40 { #expect(Logarithm.base2(Double(1 << exponent)) == Double(exponent)) }
        #expect(abs(Logarithm.base2(10) - 3.321928094887362) < 1e-10)
        #expect(abs(Logarithm.base2(1.99) - 0.9927684307689242) < 1e-8)
        let configuration = MembershipConfiguration.lan
        #expect(configuration.transmitLimit(members: 5) == 8)
        #expect(configuration.transmitLimit(members: 10) == 8)
        #expect(configuration.transmitLimit(members: 500) == 12)
    }
}
