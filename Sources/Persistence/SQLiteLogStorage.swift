package import Consensus
package import SwarmCore

/// Raft's log, hard state and snapshot in one SQLite file; every call returns when the bytes are on the disk.
///
/// Each record carries a checksum over all its fields: a flipped bit is refused by name, never replayed.
package final class SQLiteLogStorage: Sendable {
    private let connection: SQLiteConnection
    private let path: String

    package init(path: String) throws(SwarmError) {
        self.path = path
        connection = try SQLiteConnection(path: path)
        try connection.execute(
            """
            CREATE TABLE IF NOT EXISTS entry (
              log_index INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL,
              payload BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT
            """)
        try connection.execute(
            "CREATE TABLE IF NOT EXISTS hard_state (id INTEGER PRIMARY KEY CHECK (id = 1), term INTEGER NOT NULL, "
                + "vote INTEGER, checksum INTEGER NOT NULL) STRICT")
        try connection.execute(
            "CREATE TABLE IF NOT EXISTS snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), "
                + "log_index INTEGER NOT NULL, term INTEGER NOT NULL, image BLOB NOT NULL, "
                + "checksum INTEGER NOT NULL) STRICT")
    }

    /// Everything a member needs to go on where it stopped.
    package func recover() throws(SwarmError) -> RecoveredState {
        var state = RecoveredState()
        for row in try connection.query("SELECT term, vote, checksum FROM hard_state") {
            guard case .integer(let term) = row[0], case .integer(let sum) = row[2] else {
                throw damaged("hard state")
            }
            var vote: Int64?
            if case .integer(let member) = row[1] { vote = member }
            guard sum == checksum([term, vote ?? -1], []) else { throw damaged("hard state") }
            state.hardState = HardState(
                term: Term(bitPattern: term), vote: vote.map { MemberID(bitPattern: $0) })
        }
        for row in try connection.query("SELECT log_index, term, image, checksum FROM snapshot") {
            guard case .integer(let index) = row[0], case .integer(let term) = row[1],
                case .blob(let image) = row[2], case .integer(let sum) = row[3],
                sum == checksum([index, term], image)
            else { throw damaged("snapshot") }
            state.snapshotIndex = LogIndex(bitPattern: index)
            state.snapshotTerm = Term(bitPattern: term)
            state.snapshot = image
        }
        for row in try connection.query(
            "SELECT log_index, term, kind, payload, checksum FROM entry ORDER BY log_index")
        {
            guard case .integer(let index) = row[0], case .integer(let term) = row[1],
                case .integer(let rawKind) = row[2], case .blob(let payload) = row[3],
                case .integer(let sum) = row[4], sum == checksum([index, term, rawKind], payload),
                let kind = UInt8(exactly: rawKind).flatMap(Entry.Kind.init(rawValue:))
            else { throw damaged("entry after index \(state.entries.last?.index ?? state.snapshotIndex)") }
            let position = LogIndex(bitPattern: index)
            guard position > state.snapshotIndex else { continue }
            guard position == (state.entries.last?.index ?? state.snapshotIndex) + 1 else {
                throw damaged("entry \(position), which does not follow the one before it")
            }
            state.entries.append(
                Entry(term: Term(bitPattern: term), index: position, kind: kind, payload: payload))
        }
        return state
    }

    package func persist(_ batch: LogBatch) throws(SwarmError) {
        try connection.transaction { () throws(SwarmError) in
            if let hardState = batch.hardState {
                let term = Int64(bitPattern: hardState.term)
                let vote = hardState.vote.map { Int64(bitPattern: $0) }
                try connection.execute(
                    "INSERT OR REPLACE INTO hard_state VALUES (1, ?, ?, ?)",
                    [
                        .integer(term), vote.map { .integer($0) } ?? .null,
                        .integer(checksum([term, vote ?? -1], [])),
                    ])
            }
            if let index = batch.truncateFrom {
                try connection.execute(
                    "DELETE FROM entry WHERE log_index >= ?", [.integer(Int64(bitPattern: index))])
            }
            for entry in batch.entries {
                let numbers = [
                    Int64(bitPattern: entry.index), Int64(bitPattern: entry.term), Int64(entry.kind.rawValue),
                ]
                try connection.execute(
                    "INSERT INTO entry VALUES (?, ?, ?, ?, ?)",
                    numbers.map { .integer($0) } + [
                        .blob(entry.payload), .integer(checksum(numbers, entry.payload)),
                    ])
            }
        }
    }

    /// Replaces the snapshot and forgets the entries that it covers, in one transaction.
    package func saveSnapshot(index: LogIndex, term: Term, image: [UInt8]) throws(SwarmError) {
        let numbers = [Int64(bitPattern: index), Int64(bitPattern: term)]
        try connection.transaction { () throws(SwarmError) in
            try connection.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?)",
                numbers.map { .integer($0) } + [.blob(image), .integer(checksum(numbers, image))])
            try connection.execute("DELETE FROM entry WHERE log_index <= ?", [.integer(numbers[0])])
        }
    }

    private func damaged(_ what: String) -> SwarmError {
        SwarmError(
            .internal,
            "\(path): the \(what) is damaged; stop swarmd and restore the file from a backup, "
                + "or remove this node's state and join again")
    }

    /// FNV-1a over the numbers and the bytes, then mixed: finds any single flipped bit.
    private func checksum(_ numbers: [Int64], _ bytes: [UInt8]) -> Int64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for number in numbers {
            for shift in stride(from: 0, to: 64, by: 8) {
                hash = (hash ^ (UInt64(bitPattern: number) >> UInt64(shift) & 0xFF)) &* 0x100_0000_01b3
            }
        }
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash ^= hash >> 29
        return Int64(bitPattern: hash &* 0x94D0_49BB_1331_11EB)
    }
}
