import CLinux
import Glibc
import Ports
import Synchronization
import SwarmCore

/// One thread that moves every container's output from its pipes into bounded files.
///
/// The shim holds both ends of each FIFO: when swarmd dies nothing is lost, the container blocks after 64
/// KiB and goes
/// on when the next swarmd opens the pipe again.
///
/// `@unchecked Sendable`: the state is behind a lock, and the thread owns the descriptors it was given.
final class LogPump: @unchecked Sendable {
    private struct Source {
        var containerID: String
        var stream: LogLine.Stream
        var writer: LogFile
        var partial: [UInt8] = []
    }

    private let sources = Mutex<[Int32: Source]>([:])
    private let poll: Int32
    /// The longest line kept whole; longer ones are split and marked as partial (Docker: 16 KiB).
    static let lineBytesMax = 16 * 1024

    init() {
        poll = clinux_epoll_create()
        let retained = unsafe Unmanaged.passUnretained(self).toOpaque()
        var thread = pthread_t()
        let status = unsafe pthread_create(
            &thread, nil,
            { raw in
                guard let raw = unsafe raw else { return nil }
                unsafe Unmanaged<LogPump>.fromOpaque(raw).takeUnretainedValue().run()
                return nil
            }, retained)
        precondition(status == 0, "pthread_create failed: the machine has no thread left")
        pthread_detach(thread)
    }

    /// Reads `descriptor` until its writers are gone; takes ownership of it.
    func add(_ descriptor: Int32, containerID: String, stream: LogLine.Stream, to file: LogFile) {
        sources.withLock {
            $0[descriptor] = Source(containerID: containerID, stream: stream, writer: file)
        }
        clinux_epoll_add(poll, descriptor)
    }

    func remove(containerID: String) {
        let descriptors = sources.withLock { sources in
            let own = sources.filter { $0.value.containerID == containerID }.map(\.key)
            for descriptor in own { sources[descriptor] = nil }
            return own
        }
        for descriptor in descriptors { close(descriptor) }
    }

    private func run() {
        var ready = [Int32](repeating: -1, count: 64)
        while true {
            let count = unsafe clinux_epoll_wait(poll, &ready, Int32(ready.count))
            guard count > 0 else { continue }
            for descriptor in ready.prefix(Int(count)) { drain(descriptor) }
        }
    }

    private func drain(_ descriptor: Int32) {
        var buffer = [UInt8](repeating: 0, count: 32 * 1024)
        let count = unsafe read(descriptor, &buffer, buffer.count)
        sources.withLock { sources in
            guard var source = sources[descriptor] else { return }
            if count > 0 {
                source.partial += buffer.prefix(count)
                split(&source)
                sources[descriptor] = source
            } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                if !source.partial.isEmpty {
                    source.writer.append(source.stream, source.partial, isPartial: false)
                }
                sources[descriptor] = nil
                close(descriptor)
            }
        }
    }

    private func split(_ source: inout Source) {
        var start = source.partial.startIndex
        while start < source.partial.endIndex {
            let rest = source.partial[start...]
            if let end = rest.prefix(Self.lineBytesMax).firstIndex(of: UInt8(ascii: "\n")) {
                source.writer.append(source.stream, Array(rest[..<end]), isPartial: false)
                start = end + 1
            } else if rest.count >= Self.lineBytesMax {
                source.writer.append(source.stream, Array(rest.prefix(Self.lineBytesMax)), isPartial: true)
                start += Self.lineBytesMax
            } else {
                break
            }
        }
        source.partial.removeSubrange(..<start)
    }
}

/// One container's log: a file that is renamed when full, and the one before it.
///
/// A record is `<nanoseconds> <stream> <F|P> <text>\n`; the text holds no newline.
final class LogFile: Sendable {
    let path: String
    private let bytesMax: Int
    private let state: Mutex<State>
    static let defaultBytesMax = 10 << 20

    private struct State {
        var descriptor: Int32
        var size: Int
        var subscribers: [Int: AsyncStream<LogLine>.Continuation] = [:]
        var nextSubscriber = 0
        var isClosed = false
    }

