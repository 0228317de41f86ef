/// Reads a DNS message; every input either parses or throws, none traps.
package struct MessageReader: Sendable {
    private let bytes: [UInt8]
    private(set) var offset: Int

    package init(_ bytes: [UInt8]) { (self.bytes, offset) = (bytes, 0) }

    private mutating func byte() throws(MessageError) -> UInt8 {
        guard offset < bytes.count else { throw .truncated }
        defer { offset += 1 }
        return bytes[offset]
    }

    private mutating func word() throws(MessageError) -> UInt16 {
        UInt16(try byte()) << 8 | UInt16(try byte())
    }

    private mutating func long() throws(MessageError) -> UInt32 {
        UInt32(try word()) << 16 | UInt32(try word())
    }

    /// A name, following pointers, which must point backwards so that they end.
    private mutating func name() throws(MessageError) -> Name {
        var wire: [UInt8] = []
        var index = offset
        var limit = offset
        var resume: Int?
        while true {
            guard index < bytes.count else { throw .truncated }
            let length = Int(bytes[index])
            if length == 0 {
                offset = resume ?? index + 1
                return Name(uncheckedWire: wire)
            } else if length >= 0xC0 {
                guard index + 1 < bytes.count else { throw .truncated }
                let target = (length & 0x3F) << 8 | Int(bytes[index + 1])
                guard target < limit else { throw .pointerLoop }
                resume = resume ?? index + 2
                (index, limit) = (target, target)
            } else {
                guard length <= Name.maximumLabel else { throw .badLabel }
                guard index + 1 + length <= bytes.count else { throw .truncated }
                wire.append(contentsOf: bytes[index...(index + length)])
                guard wire.count <= Name.maximumLength else { throw .nameTooLong }
                index += 1 + length
            }
        }
    }

    private mutating func record() throws(MessageError) -> Record {
        _ = try name()
        let type = try word()
        let recordClass = try word()
        let ttlOffset = offset
        let ttl = try long()
        let length = Int(try word())
        guard offset + length <= bytes.count else { throw .truncated }
        defer { offset += length }
        return Record(
            type: type, recordClass: recordClass, timeToLive: ttl, timeToLiveOffset: ttlOffset,
            dataOffset: offset, dataLength: length)
    }

    /// The whole message: its summary and the records of the answer, authority and additional sections.
    package mutating func message() throws(MessageError) -> (Message, [Record]) {
        offset = 0
        let (id, flags) = (try word(), try word())
        let questions = Int(try word())
        let records = Int(try word()) + Int(try word()) + Int(try word())
        guard questions == 1 else { throw .questionCount(questions) }
        let question = Question(name: try name(), type: try word(), recordClass: try word())
        var message = Message(id: id, flags: flags, question: question)
        var list: [Record] = []
        for _ in 0..<records {
            let record = try record()
            list.append(record)
            guard record.type == Question.opt else { continue }
            message.payloadSize = record.recordClass
            message.ednsVersion = UInt8(record.timeToLive >> 16 & 255)
            message.wantsSignatures = record.timeToLive & 0x8000 != 0
        }
        return (message, list)
    }
}
