import SwarmCore
import Testing

@testable import Membership

/// Proof that the checkers can find something: each planted fault must show within so many seeds, and none of the
/// scenarios may complain without one.
@Suite struct MembershipMutantTests {
    typealias Scenario = @Sendable (UInt64, MembershipMutations) -> Bool

    struct Mutant: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var mutation: MembershipMutations
        /// True when something is wrong.
        var scenario: Scenario
    }

    static let mutants = [
        Mutant(testDescription: "loses refutations", mutation: .losesRefutations, scenario: split),
        Mutant(testDescription: "ignores its own pauses", mutation: .ignoresOwnPauses, scenario: longPause),
        Mutant(testDescription: "believes deaths by hearsay", mutation: .believesDeathsByHearsay, scenario: slander),
        Mutant(testDescription: "forgets the dead", mutation: .forgetsTheDead, scenario: split),
        Mutant(testDescription: "accepts older incarnations", mutation: .acceptsOlderIncarnations, scenario: restarts),
        Mutant(testDescription: "never asks helpers", mutation: .neverAsksHelpers, scenario: cutLink),
        Mutant(
            testDescription: "takes merged deaths for truth", mutation: .takesMergedDeathsForTruth,
            scenario: largeSplit),
        Mutant(testDescription: "overfills datagrams", mutation: .overfillsDatagrams, scenario: crowd),
        Mutant(testDescription: "suspects for ever", mutation: .suspectsForEver, scenario: death),
        Mutant(testDescription: "keeps old addresses", mutation: .keepsOldAddresses, scenario: restarts),
        Mutant(
            testDescription: "believes addresses by hearsay", mutation: .believesContactsByHearsay, scenario: redirection),
        Mutant(
            testDescription: "believes departures by hearsay", mutation: .believesDeparturesByHearsay, scenario: farewell),
        Mutant(testDescription: "believes senders' names", mutation: .believesSendersNames, scenario: impostor),
    ]

    @Test(arguments: mutants)
    func `a planted fault is caught and its absence is not`(mutant: Mutant) {
        let caught = (1...10 as ClosedRange<UInt64>).first { mutant.scenario($0, mutant.mutation) }
        #expect(caught != nil, "\(mutant.testDescription): not caught in 10 seeds")
        for seed in 1...4 as ClosedRange<UInt64> { #expect(!mutant.scenario(seed, []), "seed \(seed)") }
    }

    static let split: Scenario = { seed, mutations in
        var world = GossipWorld(5, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.split(Array(world.ids.prefix(2)), Array(world.ids.dropFirst(2)))
        world.run(for: .seconds(6))
        (world.blocked, world.deaths) = ([], [])
        let isHealed = world.timeToConverge(limit: .seconds(10)) != nil
        return !isHealed || !world.deaths.isEmpty || !world.violations.isEmpty
    }

    /// A member is suspected, rightly; whoever then sleeps misses that it came back.
    static let longPause: Scenario = { seed, mutations in
        var world = GossipWorld(5, seed: seed, mutations: mutations)
        world.startAcquainted()
        let (victim, sleeper) = (world.ids[0], world.ids[1])
        world.pause(victim, for: .milliseconds(900))
        world.run(for: .milliseconds(800)) { $0.nodes[sleeper]?.machine.member(victim)?.status == .suspect }
        world.pause(sleeper, for: .seconds(3))
        world.run(for: .milliseconds(2999))
        world.deaths = []
        world.nodes[sleeper]?.inbox = []
        world.run(for: .seconds(3))
        return world.deaths.contains { $0.observer == sleeper }
    }

    /// Large enough that not everybody has been heard by everybody within a second.
    static let largeSplit: Scenario = { seed, mutations in
        var world = GossipWorld(20, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.split(Array(world.ids.prefix(10)), Array(world.ids.dropFirst(10)))
        world.run(for: .seconds(6))
        (world.blocked, world.deaths) = ([], [])
        world.run(for: .seconds(2))
        return !world.deaths.isEmpty
    }

    /// One member claims that another is dead; everybody else hears from it all the time.
    static let slander: Scenario = { seed, mutations in
        var world = GossipWorld(4, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.run(for: .seconds(2))
        let claim = Claim(subject: world.ids[2], incarnation: 1, content: .dead(by: world.ids[1]))
        let datagram = GossipDatagram(from: world.ids[1], body: .gossip, claims: [claim])
        world.deliver(.received(datagram, from: world.address(1)), to: world.ids[0])
        world.run(for: .seconds(3))
        return !world.deaths.isEmpty
    }

    private static let elsewhere = PeerAddress(host: "198.18.0.66", port: 7946)

    /// One member says that another has moved; nobody is there.
    static let redirection: Scenario = { seed, mutations in
        var world = GossipWorld(4, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.run(for: .seconds(2))
        let contact = Contact(address: elsewhere, metadata: MemberMetadata(role: .manager, addresses: []))
        let claim = Claim(subject: world.ids[2], incarnation: 9, content: .alive(contact))
        let datagram = GossipDatagram(from: world.ids[1], body: .gossip, claims: [claim])
        world.deliver(.received(datagram, from: world.address(1)), to: world.ids[0])
        return world.nodes[world.ids[0]]?.machine.member(world.ids[2])?.contact.address == elsewhere
    }

    /// One member says that another has left, which is as well as ever.
    static let farewell: Scenario = { seed, mutations in
        var world = GossipWorld(4, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.run(for: .seconds(2))
        let claim = Claim(subject: world.ids[2], incarnation: 1, content: .left)
        let datagram = GossipDatagram(from: world.ids[1], body: .gossip, claims: [claim])
        world.deliver(.received(datagram, from: world.address(1)), to: world.ids[0])
        let isBelieved = world.nodes[world.ids[0]]?.machine.member(world.ids[2])?.status == .left
        world.run(for: .seconds(3))
        return isBelieved || world.nodes[world.ids[0]]?.machine.member(world.ids[2])?.status != .alive
    }

    /// Somebody else speaks in a member's name and says that a third one is dead.
    static let impostor: Scenario = { seed, mutations in
        var world = GossipWorld(4, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.run(for: .seconds(2))
        let claim = Claim(subject: world.ids[2], incarnation: 1, content: .dead(by: world.ids[1]))
        let datagram = GossipDatagram(from: world.ids[1], body: .gossip, claims: [claim])
        world.deliver(.received(datagram, from: elsewhere), to: world.ids[0])
        return world.nodes[world.ids[0]]?.machine.member(world.ids[2])?.status != .alive
    }

    static let restarts: Scenario = { seed, mutations in
        var world = GossipWorld(5, seed: seed, mutations: mutations)
        (world.lossPercent, world.duplicatePercent) = (10, 20)
        world.startAcquainted()
        for round in 0..<3 {
            world.crash(world.ids[1])
            world.run(for: .milliseconds(Int64(300 * (round + 1))))
            world.add(world.ids[1], port: UInt16(6000 + round))
            world.deliver(.join(seeds: [world.address(0)]), to: world.ids[1])
            world.run(for: .seconds(2))
        }
        return world.timeToConverge(limit: .seconds(8)) == nil || !world.violations.isEmpty
    }

    static let cutLink: Scenario = { seed, mutations in
        var world = GossipWorld(4, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.blocked = [[world.ids[0], world.ids[1]], [world.ids[1], world.ids[0]]]
        world.run(for: .seconds(6))
        return (world.nodes[world.ids[1]]?.machine.incarnation ?? 1) > 1 || !world.deaths.isEmpty
    }

    static let crowd: Scenario = { seed, mutations in
        var world = GossipWorld(30, seed: seed, mutations: mutations)
        world.joinAll(seeds: [0])
        world.run(for: .seconds(2))
        return !world.violations.isEmpty
    }

    static let death: Scenario = { seed, mutations in
        var world = GossipWorld(3, seed: seed, mutations: mutations)
        world.startAcquainted()
        world.crash(world.ids[0])
        world.run(for: .seconds(5))
        return world.deaths.count != 2
    }
}
