import SwarmCore
import Testing

@testable import Consensus

@Suite struct RaftMachineTests {
    @Test func `a single member leads at once but commits only what is durable`() {
        var machine = RaftMachine(id: 1, voters: [1], seed: 1)
        let first = machine.receive(.recovered(RecoveredState()), at: .zero)
        #expect(machine.isLeader)
        #expect(machine.nextDeadline == nil)
        let batches = first.compactMap { if case .persist(let batch) = $0 { batch } else { nil } }
        #expect(batches.first?.hardState == HardState(term: 1, vote: 1))
        let proposed = machine.receive(.propose(payload: [7], ticket: 9), at: .zero)
        #expect(!proposed.contains { if case .apply = $0 { true } else { false } })
        guard case .persist(let batch)? = proposed.first else { Issue.record("nothing was persisted"); return }
        for written in batches { _ = machine.receive(.persisted(sequence: written.sequence), at: .zero) }
        let effects = machine.receive(.persisted(sequence: batch.sequence), at: .zero)
        guard case .apply(let entries)? = effects.first else { Issue.record("nothing was applied"); return }
        #expect(entries.map(\.ticket) == [9])
        #expect(entries.first?.entry.payload == [7])
    }

    @Test func `a leader that restarts before its own removal is agreed on stands for election again`() {
        func change(_ index: LogIndex, _ configuration: ClusterConfiguration) -> Entry {
            Entry(term: 1, index: index, kind: .configuration, payload: configuration.encoded())
        }
        var state = RecoveredState()
        state.hardState = HardState(term: 1, vote: 1)
        state.configuration = ClusterConfiguration(voters: [1, 2])
        state.entries = [
            change(1, ClusterConfiguration(voters: [2], outgoing: [1, 2])), change(2, ClusterConfiguration(voters: [2])),
        ]
        var machine = RaftMachine(id: 1, voters: [1, 2], seed: 1)
        _ = machine.receive(.recovered(state), at: .zero)
        // Member 2 has the joint configuration only: without the vote of 1 it cannot win, and 1 knows more than it.
        guard let due = machine.nextDeadline else { Issue.record("it waits for ever"); return }
        let asked = machine.receive(.deadlineReached, at: due)
        #expect(
            asked.contains {
                guard case .send(let message) = $0, case .requestVote = message.body else { return false }
                return message.to == 2
            })
    }

    @Test func `a single member that restarts applies its whole log again`() {
        var world = RaftWorld(members: 1, seed: 3)
        world.run(for: .milliseconds(50))
        for value in 0..<20 { world.deliver(.propose(payload: [UInt8(value)], ticket: UInt64(value)), to: 1) }
        world.run(for: .milliseconds(500))
        let before = world.commands(1)
        #expect(before.count == 20)
        world.crash(1)
        world.start(1)
        world.run(for: .milliseconds(500))
        #expect(world.commands(1) == before)
    }

    @Test(arguments: 1...20)
    func `three members elect one leader, replicate, and survive losing it`(seed: Int) {
        var world = RaftWorld(members: 3, seed: UInt64(seed))
        (world.lossPercent, world.delayMicroseconds) = (5, 20_000)
        world.run(for: .seconds(8))
        guard let first = world.leader else { Issue.record("no leader after 8 s"); return }
        for value in 0..<30 {
            world.deliver(.propose(payload: [UInt8(value)], ticket: UInt64(value)), to: first)
            world.run(for: .milliseconds(5))
        }
        world.run(for: .seconds(3))
        let acknowledged = world.commands(first)
        #expect(acknowledged.count == 30)
        world.crash(first)
        world.run(for: .seconds(10))
        guard let second = world.leader else { Issue.record("no leader after the first died"); return }
        #expect(second != first)
        world.deliver(.propose(payload: [99], ticket: 99), to: second)
        world.start(first)
        world.run(for: .seconds(10))
        for id in world.ids { #expect(world.commands(id) == acknowledged + [[99]], "member \(id)") }
        #expect(world.check.violations == [])
    }

    @Test(arguments: 1...10)
    func `a member that was cut off does not depose the leader when it returns`(seed: Int) {
        var world = RaftWorld(members: 3, seed: UInt64(seed))
        world.run(for: .seconds(8))
        guard let leader = world.leader, let cut = world.ids.first(where: { $0 != leader }) else {
            Issue.record("no leader")
            return
        }
        let term = world.machine(leader)?.hardState.term
        world.isolate(cut)
        world.run(for: .seconds(10))
        world.blocked = []
        world.run(for: .seconds(5))
        #expect(world.leader == leader)
        #expect(world.machine(leader)?.hardState.term == term)
    }

    @Test func `a leader without a majority steps down`() {
        var world = RaftWorld(members: 3, seed: 11)
        world.run(for: .seconds(8))
        guard let leader = world.leader else { Issue.record("no leader"); return }
        world.isolate(leader)
        world.run(for: .seconds(4))
        #expect(world.machine(leader)?.isLeader == false)
    }

    @Test func `the log forgets what a snapshot covers and keeps its terms`() {
        var log = RaftLog()
        log.append((1...10).map { Entry(term: $0 < 6 ? 1 : 2, index: $0, kind: .command, payload: [1]) })
        log.compact(upTo: 7)
        #expect(log.snapshotIndex == 7)
        #expect(log.term(at: 7) == 2)
        #expect(log.term(at: 6) == nil)
        #expect(log.lastIndex == 10)
        #expect(log.bytes == 3 * (1 + RaftLog.entryOverheadBytes))
        log.truncate(from: 9)
        #expect(log.lastIndex == 8)
    }
}
