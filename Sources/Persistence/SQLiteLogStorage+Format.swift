package import ClusterSecurity
import Consensus
package import SwarmCore

/// Where a pass over all records has come to; see ``SQLiteLogStorage/resealSome(_:)``.
package struct Resealing: Sendable {
    fileprivate var entry: LogIndex? = 0
    fileprivate var piece: Int64? = 0

    package init() {}
}

/// The file's layout, what it was before, and under which key it lies.
extension SQLiteLogStorage {
    /// `PRAGMA user_version`: whether a sealed file may hold clear records must not depend on the records.
    private enum Form: Int64 { case unmade = 0, clear = 1, sealed = 2 }

    /// Entries that are sealed anew in one transaction.
    private static let resealedEntriesMax = 64

    private static let tables = [
        "CREATE TABLE log_state (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL) STRICT",
        "CREATE TABLE log_entry (log_index INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL, "
            + "record BLOB NOT NULL) STRICT",
        "CREATE TABLE snapshot_piece (id INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT",
    ]

    func prepareFile() throws(SwarmError) {
        guard case .integer(let number)? = try connection.query("PRAGMA user_version").first?.first,
            let form = Form(rawValue: number)
        else { throw damaged("format number", "or was it written by a newer swarmd?") }
        let wanted: Form = entrySeal.ring == nil ? .clear : .sealed
        switch (form, wanted) {
        case (.unmade, _): try make(wanted)
        case (.clear, .clear), (.sealed, _):
            guard entrySeal.ring != nil || form == .clear else {
                throw SwarmError(.internal, "\(path): the log is sealed; it opens with this node's storage key only")
            }
        case (.clear, _): try sealAll()
        }
    }

    private func make(_ form: Form) throws(SwarmError) {
        guard try !hasTable("log_state") else { throw damaged("format number", "it is gone") }
        let former = try hasTable("entry") ? EarlierLog.read(connection, path) : nil
        try write { () throws(SwarmError) in
            for table in Self.tables { try connection.execute(table) }
            try writeState(LogState())
            try connection.execute("PRAGMA user_version = \(form.rawValue)")
            guard let former else { return }
            try take(over: former)
            try EarlierLog.remove(connection)
        }
    }

    /// In the transaction that is open.
    private func take(over former: RecoveredState) throws(SwarmError) {
        var next = LogState(hardState: former.hardState)
        if former.snapshotIndex > 0 {
            let head = StoredSnapshot(
                generation: 1, index: former.snapshotIndex, term: former.snapshotTerm,
                byteCount: former.snapshot.count, configuration: nil)
            for number in 0..<head.pieceCount {
                let start = number * StoredSnapshot.pieceByteCount
                let piece = Array(former.snapshot[start...].prefix(StoredSnapshot.pieceByteCount))
                try insert(imageSeal.close(piece, at: Self.place(ofPiece: number, head)), piece: number, of: head)
            }
            (next.snapshot, next.lastIndex) = (head, head.index)
        }
        for entry in former.entries {
            try connection.execute(
                "INSERT INTO log_entry VALUES (?, ?, ?, ?)",
                [
                    Self.value(entry.index), Self.value(entry.term), .integer(Int64(entry.kind.rawValue)),
                    .blob(entrySeal.close(entry.payload, at: Self.place(of: entry))),
                ])
            next.lastIndex = entry.index
        }
        try writeState(next)
    }

