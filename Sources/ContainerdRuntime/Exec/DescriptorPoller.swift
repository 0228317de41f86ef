import CLinux
import Glibc
import Synchronization
import SwarmCore

/// Wakes tasks when a descriptor becomes readable or writable; one thread for all of them.
///
/// `@unchecked Sendable`: the state is behind a lock, and the epoll descriptor never changes.
final class DescriptorPoller: @unchecked Sendable {
    enum Interest: Sendable { case readable, writable }
    enum Outcome: Sendable { case ready, expired, interrupted }

    private struct State {
        /// The waiter of each armed descriptor.
        var tokens: [Int32: Int] = [:]
        var waiters: [Int: CheckedContinuation<Outcome, Never>] = [:]
        var next = 0
    }

    private let state = Mutex(State())
    private let poll = clinux_epoll_create()

    init() {
        let retained = unsafe Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let status = unsafe pthread_create(
            &thread, nil,
            { raw in
                guard let raw = unsafe raw else { return nil }
                unsafe Unmanaged<DescriptorPoller>.fromOpaque(raw).takeRetainedValue().run()
                return nil
            }, retained)
        precondition(status == 0, "pthread_create failed: the machine has no thread left")
        pthread_detach(thread)
    }

    /// Returns when one of the descriptors is ready, `timeout` has passed, ``interrupt(_:)`` was called or the task
    /// was cancelled.
    func wait(
        for interest: Interest, on descriptors: [Int32], timeout: Duration? = nil
    ) async -> Outcome {
        let token = state.withLock { state in
            state.next += 1
            return state.next
        }
        let clock = timeout.map { timeout in
            Task {
                try? await Task.sleep(for: timeout)
                self.finish(token, .expired)
            }
        }
        defer { clock?.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isCancelled = state.withLock { state in
                    if Task.isCancelled { return true }
                    state.waiters[token] = continuation
                    for descriptor in descriptors { state.tokens[descriptor] = token }
                    return false
                }
                guard !isCancelled else { return continuation.resume(returning: .interrupted) }
                for descriptor in descriptors
                where clinux_epoll_arm(poll, descriptor, interest == .writable ? 1 : 0) != 0 {
                    // Its owner finds out by reading.
                    finish(token, .ready)
                }
            }
        } onCancel: {
            finish(token, .interrupted)
        }
    }

    /// Wakes whoever waits for one of the descriptors.
    func interrupt(_ descriptors: [Int32]) {
        for descriptor in descriptors {
            guard let token = state.withLock({ $0.tokens[descriptor] }) else { continue }
            finish(token, .interrupted)
        }
    }

    private func finish(_ token: Int, _ outcome: Outcome) {
        let waiter = state.withLock { state in
            for (descriptor, owner) in state.tokens where owner == token { state.tokens[descriptor] = nil }
            return state.waiters.removeValue(forKey: token)
        }
        waiter?.resume(returning: outcome)
    }

    private func run() {
        var ready = [Int32](repeating: -1, count: 64)
        while true {
            let count = unsafe clinux_epoll_wait(poll, &ready, Int32(ready.count))
            guard count > 0 else { continue }
            for descriptor in ready.prefix(Int(count)) {
                guard let token = state.withLock({ $0.tokens[descriptor] }) else { continue }
                finish(token, .ready)
            }
        }
    }
}
