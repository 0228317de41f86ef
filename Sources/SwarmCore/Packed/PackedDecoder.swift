/// Reads values of bytes that may be damaged: no length is believed that does not fit.
final class PackedSource {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func damage(_ what: String, at position: Int) -> DecodingError {
        .dataCorrupted(.init(codingPath: [], debugDescription: "\(what), at byte \(position)"))
    }

    func mismatch(_ type: Any.Type, _ position: Int) -> DecodingError {
        let found = tag(at: position).map { "\($0)" } ?? "nothing"
        return .typeMismatch(
            type, .init(codingPath: [], debugDescription: "a \(found) is where a \(type) belongs, at byte \(position)"))
    }

    func tag(at position: Int) -> Packed.Tag? {
        position < bytes.count ? Packed.Tag(rawValue: bytes[position]) : nil
    }

    /// A number in LEB128; moves the position behind it.
    func number(_ position: inout Int) throws -> UInt64 {
        var (value, shift): (UInt64, UInt64) = (0, 0)
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            guard shift < 63 || byte <= 1 else { break }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw damage("a number is cut short or too large", at: position)
    }

    /// The bytes of a text behind its length; moves the position behind them.
    func text(_ position: inout Int) throws -> Range<Int> {
        let count = try number(&position)
        guard count <= UInt64(bytes.count - position) else { throw damage("a text is cut short", at: position) }
        let start = position
        position += Int(count)
        return start..<position
    }

    func string(_ range: Range<Int>) throws -> String {
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw damage("a text is not UTF-8", at: range.lowerBound)
        }
        return text
    }

    /// What is in a list or map.
    func content(at position: Int) throws -> Range<Int> {
        let start = position + 5
        guard start <= bytes.count else { throw damage("a list or map is cut short", at: position) }
        var length = 0
        for place in 0..<4 { length |= Int(bytes[position + 1 + place]) << (8 * place) }
        guard length <= bytes.count - start else { throw damage("a list or map is cut short", at: position) }
        return start..<start + length
    }

    /// The position behind the value at another.
    func end(of position: Int) throws -> Int {
        guard let tag = tag(at: position) else { throw damage("no value begins here", at: position) }
        var end = position + 1
        switch tag {
        case .null, .no, .yes: break
        case .integer, .unsigned, .time: _ = try number(&end)
        case .double:
            end += 8
            guard end <= bytes.count else { throw damage("a number is cut short", at: position) }
        case .text: _ = try text(&end)
        case .list, .map: end = try content(at: position).upperBound
        }
        return end
    }

    // MARK: Values

    func isNull(at position: Int) -> Bool { tag(at: position) == .null }

    func bool(at position: Int) throws -> Bool {
        switch tag(at: position) {
        case .yes: return true
        case .no: return false
        default: throw mismatch(Bool.self, position)
        }
    }

    func string(at position: Int) throws -> String {
        guard tag(at: position) == .text else { throw mismatch(String.self, position) }
        var next = position + 1
        return try string(text(&next))
    }

    func zigzag(at position: Int) throws -> Int64 {
        var next = position + 1
        let value = try number(&next)
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    func integer<Value: FixedWidthInteger>(_ type: Value.Type, at position: Int) throws -> Value {
        let value: Value?
        switch tag(at: position) {
        case .integer: value = Value(exactly: try zigzag(at: position))
        case .unsigned:
            var next = position + 1
            value = Value(exactly: try number(&next))
        default: throw mismatch(type, position)
        }
        guard let value else { throw damage("a number does not fit a \(type)", at: position) }
        return value
    }

    func double(at position: Int) throws -> Double {
        if tag(at: position) == .integer { return Double(try zigzag(at: position)) }
        guard tag(at: position) == .double, position + 9 <= bytes.count else { throw mismatch(Double.self, position) }
        var bits: UInt64 = 0
        for place in 0..<8 { bits |= UInt64(bytes[position + 1 + place]) << UInt64(8 * place) }
        return Double(bitPattern: bits)
    }

    func read<Value: Decodable>(_ type: Value.Type, at position: Int) throws -> Value {
        if type == String.self, let text = try string(at: position) as? Value { return text }
        if type == Timestamp.self, tag(at: position) == .time,
            let time = Timestamp(nanoseconds: try zigzag(at: position)) as? Value
        {
            return time
        }
        if type == [String: String].self {
            var map: [String: String] = [:]
            try forEachEntry(at: position) { key, value in map[try string(key)] = try string(at: value) }
            if let map = map as? Value { return map }
        }
        return try Value(from: PackedDecoder(source: self, position: position))
    }

    func forEachEntry(at position: Int, _ body: (_ key: Range<Int>, _ value: Int) throws -> Void) throws {
        guard tag(at: position) == .map else { throw mismatch([String: Any].self, position) }
        let content = try content(at: position)
        var next = content.lowerBound
        while next < content.upperBound {
            let key = try text(&next)
            let value = next
            next = try end(of: value)
            try body(key, value)
        }
        guard next == content.upperBound else { throw damage("a map's last entry goes beyond it", at: position) }
    }
}

