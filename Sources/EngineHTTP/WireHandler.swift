import NIOCore
import NIOHTTP1

/// What a connection's task sends towards the peer.
enum WireWrite: Sendable {
    /// `100 Continue`.
    case proceed
    /// A complete response: one element, one flush.
    case whole(ResponseHead, ByteBuffer)
    /// Starts a streamed response; flushed at once.
    case head(ResponseHead)
    case body(ByteBuffer)
    /// Ends a streamed response.
    case end
    /// Ends HTTP: after these header lines, `.body` parts are raw bytes in both directions.
    case hijack(ResponseHead)
    /// Closes the connection once everything written before has reached the kernel.
    case close
}

/// Sits between `WireDecoder` and the connection's task: encodes responses, performs the hijack, tells when
/// the peer has gone, and closes only after all bytes are written.
final class WireHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = WireWrite
    typealias OutboundOut = ByteBuffer

    private let decoder: WireDecoder
    private let encoder: ResponseEncoder
    private let presence: PeerPresence

    private var unanswered = 0
    private var framing = ResponseHead.Framing.none
    private var asksForUpgrade = false
    private var holding = false
    private var hijacked = false
    private var draining = false
    private var requestComplete = true
    private var closesAfterResponse = false
    private var closing = false
    private var inputEnded = false
    private var heldEOF = false
    private var heldRead = false

    init(decoder: WireDecoder, encoder: ResponseEncoder, presence: PeerPresence) {
        self.decoder = decoder
        self.encoder = encoder
        self.presence = presence
    }

    // MARK: Inbound

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !closing else { return }
        guard !hijacked else { return context.fireChannelRead(data) }
        switch Self.unwrapInboundIn(data) {
        case .head(let head):
            if holding { return }  // pipelined behind an upgrade: the connection ends before its turn
            unanswered += 1
            requestComplete = false
            // llhttp stops on `Upgrade` and on CONNECT; being broader than it only costs a connection.
            asksForUpgrade = head.method == .CONNECT || head.headers.contains(name: "upgrade")
        case .body: break
        case .end:
            requestComplete = true
            if asksForUpgrade {
                decoder.hold()
                holding = true
            }
        }
        context.fireChannelRead(data)
    }

    /// While an upgrade is undecided nobody consumes bytes, so none are asked for.
    func read(context: ChannelHandlerContext) {
        if holding { heldRead = true } else { context.read() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // The task may have cancelled its reading, which stops `NIOAsyncChannel` from reading for good.
        if closing { context.read() }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { inputEnded = true }
        switch event {
        case ChannelEvent.inputClosed where holding:
            heldEOF = true  // may be the end of stdin; known once the request is answered
        case ChannelEvent.inputClosed:
            // Like Go's server: end of input during a response means that the client has left.
            if !hijacked { presence.end() }
            context.fireUserInboundEventTriggered(event)
        case is ShouldDrain:
            if hijacked { return }  // ends by itself or at the deadline
            draining = true
            presence.drain()
            if unanswered == 0 { closeWhenFlushed(context) }
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        presence.end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if closing { return }
        if error is HTTPParserError, unanswered == 0, !hijacked {
            let text = ByteBuffer(string: "400 Bad Request")
            let head = ResponseHead(
                status: .badRequest, headers: ["Content-Type": "text/plain; charset=utf-8"],
                framing: .length(text.readableBytes), close: true)
            var buffer = context.channel.allocator.buffer(capacity: 256)
            encoder.encode(head, date: HTTPDate.now(), into: &buffer)
            buffer.writeImmutableBuffer(text)
            put(buffer, context, nil)
            requestComplete = false
            closeWhenFlushed(context)
        } else {
            presence.end()
            context.fireErrorCaught(error)
        }
    }

    // MARK: Outbound

    /// Every promise completes when the kernel has taken the bytes: awaiting it is the back-pressure.
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch Self.unwrapOutboundIn(data) {
        case .proceed:
            put(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n"), context, promise)
        case .whole(let head, let body):
            let closes = writeHead(head, followedBy: body, context, promise)
            responseEnded(context, closes: closes)
        case .head(let head):
            closesAfterResponse = writeHead(head, followedBy: ByteBuffer(), context, promise)
        case .body(let bytes):
            writeBody(bytes, context, promise)
        case .end:
            put(ByteBuffer(string: isChunked ? "0\r\n\r\n" : ""), context, promise)
            responseEnded(context, closes: closesAfterResponse)
        case .hijack(let head):
            beginHijack(head, context, promise)
        case .close:
            closeWhenFlushed(context)
            promise?.succeed()
        }
    }

    private var isChunked: Bool { if case .chunked = framing { true } else { false } }

    private func put(
        _ bytes: ByteBuffer, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?
    ) {
        context.write(Self.wrapOutboundOut(bytes), promise: promise)
    }

    private func writeHead(
        _ head: ResponseHead, followedBy body: ByteBuffer, _ context: ChannelHandlerContext,
        _ promise: EventLoopPromise<Void>?
    ) -> Bool {
        var head = head
        // `holding` concerns the last request parsed; answers to those before it are not its business.
        head.close = head.close || (holding && unanswered == 1)
        framing = head.framing
        var buffer = context.channel.allocator.buffer(capacity: 512)
        encoder.encode(head, date: HTTPDate.now(), into: &buffer)
        join(&buffer, body, ByteBuffer(), context, promise)
        return head.close
    }

    private func writeBody(
        _ bytes: ByteBuffer, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?
    ) {
        // An empty chunk would end the response.
        guard isChunked, bytes.readableBytes > 0 else { return put(bytes, context, promise) }
        var line = context.channel.allocator.buffer(capacity: 16)
        encoder.chunkHeader(bytes.readableBytes, into: &line)
        join(&line, bytes, Self.crlf, context, promise)
    }

    private static let crlf = ByteBuffer(string: "\r\n")

    /// Copies small pieces together, hands large ones on.
    private func join(
        _ first: inout ByteBuffer, _ middle: ByteBuffer, _ last: ByteBuffer, _ context: ChannelHandlerContext,
        _ promise: EventLoopPromise<Void>?
    ) {
        if middle.readableBytes <= 4096 {
            first.writeImmutableBuffer(middle)
            first.writeImmutableBuffer(last)
            return put(first, context, promise)
        }
        put(first, context, nil)
        put(middle, context, last.readableBytes == 0 ? promise : nil)
        if last.readableBytes > 0 { put(last, context, promise) }
    }

    private func responseEnded(_ context: ChannelHandlerContext, closes: Bool) {
        unanswered -= 1
        // Requests already passed on are the task's to answer or to drop: it announces the end.
        if closes || (draining && unanswered == 0) { closeWhenFlushed(context) }
    }

    /// Switches first, answers second: a client sends nothing before it has seen the answer.
    private func beginHijack(
        _ head: ResponseHead, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?
    ) {
        let early = decoder.hijack()
        hijacked = true
        holding = false
        _ = writeHead(head, followedBy: ByteBuffer(), context, promise)
        context.flush()
        if early.readableBytes > 0 {
            context.fireChannelRead(Self.wrapInboundOut(.body(early)))
            context.fireChannelReadComplete()  // NIOAsyncChannel delivers on readComplete only
        }
        if heldEOF { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        if heldRead { context.read() }
    }

    /// `Channel.close` and, after a peer's half-close, even `close(mode: .output)` drop writes that the kernel
    /// has not taken yet. The promise of an empty last write says when there are none.
    ///
    /// Input that nobody wants is read for a moment longer: closing a socket with unread input resets it, and
    /// the peer may lose the answer (the CLI then fails with `connection reset by peer`).
    private func closeWhenFlushed(_ context: ChannelHandlerContext) {
        guard !closing else { return }
        closing = true
        let lingers = !inputEnded && (hijacked || !requestComplete)
        let flushed = context.eventLoop.makePromise(of: Void.self)
        flushed.futureResult.assumeIsolated().whenComplete { _ in
            guard lingers && !self.inputEnded else { return context.close(promise: nil) }
            context.close(mode: .output, promise: nil)  // completes to a full close when the peer's end comes
            context.read()
            context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerTime) {
                context.close(promise: nil)
            }
        }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: flushed)
    }

    private static let lingerTime = TimeAmount.seconds(2)
}

/// Fired into every connection when the server stops.
struct ShouldDrain: Sendable {}
