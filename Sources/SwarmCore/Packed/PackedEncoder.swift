/// Appends values to bytes.
final class PackedWriter {
    private(set) var bytes: [UInt8] = []

    func tag(_ tag: Packed.Tag) { bytes.append(tag.rawValue) }

    func number(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    func zigzag(_ value: Int64) { number(UInt64(bitPattern: value << 1 ^ value >> 63)) }

    func name(_ text: String) {
        number(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    func write(_ value: Bool) { tag(value ? .yes : .no) }
    func writeNull() { tag(.null) }

    func write(_ value: String) {
        tag(.text)
        name(value)
    }

    func write(_ value: Double) {
        tag(.double)
        for shift in stride(from: 0, to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(shift)))
        }
    }

    func write(integer value: some FixedWidthInteger) {
        if let signed = Int64(exactly: value) {
            tag(.integer)
            zigzag(signed)
        } else {
            tag(.unsigned)
            number(UInt64(truncatingIfNeeded: value))
        }
    }

    /// - Returns: where the length goes; see ``close(_:)``.
    func open(_ tag: Packed.Tag) -> Int {
        self.tag(tag)
        bytes.append(contentsOf: [0, 0, 0, 0])
        return bytes.count
    }

    func close(_ start: Int) throws {
        guard let length = UInt32(exactly: bytes.count - start) else {
            throw EncodingError.invalidValue(
                bytes.count - start, .init(codingPath: [], debugDescription: "a list or map is larger than 4 GiB"))
        }
        for place in 0..<4 { bytes[start - 4 + place] = UInt8(truncatingIfNeeded: length >> UInt32(8 * place)) }
    }

    /// Some types are written without their own detour: they are most of what there is.
    func write<Value: Encodable>(_ value: Value) throws {
        if Value.self == String.self, let text = value as? String { return write(text) }
        if Value.self == Timestamp.self, let time = value as? Timestamp {
            tag(.time)
            return zigzag(time.nanoseconds)
        }
        if Value.self == [String: String].self, let map = value as? [String: String] {
            let start = open(.map)
            // In order, so that equal values have equal bytes.
            for (key, text) in map.sorted(by: { $0.key < $1.key }) {
                name(key)
                write(text)
            }
            return try close(start)
        }
        let encoder = PackedEncoder(self)
        try value.encode(to: encoder)
        try encoder.close()
    }
}

/// Writes one value; whatever containers it asks for are written in place.
final class PackedEncoder: Encoder {
    let writer: PackedWriter
    /// Where the open list or map began.
    private var start: Int?
    private let before: Int
    /// A container handed out within this one; it ends when something else is written.
    private var inner: PackedEncoder?

    init(_ writer: PackedWriter) { (self.writer, before) = (writer, writer.bytes.count) }

    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if start == nil { start = writer.open(.map) }
        return KeyedEncodingContainer(PackedMapWriter<Key>(encoder: self))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if start == nil { start = writer.open(.list) }
        return PackedListWriter(encoder: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { PackedSingleWriter(writer: writer) }

    /// Ends what was handed out before, and begins something else.
    func advance() throws {
        try inner?.close()
        inner = nil
    }

    func nested() throws -> PackedEncoder {
        try advance()
        let encoder = PackedEncoder(writer)
        inner = encoder
        return encoder
    }

    func close() throws {
        try advance()
        if let start { return try writer.close(start) }
        // A type without fields writes nothing.
        if writer.bytes.count == before { try writer.close(writer.open(.map)) }
    }
}

private struct PackedSingleWriter: SingleValueEncodingContainer {
    let writer: PackedWriter
    var codingPath: [any CodingKey] { [] }

