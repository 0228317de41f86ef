package import ClusterSecurity
package import Logging
package import Membership
import NIOCore
import NIOPosix
package import SwarmCore
import Synchronization

/// Gossip on the wire: sealed datagrams, and TLS streams for exchanges and for pings where datagrams are swallowed;
/// both on one port.
package final class GossipTransport: Sendable {
    /// Agreed on in the TLS handshake (ALPN), so that nobody takes a gossip stream for a peer's connection.
    package static let protocolName = "swarm-gossip/1"
    /// Of one exchange.
    package static let exchangeBytesMax = 4 << 20
    /// A stream is over after so long, whatever happens on it.
    package static let streamTimeout = Duration.seconds(5)
    /// Streams under way: opened here, and accepted.
    package static let streamsMax = 64
    static let datagramBytesMax = 4096

    package struct Statistics: Sendable, Equatable {
        package var datagramsSent: UInt64 = 0
        package var datagramsReceived: UInt64 = 0
        /// Datagrams that no key of the ring opens.
        package var datagramsUnopened: UInt64 = 0
        package var malformed: UInt64 = 0
        package var streamsOpened: UInt64 = 0
        package var streamsAccepted: UInt64 = 0
        package var streamsFailed: UInt64 = 0
        package var peersDistrusted: UInt64 = 0
        /// Datagrams in a node's name that came from an address not its own.
        package var sendersDoubted: UInt64 = 0
        /// Departures told by others that the node itself denied.
        package var departuresDenied: UInt64 = 0

        package init() {}
    }

    private let loop: any EventLoop
    private let core: NIOLoopBoundBox<GossipCore>
    private let counters: GossipCounters

    /// - Parameter receive: called in order on one event loop; must not block.
    package init(
        listenHost: String, port: UInt16, ring: KeyRing, identity: NodeIdentity, logger: Logger,
        now: @escaping @Sendable () -> Timestamp, receive: @escaping @Sendable (MembershipEvent) -> Void
    ) {
        loop = MultiThreadedEventLoopGroup.singleton.next()
        counters = GossipCounters()
        core = NIOLoopBoundBox.makeBoxSendingValue(
            GossipCore(
                loop: loop, place: GossipCore.Place(host: listenHost, port: port), ring: ring,
                identity: identity,
                counters: counters, logger: logger,
                callbacks: GossipCore.Callbacks(now: now, receive: receive)),
            eventLoop: loop)
    }

    /// Listens for datagrams and streams; the port that was bound.
    package func start() async throws(SwarmError) -> UInt16 {
        let core = core
        // A port that is free for streams may be taken for datagrams.
        for _ in 0..<8 {
            if let port = try await value(of: loop.flatSubmit { core.value.listen() }) { return port }
        }
        throw SwarmError(.unavailable, "no port is free for gossip's datagrams and streams alike")
    }

    /// Sends datagrams, opens and answers streams, logs who lies; other effects are not this transport's matter.
    package func perform(_ effect: MembershipEffect) {
        switch effect {
        case .send, .openExchange, .answerExchange, .openStreamPing, .answerStreamPing, .senderDoubted,
            .departureDenied:
            break
        case .memberAlive, .memberSuspect, .memberDead, .memberLeft, .memberUpdated, .identityContested,
            .leftCluster:
            return
        }
        let core = core
        loop.execute { core.value.perform(effect) }
    }

    /// The newest key seals from now on; all of them open.
    package func replaceRing(_ ring: KeyRing) {
        let core = core
        loop.execute { core.value.ring = ring }
    }

    package func replaceIdentity(_ identity: NodeIdentity) {
        let core = core
        loop.execute { core.value.replaceIdentity(identity) }
    }

    package func shutdown() async {
        let core = core
        _ = try? await loop.flatSubmit { core.value.shutdown() }.get()
    }

    package var statistics: Statistics { counters.value }
}

final class GossipCounters: Sendable {
    private let counters = Mutex(GossipTransport.Statistics())
    func count(_ change: (inout GossipTransport.Statistics) -> Void) { counters.withLock { change(&$0) } }
    var value: GossipTransport.Statistics { counters.withLock { $0 } }
}
