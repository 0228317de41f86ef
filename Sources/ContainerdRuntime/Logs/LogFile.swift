import Glibc
import Ports
import SwarmCore
import Synchronization

/// One container's log: a file that is renamed when full, and a few before it.
///
/// A record is `<nanoseconds> <stream> <F|P> <text>\n`; the text holds no newline. Readers read the files: nothing is
/// kept in memory for them, however slow they are.
final class LogFile: Sendable {
    let path: String
    private let bytesMax: Int
    /// Files altogether.
    private let filesMax: Int
    private let state: Mutex<State>
    static let defaultBytesMax = 10 << 20
    static let defaultFilesMax = 2
    /// How long output may still come after the container's end.
    static let drainTimeout = Duration.seconds(2)

    private struct State {
        var descriptor: Int32
        var size: Int
        /// The time of the current file's first record; 0 while it is empty.
        var birth: Int64 = 0
        /// The end of the file that was thrown away last.
        var discarded: LogPosition?
        /// Counts the files that were begun; the current one's number.
        var generation = 0
        /// Counts everything that a waiting reader must look at.
        var version = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter = 0
        /// Pipes that still feed the log.
        var sources = 0
        var hasEnded = false
        var isComplete: Bool { hasEnded && sources == 0 }
    }

    /// A file of the log, open for reading; the reader closes it.
    struct Part: Sendable {
        var generation: Int
        var descriptor: Int32
        var size: Int
        /// The time of its first record; 0 when it has none.
        var birth: Int64 { LogRecord.firstTime(descriptor) }
    }

    init(path: String, bytesMax: Int = LogFile.defaultBytesMax, filesMax: Int = LogFile.defaultFilesMax) {
        (self.path, self.bytesMax, self.filesMax) = (path, max(bytesMax, 64 * 1024), max(filesMax, 1))
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        Self.closeRecord(in: path, descriptor)
        let size = descriptor < 0 ? 0 : Int(lseek(descriptor, 0, SEEK_END))
        var fresh = State(descriptor: descriptor, size: size)
        fresh.birth = Self.end(of: path)?.file ?? 0
        state = Mutex(fresh)
    }

    /// With the limits that the service's `--log-opt max-size` and `max-file` name.
    convenience init(path: String, options: [String: String]) {
        self.init(
            path: path, bytesMax: options["max-size"].flatMap(Self.bytes) ?? Self.defaultBytesMax,
            filesMax: options["max-file"].flatMap { Int($0) } ?? Self.defaultFilesMax)
    }

    /// `10m` and the like; nil for what is no size.
    static func bytes(_ text: String) -> Int? {
        let digits = text.prefix { $0.isNumber }
        guard let number = Int(digits), number > 0 else { return nil }
        let shift: Int
        switch text.dropFirst(digits.count).lowercased() {
        case "", "b": shift = 0
        case "k", "kb": shift = 10
        case "m", "mb": shift = 20
        case "g", "gb": shift = 30
        default: return nil
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : product
    }

    deinit { state.withLock { if $0.descriptor >= 0 { close($0.descriptor) } } }

    // MARK: Writing

    func append(_ stream: LogLine.Stream, _ lines: [ArraySlice<UInt8>], _ isPartial: Bool) {
        guard !lines.isEmpty else { return }
        let time = ImageService.wallClock()
        let head = Array("\(time) \(stream.rawValue) \(isPartial ? "P" : "F") ".utf8)
        var records: [UInt8] = []
        records.reserveCapacity(lines.reduce(0) { $0 + $1.count + head.count + 1 })
        for line in lines { records += head + line + [UInt8(ascii: "\n")] }
        wake { state in
            if state.size > 0 && state.size + records.count > bytesMax { rotate(&state) }
            guard state.descriptor >= 0 else { return }
            let written = unsafe records.withUnsafeBytes {
                unsafe write(state.descriptor, $0.baseAddress, $0.count)
            }
            // A full disk costs lines of the log; the container goes on.
            guard written == records.count else {
                // No half of a record stays: the next one would continue it.
                ftruncate(state.descriptor, off_t(state.size))
                return
            }
            if state.size == 0 { state.birth = time }
            state.size += written
        }
    }

    private func name(_ age: Int) -> String { age == 0 ? path : "\(path).\(age)" }

    private func rotate(_ state: inout State) {
        if let discarded = Self.end(of: name(filesMax - 1)) { state.discarded = discarded }
        if state.descriptor >= 0 { close(state.descriptor) }
        for age in stride(from: filesMax - 2, through: 0, by: -1) { unsafe rename(name(age), name(age + 1)) }
        state.descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o640)
        (state.size, state.birth) = (0, 0)
        state.generation += 1
    }

