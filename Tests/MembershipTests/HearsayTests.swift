import SwarmCore
import Testing

@testable import Membership

/// A node that has the cluster's gossip key, and lies with it.
@Suite struct HearsayTests {
    typealias Base = MembershipMachineTests
    static let elsewhere = PeerAddress(host: "198.18.0.66", port: 7946)

    static func moved(_ role: MemberMetadata.Role = .worker) -> Contact {
        Contact(address: elsewhere, metadata: MemberMetadata(role: role, addresses: ["198.18.0.66:2377"]))
    }

    static func questions(_ effects: [MembershipEffect]) -> [(ticket: UInt64, address: PeerAddress)] {
        effects.compactMap {
            guard case .openExchange(let ticket, let address, _) = $0 else { return nil }
            return (ticket, address)
        }
    }

    static func answer(
        _ machine: inout MembershipMachine, _ ticket: UInt64, _ members: [Member]
    ) -> [MembershipEffect] {
        machine.receive(
            .exchangeAnswered(ticket: ticket, StateExchange(from: members[0].id, members: members)), at: .zero)
    }

    @Test(arguments: ["a", "x"]) func `another address by hearsay redirects nothing until the member itself says so`(
        speaker: String
    ) {
        var machine = Base.machine(["a", "x"])
        let before = machine.member("x")?.contact
        let claim = Base.claim("x", 9, .alive(Self.moved(.manager)))
        let questions = Self.questions(machine.receive(Base.hear([claim], from: speaker), at: .zero))
        #expect(machine.member("x")?.contact == before && machine.member("x")?.incarnation == 3)
        #expect(questions.map(\.address) == [Self.elsewhere])
        #expect(machine.statistics.doubtedContacts == 1)
        guard let ticket = questions.first?.ticket else { return }
        // What answers there is the liar: its word about others is hearsay too.
        let liar = Member(id: "a", contact: Base.contact(10), incarnation: 3, status: .alive)
        let lie = Member(id: "x", contact: Self.moved(.manager), incarnation: 9, status: .alive)
        _ = Self.answer(&machine, ticket, [liar, lie])
        #expect(machine.member("x")?.contact == before)
    }

    @Test func `another address counts once the member answers there`() {
        var machine = Base.machine(["a", "x"])
        let claim = Base.claim("x", 9, .alive(Self.moved()))
        let questions = Self.questions(machine.receive(Base.hear([claim]), at: .zero))
        guard let ticket = questions.first?.ticket else {
            Issue.record("nobody is asked")
            return
        }
        let effects = Self.answer(
            &machine, ticket, [Member(id: "x", contact: Self.moved(), incarnation: 9, status: .alive)])
        #expect(machine.member("x")?.contact == Self.moved())
        #expect(effects.contains { if case .memberUpdated = $0 { true } else { false } })
    }

    @Test func `a departure by hearsay is asked of the member itself, which denies it`() {
        var machine = Base.machine(["a", "x"])
        let heard = machine.receive(Base.hear([Base.claim("x", 3, .left)], from: "a"), at: .zero)
        #expect(machine.member("x")?.status == .alive)
        guard let ticket = Self.questions(heard).first?.ticket else {
            Issue.record("nobody is asked")
            return
        }
        let effects = Self.answer(
            &machine, ticket, [Member(id: "x", contact: Base.contact(11), incarnation: 3, status: .alive)])
        #expect(machine.member("x")?.status == .alive)
        #expect(effects.contains(.departureDenied("x", speaker: "a")))
        _ = machine.receive(.deadlineReached, at: Instant(nanoseconds: 10_000_000_000))
        #expect(machine.member("x")?.status != .left)
    }

    @Test func `a departure counts when the member says so, or does not answer any more`() {
        var told = Base.machine(["a", "x"])
        Base.tell(&told, "x", Base.contact(11), 3, .left)
        #expect(told.member("x")?.status == .left)
        var gone = Base.machine(["a", "x"])
        let heard = gone.receive(Base.hear([Base.claim("x", 3, .left)], from: "a"), at: .zero)
        guard let ticket = Self.questions(heard).first?.ticket else {
            Issue.record("nobody is asked")
            return
        }
        let effects = gone.receive(.exchangeFailed(ticket: ticket), at: .zero)
        #expect(gone.member("x")?.status == .left)
        #expect(effects.contains { if case .memberLeft = $0 { true } else { false } })
    }

