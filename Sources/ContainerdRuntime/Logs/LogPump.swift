import CLinux
import Glibc
import Ports
import Synchronization
import SwarmCore

/// One thread that moves every container's output from its pipes into bounded files.
///
/// The shim holds both ends of each FIFO: when swarmd dies, the container blocks after 64 KiB and goes on when the next
/// swarmd opens the pipe again.
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
    /// Only the thread uses it.
    private var buffer = [UInt8](repeating: 0, count: 64 * 1024)
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
        file.sourceOpened()
        sources.withLock {
            $0[descriptor] = Source(containerID: containerID, stream: stream, writer: file)
        }
        clinux_epoll_add(poll, descriptor)
    }

    func remove(containerID: String) {
        let own = sources.withLock { sources in
            let own = sources.filter { $0.value.containerID == containerID }
            for descriptor in own.keys {
                sources[descriptor] = nil
                close(descriptor)
            }
            return own
        }
        for source in own.values { source.writer.sourceClosed() }
    }

    private func run() {
        var ready = [Int32](repeating: -1, count: 64)
        while true {
            let count = unsafe clinux_epoll_wait(poll, &ready, Int32(ready.count))
            guard count > 0 else { continue }
            for descriptor in ready.prefix(Int(count)) { drain(descriptor) }
        }
    }

    /// Looks and reads under the lock, as descriptors are closed under it: a number that was ready a moment ago may
    /// belong to somebody else by now, and reading it would take that one's bytes (it took containerd's answers).
    private func drain(_ descriptor: Int32) {
        let ended = sources.withLock { sources -> LogFile? in
            guard var source = sources[descriptor] else { return nil }
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count > 0 {
                source.partial += buffer.prefix(count)
                split(&source)
                sources[descriptor] = source
            } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                if !source.partial.isEmpty { source.writer.append(source.stream, [source.partial[...]], false) }
                sources[descriptor] = nil
                close(descriptor)
                return source.writer
            }
            return nil
        }
        ended?.sourceClosed()
    }

    private func split(_ source: inout Source) {
        var start = source.partial.startIndex
        var lines: [ArraySlice<UInt8>] = []
        while start < source.partial.endIndex {
            let rest = source.partial[start...]
            if let end = rest.prefix(Self.lineBytesMax).firstIndex(of: UInt8(ascii: "\n")) {
                lines.append(rest[..<end])
                start = end + 1
            } else if rest.count >= Self.lineBytesMax {
                source.writer.append(source.stream, lines, false)
                lines = []
                source.writer.append(source.stream, [rest.prefix(Self.lineBytesMax)], true)
                start += Self.lineBytesMax
            } else {
                break
            }
        }
        source.writer.append(source.stream, lines, false)
        source.partial.removeSubrange(..<start)
    }
}