    /// A record that the machine's end cut short is ended, so that the next one does not continue it.
    private static func closeRecord(in path: String, _ descriptor: Int32) {
        guard let end = end(of: path) else { return }
        let reader = unsafe open(path, O_RDONLY | O_CLOEXEC)
        defer { close(reader) }
        var last: [UInt8] = [0]
        let newline: [UInt8] = [UInt8(ascii: "\n")]
        guard unsafe pread(reader, &last, 1, off_t(end.offset - 1)) == 1, last != newline else { return }
        _ = unsafe write(descriptor, newline, 1)
    }

    /// nil for a file that is not there or empty.
    private static func end(of path: String) -> LogPosition? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        return size > 0 ? LogPosition(file: LogRecord.firstTime(descriptor), offset: size) : nil
    }

    func sourceOpened() { wake { $0.sources += 1 } }
    func sourceClosed() { wake { $0.sources -= 1 } }

    /// The container has ended: once its pipes are empty nothing more comes, and followers end.
    func finish() {
        let isComplete = wake { state in
            state.hasEnded = true
            return state.isComplete
        }
        guard !isComplete else { return }
        Task {
            try? await Task.sleep(for: Self.drainTimeout)
            self.wake { $0.sources = 0 }
        }
    }

    @discardableResult
    private func wake<Value>(_ change: (inout State) -> Value) -> Value {
        let (value, waiters) = state.withLock { state in
            let value = change(&state)
            state.version += 1
            defer { state.waiters = [:] }
            return (value, Array(state.waiters.values))
        }
        for waiter in waiters { waiter.resume() }
        return value
    }

    /// Lets readers look again though nothing was written.
    func nudge() { wake { _ in } }

    // MARK: Reading

    struct Progress: Sendable {
        var version: Int
        var generation: Int
        var hasEnded: Bool
        var isComplete: Bool
        var discarded: LogPosition?
    }

    func progress() -> Progress {
        state.withLock {
            Progress(
                version: $0.version, generation: $0.generation, hasEnded: $0.hasEnded, isComplete: $0.isComplete,
                discarded: $0.discarded)
        }
    }

    /// Returns when there is something beyond the position, or never will be, or the task was cancelled.
    ///
    /// - Parameter position: the end of all that was there when it was read.
    func wait(beyond position: LogPosition) async {
        let version: Int? = state.withLock { state in
            let isRead = state.size == 0 || position == LogPosition(file: state.birth, offset: state.size)
            return isRead && !state.isComplete ? state.version : nil
        }
        if let version { await wait(after: version) }
    }

    /// Returns when something has happened since `version`, or the task was cancelled.
    func wait(after version: Int) async {
        let number = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.version != version || Task.isCancelled { return true }
                    state.waiters[number] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }

    /// Every file there is from `generation` on, oldest first, all of one moment.
    func parts(from generation: Int = 0) -> [Part] {
        state.withLock { state in
            (0..<filesMax).reversed().compactMap { age in
                let number = state.generation - age
                // After a restart of swarmd the files of former generations count as older than 0.
                guard number >= generation || generation == 0 else { return nil }
                let descriptor = unsafe open(name(age), O_RDONLY | O_CLOEXEC)
                guard descriptor >= 0 else { return nil }
                return Part(
                    generation: number, descriptor: descriptor,
                    size: age == 0 ? state.size : Int(lseek(descriptor, 0, SEEK_END)))
            }
        }
    }

    /// What is there, oldest first, and, when `follow`, what comes until the container ends.
    func lines(_ options: LogOptions) -> AsyncThrowingStream<LogLine, any Error> {
        let reader = LogReader(file: self, options: options)
        return AsyncThrowingStream { try await reader.next() }
    }
}
