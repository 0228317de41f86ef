import SwarmCore
import Testing

@testable import Consensus

/// Members, their disks and a network that loses, delays and reorders, all from one seed.
struct RaftWorld {
    var machines: [MemberID: RaftMachine] = [:]
    var applied: [MemberID: [Entry]] = [:]
    var disks: [MemberID: RecoveredState] = [:]
    var flying: [(at: Instant, message: RaftMessage)] = []
    var writing: [(at: Instant, member: MemberID, batch: LogBatch)] = []
    var generator: SeededGenerator
    var now = Instant.zero
    var leaders: [Term: MemberID] = [:]
    var isolated: Set<MemberID> = []
    var lossPercent: UInt64 = 5
    let members: Set<MemberID>

    init(members count: UInt64, seed: UInt64) {
        members = Set(1...count)
        generator = SeededGenerator(seed: seed)
        for id in members.sorted() {
            disks[id] = RecoveredState()
            start(id)
        }
    }

    mutating func start(_ id: MemberID) {
        machines[id] = RaftMachine(id: id, voters: members, seed: generator.next())
        applied[id] = []
        deliver(.recovered(disks[id] ?? RecoveredState()), to: id)
    }

    /// Loses the process and every write that was not yet durable.
    mutating func crash(_ id: MemberID) {
        machines[id] = nil
        writing.removeAll { $0.member == id }
    }

    mutating func deliver(_ event: RaftEvent, to id: MemberID) {
        guard let effects = machines[id]?.receive(event, at: now) else { return }
        for effect in effects {
            switch effect {
            case .send(let message): send(message)
            case .persist(let batch):
                // A disk writes in order.
                let last = writing.last { $0.member == id }?.at ?? now
                let due = max(last, now) + .microseconds(Int64(generator.next() % 3000))
                writing.append((due, id, batch))
            case .apply(let entries): applied[id, default: []] += entries.map(\.entry)
            case .leadershipChanged(let change):
                guard change.isSelf else { continue }
                #expect(leaders[change.term] == nil || leaders[change.term] == id, "one leader a term")
                leaders[change.term] = id
            case .rejected: break
            }
        }
    }

    mutating func send(_ message: RaftMessage) {
        guard generator.next() % 100 >= lossPercent else { return }
        guard !isolated.contains(message.from), !isolated.contains(message.to) else { return }
        flying.append((now + .microseconds(Int64(generator.next() % 20_000)), message))
    }

    mutating func step() -> Bool {
        var next: Instant?
        func consider(_ instant: Instant?) {
            guard let instant else { return }
            next = next.map { min($0, instant) } ?? instant
        }
        for id in members.sorted() { consider(machines[id]?.nextDeadline) }
        flying.forEach { consider($0.at) }
        writing.forEach { consider($0.at) }
        guard let next else { return false }
        now = max(now, next)
        let landed = flying.filter { $0.at <= now }
        flying.removeAll { $0.at <= now }
        let written = writing.filter { $0.at <= now }
        writing.removeAll { $0.at <= now }
        for item in written {
            persist(item.batch, on: item.member)
            for message in item.batch.sendAfter { send(message) }
            deliver(.persisted(sequence: item.batch.sequence), to: item.member)
        }
        for item in landed { deliver(.received(item.message), to: item.message.to) }
        for id in members.sorted() {
            if let deadline = machines[id]?.nextDeadline, deadline <= now { deliver(.deadlineReached, to: id) }
        }
        check()
        return true
    }

    mutating func persist(_ batch: LogBatch, on id: MemberID) {
        var disk = disks[id] ?? RecoveredState()
        if let hardState = batch.hardState { disk.hardState = hardState }
        if let index = batch.truncateFrom { disk.entries.removeAll { $0.index >= index } }
        disk.entries += batch.entries
        disks[id] = disk
    }

