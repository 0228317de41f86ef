package import ClusterSecurity
package import Consensus
package import SwarmCore
import Synchronization

/// Raft's storage on a thread of its own; whoever appends never waits for the disk.
///
/// All batches that came while the disk wrote go in one transaction, next. A disk that is full or refuses loses
/// nothing and reorders nothing: batches wait, and are tried again every ``retryPause``. Snapshots are written in
/// pieces on the same thread, batches in between.
package final class LogWriter: Sendable {
    /// Comes on the writer's own thread, in order; must not block.
    package enum Report: Sendable {
        /// This batch and all before it are on disk.
        case persisted(UInt64)
        /// Nothing can be written at present, and why (``SwarmError/diskTrouble``); said once, until `.writing`.
        case full(SwarmError)
        /// What waited is written.
        case writing
        /// The log cannot be written any more; nothing else is reported.
        case failed(SwarmError)
    }

    /// Batches that wait singly; those beyond it are joined to the last one. Their bytes are the log's own, and
    /// bounded as it is (`RaftConfiguration.logBytesMax`).
    package static let queueBatchesMax = 1024
    /// What waited goes in transactions of so many bytes of payload; a single batch may be larger.
    package static let transactionBytesMax = 8 << 20
    /// Between two attempts to write to a disk that is full.
    package static let retryPause: Duration = .milliseconds(250)
    /// The same for a snapshot, which needs more room than any batch.
    package static let snapshotRetryPause: Duration = .seconds(5)

    private let queue = BatchQueue()
    private let worker: LogWorker

    /// Opens the file or makes it, on the caller's thread; rings as for ``SQLiteLogStorage``.
    package init(
        path: String, _ log: KeyRing? = nil, _ snapshot: KeyRing? = nil, _ report: @escaping @Sendable (Report) -> Void
    ) throws(SwarmError) {
        worker = try LogWorker(path: path, log, snapshot, queue, report)
    }

    /// To be called once, before anything is appended.
    package func recover() async throws(SwarmError) -> RecoveredState { try await worker.recover() }

    /// Never blocks; answered by `.persisted`, of this sequence or of a later one.
    package func append(_ batch: LogBatch) { if queue.append(batch) { start() } }

    /// Counts erasures: what is made of the log's content belongs to one of them.
    package var generation: Int { queue.erasures }

    /// Forgets term, vote, log and snapshot, and every batch that was appended before; what is appended afterwards is
    /// written after it.
    package func erase() { if queue.erase() { start() } }

    /// Waits for room as long as it takes.
    ///
    /// - Parameter generation: ``generation`` at the time of the effect that asked for it, before the image was made.
    /// - Returns: false when nothing was saved, since the stored one is as new, the log was erased meanwhile, or the
    ///   writer was shut down. Then the machine must not be told that it was.
    package func saveSnapshot(
        index: LogIndex, term: Term, configuration: ClusterConfiguration?, image: [UInt8], generation: Int
    ) async throws(SwarmError) -> Bool {
        try await worker.saveSnapshot((index, term, configuration), image, erasures: generation)
    }

    /// Makes this member the whole cluster (`--force-new-cluster`), in one transaction.
    ///
    /// - Returns: what is stored from then on.
    @discardableResult
    package func forceNewCluster(of member: MemberID) async throws(SwarmError) -> RecoveredState {
        try await worker.forceNewCluster(of: member)
    }

    /// Seals with other keys, primary first, and then all that lies under older ones anew, batches in between. When
    /// it returns, keys that are not the primary can be dropped.
    package func use(log: KeyRing, snapshot: KeyRing) async throws(SwarmError) {
        try await worker.use(log: log, snapshot: snapshot)
    }

    /// Writes what waits if the disk takes it, closes the file and reports nothing more.
    package func shutdown() async {
        queue.close()
        await worker.shutdown()
    }

    private func start() {
        let worker = self.worker
        Task { await worker.run() }
    }
}

/// What is to be written, in order; any thread adds, the worker takes.
private final class BatchQueue: Sendable {
    enum Work: Sendable {
        case erase(erasures: Int)
        case write([LogBatch], erasures: Int)
    }

    private struct State {
        var batches: [LogBatch] = []
        /// The first so many are being written: they stay here until they are.
        var writingCount = 0
        /// How often the log was erased; what was taken before the last time counts no more.
        var erasures = 0
        var mustErase = false
        var isRunning = false
        var isClosed = false
    }
    private let state = Mutex(State())

    var erasures: Int { state.withLock { $0.erasures } }

    /// - Returns: whether the worker must be started.
    func append(_ batch: LogBatch) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            let last = state.batches.count - 1
            if last >= LogWriter.queueBatchesMax - 1, last >= state.writingCount {
                state.batches[last].absorb(batch)
            } else {
                state.batches.append(batch)
            }
            return Self.wakes(&state)
        }
    }

    /// - Returns: whether the worker must be started.
    func erase() -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            (state.batches, state.writingCount, state.mustErase) = ([], 0, true)
            state.erasures += 1
            return Self.wakes(&state)
        }
    }

    private static func wakes(_ state: inout State) -> Bool {
        defer { state.isRunning = true }
        return !state.isRunning
    }

    /// The next thing to do; nil when there is nothing, and the worker stops.
    func next() -> Work? {
        state.withLock { state in
            if state.isClosed || !state.mustErase && state.batches.isEmpty {
                state.isRunning = false
                return nil
            }
            if state.mustErase { return .erase(erasures: state.erasures) }
            var (count, bytes) = (0, 0)
            for batch in state.batches {
                bytes += batch.entries.reduce(0) { $0 + $1.payload.count }
                if count > 0, bytes > LogWriter.transactionBytesMax { break }
                count += 1
            }
            state.writingCount = count
            return .write(Array(state.batches.prefix(count)), erasures: state.erasures)
        }
    }

    /// - Returns: whether it still counts.
    func done(_ work: Work) -> Bool {
        state.withLock { state in
            switch work {
            case .erase(let erasures):
                if erasures == state.erasures { state.mustErase = false }
                return false
            case .write(let batches, let erasures):
                guard erasures == state.erasures, !state.isClosed else { return false }
                state.batches.removeFirst(batches.count)
                state.writingCount = 0
                return true
            }
        }
    }

    func close() { state.withLock { $0.isClosed = true } }

    /// What is left after closing.
    func takeRest() -> (mustErase: Bool, batches: [LogBatch]) {
        state.withLock { state in
            defer { (state.mustErase, state.batches) = (false, []) }
            return (state.mustErase, state.batches)
        }
    }
}

