import GoTemplate
import SwarmClient

/// `json` for a document: templates' maps have no order, so members are put back into the order that they had in it.
struct MemberOrder: Sendable {
    /// The members of each kind of object, by their sorted names.
    private var orders: [[String]: [String]] = [:]

    init(of value: JSONValue) { learn(value) }

    private mutating func learn(_ value: JSONValue) {
        switch value {
        case .null, .bool, .number, .string: break
        case .array(let elements): for element in elements { learn(element) }
        case .object(let members):
            let names = members.map(\.key)
            orders[names.sorted()] = names
            for member in members { learn(member.value) }
        }
    }

    var function: Template.Function {
        Template.Function { [self] arguments throws(TemplateError) in
            guard let value = arguments.first, arguments.count == 1 else {
                throw TemplateError("wrong number of args for json: want 1 got \(arguments.count)")
            }
            return .string(document(value).compact)
        }
    }

    private func document(_ value: TemplateValue) -> JSONValue {
        switch value {
        case .null: return .null
        case .bool(let flag): return .bool(flag)
        case .int(let number): return .integer(number)
        case .double(let number): return .number("\(number)")
        case .string(let text): return .string(text)
        case .list(let items): return .array(items.map(document))
        case .map(let entries):
            let names = entries.keys.sorted()
            return .object((orders[names] ?? names).map { JSONMember($0, document(entries[$0] ?? .null)) })
        }
    }
}

/// What templates over rows of a list know besides the fields.
enum RowFunctions {
    static let all: [String: Template.Function] = [
        "json": Template.Function { arguments throws(TemplateError) in
            guard let value = arguments.first, arguments.count == 1 else {
                throw TemplateError("wrong number of args for json: want 1 got \(arguments.count)")
            }
            let text = MemberOrder(of: .null).text(value)
            // A whole row escapes what HTML would read; a single field does not.
            guard case .map = value else { return .string(text) }
            return .string(
                text.replacing("<", with: "\\u003c").replacing(">", with: "\\u003e").replacing("&", with: "\\u0026"))
        },
        // `{{.Label "disk"}}`: the label's value, nothing without it.
        ".Label": Template.Function { arguments throws(TemplateError) in
            guard arguments.count == 2, case .map(let row) = arguments[0], case .string(let name) = arguments[1] else {
                throw TemplateError("wrong number of args for Label: want 1 got \(arguments.count - 1)")
            }
            guard case .string(let labels)? = row["Labels"] else {
                throw TemplateError("this list shows no labels")
            }
            for label in labels.split(separator: ",") where label.hasPrefix(name + "=") {
                return .string(String(label.dropFirst(name.count + 1)))
            }
            return .string("")
        },
    ]
}

extension MemberOrder {
    func text(_ value: TemplateValue) -> String { document(value).compact }
}
