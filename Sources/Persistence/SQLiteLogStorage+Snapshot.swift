import ClusterSecurity
package import Consensus
package import SwarmCore

/// A snapshot on its way to the disk: pieces that nothing names yet.
struct SnapshotWriting {
    let head: StoredSnapshot
    let image: [UInt8]
    fileprivate var nextPiece = 0
}

/// The image in pieces, so that neither memory nor a transaction ever holds it twice.
extension SQLiteLogStorage {
    /// A piece's row: its snapshot's generation above so many bits, its number below.
    static let pieceBits = 20

    /// Replaces the snapshot and forgets the entries that it covers.
    ///
    /// - Returns: false when the stored one is as new.
    @discardableResult
    package func saveSnapshot(
        index: LogIndex, term: Term, configuration: ClusterConfiguration?, image: [UInt8]
    ) throws(SwarmError) -> Bool {
        guard index > state.snapshotIndex else { return false }
        var writing = beginSnapshot(index: index, term: term, configuration: configuration, image: image)
        do throws(SwarmError) {
            while try writePiece(of: &writing) {}
            _ = try finish(writing)
        } catch {
            abandon(writing)
            throw error
        }
        abandon(writing)
        while try removeGarbagePiece() {}
        return true
    }

    func beginSnapshot(
        index: LogIndex, term: Term, configuration: ClusterConfiguration?, image: [UInt8]
    ) -> SnapshotWriting {
        lastGeneration += 1
        beingWritten.insert(lastGeneration)
        let head = StoredSnapshot(
            generation: lastGeneration, index: index, term: term, byteCount: image.count,
            configuration: configuration)
        return SnapshotWriting(head: head, image: image)
    }

    /// - Returns: whether pieces are left.
    func writePiece(of writing: inout SnapshotWriting) throws(SwarmError) -> Bool {
        let (head, number) = (writing.head, writing.nextPiece)
        guard number < head.pieceCount else { return false }
        let start = number * StoredSnapshot.pieceByteCount
        let piece = Array(writing.image[start..<min(start + StoredSnapshot.pieceByteCount, head.byteCount)])
        let record = imageSeal.close(piece, at: Self.place(ofPiece: number, head))
        try write { () throws(SwarmError) in
            try connection.execute(
                "INSERT OR REPLACE INTO snapshot_piece VALUES (?, ?)",
                [.integer(Self.rows(of: head.generation).lowerBound + Int64(number)), .blob(record)])
        }
        writing.nextPiece += 1
        return writing.nextPiece < head.pieceCount
    }

    /// Switches over to the snapshot whose pieces are all there.
    func finish(_ writing: SnapshotWriting) throws(SwarmError) -> Bool {
        guard writing.head.index > state.snapshotIndex else { return false }
        var next = state
        try write { () throws(SwarmError) in
            try replaceSnapshot(with: writing.head, in: &next)
            try writeState(next)
        }
        state = next
        return true
    }

    /// What was written of it becomes garbage, unless it is in force by now.
    func abandon(_ writing: SnapshotWriting) { beingWritten.remove(writing.head.generation) }

    /// Removes one piece of a snapshot that is not in force, in a transaction of its own.
    ///
    /// - Returns: whether there was one.
    func removeGarbagePiece() throws(SwarmError) -> Bool {
        let kept = beingWritten.union(state.snapshot.map { [$0.generation] } ?? []).sorted()
        var from: Int64 = 0
        for rows in kept.map(Self.rows(of:)) + [Int64.max..<Int64.max] {
            let found = try connection.query(
                "SELECT id FROM snapshot_piece WHERE id >= ? AND id < ? LIMIT 1",
                [.integer(from), .integer(rows.lowerBound)])
            if let id = found.first?.first {
                try write { () throws(SwarmError) in
                    try connection.execute("DELETE FROM snapshot_piece WHERE id = ?", [id])
                }
                return true
            }
            from = rows.upperBound
        }
        return false
    }

    func image(of head: StoredSnapshot) throws(SwarmError) -> [UInt8] {
        let rows = Self.rows(of: head.generation)
        var image: [UInt8] = []
        image.reserveCapacity(head.byteCount)
        var number = 0
        try connection.forEachRow(
            "SELECT id, record FROM snapshot_piece WHERE id >= ? AND id < ? ORDER BY id",
            [.integer(rows.lowerBound), .integer(rows.upperBound)]
        ) { row throws(SwarmError) in
            guard row[0] == .integer(rows.lowerBound + Int64(number)), case .blob(let record) = row[1] else {
                throw damaged("snapshot", "piece \(number) is missing")
            }
            image += try imageSeal.open(record, at: Self.place(ofPiece: number, head))
            number += 1
        }
        guard number == head.pieceCount, image.count == head.byteCount else {
            throw damaged("snapshot", "it has \(image.count) of \(head.byteCount) bytes")
        }
        return image
    }

    static func rows(of generation: UInt64) -> Range<Int64> {
        let first = Int64(bitPattern: generation) << Int64(pieceBits)
        return first..<(first + 1 << Int64(pieceBits))
    }

    static func place(ofPiece number: Int, _ head: StoredSnapshot) -> Place {
        Place(
            "snapshot at index \(head.index), piece \(number)", kind: 2,
            [head.generation, head.index, head.term, UInt64(head.byteCount), UInt64(number)])
    }
}
