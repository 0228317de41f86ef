import Consensus
import Glibc
import SwarmCore
import Testing

@testable import Persistence

@Suite struct LogWriterTests {
    @Test func `what is appended is written in order and reported`() async throws {
        let scratch = Scratch()
        let reports = Reports()
        let writer = try LogWriter(path: scratch.database, Rings.log(Rings.first), Rings.snapshot(Rings.first)) {
            reports.take($0)
        }
        #expect(try await writer.recover() == RecoveredState())
        for number in 1...500 as ClosedRange<UInt64> { writer.append(Batches.batch(number, [Batches.entry(number)])) }
        #expect(await reports.wait { $0.persisted.last == 500 })
        #expect(reports.persisted == reports.persisted.sorted())
        #expect(reports.persisted.count < 500, "batches that wait share a transaction")
        await writer.shutdown()
        #expect(try Rings.storage(scratch.database, Rings.first).recover().entries == Batches.entries(1...500))
    }

    @Test func `more batches than may wait are joined, none is lost`() async throws {
        let scratch = Scratch()
        let reports = Reports()
        var pipes: [Int32] = [0, 0]
        #expect(pipe(&pipes) == 0)
        let (waiting, opening) = (pipes[0], pipes[1])
        // The first report keeps the writer's thread until all the others have come.
        let writer = try LogWriter(path: scratch.database) { report in
            var byte: UInt8 = 0
            _ = read(waiting, &byte, 1)
            reports.take(report)
        }
        let count = UInt64(2 * LogWriter.queueBatchesMax)
        for number in 1...count { writer.append(Batches.batch(number, [Batches.entry(number)], term: number)) }
        close(opening)
        #expect(await reports.wait { $0.persisted.last == count })
        #expect(reports.persisted.count < 40)
        close(waiting)
        await writer.shutdown()
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state.entries.count == Int(count))
        #expect(state.hardState.term == count)
    }

    @Test func `a snapshot does not hold up batches, and is there afterwards`() async throws {
        let scratch = Scratch()
        let reports = Reports()
        let writer = try LogWriter(path: scratch.database, Rings.log(Rings.first), Rings.snapshot(Rings.first)) {
            reports.take($0)
        }
        writer.append(Batches.batch(1, Batches.entries(1...9), term: 1))
        let image = [UInt8](repeating: 5, count: 24 << 20)
        let saving = Task { try await writer.saveSnapshot(index: 5, term: 1, configuration: nil, image: image, generation: 0) }
        for number in 2...20 as ClosedRange<UInt64> {
            writer.append(Batches.batch(number, [Batches.entry(8 + number)]))
            #expect(await reports.wait { ($0.persisted.last ?? 0) >= number })
        }
        #expect(try await saving.value)
        #expect(try await !writer.saveSnapshot(index: 4, term: 1, configuration: nil, image: [1], generation: 0))
        await writer.shutdown()
        let storage = try Rings.storage(scratch.database, Rings.first)
        let state = try storage.recover()
        #expect(state.snapshot == image)
        #expect(state.entries.map(\.index) == Array(6...28))
        #expect(try storage.connection.query("SELECT count(*) FROM snapshot_piece") == [[.integer(24)]])
    }

    @Test func `a snapshot of an erased log is not saved, however late it comes`() async throws {
        let scratch = Scratch()
        let reports = Reports()
        let writer = try LogWriter(path: scratch.database) { reports.take($0) }
        let generation = writer.generation
        writer.append(Batches.batch(1, Batches.entries(1...9), term: 5))
        writer.erase()
        #expect(
            try await !writer.saveSnapshot(index: 5, term: 5, configuration: nil, image: [1], generation: generation))
        writer.append(Batches.batch(2, Batches.entries(1...3), term: 1))
        #expect(await reports.wait { $0.persisted.last == 2 })
        #expect(
            try await writer.saveSnapshot(
                index: 2, term: 1, configuration: nil, image: [2], generation: writer.generation))
        await writer.shutdown()
        #expect(try SQLiteLogStorage(path: scratch.database).recover().snapshot == [2])
    }

    @Test func `an erased log has nothing of before, and what comes afterwards`() async throws {
        let scratch = Scratch()
        let reports = Reports()
        let writer = try LogWriter(path: scratch.database) { reports.take($0) }
        writer.append(Batches.batch(1, Batches.entries(1...9), term: 5))
        #expect(await reports.wait { $0.persisted == [1] })
        let image = [UInt8](repeating: 5, count: 8 << 20)
        let saving = Task { try await writer.saveSnapshot(index: 5, term: 1, configuration: nil, image: image, generation: 0) }
        writer.append(Batches.batch(2, [Batches.entry(10)], term: 6))
        writer.erase()
        writer.append(Batches.batch(3, [Batches.entry(1)], term: 2))
        #expect(await reports.wait { $0.persisted.last == 3 })
        let wasSaved = try await saving.value
        await writer.shutdown()
        let state = try SQLiteLogStorage(path: scratch.database).recover()
        #expect(state.hardState == HardState(term: 2, vote: 1))
        #expect(state.entries == [Batches.entry(1)])
        #expect(state.snapshotIndex == 0 && !wasSaved)
    }

    @Test func `keys change while the log is written`() async throws {
        let scratch = Scratch()
        let reports = Reports()
        let writer = try LogWriter(path: scratch.database, Rings.log(Rings.first), Rings.snapshot(Rings.first)) {
            reports.take($0)
        }
        writer.append(Batches.batch(1, Batches.entries(1...300), term: 1))
        #expect(try await writer.saveSnapshot(index: 5, term: 1, configuration: nil, image: [1, 2], generation: 0))
        async let resealed: Void = writer.use(
            log: Rings.log(Rings.second, Rings.first), snapshot: Rings.snapshot(Rings.second, Rings.first))
        for number in 2...40 as ClosedRange<UInt64> { writer.append(Batches.batch(number, [Batches.entry(299 + number)])) }
        try await resealed
        #expect(await reports.wait { $0.persisted.last == 40 })
        await writer.shutdown()
        let state = try Rings.storage(scratch.database, Rings.second).recover()
        #expect(state.entries == Batches.entries(6...339))
        #expect(state.snapshot == [1, 2])
    }

    @Test func `one member alone is made through the writer, and the file is free afterwards`() async throws {
        let scratch = Scratch()
        let writer = try LogWriter(path: scratch.database) { _ in }
        writer.append(Batches.batch(1, Batches.entries(1...3), term: 2))
        await writer.shutdown()
        let second = try LogWriter(path: scratch.database) { _ in }
        let forced = try await second.forceNewCluster(of: 7)
        await second.shutdown()
        #expect(forced.entries.count == 4)
        #expect(try SQLiteLogStorage(path: scratch.database).recover() == forced)
    }

    @Test func `a log that was changed behind the writer's back is given up, once`() async throws {
        let scratch = Scratch()
        let reports = Reports()
        let writer = try LogWriter(path: scratch.database) { reports.take($0) }
        writer.append(Batches.batch(1, Batches.entries(1...3), term: 2))
        #expect(await reports.wait { $0.persisted == [1] })
        // A gap is never written: the machine and its disk no longer agree.
        writer.append(Batches.batch(2, [Batches.entry(9)]))
        writer.append(Batches.batch(3, [Batches.entry(10)]))
        #expect(await reports.wait { $0.words.last == "failed" })
        writer.append(Batches.batch(4, [Batches.entry(4)]))
        await writer.shutdown()
        #expect(reports.words == ["persisted", "failed"])
    }
}

