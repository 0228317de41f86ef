import SwarmCore
import Testing

@testable import Membership

@Suite struct ConvergenceTests {
    @Test(arguments: [2, 5, 9, 25])
    func `members that know one seed find one another within two seconds`(count: Int) {
        for seed in 1...5 as ClosedRange<UInt64> {
            var world = GossipWorld(count, seed: seed)
            world.lossPercent = 10
            world.joinAll(seeds: [0])
            #expect(world.timeToConverge(limit: .seconds(2)) != nil, "seed \(seed)")
            #expect(world.deaths.isEmpty)
        }
    }

    @Test func `a seed that comes up later is found`() {
        var world = GossipWorld(3, seed: 4)
        world.crash(world.ids[0])
        world.joinAll(seeds: [0])
        world.run(for: .seconds(5))
        world.nodes[world.ids[0]]?.isRunning = true
        world.deliver(.join(seeds: []), to: world.ids[0])
        #expect(world.timeToConverge(limit: .seconds(4)) != nil)
    }

    @Test(arguments: [(3, 1, 30), (5, 2, 30), (9, 4, 10)])
    func `a cluster split in halves heals in seconds and buries nobody again`(count: Int, left: Int, seeds: Int) {
        var times: [Duration] = []
        var falseDeaths = 0
        for seed in 1...UInt64(seeds) {
            var world = GossipWorld(count, seed: seed)
            world.lossPercent = 5
            world.startAcquainted()
            world.split(Array(world.ids.prefix(left)), Array(world.ids.dropFirst(left)))
            world.run(for: .seconds(10))
            #expect(world.deaths.count >= left * (count - left) * 2)
            world.blocked = []
            world.deaths = []
            guard let time = world.timeToConverge(limit: .seconds(15)) else {
                Issue.record("n \(count), seed \(seed) did not heal")
                continue
            }
            times.append(time)
            falseDeaths += world.deaths.count
        }
        let distribution = Distribution(times)
        print("heal n=\(count): \(distribution), \(falseDeaths) deaths after healing")
        #expect(distribution.percentile(99) <= 6000)
        #expect(falseDeaths == 0)
    }

