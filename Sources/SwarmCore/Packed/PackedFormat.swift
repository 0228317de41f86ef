/// A self-describing binary form of `Codable` values, for what this program alone writes and reads: its log, its
/// snapshots. Keys stay names, so that a newer version may add fields and an older one pass over them, as with JSON.
///
///     value  := tag, content
///     null, false, true                       no content
///     integer, time                           zigzag, then LEB128; a time in nanoseconds since 1970
///     unsigned                                LEB128, for numbers beyond Int64
///     double                                  8 bytes, little-endian
///     text                                    LEB128 of its UTF-8 bytes, the bytes
///     list                                    4 bytes of length, little-endian, then values
///     map                                     as a list, of keys (texts without tag) and values in turn
///
/// Lists and maps begin with their length in bytes, so that what is not wanted is passed over in one step.
package enum Packed {
    /// Where a value begins; no JSON text begins with one of these.
    enum Tag: UInt8 {
        case null, no, yes, integer, unsigned, double, text, list, map, time
    }

    /// The bytes of a value.
    ///
    /// - Throws: what the value's own `encode(to:)` throws.
    package static func encode(_ value: some Encodable) throws -> [UInt8] {
        let writer = PackedWriter()
        try writer.write(value)
        return writer.bytes
    }

    /// - Throws: `DecodingError` when the bytes are no such value, or go on after it.
    package static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        let source = PackedSource(bytes)
        let value = try source.read(type, at: 0)
        guard try source.end(of: 0) == bytes.count else {
            throw source.damage("bytes follow the value", at: bytes.count)
        }
        return value
    }

    /// Whether the bytes are meant to be packed; what was written before this form is JSON, and begins with a brace.
    package static func isPacked(_ bytes: [UInt8]) -> Bool { bytes.first.map { Tag(rawValue: $0) != nil } ?? false }
}
