import CSQLite
import Glibc
package import SwarmCore

/// One SQLite connection and its prepared statements; used by one thread at a time, which its owner
/// guarantees.
///
/// A `final class` with a handle inside: `@safe` because no raw pointer leaves it, and `@unchecked Sendable`
/// because it is handed to exactly one ``BlockingThread``.
@safe package final class SQLiteConnection: @unchecked Sendable {
    private var handle: OpaquePointer?
    private var statements: [String: Statement] = [:]
    private let path: String

    /// One value of a row or of a parameter list.
    package enum Value: Sendable, Equatable {
        case null, integer(Int64), text(String), blob([UInt8])
    }

    /// Opens or creates the database at `path` for durable writes: WAL, and `synchronous` read back as FULL.
    ///
    /// - Parameter isExclusive: nobody else can open the file. Then it needs no file for shared memory, so that it
    ///   opens on a full disk too.
    package init(path: String, isExclusive: Bool = false) throws(SwarmError) {
        self.path = path
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let status = unsafe sqlite3_open_v2(path, &handle, flags, nil)
        guard status == SQLITE_OK else { throw failure("sqlite3_open_v2", status) }
        try configure(isExclusive)
    }

    deinit {
        statements = [:]
        unsafe sqlite3_close_v2(handle)
    }

    /// A prepared statement, finalized with its owner.
    @safe private final class Statement {
        let handle: OpaquePointer

        init(handle: OpaquePointer) { unsafe self.handle = handle }

        deinit { unsafe sqlite3_finalize(handle) }
    }

    /// The database with its journal; nobody may have it open.
    package static func removeFile(_ path: String) {
        for suffix in ["", "-wal", "-shm"] { unsafe unlink(path + suffix) }
    }

    private func configure(_ isExclusive: Bool) throws(SwarmError) {
        unsafe sqlite3_busy_timeout(handle, 2_000)
        if isExclusive { _ = try query("PRAGMA locking_mode=EXCLUSIVE") }
        _ = try query("PRAGMA journal_mode=WAL")
        _ = try query("PRAGMA synchronous=FULL")
        // Pages go to the journal when a transaction is complete, each once: see `JournalFile`.
        _ = try query("PRAGMA cache_spill=OFF")
        // Raft's votes depend on it: a library or build that overrides the pragma must not go unnoticed.
        guard try query("PRAGMA synchronous") == [[.integer(2)]] else {
            throw SwarmError(
                .internal, "\(path): SQLite does not sync every commit; the log would lose votes")
        }
    }

    package func execute(_ sql: String, _ parameters: [Value] = []) throws(SwarmError) {
        _ = try query(sql, parameters)
    }

    /// Runs `body` in one transaction: all of it is durable, or none.
    package func transaction(_ body: () throws(SwarmError) -> Void) throws(SwarmError) {
        try execute("BEGIN IMMEDIATE")
        do {
            try body()
            try execute("COMMIT")
        } catch {
            // The failure that matters is the first; a rollback can only fail when there is nothing to roll
            // back.
            try? execute("ROLLBACK")
            throw error
        }
    }

    /// Moves the journal into the file and empties it, so that nothing of a failed write is left behind.
    package func emptyJournal() throws(SwarmError) { _ = try query("PRAGMA wal_checkpoint(TRUNCATE)") }

    package func query(_ sql: String, _ parameters: [Value] = []) throws(SwarmError) -> [[Value]] {
        var rows: [[Value]] = []
        try forEachRow(sql, parameters) { rows.append($0) }
        return rows
    }

    /// Hands over one row after the other, so that large ones are never all in memory.
    package func forEachRow(
        _ sql: String, _ parameters: [Value] = [], _ body: ([Value]) throws(SwarmError) -> Void
    ) throws(SwarmError) {
        let statement = try unsafe prepared(sql)
        defer {
            unsafe sqlite3_reset(statement)
            unsafe sqlite3_clear_bindings(statement)
        }
        for (index, parameter) in parameters.enumerated() {
            let status = unsafe bind(parameter, at: Int32(index + 1), to: statement)
            guard status == SQLITE_OK else { throw failure("sqlite3_bind", status) }
        }
        while true {
            switch unsafe sqlite3_step(statement) {
            case SQLITE_ROW: try body(unsafe row(of: statement))
            case SQLITE_DONE: return
            case let status: throw failure("sqlite3_step", status)
            }
        }
    }

    private func prepared(_ sql: String) throws(SwarmError) -> OpaquePointer {
        if let statement = statements[sql] { return unsafe statement.handle }
        var statement: OpaquePointer?
        let status = unsafe sqlite3_prepare_v3(
            handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard status == SQLITE_OK, let made = unsafe statement else {
            throw failure("sqlite3_prepare_v3", status)
        }
        statements[sql] = unsafe Statement(handle: made)
        return unsafe made
    }

    private func bind(_ value: Value, at index: Int32, to statement: OpaquePointer) -> Int32 {
        // SQLITE_TRANSIENT: SQLite copies the bytes before the call returns.
        let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        switch value {
        case .null: return unsafe sqlite3_bind_null(statement, index)
        case .integer(let number): return unsafe sqlite3_bind_int64(statement, index, number)
        case .text(let text): return unsafe sqlite3_bind_text(statement, index, text, -1, transient)
        case .blob(let bytes):
            guard !bytes.isEmpty else { return unsafe sqlite3_bind_zeroblob(statement, index, 0) }
            return unsafe bytes.withUnsafeBytes { buffer in
                unsafe sqlite3_bind_blob64(
                    statement, index, buffer.baseAddress, UInt64(buffer.count), transient)
            }
        }
    }

    private func row(of statement: OpaquePointer) -> [Value] {
        unsafe (0..<sqlite3_column_count(statement)).map { column in
            switch unsafe sqlite3_column_type(statement, column) {
            case SQLITE_INTEGER: return .integer(unsafe sqlite3_column_int64(statement, column))
            case SQLITE_TEXT:
                guard let text = unsafe sqlite3_column_text(statement, column) else { return .null }
                return .text(unsafe String(cString: text))
            case SQLITE_BLOB:
                let count = Int(unsafe sqlite3_column_bytes(statement, column))
                guard count > 0, let start = unsafe sqlite3_column_blob(statement, column) else {
                    return .blob([])
                }
                return .blob(unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: count)))
            default: return .null
            }
        }
    }

    private func failure(_ call: String, _ status: Int32) -> SwarmError {
        let reason =
            unsafe handle.flatMap { unsafe sqlite3_errmsg($0) }.map { unsafe String(cString: $0) }
            ?? "unknown"
        let text = "\(path): \(call) failed with \(status): \(reason)"
        // A full disk hides behind an I/O error when only the sync notices it.
        let number = unsafe handle.map { unsafe sqlite3_system_errno($0) } ?? 0
        let isFull = status & 0xFF == SQLITE_IOERR && (number == ENOSPC || number == EDQUOT)
        switch isFull ? SQLITE_FULL : status & 0xFF {
        case SQLITE_FULL:
            return SwarmError(
                .resourceExhausted, "\(text); free space on that disk: writes resume by themselves")
        case SQLITE_IOERR, SQLITE_BUSY, SQLITE_LOCKED, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_NOMEM,
            SQLITE_PROTOCOL:
            return SwarmError(.unavailable, "\(text); check that disk: writes resume by themselves")
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return SwarmError(.internal, "\(text); the file is damaged: restore it from a backup or a peer")
        default: return SwarmError(.internal, text)
        }
    }
}
