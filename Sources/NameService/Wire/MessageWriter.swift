import SwarmCore

/// Writes a response or a query; answers point at the question's name (compression, RFC 1035 §4.1.4).
package struct MessageWriter: Sendable {
    package private(set) var bytes: [UInt8] = []
    private var answers: UInt16 = 0
    private let limit: Int
    private let edns: Bool

    /// The longest message TCP's length prefix can say.
    package static let maximumLength = 65_535
    /// The length of an EDNS record without options.
    static let ednsLength = 11
    /// What we tell others we take over UDP: unfragmented everywhere (DNS flag day 2020).
    package static let advertisedPayload: UInt16 = 1232

    /// A response to `query` of at most `limit` bytes.
    package init(responseTo query: Message, code: ResponseCode, limit: Int) {
        self.limit = limit
        edns = query.payloadSize != nil
        word(query.id)
        word(0x8080 | query.flags & 0x7900 | UInt16(code.rawValue))
        header(query.question)
    }

    /// A query of ours, with EDNS if `edns`.
    package init(query question: Question, id: UInt16, flags: UInt16, edns: Bool, signatures: Bool) {
        limit = MessageWriter.maximumLength
        self.edns = edns
        word(id)
        word(flags & 0x0130)
        header(question)
        if edns { finish(signatures: signatures) }
    }

    private mutating func header(_ question: Question) {
        word(1)
        for _ in 0..<3 { word(0) }
        bytes.append(contentsOf: question.name.wire)
        bytes.append(0)
        word(question.type)
        word(question.recordClass)
    }

    private mutating func word(_ value: UInt16) {
        bytes.append(UInt8(value >> 8))
        bytes.append(UInt8(value & 255))
    }

    /// Adds an answer for the question's name; false, with TC set, when it does not fit.
    package mutating func answer(type: UInt16, timeToLive: UInt32, data: [UInt8]) -> Bool {
        guard bytes.count + 12 + data.count + (edns ? MessageWriter.ednsLength : 0) <= limit else {
            bytes[2] |= 2
            return false
        }
        word(0xC00C)
        word(type)
        word(Question.internet)
        word(UInt16(timeToLive >> 16))
        word(UInt16(timeToLive & 0xFFFF))
        word(UInt16(data.count))
        bytes.append(contentsOf: data)
        answers += 1
        (bytes[6], bytes[7]) = (UInt8(answers >> 8), UInt8(answers & 255))
        return true
    }

    /// Adds the EDNS record, if the query had one.
    package mutating func finish(signatures: Bool = false) {
        guard edns else { return }
        bytes.append(0)
        word(Question.opt)
        word(MessageWriter.advertisedPayload)
        word(0)
        word(signatures ? 0x8000 : 0)
        word(0)
        bytes[11] = 1
    }

    /// The twelve bytes that answer a query whose rest cannot be read.
    package static func formatError(id: UInt16) -> [UInt8] {
        [UInt8(id >> 8), UInt8(id & 255), 0x80, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]
    }
}
