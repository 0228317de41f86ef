package import GoTemplate
package import SwarmClient
import SwarmCore

/// One column of a list: the name that templates know and the title over it.
package struct Column: Sendable {
    package var key: String
    package var title: String
    package init(_ key: String, _ title: String) { (self.key, self.title) = (key, title) }
}

/// A list with its formats: the default table, `table TEMPLATE`, `json` and `TEMPLATE`.
package struct Listing: Sendable {
    /// Every name that templates may use, with its title.
    package var columns: [Column]
    /// Those of the default table, in order.
    package var shown: [String]
    package var rows: [[String: JSONValue]]
    /// What `--quiet` prints of each row.
    package var quietKey: String
    /// Names that serve the default table or `--quiet` only, unknown to templates.
    package var inner: Set<String>

    package init(
        columns: [Column], shown: [String], quietKey: String = "ID", inner: Set<String> = [],
        rows: [[String: JSONValue]] = []
    ) {
        (self.columns, self.shown, self.quietKey, self.inner, self.rows) = (
            columns, shown, quietKey, inner, rows
        )
    }

    /// The text for one `--format`.
    package func render(format: String?, quiet: Bool = false) throws -> String {
        let format = (format ?? "").trimmed
        if quiet && (format.isEmpty || format == "table") {
            return rows.map { cell($0, quietKey) + "\n" }.joined()
        }
        switch format {
        case "", "table": return defaultTable
        case "json":
            let template = try OutputTemplate("{{json .}}", complete: true)
            return try rows.map { try template.render(document($0)) + "\n" }.joined()
        case let format where format.hasPrefix("table "): return try table(String(format.dropFirst(6)))
        default:
            let template = try OutputTemplate(format, complete: true)
            return try rows.map { try template.render(document($0)) + "\n" }.joined()
        }
    }

    private var defaultTable: String {
        let titles = shown.map { key in columns.first { $0.key == key }?.title ?? key.uppercased() }
        return Table([titles] + rows.map { row in shown.map { cell(row, $0) } }).text
    }

    private func table(_ text: String) throws -> String {
        let template = try OutputTemplate(text.trimmed, complete: true)
        var titles: [String: JSONValue] = [:]
        for column in columns { titles[column.key] = .string(column.title) }
        let documents = [document(titles)] + rows.map(document)
        let lines = try documents.map { document in
            try template.render(document).split(separator: "\t", omittingEmptySubsequences: false).map(
                String.init)
        }
        return Table(lines).text
    }

    private func cell(_ row: [String: JSONValue], _ key: String) -> String {
        switch row[key] {
        case .string(let text): text
        case nil, .null?: ""
        case let other?: other.compact
        }
    }

    private func document(_ row: [String: JSONValue]) -> JSONValue {
        .object(
            row.filter { !inner.contains($0.key) }.sorted { $0.key < $1.key }.map {
                JSONMember($0.key, $0.value)
            })
    }
}

/// A `--format` template over JSON.
package struct OutputTemplate: Sendable {
    private let text: String
    private let template: Template
    private let isComplete: Bool

    /// Reads a template. Rows of lists are `complete`: they have every field there is, so an unknown one is a
    /// mistake; objects leave out what is empty.
    package init(_ text: String, complete: Bool = false) throws(CommandFailure) {
        self.text = text.replacing("\\t", with: "\t").replacing("\\n", with: "\n")
        isComplete = complete
        do {
            template = try Template(
                parsing: self.text, functions: complete ? RowFunctions.all : [:],
                missingKey: complete ? .error : .noValue)
        } catch {
            throw CommandFailure("\(error)", status: complete ? 1 : CommandFailure.templateStatus)
        }
    }

    /// - Parameter methods: functions of the value, called as its fields are; their names begin with a dot.
    package func render(
        _ value: JSONValue, methods: [String: Template.Function] = [:]
    ) throws(CommandFailure) -> String {
        do {
            guard !isComplete else { return try template.render(TemplateValue(value)) }
            let json = MemberOrder(of: value).function
            let functions = methods.merging(["json": json]) { $1 }
            return try Template(parsing: text, functions: functions).render(TemplateValue(value))
        } catch {
            throw CommandFailure("template parsing error: \(error)")
        }
    }
}

extension TemplateValue {
    package init(_ value: JSONValue) {
        switch value {
        case .null: self = .null
        case .bool(let flag): self = .bool(flag)
        case .number(let text): self = Int64(text).map { .int($0) } ?? .double(Double(text) ?? 0)
        case .string(let text): self = .string(text)
        case .array(let elements): self = .list(elements.map { TemplateValue($0) })
        case .object(let members):
            self = .map(Dictionary(members.map { ($0.key, TemplateValue($0.value)) }) { _, last in last })
        }
    }
}

/// What `inspect` prints: an indented array, `json` one object a line, or a template for each.
package enum Inspection {
    package static func render(_ objects: [JSONValue], format: String?) throws -> String {
        switch format?.trimmed ?? "" {
        case "": return JSONValue.array(objects).indented + "\n"
        case "json": return objects.map { $0.compact + "\n" }.joined()
        case let text:
            let template = try OutputTemplate(text)
            return try objects.map { try template.render($0) + "\n" }.joined()
        }
    }

    /// Inspects every argument, prints those found and fails for the others.
    package static func run(
        _ invocation: Invocation, fetch: (String) async throws -> JSONValue
    ) async throws {
        var (found, complaints): ([JSONValue], [String]) = ([], [])
        for argument in invocation.arguments {
            do {
                found.append(try await fetch(argument))
            } catch let error as SwarmError {
                complaints.append(error.description)
            }
        }
        let format = invocation.flag("format")
        if !found.isEmpty || (format ?? "").isEmpty {
            invocation.console.write(found.isEmpty ? "[]\n" : try render(found, format: format))
        }
        guard complaints.isEmpty else { throw CommandFailure(complaints.joined(separator: "\n")) }
    }

    package static let formatFlag = Flag(
        "format", short: "f", .string,
        "Format output using a custom template:\n'json':             Print in JSON format\n"
            + "'TEMPLATE':         Print output using the given Go template.")
}

/// The flags that every list has.
package enum ListFlags {
    package static let filter = Flag(
        "filter", short: "f", .filter, "Filter output based on conditions provided")
    package static let format = Flag(
        "format", .string,
        "Format output using a custom template:\n'table':            Print output in table format with column headers "
            + "(default)\n'table TEMPLATE':   Print output in table format using the given Go template\n"
            + "'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template."
    )
    package static let quiet = Flag("quiet", short: "q", .bool, "Only display IDs")
    package static let noTruncation = Flag("no-trunc", .bool, "Do not truncate output")
}
