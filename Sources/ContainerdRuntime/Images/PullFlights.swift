import Ports
import SwarmCore

/// The pulls under way: one for each reference, however many ask for it.
///
/// Who comes later sees the progress from then on and shares the result; a pull that nobody waits for is cancelled.
actor PullFlights {
    typealias Continuation = AsyncThrowingStream<ImageProgress, any Error>.Continuation
    typealias Report = @Sendable (ImageProgress) async -> Void

    private struct Flight {
        var number: Int
        var task: Task<Void, Never>
        var waiters: [Int: Continuation]
    }

    private var flights: [String: Flight] = [:]
    private var nextNumber = 0

    /// Progress that a slow reader may have outstanding, in messages; the oldest are dropped first.
    static let messagesMax = 4096

    /// Progress and end of the pull of `key`, which `pull` starts unless it is under way.
    nonisolated func join(
        _ key: String, _ pull: @escaping @Sendable (@escaping Report) async throws(SwarmError) -> Void
    ) -> AsyncThrowingStream<ImageProgress, any Error> {
        let (stream, continuation) = AsyncThrowingStream<ImageProgress, any Error>.makeStream(
            bufferingPolicy: .bufferingNewest(Self.messagesMax))
        Task { await board(key, continuation, pull) }
        return stream
    }

    private func board(
        _ key: String, _ continuation: Continuation,
        _ pull: @escaping @Sendable (@escaping Report) async throws(SwarmError) -> Void
    ) {
        let waiter = nextNumber
        nextNumber += 1
        if flights[key] != nil {
            flights[key]?.waiters[waiter] = continuation
        } else {
            let number = nextNumber
            nextNumber += 1
            let task = Task {
                do throws(SwarmError) {
                    try await pull { await self.report(key, number, $0) }
                    self.land(key, number, nil)
                } catch {
                    self.land(key, number, error)
                }
            }
            flights[key] = Flight(number: number, task: task, waiters: [waiter: continuation])
        }
        // Runs at once when the reader has gone already.
        continuation.onTermination = { _ in Task { await self.leave(key, waiter) } }
    }

    private func report(_ key: String, _ number: Int, _ progress: ImageProgress) {
        guard let flight = flights[key], flight.number == number else { return }
        for waiter in flight.waiters.values { waiter.yield(progress) }
    }

    private func land(_ key: String, _ number: Int, _ error: SwarmError?) {
        guard let flight = flights[key], flight.number == number else { return }
        flights[key] = nil
        for waiter in flight.waiters.values { waiter.finish(throwing: error) }
    }

    private func leave(_ key: String, _ waiter: Int) {
        guard flights[key]?.waiters.removeValue(forKey: waiter) != nil, let flight = flights[key],
            flight.waiters.isEmpty
        else { return }
        flight.task.cancel()
        // The next one to ask starts afresh; the cancelled pull cleans up under its own lease.
        flights[key] = nil
    }
}
