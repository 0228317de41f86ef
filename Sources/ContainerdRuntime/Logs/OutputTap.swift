import Ports
import SwarmCore
import Synchronization

/// A container's output on its way to one attached client, as bytes and in order.
///
/// When the client falls ``bytesMax`` behind, the pump no longer reads the container's pipes, and the container waits,
/// as a process does for its terminal. What would be the alternative, losing bytes, spoils `docker run … > file`.
final class OutputTap: Sendable {
    static let bytesMax = 1 << 20

    private struct State {
        var chunks: Queue<(LogLine.Stream, [UInt8])> = []
        var bytes = 0
        var hasEnded = false
        var waiter: CheckedContinuation<Void, Never>?
    }
    private let state = Mutex(State())
    let containerID: String

    init(containerID: String) { self.containerID = containerID }

    var isFull: Bool { state.withLock { $0.bytes >= Self.bytesMax && !$0.hasEnded } }

    func put(_ stream: LogLine.Stream, _ bytes: [UInt8]) {
        wake { state in
            guard !state.hasEnded else { return }
            state.chunks.append((stream, bytes))
            state.bytes += bytes.count
        }
    }

    /// Nothing more comes; what is there can still be taken.
    func end() { wake { $0.hasEnded = true } }

    /// The next bytes, or nil at the end or when the task is cancelled; one caller at a time.
    func next() async -> (LogLine.Stream, [UInt8])? {
        while true {
            let (chunk, isOver) = state.withLock { state -> ((LogLine.Stream, [UInt8])?, Bool) in
                guard let chunk = state.chunks.popFirst() else { return (nil, state.hasEnded) }
                state.bytes -= chunk.1.count
                return (chunk, false)
            }
            if let chunk { return chunk }
            guard !isOver, !Task.isCancelled else { return nil }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let mustWait = state.withLock { state in
                        guard state.chunks.isEmpty, !state.hasEnded, !Task.isCancelled else { return false }
                        state.waiter = continuation
                        return true
                    }
                    if !mustWait { continuation.resume() }
                }
            } onCancel: {
                wake { _ in }
            }
        }
    }

    private func wake(_ change: (inout State) -> Void) {
        let waiter = state.withLock { state in
            change(&state)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
