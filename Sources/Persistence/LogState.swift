import Consensus
import SwarmCore

/// The one record that says what else there must be: a lost row is noticed, not only a changed one.
struct LogState: Equatable {
    private static let formatVersion: UInt8 = 1
    var hardState = HardState()
    var lastIndex: LogIndex = 0
    var snapshot: StoredSnapshot?

    var snapshotIndex: LogIndex { snapshot?.index ?? 0 }
}

/// The snapshot's head; its image lies in pieces of the same generation.
struct StoredSnapshot: Equatable {
    var generation: UInt64
    var index: LogIndex
    var term: Term
    var byteCount: Int
    var configuration: ClusterConfiguration?

    static let pieceByteCount = 1 << 20
    var pieceCount: Int { (byteCount + Self.pieceByteCount - 1) / Self.pieceByteCount }
}

extension LogState {
    static let place = Place("hard state", kind: 0, [])

    /// A version byte; term, vote with a byte before it, last index; then nothing, or the snapshot's numbers and
    /// its configuration. All numbers big-endian in 8 bytes.
    func encoded() -> [UInt8] {
        var bytes = [Self.formatVersion]
        func add(_ number: UInt64) { bytes += RecordSeal.bigEndian(number) }
        add(hardState.term)
        bytes.append(hardState.vote == nil ? 0 : 1)
        add(hardState.vote ?? 0)
        add(lastIndex)
        guard let snapshot else { return bytes }
        add(snapshot.generation)
        add(snapshot.index)
        add(snapshot.term)
        add(UInt64(snapshot.byteCount))
        return bytes + (snapshot.configuration?.encoded() ?? [])
    }

    /// Nil when the bytes are not one well-formed record.
    init?(encoded bytes: [UInt8]) {
        var rest = bytes[...]
        func number() -> UInt64? {
            guard rest.count >= 8 else { return nil }
            defer { rest = rest.dropFirst(8) }
            return rest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
        guard rest.popFirst() == Self.formatVersion, let term = number(), let hasVote = rest.popFirst(), hasVote <= 1,
            let vote = number(), let last = number()
        else { return nil }
        hardState = HardState(term: term, vote: hasVote == 1 ? vote : nil)
        lastIndex = last
        guard !rest.isEmpty else { return }
        guard let generation = number(), let index = number(), let snapshotTerm = number(),
            let byteCount = number().flatMap({ Int(exactly: $0) })
        else { return nil }
        var configuration: ClusterConfiguration?
        if !rest.isEmpty {
            configuration = ClusterConfiguration(encoded: Array(rest))
            guard configuration != nil else { return nil }
        }
        snapshot = StoredSnapshot(
            generation: generation, index: index, term: snapshotTerm, byteCount: byteCount,
            configuration: configuration)
    }
}
