import FoundationEssentials

/// Encodes as Go's `encoding/json` does: an object's members in the order in which they are encoded, a map's by name.
///
/// Foundation's encoder keeps members in a hash table, so that every answer would have another order.
enum OrderedJSON {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let node = Node()
        try Writer(node: node, codingPath: []).encode(value)
        var text: [UInt8] = []
        node.write(to: &text)
        return text
    }

    /// A value in the making; shared by the containers that fill it.
    fileprivate final class Node {
        enum Content {
            case text([UInt8])
            case list([Node])
            case members([(name: String, node: Node)])
        }
        var content = Content.text(Array("null".utf8))

        func append(_ node: Node) {
            guard case .list(var nodes) = content else { return content = .list([node]) }
            content = .text([])
            nodes.append(node)
            content = .list(nodes)
        }

        func append(_ name: String, _ node: Node) {
            guard case .members(var members) = content else { return content = .members([(name, node)]) }
            content = .text([])
            members.append((name, node))
            content = .members(members)
        }

        func sort() {
            guard case .members(let members) = content else { return }
            content = .members(members.sorted { $0.name < $1.name })
        }

        func write(to text: inout [UInt8]) {
            switch content {
            case .text(let bytes): text += bytes
            case .list(let nodes):
                text.append(UInt8(ascii: "["))
                for (index, node) in nodes.enumerated() {
                    if index > 0 { text.append(UInt8(ascii: ",")) }
                    node.write(to: &text)
                }
                text.append(UInt8(ascii: "]"))
            case .members(let members):
                text.append(UInt8(ascii: "{"))
                for (index, member) in members.enumerated() {
                    if index > 0 { text.append(UInt8(ascii: ",")) }
                    OrderedJSON.write(member.name, to: &text)
                    text.append(UInt8(ascii: ":"))
                    member.node.write(to: &text)
                }
                text.append(UInt8(ascii: "}"))
            }
        }
    }

    private static func write(_ string: String, to text: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 10: text += Array(#"\n"#.utf8)
            case 13: text += Array(#"\r"#.utf8)
            case 9: text += Array(#"\t"#.utf8)
            case 0..<32: text += Array(#"\u00"#.utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }

    /// One value; its containers write into the same node.
    fileprivate struct Writer: Encoder, SingleValueEncodingContainer {
        var node: Node
        var codingPath: [any CodingKey]
        var userInfo: [CodingUserInfoKey: Any] { [:] }

        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
            if case .members = node.content {} else { node.content = .members([]) }
            return KeyedEncodingContainer(Keyed<Key>(node: node, codingPath: codingPath))
        }
        func unkeyedContainer() -> any UnkeyedEncodingContainer {
            if case .list = node.content {} else { node.content = .list([]) }
            return Unkeyed(node: node, codingPath: codingPath)
        }
        func singleValueContainer() -> any SingleValueEncodingContainer { self }

        func encodeNil() { node.content = .text(Array("null".utf8)) }
        func encode<Value: Encodable>(_ value: Value) throws {
            switch value {
            case let text as String: set(text)
            case let flag as Bool: node.content = .text(Array("\(flag)".utf8))
            case let number as any BinaryInteger: node.content = .text(Array("\(number)".utf8))
            case let number as Double: try set(number)
            case let number as Float: try set(Double(number))
            case let data as Data: set(data.base64EncodedString())
            case let map as any StringKeyed:
                node.content = .members([])
                try map.encode(to: self)
                node.sort()
            default: try value.encode(to: self)
            }
        }

        private func set(_ text: String) {
            var bytes: [UInt8] = []
            OrderedJSON.write(text, to: &bytes)
            node.content = .text(bytes)
        }

        private func set(_ number: Double) throws {
            guard number.isFinite else {
                throw EncodingError.invalidValue(
                    number, .init(codingPath: codingPath, debugDescription: "JSON has no number for \(number)"))
            }
            let isWhole = number == number.rounded() && number.magnitude < 1e15
            node.content = .text(Array((isWhole ? "\(Int64(number))" : "\(number)").utf8))
        }
    }

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        var node: Node
        var codingPath: [any CodingKey]

        private func member(_ key: some CodingKey) -> Writer {
            let member = Node()
            node.append(key.stringValue, member)
            return Writer(node: member, codingPath: codingPath + [key])
        }
        func encodeNil(forKey key: Key) { member(key).encodeNil() }
        func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws { try member(key).encode(value) }
        func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type, forKey key: Key
        ) -> KeyedEncodingContainer<Nested> { member(key).container(keyedBy: type) }
        func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            member(key).unkeyedContainer()
        }
        func superEncoder() -> any Encoder { member(SuperKey()) }
        func superEncoder(forKey key: Key) -> any Encoder { member(key) }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        var node: Node
        var codingPath: [any CodingKey]
        var count: Int { if case .list(let nodes) = node.content { nodes.count } else { 0 } }

        private func element() -> Writer {
            let element = Node()
            node.append(element)
            return Writer(node: element, codingPath: codingPath)
        }
        func encodeNil() { element().encodeNil() }
        func encode<Value: Encodable>(_ value: Value) throws { try element().encode(value) }
        func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
            element().container(keyedBy: type)
        }
        func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { element().unkeyedContainer() }
        func superEncoder() -> any Encoder { element() }
    }

    private struct SuperKey: CodingKey {
        var stringValue: String { "super" }
        var intValue: Int? { nil }
        init() {}
        init?(stringValue: String) { nil }
        init?(intValue: Int) { nil }
    }
}

/// A map from names, which has no order of its own.
private protocol StringKeyed: Encodable {}
extension Dictionary: StringKeyed where Key == String, Value: Encodable {}
