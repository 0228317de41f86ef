import Foundation
import Glibc
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

/// Logs that are read piece by piece, with nothing kept in between.
@Suite(.timeLimit(.minutes(1))) struct LogPieceTests {
    static func texts(_ piece: LogPiece) -> [String] { piece.lines.map { String(decoding: $0.text, as: UTF8.self) } }

    /// Everything from a position on, in pieces.
    static func drain(
        _ log: LogFile, from position: inout LogPosition, bytesMax: Int = 5000,
        _ change: (inout LogOptions) -> Void = { _ in }
    ) -> [LogPiece] {
        var options = LogOptions()
        change(&options)
        var pieces: [LogPiece] = []
        repeat {
            pieces.append(log.piece(options, from: position, bytesMax: bytesMax))
            position = pieces[pieces.count - 1].position
            options.tail = nil
        } while pieces[pieces.count - 1].hasMore
        return pieces
    }

    @Test func `pieces together are the whole, across a change of files`() async throws {
        try await LogFileTests.withLog(filesMax: 8) { (log, _) async throws in
            let filler = String(repeating: "x", count: 300)
            let wanted = (0..<500).map { "\($0) \(filler)" }
            for text in wanted { LogFileTests.append(log, text) }
            var position = LogPosition.beginning
            let pieces = Self.drain(log, from: &position)
            #expect(pieces.count > 20)
            #expect(pieces.allSatisfy { !$0.hasGap && !$0.isOver })
            #expect(pieces.flatMap(Self.texts) == wanted)
            #expect(pieces.allSatisfy { $0.lines.reduce(0) { $0 + $1.text.count } <= 5000 })
            // At the end nothing comes twice.
            #expect(Self.drain(log, from: &position).flatMap(Self.texts) == [])
            LogFileTests.append(log, "next")
            #expect(Self.drain(log, from: &position).flatMap(Self.texts) == ["next"])
        }
    }

    @Test func `a position means the same to another process, and after a rotation`() async throws {
        try await LogFileTests.withLog { (log, base) async throws in
            for number in 0..<10 { LogFileTests.append(log, "\(number)") }
            var position = LogPosition.beginning
            let first = log.piece(LogOptions(), from: position, bytesMax: 1)
            #expect(Self.texts(first) == ["0"] && first.hasMore)
            position = first.position
            let again = LogFile(path: base + "/log", bytesMax: 64 * 1024, filesMax: 2)
            #expect(Self.drain(again, from: &position).flatMap(Self.texts) == (1..<10).map(String.init))
            let filler = String(repeating: "x", count: 1000)
            for number in 10..<80 { LogFileTests.append(again, "\(number) \(filler)") }
            let pieces = Self.drain(again, from: &position)
            #expect(pieces.flatMap(Self.texts).map { $0.prefix(2) } == (10..<80).map { "\($0)" })
            #expect(pieces.allSatisfy { !$0.hasGap })
        }
    }

    @Test func `who is too slow for the rotation is told so, and who had read all is not`() async throws {
        try await LogFileTests.withLog(filesMax: 1) { (log, _) async throws in
            let filler = String(repeating: "x", count: 1000)
            LogFileTests.append(log, "first")
            var slow = log.piece(LogOptions(), from: .beginning, bytesMax: 1 << 20).position
            var quick = slow
            for number in 0..<64 {
                LogFileTests.append(log, "\(number) \(filler)")
                #expect(!Self.drain(log, from: &quick).contains { $0.hasGap }, "\(number)")
            }
            let pieces = Self.drain(log, from: &slow)
            #expect(pieces.first?.hasGap == true)
            #expect(pieces.dropFirst().allSatisfy { !$0.hasGap })
            #expect(pieces.flatMap(Self.texts).last?.hasPrefix("63 ") == true)
        }
    }

    @Test func `tail, time and stream count as for whole logs`() async throws {
        try await LogFileTests.withLog(filesMax: 3) { (log, _) async throws in
            var position = LogPosition.beginning
            #expect(Self.drain(log, from: &position, { $0.tail = 0 }).flatMap(Self.texts) == [])
            #expect(position == .beginning)
            for number in 0..<10 { LogFileTests.append(log, "\(number)", number % 2 == 0 ? .stdout : .stderr) }
            func lines(_ change: (inout LogOptions) -> Void) -> [String] {
                var position = LogPosition.beginning
                return Self.drain(log, from: &position, change).flatMap(Self.texts)
            }
            #expect(lines { $0.tail = 3 } == ["7", "8", "9"])
            #expect(lines { $0.tail = 99 }.count == 10)
            #expect(lines { ($0.tail, $0.stdout) = (2, false) } == ["7", "9"])
            #expect(lines { $0.stderr = false } == ["0", "2", "4", "6", "8"])
            position = .beginning
            #expect(Self.drain(log, from: &position, { $0.tail = 0 }).flatMap(Self.texts) == [])
            LogFileTests.append(log, "10")
            #expect(Self.drain(log, from: &position).flatMap(Self.texts) == ["10"])
            let all = log.piece(LogOptions(), from: .beginning, bytesMax: 1 << 20).lines
            #expect(lines { $0.since = all[4].time } == (4...10).map(String.init))
            var options = LogOptions()
            options.until = all[4].time
            let bounded = log.piece(options, from: .beginning, bytesMax: 1 << 20)
            #expect(Self.texts(bounded) == (0...4).map(String.init) && bounded.isOver)
        }
    }

    @Test func `what nobody wants is passed over in bounded steps`() async throws {
        try await LogFileTests.withLog(bytesMax: 64 << 20) { (log, _) async throws in
            let line = ArraySlice([UInt8](repeating: 120, count: 16_000))
            for _ in 0..<40 { log.append(.stderr, Array(repeating: line, count: 10), false) }
            LogFileTests.append(log, "wanted")
            var position = LogPosition.beginning
            let pieces = Self.drain(log, from: &position) { $0.stderr = false }
            #expect(pieces.count >= 2)
            #expect(pieces.flatMap(Self.texts) == ["wanted"])
        }
    }

    @Test func `waiting ends with a line, with the end, and with the waiter`() async throws {
        try await LogFileTests.withLog { (log, _) async throws in
            log.sourceOpened()
            LogFileTests.append(log, "0")
            // There is something already.
            await log.wait(beyond: .beginning)
            var position = log.piece(LogOptions(), from: .beginning, bytesMax: 1 << 20).position
            let end = position
            let line = Task { await log.wait(beyond: end) }
            LogFileTests.append(log, "1")
            await line.value
            #expect(Self.drain(log, from: &position).flatMap(Self.texts) == ["1"])
            let cancelled = Task { [position] in await log.wait(beyond: position) }
            cancelled.cancel()
            await cancelled.value
            let ended = Task { [position] in await log.wait(beyond: position) }
            log.sourceClosed()
            log.finish()
            await ended.value
            #expect(log.piece(LogOptions(), from: position, bytesMax: 1).isOver)
            await log.wait(beyond: position)
        }
    }

    @Test func `a record that the machine's end cut short does not swallow the next one`() async throws {
        try await LogFileTests.withLog { (log, base) async throws in
            LogFileTests.append(log, "good")
            let handle = try #require(FileHandle(forWritingAtPath: base + "/log"))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("1700000000 1 F cut of".utf8))
            let again = LogFile(path: base + "/log", bytesMax: 64 * 1024, filesMax: 2)
            LogFileTests.append(again, "better")
            let found = Self.texts(again.piece(LogOptions(), from: .beginning, bytesMax: 1 << 20))
            #expect(found == ["good", "cut of", "better"])
        }
    }
}
