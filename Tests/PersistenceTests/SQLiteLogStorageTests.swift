import Consensus
import Glibc
import SwarmCore
import Testing

@testable import Persistence

@Suite struct SQLiteLogStorageTests {
    /// A directory that goes with the test.
    final class Scratch {
        let path: String

        init() {
            var template = Array("/tmp/swarm-persistence-XXXXXX".utf8CString)
            path = template.withUnsafeMutableBufferPointer { buffer in
                guard let start = buffer.baseAddress, let made = mkdtemp(start) else { return "/tmp" }
                return String(cString: made)
            }
        }

        var database: String { path + "/raft.db" }

        deinit {
            for suffix in ["", "-wal", "-shm"] { unlink(database + suffix) }
            rmdir(path)
        }
    }

    static func batch(_ sequence: UInt64, _ entries: [Entry], term: Term? = nil, truncate: LogIndex? = nil) -> LogBatch {
        var batch = LogBatch(sequence: sequence)
        batch.entries = entries
        batch.hardState = term.map { HardState(term: $0, vote: 1) }
        batch.truncateFrom = truncate
        return batch
    }

    static func entry(_ index: LogIndex, term: Term = 1) -> Entry {
        Entry(term: term, index: index, kind: .command, payload: Array("payload \(index)".utf8))
    }

    @Test func `an empty store recovers to nothing`() throws {
        let scratch = Scratch()
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state == RecoveredState())
    }

    @Test func `what was persisted is recovered, truncations included`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Self.batch(1, (1...5).map { Self.entry($0) }, term: 1))
        try storage.persist(Self.batch(2, [Self.entry(4, term: 2)], term: 2, truncate: 4))
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state.hardState == HardState(term: 2, vote: 1))
        #expect(state.entries == [Self.entry(1), Self.entry(2), Self.entry(3), Self.entry(4, term: 2)])
    }

    @Test func `a snapshot replaces the entries that it covers`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Self.batch(1, (1...9).map { Self.entry($0) }, term: 1))
        try storage.saveSnapshot(index: 6, term: 1, image: [1, 2, 3])
        let state = try storage.recover()
        #expect(state.snapshotIndex == 6)
        #expect(state.snapshot == [1, 2, 3])
        #expect(state.entries.map(\.index) == [7, 8, 9])
    }

    @Test func `a batch that fails leaves nothing behind`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Self.batch(1, [Self.entry(1)], term: 1))
        #expect(throws: SwarmError.self) {
            try storage.persist(Self.batch(2, [Self.entry(2), Self.entry(1)], term: 7))
        }
        let state = try storage.recover()
        #expect(state.hardState.term == 1)
        #expect(state.entries.map(\.index) == [1])
    }

    @Test(arguments: ["payload", "term", "kind"])
    func `a flipped bit in any field of an entry is refused`(column: String) throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Self.batch(1, (1...3).map { Self.entry($0) }, term: 1))
        let connection = try SQLiteConnection(path: scratch.database)
        let change = column == "payload" ? "CAST('Payload 2' AS BLOB)" : "\(column) | 2"
        try connection.execute("UPDATE entry SET \(column) = \(change) WHERE log_index = 2")
        #expect(throws: SwarmError.self) { try storage.recover() }
    }

    @Test func `a missing entry is refused`() throws {
        let scratch = Scratch()
        let storage = try SQLiteLogStorage(path: scratch.database)
        try storage.persist(Self.batch(1, (1...3).map { Self.entry($0) }, term: 1))
        try SQLiteConnection(path: scratch.database).execute("DELETE FROM entry WHERE log_index = 2")
        #expect(throws: SwarmError.self) { try storage.recover() }
    }

    @Test func `every commit is synced`() throws {
        let scratch = Scratch()
        let connection = try SQLiteConnection(path: scratch.database)
        #expect(try connection.query("PRAGMA synchronous") == [[.integer(2)]])
        #expect(try connection.query("PRAGMA journal_mode") == [[.text("wal")]])
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
