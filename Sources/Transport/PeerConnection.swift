import ClusterSecurity
import NIOCore
import NIOSSL
import NIOTLS
import SwarmCore

/// One TLS connection with a node, or with a stranger; all of it happens on the transport's event loop.
///
/// A connection ends without loss by goodbyes: each end says one after its last message, answers the peer's once
/// it has handed everything on, and closes when both are done. Only then may messages go over another connection, so
/// that their order holds.
final class PeerConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Opener: Equatable {
        case here(expecting: String, at: Endpoint)
        case peer
    }
    enum Stage: Equatable {
        case handshake
        /// Certificates are believed; the peer has not introduced itself.
        case introducing
        /// The peer has no certificate.
        case stranger
        case ready
        /// Nothing is read any more.
        case over
    }

    static let introductionBytesMax = 1024
    /// A refused peer has so long to read why.
    static let refusalPatience = TimeAmount.milliseconds(500)
    static let heartbeatInterval = TimeAmount.seconds(1)
    /// Calls of one peer that are being answered.
    static let callsMax = 64

    let core: TransportCore
    let opener: Opener
    let proof = PeerProof()
    /// Counts the identities of this node; connections of an older one are replaced.
    let generation: Int
    let openedAt = NIODeadline.now()

    private(set) var stage = Stage.handshake
    private(set) var principal: NodePrincipal?
    /// When the first certificate of the peer's chain ends; a peer that renews its own dials anew long before.
    private var trustedUntil: Timestamp?
    private(set) var remote = Introduction(instance: 0, count: 0)
    /// `host:port` of the other end.
    private(set) var address = ""
    private(set) var host = ""
    private(set) var readyAt: NIODeadline?
    /// The other end has a new certificate.
    var isRedialAsked = false
    private(set) var callsBeingAnswered = 0
    private(set) var patientCallsBeingAnswered = 0
    /// ``TransportCore/over(_:)`` has heard of the end.
    var isReported = false
    /// Why the connection ended, as far as this end knows.
    private(set) var reason: SwarmError?

    private var context: ChannelHandlerContext?
    private var decoder = FrameDecoder(bodyBytesMax: PeerConnection.introductionBytesMax)
    private var lastSent = NIODeadline.now()
    private var lastReceived = NIODeadline.now()
    private(set) var lastMessage = NIODeadline.now()

    private var saidGoodbye = false
    private var heardGoodbye = false
    private var goodbyeArrived = false
    /// Ended by goodbyes: nothing was lost.
    var isDrained: Bool { heardGoodbye && goodbyeArrived }
    /// Bytes of messages that are being decoded elsewhere.
    private var bytesInWork = 0

    init(core: TransportCore, opener: Opener) {
        (self.core, self.opener, generation) = (core, opener, core.generation)
    }

    var isOpenedHere: Bool { opener != .peer }
    var endpoint: Endpoint? {
        guard case .here(_, let endpoint) = opener else { return nil }
        return endpoint
    }
    /// Messages may be written.
    var isUsable: Bool { stage == .ready && !saidGoodbye }
    var isWritable: Bool { context?.channel.isWritable ?? false }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { channelActive(context: context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        address = context.remoteAddress?.endpoint ?? endpoint?.description ?? "unknown"
        host = context.remoteAddress?.host ?? endpoint?.host ?? "unknown"
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? TLSUserEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        switch event {
        case .handshakeCompleted(let negotiated): shookHands(negotiated)
        case .shutdownCompleted: break
        }
    }

    private func shookHands(_ negotiated: String?) {
        guard stage == .handshake else { return }
        guard negotiated == PeerTransport.protocolName else {
            end(SwarmError(.unauthenticated, "it does not speak \(PeerTransport.protocolName)"))
            return
        }
        guard let chain = proof.chain else {
            guard opener == .peer else {
                end(SwarmError(.unauthenticated, "it showed no certificate"))
                return
            }
            stage = .stranger
            decoder.bodyBytesMax = core.configuration.strangerFrameBytesMax
            return
        }
        do throws(SwarmError) {
            principal = try core.judge(chain, of: self)
            trustedUntil = PeerVerifier.expiry(of: chain)
            stage = .introducing
            if isOpenedHere, let hello = core.introduction(on: self) {
                write(Frame(kind: .hello, body: hello.encoded))
                flush()
            }
        } catch {
            core.distrusts(self, error)
            refuse(error)
        }
    }

    /// Trust is not for ever: the peer's certificate ends, or this node does not believe its root any more.
    func judgeAgain() {
        guard stage == .ready, let chain = proof.chain else { return }
        do throws(SwarmError) {
            _ = try core.judge(chain, of: self)
            trustedUntil = PeerVerifier.expiry(of: chain)
        } catch {
            core.distrusts(self, error)
            refuse(error)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard stage != .over else { return }
        var bytes = unwrapInboundIn(data)
        lastReceived = .now()
        decoder.append(&bytes)
        do throws(SwarmError) {
            while stage != .over, let frame = try decoder.next() { try take(frame) }
        } catch {
            core.malformed(self, error)
            refuse(error)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { core.writable(self) }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(SwarmError(.unavailable, words(error)))
    }

    func channelInactive(context: ChannelHandlerContext) {
        stage = .over
        core.over(self)
        core.closed(self)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    // MARK: Frames

    private func take(_ frame: Frame) throws(SwarmError) {
        switch (frame.kind, stage) {
        case (.refusal, _):
            let error =
                (try? core.decodeError(frame.body))
                ?? SwarmError(.unknown, "the peer refused without a reason")
            core.refused(self, error)
            end(error)
        case (.hello, .introducing) where !isOpenedHere, (.welcome, .introducing) where isOpenedHere:
            guard let introduction = Introduction(frame.body) else {
                throw SwarmError(.invalidArgument, "a peer introduced itself in a form that is not known")
            }
            becomeReady(introduction)
        case (.heartbeat, .ready): break
        case (.goodbye, .ready):
            heardGoodbye = true
            write(Frame(kind: .goodbyeReceived))
            flush()
            drain()
            finishDraining()
        case (.goodbyeReceived, .ready) where saidGoodbye:
            goodbyeArrived = true
            finishDraining()
        case (.redial, .ready):
            isRedialAsked = true
            core.redial(self)
        case (.message, .ready):
            lastMessage = lastReceived
            try core.message(frame.body, on: self)
        case (.call, .ready), (.call, .stranger):
            lastMessage = lastReceived
            guard let (number, call) = PeerCall.decode(frame.body) else {
                throw SwarmError(.invalidArgument, "a call came in a form that is not known")
            }
            core.called(call, number: number, on: self)
        case (.answer, .ready), (.failure, .ready):
            lastMessage = lastReceived
            try core.answered(frame, on: self)
        default:
            throw SwarmError(
                .invalidArgument, "a frame of kind \(frame.kind) came at a wrong time: it was refused")
        }
    }

    private func becomeReady(_ introduction: Introduction) {
        (remote, stage, readyAt) = (introduction, .ready, .now())
        lastMessage = .now()
        decoder.bodyBytesMax = core.configuration.frameBytesMax
        core.ready(self)
    }

    func write(_ frame: Frame) {
        guard let context else { return }
        var buffer = context.channel.allocator.buffer(capacity: frame.size)
        frame.write(to: &buffer)
        write(buffer)
        if frame.kind == .message || frame.kind == .call { lastMessage = lastSent }
    }

    func write(_ buffer: ByteBuffer) {
        guard let context else { return }
        lastSent = .now()
        context.write(wrapOutboundOut(buffer), promise: nil)
    }

    func count(_ calls: Int, _ isPatient: Bool) {
        if isPatient { patientCallsBeingAnswered += calls } else { callsBeingAnswered += calls }
    }

    func wroteMessages() { lastMessage = .now() }

    func flush() { context?.flush() }

    // MARK: Reading no faster than messages are taken

    func began(_ bytes: Int) {
        bytesInWork += bytes
        guard bytesInWork > core.configuration.bytesInWorkMax else { return }
        context?.channel.setOption(.autoRead, value: false).whenComplete { _ in }
    }

    func finished(_ bytes: Int) {
        let wasFull = bytesInWork > core.configuration.bytesInWorkMax
        bytesInWork -= bytes
        guard wasFull, bytesInWork <= core.configuration.bytesInWorkMax else { return }
        lastReceived = .now()
        context?.channel.setOption(.autoRead, value: true).whenComplete { _ in }
    }

    // MARK: The end

    /// Says goodbye; the connection closes when the peer has everything and has sent everything.
    func drain() {
        guard stage == .ready, !saidGoodbye else { return }
        saidGoodbye = true
        write(Frame(kind: .goodbye))
        flush()
        context?.eventLoop.assumeIsolated().scheduleTask(in: core.configuration.drainTimeout.timeAmount) {
            [weak self] in
            self?.end(SwarmError(.unavailable, "it did not say goodbye in time"))
        }
    }

    private func finishDraining() {
        guard isDrained else { return }
        flush()
        end(SwarmError(.unavailable, "both ends said goodbye"))
    }

    /// Tells the peer why, and closes.
    func refuse(_ error: SwarmError) {
        guard stage != .over else { return }
        reason = reason ?? error
        write(Frame(kind: .refusal, body: core.encodeError(error)))
        flush()
        stage = .over
        core.over(self)
        // A close with unread bytes would reset the connection, and the refusal with it.
        context?.eventLoop.assumeIsolated().scheduleTask(in: Self.refusalPatience) { [weak self] in
            self?.context?.close(promise: nil)
        }
    }

    func end(_ error: SwarmError) {
        guard stage != .over else { return }
        reason = reason ?? error
        stage = .over
        // The channel may take its time: the peer's end of TLS is waited for.
        context?.close(promise: nil)
        core.over(self)
    }

    /// An answer was the last thing that a stranger gets.
    func endStranger() {
        guard stage == .stranger else { return }
        reason = reason ?? SwarmError(.unavailable, "the stranger was answered")
        stage = .over
        context?.eventLoop.assumeIsolated().scheduleTask(in: Self.refusalPatience) { [weak self] in
            self?.context?.close(promise: nil)
        }
    }

    /// Heartbeats and timeouts.
    func tick(_ now: NIODeadline) {
        let configuration = core.configuration
        switch stage {
        case .handshake, .introducing:
            guard openedAt + configuration.handshakeTimeout.timeAmount <= now else { return }
            end(SwarmError(.deadlineExceeded, "it did not complete the handshake in time"))
        case .stranger:
            guard openedAt + configuration.callTimeout.timeAmount <= now else { return }
            end(SwarmError(.deadlineExceeded, "it made no call in time"))
        case .ready:
            if let trustedUntil, core.callbacks.now() >= trustedUntil {
                judgeAgain()
                guard stage == .ready else { return }
            }
            if lastReceived + configuration.silenceMax.timeAmount <= now,
                bytesInWork <= configuration.bytesInWorkMax
            {
                end(SwarmError(.unavailable, "it was silent for \(configuration.silenceMax)"))
            } else if lastSent + Self.heartbeatInterval <= now, isWritable {
                write(Frame(kind: .heartbeat))
                flush()
            }
        case .over: break
        }
    }
}

extension Duration {
    var timeAmount: TimeAmount { .nanoseconds(wholeNanoseconds) }
}
