import ClusterSecurity
import Consensus
import Glibc
import SwarmCore
import Testing

@testable import Persistence

@Suite struct SQLiteLogStorageTests {
    @Test func `an empty store recovers to nothing`() throws {
        let scratch = Scratch()
        #expect(try SQLiteLogStorage(path: scratch.database).recover() == RecoveredState())
    }

    @Test func `what was persisted is recovered, truncations included`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Batches.batch(1, Batches.entries(1...5), term: 1))
        try storage.persist(Batches.batch(2, [Batches.entry(4, term: 2)], term: 2, truncate: 4))
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state.hardState == HardState(term: 2, vote: 1))
        #expect(state.entries == Batches.entries(1...3) + [Batches.entry(4, term: 2)])
    }

    @Test func `a snapshot replaces the entries that it covers and keeps who the members were`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        let members = ClusterConfiguration(voters: [7, 8], outgoing: [7], learners: [9])
        try storage.persist(Batches.batch(1, Batches.entries(1...9), term: 1))
        #expect(try storage.saveSnapshot(index: 6, term: 1, configuration: members, image: [1, 2, 3]))
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state.snapshotIndex == 6)
        #expect(state.snapshot == [1, 2, 3])
        #expect(state.configuration == members)
        #expect(state.entries.map(\.index) == [7, 8, 9])
        #expect(try !storage.saveSnapshot(index: 6, term: 1, configuration: nil, image: [4]))
        #expect(try storage.recover() == state)
    }

    @Test func `a snapshot from the leader comes before what its batch truncates and appends`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Batches.batch(1, Batches.entries(1...9), term: 1))
        var kept = Batches.batch(2, [])
        kept.snapshot = Batches.snapshot(5)
        try storage.persist(kept)
        #expect(try storage.recover().entries.map(\.index) == [6, 7, 8, 9])
        var replaced = Batches.batch(3, Batches.entries(20...22, term: 3), term: 3, truncate: 20)
        replaced.snapshot = Batches.snapshot(19, term: 2, [9, 9])
        try storage.persist(replaced)
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect((state.snapshotIndex, state.snapshotTerm) == (19, 2))
        #expect(state.snapshot == [9, 9])
        #expect(state.configuration == replaced.snapshot?.configuration)
        #expect(state.entries == Batches.entries(20...22, term: 3))
    }

    @Test func `entries that a stored snapshot covers stay away, also when the disk lagged behind it`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Batches.batch(1, Batches.entries(1...3), term: 1))
        // Applied up to 6 by the others' votes, while 4...8 still wait for this disk.
        try storage.saveSnapshot(index: 6, term: 1, configuration: nil, image: [1])
        #expect(try storage.recover().entries.isEmpty)
        try storage.persist(Batches.batch(2, Batches.entries(4...8), truncate: 4))
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state.snapshotIndex == 6)
        #expect(state.entries.map(\.index) == [7, 8])
    }

    @Test func `many batches go in one transaction, in their order`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist([
            Batches.batch(1, Batches.entries(1...4), term: 1), Batches.batch(2, [], term: 2),
            Batches.batch(3, [Batches.entry(3, term: 3)], term: 3, truncate: 3),
            Batches.batch(4, [Batches.entry(4, term: 3)]),
        ])
        let state = try storage.recover()
        #expect(state.hardState.term == 3)
        #expect(state.entries.map(\.term) == [1, 1, 3, 3])
        // All or nothing: the last of these does not fit.
        #expect(throws: SwarmError.self) {
            try storage.persist([Batches.batch(5, [Batches.entry(5)], term: 9), Batches.batch(6, [Batches.entry(9)])])
        }
        #expect(try storage.recover() == state)
        try storage.persist(Batches.batch(5, [Batches.entry(5)]))
        #expect(try storage.recover().entries.count == 5)
    }

    @Test func `a batch joined to the one before it leaves the same on disk`() throws {
        var first = Batches.batch(1, Batches.entries(1...6), term: 1)
        var joined = first
        let others = [
            Batches.batch(2, [Batches.entry(5, term: 2)], term: 2, truncate: 5),
            { var batch = Batches.batch(3, []); batch.snapshot = Batches.snapshot(3); return batch }(),
            Batches.batch(4, [Batches.entry(4, term: 4)], truncate: 4), Batches.batch(5, [], term: 7),
            Batches.batch(6, [Batches.entry(5, term: 4)]),
            { var batch = Batches.batch(7, [], truncate: 31); batch.snapshot = Batches.snapshot(30); return batch }(),
            Batches.batch(8, [Batches.entry(31, term: 7)]),
        ]
        for count in 0...others.count {
            let (one, other) = (Scratch(), Scratch())
            let storage = try SQLiteLogStorage(path: one.database)
            try storage.persist([first] + others.prefix(count))
            joined = first
            for batch in others.prefix(count) { joined.absorb(batch) }
            let twin = try SQLiteLogStorage(path: other.database)
            try twin.persist(joined)
            #expect(try storage.recover() == twin.recover(), "after \(count)")
            #expect(joined.sequence == UInt64(count + 1))
        }
        first.sendAfter = []
    }

    @Test func `an erased log is empty, and a new one begins in it`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Batches.batch(1, Batches.entries(1...9), term: 4))
        try storage.saveSnapshot(index: 6, term: 1, configuration: nil, image: [1, 2, 3])
        try storage.eraseLog()
        #expect(try SQLiteLogStorage(path: scratch.database).recover() == RecoveredState())
        while try storage.removeGarbagePiece() {}
        #expect(try storage.connection.query("SELECT * FROM snapshot_piece").isEmpty)
        try storage.persist(Batches.batch(2, [Batches.entry(1)], term: 1))
        #expect(try storage.recover().entries.count == 1)
    }

    @Test func `one member alone goes on with all that it had`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Batches.batch(1, Batches.entries(1...9), term: 4))
        try storage.saveSnapshot(
            index: 6, term: 1, configuration: ClusterConfiguration(voters: [1, 2, 3]), image: [1])
        let forced = try storage.forceNewCluster(of: 2)
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state == forced)
        let last = try #require(state.entries.last)
        #expect((last.index, last.term, last.kind) == (10, 4, .configuration))
        #expect(ClusterConfiguration(encoded: last.payload) == ClusterConfiguration(voters: [2]))
    }

    @Test func `the first release's file is taken over, clear or sealed`() throws {
        for isSealed in [false, true] {
            let scratch = Scratch()
            try EarlierFile.make(scratch.database)
            let storage =
                isSealed
                ? try Rings.storage(scratch.database, Rings.first) : try SQLiteLogStorage(path: scratch.database)
            let state = try storage.recover()
            #expect(state.hardState == HardState(term: 3, vote: nil))
            #expect((state.snapshotIndex, state.snapshotTerm) == (2, 1))
            #expect(state.snapshot == [5, 6, 7])
            #expect(state.entries == [Batches.entry(3, term: 3)])
            try storage.persist(Batches.batch(1, [Batches.entry(4)]))
            #expect(try storage.recover().entries.count == 2)
        }
    }

    @Test func `every commit is synced`() throws {
        let scratch = Scratch()
        let connection = try SQLiteConnection(path: scratch.database)
        #expect(try connection.query("PRAGMA synchronous") == [[.integer(2)]])
        #expect(try connection.query("PRAGMA journal_mode") == [[.text("wal")]])
    }

    @Test func `a large snapshot needs memory for itself and a few pieces`() throws {
        let scratch = Scratch()
        let storage = try Rings.storage(scratch.database, Rings.first)
        // Other tests run beside this one: a copy too many must be more than all of theirs.
        let (megabytes, slack) = (128, 96)
        var image = [UInt8](repeating: 7, count: megabytes << 20 + 5)
        for position in stride(from: 0, to: image.count, by: 4099) { image[position] = UInt8(position % 251) }
        let before = peakMemoryBytes()
        try storage.saveSnapshot(index: 1, term: 1, configuration: nil, image: image)
        #expect(peakMemoryBytes() - before < slack << 20)
        let saved = peakMemoryBytes()
        #expect(try storage.recover().snapshot == image)
        #expect(peakMemoryBytes() - saved < (megabytes + slack) << 20)
    }

    /// `VmHWM`, the most that this process ever had in memory.
    private func peakMemoryBytes() -> Int {
        let text = String(decoding: Files.read("/proc/self/status"), as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM") } ?? ""
        return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }

    @Test func `an actor on a blocking thread runs its jobs in order`() async {
        let counter = Counter()
        for value in 0..<100 { await counter.add(value) }
        #expect(await counter.values == Array(0..<100))
    }
}

