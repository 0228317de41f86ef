package import SwarmCore

extension JSONValue {
    /// Parses one JSON text (RFC 8259).
    package init(parsing bytes: [UInt8]) throws(SwarmError) {
        var reader = JSONReader(bytes: bytes)
        self = try reader.document()
    }
}

/// A recursive-descent reader; nesting is bounded so that no answer exhausts the stack.
private struct JSONReader {
    /// Deepest nesting that is read; Docker's objects stay below 20.
    static let depthMax = 200

    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(SwarmError) -> JSONValue {
        let value = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw malformed() }
        return value
    }

    private func malformed() -> SwarmError {
        SwarmError(.unknown, "the engine's answer is not JSON: unexpected byte at offset \(position)")
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 }
    }

    private mutating func take(_ text: StaticString) -> Bool {
        let wanted = Array("\(text)".utf8)
        guard bytes[position...].starts(with: wanted) else { return false }
        position += wanted.count
        return true
    }

    private mutating func value(depth: Int) throws(SwarmError) -> JSONValue {
        guard depth < Self.depthMax else { throw malformed() }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): if take("true") { return .bool(true) }
        case UInt8(ascii: "f"): if take("false") { return .bool(false) }
        case UInt8(ascii: "n"): if take("null") { return .null }
        case let byte? where byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte): return number()
        default: break
        }
        throw malformed()
    }

    private mutating func number() -> JSONValue {
        let start = position
        let allowed = Set("+-0123456789.eE".utf8)
        while let byte = next, allowed.contains(byte) { position += 1 }
        return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func array(depth: Int) throws(SwarmError) -> JSONValue {
        position += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take("]") { return .array([]) }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw malformed() }
        }
    }

    private mutating func object(depth: Int) throws(SwarmError) -> JSONValue {
        position += 1
        var members: [JSONMember] = []
        skipSpace()
        if take("}") { return .object([]) }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw malformed() }
            let key = try string()
            skipSpace()
            guard take(":") else { throw malformed() }
            members.append(JSONMember(key, try value(depth: depth + 1)))
            skipSpace()
            if take("}") { return .object(members) }
            guard take(",") else { throw malformed() }
        }
    }

    private mutating func string() throws(SwarmError) -> String {
        position += 1
        var text: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try escape(into: &text)
            default: text.append(byte)
            }
        }
        throw malformed()
    }

    private mutating func escape(into text: inout [UInt8]) throws(SwarmError) {
        guard let byte = next else { throw malformed() }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var units = [try hexadecimal()]
            // A high surrogate stands for a character only together with the low one after it.
            if (0xd800...0xdbff).contains(units[0]), take("\\u") { units.append(try hexadecimal()) }
            text += Array(String(decoding: units, as: UTF16.self).utf8)
        default: throw malformed()
        }
    }

    private mutating func hexadecimal() throws(SwarmError) -> UInt16 {
        guard position + 4 <= bytes.count,
            let unit = UInt16(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw malformed() }
        position += 4
        return unit
    }
}