struct PackedDecoder: Decoder {
    let source: PackedSource
    let position: Int
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(PackedMapReader<Key>(entries: try PackedEntries(source, position)))
    }
    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { try PackedListReader(source, position) }
    func singleValueContainer() -> any SingleValueDecodingContainer {
        PackedSingleReader(source: source, position: position)
    }
}

/// Where a map's values are.
final class PackedEntries {
    let source: PackedSource
    private var entries: [(key: Range<Int>, value: Int)] = []
    /// Types ask for their fields in the order in which they wrote them.
    private var next = 0

    init(_ source: PackedSource, _ position: Int) throws {
        self.source = source
        entries.reserveCapacity(16)
        try source.forEachEntry(at: position) { key, value in entries.append((key, value)) }
    }

    var keys: [String] { get throws { try entries.map { try source.string($0.key) } } }

    func find(_ name: String) -> Int? {
        for step in 0..<entries.count {
            let place = next + step < entries.count ? next + step : next + step - entries.count
            let range = entries[place].key
            guard range.count == name.utf8.count, source.bytes[range].elementsEqual(name.utf8) else { continue }
            next = place
            return entries[place].value
        }
        return nil
    }

    func require(_ key: any CodingKey) throws -> Int {
        guard let value = find(key.stringValue) else {
            throw DecodingError.keyNotFound(
                key, .init(codingPath: [], debugDescription: "no \(key.stringValue) is there"))
        }
        return value
    }
}