private actor Counter {
    private let thread = BlockingThread()
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
    private(set) var values: [Int] = []

    func add(_ value: Int) { values.append(value) }
}

/// A file as the first release wrote it, made here from its own description.
enum EarlierFile {
    static func make(_ path: String) throws {
        let connection = try SQLiteConnection(path: path)
        try connection.execute(
            "CREATE TABLE entry (log_index INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL, "
                + "payload BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT")
        try connection.execute(
            "CREATE TABLE hard_state (id INTEGER PRIMARY KEY CHECK (id = 1), term INTEGER NOT NULL, vote INTEGER, "
                + "checksum INTEGER NOT NULL) STRICT")
        try connection.execute(
            "CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), log_index INTEGER NOT NULL, "
                + "term INTEGER NOT NULL, image BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT")
        try connection.execute(
            "INSERT INTO hard_state VALUES (1, 3, NULL, ?)", [.integer(checksum([3, -1], []))])
        try connection.execute(
            "INSERT INTO snapshot VALUES (1, 2, 1, ?, ?)",
            [.blob([5, 6, 7]), .integer(checksum([2, 1], [5, 6, 7]))])
        let entry = Batches.entry(3, term: 3)
        try connection.execute(
            "INSERT INTO entry VALUES (3, 3, 1, ?, ?)",
            [.blob(entry.payload), .integer(checksum([3, 3, 1], entry.payload))])
    }

    private static func checksum(_ numbers: [Int64], _ bytes: [UInt8]) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for number in numbers {
            for shift in stride(from: 0, to: 64, by: 8) {
                hash = (hash ^ (UInt64(bitPattern: number) >> UInt64(shift) & 0xFF)) &* 0x100_0000_01b3
            }
        }
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash ^= hash >> 29
        return Int64(bitPattern: hash &* 0x94D0_49BB_1331_11EB)
    }
}