    private func hasTable(_ name: String) throws(SwarmError) -> Bool {
        try !connection.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [.text(name)]).isEmpty
    }

    // MARK: Keys

    /// Seals with other rings from now on; what lies under their older keys still opens.
    package func use(log: KeyRing, snapshot: KeyRing) throws(SwarmError) {
        let wasClear = entrySeal.ring == nil
        let former = (entrySeal, imageSeal)
        (entrySeal.ring, imageSeal.ring) = (log, snapshot)
        guard wasClear else { return }
        do throws(SwarmError) { try sealAll() } catch {
            (entrySeal, imageSeal) = former
            throw error
        }
    }

    /// Writes every record that lies under an older key anew, so that those keys can be dropped.
    package func reseal() throws(SwarmError) {
        var progress = Resealing()
        while try resealSome(&progress) {}
    }

    /// One transaction's worth of ``reseal()``, so that other writes can go in between.
    ///
    /// - Returns: whether more is left.
    package func resealSome(_ progress: inout Resealing) throws(SwarmError) -> Bool {
        if let entry = progress.entry {
            progress.entry = try rewriteEntries(after: entry, from: entrySeal)
        } else if let piece = progress.piece, let head = state.snapshot {
            progress.piece = try rewritePiece(after: piece, of: head, from: imageSeal)
        } else {
            try write { () throws(SwarmError) in try writeState(state) }
            return false
        }
        return true
    }

    /// All of it in one transaction: a file that is half sealed would have no name.
    private func sealAll() throws(SwarmError) {
        let (clearEntries, clearImage) = (RecordSeal(path: path, ring: nil), RecordSeal(path: path, ring: nil))
        let rows = try connection.query("SELECT record FROM log_state")
        guard rows.count == 1, case .blob(let record) = rows[0][0],
            let stored = LogState(encoded: try clearEntries.open(record, at: LogState.place))
        else { throw damaged(LogState.place.name, "it is missing") }
        try write { () throws(SwarmError) in
            var entry: LogIndex? = 0
            while let after = entry {
                entry = try rewriteEntries(after: after, from: clearEntries, inTransaction: true)
            }
            var piece = stored.snapshot.map { _ in Int64(0) }
            while let after = piece, let head = stored.snapshot {
                piece = try rewritePiece(after: after, of: head, from: clearImage, inTransaction: true)
            }
            try connection.execute(
                "DELETE FROM snapshot_piece WHERE id < ? OR id >= ?",
                [
                    .integer(Self.rows(of: stored.snapshot?.generation ?? 0).lowerBound),
                    .integer(Self.rows(of: stored.snapshot?.generation ?? 0).upperBound),
                ])
            try writeState(stored)
            try connection.execute("PRAGMA user_version = \(Form.sealed.rawValue)")
        }
    }

    /// - Returns: the last index that was looked at; nil when there is none after `index`.
    private func rewriteEntries(
        after index: LogIndex, from seal: RecordSeal, inTransaction: Bool = false
    ) throws(SwarmError) -> LogIndex? {
        let rows = try connection.query(
            "SELECT log_index, term, kind, record FROM log_entry WHERE log_index > ? ORDER BY log_index LIMIT ?",
            [Self.value(index), .integer(Int64(Self.resealedEntriesMax))])
        guard case .integer(let last)? = rows.last?.first else { return nil }
        let old = rows.filter { mustRewrite($0[3], from: seal) }
        try run(inTransaction, old.isEmpty) { () throws(SwarmError) in
            for row in old {
                let entry = try self.entry(row, seal)
                try connection.execute(
                    "UPDATE log_entry SET record = ? WHERE log_index = ?",
                    [.blob(entrySeal.close(entry.payload, at: Self.place(of: entry))), row[0]])
            }
        }
        return LogIndex(bitPattern: last)
    }

    /// - Returns: the row that was looked at; nil when there is none after `row`.
    private func rewritePiece(
        after row: Int64, of head: StoredSnapshot, from seal: RecordSeal, inTransaction: Bool = false
    ) throws(SwarmError) -> Int64? {
        let range = Self.rows(of: head.generation)
        let rows = try connection.query(
            "SELECT id, record FROM snapshot_piece WHERE id > ? AND id >= ? AND id < ? ORDER BY id LIMIT 1",
            [.integer(row), .integer(range.lowerBound), .integer(range.upperBound)])
        guard case .integer(let id)? = rows.first?[0], case .blob(let record)? = rows.first?[1] else { return nil }
        let number = Int(id - range.lowerBound)
        try run(inTransaction, !mustRewrite(.blob(record), from: seal)) { () throws(SwarmError) in
            let place = Self.place(ofPiece: number, head)
            try insert(imageSeal.close(try seal.open(record, at: place), at: place), piece: number, of: head)
        }
        return id
    }

    func insert(_ record: [UInt8], piece number: Int, of head: StoredSnapshot) throws(SwarmError) {
        try connection.execute(
            "INSERT OR REPLACE INTO snapshot_piece VALUES (?, ?)",
            [.integer(Self.rows(of: head.generation).lowerBound + Int64(number)), .blob(record)])
    }

    private func mustRewrite(_ record: SQLiteConnection.Value, from seal: RecordSeal) -> Bool {
        guard case .blob(let bytes) = record else { return true }
        return seal.ring == nil || seal.isSealedWithOlderKey(bytes)
    }

    private func run(
        _ isInTransaction: Bool, _ isNeedless: Bool, _ body: () throws(SwarmError) -> Void
    ) throws(SwarmError) {
        if isNeedless { return }
        if isInTransaction { try body() } else { try write(body) }
    }
}

