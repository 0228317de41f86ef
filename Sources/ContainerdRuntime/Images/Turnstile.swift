import SwarmCore

/// Lets a bounded number in at a time, for each key; the rest wait in line and may give up.
actor Turnstile {
    private let limit: Int
    private var inside: [String: Int] = [:]
    private var lines: [String: [Waiter]] = [:]
    private var nextNumber = 0

    private struct Waiter {
        var number: Int
        var continuation: CheckedContinuation<Bool, Never>
    }

    init(limit: Int) { self.limit = limit }

    /// Runs `body` when it is its turn.
    /// - Throws: `.unavailable` when the task was cancelled while it waited.
    nonisolated func pass<Value: Sendable>(
        _ key: String, _ body: () async throws(SwarmError) -> Value
    ) async throws(SwarmError) -> Value {
        guard await enter(key) else { throw SwarmError(.unavailable, "the pull was cancelled") }
        do throws(SwarmError) {
            let value = try await body()
            await leave(key)
            return value
        } catch {
            await leave(key)
            throw error
        }
    }

    private func enter(_ key: String) async -> Bool {
        if Task.isCancelled { return false }
        if inside[key, default: 0] < limit {
            inside[key, default: 0] += 1
            return true
        }
        let number = nextNumber
        nextNumber += 1
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                lines[key, default: []].append(Waiter(number: number, continuation: continuation))
                // Cancelled before it stood in line: the handler found nobody to send away.
                if Task.isCancelled { giveUp(key, number) }
            }
        } onCancel: {
            Task { await self.giveUp(key, number) }
        }
    }

    private func giveUp(_ key: String, _ number: Int) {
        guard let index = lines[key]?.firstIndex(where: { $0.number == number }) else { return }
        lines[key]?.remove(at: index).continuation.resume(returning: false)
        if lines[key]?.isEmpty == true { lines[key] = nil }
    }

    private func leave(_ key: String) {
        if var line = lines[key], !line.isEmpty {
            // The place inside passes to the next in line.
            let next = line.removeFirst()
            lines[key] = line.isEmpty ? nil : line
            next.continuation.resume(returning: true)
            return
        }
        let left = inside[key, default: 1] - 1
        inside[key] = left == 0 ? nil : left
    }
}
