/// A template of the kind that docker's `--format` takes: the part of Go's `text/template` that its users write.
///
/// Not supported, and said so when met: named templates (`define`, `block`, `template`) and complex numbers.
package struct Template: Sendable {
    /// A function of the template. It throws what was wrong; where is added for it.
    ///
    /// A type of its own: as an element of a dictionary, a bare closure with typed throws crashes Swift 6.3's compiler.
    package struct Function: Sendable {
        let body: @Sendable ([TemplateValue]) throws(TemplateError) -> TemplateValue

        package init(_ body: @escaping @Sendable ([TemplateValue]) throws(TemplateError) -> TemplateValue) {
            self.body = body
        }
    }

    /// What a field that the value does not have is.
    package enum MissingKey: Sendable { case error, noValue }

    let source: [UInt8]
    let statements: [Statement]
    let functions: [String: Function]
    let missingKey: MissingKey

    /// Reads a template.
    ///
    /// A function whose name begins with a dot is a method: `{{.Label "disk"}}` calls `functions[".Label"]` with
    /// the value of the dot and the arguments. Without arguments it is called only where the value has no such
    /// field.
    /// - Throws: what Go would say, such as `template: :1: unexpected "}" in operand`.
    package init(
        parsing text: String, functions: [String: Function] = [:], missingKey: MissingKey = .noValue
    ) throws(TemplateError) {
        source = Array(text.utf8)
        (self.functions, self.missingKey) = (functions, missingKey)
        statements = try Parser.parse(source, functions: Builtin.names.union(functions.keys))
    }

    /// The text that the template makes of a value.
    /// - Throws: what Go would say, such as
    ///   `template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type string`.
    package func render(_ value: TemplateValue) throws(TemplateError) -> String {
        var evaluator = Evaluator(template: self, root: value)
        return try evaluator.run()
    }

    /// The header row of a table: the template rendered with each field's title, as docker does.
    ///
    /// `titles` names the titles; a field without one shows its own name in upper case. Functions that shape
    /// text leave a title as it is, and `{{.Label "com.example.disk-kind"}}` is titled by the label's last word.
    package func header(titles: [String: String] = [:]) throws(TemplateError) -> String {
        var shaped = functions
        for name in ["json", "title", "lower", "upper", "truncate", "pad"] {
            shaped[name] = Function(Self.unshaped)
        }
        shaped[".Label"] = Function(Self.labelTitle)
        let row = Dictionary(fields().map { ($0, TemplateValue.string(titles[$0] ?? $0.uppercased())) }) {
            $1
        }
        return try Template(
            source: source, statements: statements, functions: shaped, missingKey: .noValue
        ).render(.map(row))
    }

    @Sendable private static func unshaped(_ arguments: [TemplateValue]) throws(TemplateError)
        -> TemplateValue
    {
        arguments.first ?? .string("")
    }

    @Sendable private static func labelTitle(_ arguments: [TemplateValue]) throws(TemplateError)
        -> TemplateValue
    {
        guard arguments.count == 2, case .string(let label) = arguments[1] else { return .string("") }
        let last = label.split(separator: ".").last ?? ""
        return .string(String(last.map { $0 == "-" || $0 == "_" ? " " : $0 }))
    }

    /// The fields of the top-level value that the template names, in the order of their first mention.
    package func fields() -> [String] {
        var collector = FieldCollector()
        collector.visit(statements, dotIsRoot: true)
        return collector.names
    }

    /// A format as typed in a shell, where `\t` and `\n` stand for a tab and a new line.
    package static func expandingEscapes(in format: String) -> String {
        var result = ""
        var rest = Substring(format)
        while let character = rest.popFirst() {
            switch (character, rest.first) {
            case ("\\", "t"): result += "\t"
            case ("\\", "n"): result += "\n"
            default:
                result.append(character)
                continue
            }
            rest.removeFirst()
        }
        return result
    }

    private init(
        source: [UInt8], statements: [Statement], functions: [String: Function], missingKey: MissingKey
    ) {
        (self.source, self.statements) = (source, statements)
        (self.functions, self.missingKey) = (functions, missingKey)
    }
}

/// Finds the first names of all field paths that start at the top-level value.
private struct FieldCollector {
    var names: [String] = []

    mutating func visit(_ statements: [Statement], dotIsRoot: Bool) {
        for statement in statements {
            switch statement {
            case .text, .leaveLoop, .nextRound: break
            case .action(let pipeline): visit(pipeline, dotIsRoot: dotIsRoot)
            case .condition(let branch): visit(branch, dotIsRoot: dotIsRoot, bodyDotIsRoot: dotIsRoot)
            case .with(let branch), .range(let branch):
                visit(branch, dotIsRoot: dotIsRoot, bodyDotIsRoot: false)
            }
        }
    }

    private mutating func visit(_ branch: Branch, dotIsRoot: Bool, bodyDotIsRoot: Bool) {
        visit(branch.pipeline, dotIsRoot: dotIsRoot)
        visit(branch.body, dotIsRoot: bodyDotIsRoot)
        visit(branch.otherwise, dotIsRoot: dotIsRoot)
    }

    private mutating func visit(_ pipeline: Pipeline, dotIsRoot: Bool) {
        for command in pipeline.commands {
            for operand in command.operands { visit(operand, dotIsRoot: dotIsRoot) }
        }
    }

    private mutating func visit(_ operand: Operand, dotIsRoot: Bool) {
        switch operand.kind {
        case .field(let path) where dotIsRoot: note(path.first)
        case .variable("$", let path): note(path.first)
        case .pipeline(let pipeline): visit(pipeline, dotIsRoot: dotIsRoot)
        case .chain(let inner, _): visit(inner, dotIsRoot: dotIsRoot)
        case .field, .variable, .literal, .null, .dot, .function: break
        }
    }

    private mutating func note(_ name: String?) {
        if let name, !names.contains(name) { names.append(name) }
    }
}
