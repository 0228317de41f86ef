import Dispatching
import Simulation
import SwarmNode
import Testing

/// Whole clusters on virtual time. A seed that fails here fails with `Scripts/simulate SEED`, step by step.
@Suite struct SimulationTests {
    @Test(arguments: [1, 2, 3, 5, 8, 31, 33, 37, 38, 41, 83, 98, 104] as [UInt64])
    func `a cluster survives what its seed does to it`(seed: UInt64) {
        var world = World(seed: seed, plan: WorldPlan(seed: seed))
        do throws(Violation) {
            try world.run()
        } catch {
            Issue.record("seed \(seed): \(error)\n\(world.lastLines.joined(separator: "\n"))")
        }
    }

    /// Three hundred shorter lives with everything that can happen; `Scripts/simulate --varied` plays longer ones.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `clusters survive jobs, power cuts, rings, departures and moves`(round: UInt64) {
        for seed in (1000 + round * 15)..<(1015 + round * 15) {
            var plan = WorldPlan(seed: seed)
            (plan.isVaried, plan.faultSeconds) = (true, 9)
            plan.sharesSteps = seed % 3 == 0
            var world = World(seed: seed, plan: plan)
            do throws(Violation) {
                try world.run()
            } catch {
                Issue.record("varied seed \(seed): \(error)\n\(world.lastLines.joined(separator: "\n"))")
            }
        }
    }

    /// What varied seeds have found, each named by its cause.
    static let found: [(String, UInt64)] = [
        ("tasks that had been told to stop before their node was removed were looked at by nobody", 10),
        ("of a job's failed tasks the one made last was sought by the clocks of several leaders", 600_043),
        ("a report that was overtaken on its way took back a later one", 600_258),
        ("reads waited for a member that was none any more", 600_879),
        ("a node was promoted on its way out", 702_135),
        ("the last voter but one was demoted for a member that did not vote yet, and never did", 901_325),
    ]

    @Test(arguments: SimulationTests.found)
    func `what a seed has found is found no more`(cause: String, seed: UInt64) {
        var plan = WorldPlan(seed: seed)
        plan.isVaried = true
        var world = World(seed: seed, plan: plan)
        do throws(Violation) {
            try world.run()
        } catch {
            Issue.record("varied seed \(seed), \(cause): \(error)")
        }
    }

    @Test func `a seed replays exactly`() throws {
        var digests: Set<UInt64> = []
        for _ in 0..<2 {
            var world = World(seed: 6, plan: WorldPlan(seed: 6))
            try world.run()
            digests.insert(world.digest)
        }
        #expect(digests.count == 1)
    }
}

/// Every planted fault must be noticed, and nothing be found without it; a checker that never fails proves nothing.
@Suite struct MutantTests {
    /// The seed that noticed it last time, the seconds with faults, and what it said. Other seeds are tried when the
    /// protocol has changed; `simulate --mutant NAME --all --faults 12 --settle 40 --count 80` finds better ones.
    static let seeds: [(Mutant, UInt64, Int64, String)] = [
        (.appliesStepsBlindly, 48, 12, "another assignment"), (.ignoresGaps, 43, 12, "another assignment"),
        (.acceptsForeignStatuses, 59, 12, "does not run it"), (.obeysStaleSessions, 2, 25, "was deposed"),
        (.acknowledgesStatusesEarly, 55, 12, "come to rest"), (.reusesAddresses, 51, 12, "belongs to"),
        (.ignoresConstraints, 55, 12, "against its constraint"), (.liesAboutSyncing, 1, 25, "both led"),
        (.sendsBeforePersisting, 66, 25, "a read saw"), (.answersBeforeAgreement, 19, 12, "before it was agreed"),
        (.keepsEndpointsOfTheDead, 39, 12, "holds for dead"),
        (.restartsTasksOnLeaderChange, 65, 12, "healthy and wanted"),
        (.readsWithoutAsking, 24, 12, "a read saw"), (.resendsUnansweredRequests, 48, 12, "nobody asked for last"),
        (.appliesPlansInPart, 103, 12, "slot"), (.keepsLostWrites, 5, 12, "belongs to"),
        (.answersFromSpeculation, 19, 12, "is refused"), (.votesTwice, 28, 12, "both led"),
        (.servesReadsUnconfirmed, 33, 12, "a read saw"), (.appliesBeforeCommit, 26, 12, "another state"),
        (.losesRefutations, 59, 12, "for dead"),
    ]
    static let otherSeedsMax: UInt64 = 80

