import FoundationEssentials
import SwarmCore

/// A JSON value for answers that are put together by hand; objects keep the order they are written in.
enum JSONDocument: Encodable, Sendable, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByIntegerLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    case string(String), bool(Bool), integer(Int64), null, array([JSONDocument]), object(JSONMembers)
    /// Any of our model's values.
    case value(any Encodable & Sendable)

    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(integerLiteral value: Int64) { self = .integer(value) }
    init(nilLiteral: ()) { self = .null }
    init(arrayLiteral elements: JSONDocument...) { self = .array(elements) }
    init(dictionaryLiteral elements: (String, JSONDocument)...) { self = .object(JSONMembers(elements)) }

    static func labels(_ labels: [String: String]?) -> JSONDocument {
        .object(JSONMembers(sorted: (labels ?? [:]).mapValues { .string($0) }))
    }
    static func strings(_ list: [String]?) -> JSONDocument {
        list.map { .array($0.map { .string($0) }) } ?? .null
    }
    static func time(_ time: Timestamp?) -> JSONDocument { .string((time ?? .zero).description) }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .string(let value): try container.encode(value)
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .null: try container.encodeNil()
        case .array(let list): try container.encode(list)
        case .object(let members): try members.encode(to: encoder)
        case .value(let value): try value.encode(to: encoder)
        }
    }
}

/// An object's members in the order in which they were first set, as Go prints a struct's fields.
struct JSONMembers: Encodable, Sendable, ExpressibleByDictionaryLiteral {
    private var names: [String] = []
    private var values: [String: JSONDocument] = [:]

    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init() {}
    init(_ elements: [(String, JSONDocument)]) {
        for (name, value) in elements { self[name] = value }
    }
    init(dictionaryLiteral elements: (String, JSONDocument)...) { self.init(elements) }
    /// As Go prints a map: by name.
    init(sorted members: [String: JSONDocument]) {
        (names, values) = (members.keys.sorted(), members)
    }

    subscript(name: String) -> JSONDocument? {
        get { values[name] }
        set {
            if values[name] == nil { names.append(name) }
            if newValue == nil { names.removeAll { $0 == name } }
            values[name] = newValue
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Name.self)
        for name in names { try container.encode(values[name] ?? .null, forKey: Name(stringValue: name)) }
    }
}
