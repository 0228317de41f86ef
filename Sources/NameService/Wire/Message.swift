/// What a name server needs of a query: header, its one question, EDNS (RFC 1035 §4.1, RFC 6891).
package struct Message: Sendable, Equatable {
    package var id: UInt16
    package var flags: UInt16
    package var question: Question
    /// The sender's UDP size; nil without EDNS.
    package var payloadSize: UInt16?
    package var ednsVersion: UInt8 = 0
    package var wantsSignatures = false

    package static let headerLength = 12
    package var isResponse: Bool { flags & 0x8000 != 0 }
    package var opcode: UInt16 { flags >> 11 & 15 }
    package var isTruncated: Bool { flags & 0x0200 != 0 }
    package var code: ResponseCode? { ResponseCode(rawValue: UInt8(flags & 15)) }
}

/// A question of a message.
package struct Question: Sendable, Hashable {
    package var name: Name
    package var type: UInt16
    package var recordClass: UInt16

    package static let a: UInt16 = 1
    package static let soa: UInt16 = 6
    package static let ptr: UInt16 = 12
    package static let opt: UInt16 = 41
    package static let any: UInt16 = 255
    package static let internet: UInt16 = 1
}

/// The code of a response (RFC 1035 §4.1.1).
package enum ResponseCode: UInt8, Sendable {
    case noError = 0, formatError, serverFailure, noSuchName, notImplemented, refused
}

/// One resource record without its owner's name.
package struct Record: Sendable, Equatable {
    package var type: UInt16
    package var recordClass: UInt16
    package var timeToLive: UInt32
    /// Where the TTL is in the message, for a cache that ages it.
    package var timeToLiveOffset: Int
    package var dataOffset: Int
    package var dataLength: Int
}

/// Why a message cannot be read.
package enum MessageError: Error, Equatable {
    case truncated, badLabel, pointerLoop, nameTooLong, questionCount(Int)
}
