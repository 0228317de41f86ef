import ClusterSecurity
import Consensus
import Glibc
import SwarmCore
import Synchronization

@testable import Persistence

/// A directory that goes with the test.
final class Scratch: Sendable {
    let path: String

    /// `/dev/shm` for tests that open a file thousands of times: what they are about is not the disk.
    init(in parent: String = "/tmp") {
        var template = Array("\(parent)/swarm-persistence-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress, let made = mkdtemp(start) else { return parent }
            return String(cString: made)
        }
    }

    var database: String { path + "/raft.db" }
    var journal: String { database + "-wal" }

    func remove() { for suffix in ["", "-wal", "-shm"] { unlink(database + suffix) } }

    deinit {
        remove()
        for suffix in ["", "-wal", "-shm"] { unlink(path + "/agent.state" + suffix) }
        rmdir(path)
    }
}

enum Files {
    static func read(_ path: String) -> [UInt8] {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = Glibc.read(file, &buffer, buffer.count), count > 0 { content += buffer.prefix(count) }
        return content
    }

    static func write(_ path: String, _ content: [UInt8]) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard file >= 0 else { return }
        defer { close(file) }
        var written = 0
        while written < content.count {
            let count = content.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress.map { $0 + written }, content.count - written)
            }
            guard count > 0 else { return }
            written += count
        }
    }
}

enum Rings {
    static let first = SealingKey.generate()
    static let second = SealingKey.generate()

    static func log(_ keys: SealingKey...) -> KeyRing {
        KeyRing(purpose: .raftLog, primary: keys[0], older: Array(keys.dropFirst()))
    }
    static func snapshot(_ keys: SealingKey...) -> KeyRing {
        KeyRing(purpose: .snapshot, primary: keys[0], older: Array(keys.dropFirst()))
    }
    static func storage(_ path: String, _ keys: SealingKey...) throws -> SQLiteLogStorage {
        try SQLiteLogStorage(
            path: path, log: KeyRing(purpose: .raftLog, primary: keys[0], older: Array(keys.dropFirst())),
            snapshot: KeyRing(purpose: .snapshot, primary: keys[0], older: Array(keys.dropFirst())))
    }
}

enum Batches {
    static func batch(
        _ sequence: UInt64, _ entries: [Entry], term: Term? = nil, truncate: LogIndex? = nil
    ) -> LogBatch {
        var batch = LogBatch(sequence: sequence)
        batch.entries = entries
        batch.hardState = term.map { HardState(term: $0, vote: 1) }
        batch.truncateFrom = truncate
        return batch
    }

    static func entry(_ index: LogIndex, term: Term = 1) -> Entry {
        Entry(term: term, index: index, kind: .command, payload: Array("payload \(index)".utf8))
    }

    static func entries(_ range: ClosedRange<LogIndex>, term: Term = 1) -> [Entry] {
        range.map { entry($0, term: term) }
    }

    static func snapshot(_ index: LogIndex, term: Term = 1, _ image: [UInt8] = [1, 2, 3]) -> Snapshot {
        Snapshot(
            index: index, term: term, configuration: ClusterConfiguration(voters: [1, 2, 3], learners: [4]), image: image)
    }
}

/// What a writer reported, for a test to wait for.
final class Reports: Sendable {
    private let state = Mutex<[LogWriter.Report]>([])
    private let arrived: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init() { (arrived, signal) = AsyncStream.makeStream(of: Void.self) }

    var all: [LogWriter.Report] { state.withLock { $0 } }
    var persisted: [UInt64] { all.compactMap { if case .persisted(let sequence) = $0 { sequence } else { nil } } }
    var words: [String] {
        all.map { report in
            switch report {
            case .persisted: "persisted"
            case .full: "full"
            case .writing: "writing"
            case .failed: "failed"
            }
        }
    }

    func take(_ report: LogWriter.Report) {
        state.withLock { $0.append(report) }
        signal.yield()
    }

    /// Whether the condition holds within half a minute.
    func wait(until condition: @escaping @Sendable (Reports) -> Bool) async -> Bool {
        if condition(self) { return true }
        let limit = Task {
            do { try await Task.sleep(for: .seconds(30)) } catch { return }
            self.signal.finish()
        }
        defer { limit.cancel() }
        for await _ in arrived where condition(self) { return true }
        return condition(self)
    }
}