    mutating func encodeNil() { writer.writeNull() }
    mutating func encode(_ value: Bool) { writer.write(value) }
    mutating func encode(_ value: String) { writer.write(value) }
    mutating func encode(_ value: Double) { writer.write(value) }
    mutating func encode(_ value: Float) { writer.write(Double(value)) }
    mutating func encode(_ value: Int) { writer.write(integer: value) }
    mutating func encode(_ value: Int8) { writer.write(integer: value) }
    mutating func encode(_ value: Int16) { writer.write(integer: value) }
    mutating func encode(_ value: Int32) { writer.write(integer: value) }
    mutating func encode(_ value: Int64) { writer.write(integer: value) }
    mutating func encode(_ value: UInt) { writer.write(integer: value) }
    mutating func encode(_ value: UInt8) { writer.write(integer: value) }
    mutating func encode(_ value: UInt16) { writer.write(integer: value) }
    mutating func encode(_ value: UInt32) { writer.write(integer: value) }
    mutating func encode(_ value: UInt64) { writer.write(integer: value) }
    mutating func encode(_ value: some Encodable) throws { try writer.write(value) }
}

private struct PackedMapWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: PackedEncoder
    var codingPath: [any CodingKey] { [] }

    private func slot(_ key: any CodingKey) throws -> PackedWriter {
        try encoder.advance()
        encoder.writer.name(key.stringValue)
        return encoder.writer
    }

    mutating func encodeNil(forKey key: Key) throws { try slot(key).writeNull() }
    mutating func encode(_ value: Bool, forKey key: Key) throws { try slot(key).write(value) }
    mutating func encode(_ value: String, forKey key: Key) throws { try slot(key).write(value) }
    mutating func encode(_ value: Double, forKey key: Key) throws { try slot(key).write(value) }
    mutating func encode(_ value: Float, forKey key: Key) throws { try slot(key).write(Double(value)) }
    mutating func encode(_ value: Int, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: Int8, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: Int16, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: Int32, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: Int64, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: UInt, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: UInt8, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: UInt16, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: UInt32, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: UInt64, forKey key: Key) throws { try slot(key).write(integer: value) }
    mutating func encode(_ value: some Encodable, forKey key: Key) throws { try slot(key).write(value) }

    private func nested(_ key: any CodingKey) -> PackedEncoder {
        do {
            _ = try slot(key)
            return try encoder.nested()
        } catch { preconditionFailure("a map of more than 4 GiB: \(error)") }
    }

    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key)
        -> KeyedEncodingContainer<Nested>
    { nested(key).container(keyedBy: type) }
    mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        nested(key).unkeyedContainer()
    }
    mutating func superEncoder() -> any Encoder { nested(PackedKey("super")) }
    mutating func superEncoder(forKey key: Key) -> any Encoder { nested(key) }
}

private struct PackedListWriter: UnkeyedEncodingContainer {
    let encoder: PackedEncoder
    private(set) var count = 0
    var codingPath: [any CodingKey] { [] }

    init(encoder: PackedEncoder) { self.encoder = encoder }

    private mutating func slot() throws -> PackedWriter {
        try encoder.advance()
        count += 1
        return encoder.writer
    }

    mutating func encodeNil() throws { try slot().writeNull() }
    mutating func encode(_ value: Bool) throws { try slot().write(value) }
    mutating func encode(_ value: String) throws { try slot().write(value) }
    mutating func encode(_ value: Double) throws { try slot().write(value) }
    mutating func encode(_ value: Float) throws { try slot().write(Double(value)) }
    mutating func encode(_ value: Int) throws { try slot().write(integer: value) }
    mutating func encode(_ value: Int8) throws { try slot().write(integer: value) }
    mutating func encode(_ value: Int16) throws { try slot().write(integer: value) }
    mutating func encode(_ value: Int32) throws { try slot().write(integer: value) }
    mutating func encode(_ value: Int64) throws { try slot().write(integer: value) }
    mutating func encode(_ value: UInt) throws { try slot().write(integer: value) }
    mutating func encode(_ value: UInt8) throws { try slot().write(integer: value) }
    mutating func encode(_ value: UInt16) throws { try slot().write(integer: value) }
    mutating func encode(_ value: UInt32) throws { try slot().write(integer: value) }
    mutating func encode(_ value: UInt64) throws { try slot().write(integer: value) }
    mutating func encode(_ value: some Encodable) throws { try slot().write(value) }

    private mutating func nested() -> PackedEncoder {
        count += 1
        do { return try encoder.nested() } catch { preconditionFailure("a list of more than 4 GiB: \(error)") }
    }

    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        nested().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { nested().unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { nested() }
}

struct PackedKey: CodingKey {
    let stringValue: String
    init(_ text: String) { stringValue = text }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { stringValue = String(intValue) }
    var intValue: Int? { Int(stringValue) }
}