    init(path: String, bytesMax: Int = LogFile.defaultBytesMax) {
        (self.path, self.bytesMax) = (path, bytesMax)
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        let size = descriptor < 0 ? 0 : Int(lseek(descriptor, 0, SEEK_END))
        state = Mutex(State(descriptor: descriptor, size: size))
    }

    deinit { state.withLock { if $0.descriptor >= 0 { close($0.descriptor) } } }

    func append(_ stream: LogLine.Stream, _ text: [UInt8], isPartial: Bool) {
        let line = LogLine(
            time: Timestamp(nanoseconds: ImageService.wallClock()), stream: stream, text: text,
            isPartial: isPartial)
        let head = "\(line.time.nanoseconds) \(stream.rawValue) \(isPartial ? "P" : "F") "
        let record = Array(head.utf8) + text + [UInt8(ascii: "\n")]
        state.withLock { state in
            if state.size + record.count > bytesMax { rotate(&state) }
            guard state.descriptor >= 0 else { return }
            let written = unsafe record.withUnsafeBytes {
                unsafe write(state.descriptor, $0.baseAddress, $0.count)
            }
            if written > 0 { state.size += written }
            for (_, subscriber) in state.subscribers { subscriber.yield(line) }
        }
    }

    private func rotate(_ state: inout State) {
        if state.descriptor >= 0 { close(state.descriptor) }
        unsafe rename(path, path + ".1")
        state.descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o640)
        state.size = 0
    }

    /// The container has ended: followers end too.
    func finish() {
        let subscribers = state.withLock { state in
            state.isClosed = true
            defer { state.subscribers = [:] }
            return state.subscribers.values.map(\.self)
        }
        for subscriber in subscribers { subscriber.finish() }
    }

    /// What is there, oldest first, and, when `follow`, what comes until the container ends.
    func lines(_ options: LogOptions) -> AsyncThrowingStream<LogLine, any Error> {
        AsyncThrowingStream { continuation in
            let (live, liveContinuation) = AsyncStream<LogLine>.makeStream(
                bufferingPolicy: .bufferingNewest(100_000))
            let history: [LogLine] = state.withLock { state in
                if options.follow && !state.isClosed {
                    state.subscribers[state.nextSubscriber] = liveContinuation
                    state.nextSubscriber += 1
                } else {
                    liveContinuation.finish()
                }
                return readAll()
            }
            func matches(_ line: LogLine) -> Bool {
                guard (line.stream == .stdout && options.stdout) || (line.stream == .stderr && options.stderr)
                else {
                    return false
                }
                return options.since.map { line.time >= $0 } ?? true
                    && options.until.map { line.time <= $0 } ?? true
            }
            var selected = history.filter(matches)
            if let tail = options.tail { selected = Array(selected.suffix(tail)) }
            for line in selected { continuation.yield(line) }
            let follower = Task {
                for await line in live where matches(line) { continuation.yield(line) }
                continuation.finish()
            }
            continuation.onTermination = { _ in
                follower.cancel()
                liveContinuation.finish()
            }
        }
    }

    private func readAll() -> [LogLine] { Self.read(path + ".1") + Self.read(path) }

    static func read(_ path: String) -> [LogLine] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 256 * 1024)
        while true {
            let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap(parse)
    }

    /// nil for a record that a crash cut short.
    private static func parse(_ record: ArraySlice<UInt8>) -> LogLine? {
        let fields = record.split(
            separator: UInt8(ascii: " "), maxSplits: 3, omittingEmptySubsequences: false)
        guard fields.count == 4, let time = Int64(String(decoding: fields[0], as: UTF8.self)),
            let raw = UInt8(String(decoding: fields[1], as: UTF8.self)),
            let stream = LogLine.Stream(rawValue: raw)
        else { return nil }
        return LogLine(
            time: Timestamp(nanoseconds: time), stream: stream, text: Array(fields[3]),
            isPartial: fields[2].first == UInt8(ascii: "P"))
    }
}
