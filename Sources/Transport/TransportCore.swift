import ClusterSecurity
import Consensus
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import SwarmCore
import SwarmModel
import SwarmNode
import SwarmWire

/// What a ``PeerTransport`` knows; touched on its event loop only.
final class TransportCore {
    struct Callbacks: Sendable {
        var now: @Sendable () -> Timestamp
        var receive: @Sendable (PeerMessage, NodePrincipal) -> Void
        var answer: @Sendable (PeerCall, NodePrincipal?, String) async -> Result<[UInt8], SwarmError>
    }

    static let tickInterval = TimeAmount.milliseconds(250)
    /// What may wait in one channel for the kernel; beyond it messages stay in their queue.
    static let writeBuffer = ChannelOptions.Types.WriteBufferWaterMark(low: 256 << 10, high: 1 << 20)
    /// Messages are handed to TLS in batches of so many bytes.
    static let batchBytes = 256 << 10
    static let peersMax = 16_384

    let loop: any EventLoop
    let configuration: PeerTransport.Configuration
    let shared: SharedState
    let callbacks: Callbacks
    let logger: Logger
    /// Drawn once, so that peers tell this process from the one before.
    let instance: UInt64

    var identity: NodeIdentity
    /// Made when the transport starts.
    var contexts: TLSContexts?
    var generation = 0
    var peers: [String: Peer] = [:]
    var connections: [ObjectIdentifier: PeerConnection] = [:]
    var server: (any Channel)?
    var ticker: RepeatedTask?
    var isShutDown = false
    /// Completed when the last connection has closed.
    var closed: EventLoopPromise<Result<Void, SwarmError>>?
    var nextCall: UInt64
    var generator = SystemRandomNumberGenerator()
    var limiter = LogLimiter()

    init(
        loop: any EventLoop, configuration: PeerTransport.Configuration, identity: NodeIdentity,
        shared: SharedState,
        logger: Logger, callbacks: Callbacks
    ) {
        (self.loop, self.configuration, self.identity, self.shared) = (loop, configuration, identity, shared)
        (self.logger, self.callbacks) = (logger, callbacks)
        instance = generator.next()
        nextCall = generator.next()
    }

    // MARK: Listening

