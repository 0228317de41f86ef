import NameService
import NIOCore
import NIOPosix
import Synchronization

/// Asks the host's name servers, all at once; the first usable answer wins.
final class Forwarder: Sendable {
    /// Queries on their way; further ones are told so at once, so that a dead upstream costs no memory.
    static let concurrentMax = 1024
    static let timeout = TimeAmount.seconds(3)
    private static let port = 53
    private let running = Mutex(0)

    func forward(
        _ bytes: [UInt8], _ query: Message, to upstreams: [String], isStream: Bool,
        _ reply: @escaping @Sendable ([UInt8]) -> Void
    ) {
        let failure = ServiceResolver.respond(query, .serverFailure)
        let servers = upstreams.compactMap { try? SocketAddress(ipAddress: $0, port: Self.port) }
        let isAdmitted = running.withLock { count in
            guard count < Self.concurrentMax else { return false }
            count += 1
            return true
        }
        guard isAdmitted, !servers.isEmpty else {
            if isAdmitted { running.withLock { $0 -= 1 } }
            return reply(failure)
        }
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let answer = loop.makePromise(of: [UInt8].self)
        let timer = loop.scheduleTask(in: Self.timeout) { answer.succeed(failure) }
        let bound = DatagramBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        UpstreamHandler(
                            answer: answer, id: query.id, question: query.question, servers: servers))
                }
            }
            .bind(host: servers.contains { $0.protocol == .inet6 } ? "::" : "0.0.0.0", port: 0)
        bound.whenFailure { _ in answer.succeed(failure) }
        bound.whenSuccess { channel in
            for server in servers {
                let envelope = AddressedEnvelope(remoteAddress: server, data: ByteBuffer(bytes: bytes))
                channel.writeAndFlush(envelope, promise: nil)
            }
        }
        answer.futureResult.whenComplete { result in
            timer.cancel()
            self.running.withLock { $0 -= 1 }
            bound.whenSuccess { $0.close(promise: nil) }
            reply((try? result.get()) ?? failure)
        }
    }
}

/// Takes the first answer that matches the question and comes from a server that was asked.
final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let answer: EventLoopPromise<[UInt8]>
    private let id: UInt16
    private let question: Question
    private let servers: [SocketAddress]
    private var failures = 0

    init(answer: EventLoopPromise<[UInt8]>, id: UInt16, question: Question, servers: [SocketAddress]) {
        (self.answer, self.id, self.question, self.servers) = (answer, id, question, servers)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard servers.contains(envelope.remoteAddress) else { return }
        let bytes = Array(envelope.data.readableBytesView)
        var reader = MessageReader(bytes)
        guard let (reply, _) = try? reader.message(), reply.isResponse, reply.id == id,
            reply.question.name.lowercased == question.name.lowercased, reply.question.type == question.type
        else { return }
        let isUsable = reply.code == .noError || reply.code == .noSuchName
        failures += isUsable ? 0 : 1
        guard isUsable || failures == servers.count else { return }
        answer.succeed(bytes)
    }
}
