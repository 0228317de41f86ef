package import ClusterSecurity
package import Logging
import NIOCore
import NIOPosix
package import SwarmCore
package import SwarmModel
package import SwarmNode
import SwarmWire
import Synchronization

/// Messages and calls between nodes over mutual TLS 1.3 (decision 13).
///
/// One connection between two nodes carries both ways, whoever opened it: a node that nobody can reach is spoken to
/// over the connection that it opened. Messages of a peer are handed on in their order, in two streams: consensus,
/// and everything else, which is decoded on a thread of its own so that large objects do not delay elections.
package final class PeerTransport: Sendable {
    /// Agreed on in the TLS handshake (ALPN).
    package static let protocolName = "swarm/1"

    package struct Configuration: Sendable {
        package var listenHost = "0.0.0.0"
        /// 0: any free port.
        package var listenPort: UInt16 = 2377
        /// For addresses of routes that name none.
        package var defaultPort: UInt16 = 2377
        package var frameBytesMax = 32 << 20
        /// What waits for one peer; the oldest messages that may be lost make room.
        package var queueFramesMax = 4096
        package var queueBytesMax = 32 << 20
        /// Messages on their way from callers to the event loop, all peers together.
        package var mailboxFramesMax = 16_384
        /// Messages of one peer that wait to be decoded; nothing more is read from it meanwhile.
        package var bytesInWorkMax = 32 << 20
        package var connectTimeout: Duration = .seconds(1)
        package var handshakeTimeout: Duration = .seconds(2)
        package var callTimeout: Duration = .seconds(10)
        /// A connection without messages is closed after so long.
        package var idleTimeout: Duration = .seconds(300)
        /// Sent data that the peer's kernel does not acknowledge for so long ends the connection (TCP_USER_TIMEOUT).
        package var unacknowledgedMax: Duration = .seconds(2)
        /// A peer that sends nothing for so long, not even heartbeats, is given up.
        package var silenceMax: Duration = .seconds(5)
        package var drainTimeout: Duration = .seconds(1)
        /// Messages that may be lost are dropped when they have waited so long for a connection.
        package var staleAfter: Duration = .seconds(2)
        package var connectionsMax = 4096
        /// Accepted connections that have not shown who they are, and strangers.
        package var strangersMax = 128
        package var strangerFrameBytesMax = 64 << 10
        /// Names of calls that are answered without a certificate.
        package var strangerCalls: Set<String> = []
        /// Names of calls whose answers may take their time; they have bounds of their own, and are in nobody's way.
        package var patientCalls: Set<String> = []

        package init() {}
    }

    package struct Statistics: Sendable, Equatable {
        package var framesSent: UInt64 = 0
        package var framesReceived: UInt64 = 0
        /// Messages that found no room, or waited too long.
        package var framesDropped: UInt64 = 0
        package var connectionsOpened: UInt64 = 0
        package var connectionsAccepted: UInt64 = 0
        package var dialsFailed: UInt64 = 0
        /// Certificates that were not believed, here.
        package var peersDistrusted: UInt64 = 0
        /// Refusals by others.
        package var refusalsHeard: UInt64 = 0
        /// Messages that their sender's certificate does not allow.
        package var violations: UInt64 = 0
        package var malformed: UInt64 = 0

        package init() {}
    }

    package struct PeerState: Sendable, Equatable {
        package var nodeID: ObjectID
        /// Of the other end; nil without a connection.
        package var address: String?
        package var isOpenedHere: Bool
        package var queuedFrames: Int
        package var queuedBytes: Int
    }

    package let configuration: Configuration
    private let loop: any EventLoop
    private let core: NIOLoopBoundBox<TransportCore>
    private let shared: SharedState
    private let logger: Logger

    /// - Parameters:
    ///   - receive: called in order per peer and stream; must not block.
    ///   - answer: answers calls; `from` is nil when a stranger calls. Several run at once.
    package init(
        configuration: Configuration, identity: NodeIdentity, logger: Logger,
        now: @escaping @Sendable () -> Timestamp,
        receive: @escaping @Sendable (PeerMessage, _ from: NodePrincipal) -> Void,
        answer:
            @escaping @Sendable (PeerCall, _ from: NodePrincipal?, _ address: String) async
            -> Result<[UInt8], SwarmError>
    ) {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let shared = SharedState()
        let core = TransportCore(
            loop: loop, configuration: configuration, identity: identity, shared: shared, logger: logger,
            callbacks: TransportCore.Callbacks(now: now, receive: receive, answer: answer))
        (self.configuration, self.loop, self.shared, self.logger) = (configuration, loop, shared, logger)
        self.core = NIOLoopBoundBox.makeBoxSendingValue(core, eventLoop: loop)
    }

    /// Listens; the port that was bound.
    package func start() async throws(SwarmError) -> UInt16 {
        shared.worker.start()
        let core = core
        return try await value(of: loop.flatSubmit { core.value.listen() })
    }

    /// Never blocks. What finds no room is dropped and counted.
    package func send(_ message: PeerMessage, to route: PeerRoute) {
        if case .raft = message {
            encode(message, to: route)
        } else {
            guard shared.beginJob(max: configuration.mailboxFramesMax) else { return }
            shared.worker.submit { [self] state in
                if state == .active { encode(message, to: route) }
                shared.endJob()
            }
        }
    }

    private func encode(_ message: PeerMessage, to route: PeerRoute) {
        let delivery: OutgoingQueue.Delivery
        switch message {
        case .raft, .toManager, .toAgent: delivery = .newestWins
        case .request, .ask, .answer, .refused: delivery = .once
        }
        do throws(SwarmError) {
            let bytes = try PeerMessageCodec.encode(message)
            guard bytes.count <= configuration.frameBytesMax else {
                throw SwarmError(
                    .resourceExhausted,
                    "a message of \(bytes.count) bytes is too large: at most \(configuration.frameBytesMax) are sent"
                )
            }
            let post = SharedState.Post(route: route, body: bytes, delivery: delivery)
            if shared.post(post, max: configuration.mailboxFramesMax) {
                let core = core
                loop.execute { core.value.takePosts() }
            }
        } catch {
            shared.count { $0.framesDropped += 1 }
            logger.error("message not sent", metadata: ["peer.id": "\(route.nodeID)", "error": "\(error)"])
        }
    }

    /// One request, one answer, or an error that says which address failed and why.
    ///
    /// The addresses are tried in order until one connects. A call that was on its way when the connection broke may
    /// or may not have been answered: the error says so.
    /// - Parameter needsManager: an answer counts only under a manager's certificate.
    package func call(
        _ call: PeerCall, to route: PeerRoute, needsManager: Bool = false, timeout: Duration? = nil
    ) async throws(SwarmError) -> [UInt8] {
        guard (1...PeerCall.nameBytesMax).contains(call.name.utf8.count),
            call.body.count <= configuration.frameBytesMax - 128
        else {
            throw SwarmError(
                .invalidArgument, "the call \(call.name) has too long a name or too large a body")
        }
        let core = core
        let timeout = timeout ?? configuration.callTimeout
        return try await value(
            of: loop.flatSubmit {
                core.value.call(call, to: route, needsManager: needsManager, timeout: timeout)
            })
    }

    /// After a renewal or promotion: new handshakes use it, and connections of the old one are replaced without
    /// losing what was queued.
    package func replaceIdentity(_ identity: NodeIdentity) {
        let core = core
        loop.execute { core.value.replaceIdentity(identity) }
    }

    /// Closes all connections with that node, and drops what waits for it.
    package func disconnect(_ nodeID: String) {
        let core = core
        loop.execute { core.value.disconnect(nodeID) }
    }

    /// Sends what is queued where there is a connection, and closes. Calls that wait fail.
    package func shutdown() async {
        let core = core
        _ = try? await value(of: loop.flatSubmit { core.value.shutdown() })
        await withCheckedContinuation { continuation in
            shared.worker.shutdownGracefully { _ in continuation.resume() }
        }
    }

    package var statistics: Statistics { shared.statistics }

    /// By node id.
    package func peers() async -> [PeerState] {
        let core = core
        return (try? await loop.submit { core.value.peerStates() }.get()) ?? []
    }
}

