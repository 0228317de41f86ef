/// The little of ASN.1's distinguished encoding (X.690) that certificate extensions need.
enum DER {
    static let boolean: UInt8 = 0x01
    static let integer: UInt8 = 0x02
    static let bitString: UInt8 = 0x03
    static let octetString: UInt8 = 0x04
    static let objectIdentifier: UInt8 = 0x06
    static let sequence: UInt8 = 0x30

    /// Context-specific and primitive, as `[0] IMPLICIT OCTET STRING` is.
    static func tagged(_ number: UInt8) -> UInt8 { 0x80 | number }

    static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var length: [UInt8] = []
        if content.count < 0x80 {
            length = [UInt8(content.count)]
        } else {
            var rest = content.count
            while rest > 0 {
                length.insert(UInt8(truncatingIfNeeded: rest), at: 0)
                rest >>= 8
            }
            length.insert(0x80 | UInt8(length.count), at: 0)
        }
        return [tag] + length + content
    }

    /// A positive INTEGER: a leading zero keeps a set top bit from being a sign.
    static func positiveInteger(_ magnitude: [UInt8]) -> [UInt8] {
        var digits = magnitude.drop { $0 == 0 }
        if digits.isEmpty { digits = [0] }
        let sign: [UInt8] = (digits.first ?? 0) >= 0x80 ? [0] : []
        return element(integer, sign + digits)
    }
}

/// Reads elements one after the other; never beyond what it was given.
struct DERReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    /// Nil when what follows is no element with a short tag and a definite length within the bytes.
    mutating func next() -> (tag: UInt8, content: ArraySlice<UInt8>)? {
        guard let tag = rest.popFirst(), tag & 0x1F != 0x1F, let first = rest.popFirst() else { return nil }
        var length = Int(first)
        if first >= 0x80 {
            let count = Int(first & 0x7F)
            guard (1...3).contains(count), rest.count >= count else { return nil }
            length = 0
            for byte in rest.prefix(count) { length = length << 8 | Int(byte) }
            rest = rest.dropFirst(count)
        }
        guard rest.count >= length else { return nil }
        defer { rest = rest.dropFirst(length) }
        return (tag, rest.prefix(length))
    }

    mutating func next(_ tag: UInt8) -> ArraySlice<UInt8>? {
        guard let element = next(), element.tag == tag else { return nil }
        return element.content
    }
}
