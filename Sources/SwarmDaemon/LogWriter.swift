import Consensus
import Persistence
import SwarmCore

/// Raft's storage on a thread of its own: every call returns when the bytes are on the disk.
actor LogWriter {
    private nonisolated let thread = BlockingThread()
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private let storage: SQLiteLogStorage

    init(path: String) throws(SwarmError) { storage = try SQLiteLogStorage(path: path) }

    func recover() throws(SwarmError) -> RecoveredState { try storage.recover() }
    func persist(_ batch: LogBatch) throws(SwarmError) { try storage.persist(batch) }
    func saveSnapshot(index: LogIndex, term: Term, image: [UInt8]) throws(SwarmError) {
        try storage.saveSnapshot(index: index, term: term, configuration: nil, image: image)
    }
}
