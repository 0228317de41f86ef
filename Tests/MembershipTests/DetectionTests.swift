import SwarmCore
import Testing

@testable import Membership

@Suite struct DetectionTests {
    /// Time from a crash until the first and the last survivor hold the node for dead.
    static func detection(
        _ count: Int, seeds: ClosedRange<UInt64>, loss: UInt64, configuration: MembershipConfiguration = .lan
    ) -> (first: Distribution, last: Distribution) {
        var (first, last): ([Duration], [Duration]) = ([], [])
        for seed in seeds {
            var world = GossipWorld(count, seed: seed, configuration: configuration)
            world.lossPercent = loss
            world.startAcquainted()
            world.run(for: .milliseconds(Int64(seed * 37 % 900)))
            let victim = world.ids[Int(seed) % count]
            let crashedAt = world.now
            world.crash(victim)
            world.deaths = []
            world.run(for: .seconds(12)) { $0.deaths.filter { $0.subject == victim }.count == count - 1 }
            let verdicts = world.deaths.filter { $0.subject == victim }
            #expect(verdicts.count == count - 1, "n \(count), seed \(seed): \(verdicts.count) verdicts")
            if let earliest = verdicts.first { first.append(earliest.at - crashedAt) }
            if let latest = verdicts.last { last.append(latest.at - crashedAt) }
        }
        return (Distribution(first), Distribution(last))
    }

    @Test(arguments: [(2, 20), (3, 30), (5, 40), (9, 25)])
    func `a dead node of a small cluster is declared dead by all within about 1.2 s`(count: Int, seeds: Int) {
        let (first, last) = Self.detection(count, seeds: 1...UInt64(seeds), loss: 0)
        print("detection n=\(count): first \(first); last \(last)")
        #expect(last.percentile(50) <= 1250)
        #expect(last.percentile(99) <= 1600)
        #expect(first.percentile(20) >= 950, "a pause of one second must be survivable")
    }

    @Test func `a dead node is found under 10 percent loss too`() {
        let (first, last) = Self.detection(5, seeds: 1...30, loss: 10)
        print("detection n=5, loss 10 %: first \(first); last \(last)")
        #expect(last.percentile(99) <= 2200)
    }

    @Test(arguments: [(32, 3), (128, 1)])
    func `a dead node of a larger cluster is declared dead by all within two seconds`(count: Int, seeds: Int) {
        let (first, last) = Self.detection(count, seeds: 1...UInt64(seeds), loss: 0)
        print("detection n=\(count): first \(first); last \(last)")
        #expect(last.percentile(99) <= 2500)
    }

    @Test func `the other profiles keep their promises`() {
        let local = Self.detection(5, seeds: 1...10, loss: 0, configuration: .local).last
        print("detection n=5, local: \(local)")
        #expect(local.percentile(99) <= 900)
        let wan = Self.detection(5, seeds: 1...8, loss: 5, configuration: .wan).last
        print("detection n=5, wan: \(wan)")
        #expect(wan.percentile(99) <= 8000)
    }

    @Test(arguments: [0, 10, 20, 30])
    func `nobody is falsely declared dead under loss`(loss: Int) {
        var (hours, deaths) = (Duration.zero, 0)
        for seed in 1...4 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            (world.lossPercent, world.duplicatePercent) = (UInt64(loss), 5)
            world.startAcquainted()
            world.run(for: .seconds(15))
            deaths += world.deaths.count
            hours += .seconds(15)
        }
        print("loss \(loss) %: \(deaths) false deaths in \(hours) of five nodes")
        #expect(deaths == 0)
    }

    @Test(arguments: [0, 10, 20])
    func `nobody is falsely declared dead under loss without streams`(loss: Int) {
        var deaths = 0
        for seed in 1...4 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            (world.lossPercent, world.streamsWork) = (UInt64(loss), false)
            world.startAcquainted()
            world.run(for: .seconds(12))
            deaths += world.deaths.count
        }
        #expect(deaths == 0, "loss \(loss) %")
    }

    @Test func `pauses of a second kill nobody, and a paused node accuses nobody`() {
        var (pauses, falseDeaths, byPaused) = (0, 0, 0)
        for seed in 1...20 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.lossPercent = 10
            world.startAcquainted()
            for round in 0..<4 {
                let sleeper = world.ids[(Int(seed) + round) % 5]
                let pausedAt = world.now
                world.pause(sleeper, for: .milliseconds(1000))
                world.run(for: .seconds(4))
                pauses += 1
                byPaused += world.deaths.filter { $0.observer == sleeper && $0.at > pausedAt }.count
            }
            falseDeaths += Set(world.deaths.map(\.subject)).count
        }
        print("pauses of 1 s: \(pauses), \(falseDeaths) declared dead, \(byPaused) by the paused")
        #expect(falseDeaths * 20 <= pauses, "at most one in twenty")
        #expect(byPaused == 0)
    }

    @Test func `a node that was stopped for a minute does not declare the others dead`() {
        for seed in 1...10 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.startAcquainted()
            let sleeper = world.ids[2]
            world.pause(sleeper, for: .seconds(60))
            world.run(for: .seconds(60))
            world.deaths = []
            #expect(world.timeToConverge(limit: .seconds(5)) != nil, "seed \(seed)")
            #expect(world.deaths.isEmpty, "seed \(seed)")
            #expect((world.nodes[sleeper]?.machine.statistics.ownPauses ?? 0) >= 1)
        }
    }

    @Test func `a quarter of a large cluster that stalls does not take the healthy with it`() {
        var world = GossipWorld(48, seed: 5)
        world.startAcquainted()
        let stalled = Set(world.ids.prefix(12))
        for _ in 0..<3 {
            for id in stalled.sorted() {
                let length = 200 + Int64(world.generator.next() % 1300)
                world.pause(id, for: .milliseconds(length))
            }
            world.run(for: .seconds(2))
        }
        let healthy = world.deaths.filter { !stalled.contains($0.subject) }
        print("stalls: \(healthy.count) false deaths of healthy members, \(world.deaths.count) in all")
        #expect(healthy.isEmpty)
    }

    @Test func `where every datagram is swallowed, streams keep everybody alive and still find the dead`() {
        for seed in 1...4 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.startAcquainted()
            world.lossPercent = 100
            world.run(for: .seconds(15))
            #expect(world.deaths.isEmpty, "seed \(seed)")
            let victim = world.ids[2]
            world.crash(victim)
            world.run(for: .seconds(40))
            #expect(Set(world.deaths.map(\.subject)) == [victim], "seed \(seed)")
        }
    }

    @Test func `one cut link between two members kills neither`() {
        for seed in 1...5 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.startAcquainted()
            world.blocked = [[world.ids[0], world.ids[1]], [world.ids[1], world.ids[0]]]
            world.run(for: .seconds(15))
            #expect(world.deaths.isEmpty, "seed \(seed)")
            // Deaf in one direction only.
            world.blocked = [[world.ids[0], world.ids[1]]]
            world.run(for: .seconds(15))
            #expect(world.deaths.isEmpty, "seed \(seed)")
        }
    }
}