/// The layout of the first release, which knew one node, no keys and no pieces.
private enum EarlierLog {
    static func read(_ connection: SQLiteConnection, _ path: String) throws(SwarmError) -> RecoveredState {
        var state = RecoveredState()
        for row in try connection.query("SELECT term, vote, checksum FROM hard_state") {
            guard case .integer(let term) = row[0] else { throw damaged(path, "hard state") }
            var vote: Int64?
            if case .integer(let member) = row[1] { vote = member }
            guard row[2] == checksum([term, vote ?? -1], []) else { throw damaged(path, "hard state") }
            state.hardState = HardState(term: Term(bitPattern: term), vote: vote.map { MemberID(bitPattern: $0) })
        }
        for row in try connection.query("SELECT log_index, term, image, checksum FROM snapshot") {
            guard case .integer(let index) = row[0], case .integer(let term) = row[1], case .blob(let image) = row[2],
                row[3] == checksum([index, term], image)
            else { throw damaged(path, "snapshot") }
            (state.snapshotIndex, state.snapshotTerm) = (LogIndex(bitPattern: index), Term(bitPattern: term))
            state.snapshot = image
        }
        for row in try connection.query(
            "SELECT log_index, term, kind, payload, checksum FROM entry ORDER BY log_index")
        {
            let last = state.entries.last?.index ?? state.snapshotIndex
            guard case .integer(let index) = row[0], case .integer(let term) = row[1],
                case .integer(let rawKind) = row[2], case .blob(let payload) = row[3],
                row[4] == checksum([index, term, rawKind], payload),
                let kind = UInt8(exactly: rawKind).flatMap(Entry.Kind.init(rawValue:))
            else { throw damaged(path, "entry after index \(last)") }
            let position = LogIndex(bitPattern: index)
            guard position > state.snapshotIndex else { continue }
            guard position == last + 1 else { throw damaged(path, "entry after index \(last)") }
            state.entries.append(
                Entry(term: Term(bitPattern: term), index: position, kind: kind, payload: payload))
        }
        return state
    }

    static func remove(_ connection: SQLiteConnection) throws(SwarmError) {
        for table in ["entry", "hard_state", "snapshot"] { try connection.execute("DROP TABLE \(table)") }
    }

    private static func damaged(_ path: String, _ what: String) -> SwarmError {
        Damage.error(path, what, "its checksum does not fit")
    }

    private static func checksum(_ numbers: [Int64], _ bytes: [UInt8]) -> SQLiteConnection.Value {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for number in numbers {
            for shift in stride(from: 0, to: 64, by: 8) {
                hash = (hash ^ (UInt64(bitPattern: number) >> UInt64(shift) & 0xFF)) &* 0x100_0000_01b3
            }
        }
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash ^= hash >> 29
        return .integer(Int64(bitPattern: hash &* 0x94D0_49BB_1331_11EB))
    }
}
