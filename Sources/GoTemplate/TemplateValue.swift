/// A value that a template is rendered with: what JSON can say, with whole numbers kept whole.
package enum TemplateValue: Sendable, Equatable {
    case string(String)
    case int(Int64)
    case double(Double)
    case bool(Bool)
    case null
    case list([TemplateValue])
    case map([String: TemplateValue])

    /// Go's truth: everything but false, zero, nothing and the empty.
    package var isTrue: Bool {
        switch self {
        case .string(let text): !text.isEmpty
        case .int(let number): number != 0
        case .double(let number): number != 0
        case .bool(let flag): flag
        case .null: false
        case .list(let items): !items.isEmpty
        case .map(let entries): !entries.isEmpty
        }
    }

    /// The name of the Go type that holds such a value.
    package var typeName: String {
        switch self {
        case .string: "string"
        case .int: "int64"
        case .double: "float64"
        case .bool: "bool"
        case .null: "interface {}"
        case .list: "[]interface {}"
        case .map: "map[string]interface {}"
        }
    }

    /// The value as Go prints it: `map[a:1 b:2]` sorted by key, `[a b]`, `<no value>` for nothing at all.
    package var printed: String { self == .null ? "<no value>" : nested(depth: 0) }

    /// The value as a part of another, or as an operand of `printf "%v"`, where nothing reads `<nil>`.
    func nested(depth: Int) -> String {
        guard depth < TemplateLimits.valueDepthMax else { return "..." }
        switch self {
        case .string(let text): return text
        case .int(let number): return String(number)
        case .double(let number): return Decimal.general(number)
        case .bool(let flag): return flag ? "true" : "false"
        case .null: return "<nil>"
        case .list(let items):
            return "[" + items.map { $0.nested(depth: depth + 1) }.joined(separator: " ") + "]"
        case .map(let entries):
            let sorted = entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            return "map["
                + sorted.map { "\($0.key):\($0.value.nested(depth: depth + 1))" }
                .joined(separator: " ") + "]"
        }
    }
}

extension TemplateValue: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    package init(stringLiteral value: String) { self = .string(value) }
}
extension TemplateValue: ExpressibleByIntegerLiteral {
    package init(integerLiteral value: Int64) { self = .int(value) }
}
extension TemplateValue: ExpressibleByFloatLiteral {
    package init(floatLiteral value: Double) { self = .double(value) }
}
extension TemplateValue: ExpressibleByBooleanLiteral {
    package init(booleanLiteral value: Bool) { self = .bool(value) }
}
extension TemplateValue: ExpressibleByNilLiteral {
    package init(nilLiteral: ()) { self = .null }
}
extension TemplateValue: ExpressibleByArrayLiteral {
    package init(arrayLiteral elements: TemplateValue...) { self = .list(elements) }
}
extension TemplateValue: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, TemplateValue)...) {
        self = .map(Dictionary(elements) { _, last in last })
    }
}