/// The thread that writes; between two pieces of a long job it looks after the queue.
private actor LogWorker {
    private nonisolated let thread = BlockingThread()
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private let queue: BatchQueue
    private let report: @Sendable (LogWriter.Report) -> Void
    /// Nil once it is shut down or has failed.
    private var storage: SQLiteLogStorage?
    private var isStalled = false

    init(
        path: String, _ log: KeyRing?, _ snapshot: KeyRing?, _ queue: BatchQueue,
        _ report: @escaping @Sendable (LogWriter.Report) -> Void
    ) throws(SwarmError) {
        (self.queue, self.report) = (queue, report)
        storage = try SQLiteLogStorage(path: path, log: log, snapshot: snapshot, isExclusive: true)
    }

    func run() async {
        while let work = queue.next() {
            guard let storage else { return }
            do throws(SwarmError) {
                try perform(work, storage)
            } catch {
                guard error.diskTrouble.mayPass else { return fail(error) }
                if !isStalled { report(.full(error)) }
                isStalled = true
                try? await Task.sleep(for: LogWriter.retryPause)
            }
        }
    }

    private func perform(_ work: BatchQueue.Work, _ storage: SQLiteLogStorage) throws(SwarmError) {
        switch work {
        case .erase: try storage.eraseLog()
        case .write(let batches, _): try storage.persist(batches)
        }
        if isStalled { report(.writing) }
        isStalled = false
        if queue.done(work), case .write(let batches, _) = work, let last = batches.last {
            report(.persisted(last.sequence))
        }
    }

    private func fail(_ error: SwarmError) {
        queue.close()
        storage = nil
        report(.failed(error))
    }

    private func opened() throws(SwarmError) -> SQLiteLogStorage {
        if let storage { return storage }
        throw SwarmError(.unavailable, "the log is closed")
    }

    func recover() throws(SwarmError) -> RecoveredState { try opened().recover() }

    func forceNewCluster(of member: MemberID) throws(SwarmError) -> RecoveredState {
        try opened().forceNewCluster(of: member)
    }

    func use(log: KeyRing, snapshot: KeyRing) async throws(SwarmError) {
        try opened().use(log: log, snapshot: snapshot)
        var progress = Resealing()
        while try opened().resealSome(&progress) { await Task.yield() }
    }

    // MARK: Snapshots

    func saveSnapshot(
        _ head: (index: LogIndex, term: Term, configuration: ClusterConfiguration?), _ image: [UInt8], erasures: Int
    ) async throws(SwarmError) -> Bool {
        while true {
            do throws(SwarmError) {
                let isSaved = try await writeSnapshot(head, image, erasures)
                await removeGarbage()
                return isSaved
            } catch {
                guard error.diskTrouble.mayPass, storage != nil else { throw error }
            }
            // The log needs the room more; if not even that can be done, the next attempt begins with it.
            await removeGarbage()
            try? await Task.sleep(for: LogWriter.snapshotRetryPause)
        }
    }

    private func writeSnapshot(
        _ head: (index: LogIndex, term: Term, configuration: ClusterConfiguration?), _ image: [UInt8], _ erasures: Int
    ) async throws(SwarmError) -> Bool {
        await removeGarbage()
        guard let storage, queue.erasures == erasures, head.index > storage.state.snapshotIndex else { return false }
        var writing = storage.beginSnapshot(
            index: head.index, term: head.term, configuration: head.configuration, image: image)
        defer { storage.abandon(writing) }
        while try storage.writePiece(of: &writing) {
            await Task.yield()
            guard self.storage != nil, queue.erasures == erasures else { return false }
        }
        return try storage.finish(writing)
    }

    /// As far as it goes: what stays is removed the next time.
    private func removeGarbage() async {
        while let storage, (try? storage.removeGarbagePiece()) == true { await Task.yield() }
    }

    func shutdown() {
        let (mustErase, batches) = queue.takeRest()
        // Nobody was told that these are written.
        if let storage, !isStalled, !mustErase || (try? storage.eraseLog()) != nil, !batches.isEmpty {
            try? storage.persist(batches)
        }
        storage = nil
    }
}

extension LogBatch {
    /// This batch and the one after it as one.
    mutating func absorb(_ next: LogBatch) {
        sequence = next.sequence
        hardState = next.hardState ?? hardState
        if let newer = next.snapshot {
            snapshot = newer
            entries.removeAll { $0.index <= newer.index }
        }
        if let first = next.truncateFrom {
            truncateFrom = min(truncateFrom ?? first, first)
            entries.removeAll { $0.index >= first }
        }
        entries += next.entries
        sendAfter += next.sendAfter
    }
}
