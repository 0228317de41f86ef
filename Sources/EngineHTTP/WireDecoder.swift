import NIOCore
import NIOHTTP1

/// Parses HTTP/1.1 requests, and can be switched in place to hand bytes on unparsed.
///
/// llhttp stops by itself after a request that asks for an upgrade. Keeping one decoder for both lives of a
/// connection means that no handler is ever removed while bytes are in flight: nothing can be lost, reordered
/// or unwrapped as the wrong type.
final class WireDecoder: ByteToMessageDecoder {
    typealias InboundOut = HTTPServerRequestPart

    private enum Mode {
        case http
        /// The last request asked for an upgrade and is not answered yet: bytes behind it belong to nobody.
        case held(ByteBuffer)
        /// Hijacked: bytes leave as `.body` parts.
        case raw
    }

    private var mode = Mode.http
    private let http = HTTPRequestDecoder()

    /// Keeps all bytes that follow the request just parsed.
    func hold() {
        if case .http = mode { mode = .held(ByteBuffer()) }
    }

    /// Ends HTTP on this connection and returns the bytes that came early.
    func hijack() -> ByteBuffer {
        defer { mode = .raw }
        if case .held(let early) = mode { return early }
        return ByteBuffer()
    }

    func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        if case .http = mode {
            // `hold()` may be called from inside this call, when the end of a request is passed on.
            let result = try http.decode(context: context, buffer: &buffer)
            if case .http = mode { return result }
        }
        forward(&buffer, context)
        return .needMoreData
    }

    func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws
        -> DecodingState
    {
        if case .http = mode {
            return try http.decodeLast(context: context, buffer: &buffer, seenEOF: seenEOF)
        }
        forward(&buffer, context)
        return .needMoreData
    }

    private func forward(_ buffer: inout ByteBuffer, _ context: ChannelHandlerContext) {
        guard let bytes = buffer.readSlice(length: buffer.readableBytes), bytes.readableBytes > 0 else {
            return
        }
        switch mode {
        case .held(var early):
            mode = .raw  // release the storage before it is appended to
            early.writeImmutableBuffer(bytes)
            mode = .held(early)
        case .raw, .http:
            context.fireChannelRead(Self.wrapInboundOut(.body(bytes)))
        }
    }

    func decoderAdded(context: ChannelHandlerContext) { http.decoderAdded(context: context) }
    func decoderRemoved(context: ChannelHandlerContext) { http.decoderRemoved(context: context) }
}
