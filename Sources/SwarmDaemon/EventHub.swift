import SwarmCore
import SwarmNode
import Synchronization

/// Tells everyone who listens on `GET /events`, and keeps the last few for those who come later.
final class EventHub: Sendable {
    /// Docker's ring.
    static let historyMax = 256
    /// A listener that falls this far behind loses its oldest events.
    static let backlogMax = 1024

    private struct State {
        var history: [SwarmEvent] = []
        var listeners: [Int: AsyncStream<SwarmEvent>.Continuation] = [:]
        var next = 0
    }
    private let state = Mutex(State())

    func publish(_ event: SwarmEvent) {
        let listeners = state.withLock { state in
            state.history.append(event)
            if state.history.count > Self.historyMax { state.history.removeFirst() }
            return Array(state.listeners.values)
        }
        for listener in listeners { listener.yield(event) }
    }

    func events(since: Timestamp?) -> AsyncStream<SwarmEvent> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: SwarmEvent.self, bufferingPolicy: .bufferingNewest(Self.backlogMax))
        let key = state.withLock { state in
            if let since {
                for event in state.history where event.time >= since { continuation.yield(event) }
            }
            state.next += 1
            state.listeners[state.next] = continuation
            return state.next
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { $0.listeners[key] = nil }
        }
        return stream
    }
}
