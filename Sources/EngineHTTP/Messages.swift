package import NIOCore
package import NIOHTTP1

/// Who is at the other end.
package enum Peer: Sendable {
    /// From `SO_PEERCRED`: the process that connected, as the kernel saw it then.
    case unix(uid: UInt32, gid: UInt32, pid: Int32)
    case tcp(String)
}

package struct Request: Sendable {
    package let method: HTTPMethod
    /// Percent-decoded path segments without the `/v1.NN` prefix.
    package let segments: [String]
    package let query: [(name: String, value: String)]
    package let version: APIVersion?
    package let head: HTTPRequestHead
    package let body: RequestBody
    package let peer: Peer
    /// Filled in by the router.
    package internal(set) var captures: [String: String] = [:]

    package func capture(_ name: String) -> String { captures[name] ?? "" }
    package func value(_ name: String) -> String? { query.first { $0.name == name }?.value }
}

package struct APIVersion: Sendable, Comparable, CustomStringConvertible {
    package var major: Int
    package var minor: Int

    package init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    init?(_ text: Substring) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = Int(parts[0]), let minor = Int(parts[1]) else { return nil }
        self.init(major, minor)
    }

    package static func < (a: Self, b: Self) -> Bool { (a.major, a.minor) < (b.major, b.minor) }
    package var description: String { "\(major).\(minor)" }
}

package struct Response: Sendable {
    package enum Body: Sendable {
        case bytes(ByteBuffer)
        /// The head is flushed before the closure runs. Cancelled when the client leaves or the server drains.
        case stream(@Sendable (BodyWriter) async throws -> Void)
        /// The connection's bytes belong to the closure until it returns. Cancelled when the client is gone.
        case hijack(@Sendable (RawConnection) async throws -> Void)
    }

    package var status: HTTPResponseStatus
    package var headers: HTTPHeaders
    package var body: Body

    package init(_ status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: Body = .bytes(ByteBuffer()))
    {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// Go's client compares this content type literally.
    package static func json(_ status: HTTPResponseStatus = .ok, _ text: String) -> Response {
        json(status, bytes: Array(text.utf8))
    }

    /// A JSON body and Docker's newline after it.
    package static func json(_ status: HTTPResponseStatus = .ok, bytes: [UInt8]) -> Response {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(bytes.count + 1)
        buffer.writeBytes(bytes)
        buffer.writeStaticString("\n")
        return Response(status, headers: ["Content-Type": "application/json"], body: .bytes(buffer))
    }

    package static func error(_ status: HTTPResponseStatus, _ message: String) -> Response {
        .json(status, "{\"message\":\(JSONText.quoted(message))}")
    }
}

package struct APIError: Error, Sendable {
    package var status: HTTPResponseStatus
    package var message: String

    package init(_ status: HTTPResponseStatus, _ message: String) {
        self.status = status
        self.message = message
    }
}

/// The bytes of a request's body, in order, read from the socket only as fast as they are asked for.
///
/// One consumer, one pass: the handler of the request while it runs, then the connection, which skips the rest.
package struct RequestBody: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer
    let source: PartReader

    package struct AsyncIterator: AsyncIteratorProtocol {
        let source: PartReader
        package func next() async throws -> ByteBuffer? { try await source.nextBodyPart() }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(source: source) }

    package func collect(upTo limit: Int) async throws -> ByteBuffer {
        var all = ByteBuffer()
        for try await part in self {
            guard all.readableBytes + part.readableBytes <= limit else {
                throw APIError(.payloadTooLarge, "request body too large")
            }
            all.writeImmutableBuffer(part)
        }
        return all
    }
}

/// Sends the parts of a streamed body; a call returns when the kernel has taken the bytes.
package struct BodyWriter: Sendable {
    let wire: WireSender

    package func write(_ bytes: ByteBuffer) async throws { try await wire.send(.body(bytes)) }
    package func write(_ text: String) async throws { try await write(ByteBuffer(string: text)) }
}

/// A hijacked connection: `input` ends when the client half-closes, `output` goes on.
package struct RawConnection: Sendable {
    package let input: RequestBody
    package let output: BodyWriter
}

/// JSON strings, for the few bodies that are written by hand.
package enum JSONText {
    /// The text in quotation marks, escaped as RFC 8259 §7 demands and no further, as Go without HTML escaping does.
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
