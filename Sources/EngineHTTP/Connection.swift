import Logging
import NIOCore
import NIOHTTP1

/// Hands out the parts of one connection.
///
/// `@unchecked Sendable`: handlers are passed it across tasks, but one at a time reads: a response is written to its
/// end, or the connection handed over for good, before the next head is asked for.
final class PartReader: @unchecked Sendable {
    private var iterator: NIOAsyncChannelInboundStream<HTTPServerRequestPart>.AsyncIterator
    private var proceed: (@Sendable () async throws -> Void)?
    private(set) var inBody = false
    private(set) var hijacked = false

    init(_ inbound: NIOAsyncChannelInboundStream<HTTPServerRequestPart>) {
        iterator = inbound.makeAsyncIterator()
    }

    func nextHead() async throws -> HTTPRequestHead? {
        while let part = try await iterator.next() {
            guard case .head(let head) = part else { continue }
            inBody = true
            return head
        }
        return nil
    }

    /// `proceed` runs before the first part of this body is asked for.
    func expectContinue(_ proceed: @escaping @Sendable () async throws -> Void) {
        self.proceed = proceed
    }
    var waitsForContinue: Bool { proceed != nil }

    func nextBodyPart() async throws -> ByteBuffer? {
        guard inBody || hijacked else { return nil }
        if let proceed = self.proceed.take() { try await proceed() }
        do {
            if case .body(let bytes)? = try await iterator.next() { return bytes }
        } catch is HTTPParserError where inBody {
            inBody = false
            throw APIError(.badRequest, "the body of the request is malformed or cut short")
        }
        inBody = false
        return nil
    }

    func hijack() {
        inBody = false
        hijacked = true
    }

    /// Reads on until the next request can be read. False when that is not worth it.
    func skipBody(upTo limit: Int) async throws -> Bool {
        guard proceed.take() == nil else { return false }
        var skipped = 0
        while let part = try await nextBodyPart() {
            skipped += part.readableBytes
            if skipped > limit { return false }
        }
        return true
    }

    /// Reads and forgets until the channel ends.
    func discardAll() async throws { while try await iterator.next() != nil {} }
}

/// The way out of a connection's task.
///
/// Not `NIOAsyncWriter`: it accepts writes until the event loop gets round to reporting that the channel is full,
/// so a fast producer runs megabytes ahead. Awaiting each write keeps one part in flight.
struct WireSender: Sendable {
    let channel: any Channel

    func send(_ part: WireWrite) async throws { try await channel.writeAndFlush(part).get() }

    /// Does not wait for the event loop, which saves a quarter of the time of a small answer.
    func post(_ part: WireWrite) { channel.writeAndFlush(part, promise: nil) }
}

/// One connection: requests one after another, each answered in this task.
struct Connection: Sendable {
    typealias Wire = NIOAsyncChannel<HTTPServerRequestPart, Never>

    let router: Router
    let peer: Peer
    let presence: PeerPresence
    let guardian: Guardian
    let patience: Scheduled<Void>?

    func run(_ channel: Wire) async throws {
        try await channel.executeThenClose { inbound in
            let outbound = WireSender(channel: channel.channel)
            let parts = PartReader(inbound)
            var posted = 0
            while !presence.isDraining, let head = try await parts.nextHead() {
                patience?.cancel()
                if let refusal = guardian.refusal(of: head) {
                    let answer = Response.error(.forbidden, refusal)
                    guard try await send(answer, to: head, parts, outbound, &posted) else { break }
                    continue
                }
                if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                    parts.expectContinue { try await outbound.send(.proceed) }
                }
                let response = await router.respond(to: head, body: RequestBody(source: parts), peer: peer)
                guard try await send(response, to: head, parts, outbound, &posted) else { break }
            }
            // The pipeline closes the channel once everything is flushed; until then input is of no interest.
            try await parts.discardAll()
        }
    }

    /// An unread rest of a body is skipped up to this size, as in Go; beyond it the connection ends.
    private static let skipLimit = 256 << 10

    /// What a client that pipelines requests and reads nothing can make a connection hold.
    private static let unawaitedLimit = 64 << 10

    /// True if another request may follow.
    private func send(
        _ response: Response, to request: HTTPRequestHead, _ parts: PartReader,
        _ outbound: WireSender, _ posted: inout Int
    ) async throws -> Bool {
        var head = ResponseHead(
            status: response.status, headers: response.headers, framing: .none,
            close: !request.isKeepAlive || presence.isDraining)
        switch response.body {
        case .bytes(let bytes):
            // An answer before `100 Continue` or in the middle of a long upload ends the connection.
            if parts.waitsForContinue { head.close = true }
            let reusable = try await parts.skipBody(upTo: Self.skipLimit)
            if !reusable { head.close = true }
            let hasBody = response.status.mayHaveResponseBody
            if hasBody { head.framing = .length(bytes.readableBytes) }
            let whole = WireWrite.whole(head, hasBody && request.method != .HEAD ? bytes : ByteBuffer())
            posted += 512 + bytes.readableBytes
            if posted < Self.unawaitedLimit {
                outbound.post(whole)
            } else {
                try await outbound.send(whole); posted = 0
            }

        case .stream(let produce):
            head.framing = request.version == .http1_1 ? .chunked : .untilClose
            if case .untilClose = head.framing { head.close = true }
            if request.method == .HEAD {
                try await outbound.send(.whole(head, ByteBuffer()))
                break
            }
            try await outbound.send(.head(head))
            let writer = BodyWriter(wire: outbound)
            try await presence.whilePresent { try await produce(writer) }
            if try await parts.skipBody(upTo: Self.skipLimit) == false || presence.isDraining {
                head.close = true
            }
            try await outbound.send(.end)
            if head.close { try await outbound.send(.close) }

        case .hijack(let serve):
            _ = try await parts.skipBody(upTo: Self.skipLimit)
            parts.hijack()
            try await outbound.send(.hijack(head))
            let raw = RawConnection(input: RequestBody(source: parts), output: BodyWriter(wire: outbound))
            try await presence.whilePresent { try await serve(raw) }
            try await outbound.send(.close)
            return false
        }
        return !head.close
    }
}
