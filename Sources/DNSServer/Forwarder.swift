import NameService
import NIOCore
import NIOPosix
import SwarmCore
import Synchronization

/// Asks the upstream name servers, all at once, and keeps what they say; the first usable answer wins.
///
/// Queries that ask the same while one is on its way wait for its answer.
final class Forwarder: Sendable {
    /// Distinct queries on their way; further ones are refused at once, so that a dead upstream costs no memory.
    static let concurrentMax = 1024
    /// Askers that wait for one answer.
    static let waitersMax = 256
    static let timeout = TimeAmount.seconds(3)

    private typealias Waiter = @Sendable ([UInt8]?) -> Void
    private struct State {
        var cache = UpstreamCache()
        var waiters: [UpstreamCache.Key: [Waiter]] = [:]
    }
    private let state = Mutex(State())
    private let counters: NameCounters
    private let port: Int

    init(counters: NameCounters, port: Int) { (self.counters, self.port) = (counters, port) }

    func forward(
        _ bytes: [UInt8], _ query: Message, to upstreams: [String], isStream: Bool,
        _ reply: @escaping @Sendable ([UInt8]) -> Void
    ) {
        let key = UpstreamCache.Key(query, servers: upstreams)
        let limit = ServiceResolver.limit(query, isStream: isStream)
        let waiter: Waiter = { answer in
            guard let answer else { return reply(ServiceResolver.respond(query, .serverFailure)) }
            let own = UpstreamCache.addressed(answer, to: query)
            reply(UpstreamCache.fitting(own, query, limit: limit))
        }
        enum Turn { case answer([UInt8]), ask, wait, refuse }
        let now = Self.now()
        let turn = state.withLock { state -> Turn in
            if let known = state.cache.answer(query, key: key, at: now) { return .answer(known) }
            if let waiting = state.waiters[key] {
                guard waiting.count < Self.waitersMax else { return .refuse }
                state.waiters[key] = waiting + [waiter]
                return .wait
            }
            guard state.waiters.count < Self.concurrentMax else { return .refuse }
            state.waiters[key] = [waiter]
            return .ask
        }
        switch turn {
        case .answer(let known): waiter(known)
        case .wait: break
        case .refuse:
            counters.add(refused: 1)
            reply(ServiceResolver.respond(query, .refused))
        case .ask: ask(bytes, query, key, upstreams)
        }
    }

    private func ask(
        _ bytes: [UInt8], _ query: Message, _ key: UpstreamCache.Key, _ upstreams: [String]
    ) {
        let servers = upstreams.compactMap { try? SocketAddress(ipAddress: $0, port: port) }
        guard !servers.isEmpty else { return finish(key, nil) }
        let id = UInt16.random(in: .min ... .max)
        let sent = [UInt8(id >> 8), UInt8(id & 255)] + bytes.dropFirst(2)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let answer = loop.makePromise(of: [UInt8]?.self)
        let timer = loop.scheduleTask(in: Self.timeout) { answer.succeed(nil) }
        let bound = DatagramBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        UpstreamHandler(
                            answer: answer, query: sent, id: id, question: query.question, servers: servers))
                }
            }
            .bind(host: servers.contains { $0.protocol == .inet6 } ? "::" : "0.0.0.0", port: 0)
        bound.whenFailure { _ in answer.succeed(nil) }
        bound.whenSuccess { channel in
            let writes = servers.map { server in
                channel.writeAndFlush(AddressedEnvelope(remoteAddress: server, data: ByteBuffer(bytes: sent)))
            }
            // A node without a route to any of them knows so at once.
            EventLoopFuture.whenAllComplete(writes, on: loop).whenSuccess { results in
                let isHopeless = results.allSatisfy { result in if case .failure = result { true } else { false } }
                if isHopeless { answer.succeed(nil) }
            }
        }
        answer.futureResult.whenComplete { result in
            timer.cancel()
            bound.whenSuccess { $0.close(promise: nil) }
            self.finish(key, (try? result.get()) ?? nil)
        }
    }

    private func finish(_ key: UpstreamCache.Key, _ answer: [UInt8]?) {
        let now = Self.now()
        let waiting = state.withLock { state in
            if let answer { state.cache.store(answer, key: key, at: now) }
            return state.waiters.removeValue(forKey: key) ?? []
        }
        for waiter in waiting { waiter(answer) }
    }

    private static func now() -> Instant {
        Instant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds))
    }
}

/// Takes the first answer that matches the question and comes from a server that was asked; one that was cut short is
/// asked for again over TCP (RFC 7766 §5).
final class UpstreamHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let answer: EventLoopPromise<[UInt8]?>
    private let query: [UInt8]
    private let check: ReplyCheck
    private let servers: [SocketAddress]
    private var failures = 0

    init(
        answer: EventLoopPromise<[UInt8]?>, query: [UInt8], id: UInt16, question: Question,
        servers: [SocketAddress]
    ) {
        (self.answer, self.query, self.servers) = (answer, query, servers)
        check = ReplyCheck(id: id, question: question)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard servers.contains(envelope.remoteAddress) else { return }
        let bytes = Array(envelope.data.readableBytesView)
        guard let reply = check.accept(bytes) else { return }
        let isUsable = reply.code == .noError || reply.code == .noSuchName
        failures += isUsable ? 0 : 1
        guard isUsable || failures == servers.count else { return }
        guard reply.isTruncated else { return answer.succeed(bytes) }
        StreamQuery.ask(query, envelope.remoteAddress, check, on: context.eventLoop, answer)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // An unreachable server shows as an error of the socket; the others may still answer.
    }
}

/// Whether bytes are the reply to one query of ours.
struct ReplyCheck: Sendable {
    var id: UInt16
    var question: Question

    func accept(_ bytes: [UInt8]) -> Message? {
        var reader = MessageReader(bytes)
        guard let (reply, _) = try? reader.message(), reply.isResponse, reply.id == id,
            reply.question.name.lowercased == question.name.lowercased, reply.question.type == question.type
        else { return nil }
        return reply
    }
}

/// One query over TCP to one server.
final class StreamQuery: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let check: ReplyCheck
    private let answer: EventLoopPromise<[UInt8]?>
    private var buffer = ByteBuffer()

    private init(_ check: ReplyCheck, _ answer: EventLoopPromise<[UInt8]?>) {
        (self.check, self.answer) = (check, answer)
    }

    static func ask(
        _ query: [UInt8], _ server: SocketAddress, _ check: ReplyCheck, on loop: any EventLoop,
        _ answer: EventLoopPromise<[UInt8]?>
    ) {
        let connected = ClientBootstrap(group: loop).connectTimeout(Forwarder.timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(StreamQuery(check, answer))
                }
            }
            .connect(to: server)
        connected.whenFailure { _ in answer.succeed(nil) }
        connected.whenSuccess { channel in
            var out = ByteBuffer()
            out.writeInteger(UInt16(query.count))
            out.writeBytes(query)
            channel.writeAndFlush(out, promise: nil)
            answer.futureResult.whenComplete { _ in channel.close(promise: nil) }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        buffer.writeImmutableBuffer(unwrapInboundIn(data))
        guard let length: UInt16 = buffer.getInteger(at: buffer.readerIndex),
            let bytes = buffer.getBytes(at: buffer.readerIndex + 2, length: Int(length))
        else { return }
        answer.succeed(check.accept(bytes) == nil ? nil : bytes)
    }

    func channelInactive(context: ChannelHandlerContext) { answer.succeed(nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
