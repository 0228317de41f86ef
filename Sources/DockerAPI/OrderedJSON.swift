import FoundationEssentials
import SwarmModel

/// Encodes as Go's `encoding/json` does: an object's members in the order in which they are encoded, a map's by name.
///
/// Foundation's encoder keeps members in a hash table, so that every answer would have another order; and it makes a
/// tree first, which for a list of thousands of tasks takes longer than everything else together. Here text is written
/// as values come: a container ends when its parent goes on.
enum OrderedJSON {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let output = Output()
        try output.write(value)
        return output.page.text
    }

    /// The text so far and the containers that are open in it.
    fileprivate struct Page {
        var text: [UInt8] = []
        /// Outermost first: how each ends, and whether it is empty.
        private var open: [(end: UInt8, isEmpty: Bool)] = []

        var depth: Int { open.count }

        /// Begins a container, or goes on with the one that the same value has begun before.
        mutating func begin(_ start: UInt8, _ end: UInt8, above depth: Int) -> Int {
            if open.count > depth, open[depth].end == end {
                close(to: depth + 1)
                return depth + 1
            }
            text.append(start)
            open.append((end, true))
            return open.count
        }

        mutating func close(to depth: Int) {
            while open.count > depth { text.append(open.removeLast().end) }
        }

        /// Makes place for the next element of the container at that depth.
        mutating func next(in depth: Int) {
            close(to: depth)
            if open[depth - 1].isEmpty {
                open[depth - 1].isEmpty = false
            } else {
                text.append(UInt8(ascii: ","))
            }
        }

        mutating func next(_ name: String, in depth: Int) {
            next(in: depth)
            write(name)
            text.append(UInt8(ascii: ":"))
        }

        mutating func writeNull() { text += "null".utf8 }
        mutating func write(_ flag: Bool) { text += (flag ? "true" : "false").utf8 }

        mutating func write<Number: BinaryInteger>(_ number: Number) {
            guard number >= 10 || number < 0 else { return text.append(UInt8(ascii: "0") + UInt8(number)) }
            text += "\(number)".utf8
        }

        mutating func write(_ string: String) {
            text.append(UInt8(ascii: "\""))
            // Hardly a string has anything to escape.
            if string.utf8.allSatisfy({ $0 >= 32 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
                text += string.utf8
            } else {
                for byte in string.utf8 { writeEscaped(byte) }
            }
            text.append(UInt8(ascii: "\""))
        }

        private mutating func writeEscaped(_ byte: UInt8) {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 10: text += #"\n"#.utf8
            case 13: text += #"\r"#.utf8
            case 9: text += #"\t"#.utf8
            case 0..<32:
                let digits = Array("0123456789abcdef".utf8)
                text += #"\u00"#.utf8
                text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: text.append(byte)
            }
        }

        mutating func write(_ number: Double) throws {
            guard number.isFinite else {
                throw EncodingError.invalidValue(
                    number, .init(codingPath: [], debugDescription: "JSON has no number for \(number)"))
            }
            let isWhole = number == number.rounded() && number.magnitude < 1e15
            text += (isWhole ? "\(Int64(number))" : "\(number)").utf8
        }
    }

    /// Shared by the containers that write on it. Each of their calls is one access to the page: those are checked.
    fileprivate final class Output {
        var page = Page()
        private var kinds: [ObjectIdentifier: Kind] = [:]
        /// The last task's template and its text: many tasks of a service have the same, one after another.
        private var lastSpec: (value: TaskSpec, text: [UInt8])?

        /// What a value's type has to say about how it is written.
        private enum Kind { case number, data, map, taskSpec, other }

        func write<Value: Encodable>(_ value: Value) throws {
            // Comparing types costs nothing beside asking a value for its protocols.
            if Value.self == String.self, let value = value as? String { return page.write(value) }
            if Value.self == Bool.self, let value = value as? Bool { return page.write(value) }
            switch kind(of: Value.self) {
            case .number:
                if let number = value as? any BinaryInteger { return page.write(number) }
                if let number = value as? Double { return try page.write(number) }
                if let number = value as? Float { return try page.write(Double(number)) }
            case .data: if let data = value as? Data { return page.write(data.base64EncodedString()) }
            case .map: if let map = value as? any StringKeyed { return try map.write(to: self) }
            case .taskSpec:
                guard let spec = value as? TaskSpec else { break }
                if let lastSpec, lastSpec.value == spec { return page.text += lastSpec.text }
                let start = page.text.count
                try encode(spec)
                lastSpec = (spec, Array(page.text[start...]))
                return
            case .other: break
            }
            try encode(value)
        }

        private func encode(_ value: some Encodable) throws {
            let (depth, count) = (page.depth, page.text.count)
            try value.encode(to: Writer(output: self, depth: depth))
            page.close(to: depth)
            if page.text.count == count { page.writeNull() }
        }

        private func kind<Value>(of type: Value.Type) -> Kind {
            let key = ObjectIdentifier(type)
            if let known = kinds[key] { return known }
            let kind: Kind =
                switch type {
                case is any BinaryInteger.Type, is any BinaryFloatingPoint.Type: .number
                case is Data.Type: .data
                case is any StringKeyed.Type: .map
                case is TaskSpec.Type: .taskSpec
                default: .other
                }
            kinds[key] = kind
            return kind
        }
    }

    /// One value, `depth` containers deep.
    fileprivate struct Writer: Encoder, SingleValueEncodingContainer {
        let output: Output
        let depth: Int
        var codingPath: [any CodingKey] { [] }
        var userInfo: [CodingUserInfoKey: Any] { [:] }

        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
            let depth = output.page.begin(UInt8(ascii: "{"), UInt8(ascii: "}"), above: depth)
            return KeyedEncodingContainer(Keyed<Key>(output: output, depth: depth))
        }
        func unkeyedContainer() -> any UnkeyedEncodingContainer {
            let depth = output.page.begin(UInt8(ascii: "["), UInt8(ascii: "]"), above: depth)
            return Unkeyed(output: output, depth: depth, count: 0)
        }
        func singleValueContainer() -> any SingleValueEncodingContainer { self }

        func encodeNil() { output.page.writeNull() }
        func encode(_ value: String) { output.page.write(value) }
        func encode<Value: Encodable>(_ value: Value) throws { try output.write(value) }
    }

    private struct Keyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
        let output: Output
        let depth: Int
        var codingPath: [any CodingKey] { [] }

        func encodeNil(forKey key: Key) {
            output.page.next(key.stringValue, in: depth)
            output.page.writeNull()
        }
        func encode(_ value: String, forKey key: Key) {
            output.page.next(key.stringValue, in: depth)
            output.page.write(value)
        }
        func encode(_ value: Bool, forKey key: Key) {
            output.page.next(key.stringValue, in: depth)
            output.page.write(value)
        }
        func encode(_ value: Int, forKey key: Key) { encodeNumber(value, key) }
        func encode(_ value: Int64, forKey key: Key) { encodeNumber(value, key) }
        func encode(_ value: UInt32, forKey key: Key) { encodeNumber(value, key) }
        func encode(_ value: UInt64, forKey key: Key) { encodeNumber(value, key) }
        private func encodeNumber(_ value: some BinaryInteger, _ key: Key) {
            output.page.next(key.stringValue, in: depth)
            output.page.write(value)
        }
        func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
            output.page.next(key.stringValue, in: depth)
            try output.write(value)
        }
        func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type, forKey key: Key
        ) -> KeyedEncodingContainer<Nested> { member(key.stringValue).container(keyedBy: type) }
        func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
            member(key.stringValue).unkeyedContainer()
        }
        func superEncoder() -> any Encoder { member("super") }
        func superEncoder(forKey key: Key) -> any Encoder { member(key.stringValue) }

        private func member(_ name: String) -> Writer {
            output.page.next(name, in: depth)
            return Writer(output: output, depth: depth)
        }
    }

    private struct Unkeyed: UnkeyedEncodingContainer {
        let output: Output
        let depth: Int
        var count: Int
        var codingPath: [any CodingKey] { [] }

        private mutating func element() -> Writer {
            output.page.next(in: depth)
            count += 1
            return Writer(output: output, depth: depth)
        }
        mutating func encodeNil() { element().encodeNil() }
        mutating func encode<Value: Encodable>(_ value: Value) throws { try element().encode(value) }
        mutating func nestedContainer<Nested: CodingKey>(
            keyedBy type: Nested.Type
        ) -> KeyedEncodingContainer<Nested> { element().container(keyedBy: type) }
        mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { element().unkeyedContainer() }
        mutating func superEncoder() -> any Encoder { element() }
    }
}

/// A map from names, which has no order of its own.
private protocol StringKeyed: Encodable {
    func write(to output: OrderedJSON.Output) throws
}
extension Dictionary: StringKeyed where Key == String, Value: Encodable {
    fileprivate func write(to output: OrderedJSON.Output) throws {
        let above = output.page.depth
        let depth = output.page.begin(UInt8(ascii: "{"), UInt8(ascii: "}"), above: above)
        for (name, value) in sorted(by: { $0.key < $1.key }) {
            output.page.next(name, in: depth)
            try output.write(value)
        }
        output.page.close(to: depth - 1)
    }
}
