import ClusterSecurity
import Consensus
import Glibc
import SwarmCore
import Testing

@testable import Persistence

/// Bits that flip, files that are cut, records that are moved: refused by name or harmless, never another state.
@Suite struct DamageTests {
    @Test(arguments: ["term", "kind"], [false, true])
    func `a number of an entry that changed is refused`(column: String, isSealed: Bool) throws {
        try refused(isSealed, "UPDATE log_entry SET \(column) = \(column) | 2 WHERE log_index = 2", "entry 2")
    }

    @Test(arguments: [false, true])
    func `records that are gone, moved or doubled are refused`(isSealed: Bool) throws {
        try refused(isSealed, "DELETE FROM log_entry WHERE log_index = 2", "entry 2")
        try refused(isSealed, "DELETE FROM log_entry WHERE log_index = 3", "end of the log")
        try refused(isSealed, "DELETE FROM log_state", "hard state")
        try refused(
            isSealed,
            "UPDATE log_entry SET record = (SELECT record FROM log_entry WHERE log_index = 3) WHERE log_index = 2",
            "entry 2")
        try refused(
            isSealed, "UPDATE log_state SET record = (SELECT record FROM log_entry WHERE log_index = 2)", "hard state")
        try refused(isSealed, "DELETE FROM snapshot_piece WHERE id & 1 = 1", "snapshot")
        try refused(
            isSealed, "UPDATE snapshot_piece SET record = (SELECT record FROM snapshot_piece ORDER BY id LIMIT 1)",
            "snapshot at index 1, piece 1")
        try refused(isSealed, "PRAGMA user_version = 9", "format")
        try refused(isSealed, "PRAGMA user_version = 0", "format")
    }

    /// Three entries and a snapshot of two pieces, then that change by hand.
    private func refused(_ isSealed: Bool, _ change: String, _ words: String) throws {
        let scratch = Scratch(in: "/dev/shm")
        func open() throws -> SQLiteLogStorage {
            isSealed ? try Rings.storage(scratch.database, Rings.first) : try SQLiteLogStorage(path: scratch.database)
        }
        do {
            let storage = try open()
            try storage.persist(Batches.batch(1, Batches.entries(1...3), term: 1))
            try storage.saveSnapshot(
                index: 1, term: 1, configuration: nil, image: [UInt8](repeating: 3, count: 1 << 20 + 1))
            #expect(try storage.recover().entries.count == 2)
        }
        try SQLiteConnection(path: scratch.database).execute(change)
        let error = #expect(throws: SwarmError.self) { try open().recover() }
        #expect(error?.message.contains(words) == true, "\(change): \(error?.message ?? "")")
        #expect(error?.diskTrouble == .damaged)
    }

    /// What a store is like after each of its batches, and its files while it is open.
    private func history(
        _ scratch: Scratch, batches: Int, inJournal journaled: Int
    ) throws -> (states: [RecoveredState], database: [UInt8], journal: [UInt8]) {
        let storage = try Rings.storage(scratch.database, Rings.first)
        var states = [try storage.recover()]
        for number in 1...UInt64(batches) {
            if number == UInt64(batches - journaled + 1) { try storage.connection.emptyJournal() }
            if number % 4 == 0 {
                try storage.persist(
                    Batches.batch(number, [Batches.entry(number - 1, term: number)], term: number, truncate: number - 1))
            } else {
                let last = states[states.count - 1].entries.last?.index ?? 0
                var entries = [Batches.entry(last + 1, term: number), Batches.entry(last + 2, term: number)]
                if number % 3 == 0 { entries[1].payload = [UInt8](repeating: UInt8(number), count: 6000) }
                try storage.persist(Batches.batch(number, entries, term: number))
            }
            states.append(try storage.recover())
        }
        return (states, Files.read(scratch.database), Files.read(scratch.journal))
    }

