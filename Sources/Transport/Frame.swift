import NIOCore
import SwarmCore

/// What goes over a connection: four bytes of length (big-endian, of all that follows), one byte of kind, a body.
enum FrameKind: UInt8, Sendable {
    /// The dialing end introduces itself once it believes the other's certificate: ``Introduction``.
    case hello = 1
    /// The accepting end does the same; messages may flow.
    case welcome = 2
    /// The connection is not wanted: a failure in words. The last frame.
    case refusal = 3
    /// Sent when nothing else was for a while, so that silence means something.
    case heartbeat = 4
    /// The last message on this connection has been sent.
    case goodbye = 5
    /// All messages up to the peer's goodbye have been handed on.
    case goodbyeReceived = 6
    /// The accepting end has a new certificate: the dialing end is to open another connection.
    case redial = 7
    /// A `PeerMessage`.
    case message = 8
    /// A number (8 bytes), the length of a name (1), the name, a body.
    case call = 9
    /// The number of the call (8), what it answers.
    case answer = 10
    /// The number of the call (8), a failure.
    case failure = 11
    // Gossip streams
    case exchange = 12
    case exchangeAnswer = 13
    case ping = 14
    case pingAnswer = 15
}

struct Frame {
    static let headerBytes = 5
    var kind: FrameKind
    var body: [UInt8] = []

    /// Bytes on the wire, before TLS.
    var size: Int { Self.headerBytes + body.count }

    func write(to buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt32(1 + body.count))
        buffer.writeInteger(kind.rawValue)
        buffer.writeBytes(body)
    }
}

/// Cuts a stream into frames; keeps at most one incomplete frame.
struct FrameDecoder {
    /// Largest body that is taken; small until the peer is known.
    var bodyBytesMax: Int
    private var buffer = ByteBuffer()

    init(bodyBytesMax: Int) { self.bodyBytesMax = bodyBytesMax }

    mutating func append(_ bytes: inout ByteBuffer) {
        if buffer.readableBytes == 0 { buffer = bytes } else { buffer.writeBuffer(&bytes) }
    }

    /// The next whole frame, or nil when more bytes are needed.
    mutating func next() throws(SwarmError) -> Frame? {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return nil }
        guard length >= 1, length - 1 <= bodyBytesMax else {
            throw SwarmError(
                .invalidArgument,
                "a frame of \(length) bytes came where at most \(bodyBytesMax + 1) are allowed: is it another program "
                    + "that talks to this port?")
        }
        guard buffer.readableBytes >= 4 + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let code = buffer.readInteger(as: UInt8.self),
            let body = buffer.readBytes(length: Int(length) - 1)
        else { return nil }
        if buffer.readableBytes == 0 {
            buffer = ByteBuffer()
        } else if body.count > 1 << 16 {
            buffer.discardReadBytes()
        }
        guard let kind = FrameKind(rawValue: code) else {
            throw SwarmError(
                .invalidArgument, "a frame of unknown kind \(code) came: does the peer run a newer swarmd?")
        }
        return Frame(kind: kind, body: body)
    }
}

/// Who dials or accepts, beyond what its certificate says.
struct Introduction: Equatable {
    static let version: UInt8 = 1
    /// Drawn anew by each process.
    var instance: UInt64
    /// How many connections with this peer were ready at the sender so far; tells a connection that was opened
    /// because another was lost from one that was opened at the same time as another.
    var count: UInt64

    var encoded: [UInt8] { [Self.version] + bigEndian(instance) + bigEndian(count) }

    init(instance: UInt64, count: UInt64) { (self.instance, self.count) = (instance, count) }

    init?(_ bytes: [UInt8]) {
        guard bytes.count == 17, bytes[0] == Self.version else { return nil }
        (instance, count) = (integer(bytes[1..<9]), integer(bytes[9..<17]))
    }
}

/// One request to a node, and one answer: enrolment, renewal, inspection. The handler judges who may ask for what.
package struct PeerCall: Sendable, Equatable {
    package static let nameBytesMax = 64

    package var name: String
    package var body: [UInt8]

    package init(name: String, body: [UInt8] = []) { (self.name, self.body) = (name, body) }

    func encoded(number: UInt64) -> [UInt8] {
        bigEndian(number) + [UInt8(clamping: name.utf8.count)] + Array(name.utf8.prefix(255)) + body
    }

    /// The number and the call; nil when the bytes are not a call.
    static func decode(_ bytes: [UInt8]) -> (number: UInt64, call: PeerCall)? {
        guard bytes.count >= 9, bytes[8] <= nameBytesMax, bytes.count >= 9 + Int(bytes[8]),
            let name = String(validating: bytes[9..<9 + Int(bytes[8])], as: UTF8.self)
        else { return nil }
        return (integer(bytes[0..<8]), PeerCall(name: name, body: Array(bytes[(9 + Int(bytes[8]))...])))
    }
}

func bigEndian(_ value: UInt64) -> [UInt8] {
    stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
}

func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
