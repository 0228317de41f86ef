import Glibc
import Ports
import SwarmCore

/// Reads a container's log as fast as somebody takes the lines, and not faster.
actor LogReader {
    private let file: LogFile
    private let options: LogOptions
    /// What is still to be read, oldest first; the first is being read.
    private var parts: [LogFile.Part] = []
    /// Where the next read begins in the first part.
    private var offset = 0
    private var isOpen = false
    private var isOver = false
    /// Bytes read but not yet cut into lines.
    private var pending: [UInt8] = []
    private var position = 0
    /// The line after the one that was returned last, if it was at hand.
    private var ahead: LogLine?
    private var alarm: Task<Void, Never>?

    private static let chunkBytes = 64 * 1024

    init(file: LogFile, options: LogOptions) { (self.file, self.options) = (file, options) }

    deinit {
        alarm?.cancel()
        for part in parts { close(part.descriptor) }
    }

    func next() async throws -> LogLine? {
        if !isOpen { begin() }
        while true {
            try Task.checkCancellation()
            if var line = ahead ?? buffered() {
                ahead = buffered()
                line.isFollowedAtOnce = ahead != nil
                return line
            }
            if isOver { return end() }
            let progress = file.progress()
            if fill() { continue }
            if try await !proceed(progress) { isOver = true }
        }
    }

    /// The next wanted line among the bytes that are here already.
    private func buffered() -> LogLine? {
        while !isOver, let line = cut() {
            if let until = options.until, line.time > until {
                isOver = true
                return nil
            }
            if matches(line) { return line }
        }
        return nil
    }

    private func end() -> LogLine? {
        alarm?.cancel()
        for part in parts { close(part.descriptor) }
        parts = []
        return nil
    }

    private func begin() {
        isOpen = true
        parts = file.parts()
        if let tail = options.tail { skip(toLast: tail) }
        guard options.follow, let until = options.until else { return }
        let file = self.file
        alarm = Task {
            let now = Timestamp(nanoseconds: ImageService.wallClock())
            try? await Task.sleep(for: max(until - now, .zero))
            file.nudge()
        }
    }

    /// What to do at the end of a part that held nothing more after `progress` was taken.
    /// - Returns: whether there may be more.
    private func proceed(_ progress: LogFile.Progress) async throws -> Bool {
        if parts.count > 1 || (parts.first.map { $0.generation < progress.generation } ?? false) {
            advance()
            return true
        }
        if progress.isComplete { return false }
        // The last bytes of a container that has ended are on their way.
        guard options.follow || progress.hasEnded else { return false }
        if let until = options.until, Timestamp(nanoseconds: ImageService.wallClock()) > until { return false }
        await file.wait(after: progress.version)
        try Task.checkCancellation()
        return true
    }

    /// Goes on to the next file; whoever is too slow for the rotation misses what was thrown away meanwhile.
    private func advance() {
        let old = parts.removeFirst()
        close(old.descriptor)
        offset = 0
        pending = []
        position = 0
        if parts.isEmpty { parts = file.parts(from: old.generation + 1) }
    }

    private func fill() -> Bool {
        guard let part = parts.first else { return false }
        if position > 0 {
            pending.removeSubrange(..<position)
            position = 0
        }
        let start = pending.count
        pending.append(contentsOf: repeatElement(0, count: Self.chunkBytes))
        let count = unsafe pending.withUnsafeMutableBytes { bytes in
            unsafe pread(
                part.descriptor, bytes.baseAddress.map { unsafe $0 + start }, Self.chunkBytes, off_t(offset))
        }
        pending.removeSubrange((start + max(count, 0))...)
        guard count > 0 else { return false }
        offset += count
        return true
    }

    /// The next complete record.
    private func cut() -> LogLine? {
        while let end = pending[position...].firstIndex(of: UInt8(ascii: "\n")) {
            let record = pending[position..<end]
            position = end + 1
            if let line = LogRecord.parse(record) { return line }
        }
        return nil
    }

    private func matches(_ line: LogLine) -> Bool {
        guard LogRecord.isWanted(line.stream, options) else { return false }
        return options.since.map { line.time >= $0 } ?? true
    }

    // MARK: Tail

    /// Finds where the last `count` lines begin, from the end backwards, and forgets what is before.
    private func skip(toLast count: Int) {
        var missing = count
        for (index, part) in parts.enumerated().reversed() {
            guard let start = LogRecord.start(ofLast: &missing, in: part, options) else { continue }
            for old in parts[..<index] { close(old.descriptor) }
            parts.removeSubrange(..<index)
            offset = start
            return
        }
    }
}

/// The format of a log's records.
enum LogRecord {
    static func isWanted(_ stream: LogLine.Stream, _ options: LogOptions) -> Bool {
        (stream == .stdout && options.stdout) || (stream == .stderr && options.stderr)
    }

    /// nil for a record that a crash cut short.
    static func parse(_ record: ArraySlice<UInt8>) -> LogLine? {
        let space = UInt8(ascii: " ")
        guard let first = record.firstIndex(of: space), record.endIndex - first >= 5,
            record[first + 2] == space, record[first + 4] == space,
            let time = number(record[..<first]), let stream = stream(record[first + 1])
        else { return nil }
        return LogLine(
            time: Timestamp(nanoseconds: time), stream: stream, text: Array(record[(first + 5)...]),
            isPartial: record[first + 3] == UInt8(ascii: "P"))
    }

    /// When the first record of a file was written; 0 for a file without one.
    static func firstTime(_ descriptor: Int32) -> Int64 {
        var bytes = [UInt8](repeating: 0, count: 20)
        let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0, let space = bytes[..<count].firstIndex(of: UInt8(ascii: " ")) else { return 0 }
        return number(bytes[..<space]) ?? 0
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
        guard (1...19).contains(digits.count) else { return nil }
        var value: Int64 = 0
        for digit in digits {
            guard (48...57).contains(digit) else { return nil }
            value = value &* 10 &+ Int64(digit - 48)
        }
        return value
    }

    private static func stream(_ digit: UInt8) -> LogLine.Stream? {
        digit >= 48 ? LogLine.Stream(rawValue: digit - 48) : nil
    }

    private static let blockBytes = 64 * 1024

    /// Where in `part` the last `missing` wanted records begin; nil when it holds fewer, which are then subtracted.
    static func start(ofLast missing: inout Int, in part: LogFile.Part, _ options: LogOptions) -> Int? {
        if missing <= 0 { return part.size }
        var end = part.size
        // The beginning of a block belongs to a record that begins in the block before.
        var rest: [UInt8] = []
        while end > 0 {
            let begin = max(0, end - blockBytes)
            var block = [UInt8](repeating: 0, count: end - begin)
            let count = unsafe pread(part.descriptor, &block, block.count, off_t(begin))
            guard count == block.count else { return nil }
            block += rest
            var upper = block.endIndex
            while upper > 0, let newline = block[..<(upper - 1)].lastIndex(of: UInt8(ascii: "\n")) {
                if isWanted(block[(newline + 1)..<upper], options) { missing -= 1 }
                if missing == 0 { return begin + newline + 1 }
                upper = newline + 1
            }
            rest = Array(block[..<upper])
            end = begin
        }
        if !rest.isEmpty, isWanted(rest[...], options) { missing -= 1 }
        return missing == 0 ? 0 : nil
    }

    private static func isWanted(_ record: ArraySlice<UInt8>, _ options: LogOptions) -> Bool {
        guard let space = record.firstIndex(of: UInt8(ascii: " ")), space + 1 < record.endIndex,
            let stream = stream(record[space + 1])
        else { return false }
        return isWanted(stream, options)
    }
}