    /// Every byte of a frame's head, and some of its page; all of the file's head.
    private func offsets(_ journal: [UInt8]) -> [Int] {
        let frame = 4096 + 24
        return Array(0..<32)
            + (32..<journal.count).filter { offset in
                let place = (offset - 32) % frame
                return place < 24 || place % 257 == 3 || place > frame - 3
            }
    }

    private func outcome(_ database: [UInt8], _ journal: [UInt8], _ scratch: Scratch) -> Result<RecoveredState, SwarmError> {
        scratch.remove()
        Files.write(scratch.database, database)
        if !journal.isEmpty { Files.write(scratch.journal, journal) }
        do throws(SwarmError) {
            let storage = try SQLiteLogStorage(
                path: scratch.database, log: Rings.log(Rings.first), snapshot: Rings.snapshot(Rings.first),
                isExclusive: true)
            return .success(try storage.recover())
        } catch {
            return .failure(error)
        }
    }

    @Test func `a journal cut anywhere gives the state after one of the batches, the last but one at worst if only that was being written`() throws {
        let scratch = Scratch(in: "/dev/shm")
        let (states, database, journal) = try history(scratch, batches: 6, inJournal: 5)
        let copy = Scratch(in: "/dev/shm")
        #expect(try outcome(database, journal, copy).get() == states[6])
        var reached: Set<Int> = []
        for length in offsets(journal) + [journal.count] {
            let state = try outcome(database, Array(journal[..<length]), copy).get()
            guard let number = states.firstIndex(of: state) else {
                Issue.record("cut at \(length): a state that never was")
                continue
            }
            reached.insert(number)
        }
        #expect(reached == Set(1...6))
    }

    @Test func `a bit that flips in the journal loses nothing that was acknowledged before the last write`() throws {
        let scratch = Scratch(in: "/dev/shm")
        let (states, database, journal) = try history(scratch, batches: 6, inJournal: 5)
        let copy = Scratch(in: "/dev/shm")
        var (refused, kept, shortened) = (0, 0, 0)
        for offset in offsets(journal) {
            var changed = journal
            changed[offset] ^= 1 << UInt8(offset % 8)
            switch outcome(database, changed, copy) {
            case .failure(let error):
                refused += 1
                #expect(error.message.contains("journal is damaged"), "at \(offset): \(error.message)")
            case .success(states[6]): kept += 1
            // As after a power failure in the midst of the last write.
            case .success(states[5]): shortened += 1
            case .success: Issue.record("at \(offset): a state that was left behind long ago")
            }
        }
        #expect(refused > 100 && shortened > 10, "\(refused) \(kept) \(shortened)")
    }

    @Test func `a bit that flips in the file is refused or does not matter`() throws {
        let scratch = Scratch(in: "/dev/shm")
        let states = try history(scratch, batches: 12, inJournal: 12).states
        // Closed: everything is in the file.
        let database = Files.read(scratch.database)
        let copy = Scratch(in: "/dev/shm")
        #expect(try outcome(database, [], copy).get() == states[12])
        var (refused, kept) = (0, 0)
        for offset in Array(0..<512) + Array(stride(from: 512, to: database.count, by: 37)) {
            var changed = database
            changed[offset] ^= 1 << UInt8(offset % 8)
            switch outcome(changed, [], copy) {
            case .failure(let error):
                refused += 1
                #expect(!error.diskTrouble.mayPass, "at \(offset): \(error.message)")
            case .success(let state):
                kept += 1
                #expect(state == states[12], "at \(offset)")
            }
        }
        #expect(refused > 100, "\(refused) \(kept)")
    }

