import ClusterSecurity
import Consensus
import FoundationEssentials
import Logging
import SwarmCore
import SwarmNode
import Synchronization
import Testing
import Transport

/// Measures, and judges nothing: `MEASURE_TRANSPORT=1 swift test -c release --filter RoundTripMeasurement`.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["MEASURE_TRANSPORT"] == "1"))
struct RoundTripMeasurement {
    /// A small consensus message there, and one back.
    @Test(arguments: [1, 32]) func `round trips of small messages`(inFlight: Int) async throws {
        let total = 20_000
        let cluster = try TestCluster()
        let state = Mutex((sent: [ContinuousClock.Instant](), taken: [Duration]()))
        let done = Record<Bool>()
        let routes = Mutex<[String: (PeerTransport, PeerRoute)]>([:])
        let clock = ContinuousClock()
        @Sendable func message(_ number: Int, from: NodePrincipal) -> PeerMessage {
            .raft(
                RaftMessage(
                    from: NodeMachine.memberID(of: from.nodeID), to: 1, term: 1,
                    body: .appended(success: true, matched: UInt64(number), round: 1)),
                epoch: 0)
        }
        @Sendable func number(_ message: PeerMessage) -> Int {
            guard case .raft(let raft, _) = message, case .appended(_, let matched, _) = raft.body else {
                return 0
            }
            return Int(matched)
        }
        @Sendable func send(_ number: Int) {
            guard let (transport, route) = routes.withLock({ $0["a"] }) else { return }
            state.withLock { $0.sent.append(clock.now) }
            transport.send(message(number, from: manager("a")), to: route)
        }
        let a = transport(try cluster.identity(manager("a"))) { message, _ in
            let number = number(message)
            let count = state.withLock { state in
                state.taken.append(clock.now - state.sent[number])
                return state.sent.count
            }
            if count < total { send(count) } else if number == total - 1 { done.append(true) }
        }
        let b = transport(try cluster.identity(manager("b"))) { received, _ in
            guard let (transport, route) = routes.withLock({ $0["b"] }) else { return }
            transport.send(message(number(received), from: manager("b")), to: route)
        }
        _ = try await a.start()
        let port = try await b.start()
        routes.withLock {
            $0["a"] = (a, PeerRoute(nodeID: manager("b").nodeID, addresses: ["127.0.0.1:\(port)"]))
            $0["b"] = (b, PeerRoute(nodeID: manager("a").nodeID))
        }
        let began = clock.now
        for number in 0..<inFlight { send(number) }
        #expect(await done.wait(.seconds(120)) { !$0.isEmpty })
        let seconds = Double((clock.now - began).wholeNanoseconds) / 1e9
        let taken = state.withLock { $0.taken.dropFirst(100).sorted() }
        func microseconds(_ share: Double) -> Double {
            Double(taken[Int(Double(taken.count - 1) * share)].wholeNanoseconds) / 1000
        }
        print(
            "\(inFlight) in flight: \(Int(Double(total) / seconds)) round trips/s, p50 \(microseconds(0.5)) us, "
                + "p99 \(microseconds(0.99)) us")
        await a.shutdown()
        await b.shutdown()
    }

    private func transport(
        _ identity: NodeIdentity, receive: @escaping @Sendable (PeerMessage, NodePrincipal) -> Void
    ) -> PeerTransport {
        var configuration = PeerTransport.Configuration()
        (configuration.listenHost, configuration.listenPort) = ("127.0.0.1", 0)
        return PeerTransport(
            configuration: configuration, identity: identity, logger: Logger(label: "measure"),
            now: { testTime },
            receive: receive, answer: { _, _, _ in .success([]) })
    }
}
