import Synchronization

/// Knows whether the peer still listens and whether the server stops; cancels work that then has no reader.
final class PeerPresence: Sendable {
    private struct State {
        var gone = false
        var draining = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// The server stops: no further request is begun, streams end.
    func drain() {
        state.withLock { $0.draining = true }
        end()
    }

    var isDraining: Bool { state.withLock { $0.draining } }

    /// Called on the event loop; idempotent.
    func end() {
        state.withLock { state in
            state.gone = true
            return state.waiter.take()
        }?.resume()
    }

    /// Runs `work`; when the peer leaves or the server drains, cancels it, waits for it to unwind and returns.
    func whilePresent(_ work: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await work()
                return true
            }
            group.addTask {
                await self.wait()
                return false
            }
            let finished = try await group.next()
            group.cancelAll()
            if finished == false { _ = try? await group.next() }  // whatever it throws now has no reader
        }
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = state.withLock { state in
                    if state.gone || Task.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if now { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiter.take() }?.resume()
        }
    }
}