    @Test func `a journal that a crash left behind twice is no damage`() throws {
        let scratch = Scratch(in: "/dev/shm")
        let (states, database, journal) = try history(scratch, batches: 6, inJournal: 5)
        // The last write is torn in its middle: its end is there, its beginning is not.
        var torn = journal
        let frame = 4096 + 24
        let last = (journal.count - 32) / frame
        for offset in (32 + (last - 2) * frame)..<(32 + (last - 1) * frame) { torn[offset] = 0 }
        let copy = Scratch(in: "/dev/shm")
        #expect(try outcome(database, torn, copy).get() == states[5])
        // What the store writes next does not meet the remains.
        let storage = try Rings.storage(copy.database, Rings.first)
        let next = (states[5].entries.last?.index ?? 0) + 1
        try storage.persist(Batches.batch(9, [Batches.entry(next)]))
        try JournalFile.check(copy.journal)
    }

    // MARK: Keys

    @Test func `nothing of what is stored can be read without the key`() throws {
        let scratch = Scratch()
        let word = Array("a very secret word".utf8)
        do {
            let storage = try Rings.storage(scratch.database, Rings.first)
            try storage.persist(Batches.batch(1, [Entry(term: 1, index: 1, kind: .command, payload: word)], term: 1))
            try storage.persist(Batches.batch(2, [Entry(term: 1, index: 2, kind: .command, payload: word)]))
            try storage.saveSnapshot(index: 1, term: 1, configuration: nil, image: word)
            for file in [scratch.database, scratch.journal] {
                #expect(!Files.read(file).contains(word))
            }
        }
        #expect(!Files.read(scratch.database).contains(word))
        for open in [
            { try SQLiteLogStorage(path: scratch.database) }, { try Rings.storage(scratch.database, Rings.second) },
        ] {
            let error = #expect(throws: SwarmError.self) { try open() }
            #expect(error?.message.contains("seal") == true || error?.message.contains("key") == true)
        }
        #expect(try Rings.storage(scratch.database, Rings.first).recover().snapshot == word)
    }

    @Test func `a new key seals what comes, the old one opens what was, until all is sealed anew`() throws {
        let scratch = Scratch()
        let image = [UInt8](repeating: 9, count: 3 << 20)
        do {
            let storage = try Rings.storage(scratch.database, Rings.first)
            try storage.persist(Batches.batch(1, Batches.entries(1...200), term: 1))
            try storage.saveSnapshot(index: 2, term: 1, configuration: nil, image: image)
        }
        do {
            let storage = try Rings.storage(scratch.database, Rings.second, Rings.first)
            try storage.persist(Batches.batch(2, [Batches.entry(201)]))
            #expect(try storage.recover().entries.count == 199)
        }
        #expect(throws: SwarmError.self) { try Rings.storage(scratch.database, Rings.second).recover() }
        let storage = try Rings.storage(scratch.database, Rings.second, Rings.first)
        try storage.reseal()
        let state = try Rings.storage(scratch.database, Rings.second).recover()
        #expect(state.entries == Batches.entries(3...201))
        #expect(state.snapshot == image)
        #expect(throws: SwarmError.self) { try Rings.storage(scratch.database, Rings.first).recover() }
    }

    @Test func `a clear file is sealed as a whole when it is opened with a key`() throws {
        let scratch = Scratch()
        do {
            let storage = try SQLiteLogStorage(path: scratch.database)
            try storage.persist(Batches.batch(1, Batches.entries(1...200), term: 1))
            try storage.saveSnapshot(index: 2, term: 1, configuration: nil, image: [1, 2, 3])
        }
        let before = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(try Rings.storage(scratch.database, Rings.first).recover() == before)
        #expect(throws: SwarmError.self) { try SQLiteLogStorage(path: scratch.database) }
        // A clear record in a sealed file is a forgery.
        let clear = RecordSeal(path: "", ring: nil).close([1], at: SQLiteLogStorage.place(of: Batches.entry(3)))
        try SQLiteConnection(path: scratch.database).execute(
            "UPDATE log_entry SET record = ? WHERE log_index = 3", [.blob(clear)])
        #expect(throws: SwarmError.self) { try Rings.storage(scratch.database, Rings.first).recover() }
    }
}
