import SwarmCore

@testable import Consensus

/// One seed's worth of trouble: which faults, how many members, how often.
struct RaftChaos {
    enum Fault: CaseIterable {
        case crash, restart, pause, clockJump, slowDisk, halves, isolateOne, isolateLeader, oneWay, flap, heal
        case reconfigure, transfer, crashAll, stallLeader
    }
    var members: UInt64 = 3
    var spares: UInt64 = 0
    var faults = Fault.allCases
    var rounds = 12
    var loss: UInt64?
    var snapshots = true
    var mutations: RaftMutations = []

    /// Small bounds everywhere, so that every branch is taken often.
    static func tightConfiguration(_ dice: inout SeededGenerator) -> RaftConfiguration {
        var configuration = RaftConfiguration()
        configuration.heartbeatInterval = .milliseconds(60)
        configuration.electionTimeout = .milliseconds(300)
        configuration.appendEntriesMax = 1 + Int(dice.next() % 6)
        configuration.appendBytesMax = 200
        configuration.inflightBytesMax = 200 + Int(dice.next() % 600)
        configuration.trailingEntriesMax = dice.next() % 6
        configuration.snapshotPieceBytesMax = 30 + Int(dice.next() % 100)
        configuration.catchUpEntriesMax = 3
        configuration.catchUpTimeout = .seconds(3)
        return configuration
    }

    /// Violations, whether it converged when the faults stopped, and a fingerprint of the run.
    func run(seed: UInt64) -> (violations: [String], isConverged: Bool, world: RaftWorld) {
        var dice = SeededGenerator(seed: seed &* 0x9E37_79B9)
        let configuration = Self.tightConfiguration(&dice)
        var world = RaftWorld(
            members: members, spares: spares, seed: seed, configuration: configuration, mutations: mutations)
        world.snapshotsEvery = snapshots ? 5 + dice.next() % 20 : 0
        world.lossPercent = loss ?? dice.next() % 20
        world.duplicatePercent = dice.next() % 20
        world.delayMicroseconds = 1000 + dice.next() % 40_000
        var ticket: UInt64 = 0
        for _ in 0..<rounds where world.check.violations.isEmpty {
            inject(faults[Int(dice.next() % UInt64(faults.count))], into: &world, &dice, &ticket)
            let steps = 4 + dice.next() % 12
            for _ in 0..<steps where world.check.violations.isEmpty {
                work(&world, &dice, &ticket)
                world.run(for: .milliseconds(Int64(5 + dice.next() % 60)))
            }
        }
        guard world.check.violations.isEmpty else { return (world.check.violations, false, world) }
        let isConverged = calm(&world, &ticket)
        return (world.check.violations, isConverged, world)
    }

    private func work(_ world: inout RaftWorld, _ dice: inout SeededGenerator, _ ticket: inout UInt64) {
        let anybody = world.ids[Int(dice.next() % UInt64(world.ids.count))]
        for _ in 0..<(1 + dice.next() % 3) {
            ticket += 1
            let payload = [UInt8(ticket & 255), UInt8(ticket >> 8 & 255)]
            let target = dice.next() % 4 == 0 ? anybody : world.leader ?? anybody
            world.deliver(.propose(payload: payload, ticket: ticket), to: target)
        }
        ticket += 1
        world.read(ticket, at: dice.next() % 2 == 0 ? anybody : world.leader ?? anybody)
        // Whoever believes to lead is asked too: perhaps it was deposed and has not noticed.
        for id in world.ids where world.machine(id)?.isLeader == true {
            ticket += 1
            world.read(ticket, at: id)
        }
    }

    private func inject(
        _ fault: Fault, into world: inout RaftWorld, _ dice: inout SeededGenerator, _ ticket: inout UInt64
    ) {
        let ids = world.ids
        let one = ids[Int(dice.next() % UInt64(ids.count))]
        let other = ids[Int(dice.next() % UInt64(ids.count))]
        let leader = world.leader ?? one
        switch fault {
        case .crash: world.crash(dice.next() % 2 == 0 ? leader : one)
        case .restart:
            world.crash(one)
            for id in ids { world.start(id) }
        case .crashAll:
            for id in ids { world.crash(id) }
            for id in ids { world.start(id) }
        case .pause: world.pause(dice.next() % 2 == 0 ? leader : one, for: .milliseconds(Int64(dice.next() % 2000)))
        case .clockJump: world.nodes[one]?.clockOffset += .milliseconds(Int64(dice.next() % 2000))
        case .slowDisk: world.nodes[one]?.isSlow.toggle()
        case .halves:
            world.blocked = []
            let cut = ids.shuffled(using: &dice)
            for left in cut.prefix(cut.count / 2) {
                for right in cut.dropFirst(cut.count / 2) { world.blocked.formUnion([[left, right], [right, left]]) }
            }
        case .stallLeader:
            // Others go on without it; when it wakes, what it was asked meanwhile lies before it.
            world.isolate(leader)
            world.pause(leader, for: .milliseconds(Int64(800 + dice.next() % 1500)))
        case .isolateOne: world.isolate(one)
        case .isolateLeader: world.isolate(leader)
        case .oneWay: world.blocked.insert([one, other])
        case .flap:
            for _ in 0..<4 {
                world.isolate(one)
                world.run(for: .milliseconds(Int64(dice.next() % 200)))
                world.blocked = []
                world.run(for: .milliseconds(Int64(dice.next() % 200)))
            }
        case .heal:
            world.blocked = []
            for id in ids { world.start(id) }
        case .reconfigure:
            ticket += 1
            let mixed = ids.shuffled(using: &dice)
            let voters = Set(mixed.prefix(1 + Int(dice.next() % UInt64(ids.count))))
            let learners = Set(mixed.filter { !voters.contains($0) }.prefix(Int(dice.next() % 2)))
            world.deliver(.reconfigure(voters: voters, learners: learners, ticket: ticket), to: leader)
        case .transfer: world.deliver(.transferLeadership(to: dice.next() % 2 == 0 ? nil : one), to: leader)
        }
    }

    /// All faults stop: a leader must be found, and every member must come to the same state.
    private func calm(_ world: inout RaftWorld, _ ticket: inout UInt64) -> Bool {
        world.blocked = []
        (world.lossPercent, world.duplicatePercent, world.delayMicroseconds) = (0, 0, 2000)
        for id in world.ids {
            world.nodes[id]?.isSlow = false
            world.start(id)
        }
        for _ in 0..<40 {
            world.run(for: .milliseconds(500))
            guard world.check.violations.isEmpty else { return false }
            guard let leader = world.leader, let members = world.machine(leader)?.membership.members else { continue }
            ticket += 1
            let own = ticket
            world.deliver(.propose(payload: [1, 2, 3], ticket: own), to: leader)
            world.run(for: .milliseconds(700))
            let index = world.nodes[leader]?.state.index ?? 0
            let agree = members.allSatisfy { world.nodes[$0]?.state == world.nodes[leader]?.state }
            if world.check.acknowledged.contains(own), index >= world.check.lastCommitted, agree { return true }
        }
        return false
    }
}