    @Test(arguments: MutantTests.seeds)
    func `a planted fault is noticed, and nothing without it`(
        mutant: Mutant, first: UInt64, seconds: Int64, words: String
    ) {
        var seen: [String] = []
        for seed in [first] + (1...Self.otherSeedsMax) {
            guard let found = Self.run(seed, seconds, mutant) else { continue }
            seen.append(found.text)
            guard found.text.contains(words) else { continue }
            let clean = Self.run(seed, seconds, mutant, isPlanted: false)
            #expect(clean == nil, "seed \(seed) fails without the fault: \(clean?.text ?? "")")
            return
        }
        Issue.record("\(mutant) goes unnoticed by \(Self.otherSeedsMax) seeds: \(seen)")
    }

    private static func run(
        _ seed: UInt64, _ seconds: Int64, _ mutant: Mutant, isPlanted: Bool = true
    ) -> Violation? {
        var plan = WorldPlan(seed: seed)
        (plan.faultSeconds, plan.settleSeconds) = (seconds, 40)
        mutant.plant(in: &plan, isPlanted: isPlanted)
        var world = World(seed: seed, plan: plan)
        do throws(Violation) { try world.run() } catch { return error }
        return nil
    }
}

/// Scenes that chance would seldom play.
@Suite struct SceneTests {
    private func quiet(managers: Int = 3, workers: Int = 2) throws -> World {
        var plan = WorldPlan()
        (plan.managers, plan.workers, plan.hasFaults, plan.hasClients) = (managers, workers, false, false)
        var world = World(seed: 7, plan: plan)
        world.begin()
        try world.advance(to: 6_000_000_000)
        try world.createService(replicas: 4)
        try world.advance(by: 3_000_000_000)
        try world.settle()
        return world
    }

    @Test func `another leader within two seconds, and nothing healthy is started anew`() throws {
        var world = try quiet()
        let leader = try #require(world.leader)
        let before = world.runningContainers(except: leader)
        world.kill(leader)
        try world.advance(by: 2_500_000_000)
        #expect(world.leader != nil && world.leader != leader)
        try world.advance(by: 4_000_000_000)
        #expect(before.isSubset(of: world.runningContainers(except: leader)))
        world.revive(leader)
        try world.settle()
    }

    @Test func `what a follower has asked of a leader that dies, the next one answers`() throws {
        var world = try quiet()
        let leader = try #require(world.leader)
        let follower = try #require((0..<3).first { $0 != leader })
        let before = world.readsServed
        world.kill(leader)
        for _ in 0..<5 {
            try world.read(at: follower)
            try world.advance(by: 200_000_000)
        }
        try world.advance(by: 1_000_000_000)
        #expect(world.readsServed == before + 5)
    }

    @Test func `without managers every container goes on, and workers come back by themselves`() throws {
        var world = try quiet()
        let before = world.runningContainers(except: -1)
        for node in 0..<3 { world.kill(node) }
        try world.advance(by: 90_000_000_000)
        #expect(world.runningContainers(except: -1) == before)
        for node in 0..<3 { world.revive(node) }
        try world.settle()
        #expect(before.isSubset(of: world.runningContainers(except: -1)))
    }

    @Test func `a node that comes back without managers takes up what runs, and starts nothing`() throws {
        var world = try quiet()
        let before = world.runningContainers(except: -1)
        for node in 0..<5 { world.kill(node) }
        for node in 3..<5 { world.revive(node) }
        try world.advance(by: 20_000_000_000)
        #expect(world.runningContainers(except: -1) == before)
        for node in 3..<5 { #expect(world.adoptedContainers(of: node) == world.runningContainers(of: node)) }
        #expect(!world.adoptedContainers(of: 3).union(world.adoptedContainers(of: 4)).isEmpty)
        for node in 0..<3 { world.revive(node) }
        try world.settle()
        #expect(before.isSubset(of: world.runningContainers(except: -1)))
    }

    @Test func `a node that was removed while it was away learns so as soon as it is back`() throws {
        var world = try quiet()
        world.kill(4)
        try world.advance(by: 5_000_000_000)
        try world.removeNode(4)
        try world.advance(by: 60_000_000_000)
        world.revive(4)
        try world.advance(by: 6_000_000_000)
        #expect(world.knowsOfItsRemoval(4))
        #expect(world.runningContainers(of: 4).isEmpty)
        try world.settle()
    }

    @Test func `one manager makes the cluster anew by force, and the others come back as workers`() throws {
        var world = try quiet()
        let before = world.runningContainers(except: -1)
        for node in 0..<3 { world.kill(node) }
        world.forceNewCluster(2)
        try world.advance(by: 5_000_000_000)
        #expect(world.leader == 2)
        #expect(before.isSubset(of: world.runningContainers(except: -1)))
        world.revive(0)
        world.revive(1)
        try world.settle()
    }
}
