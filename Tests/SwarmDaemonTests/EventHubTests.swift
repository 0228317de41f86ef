import SwarmCore
import SwarmNode
import Testing

@testable import SwarmDaemon

@Suite struct EventHubTests {
    private func event(_ number: Int) -> SwarmEvent {
        SwarmEvent(
            type: "service", action: "create", actorID: "\(number)", attributes: [:], scope: "swarm",
            time: Timestamp(nanoseconds: Int64(number)))
    }

    private func identifiers(_ stream: AsyncStream<SwarmEvent>, _ count: Int) async -> [String] {
        var identifiers: [String] = []
        for await event in stream.prefix(count) { identifiers.append(event.actorID) }
        return identifiers
    }

    @Test(.timeLimit(.minutes(1)))
    func `every listener is told every later event, once and in order`() async {
        let hub = EventHub()
        hub.publish(event(1))
        let listeners = (0..<100).map { _ in hub.events(since: nil) }
        for number in 2...50 { hub.publish(event(number)) }
        for listener in listeners {
            #expect(await identifiers(listener, 49) == (2...50).map(String.init))
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `who asks for what was gets it once, and then what comes`() async {
        let hub = EventHub()
        let early = hub.events(since: nil)
        for number in 1...20 { hub.publish(event(number)) }
        let late = hub.events(since: Timestamp(nanoseconds: 11))
        for number in 21...30 { hub.publish(event(number)) }
        #expect(await identifiers(late, 20) == (11...30).map(String.init))
        #expect(await identifiers(early, 30) == (1...30).map(String.init))
    }
}
