import Glibc
package import Logging
package import NameService
import NIOCore
import NIOPosix
package import SwarmCore
import Synchronization

/// Every container's resolver at 127.0.0.11: sockets inside the namespaces, answers from the shared directory.
package actor NameServer {
    private struct Attached {
        var scope: ResolverScope
        var upstreams: [String]
        var view: ScopeBox
        var datagram: ResolverSocket
        var stream: any Channel
    }

    private let shared = SharedNames()
    private let logger: Logger
    private let hostUpstreams: [String]
    private let namespacePath: @Sendable (String) -> String
    private let forwarder: Forwarder
    private let loop: DatagramLoop
    private var attached: [String: Attached] = [:]

    package nonisolated var counters: NameCounters { shared.counters }

    /// - Parameters:
    ///   - upstreams: the host's name servers, asked in parallel for what is not ours.
    ///   - upstreamPort: their port, 53 but in tests.
    package init(
        upstreams: [String], upstreamPort: Int = 53,
        namespacePath: @escaping @Sendable (String) -> String, logger: Logger
    ) throws(SwarmError) {
        hostUpstreams = upstreams
        self.namespacePath = namespacePath
        self.logger = logger
        forwarder = Forwarder(counters: shared.counters, port: upstreamPort)
        loop = try DatagramLoop(shared)
    }

    /// Names that are gone are gone before the balancer lets their containers go.
    package func replaceDirectory(_ directory: ServiceDirectory) { shared.replace(directory) }

    /// Closes the resolvers of containers that are no longer listed, so that their namespaces can go.
    package func detach(except kept: Set<String>) {
        for (id, resolver) in attached where !kept.contains(id) {
            loop.remove(resolver.datagram)
            resolver.stream.close(promise: nil)
            attached[id] = nil
        }
    }

    /// Opens a resolver in each namespace that lacks one.
    /// - Returns: containers whose resolver cannot be had, with the reason.
    package func attach(
        _ scopes: [String: ResolverScope], upstreams: [String: [String]]
    ) async -> [String: String] {
        var failures: [String: String] = [:]
        for (id, scope) in scopes.sorted(by: { $0.key < $1.key }) {
            let servers = upstreams[id] ?? hostUpstreams
            if let present = attached[id] {
                guard present.scope != scope || present.upstreams != servers else { continue }
                present.view.set(scope, servers)
                attached[id]?.scope = scope
                attached[id]?.upstreams = servers
                continue
            }
            do {
                attached[id] = try await open(id, scope, servers)
            } catch {
                failures[id] = "\(error)"
                logger.warning(
                    "resolver not opened", metadata: ["container.id": "\(id)", "error": "\(error)"])
            }
        }
        return failures
    }

    package func shutdown() { detach(except: []) }

    private func open(_ id: String, _ scope: ResolverScope, _ upstreams: [String]) async throws -> Attached {
        let sockets = try ResolverSockets.open(inNamespace: namespacePath(id))
        let view = ScopeBox(scope, upstreams)
        let (shared, forwarder) = (self.shared, self.forwarder)
        let datagram = ResolverSocket(sockets.datagram, view, forwarder)
        let stream = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(IdleStateHandler(allTimeout: StreamHandler.idleTimeout))
                    try pipeline.addHandler(StreamHandler(shared: shared, view: view, forwarder: forwarder))
                }
            }
            .withBoundSocket(sockets.stream).get()
        loop.add(datagram)
        return Attached(scope: scope, upstreams: upstreams, view: view, datagram: datagram, stream: stream)
    }
}

/// Queries over TCP: two bytes of length before each message (RFC 1035 §4.2.2), several on one connection.
final class StreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    static let idleTimeout = TimeAmount.seconds(10)
    let shared: SharedNames
    let view: ScopeBox
    let forwarder: Forwarder
    private var buffer = ByteBuffer()

    init(shared: SharedNames, view: ScopeBox, forwarder: Forwarder) {
        (self.shared, self.view, self.forwarder) = (shared, view, forwarder)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        buffer.writeImmutableBuffer(unwrapInboundIn(data))
        while let length: UInt16 = buffer.getInteger(at: buffer.readerIndex),
            buffer.readableBytes >= 2 + Int(length)
        {
            buffer.moveReaderIndex(forwardBy: 2)
            answer(buffer.readBytes(length: Int(length)) ?? [], context)
        }
        buffer.discardReadBytes()
    }

    private func answer(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        var generator = shared.random()
        let view = self.view.current
        let resolution = ServiceResolver.resolve(
            bytes, isStream: true, in: shared.current.directory, scope: view.scope, using: &generator)
        let channel = context.channel
        switch resolution {
        case .answer(let reply):
            shared.counters.add(answered: 1)
            channel.writeAndFlush(Self.framed(reply), promise: nil)
        case .malformed(let reply):
            shared.counters.add(malformed: 1)
            channel.writeAndFlush(Self.framed(reply), promise: nil)
        case .drop:
            shared.counters.add(malformed: 1)
            context.close(promise: nil)
        case .forward(let query):
            shared.counters.add(forwarded: 1)
            forwarder.forward(bytes, query, to: view.upstreams, isStream: true) { reply in
                channel.writeAndFlush(Self.framed(reply), promise: nil)
            }
        }
    }

    private static func framed(_ reply: [UInt8]) -> ByteBuffer {
        var out = ByteBuffer()
        out.writeInteger(UInt16(reply.count))
        out.writeBytes(reply)
        return out
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
