import FoundationEssentials
import SwarmCore

/// A JSON value for answers that are put together by hand.
enum JSONDocument: Encodable, Sendable, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByIntegerLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    case string(String), bool(Bool), integer(Int64), null, array([JSONDocument]), object(
        [String: JSONDocument])
    /// Any of our model's values.
    case value(any Encodable & Sendable)

    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(integerLiteral value: Int64) { self = .integer(value) }
    init(nilLiteral: ()) { self = .null }
    init(arrayLiteral elements: JSONDocument...) { self = .array(elements) }
    init(dictionaryLiteral elements: (String, JSONDocument)...) {
        self = .object(Dictionary(elements, uniquingKeysWith: { _, last in last }))
    }

    static func labels(_ labels: [String: String]?) -> JSONDocument {
        .object((labels ?? [:]).mapValues { .string($0) })
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
        case .object(let members): try container.encode(members)
        case .value(let value): try value.encode(to: encoder)
        }
    }
}