/// What callers and the event loop share.
final class SharedState: Sendable {
    struct Post: Sendable {
        var route: PeerRoute
        var body: [UInt8]
        var delivery: OutgoingQueue.Delivery
    }

    /// Encodes and decodes what holds swarm objects; one thread, so that order holds.
    let worker = NIOThreadPool(numberOfThreads: 1)
    private let posts = Mutex<[Post]>([])
    private let jobs = Atomic<Int>(0)
    private let counters = Mutex(PeerTransport.Statistics())

    /// Whether the event loop must be told: the mailbox was empty.
    func post(_ post: Post, max limit: Int) -> Bool {
        let (wasAdded, wasEmpty) = posts.withLock { posts in
            guard posts.count < limit else { return (false, false) }
            posts.append(post)
            return (true, posts.count == 1)
        }
        if !wasAdded { count { $0.framesDropped += 1 } }
        return wasEmpty
    }

    func takePosts() -> [Post] {
        posts.withLock { posts in
            defer { posts = [] }
            return posts
        }
    }

    func beginJob(max limit: Int) -> Bool {
        guard jobs.add(1, ordering: .relaxed).newValue <= limit else {
            jobs.subtract(1, ordering: .relaxed)
            count { $0.framesDropped += 1 }
            return false
        }
        return true
    }

    func endJob() { jobs.subtract(1, ordering: .relaxed) }

    func count(_ change: (inout PeerTransport.Statistics) -> Void) { counters.withLock { change(&$0) } }

    var statistics: PeerTransport.Statistics { counters.withLock { $0 } }
}

/// Waits for a result that an event loop makes.
func value<Value: Sendable>(of future: EventLoopFuture<Result<Value, SwarmError>>) async throws(SwarmError)
    -> Value
{
    let result: Result<Value, SwarmError>
    do { result = try await future.get() } catch {
        result = .failure(SwarmError(.unavailable, "the transport stopped", cause: words(error)))
    }
    return try result.get()
}
