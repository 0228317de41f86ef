import SwarmCore
import Testing

@testable import Consensus

@Suite struct RaftChaosTests {
    @Test(arguments: 1...70)
    func `three members stay one whatever fails, and converge when it stops`(seed: Int) {
        let chaos = RaftChaos(members: 3)
        let run = chaos.run(seed: UInt64(seed))
        #expect(run.violations == [], "seed \(seed)")
        #expect(run.isConverged, "seed \(seed)")
    }

    @Test(arguments: 1...40)
    func `five members and two spares stay one while members change`(seed: Int) {
        var chaos = RaftChaos(members: 5, spares: 2)
        chaos.faults += [.reconfigure, .reconfigure, .reconfigure, .heal, .heal]
        chaos.rounds = 10
        let run = chaos.run(seed: UInt64(seed + 1000))
        #expect(run.violations == [], "seed \(seed)")
        #expect(run.isConverged, "seed \(seed)")
    }

    @Test func `a seed replays exactly`() {
        let (one, other) = (RaftChaos(members: 3, spares: 1).run(seed: 9), RaftChaos(members: 3, spares: 1).run(seed: 9))
        #expect(one.world.messages == other.world.messages && one.world.now == other.world.now)
        #expect(one.world.nodes[1]?.state == other.world.nodes[1]?.state)
    }
}