private struct PackedMapReader<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let entries: PackedEntries
    private var source: PackedSource { entries.source }
    var codingPath: [any CodingKey] { [] }

    init(entries: PackedEntries) { self.entries = entries }

    var allKeys: [Key] { ((try? entries.keys) ?? []).compactMap { Key(stringValue: $0) } }
    func contains(_ key: Key) -> Bool { entries.find(key.stringValue) != nil }
    func decodeNil(forKey key: Key) throws -> Bool { source.isNull(at: try entries.require(key)) }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try source.bool(at: entries.require(key)) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try source.string(at: entries.require(key)) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try source.double(at: entries.require(key)) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
        Float(try source.double(at: entries.require(key)))
    }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try integer(type, key) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try integer(type, key) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try integer(type, key) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try integer(type, key) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try integer(type, key) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try integer(type, key) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try integer(type, key) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try integer(type, key) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try integer(type, key) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try integer(type, key) }
    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try source.read(type, at: entries.require(key))
    }

    private func integer<Value: FixedWidthInteger>(_ type: Value.Type, _ key: Key) throws -> Value {
        try source.integer(type, at: entries.require(key))
    }
    private func inner(_ key: any CodingKey) throws -> PackedDecoder {
        PackedDecoder(source: source, position: try entries.require(key))
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws
        -> KeyedDecodingContainer<Nested>
    { try inner(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try inner(key).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder { try inner(PackedKey("super")) }
    func superDecoder(forKey key: Key) throws -> any Decoder { try inner(key) }
}

private struct PackedListReader: UnkeyedDecodingContainer {
    let source: PackedSource
    private var position: Int
    private let end: Int
    private(set) var currentIndex = 0
    var codingPath: [any CodingKey] { [] }
    /// Not known without reading all of it.
    var count: Int? { nil }
    var isAtEnd: Bool { position >= end }

    init(_ source: PackedSource, _ position: Int) throws {
        guard source.tag(at: position) == .list else { throw source.mismatch([Any].self, position) }
        let content = try source.content(at: position)
        (self.source, self.position, end) = (source, content.lowerBound, content.upperBound)
    }

    private mutating func take<Value>(_ read: (PackedSource, Int) throws -> Value) throws -> Value {
        guard !isAtEnd else { throw source.damage("a list has no more values", at: position) }
        let next = try source.end(of: position)
        guard next <= end else { throw source.damage("a list's last value goes beyond it", at: position) }
        let value = try read(source, position)
        (position, currentIndex) = (next, currentIndex + 1)
        return value
    }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd, source.isNull(at: position) else { return false }
        return try take { _, _ in true }
    }
    mutating func decode(_ type: Bool.Type) throws -> Bool { try take { try $0.bool(at: $1) } }
    mutating func decode(_ type: String.Type) throws -> String { try take { try $0.string(at: $1) } }
    mutating func decode(_ type: Double.Type) throws -> Double { try take { try $0.double(at: $1) } }
    mutating func decode(_ type: Float.Type) throws -> Float { try take { Float(try $0.double(at: $1)) } }
    mutating func decode(_ type: Int.Type) throws -> Int { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int8.Type) throws -> Int8 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int16.Type) throws -> Int16 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int32.Type) throws -> Int32 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int64.Type) throws -> Int64 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt.Type) throws -> UInt { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try take { try $0.integer(type, at: $1) } }
    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try take { try $0.read(type, at: $1) }
    }

    private mutating func inner() throws -> PackedDecoder {
        try take { PackedDecoder(source: $0, position: $1) }
    }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws
        -> KeyedDecodingContainer<Nested>
    { try inner().container(keyedBy: type) }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try inner().unkeyedContainer() }
    mutating func superDecoder() throws -> any Decoder { try inner() }
}

private struct PackedSingleReader: SingleValueDecodingContainer {
    let source: PackedSource
    let position: Int
    var codingPath: [any CodingKey] { [] }

    func decodeNil() -> Bool { source.isNull(at: position) }
    func decode(_ type: Bool.Type) throws -> Bool { try source.bool(at: position) }
    func decode(_ type: String.Type) throws -> String { try source.string(at: position) }
    func decode(_ type: Double.Type) throws -> Double { try source.double(at: position) }
    func decode(_ type: Float.Type) throws -> Float { Float(try source.double(at: position)) }
    func decode(_ type: Int.Type) throws -> Int { try source.integer(type, at: position) }
    func decode(_ type: Int8.Type) throws -> Int8 { try source.integer(type, at: position) }
    func decode(_ type: Int16.Type) throws -> Int16 { try source.integer(type, at: position) }
    func decode(_ type: Int32.Type) throws -> Int32 { try source.integer(type, at: position) }
    func decode(_ type: Int64.Type) throws -> Int64 { try source.integer(type, at: position) }
    func decode(_ type: UInt.Type) throws -> UInt { try source.integer(type, at: position) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try source.integer(type, at: position) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try source.integer(type, at: position) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try source.integer(type, at: position) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try source.integer(type, at: position) }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try source.read(type, at: position) }
}