    func listen() -> EventLoopFuture<Result<UInt16, SwarmError>> {
        do throws(SwarmError) {
            contexts = try TLSContexts(identity, protocolName: PeerTransport.protocolName)
        } catch { return loop.makeSucceededFuture(.failure(error)) }
        let bound = NIOLoopBound(self, eventLoop: loop)
        let place = "\(configuration.listenHost):\(configuration.listenPort)"
        return ServerBootstrap(group: loop, childGroup: loop)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.userTimeout, value: .init(userTimeout))
            .childChannelOption(.writeBufferWaterMark, value: Self.writeBuffer)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.accept(channel) }
            }
            .bind(host: configuration.listenHost, port: Int(configuration.listenPort))
            .map { channel in
                let core = bound.value
                core.server = channel
                core.startTicking()
                core.logger.info("listening for peers", metadata: ["address": "\(place)"])
                return .success(UInt16(channel.localAddress?.port ?? 0))
            }
            .flatMapErrorThrowing { error in
                .failure(
                    SwarmError(
                        .failedPrecondition,
                        "cannot listen for other nodes at \(place): is another swarmd running, or is the address not "
                            + "of this machine?", cause: words(error)))
            }
    }

    private func accept(_ channel: any Channel) throws {
        let strangers = connections.values.count { $0.stage != .ready }
        guard let contexts, !isShutDown, connections.count < configuration.connectionsMax,
            strangers < configuration.strangersMax
        else {
            if limiter.admits("full") {
                logger.warning(
                    "too many connections, new ones are closed",
                    metadata: ["connections": "\(connections.count)"])
            }
            throw SwarmError(.resourceExhausted, "too many connections")
        }
        let connection = PeerConnection(core: self, opener: .peer)
        let tls = NIOSSLServerHandler(
            context: contexts.server, customVerificationCallback: connection.proof.callback())
        try channel.pipeline.syncOperations.addHandlers(tls, connection)
        connections[ObjectIdentifier(connection)] = connection
        shared.count { $0.connectionsAccepted += 1 }
    }

    var userTimeout: Int32 { Int32(clamping: configuration.unacknowledgedMax.wholeNanoseconds / 1_000_000) }

    private func startTicking() {
        let bound = NIOLoopBound(self, eventLoop: loop)
        ticker = loop.scheduleRepeatedTask(initialDelay: Self.tickInterval, delay: Self.tickInterval) { _ in
            bound.value.tick()
        }
    }

    private func tick() {
        let now = NIODeadline.now()
        for connection in connections.values { connection.tick(now) }
        for (nodeID, peer) in peers {
            if peer.current == nil { dropStale(peer, now) }
            if let current = peer.current, current.isUsable, peer.queue.isEmpty, peer.calls.isEmpty,
                current.lastMessage + configuration.idleTimeout.timeAmount <= now
            {
                current.drain()
            }
            if isReplacementDue(peer) { startDial(peer) }
            if peer.isIdle { peers[nodeID] = nil }
        }
    }

    func dropStale(_ peer: Peer, _ now: NIODeadline) {
        let dropped = peer.queue.expire(
            now, newestWins: configuration.staleAfter.timeAmount, once: configuration.callTimeout.timeAmount)
        if dropped > 0 { shared.count { $0.framesDropped += UInt64(dropped) } }
    }

    // MARK: Messages out

    func peer(_ nodeID: String) -> Peer {
        if let peer = peers[nodeID] { return peer }
        let queue = OutgoingQueue(
            framesMax: configuration.queueFramesMax, bytesMax: configuration.queueBytesMax)
        let peer = Peer(nodeID: nodeID, queue: queue)
        peers[nodeID] = peer
        return peer
    }

    func takePosts() {
        var touched: [String: Peer] = [:]
        let now = NIODeadline.now()
        for post in shared.takePosts() {
            guard !isShutDown, peers[post.route.nodeID] != nil || peers.count < Self.peersMax else {
                shared.count { $0.framesDropped += 1 }
                continue
            }
            let peer = peer(post.route.nodeID)
            move(peer, to: post.route.addresses, now)
            enqueue(Frame(kind: .message, body: post.body), post.delivery, for: peer, now)
            touched[peer.nodeID] = peer
        }
        for peer in touched.values { pump(peer) }
    }

    func enqueue(_ frame: Frame, _ delivery: OutgoingQueue.Delivery, for peer: Peer, _ now: NIODeadline) {
        let dropped = peer.queue.append(OutgoingQueue.Item(frame: frame, delivery: delivery, since: now))
        guard dropped > 0 else { return }
        shared.count { $0.framesDropped += UInt64(dropped) }
        if limiter.admits("full \(peer.nodeID)") {
            logger.warning(
                "messages for a peer are dropped: it takes them too slowly",
                metadata: ["peer.id": "\(peer.nodeID)", "queued.bytes": "\(peer.queue.bytes)"])
        }
    }

    /// Writes what the connection takes; without one, dials.
    func pump(_ peer: Peer) {
        guard let connection = peer.current else {
            if !peer.queue.isEmpty || peer.wantedUntil > .now() { startDial(peer) }
            return
        }
        guard connection.isUsable, !peer.queue.isEmpty else { return }
        var sent: UInt64 = 0
        while connection.isWritable, connection.isUsable, !peer.queue.isEmpty {
            var batch = ByteBuffer()
            while batch.readableBytes < Self.batchBytes, let item = peer.queue.popFirst() {
                item.frame.write(to: &batch)
                if case .call(let number) = item.delivery { peer.calls[number]?.connection = connection }
                sent += 1
            }
            connection.write(batch)
            connection.flush()
        }
        connection.wroteMessages()
        shared.count { $0.framesSent += sent }
    }

    func writable(_ connection: PeerConnection) {
        guard let nodeID = connection.principal?.nodeID, let peer = peers[nodeID], peer.current === connection
        else { return }
        pump(peer)
    }

    // MARK: Messages in

    /// The certificate decides who may say what; see ``PeerMessage``.
    func message(_ bytes: [UInt8], on connection: PeerConnection) throws(SwarmError) {
        guard let principal = connection.principal else { return }
        let kind = try PeerMessageCodec.kind(of: bytes)
        guard kind == .toManager || kind == .ask || principal.role == .manager else {
            violated(
                connection, "\(kind)",
                "\(principal) sent a message of kind \(kind), which only managers may send")
            return
        }
        guard kind == .raft else {
            decodeElsewhere(bytes, principal, connection)
            return
        }
        let message = try PeerMessageCodec.decode(bytes)
        guard case .raft(let raft, _) = message, raft.from == NodeMachine.memberID(of: principal.nodeID)
        else {
            violated(connection, "member", "\(principal) sent consensus messages of another member")
            return
        }
        shared.count { $0.framesReceived += 1 }
        callbacks.receive(message, principal)
    }

    private func decodeElsewhere(_ bytes: [UInt8], _ principal: NodePrincipal, _ connection: PeerConnection) {
        connection.began(bytes.count)
        let bound = NIOLoopBound((self, connection), eventLoop: loop)
        let (loop, shared, receive) = (loop, shared, callbacks.receive)
        shared.worker.submit { state in
            guard state == .active else { return }
            let message: Result<PeerMessage, SwarmError>
            do throws(SwarmError) { message = .success(try PeerMessageCodec.decode(bytes)) } catch {
                message = .failure(error)
            }
            if case .success(let message) = message {
                shared.count { $0.framesReceived += 1 }
                receive(message, principal)
            }
            loop.execute {
                let (core, connection) = bound.value
                connection.finished(bytes.count)
                guard case .failure(let error) = message else { return }
                core.malformed(connection, error)
                connection.refuse(error)
            }
        }
    }

    private func violated(_ connection: PeerConnection, _ kind: String, _ what: String) {
        shared.count { $0.violations += 1 }
        if limiter.admits("violation \(connection.principal?.nodeID ?? "") \(kind)") {
            logger.warning("a peer overstepped its role", metadata: metadata(connection, "\(what)"))
        }
        connection.refuse(SwarmError(.permissionDenied, what))
    }

    func malformed(_ connection: PeerConnection, _ error: SwarmError) {
        shared.count { $0.malformed += 1 }
        if limiter.admits("malformed \(connection.principal?.nodeID ?? connection.host)") {
            logger.warning("a peer sent what cannot be read", metadata: metadata(connection, "\(error)"))
        }
    }

    func metadata(_ connection: PeerConnection, _ error: String) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["peer.address": "\(connection.address)", "error": "\(error)"]
        if let nodeID = connection.principal?.nodeID { metadata["peer.id"] = "\(nodeID)" }
        return metadata
    }

    func encodeError(_ error: SwarmError) -> [UInt8] { ErrorCodec.encode(error) }
    func decodeError(_ bytes: [UInt8]) throws(SwarmError) -> SwarmError { try ErrorCodec.decode(bytes) }

    func peerStates() -> [PeerTransport.PeerState] {
        peers.values.sorted { $0.nodeID < $1.nodeID }.map { peer in
            PeerTransport.PeerState(
                nodeID: peer.nodeID, address: peer.current?.address,
                isOpenedHere: peer.current?.isOpenedHere ?? false,
                queuedFrames: peer.queue.count, queuedBytes: peer.queue.bytes)
        }
    }
}

extension ChannelOption where Self == ChannelOptions.Types.SocketOption {
    /// Milliseconds that sent data may stay unacknowledged (tcp(7), TCP_USER_TIMEOUT).
    static var userTimeout: Self { .init(level: .tcp, name: .init(rawValue: 18)) }
}
