package import ClusterSecurity
package import Dispatching
import FoundationEssentials
package import SwarmCore
import SwarmModel
import Synchronization

/// What a node's agent holds, kept over restarts: tasks, networks, secrets, configs and endpoints.
///
/// It is a help and not the truth, which the managers have: writes are put together, the newest counting alone, and
/// what cannot be read is as if it were not there. Only items that changed are written, each sealed on its own.
package final class AgentStateStore: Sendable {
    /// At least between two writes: endpoints of a busy cluster change all the time.
    package static let writePause: Duration = .milliseconds(100)
    /// Between two attempts on a disk that is full.
    package static let retryPause: Duration = .seconds(5)

    private let pending = PendingAssignment()
    private let worker: AgentStateWorker

    /// - Parameters:
    ///   - ring: of purpose `.secret`, primary key first; without one (tests) nothing is sealed.
    ///   - warn: what a person should know; comes on the store's own thread.
    package init(path: String, ring: KeyRing? = nil, warn: @escaping @Sendable (SwarmError) -> Void) {
        precondition(ring?.purpose ?? .secret == .secret, "mixed up")
        worker = AgentStateWorker(path, RecordSeal(path: path, ring: ring), pending, warn)
    }

    /// What was held, to be given to the machine as `.restored`; nil when nothing was, or it cannot be trusted.
    package func load() async -> HeldAssignment? { await worker.load() }

    /// Never blocks.
    package func save(_ held: HeldAssignment) {
        guard pending.put(held) else { return }
        let worker = self.worker
        Task { await worker.run() }
    }

    /// Writes what waits, if the disk takes it, and closes the file.
    package func shutdown() async { await worker.shutdown() }

    /// Removes the file: the node leaves its cluster.
    package func erase() async { await worker.erase() }
}

private final class PendingAssignment: Sendable {
    private let state = Mutex<(held: HeldAssignment?, isRunning: Bool)>((nil, false))

    /// - Returns: whether the worker must be started.
    func put(_ held: HeldAssignment) -> Bool {
        state.withLock { state in
            defer { state = (held, true) }
            return !state.isRunning
        }
    }

    /// Nil when there is nothing, and the worker stops.
    func take() -> HeldAssignment? {
        state.withLock { state in
            defer { state = (nil, state.held != nil) }
            return state.held
        }
    }

    /// Unless there is a newer one.
    func putBack(_ held: HeldAssignment) { state.withLock { $0.held = $0.held ?? held } }
}

