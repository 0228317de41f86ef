import ClusterSecurity
import Membership
import NIOCore
import NIOSSL
import NIOTLS
import SwarmCore
import SwarmWire

/// One question and one answer between members, each with its certificate; on the gossip's event loop.
final class GossipStream: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Purpose {
        case exchange(ticket: UInt64, [UInt8])
        case ping(sequence: UInt64, target: NodeID)
        case accepted
    }

    /// The peer has so long to read the last frame before the connection closes.
    static let farewell = TimeAmount.milliseconds(500)
    static let strangerBytesMax = 1024

    let core: GossipCore
    let purpose: Purpose
    let proof = PeerProof()
    private(set) var host = "unknown"
    /// Under which the machine answers.
    var ticket: UInt64?
    private var principal: NodePrincipal?
    private var decoder = FrameDecoder(bodyBytesMax: GossipStream.strangerBytesMax)
    private var context: ChannelHandlerContext?
    private var isOver = false

    init(core: GossipCore, purpose: Purpose) { (self.core, self.purpose) = (core, purpose) }

    var isOpenedHere: Bool {
        if case .accepted = purpose { false } else { true }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { channelActive(context: context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        host = context.remoteAddress?.host ?? host
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        guard !isOver, principal == nil else { return }
        guard negotiated == GossipTransport.protocolName else {
            end("it does not speak \(GossipTransport.protocolName)")
            return
        }
        do throws(SwarmError) {
            principal = try core.judge(proof.chain ?? [])
            decoder.bodyBytesMax = GossipTransport.exchangeBytesMax
            switch purpose {
            case .exchange(_, let bytes): write(Frame(kind: .exchange, body: bytes))
            case .ping(_, let target): write(Frame(kind: .ping, body: Array(target.utf8)))
            case .accepted: break
            }
        } catch {
            core.distrusts(self, error)
            refuse(error)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var bytes = unwrapInboundIn(data)
        decoder.append(&bytes)
        do throws(SwarmError) {
            while !isOver, let frame = try decoder.next() { try take(frame) }
        } catch {
            core.malformed(self, error)
            refuse(error)
        }
    }

    private func take(_ frame: Frame) throws(SwarmError) {
        if frame.kind == .refusal {
            core.refused(self, try ErrorCodec.decode(frame.body))
            end("it was refused")
            return
        }
        guard let principal, ticket == nil else {
            throw SwarmError(.invalidArgument, "a frame of kind \(frame.kind) came at a wrong time")
        }
        switch (purpose, frame.kind) {
        case (.accepted, .exchange):
            let exchange = try decodeExchange(frame.body, of: principal)
            core.ask(self) { .exchangeRequested(ticket: $0, exchange) }
        case (.accepted, .ping):
            guard let target = String(validating: frame.body, as: UTF8.self),
                target.utf8.count <= MembershipConfiguration.identifierBytesMax
            else { throw SwarmError(.invalidArgument, "a ping came for no node") }
            core.ask(self) { .streamPinged(ticket: $0, target: target) }
        case (.exchange(let ticket, _), .exchangeAnswer):
            let exchange = try decodeExchange(frame.body, of: principal)
            core.callbacks.receive(.exchangeAnswered(ticket: ticket, exchange))
            close(failed: false, after: .zero)
        case (.ping(let sequence, let target), .pingAnswer):
            guard principal.nodeID == target else {
                throw SwarmError(
                    .unauthenticated, "node \(principal.nodeID) answered a ping for node \(target)")
            }
            core.callbacks.receive(.streamPingAnswered(sequence: sequence))
            close(failed: false, after: .zero)
        default: throw SwarmError(.invalidArgument, "a frame of kind \(frame.kind) came at a wrong time")
        }
    }

    /// Nobody speaks for another node.
    private func decodeExchange(_ bytes: [UInt8], of principal: NodePrincipal) throws(SwarmError)
        -> StateExchange
    {
        let exchange = try GossipCodec.decodeExchange(bytes)
        guard exchange.from == principal.nodeID else {
            throw SwarmError(
                .unauthenticated,
                "node \(principal.nodeID) sent the members as if it were node \(exchange.from)")
        }
        return exchange
    }

    private func write(_ frame: Frame) {
        guard let context else { return }
        var buffer = context.channel.allocator.buffer(capacity: frame.size)
        frame.write(to: &buffer)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    func answer(_ frame: Frame) {
        guard !isOver else { return }
        write(frame)
        close(failed: false, after: Self.farewell)
    }

    private func refuse(_ error: SwarmError) {
        guard !isOver else { return }
        write(Frame(kind: .refusal, body: ErrorCodec.encode(error)))
        close(failed: true, after: Self.farewell)
    }

    func end(_ reason: String) {
        guard !isOver else { return }
        close(failed: true, after: .zero)
    }

    private func close(failed: Bool, after pause: TimeAmount) {
        isOver = true
        core.over(self, failed: failed)
        guard let context else { return }
        guard pause > .zero else {
            context.close(promise: nil)
            return
        }
        context.eventLoop.assumeIsolated().scheduleTask(in: pause) { [weak self] in
            self?.context?.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { end(words(error)) }

    func channelInactive(context: ChannelHandlerContext) {
        end("the connection broke off")
        context.fireChannelInactive()
    }
}
