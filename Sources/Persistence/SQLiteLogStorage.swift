package import ClusterSecurity
package import Consensus
package import SwarmCore

/// Raft's log, hard state and snapshot in one SQLite file; every call returns when the bytes are on the disk.
///
/// One record says what there must be: term, vote, the last index and the snapshot's head. It is written with every
/// batch, in the same transaction, so that lost rows are noticed like changed ones. Entries and the snapshot's image,
/// in pieces of 1 MiB, are records of their own. With rings all of them are sealed, each for its own place; without
/// (tests), each carries a checksum. Damage is refused by name and never replayed.
///
/// Used by one thread at a time; see ``LogWriter``. Errors are sorted by ``SwarmError/diskTrouble``.
package final class SQLiteLogStorage {
    let path: String
    let connection: SQLiteConnection
    var entrySeal: RecordSeal
    var imageSeal: RecordSeal
    /// What the disk has.
    var state = LogState()
    /// The highest number that pieces of a snapshot have.
    var lastGeneration: UInt64 = 0
    /// Snapshots whose pieces are being written; what belongs to none of them and is not in force is garbage.
    var beingWritten: Set<UInt64> = []
    /// A write failed half-way: its remains must not look like damage after a crash.
    private var mustEmptyJournal = false

    /// Opens the file or makes it; one that was written without rings is sealed first.
    ///
    /// - Parameters:
    ///   - log: of purpose `.raftLog`, primary key first.
    ///   - snapshot: of purpose `.snapshot`; given if and only if `log` is.
    ///   - isExclusive: see ``SQLiteConnection``.
    package init(
        path: String, log: KeyRing? = nil, snapshot: KeyRing? = nil, isExclusive: Bool = false
    ) throws(SwarmError) {
        precondition((log == nil) == (snapshot == nil), "both rings or none")
        precondition(log?.purpose ?? .raftLog == .raftLog && snapshot?.purpose ?? .snapshot == .snapshot, "mixed up")
        self.path = path
        (entrySeal, imageSeal) = (RecordSeal(path: path, ring: log), RecordSeal(path: path, ring: snapshot))
        try JournalFile.check(path + "-wal")
        connection = try SQLiteConnection(path: path, isExclusive: isExclusive)
        // A full disk cannot take the journal, which then simply stays.
        do throws(SwarmError) { try connection.emptyJournal() } catch {
            guard error.diskTrouble.mayPass else { throw error }
        }
        try prepareFile()
        state = try readState()
        let newest = try connection.query("SELECT max(id) FROM snapshot_piece")
        if case .integer(let id)? = newest.first?.first { lastGeneration = UInt64(bitPattern: id >> Self.pieceBits) }
        lastGeneration = max(lastGeneration, state.snapshot?.generation ?? 0)
    }

    /// Everything a member needs to go on where it stopped.
    package func recover() throws(SwarmError) -> RecoveredState {
        state = try readState()
        var recovered = RecoveredState()
        recovered.hardState = state.hardState
        if let head = state.snapshot {
            (recovered.snapshotIndex, recovered.snapshotTerm) = (head.index, head.term)
            (recovered.configuration, recovered.snapshot) = (head.configuration, try image(of: head))
        }
        var last = state.snapshotIndex
        try connection.forEachRow(
            "SELECT log_index, term, kind, record FROM log_entry WHERE log_index > ? ORDER BY log_index",
            [Self.value(last)]
        ) { row throws(SwarmError) in
            let entry = try self.entry(row, entrySeal)
            guard entry.index == last + 1 else { throw damaged("entry \(last + 1)", "it is missing") }
            last = entry.index
            recovered.entries.append(entry)
        }
        guard last == state.lastIndex else {
            throw damaged("end of the log", "it ends at \(last) and not at \(state.lastIndex)")
        }
        return recovered
    }

    package func persist(_ batch: LogBatch) throws(SwarmError) { try persist([batch]) }

    /// Writes all of them in one transaction; snapshots that are among them go ahead piece by piece, and count
    /// from then on only.
    package func persist(_ batches: [LogBatch]) throws(SwarmError) {
        var writings: [SnapshotWriting?] = []
        defer { for case let writing? in writings { abandon(writing) } }
        for batch in batches {
            guard let snapshot = batch.snapshot, snapshot.index > state.snapshotIndex else {
                writings.append(nil)
                continue
            }
            var writing = beginSnapshot(
                index: snapshot.index, term: snapshot.term, configuration: snapshot.configuration,
                image: snapshot.image)
            writings.append(writing)
            while try writePiece(of: &writing) {}
        }
        var next = state
        try write { () throws(SwarmError) in
            for (batch, writing) in zip(batches, writings) { try apply(batch, writing?.head, to: &next) }
            try writeState(next)
        }
        state = next
    }

    /// Forgets term, vote, log and snapshot; the image's pieces are garbage from then on.
    package func eraseLog() throws(SwarmError) {
        try write { () throws(SwarmError) in
            try connection.execute("DELETE FROM log_entry")
            try writeState(LogState())
        }
        state = LogState()
    }

    /// Makes this member the whole cluster (`--force-new-cluster`), in one transaction.
    ///
    /// - Returns: what is stored from then on.
    @discardableResult
    package func forceNewCluster(of member: MemberID) throws(SwarmError) -> RecoveredState {
        var recovered = try recover()
        try persist([recovered.forceNewCluster(of: member)])
        return recovered
    }

    // MARK: Steps

    private func apply(
        _ batch: LogBatch, _ snapshot: StoredSnapshot?, to next: inout LogState
    ) throws(SwarmError) {
        if let hardState = batch.hardState { next.hardState = hardState }
        if let snapshot { try replaceSnapshot(with: snapshot, in: &next) }
        if let first = batch.truncateFrom, first <= next.lastIndex {
            try connection.execute("DELETE FROM log_entry WHERE log_index >= ?", [Self.value(first)])
            next.lastIndex = max(first == 0 ? 0 : first - 1, next.snapshotIndex)
        }
        for entry in batch.entries where entry.index > next.snapshotIndex {
            guard entry.index == next.lastIndex + 1 else {
                throw SwarmError(
                    .internal, "\(path): entry \(entry.index) cannot follow entry \(next.lastIndex) in the log")
            }
            try connection.execute(
                "INSERT INTO log_entry VALUES (?, ?, ?, ?)",
                [
                    Self.value(entry.index), Self.value(entry.term), .integer(Int64(entry.kind.rawValue)),
                    .blob(entrySeal.close(entry.payload, at: Self.place(of: entry))),
                ])
            next.lastIndex = entry.index
        }
    }

    /// A snapshot that is not newer than the stored one changes nothing.
    func replaceSnapshot(with head: StoredSnapshot, in next: inout LogState) throws(SwarmError) {
        guard head.index > next.snapshotIndex else { return }
        next.snapshot = head
        next.lastIndex = max(next.lastIndex, head.index)
        try connection.execute("DELETE FROM log_entry WHERE log_index <= ?", [Self.value(head.index)])
    }

    /// One transaction.
    func write(_ body: () throws(SwarmError) -> Void) throws(SwarmError) {
        do throws(SwarmError) { try connection.transaction(body) } catch {
            mustEmptyJournal = true
            throw error
        }
        // Only if it can be done now: it is tidiness, and what was written is written.
        if mustEmptyJournal, (try? connection.emptyJournal()) != nil { mustEmptyJournal = false }
    }

    func writeState(_ state: LogState) throws(SwarmError) {
        let record = entrySeal.close(state.encoded(), at: LogState.place)
        try connection.execute("INSERT OR REPLACE INTO log_state VALUES (1, ?)", [.blob(record)])
    }

    private func readState() throws(SwarmError) -> LogState {
        let rows = try connection.query("SELECT record FROM log_state")
        guard rows.count == 1, case .blob(let record) = rows[0][0] else {
            throw damaged(LogState.place.name, "it is missing")
        }
        guard let state = LogState(encoded: try entrySeal.open(record, at: LogState.place)) else {
            throw damaged(LogState.place.name, "was it written by a newer swarmd?")
        }
        return state
    }

    /// From a row of index, term, kind and record.
    func entry(_ row: [SQLiteConnection.Value], _ seal: RecordSeal) throws(SwarmError) -> Entry {
        guard case .integer(let index) = row[0] else { throw damaged("log", "a row is no entry") }
        guard case .integer(let term) = row[1], case .integer(let number) = row[2], case .blob(let record) = row[3],
            let kind = UInt8(exactly: number).flatMap(Entry.Kind.init(rawValue:))
        else { throw damaged("entry \(index)", "it is of no kind") }
        var entry = Entry(term: Term(bitPattern: term), index: LogIndex(bitPattern: index), kind: kind)
        entry.payload = try seal.open(record, at: Self.place(of: entry))
        return entry
    }

    func damaged(_ what: String, _ why: String) -> SwarmError { Damage.error(path, what, why) }

    static func value(_ number: UInt64) -> SQLiteConnection.Value { .integer(Int64(bitPattern: number)) }

    static func place(of entry: Entry) -> Place {
        Place("entry \(entry.index)", kind: 1, [entry.index, entry.term, UInt64(entry.kind.rawValue)])
    }
}
