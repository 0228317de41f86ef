import Consensus
import Dispatching
import Store
import SwarmCore
import SwarmModel

/// A leader's writes on their way to the log, oldest first, and the store as it will be with all of them in it.
///
/// Law: while it leads, a leader's log only grows, so that its writes are agreed on in this order and at these
/// indexes, or it leads no more and all of this is dropped. Therefore the next write may be made from ``store``,
/// versions included. Nobody outside is told of ``store``: answers that rest on it wait for the writes in it.
struct Pipeline: Sendable {
    /// Writes that go to the disk and to the other managers together.
    static let writesPerBatchMax = 256
    /// A batch takes no further write once it has so many bytes.
    static let batchBytesMax = 1 << 20
    /// Batches under way; what is asked meanwhile shares the next one.
    static let batchesMax = 4
    /// Answers that wait for the writes they rest on.
    static let promisesMax = 1024

    struct Write: Sendable {
        var transaction: Transaction
        var ticket: UInt64 = 0
        var index: LogIndex = 0
        var respond: (origin: RequestOrigin, response: ControlResponse)?
        var statuses: [ObjectID: TaskStatus] = [:]
        var receipts: [Dispatcher.Receipt] = []
        var isPlan = false
        var endsBatch = false
        /// What may be said once this write is in the log.
        var promises: [Promise] = []
    }

    enum Promise: Sendable {
        case answer(PendingRequest, Result<ControlResponse, SwarmError>)
        case receipts([Dispatcher.Receipt])
    }

    private(set) var store: ObjectStore
    private var writes: Queue<Write> = []
    private var batches = 0
    private var promises = 0

    init(on store: ObjectStore) { self.store = store }

    var count: Int { writes.count }
    var isEmpty: Bool { writes.isEmpty }
    var hasRoom: Bool { batches < Self.batchesMax && promises < Self.promisesMax }

    /// - Returns: what the write will do.
    mutating func add(_ write: Write) -> Commit {
        writes.append(write)
        return store.apply(write.transaction, at: write.index)
    }

    mutating func endBatch() {
        guard !writes.isEmpty else { return }
        let last = writes.count - 1
        writes[last].endsBatch = true
        batches += 1
    }

    /// Keeps what rests on the writes under way until the last of them is in the log.
    mutating func hold(_ promise: Promise) {
        guard !writes.isEmpty else { return }
        let last = writes.count - 1
        writes[last].promises.append(promise)
        promises += 1
    }

    /// The oldest write is in the log, which makes the store this one.
    mutating func takeFirst(ticket: UInt64?) -> Write? {
        guard let ticket, writes.first?.ticket == ticket, let write = writes.popFirst() else { return nil }
        forget(write)
        return write
    }

    /// After a commit: without writes there is only one store.
    mutating func settle(on agreed: ObjectStore) {
        if writes.isEmpty { store = agreed }
    }

    /// That write and all after it will not be: what was made from them is void.
    mutating func drop(from ticket: UInt64, agreed: ObjectStore) -> [Write] {
        guard let position = writes.firstIndex(where: { $0.ticket == ticket }) else { return [] }
        let lost = writes.removeTail(from: position)
        for write in lost { forget(write) }
        rebase(on: agreed)
        return lost
    }

    mutating func dropAll() -> [Write] {
        let lost = Array(writes)
        (writes, batches, promises) = ([], 0, 0)
        return lost
    }

    /// Makes the store anew from what is agreed and what is under way.
    mutating func rebase(on agreed: ObjectStore) {
        store = agreed
        for write in writes { _ = store.apply(write.transaction, at: write.index) }
    }

    private mutating func forget(_ write: Write) {
        if write.endsBatch { batches -= 1 }
        promises -= write.promises.count
    }
}