    @Test func `a departure of which nothing more is heard counts after the silence of a dead member`() {
        var machine = Base.machine(["a", "x"])
        _ = machine.receive(Base.hear([Base.claim("x", 3, .left)], from: "a"), at: .zero)
        _ = machine.receive(.deadlineReached, at: Instant(nanoseconds: 1_140_000_000))
        #expect(machine.member("x")?.status != .left)
        _ = machine.receive(.deadlineReached, at: Instant(nanoseconds: 1_160_000_000))
        #expect(machine.member("x")?.status == .left)
    }

    @Test func `a datagram in another's name from another host is dropped and told`() {
        var machine = Base.machine(["a", "x"])
        let forged = GossipDatagram(
            from: "x", body: .ping(sequence: 1, target: "self"), claims: [Base.claim("a", 3, .dead(by: "x"))])
        let effects = machine.receive(.received(forged, from: Self.elsewhere), at: .zero)
        #expect(effects.contains(.senderDoubted("x", at: Self.elsewhere)))
        #expect(!effects.contains { if case .send = $0 { true } else { false } })
        #expect(machine.member("a")?.status == .alive && machine.statistics.doubtedSenders == 1)
        // A machine with two addresses proves the other one and is heard from then on.
        guard let ticket = Self.questions(effects).first?.ticket else {
            Issue.record("nobody is asked")
            return
        }
        let member = Member(id: "x", contact: Base.contact(11), incarnation: 3, status: .alive)
        _ = Self.answer(&machine, ticket, [member])
        let later = machine.receive(.received(forged, from: Self.elsewhere), at: .zero)
        #expect(later.contains { if case .send = $0 { true } else { false } })
        #expect(machine.statistics.doubtedSenders == 1)
    }

    @Test func `a death by hearsay leaves the time to refute, however long the member was not heard`() {
        var machine = Base.machine(["a", "x"])
        let late = Instant(nanoseconds: 100_000_000)
        machine.records["x"]?.lastHeard = Instant(nanoseconds: -60_000_000_000)
        let lies = [Base.claim("x", 3, .suspect(by: "a", silentMilliseconds: 60_000)), Base.claim("x", 3, .dead(by: "a"))]
        _ = machine.receive(Base.hear(lies), at: late)
        #expect(machine.member("x")?.status == .suspect)
        _ = machine.receive(Base.hear([Base.claim("x", 4, .alive(Base.contact(11)))]), at: late + .milliseconds(300))
        #expect(machine.member("x")?.status == .alive)
    }

    @Test func `nobody lifts an incarnation to where its owner cannot answer`() {
        var machine = Base.machine(["a", "x"])
        let far = MembershipConfiguration.incarnationMax
        _ = machine.receive(
            Base.hear([
                Base.claim("x", far, .suspect(by: "a", silentMilliseconds: 0)), Base.claim("self", far, .dead(by: "a")),
                Base.claim("y", far, .alive(Base.contact(14))),
            ]), at: .zero)
        #expect(machine.member("x")?.incarnation == 3 && machine.incarnation == 5 && machine.member("y") == nil)
        #expect(machine.statistics.refusedInput == 3)
    }

    @Test func `an answer to a ping counts from its target and its helpers only`() {
        var machine = Base.machine(["a", "x"])
        var now = Instant.zero
        while machine.probe?.target != "x" {
            now = now + .milliseconds(200)
            _ = machine.receive(.deadlineReached, at: now)
        }
        guard let sequence = machine.probe?.sequence else { return }
        let source = PeerAddress(host: "198.18.0.1", port: 10)
        _ = machine.receive(.received(GossipDatagram(from: "a", body: .ack(sequence: sequence)), from: source), at: now)
        #expect(machine.probe?.isAcknowledged == false)
        _ = machine.receive(.received(GossipDatagram(from: "x", body: .ack(sequence: sequence)), from: source), at: now)
        #expect(machine.probe?.isAcknowledged == true)
    }

    @Test func `whoever was dead before this node came is found dead by this node too`() {
        var machine = Base.machine([])
        let peer = Member(id: "a", contact: Base.contact(10), incarnation: 3, status: .alive)
        let dead = Member(id: "x", contact: Base.contact(11), incarnation: 3, status: .dead)
        let state = StateExchange(from: "a", members: [peer, dead])
        var effects = machine.receive(.exchangeRequested(ticket: 1, state), at: .zero)
        #expect(machine.member("x")?.status == .suspect)
        for step in 1...100 {
            let now = Instant.zero + .milliseconds(Int64(100 * step))
            _ = machine.receive(Base.hear([]), at: now)
            effects += machine.receive(.deadlineReached, at: now)
        }
        #expect(effects.contains { if case .memberDead(let member) = $0 { member.id == "x" } else { false } })
    }
}