    @Test func `a cluster that was shattered for minutes heals in seconds`() {
        for seed in 1...3 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.startAcquainted()
            for id in world.ids { world.split([id], world.ids.filter { $0 != id }) }
            world.run(for: .seconds(120))
            world.blocked = []
            #expect(world.timeToConverge(limit: .seconds(10)) != nil, "seed \(seed)")
        }
    }

    @Test func `managers that were all down come back on other addresses`() {
        for seed in 1...5 as ClosedRange<UInt64> {
            var world = GossipWorld(6, seed: seed)
            world.startAcquainted()
            let managers = Array(world.ids.prefix(3))
            let workers = (3..<6).map(world.address)
            for manager in managers { world.crash(manager) }
            world.run(for: .seconds(90))
            for (offset, manager) in managers.enumerated() {
                world.add(manager, port: UInt16(5000 + offset))
                world.deliver(.join(seeds: workers), to: manager)
            }
            #expect(world.timeToConverge(limit: .seconds(6)) != nil, "seed \(seed)")
            #expect(world.nodes[world.ids[5]]?.machine.member(managers[0])?.contact.address.port == 5000)
        }
    }

    @Test func `a node that restarts at once on another address replaces its old self`() {
        for seed in 1...8 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.startAcquainted()
            let node = world.ids[1]
            for round in 0..<3 {
                world.crash(node)
                world.run(for: .milliseconds(Int64(seed * 100)))
                world.add(node, port: UInt16(6000 + round))
                world.deliver(.join(seeds: [world.address(0)]), to: node)
                #expect(world.timeToConverge(limit: .seconds(8)) != nil, "seed \(seed), round \(round)")
            }
        }
    }

    @Test func `a node that flaps ends alive, and the others stay so`() {
        for seed in 1...10 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.lossPercent = 5
            world.startAcquainted()
            let flapper = world.ids[3]
            for round in 0..<8 {
                world.split([flapper], world.ids.filter { $0 != flapper })
                world.run(for: .milliseconds(Int64(300 + round * 400)))
                world.blocked = []
                world.run(for: .milliseconds(Int64(200 + seed * 50)))
            }
            #expect(world.timeToConverge(limit: .seconds(8)) != nil, "seed \(seed)")
            let bystanders = world.deaths.filter { $0.subject != flapper && $0.observer != flapper }
            #expect(bystanders.isEmpty, "seed \(seed)")
        }
    }

    @Test func `who leaves is known to have left and is neither suspected nor declared dead`() {
        for seed in 1...10 as ClosedRange<UInt64> {
            var world = GossipWorld(5, seed: seed)
            world.keepsEffects = true
            world.lossPercent = 10
            world.startAcquainted()
            let leaver = world.ids[4]
            world.deliver(.leave, to: leaver)
            world.run(for: .seconds(2))
            #expect(world.effects.contains { $0.observer == leaver && $0.effect == .leftCluster })
            world.crash(leaver)
            world.run(for: .seconds(5))
            #expect(world.deaths.isEmpty)
            for id in world.ids.dropLast() {
                #expect(world.nodes[id]?.machine.member(leaver)?.status == .left, "seed \(seed), \(id)")
            }
            world.nodes[leaver]?.isRunning = true
            world.deliver(.join(seeds: [world.address(0)]), to: leaver)
            #expect(world.timeToConverge(limit: .seconds(3)) != nil, "seed \(seed): rejoin")
        }
    }

    @Test func `changed metadata reaches everybody`() {
        var world = GossipWorld(9, seed: 3)
        world.lossPercent = 20
        world.startAcquainted()
        let id = world.ids[0]
        let metadata = MemberMetadata(role: .manager, addresses: ["198.18.0.9:2377"], version: "2.0")
        world.deliver(.contactChanged(Contact(address: world.address(0), metadata: metadata)), to: id)
        world.run(for: .seconds(2))
        for other in world.ids.dropFirst() {
            #expect(world.nodes[other]?.machine.member(id)?.contact.metadata == metadata)
        }
    }

    @Test(arguments: 1...40)
    func `whatever happens, the views agree once it stops`(seed: Int) {
        let trace = Self.chaos(seed: UInt64(seed))
        #expect(trace.isConverged, "seed \(seed)")
    }

    @Test func `a seed replays to the same effects`() {
        #expect(Self.chaos(seed: 77).trace == Self.chaos(seed: 77).trace)
    }

    /// Random crashes, restarts elsewhere, pauses, splits and one-way cuts, loss, duplication and reordering.
    static func chaos(seed: UInt64) -> (isConverged: Bool, trace: Int) {
        var dice = SeededGenerator(seed: seed &* 7919)
        var world = GossipWorld(3 + Int(dice.next() % 4), seed: seed)
        (world.lossPercent, world.duplicatePercent) = (dice.next() % 31, dice.next() % 31)
        world.delayMicroseconds = 100...Int64(1000 + dice.next() % 40_000)
        world.joinAll(seeds: [0, 1])
        for _ in 0..<8 {
            let id = world.ids[Int(dice.next() % UInt64(world.ids.count))]
            switch dice.next() % 6 {
            case 0: world.crash(id)
            case 1:
                world.crash(id)
                world.add(id, port: UInt16(10_000 + dice.next() % 20_000))
                world.deliver(.join(seeds: world.ids.indices.map(world.address)), to: id)
            case 2: world.pause(id, for: .milliseconds(Int64(dice.next() % 4000)))
            case 3: world.split([id], world.ids.filter { $0 != id })
            case 4: world.blocked.insert([id, world.ids[Int(dice.next() % UInt64(world.ids.count))]])
            default: world.blocked = []
            }
            world.run(for: .milliseconds(Int64(dice.next() % 2500)))
        }
        world.blocked = []
        world.lossPercent = 0
        for id in world.ids where world.nodes[id]?.isRunning == false {
            world.add(id, port: UInt16(40_000 + dice.next() % 20_000))
            world.deliver(.join(seeds: world.ids.indices.map(world.address)), to: id)
        }
        let time = world.timeToConverge(limit: .seconds(20))
        return (time != nil, world.sent)
    }
}
