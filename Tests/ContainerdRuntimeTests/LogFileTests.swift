import Foundation
import Glibc
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

@Suite(.timeLimit(.minutes(1))) struct LogFileTests {
    /// A directory of the test's own.
    static func withLog(
        bytesMax: Int = 64 * 1024, filesMax: Int = 2, _ body: (LogFile, String) async throws -> Void
    ) async throws {
        let base = "/tmp/swarm-log-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: base, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: base) }
        try await body(LogFile(path: base + "/log", bytesMax: bytesMax, filesMax: filesMax), base)
    }

    static func append(_ log: LogFile, _ text: String, _ stream: LogLine.Stream = .stdout) {
        log.append(stream, [Array(text.utf8)[...]], false)
    }

    static func read(_ log: LogFile, _ change: (inout LogOptions) -> Void = { _ in }) async throws -> [String] {
        var options = LogOptions()
        change(&options)
        var lines: [String] = []
        for try await line in log.lines(options) { lines.append(String(decoding: line.text, as: UTF8.self)) }
        return lines
    }

    @Test func `lines come back in order, by stream, and from the end`() async throws {
        try await Self.withLog { (log, _) async throws in
            for number in 0..<10 { Self.append(log, "line \(number)", number % 2 == 0 ? .stdout : .stderr) }
            #expect(try await Self.read(log).count == 10)
            #expect(try await Self.read(log) { $0.stderr = false } == (0..<5).map { "line \($0 * 2)" })
            #expect(try await Self.read(log) { $0.tail = 3 } == ["line 7", "line 8", "line 9"])
            #expect(
                try await Self.read(log) {
                    $0.tail = 2
                    $0.stdout = false
                } == ["line 7", "line 9"])
            #expect(try await Self.read(log) { $0.tail = 0 } == [])
            #expect(try await Self.read(log) { $0.tail = 99 }.count == 10)
        }
    }

    @Test func `the files are bounded, and tail reaches into the older one`() async throws {
        try await Self.withLog(filesMax: 3) { (log, base) async throws in
            let filler = String(repeating: "x", count: 1000)
            for number in 0..<400 { Self.append(log, "\(number) \(filler)") }
            let sizes = try FileManager.default.contentsOfDirectory(atPath: base).map {
                FileManager.default.contents(atPath: base + "/" + $0)?.count ?? 0
            }
            #expect(sizes.count == 3)
            #expect(sizes.allSatisfy { $0 <= 64 * 1024 })
            let all = try await Self.read(log)
            #expect(all.last?.hasPrefix("399 ") == true)
            #expect(all.count > 128 && all.count < 200)
            for tail in [1, 60, 64, 65, 100, 128] {
                let lines = try await Self.read(log) { $0.tail = tail }
                #expect(lines == Array(all.suffix(tail)), "tail \(tail)")
            }
        }
    }

    @Test func `times bound what is shown`() async throws {
        try await Self.withLog { (log, _) async throws in
            Self.append(log, "first")
            var times: [Timestamp] = []
            for try await line in log.lines(LogOptions()) { times.append(line.time) }
            let first = try #require(times.first)
            Self.append(log, "second")
            #expect(try await Self.read(log) { $0.since = first + .nanoseconds(1) } == ["second"])
            #expect(try await Self.read(log) { $0.until = first } == ["first"])
            #expect(
                try await Self.read(log) {
                    $0.follow = true
                    $0.until = first
                } == ["first"])
        }
    }

    @Test func `a follower sees everything across a change of files, and ends when the pipes are empty`() async throws {
        try await Self.withLog { (log, _) async throws in
            log.sourceOpened()
            let follower = Task { try await Self.read(log) { $0.follow = true } }
            let filler = String(repeating: "x", count: 500)
            for number in 0..<200 {
                Self.append(log, "\(number) \(filler)")
                if number % 20 == 0 { await Task.yield() }
            }
            log.finish()
            Self.append(log, "last words")
            log.sourceClosed()
            let lines = try await follower.value
            #expect(lines.last == "last words")
        }
    }

    @Test func `a reader that is too slow misses lines and holds nobody up`() async throws {
        try await Self.withLog { (log, _) async throws in
            var options = LogOptions()
            options.follow = true
            Self.append(log, "0")
            var iterator = log.lines(options).makeAsyncIterator()
            let first = try await iterator.next()
            #expect(first?.text == Array("0".utf8))
            let filler = String(repeating: "x", count: 1000)
            for number in 1...1000 { Self.append(log, "\(number) \(filler)") }
            log.finish()
            var last = first
            var count = 1
            while let line = try await iterator.next() {
                (last, count) = (line, count + 1)
            }
            #expect(last.map { String(decoding: $0.text.prefix(4), as: UTF8.self) } == "1000")
            #expect(count < 300)
        }
    }

    @Test func `a broken record is left out`() async throws {
        try await Self.withLog { (log, base) async throws in
            Self.append(log, "good")
            let handle = try #require(FileHandle(forWritingAtPath: base + "/log"))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("17 x\n99999999999999999999 1 F no\n\n".utf8))
            Self.append(log, "better")
            #expect(try await Self.read(log) == ["good", "better"])
        }
    }

    @Test func `sizes are written as for Docker`() {
        #expect(LogFile.bytes("10m") == 10 << 20)
        #expect(LogFile.bytes("512") == 512)
        #expect(LogFile.bytes("1G") == 1 << 30)
        #expect(LogFile.bytes("x") == nil && LogFile.bytes("-1") == nil && LogFile.bytes("") == nil)
    }
}