/// The file: one row for each item, and one that says what items there must be.
private actor AgentStateWorker {
    private nonisolated let thread = BlockingThread()
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private let path: String
    private let seal: RecordSeal
    private let pending: PendingAssignment
    private let warn: @Sendable (SwarmError) -> Void
    private var connection: SQLiteConnection?
    /// What the file has, once that is known.
    private var written: (head: Head, items: [AssignmentKey: UInt64])?
    private var hasWarned = false
    private var isClosed = false

    private struct Head: Equatable, Codable {
        var nodeID: ObjectID
        var epoch: UInt64
        var count = 0
        var digest: UInt64 = 0
    }

    init(
        _ path: String, _ seal: RecordSeal, _ pending: PendingAssignment,
        _ warn: @escaping @Sendable (SwarmError) -> Void
    ) {
        (self.path, self.seal, self.pending, self.warn) = (path, seal, pending, warn)
    }

    // MARK: Reading

    func load() -> HeldAssignment? {
        do throws(SwarmError) {
            guard let (head, items) = try read() else { return nil }
            var assignment = Assignment(nodeID: head.nodeID)
            assignment.apply(AssignmentDelta(changed: items))
            written = (head, assignment.fingerprints)
            return HeldAssignment(epoch: head.epoch, assignment: assignment)
        } catch {
            warn(
                SwarmError(
                    error.code,
                    "\(error.message); this node waits for a manager before it looks after its containers"))
            if !error.diskTrouble.mayPass { removeFile() }
            return nil
        }
    }

    private func read() throws(SwarmError) -> (Head, [AssignmentItem])? {
        let connection = try open()
        guard let row = try connection.query("SELECT record FROM held").first else { return nil }
        guard case .blob(let sealed) = row[0] else { throw damaged("head", "it is none") }
        let head: Head = try decode(try seal.open(sealed, at: Self.headPlace), "head")
        var items: [AssignmentItem] = []
        try connection.forEachRow("SELECT key, fingerprint, record FROM item ORDER BY key") { row throws(SwarmError) in
            guard case .text(let text) = row[0], case .integer(let number) = row[1], case .blob(let sealed) = row[2],
                let key = AssignmentKey(text: text)
            else { throw damaged("table of items", "a row is no item") }
            let place = Self.place(of: key, UInt64(bitPattern: number))
            let item = try decode(key, try seal.open(sealed, at: place))
            guard item.key == key, item.fingerprint == UInt64(bitPattern: number) else {
                throw damaged(place.name, "it is another one")
            }
            items.append(item)
        }
        var expected = head
        (expected.count, expected.digest) = (items.count, 0)
        for item in items { expected.digest &+= Self.digest(item.key, item.fingerprint) }
        guard expected == head else { throw damaged("table of items", "\(items.count) of \(head.count) are there") }
        return (head, items)
    }

    private func decode(_ key: AssignmentKey, _ bytes: [UInt8]) throws(SwarmError) -> AssignmentItem {
        switch key {
        case .task(let id): .task(try decode(bytes, id))
        case .network(let id): .network(try decode(bytes, id))
        case .secret(let id): .secret(try decode(bytes, id))
        case .config(let id): .config(try decode(bytes, id))
        case .endpoints(let id): .endpoints(try decode(bytes, id))
        }
    }

    private func decode<Value: Decodable>(_ bytes: [UInt8], _ what: String) throws(SwarmError) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            throw damaged(what, "was it written by a newer swarmd? \(error)")
        }
    }

    // MARK: Writing

    func run() async {
        while !isClosed, let held = pending.take() {
            do throws(SwarmError) {
                try write(held)
                hasWarned = false
                try? await Task.sleep(for: AgentStateStore.writePause)
            } catch {
                if !hasWarned { warn(error) }
                hasWarned = true
                pending.putBack(held)
                if !error.diskTrouble.mayPass { removeFile() }
                try? await Task.sleep(for: AgentStateStore.retryPause)
            }
        }
    }

    private func write(_ held: HeldAssignment) throws(SwarmError) {
        let connection = try open()
        var head = Head(nodeID: held.assignment.nodeID, epoch: held.epoch)
        // Equal versions mean equal items within one epoch only.
        let known = written.flatMap { $0.head.nodeID == head.nodeID && $0.head.epoch == head.epoch ? $0.items : nil }
        let fingerprints = held.assignment.fingerprints
        head.count = fingerprints.count
        for (key, fingerprint) in fingerprints { head.digest &+= Self.digest(key, fingerprint) }
        guard known == nil || head != written?.head else { return }
        let delta = held.assignment.delta(from: known ?? [:])
        written = nil
        try connection.transaction { () throws(SwarmError) in
            if known == nil { try connection.execute("DELETE FROM item") }
            for key in delta.removed { try connection.execute("DELETE FROM item WHERE key = ?", [.text(key.text)]) }
            for item in delta.changed {
                let place = Self.place(of: item.key, item.fingerprint)
                try connection.execute(
                    "INSERT OR REPLACE INTO item VALUES (?, ?, ?)",
                    [
                        .text(item.key.text), .integer(Int64(bitPattern: item.fingerprint)),
                        .blob(seal.close(Self.encode(item), at: place)),
                    ])
            }
            let record = seal.close(Self.encode(head), at: Self.headPlace)
            try connection.execute("INSERT OR REPLACE INTO held VALUES (1, ?)", [.blob(record)])
        }
        written = (head, fingerprints)
    }

    private static func encode(_ item: AssignmentItem) -> [UInt8] {
        switch item {
        case .task(let task): encode(task)
        case .network(let network): encode(network)
        case .secret(let secret): encode(secret)
        case .config(let config): encode(config)
        case .endpoints(let service): encode(service)
        }
    }

    private static func encode(_ value: some Encodable) -> [UInt8] {
        do {
            return Array(try JSONEncoder().encode(value))
        } catch {
            preconditionFailure("our own objects are always encodable: \(error)")
        }
    }

    private func open() throws(SwarmError) -> SQLiteConnection {
        if let connection { return connection }
        guard !isClosed else { throw SwarmError(.unavailable, "\(path) is closed") }
        let opened = try SQLiteConnection(path: path, isExclusive: true)
        try opened.execute(
            "CREATE TABLE IF NOT EXISTS held (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL) STRICT")
        try opened.execute(
            "CREATE TABLE IF NOT EXISTS item (key TEXT PRIMARY KEY, fingerprint INTEGER NOT NULL, "
                + "record BLOB NOT NULL) STRICT, WITHOUT ROWID")
        connection = opened
        return opened
    }

    // MARK: Ending

    func shutdown() {
        // What is lost here the next session brings.
        if !isClosed, !hasWarned, let held = pending.take() { try? write(held) }
        (isClosed, connection) = (true, nil)
    }

    func erase() {
        isClosed = true
        removeFile()
    }

    private func removeFile() {
        (connection, written) = (nil, nil)
        SQLiteConnection.removeFile(path)
    }

    // MARK: Places

    private func damaged(_ what: String, _ why: String) -> SwarmError {
        SwarmError(.internal, "\(path): the \(what) is damaged (\(why)) and left out of account")
    }

    private static let headPlace = Place("head", kind: 3, [])

    private static func place(of key: AssignmentKey, _ fingerprint: UInt64) -> Place {
        var place = Place(key.text, kind: 4, [fingerprint])
        place.bytes += Array(key.text.utf8)
        return place
    }

    /// FNV-1a; the sum over all items does not depend on their order.
    private static func digest(_ key: AssignmentKey, _ fingerprint: UInt64) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in key.text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        for byte in RecordSeal.bigEndian(fingerprint) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return (hash ^ hash >> 29) &* 0x94D0_49BB_1331_11EB
    }
}

extension AssignmentKey {
    fileprivate var text: String {
        switch self {
        case .task(let id): "task/" + id
        case .network(let id): "network/" + id
        case .secret(let id): "secret/" + id
        case .config(let id): "config/" + id
        case .endpoints(let id): "endpoints/" + id
        }
    }

    fileprivate init?(text: String) {
        guard let slash = text.firstIndex(of: "/") else { return nil }
        let id = String(text[text.index(after: slash)...])
        switch text[..<slash] {
        case "task": self = .task(id)
        case "network": self = .network(id)
        case "secret": self = .secret(id)
        case "config": self = .config(id)
        case "endpoints": self = .endpoints(id)
        default: return nil
        }
    }
}
