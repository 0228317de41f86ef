import SwarmCore
import SwarmNode
import Synchronization

/// Tells everyone who listens on `GET /events`, and keeps the last few for those who come later.
///
/// Who publishes does not wait until a thousand listeners are told: a task does that, some of them at a time.
final class EventHub: Sendable {
    /// Docker's ring.
    static let historyMax = 256
    /// A listener that falls this far behind loses its oldest events; all do when the telling does.
    static let backlogMax = 1024
    /// So many listeners are told before other work gets its turn.
    static let lotMax = 32

    private struct Numbered: Sendable {
        var number: Int
        var event: SwarmEvent
    }
    private struct Listener: Sendable {
        /// The last event before it came: it is told of later ones.
        var after: Int
        var continuation: AsyncStream<SwarmEvent>.Continuation
    }
    private struct State {
        var history: [SwarmEvent] = []
        var published = 0
        var listeners: [Int: Listener] = [:]
        var next = 0
    }
    private final class Audience: Sendable {
        let state = Mutex(State())

        func tell(_ news: Numbered) async {
            let listeners = state.withLock { Array($0.listeners.values) }
            for (index, listener) in listeners.enumerated() where news.number > listener.after {
                listener.continuation.yield(news.event)
                if index % EventHub.lotMax == EventHub.lotMax - 1 { await Task.yield() }
            }
        }
    }
    private let audience = Audience()
    private let feed: AsyncStream<Numbered>.Continuation

    init() {
        let (news, feed) = AsyncStream.makeStream(
            of: Numbered.self, bufferingPolicy: .bufferingNewest(Self.backlogMax))
        self.feed = feed
        let audience = self.audience
        Task { for await event in news { await audience.tell(event) } }
    }

    deinit { feed.finish() }

    func publish(_ event: SwarmEvent) {
        audience.state.withLock { state in
            state.history.append(event)
            if state.history.count > Self.historyMax { state.history.removeFirst() }
            state.published += 1
            if !state.listeners.isEmpty { feed.yield(Numbered(number: state.published, event: event)) }
        }
    }

    func events(since: Timestamp?) -> AsyncStream<SwarmEvent> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: SwarmEvent.self, bufferingPolicy: .bufferingNewest(Self.backlogMax))
        let key = audience.state.withLock { state in
            if let since {
                for event in state.history where event.time >= since { continuation.yield(event) }
            }
            state.next += 1
            state.listeners[state.next] = Listener(after: state.published, continuation: continuation)
            return state.next
        }
        continuation.onTermination = { [weak audience] _ in
            audience?.state.withLock { $0.listeners[key] = nil }
        }
        return stream
    }
}
