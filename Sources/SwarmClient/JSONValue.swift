/// One member of a JSON object.
package struct JSONMember: Sendable, Equatable {
    package var key: String
    package var value: JSONValue

    package init(_ key: String, _ value: JSONValue) { (self.key, self.value) = (key, value) }
}

/// Any JSON text, members in their order; what `inspect` prints and what templates read.
package enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// As written, so that no digit is lost.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([JSONMember])

    package static func integer(_ value: some BinaryInteger) -> JSONValue { .number(String(value)) }

    /// The member of an object; nil when absent or when this is no object.
    package subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    package var text: String? { if case .string(let text) = self { text } else { nil } }
    package var integer: Int64? { if case .number(let text) = self { Int64(text) } else { nil } }
    package var elements: [JSONValue] { if case .array(let elements) = self { elements } else { [] } }
    package var members: [JSONMember] { if case .object(let members) = self { members } else { [] } }
    package var isTrue: Bool { self == .bool(true) }

    /// On one line, as Go's encoder writes it without HTML escapes.
    package var compact: String {
        var writer = JSONWriter(indent: nil)
        writer.write(self, depth: 0)
        return writer.text
    }

    /// Over several lines, four spaces for each level.
    package var indented: String {
        var writer = JSONWriter(indent: 4)
        writer.write(self, depth: 0)
        return writer.text
    }

    /// Every object's members by name, as Go prints maps.
    package var sortedByKey: JSONValue {
        switch self {
        case .array(let elements): .array(elements.map(\.sortedByKey))
        case .object(let members):
            .object(members.map { JSONMember($0.key, $0.value.sortedByKey) }.sorted { $0.key < $1.key })
        case .null, .bool, .number, .string: self
        }
    }
}

private struct JSONWriter {
    let indent: Int?
    var text = ""

    mutating func write(_ value: JSONValue, depth: Int) {
        switch value {
        case .null: text += "null"
        case .bool(let flag): text += flag ? "true" : "false"
        case .number(let digits): text += digits
        case .string(let string): writeString(string)
        case .array(let elements):
            enclose("[", "]", elements.count, depth) { writer, index in
                writer.write(elements[index], depth: depth + 1)
            }
        case .object(let members):
            enclose("{", "}", members.count, depth) { writer, index in
                writer.writeString(members[index].key)
                writer.text += writer.indent == nil ? ":" : ": "
                writer.write(members[index].value, depth: depth + 1)
            }
        }
    }

    private mutating func enclose(
        _ open: String, _ close: String, _ count: Int, _ depth: Int, _ item: (inout JSONWriter, Int) -> Void
    ) {
        text += open
        for index in 0..<count {
            if index > 0 { text += "," }
            breakLine(depth + 1)
            item(&self, index)
        }
        if count > 0 { breakLine(depth) }
        text += close
    }

    private mutating func breakLine(_ depth: Int) {
        guard let indent else { return }
        text += "\n" + String(repeating: " ", count: indent * depth)
    }

    private mutating func writeString(_ string: String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}

extension JSONValue: ExpressibleByStringLiteral {
    package init(stringLiteral value: String) { self = .string(value) }
}
