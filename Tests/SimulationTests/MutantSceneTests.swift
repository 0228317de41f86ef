import Simulation
import Testing

/// Planted faults that chance would seldom show: each has a scene in which it must be noticed.
@Suite struct MutantSceneTests {
    /// With what is said of it.
    static let scenes: [(Mutant, String)] = [
        (.grantsNoGrace, "although nothing is wrong with it"), (.appliesStalePlans, "belongs to"),
        (.keepsOldAddresses, "come to rest"),
    ]

    @Test(arguments: scenes)
    func `a planted fault is noticed in its scene, and nothing without it`(mutant: Mutant, words: String) {
        let found = Self.play(mutant, isPlanted: true)
        #expect(found?.text.contains(words) == true, "\(mutant): \(found?.text ?? "nothing was noticed")")
        let clean = Self.play(mutant, isPlanted: false)
        #expect(clean == nil, "the scene of \(mutant) fails without the fault: \(clean?.text ?? "")")
    }

    private static func play(_ mutant: Mutant, isPlanted: Bool) -> Violation? {
        var plan = WorldPlan()
        (plan.hasFaults, plan.hasClients) = (false, false)
        mutant.plant(in: &plan, isPlanted: isPlanted)
        var world = World(seed: 7, plan: plan)
        world.begin()
        do throws(Violation) {
            try world.advance(to: 6_000_000_000)
            try world.createService(replicas: 4)
            try world.settle()
            switch mutant {
            case .grantsNoGrace: try loseLeader(&world)
            case .appliesStalePlans: try outlivePlan(&world)
            case .keepsOldAddresses: try moveWorker(&world)
            default: Issue.record("\(mutant) has no scene")
            }
            try world.settle()
        } catch { return error }
        return nil
    }

    /// Everybody has been well for long when the leader dies: nobody else may be taken for down.
    private static func loseLeader(_ world: inout World) throws(Violation) {
        try world.advance(by: 20_000_000_000)
        guard let leader = world.leader else { return }
        world.kill(leader)
        try world.advance(by: 6_000_000_000)
        world.revive(leader)
    }

    private static func moveWorker(_ world: inout World) throws(Violation) {
        world.kill(4)
        world.move(4)
        try world.advance(by: 10_000_000_000)
        world.revive(4)
    }

    /// A leader's plan is under way when it hands over; the next one makes the same tasks; then the first leads again
    /// and gets its old plan.
    private static func outlivePlan(_ world: inout World) throws(Violation) {
        guard let first = world.leader else { return }
        world.planMilliseconds = 8000...8000
        try world.scaleService(to: 7)
        try world.advance(by: 500_000_000)
        world.planMilliseconds = 5...5
        for _ in 0..<12 {
            guard let leader = world.leader else { return }
            try world.standDown(leader)
            try world.advance(by: 500_000_000)
            if world.leader == first { break }
        }
        #expect(world.leader == first)
        try world.advance(by: 8_000_000_000)
    }
}
