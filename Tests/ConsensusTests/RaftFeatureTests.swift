import SwarmCore
import Testing

@testable import Consensus

@Suite struct RaftFeatureTests {
    static func led(_ members: UInt64 = 3, spares: UInt64 = 0, seed: UInt64 = 3, configuration: RaftConfiguration = .init())
        throws -> (world: RaftWorld, leader: MemberID)
    {
        var world = RaftWorld(members: members, spares: spares, seed: seed, configuration: configuration)
        world.run(for: .seconds(6))
        return (world, try #require(world.leader))
    }

    // MARK: Reads

    @Test func `any member serves a linearizable read`() throws {
        var (world, leader) = try Self.led()
        world.deliver(.propose(payload: [1], ticket: 1), to: leader)
        world.run(for: .milliseconds(50))
        for id in world.ids { world.read(100 + id, at: id) }
        world.run(for: .milliseconds(500))
        #expect(world.check.servedReads == 3)
        #expect(world.check.violations == [])
    }

    @Test func `many reads share a round of heartbeats`() throws {
        var (world, leader) = try Self.led()
        let before = world.messages
        for ticket in 1...500 as ClosedRange<UInt64> { world.read(ticket, at: leader) }
        world.run(for: .milliseconds(80))
        #expect(world.check.servedReads == 500)
        #expect(world.messages - before < 20)
    }

    @Test func `a read that waited for a member is served although the member leaves meanwhile`() throws {
        // The simulator's seed 600879: whoever was asked was no member any more, and no later read was answered.
        for delay in 0...20 as ClosedRange<Int64> {
            var (world, leader) = try Self.led(2)
            let other = try #require(world.ids.first { $0 != leader })
            // The other one has acknowledged its departure before the leader itself has it on disk.
            world.nodes[leader]?.isSlow = true
            world.deliver(.reconfigure(voters: [leader], learners: [], ticket: 1), to: leader)
            world.run(for: .milliseconds(delay))
            world.blocked = [[leader, other]]
            world.read(10, at: leader)
            world.run(for: .milliseconds(200))
            world.blocked = []
            world.run(for: .seconds(1))
            #expect(world.check.servedReads == 1, "\(delay) ms after the change began")
        }
    }

    @Test func `a leader that was paused serves no stale read and a cut off one none at all`() throws {
        for seed in 1...10 as ClosedRange<UInt64> {
            var (world, old) = try Self.led(seed: seed)
            world.isolate(old)
            world.pause(old, for: .seconds(5))
            world.run(for: .seconds(4))
            let new = try #require(world.ids.first { $0 != old && world.machine($0)?.isLeader == true })
            world.deliver(.propose(payload: [7], ticket: 1), to: new)
            world.run(for: .milliseconds(200))
            #expect(world.check.acknowledged.contains(1))
            for ticket in 10...30 as ClosedRange<UInt64> { world.read(ticket, at: old) }
            world.run(for: .seconds(4))
            #expect(world.check.servedReads == 0 && world.check.violations == [])
            #expect(world.rejections[10] != nil, "whoever waits is told")
        }
    }

    @Test func `a read that a lost leader was asked is rejected when another one is sought, not after its patience`() throws {
        var (world, leader) = try Self.led()
        let follower = try #require(world.ids.first { $0 != leader })
        world.isolate(leader)
        world.run(for: .milliseconds(300))
        world.read(9000, at: follower)
        world.run(for: .milliseconds(1600))
        #expect(world.rejections[9000] == .notLeader(hint: nil))
        #expect(world.check.violations == [])
    }

    @Test func `reads beyond the bound are refused, and a follower without a leader says so`() throws {
        var (world, leader) = try Self.led()
        let follower = try #require(world.ids.first { $0 != leader })
        world.isolate(leader)
        for ticket in 1...5000 as ClosedRange<UInt64> { world.read(ticket, at: leader) }
        #expect(world.rejections.values.filter { $0 == .busy }.count == 5000 - RaftConfiguration().readsMax)
        world.run(for: .milliseconds(1500))
        world.blocked = []
        world.isolate(follower)
        world.run(for: .seconds(5))
        world.read(9000, at: follower)
        #expect(world.rejections[9000] == .notLeader(hint: nil))
    }

    // MARK: Transfer

    @Test(arguments: 1...10)
    func `leadership is handed over at once and nothing acknowledged is lost`(seed: Int) throws {
        var (world, leader) = try Self.led(5, seed: UInt64(seed))
        for ticket in 1...20 as ClosedRange<UInt64> {
            world.deliver(.propose(payload: [UInt8(ticket)], ticket: ticket), to: leader)
        }
        let target = try #require(world.ids.last { $0 != leader })
        let start = world.now
        world.deliver(.transferLeadership(to: target), to: leader)
        world.deliver(.propose(payload: [99], ticket: 99), to: leader)
        #expect(world.rejections[99] == .busy)
        world.run(for: .seconds(2)) { $0.machine(target)?.isLeader == true }
        #expect(world.now - start < .milliseconds(200), "well within an election time-out")
        world.run(for: .seconds(1))
        #expect(world.check.violations == [] && world.machine(target)?.isLeader == true)
        #expect(world.commands(target).count == 20)
    }

    @Test func `a transfer to a dead member is given up`() throws {
        var (world, leader) = try Self.led()
        let dead = try #require(world.ids.first { $0 != leader })
        world.crash(dead)
        world.deliver(.transferLeadership(to: dead), to: leader)
        world.run(for: .seconds(2))
        world.deliver(.propose(payload: [1], ticket: 1), to: leader)
        world.run(for: .milliseconds(200))
        #expect(world.check.acknowledged.contains(1))
    }

    // MARK: Members

    @Test(arguments: 1...8)
    func `one member grows to three, each caught up before it votes`(seed: Int) throws {
        var (world, leader) = try Self.led(1, spares: 2, seed: UInt64(seed))
        for ticket in 1...100 as ClosedRange<UInt64> {
            world.deliver(.propose(payload: [UInt8(ticket)], ticket: ticket), to: leader)
        }
        world.run(for: .milliseconds(100))
        world.deliver(.reconfigure(voters: [1, 2, 3], learners: [], ticket: 500), to: leader)
        world.deliver(.reconfigure(voters: [1, 2], learners: [], ticket: 501), to: leader)
        #expect(world.rejections[501] == .changeInProgress)
        world.run(for: .seconds(2))
        #expect(world.check.acknowledged.contains(500) && world.check.violations == [])
        for id in world.ids { #expect(world.machine(id)?.membership == ClusterConfiguration(voters: [1, 2, 3])) }
        world.crash(leader)
        world.run(for: .seconds(5))
        let next = try #require(world.leader)
        #expect(world.commands(next).count == 100)
    }

    @Test func `a member that cannot catch up never votes`() throws {
        var configuration = RaftConfiguration()
        configuration.catchUpTimeout = .seconds(2)
        var (world, leader) = try Self.led(3, spares: 1, configuration: configuration)
        world.crash(4)
        world.deliver(.reconfigure(voters: [1, 2, 3, 4], learners: [], ticket: 1), to: leader)
        world.run(for: .seconds(3))
        #expect(world.rejections[1] == .catchUpTimedOut)
        #expect(world.machine(leader)?.membership == ClusterConfiguration(voters: [1, 2, 3], learners: [4]))
        world.deliver(.reconfigure(voters: [1, 2, 3], learners: [], ticket: 2), to: leader)
        world.run(for: .seconds(1))
        #expect(world.check.acknowledged.contains(2))
    }

    @Test func `a leader that removes itself hands over, and the removed disturbs nobody`() throws {
        var (world, leader) = try Self.led(4)
        let rest = Set(world.ids.filter { $0 != leader })
        world.deliver(.reconfigure(voters: rest, learners: [], ticket: 1), to: leader)
        world.run(for: .seconds(3))
        let next = try #require(world.ids.first { $0 != leader && world.machine($0)?.isLeader == true })
        #expect(world.machine(next)?.membership == ClusterConfiguration(voters: rest))
        let term = world.machine(next)?.hardState.term
        world.run(for: .seconds(20))
        #expect(world.machine(next)?.isLeader == true && world.machine(next)?.hardState.term == term)
        #expect(world.check.violations == [])
    }

    @Test func `impossible configurations are refused`() throws {
        var (world, leader) = try Self.led()
        let follower = try #require(world.ids.first { $0 != leader })
        world.deliver(.reconfigure(voters: [], learners: [], ticket: 1), to: leader)
        world.deliver(.reconfigure(voters: Set(1...10), learners: [], ticket: 2), to: leader)
        world.deliver(.reconfigure(voters: [1, 2], learners: [2], ticket: 3), to: leader)
        world.deliver(.reconfigure(voters: [1, 2], learners: [], ticket: 4), to: follower)
        for ticket in 1...3 as ClosedRange<UInt64> { #expect(world.rejections[ticket] == .invalidConfiguration) }
        #expect(world.rejections[4] == .notLeader(hint: leader))
    }

    @Test func `a configuration survives its encoding, and no damaged one is taken for another`() {
        let configuration = ClusterConfiguration(voters: [1, .max, 77], outgoing: [1, 2], learners: [9])
        let bytes = configuration.encoded()
        #expect(ClusterConfiguration(encoded: bytes) == configuration)
        for length in bytes.indices { #expect(ClusterConfiguration(encoded: Array(bytes.prefix(length))) == nil) }
        #expect(ClusterConfiguration(encoded: bytes + [0]) == nil)
        #expect(ClusterConfiguration(encoded: ClusterConfiguration().encoded()) == nil)
    }

    @Test func `one survivor of three becomes a cluster of its own and keeps what was acknowledged`() throws {
        var (world, leader) = try Self.led()
        for ticket in 1...20 as ClosedRange<UInt64> {
            world.deliver(.propose(payload: [UInt8(ticket)], ticket: ticket), to: leader)
        }
        world.run(for: .seconds(1))
        for id in world.ids { world.crash(id) }
        let survivor = try #require(world.ids.first { $0 != leader })
        var state = try #require(world.nodes[survivor]?.disk)
        let last = state.entries.last?.index ?? 0
        let batch = state.forceNewCluster(of: survivor)
        #expect(batch.entries.map(\.index) == [last + 1] && state.entries.last == batch.entries.first)
        world.nodes[survivor]?.disk = state
        world.start(survivor)
        world.run(for: .milliseconds(100))
        #expect(world.machine(survivor)?.isLeader == true)
        #expect(world.machine(survivor)?.membership == ClusterConfiguration(voters: [survivor]))
        #expect(world.commands(survivor).count == 20)
        world.deliver(.propose(payload: [1], ticket: 100), to: survivor)
        world.run(for: .milliseconds(100))
        #expect(world.check.acknowledged.contains(100) && world.check.violations == [])
    }

    // MARK: Snapshots

    @Test(arguments: 1...10)
    func `a snapshot in pieces goes on after lost pieces, a crash and a new leader`(seed: Int) throws {
        var configuration = RaftConfiguration()
        configuration.snapshotPieceBytesMax = 10
        configuration.trailingEntriesMax = 0
        var (world, leader) = try Self.led(3, seed: UInt64(seed), configuration: configuration)
        world.snapshotsEvery = 10
        let late = try #require(world.ids.first { $0 != leader })
        world.crash(late)
        for ticket in 1...60 as ClosedRange<UInt64> {
            world.deliver(.propose(payload: [UInt8(ticket)], ticket: ticket), to: leader)
            world.run(for: .milliseconds(5))
        }
        #expect((world.machine(leader)?.log.snapshotIndex ?? 0) >= 50)
        world.lossPercent = 20
        world.start(late)
        world.run(for: .seconds(20)) { ($0.machine(late)?.staging?.bytes.count ?? 0) > 60 }
        #expect(world.machine(late)?.staging != nil)
        world.crash(late)
        world.start(late)
        world.run(for: .seconds(20)) { ($0.machine(late)?.staging?.bytes.count ?? 0) > 60 }
        if let present = world.leader { world.deliver(.transferLeadership(to: nil), to: present) }
        world.run(for: .seconds(30)) { $0.nodes[late]?.state.index ?? 0 >= 60 }
        world.lossPercent = 0
        world.run(for: .seconds(5))
        #expect(world.nodes[late]?.state == world.nodes[leader]?.state && world.installs >= 1)
        #expect(world.check.violations == [])
    }

    // MARK: Windows and bounds

    @Test func `a follower that does not answer holds no more than its window`() throws {
        var configuration = RaftConfiguration()
        configuration.inflightBytesMax = 10_000
        configuration.inflightMessagesMax = 100
        configuration.appendBytesMax = 2000
        var (world, leader) = try Self.led(configuration: configuration)
        world.deliver(.propose(payload: [1], ticket: 1), to: leader)
        world.run(for: .milliseconds(300))
        let deaf = try #require(world.ids.first { $0 != leader })
        world.blocked = [[deaf, leader]]
        for ticket in 2...300 as ClosedRange<UInt64> {
            world.deliver(.propose(payload: Array(repeating: 1, count: 500), ticket: ticket), to: leader)
        }
        let bytes = world.machine(leader)?.progress[deaf]?.inflight.bytes ?? 0
        #expect(bytes >= 10_000 && bytes <= 12_000)
        world.run(for: .milliseconds(500))
        #expect(world.check.acknowledged.count >= 300, "the others go on")
        world.blocked = []
        world.run(for: .seconds(1))
        #expect(world.nodes[deaf]?.state == world.nodes[leader]?.state)
    }

    @Test func `proposals that pile up travel together`() throws {
        var (world, leader) = try Self.led()
        world.deliver(.propose(payload: [1], ticket: 1), to: leader)
        world.run(for: .milliseconds(300))
        let before = world.messages
        for ticket in 2...2000 as ClosedRange<UInt64> { world.deliver(.propose(payload: [1], ticket: ticket), to: leader) }
        world.run(for: .milliseconds(300))
        #expect(world.check.acknowledged.count == 2000)
        #expect(world.messages - before < 800, "\(world.messages - before) messages")
    }

    @Test func `a full log refuses proposals until it is cut`() throws {
        var configuration = RaftConfiguration()
        configuration.logBytesMax = 5000
        configuration.trailingEntriesMax = 0
        var (world, leader) = try Self.led(configuration: configuration)
        for ticket in 1...100 as ClosedRange<UInt64> {
            world.deliver(.propose(payload: Array(repeating: 0, count: 100), ticket: ticket), to: leader)
            world.run(for: .milliseconds(2))
        }
        #expect(world.rejections[100] == .logFull)
        world.snapshotsEvery = 1
        world.run(for: .milliseconds(200))
        let index = world.nodes[leader]?.state.index ?? 0
        world.deliver(.compacted(upTo: index), to: leader)
        world.deliver(.propose(payload: [1], ticket: 200), to: leader)
        world.run(for: .milliseconds(200))
        #expect(world.check.acknowledged.contains(200))
    }

    @Test func `heartbeats cost no write`() throws {
        var (world, leader) = try Self.led()
        world.run(for: .seconds(1))
        let sequences = world.ids.map { world.machine($0)?.nextSequence }
        world.run(for: .seconds(5))
        #expect(world.ids.map { world.machine($0)?.nextSequence } == sequences)
        #expect(world.leader == leader)
    }

    @Test func `malformed messages change nothing`() throws {
        var (world, leader) = try Self.led()
        let follower = try #require(world.ids.first { $0 != leader })
        let term = try #require(world.machine(leader)?.hardState.term)
        let before = world.machine(follower)?.log
        func entry(_ index: LogIndex, _ kind: Entry.Kind = .command, term: Term = 1) -> Entry {
            Entry(term: term, index: index, kind: kind, payload: [9])
        }
        let last = try #require(before?.lastIndex)
        let lastTerm = try #require(before?.lastTerm)
        let bodies: [[Entry]] = [
            [entry(last + 2)], [entry(last + 1), entry(last + 3)], [entry(last + 1, .configuration)],
            [entry(last + 1, term: term + 5)],
        ]
        for entries in bodies {
            let body = RaftMessage.Body.append(
                previousIndex: last, previousTerm: lastTerm, entries: entries, commit: last, round: 0)
            world.deliver(.received(RaftMessage(from: leader, to: follower, term: term, body: body)), to: follower)
        }
        // What is committed cannot be rewritten.
        let rewrite = RaftMessage.Body.append(
            previousIndex: 0, previousTerm: 0, entries: [entry(1, term: 0)], commit: 1, round: 0)
        world.deliver(.received(RaftMessage(from: leader, to: follower, term: term, body: rewrite)), to: follower)
        let piece = SnapshotPiece(
            index: 900, term: term, configuration: ClusterConfiguration(voters: [1]), checksum: 1, size: .max,
            offset: -5, bytes: [1], round: 0)
        world.deliver(
            .received(RaftMessage(from: leader, to: follower, term: term, body: .snapshotPiece(piece))), to: follower)
        let boast = RaftMessage.Body.appended(success: true, matched: 1 << 40, round: .max)
        world.deliver(.received(RaftMessage(from: follower, to: leader, term: term, body: boast)), to: leader)
        #expect(world.machine(follower)?.log == before)
        #expect(world.machine(leader)?.commitIndex == last)
    }
}
