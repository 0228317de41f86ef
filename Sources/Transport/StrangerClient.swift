import ClusterSecurity
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
package import SwarmCore
import SwarmWire

/// Calls of a node that has no certificate yet, or whose certificate expired.
///
/// It judges the manager by a rule of its own, as the hash in a join token, before it says anything.
package enum StrangerClient {
    static let connectTimeout = TimeAmount.seconds(2)
    static let answerBytesMax = 1 << 20

    /// One request, one answer, or an error that says what went wrong at `address`.
    ///
    /// - Parameters:
    ///   - address: `host`, `host:port` or `[host]:port`; 2377 without a port.
    ///   - trust: sees the manager's certificates in DER, leaf first; throws when it does not believe them.
    package static func call(
        _ call: PeerCall, address: String, trust: @escaping @Sendable ([[UInt8]]) throws(SwarmError) -> Void,
        timeout: Duration
    ) async throws(SwarmError) -> [UInt8] {
        guard let endpoint = Endpoint(address, defaultPort: 2377) else {
            throw SwarmError(.invalidArgument, "\"\(address)\" is not an address of a manager (host:port)")
        }
        guard (1...PeerCall.nameBytesMax).contains(call.name.utf8.count) else {
            throw SwarmError(.invalidArgument, "the call \(call.name) has too long a name")
        }
        let context = try TLSContexts.stranger(protocolName: PeerTransport.protocolName)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Result<[UInt8], SwarmError>.self)
        ClientBootstrap(group: loop)
            .connectTimeout(min(connectTimeout, timeout.timeAmount))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = StrangerHandler(
                        call: call, endpoint: endpoint, trust: trust, promise: promise)
                    let tls = try NIOSSLClientHandler(
                        context: context, serverHostname: nil,
                        customVerificationCallback: handler.proof.callback())
                    try channel.pipeline.syncOperations.addHandlers(tls, handler)
                    channel.eventLoop.assumeIsolated().scheduleTask(in: timeout.timeAmount) {
                        handler.finish(
                            .failure(
                                SwarmError(
                                    .deadlineExceeded,
                                    "\(endpoint) did not answer \(call.name) within \(timeout)")))
                    }
                }
            }
            .connect(to: endpoint)
            .whenFailure { error in
                promise.succeed(
                    .failure(SwarmError(.unavailable, "\(endpoint) cannot be reached", cause: words(error))))
            }
        return try await value(of: promise.futureResult)
    }
}

private final class StrangerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let call: PeerCall
    let endpoint: Endpoint
    let trust: @Sendable ([[UInt8]]) throws(SwarmError) -> Void
    let proof = PeerProof()
    private var promise: EventLoopPromise<Result<[UInt8], SwarmError>>?
    private var decoder = FrameDecoder(bodyBytesMax: StrangerClient.answerBytesMax)
    private var context: ChannelHandlerContext?
    private var isCalled = false

    init(
        call: PeerCall, endpoint: Endpoint, trust: @escaping @Sendable ([[UInt8]]) throws(SwarmError) -> Void,
        promise: EventLoopPromise<Result<[UInt8], SwarmError>>
    ) {
        (self.call, self.endpoint, self.trust, self.promise) = (call, endpoint, trust, promise)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        do throws(SwarmError) {
            guard negotiated == PeerTransport.protocolName, let chain = proof.chain else {
                throw SwarmError(
                    .unauthenticated,
                    "\(endpoint) is no manager of a swarm: it does not speak \(PeerTransport.protocolName)")
            }
            try trust(chain)
            isCalled = true
            var buffer = ByteBuffer()
            Frame(kind: .call, body: call.encoded(number: 1)).write(to: &buffer)
            context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        } catch { finish(.failure(error)) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard isCalled, promise != nil else { return }
        decoder.append(&bytes)
        do throws(SwarmError) {
            while promise != nil, let frame = try decoder.next() { try take(frame) }
        } catch { finish(.failure(error)) }
    }

    private func take(_ frame: Frame) throws(SwarmError) {
        switch frame.kind {
        case .answer where frame.body.count >= 8: finish(.success(Array(frame.body[8...])))
        case .failure where frame.body.count >= 8:
            finish(.failure(try ErrorCodec.decode(Array(frame.body[8...]))))
        case .refusal: finish(.failure(try ErrorCodec.decode(frame.body)))
        default: throw SwarmError(.invalidArgument, "\(endpoint) answered with a frame of kind \(frame.kind)")
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(
            .failure(
                SwarmError(
                    .unavailable, "\(endpoint) ended the connection before it answered", cause: words(error)))
        )
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(.failure(SwarmError(.unavailable, "\(endpoint) ended the connection before it answered")))
        context.fireChannelInactive()
    }

    func finish(_ result: Result<[UInt8], SwarmError>) {
        promise?.succeed(result)
        promise = nil
        context?.close(promise: nil)
    }
}
