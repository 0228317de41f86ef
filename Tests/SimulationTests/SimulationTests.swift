import Dispatching
import Simulation
import SwarmNode
import Testing

/// Whole clusters on virtual time. A seed that fails here fails with `Scripts/simulate SEED`, step by step.
@Suite struct SimulationTests {
    static func plan(of seed: UInt64) -> WorldPlan {
        var plan = WorldPlan()
        plan.managers = [3, 3, 5, 1][Int(seed % 4)]
        plan.workers = Int(seed / 4 % 4)
        return plan
    }

    @Test(arguments: Array(1...10) + [31, 33, 38, 59])
    func `a cluster survives what its seed does to it`(seed: UInt64) {
        var world = World(seed: seed, plan: Self.plan(of: seed))
        do throws(Violation) {
            try world.run()
        } catch {
            Issue.record("seed \(seed): \(error)\n\(world.lastLines.joined(separator: "\n"))")
        }
    }

    @Test func `a seed replays exactly`() throws {
        var digests: Set<UInt64> = []
        for _ in 0..<2 {
            var world = World(seed: 6, plan: Self.plan(of: 6))
            try world.run()
            digests.insert(world.digest)
        }
        #expect(digests.count == 1)
    }
}

/// Every planted fault must be noticed by some seed; a checker that never fails proves nothing.
@Suite struct MutantTests {
    /// The violation that the first of so many seeds meets.
    private func firstViolation(seeds: Int = 24, _ change: (inout WorldPlan) -> Void) -> String? {
        for seed in 1...UInt64(seeds) {
            var plan = SimulationTests.plan(of: seed)
            change(&plan)
            var world = World(seed: seed, plan: plan)
            do throws(Violation) { try world.run() } catch { return error.text }
        }
        return nil
    }

    @Test func `assignments applied blindly, twice or out of order`() {
        #expect(firstViolation { $0.dispatchMutations = .appliesStepsBlindly }?.contains("another assignment") == true)
    }

    @Test func `a gap in the assignments that goes unnoticed`() {
        #expect(firstViolation { $0.dispatchMutations = .ignoresGaps } != nil)
    }

    @Test func `statuses of another node's tasks accepted`() {
        #expect(firstViolation { $0.dispatchMutations = .acceptsForeignStatuses }?.contains("does not run it") == true)
    }

    @Test func `a deposed leader's assignments taken`() {
        #expect(firstViolation { $0.dispatchMutations = .obeysStaleSessions } != nil)
    }

    @Test func `no grace for nodes after a change of leader`() {
        #expect(firstViolation { $0.dispatchMutations = .grantsNoGrace } != nil)
    }

    @Test func `statuses acknowledged before they are agreed`() {
        #expect(firstViolation { $0.dispatchMutations = .acknowledgesStatusesEarly } != nil)
    }

    @Test func `an address given while in use`() {
        #expect(firstViolation { $0.worldMutations = .reusesAddresses }?.contains("belongs to") == true)
    }

    @Test func `constraints that the scheduler ignores`() {
        #expect(firstViolation { $0.worldMutations = .ignoresConstraints }?.contains("against its constraint") == true)
    }

    @Test func `consensus messages that leave before the disk has them`() {
        #expect(firstViolation { $0.nodeMutations = .sendsBeforePersisting } != nil)
    }

    @Test func `a disk that forgets what it confirmed`() {
        #expect(firstViolation { $0.worldMutations = .liesAboutSyncing } != nil)
    }

    @Test func `an answer before the change is agreed`() {
        #expect(firstViolation { $0.nodeMutations = .answersBeforeAgreement }?.contains("acknowledged") == true)
    }

    @Test func `a plan of an earlier leadership put into the log`() {
        #expect(firstViolation { $0.nodeMutations = .appliesStalePlans } != nil)
    }

    @Test func `endpoints of a dead node kept`() {
        #expect(firstViolation { $0.nodeMutations = .keepsEndpointsOfTheDead }?.contains("holds for dead") == true)
    }

    @Test func `healthy tasks started anew when the leader changes`() {
        #expect(
            firstViolation { $0.nodeMutations = .restartsTasksOnLeaderChange }?.contains("healthy and wanted") == true)
    }

    @Test func `reads answered from a store that may be old`() {
        #expect(firstViolation { $0.nodeMutations = .readsWithoutAsking }?.contains("a read saw") == true)
    }

    @Test func `requests sent again although the first may have been carried out`() {
        #expect(firstViolation { $0.nodeMutations = .resendsUnansweredRequests } != nil)
    }
}
