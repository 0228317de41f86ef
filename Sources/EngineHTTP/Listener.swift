import Glibc
package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
package import NIOSSL
import Synchronization

/// Serves one address. Several listeners share one router.
package struct Listener: Sendable {
    package enum Address: Sendable {
        case unix(path: String, mode: UInt32, group: UInt32?)
        case tcp(host: String, port: Int)
    }

    let address: Address
    let tls: NIOSSLContext?
    let guardian: Guardian
    let router: Router
    let encoder: ResponseEncoder
    let logger: Logger

    package init(
        _ address: Address, tls: NIOSSLContext? = nil, guardian: Guardian = .none, router: Router,
        commonHeaders: [(String, String)], logger: Logger
    ) {
        self.address = address
        self.tls = tls
        self.guardian = guardian
        self.router = router
        encoder = ResponseEncoder(common: commonHeaders)
        self.logger = logger
    }

    private static let backlog: Int32 = 1024

    private struct Accepted: Sendable {
        let wire: Connection.Wire
        let peer: Peer
        let presence: PeerPresence
        /// Closes the connection of a client that asks nothing.
        let patience: Scheduled<Void>?
    }

    /// Connections that one listener has at a time. More would take descriptors that containers need.
    static let connectionsMax = 4096
    /// How long a client from the network may take for its handshake and its first request's head.
    static let patience = TimeAmount.seconds(30)

    /// Serves until the task is cancelled; then accepts no more, ends streams, lets running requests finish.
    ///
    /// - Parameter onListening: called once, when clients can connect.
    package func run(onListening: @Sendable () async -> Void = {}) async throws {
        let server = try await bind()
        logger.info("listening", metadata: ["address": "\(address)"])
        await onListening()
        let connections = Connections()
        await withTaskCancellationHandler {
            await serveAll(server, connections)
        } onCancel: {
            server.channel.close(promise: nil)
            connections.drain()
        }
        if case .unix(let path, _, _) = address { _ = unsafe unlink(path) }
    }

    private func serveAll(_ server: NIOAsyncChannel<Accepted, Never>, _ connections: Connections) async {
        // Connections outlive the cancellation of the listener for as long as their requests take.
        let acceptor = Task.detached {
            await withDiscardingTaskGroup { group in
                var isFull = false
                do {
                    try await server.executeThenClose { accepted in
                        for try await connection in accepted {
                            guard connections.count < Self.connectionsMax else {
                                // Once for each time that it is full: whoever fills it could fill the log, too.
                                if !isFull {
                                    logger.warning(
                                        "clients are turned away: too many connections",
                                        metadata: ["connections.max": "\(Self.connectionsMax)"])
                                }
                                isFull = true
                                connection.patience?.cancel()
                                // Only this ends a wrapped channel: one that is dropped traps.
                                try? await connection.wire.executeThenClose { _ in }
                                continue
                            }
                            isFull = false
                            let key = connections.add(connection.wire.channel)
                            group.addTask {
                                await serve(connection)
                                connections.remove(key)
                            }
                        }
                    }
                } catch { logger.debug("listener ended", metadata: ["error": "\(error)"]) }
            }
        }
        await acceptor.value
    }

    private func serve(_ accepted: Accepted) async {
        let connection = Connection(
            router: router, peer: accepted.peer, presence: accepted.presence, guardian: guardian,
            patience: accepted.patience)
        do {
            try await connection.run(accepted.wire)
        } catch {
            logger.debug("connection ended", metadata: ["error": "\(error)"])
        }
    }

    private func bind() async throws -> NIOAsyncChannel<Accepted, Never> {
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: Self.backlog)
            // A half-closed client still wants its answer (exec: its output).
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        switch address {
        case .unix(let path, let mode, let group):
            let fd = try UnixSocket.bind(path: path, mode: mode, group: group)
            let server = try await bootstrap.bind(fd) { configure($0) }
            listen(fd, Self.backlog)  // NIO listens on a bound descriptor with 128, whatever the option says
            return server
        case .tcp(let host, let port):
            return
                try await bootstrap
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.socketOption(.so_keepalive), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .bind(host: host, port: port) { configure($0) }
        }
    }

    private func configure(_ channel: any Channel) -> EventLoopFuture<Accepted> {
        channel.eventLoop.makeCompletedFuture {
            let presence = PeerPresence()
            let decoder = WireDecoder()
            let pipeline = channel.pipeline.syncOperations
            if let tls = tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
            try pipeline.addHandler(ByteToMessageHandler(decoder))
            try pipeline.addHandler(WireHandler(decoder: decoder, encoder: encoder, presence: presence))
            let wire = try Connection.Wire(
                wrappingChannelSynchronously: channel,
                configuration: .init(isOutboundHalfClosureEnabled: false))
            var patience: Scheduled<Void>?
            if case .tcp = address {
                patience = channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
            }
            return Accepted(wire: wire, peer: try Peer(of: channel), presence: presence, patience: patience)
        }
    }
}

/// The open connections of a listener, so that they can be told to end.
private final class Connections: Sendable {
    private struct State {
        var channels: [Int: any Channel] = [:]
        var next = 0
        var isDraining = false
    }
    /// A hijacked connection that does not end by itself is closed after this long.
    private static let deadline = TimeAmount.seconds(5)
    private let state = Mutex(State())

    func add(_ channel: any Channel) -> Int {
        let (key, isDraining) = state.withLock { state in
            state.next += 1
            state.channels[state.next] = channel
            return (state.next, state.isDraining)
        }
        if isDraining { end(channel) }
        return key
    }

    var count: Int { state.withLock { $0.channels.count } }

    func remove(_ key: Int) { state.withLock { $0.channels[key] = nil } }

    func drain() {
        let channels = state.withLock { state in
            state.isDraining = true
            return Array(state.channels.values)
        }
        for channel in channels { end(channel) }
    }

    private func end(_ channel: any Channel) {
        channel.pipeline.fireUserInboundEventTriggered(ShouldDrain())
        channel.eventLoop.scheduleTask(in: Self.deadline) { channel.close(promise: nil) }
    }
}

extension Peer {
    /// The kernel's `struct ucred`, which Swift's Glibc module does not show.
    private struct Credentials {
        var pid: Int32 = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
    }

    init(of channel: any Channel) throws {
        guard case .unixDomainSocket? = channel.localAddress,
            let options = channel as? any SocketOptionProvider
        else {
            self = .tcp(channel.remoteAddress?.description ?? "")
            return
        }
        var peer = Peer.tcp("")
        // On the channel's own event loop the future is complete at once.
        let future: EventLoopFuture<Credentials> = options.unsafeGetSocketOption(
            level: .socket, name: .init(rawValue: SO_PEERCRED))
        future.assumeIsolated().whenSuccess { peer = .unix(uid: $0.uid, gid: $0.gid, pid: $0.pid) }
        self = peer
    }
}
