import NameService

/// Answers by the exact bytes of the query behind its identifier: what was asked before costs a look, not a parse.
///
/// Direct-mapped and of fixed size; valid for one state of the names, then emptied. One thread uses it.
struct AnswerMemo {
    /// Slots; a query that falls on another's takes its place.
    static let slots = 512
    /// Longer queries are rare and are answered the slow way.
    static let queryBytesMax = 320
    /// One address record whose owner is a pointer to the question: 2 + 2 + 2 + 4 + 2 + 4 bytes.
    private static let recordBytes = 16

    private struct Entry {
        var query: [UInt8] = []
        var reply: [UInt8] = []
        /// Where equal-length records begin that are to be handed out in turn, and how many there are.
        var recordsOffset = 0
        var recordCount = 0
        var turn = 0
    }
    private var entries = [Entry](repeating: Entry(), count: Self.slots)
    private(set) var version: UInt64 = .max

    /// Forgets everything when the names have changed since.
    mutating func use(version: UInt64) {
        guard version != self.version else { return }
        self.version = version
        for index in entries.indices where !entries[index].query.isEmpty { entries[index] = Entry() }
    }

    private static func slot(_ query: UnsafeRawBufferPointer) -> Int {
        // FNV-1a, 64 bits: short keys, no adversary (a collision only costs the slow way).
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in 2..<query.count { hash = unsafe (hash ^ UInt64(query[index])) &* 0x0100_0000_01b3 }
        return Int(truncatingIfNeeded: (hash ^ hash >> 32) & UInt64(slots - 1))
    }

    /// Writes the known answer to `query` into `reply` and gives its length; nil when it is not known.
    mutating func answer(_ query: UnsafeRawBufferPointer, into reply: UnsafeMutableRawBufferPointer) -> Int? {
        guard query.count > Message.headerLength, query.count <= Self.queryBytesMax else { return nil }
        let slot = unsafe Self.slot(query)
        let isHit = unsafe entries[slot].query.withUnsafeBytes { known in
            unsafe known.count == query.count && known[2...].elementsEqual(query[2...])
        }
        guard isHit, entries[slot].reply.count <= reply.count else { return nil }
        let length = entries[slot].reply.count
        unsafe entries[slot].reply.withUnsafeBytes { unsafe reply.copyMemory(from: $0) }
        unsafe (reply[0], reply[1]) = (query[0], query[1])
        if entries[slot].recordCount > 1 { unsafe rotate(slot, reply) }
        return length
    }

    /// Every record comes first equally often.
    private mutating func rotate(_ slot: Int, _ reply: UnsafeMutableRawBufferPointer) {
        let count = entries[slot].recordCount
        entries[slot].turn = (entries[slot].turn + 1) % count
        let (start, cut) = (entries[slot].recordsOffset, entries[slot].turn * Self.recordBytes)
        let total = count * Self.recordBytes
        unsafe entries[slot].reply.withUnsafeBytes { kept in
            let records = unsafe UnsafeRawBufferPointer(rebasing: kept[start..<(start + total)])
            unsafe UnsafeMutableRawBufferPointer(rebasing: reply[start..<(start + total - cut)])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: records[cut...]))
            guard cut > 0 else { return }
            unsafe UnsafeMutableRawBufferPointer(rebasing: reply[(start + total - cut)..<(start + total)])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: records[..<cut]))
        }
    }

    mutating func store(_ query: [UInt8], _ reply: [UInt8]) {
        // A truncated answer shows only some of the records: the next asker should see others.
        let isTruncated = reply.count > 2 && reply[2] & 2 != 0
        guard query.count > Message.headerLength, query.count <= Self.queryBytesMax, !isTruncated else { return }
        let slot = unsafe query.withUnsafeBytes { unsafe Self.slot($0) }
        var entry = Entry(query: query, reply: reply)
        var reader = MessageReader(reply)
        if let (_, records) = try? reader.message() {
            let addresses = records.filter { $0.type == Question.a && $0.dataLength == 4 }
            entry.recordCount = addresses.count
            entry.recordsOffset = (addresses.first?.dataOffset ?? 0) - 12
        }
        entries[slot] = entry
    }
}
