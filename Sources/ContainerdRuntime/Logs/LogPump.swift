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

    private struct State {
        var sources: [Int32: Source] = [:]
        /// By container: its attached clients.
        var taps: [String: [OutputTap]] = [:]
        /// Not read until a slow client has caught up.
        var parked: Set<Int32> = []

        func isHeldUp(_ containerID: String) -> Bool { taps[containerID]?.contains { $0.isFull } == true }
    }

    private let state = Mutex(State())
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
        state.withLock {
            $0.sources[descriptor] = Source(containerID: containerID, stream: stream, writer: file)
        }
        clinux_epoll_add(poll, descriptor)
    }

    func remove(containerID: String) {
        let (own, taps) = state.withLock { state in
            let own = state.sources.filter { $0.value.containerID == containerID }
            for descriptor in own.keys {
                state.sources[descriptor] = nil
                state.parked.remove(descriptor)
                close(descriptor)
            }
            return (own, state.taps.removeValue(forKey: containerID) ?? [])
        }
        for source in own.values { source.writer.sourceClosed() }
        for tap in taps { tap.end() }
    }

    // MARK: Attached clients

    /// Output of the container from now on; may come before its pipes do.
    func attach(containerID: String) -> OutputTap {
        let tap = OutputTap(containerID: containerID)
        state.withLock { $0.taps[containerID, default: []].append(tap) }
        return tap
    }

    func detach(_ tap: OutputTap) {
        tap.end()
        state.withLock { state in
            let rest = (state.taps[tap.containerID] ?? []).filter { $0 !== tap }
            state.taps[tap.containerID] = rest.isEmpty ? nil : rest
        }
        resume(containerID: tap.containerID)
    }

    /// A client has taken bytes: the container goes on if it was held up.
    func resume(containerID: String) {
        state.withLock { state in
            guard !state.isHeldUp(containerID) else { return }
            for descriptor in state.parked where state.sources[descriptor]?.containerID == containerID {
                state.parked.remove(descriptor)
                clinux_epoll_add(poll, descriptor)
            }
        }
    }

    func taps(of containerID: String) -> [OutputTap] { state.withLock { $0.taps[containerID] ?? [] } }

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
        let (ended, taps) = state.withLock { state -> (LogFile?, [OutputTap]) in
            guard var source = state.sources[descriptor] else { return (nil, []) }
            guard !state.isHeldUp(source.containerID) else {
                clinux_epoll_remove(poll, descriptor)
                state.parked.insert(descriptor)
                return (nil, [])
            }
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count > 0 {
                for tap in state.taps[source.containerID] ?? [] {
                    tap.put(source.stream, Array(buffer.prefix(count)))
                }
                source.partial += buffer.prefix(count)
                split(&source)
                state.sources[descriptor] = source
            } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                if !source.partial.isEmpty {
                    source.writer.append(source.stream, [source.partial[...]], false)
                }
                state.sources[descriptor] = nil
                close(descriptor)
                let isLast = !state.sources.values.contains { $0.containerID == source.containerID }
                return (source.writer, isLast ? state.taps.removeValue(forKey: source.containerID) ?? [] : [])
            }
            return (nil, [])
        }
        ended?.sourceClosed()
        for tap in taps { tap.end() }
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
