import Glibc
import NIOCore
import NIOHTTP1
import Synchronization

/// Status line and headers of one response, framing already decided.
struct ResponseHead: Sendable {
    enum Framing: Sendable {
        case length(Int)
        case chunked
        /// HTTP/1.0 streams: the end of the connection is the end of the body.
        case untilClose
        /// 101, 204, 304.
        case none
    }

    var status: HTTPResponseStatus
    var headers: HTTPHeaders
    var framing: Framing
    var close: Bool
}

/// Writes response bytes; pure, so that header exactness is testable without a channel.
struct ResponseEncoder: Sendable {
    /// Complete header lines that every answer carries, errors of the parser included.
    let commonLines: String

    init(common: [(String, String)]) {
        commonLines = common.map { "\($0): \($1)\r\n" }.joined()
    }

    func encode(_ head: ResponseHead, date: String, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("HTTP/1.1 ")
        buffer.writeString(String(head.status.code))
        buffer.writeStaticString(" ")
        buffer.writeString(head.status.reasonPhrase)
        buffer.writeStaticString("\r\n")
        buffer.writeString(commonLines)
        for (name, value) in head.headers {
            buffer.writeString(name)
            buffer.writeStaticString(": ")
            // A line break in a value would let its author write headers.
            if value.utf8.contains(where: { $0 < 0x20 }) {
                buffer.writeBytes(value.utf8.lazy.map { $0 < 0x20 ? UInt8(ascii: " ") : $0 })
            } else {
                buffer.writeString(value)
            }
            buffer.writeStaticString("\r\n")
        }
        buffer.writeStaticString("Date: ")
        buffer.writeString(date)
        buffer.writeStaticString("\r\n")
        switch head.framing {
        case .length(let count):
            buffer.writeStaticString("Content-Length: ")
            buffer.writeString(String(count))
            buffer.writeStaticString("\r\n")
        case .chunked: buffer.writeStaticString("Transfer-Encoding: chunked\r\n")
        case .untilClose, .none: break
        }
        if head.close { buffer.writeStaticString("Connection: close\r\n") }
        buffer.writeStaticString("\r\n")
    }

    func chunkHeader(_ count: Int, into buffer: inout ByteBuffer) {
        buffer.writeString(String(count, radix: 16))
        buffer.writeStaticString("\r\n")
    }
}

/// The `Date` value, formatted once a second for the whole process.
enum HTTPDate {
    private static let cache = Mutex<(second: Int, text: String)>((0, ""))

    static func now() -> String {
        let second = time(nil)
        return cache.withLock { cached in
            if cached.second != second { cached = (second, format(second)) }
            return cached.text
        }
    }

    private static func format(_ second: Int) -> String {
        var second = second
        var parts = unsafe tm()
        _ = unsafe gmtime_r(&second, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ n: Int32) -> String { n < 10 ? "0\(n)" : "\(n)" }
        let day = unsafe "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)])"
        let clock = unsafe "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        return unsafe "\(day) \(parts.tm_year + 1900) \(clock) GMT"
    }
}