/// A disk of 2 MiB, really full.
@Suite(.enabled(if: getuid() == 0), .serialized) struct FullDiskTests {
    /// A file system in memory, for as long as the test.
    private final class SmallDisk {
        let scratch = Scratch()
        let isMounted: Bool

        init() { isMounted = mount("none", scratch.path, "tmpfs", 0, "size=2m") == 0 }

        private var filler: String { scratch.path + "/filler" }

        /// Leaves not a page.
        func fill() {
            let file = open(filler, O_WRONLY | O_CREAT, 0o600)
            let page = [UInt8](repeating: 1, count: 4096)
            while write(file, page, page.count) == page.count {}
            close(file)
        }

        func free() { unlink(filler) }

        deinit {
            free()
            scratch.remove()
            umount2(scratch.path, Int32(MNT_DETACH))
        }
    }

    @Test func `batches wait while the disk is full, and are written in order once there is room`() async throws {
        let disk = SmallDisk()
        try #require(disk.isMounted)
        let reports = Reports()
        let path = disk.scratch.database
        let writer = try LogWriter(path: path, Rings.log(Rings.first), Rings.snapshot(Rings.first)) { reports.take($0) }
        writer.append(Batches.batch(1, Batches.entries(1...3), term: 1))
        #expect(await reports.wait { $0.persisted == [1] })
        disk.fill()
        for number in 2...60 as ClosedRange<UInt64> {
            var entry = Batches.entry(2 + number)
            entry.payload = [UInt8](repeating: UInt8(number), count: 8000)
            writer.append(Batches.batch(number, [entry], term: number))
        }
        #expect(await reports.wait { $0.words.contains("full") })
        let before = reports.all.count
        // Several attempts later nothing more was said, and nothing lost.
        try await Task.sleep(for: LogWriter.retryPause * 3)
        #expect(reports.all.count == before)
        guard case .full(let error)? = reports.all.last else {
            Issue.record("the last report is another one")
            return
        }
        #expect(error.diskTrouble == .full, "\(error)")
        disk.free()
        #expect(await reports.wait { $0.persisted.last == 60 })
        #expect(reports.words.filter { $0 != "persisted" } == ["full", "writing"])
        #expect(reports.persisted == reports.persisted.sorted())
        await writer.shutdown()
        let state = try Rings.storage(path, Rings.first).recover()
        #expect(state.hardState.term == 60)
        #expect(state.entries.map(\.index) == Array(1...62))
    }

    @Test func `a store opens on a full disk, says why it cannot write, and has lost nothing`() async throws {
        let disk = SmallDisk()
        try #require(disk.isMounted)
        let path = disk.scratch.database
        try SQLiteLogStorage(path: path).persist(Batches.batch(1, Batches.entries(1...3), term: 1))
        disk.fill()
        let storage = try SQLiteLogStorage(path: path, isExclusive: true)
        #expect(try storage.recover().entries.count == 3)
        var large = Batches.entry(4)
        large.payload = [UInt8](repeating: 1, count: 100_000)
        let batch = Batches.batch(2, [large], term: 9)
        for _ in 0..<3 {
            let error = #expect(throws: SwarmError.self) { try storage.persist(batch) }
            #expect(error?.diskTrouble == .full)
            #expect(error?.message.contains("free space") == true)
        }
        #expect(try storage.recover().hardState.term == 1)
        disk.free()
        try storage.persist(batch)
        #expect(try storage.recover().entries.last == large)
    }

    @Test func `a snapshot that has no room waits, and the log goes on meanwhile`() async throws {
        let disk = SmallDisk()
        try #require(disk.isMounted)
        let reports = Reports()
        let path = disk.scratch.database
        let writer = try LogWriter(path: path) { reports.take($0) }
        writer.append(Batches.batch(1, Batches.entries(1...30), term: 1))
        #expect(await reports.wait { $0.persisted == [1] })
        let image = [UInt8](repeating: 5, count: 4 << 20)
        let saving = Task { try await writer.saveSnapshot(index: 5, term: 1, configuration: nil, image: image, generation: 0) }
        for number in 2...30 as ClosedRange<UInt64> {
            writer.append(Batches.batch(number, [Batches.entry(29 + number)]))
            #expect(await reports.wait { ($0.persisted.last ?? 0) >= number })
        }
        await writer.shutdown()
        #expect(try await !saving.value)
        let state = try SQLiteLogStorage(path: path, isExclusive: true).recover()
        #expect(state.snapshotIndex == 0)
        #expect(state.entries.count == 59)
    }
}