    /// State machine safety: what one member applied, no other applied differently.
    func check() {
        let logs = members.sorted().compactMap { applied[$0] }
        for one in logs {
            for other in logs {
                for (left, right) in zip(one, other) where left != right {
                    Issue.record("index \(left.index) differs: term \(left.term) and \(right.term)")
                }
            }
        }
    }

    mutating func run(for duration: Duration) {
        let end = now + duration
        while now < end, step() {}
    }

    var leader: MemberID? { members.sorted().first { machines[$0]?.isLeader == true } }
}

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

    @Test func `a single member that restarts applies its whole log again`() {
        var world = RaftWorld(members: 1, seed: 3)
        world.run(for: .milliseconds(50))
        for value in 0..<20 { world.deliver(.propose(payload: [UInt8(value)], ticket: UInt64(value)), to: 1) }
        world.run(for: .milliseconds(500))
        let before = world.applied[1]?.filter { $0.kind == .command }.map(\.payload)
        #expect(before?.count == 20)
        world.crash(1)
        world.start(1)
        world.run(for: .milliseconds(500))
        #expect(world.applied[1]?.filter { $0.kind == .command }.map(\.payload) == before)
    }

    @Test(arguments: 1...60)
    func `three members elect one leader, replicate, and survive losing it`(seed: Int) {
        var world = RaftWorld(members: 3, seed: UInt64(seed))
        world.run(for: .seconds(8))
        guard let first = world.leader else { Issue.record("no leader after 8 s"); return }
        for value in 0..<30 {
            world.deliver(.propose(payload: [UInt8(value)], ticket: UInt64(value)), to: first)
            world.run(for: .milliseconds(5))
        }
        world.run(for: .seconds(3))
        let acknowledged = world.applied[first]?.filter { $0.kind == .command }.map(\.payload) ?? []
        #expect(acknowledged.count == 30)
        world.crash(first)
        world.run(for: .seconds(10))
        guard let second = world.leader else { Issue.record("no leader after the first died"); return }
        #expect(second != first)
        world.deliver(.propose(payload: [99], ticket: 99), to: second)
        world.start(first)
        world.run(for: .seconds(10))
        for id in world.members.sorted() {
            let commands = world.applied[id]?.filter { $0.kind == .command }.map(\.payload) ?? []
            #expect(commands == acknowledged + [[99]], "member \(id)")
        }
    }

    @Test(arguments: 1...20)
    func `a member that was cut off does not depose the leader when it returns`(seed: Int) {
        var world = RaftWorld(members: 3, seed: UInt64(seed))
        world.lossPercent = 0
        world.run(for: .seconds(8))
        guard let leader = world.leader, let cut = world.members.sorted().first(where: { $0 != leader }) else {
            Issue.record("no leader")
            return
        }
        let term = world.machines[leader]?.hardState.term
        world.isolated = [cut]
        world.run(for: .seconds(10))
        world.isolated = []
        world.run(for: .seconds(5))
        #expect(world.leader == leader)
        #expect(world.machines[leader]?.hardState.term == term)
    }

    @Test func `a leader without a majority steps down`() {
        var world = RaftWorld(members: 3, seed: 11)
        world.run(for: .seconds(8))
        guard let leader = world.leader else { Issue.record("no leader"); return }
        world.isolated = [leader]
        world.run(for: .seconds(4))
        #expect(world.machines[leader]?.isLeader == false)
    }

    @Test func `the log forgets what a snapshot covers and keeps its terms`() {
        var log = RaftLog()
        log.append((1...10).map { Entry(term: $0 < 6 ? 1 : 2, index: $0, kind: .command, payload: [1]) })
        log.compact(upTo: 7)
        #expect(log.snapshotIndex == 7)
        #expect(log.term(at: 7) == 2)
        #expect(log.term(at: 6) == nil)
        #expect(log.lastIndex == 10)
        #expect(log.bytes == 3)
        log.truncate(from: 9)
        #expect(log.lastIndex == 8)
    }
}
