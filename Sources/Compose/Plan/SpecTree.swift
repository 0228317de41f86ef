/// Turns any of Docker's objects into a tree under its JSON names, so that two can be compared field by field.
enum SpecTree {
    private static let nowhere = Position(file: "")

    /// Null when the object cannot be encoded, which values of `SwarmModel` always can.
    static func make(_ object: some Encodable) -> Value {
        let box = Box()
        do { try object.encode(to: TreeEncoder(box: box, codingPath: [])) } catch {
            return Value(.null, at: nowhere)
        }
        return box.value
    }

    /// A place in the tree that is being filled.
    fileprivate final class Box {
        var content = Value.Content.null
        private var members: [(String, Box)] = []
        private var items: [Box] = []
        private enum Kind { case scalar, map, list }
        private var kind = Kind.scalar

        func beginMap() { kind = .map }
        func beginList() { kind = .list }

        func member(_ name: String) -> Box {
            kind = .map
            let box = Box()
            members.append((name, box))
            return box
        }

        func item() -> Box {
            kind = .list
            let box = Box()
            items.append(box)
            return box
        }

        var count: Int { items.count }

        var value: Value {
            switch kind {
            case .scalar: return Value(content, at: nowhere)
            case .list: return Value(.list(items.map(\.value)), at: nowhere)
            case .map:
                let entries = members.map { Value.Entry(key: $0.0, keyPosition: nowhere, value: $0.1.value) }
                return Value(.map(entries), at: nowhere)
            }
        }
    }

    private struct TreeEncoder: Encoder {
        let box: Box
        let codingPath: [any CodingKey]
        var userInfo: [CodingUserInfoKey: Any] { [:] }

        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
            box.beginMap()
            return KeyedEncodingContainer(Keyed<Key>(box: box, codingPath: codingPath))
        }

        func unkeyedContainer() -> any UnkeyedEncodingContainer {
            box.beginList()
            return Unkeyed(box: box, codingPath: codingPath)
        }

        func singleValueContainer() -> any SingleValueEncodingContainer { Single(box: box, codingPath: codingPath) }
    }

    private static func write(_ value: some Encodable, to box: Box, _ path: [any CodingKey]) throws {
        switch value {
        case let text as String: box.content = .string(text)
        case let flag as Bool: box.content = .bool(flag)
        case let number as Double: box.content = .float(number)
        case let number as any BinaryInteger: box.content = .integer(Int128(truncatingIfNeeded: number))
        default: try value.encode(to: TreeEncoder(box: box, codingPath: path))
        }
    }

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let box: Box
        let codingPath: [any CodingKey]

        mutating func encodeNil(forKey key: Key) throws { _ = box.member(key.stringValue) }

        mutating func encode(_ value: some Encodable, forKey key: Key) throws {
            try write(value, to: box.member(key.stringValue), codingPath + [key])
        }

        mutating func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type, forKey key: Key
        ) -> KeyedEncodingContainer<Nested> {
            TreeEncoder(box: box.member(key.stringValue), codingPath: codingPath + [key]).container(keyedBy: type)
        }

        mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            TreeEncoder(box: box.member(key.stringValue), codingPath: codingPath + [key]).unkeyedContainer()
        }

        mutating func superEncoder() -> any Encoder {
            TreeEncoder(box: box.member("super"), codingPath: codingPath)
        }

        mutating func superEncoder(forKey key: Key) -> any Encoder {
            TreeEncoder(box: box.member(key.stringValue), codingPath: codingPath + [key])
        }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        let box: Box
        let codingPath: [any CodingKey]
        var count: Int { box.count }

        mutating func encodeNil() throws { _ = box.item() }
        mutating func encode(_ value: some Encodable) throws { try write(value, to: box.item(), codingPath) }

        mutating func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type
        ) -> KeyedEncodingContainer<Nested> {
            TreeEncoder(box: box.item(), codingPath: codingPath).container(keyedBy: type)
        }

        mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
            TreeEncoder(box: box.item(), codingPath: codingPath).unkeyedContainer()
        }

        mutating func superEncoder() -> any Encoder { TreeEncoder(box: box.item(), codingPath: codingPath) }
    }

    private struct Single: SingleValueEncodingContainer {
        let box: Box
        let codingPath: [any CodingKey]

        mutating func encodeNil() throws { box.content = .null }
        mutating func encode(_ value: some Encodable) throws { try write(value, to: box, codingPath) }
    }
}
