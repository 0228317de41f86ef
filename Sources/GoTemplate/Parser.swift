/// Builds the tree of a template from its tokens, and finds what is wrong with it, as Go does.
struct Parser {
    private let tokens: [Token]
    private let source: [UInt8]
    private let functions: Set<String>
    private var next = 0
    private var depth = 0
    private var loops = 0
    /// Variables in scope.
    private var variables = ["$"]

    /// What a list of statements ended with.
    private enum Ending { case end, otherwise, source }

    static func parse(_ source: [UInt8], functions: Set<String>) throws(TemplateError) -> [Statement] {
        var parser = Parser(tokens: Lexer.tokens(of: source), source: source, functions: functions)
        let (statements, ending) = try parser.statements()
        switch ending {
        case .source: return statements
        case .end: throw parser.error("unexpected {{end}}")
        case .otherwise: throw parser.error("unexpected {{else}}")
        }
    }

    private init(tokens: [Token], source: [UInt8], functions: Set<String>) {
        (self.tokens, self.source, self.functions) = (tokens, source, functions)
    }

    // MARK: Statements

    private mutating func statements() throws(TemplateError) -> ([Statement], Ending) {
        var list: [Statement] = []
        while true {
            let token = take()
            switch token.kind {
            case .text: list.append(.text(token.text))
            case .leftDelimiter:
                skipSpace()
                guard peek.kind == .keyword else {
                    list.append(.action(try pipeline("command", until: .rightDelimiter)))
                    continue
                }
                let keyword = take()
                switch keyword.text {
                case "end":
                    try expect(.rightDelimiter, in: "end")
                    return (list, .end)
                case "else":
                    return (list, .otherwise)
                default: list.append(try statement(keyword))
                }
            case .end: return (list, .source)
            default: throw unexpected(token, in: "input")
            }
        }
    }

    private mutating func statement(_ keyword: Token) throws(TemplateError) -> Statement {
        switch keyword.text {
        case "if": return .condition(try branch("if"))
        case "with": return .with(try branch("with"))
        case "range":
            return .range(try branch("range"))
        case "break", "continue":
            skipSpace()
            guard peek.kind == .rightDelimiter else { throw unexpected(take(), in: "{{\(keyword.text)}}") }
            _ = take()
            guard loops > 0 else { throw error("{{\(keyword.text)}} outside {{range}}") }
            return keyword.text == "break" ? .leaveLoop : .nextRound
        default: throw error("{{\(keyword.text)}} is not supported in a format")
        }
    }

    private mutating func branch(_ context: String) throws(TemplateError) -> Branch {
        try descend()
        defer { depth -= 1 }
        let scope = variables.count
        defer { variables.removeSubrange(scope...) }
        let head = try pipeline(context, until: .rightDelimiter)
        if context == "range" { loops += 1 }
        let (body, ending) = try statements()
        if context == "range" { loops -= 1 }
        switch ending {
        case .source: throw unexpected(peek, in: nil)
        case .end: return Branch(pipeline: head, body: body, otherwise: [])
        case .otherwise: break
        }
        // `{{else if}}` is an `{{if}}` in the other body that shares this one's end.
        skipSpace()
        if peek.kind == .keyword, peek.text == context, context != "range" {
            let keyword = take()
            return Branch(pipeline: head, body: body, otherwise: [try statement(keyword)])
        }
        try expect(.rightDelimiter, in: "else")
        let (otherwise, last) = try statements()
        switch last {
        case .end: return Branch(pipeline: head, body: body, otherwise: otherwise)
        case .otherwise: throw error("expected end; found {{else}}")
        case .source: throw unexpected(peek, in: nil)
        }
    }

    // MARK: Pipelines

    private mutating func pipeline(
        _ context: String, until end: Token.Kind
    ) throws(TemplateError) -> Pipeline {
        try descend()
        defer { depth -= 1 }
        skipSpace()
        let start = peek.position
        var result = Pipeline(place: Place(position: start, end: start))
        try declarations(of: &result, in: context)
        while true {
            skipSpace()
            let token = peek
            switch token.kind {
            case end:
                _ = take()
                try check(result, in: context)
                result.place.end = token.position
                // A variable begins where its pipeline ends.
                if !result.isAssignment { variables += result.variables }
                return result
            case .bool, .character, .dot, .field, .identifier, .number, .null, .string, .variable,
                .leftParenthesis:
                result.commands.append(try command())
            default: throw unexpected(take(), in: context)
            }
        }
    }

    private mutating func declarations(
        of pipeline: inout Pipeline, in context: String
    ) throws(TemplateError) {
        let rewind = next
        var names: [String] = []
        while peek.kind == .variable {
            names.append(take().text)
            skipSpace()
            switch peek.kind {
            case .assign, .declare:
                let isAssignment = take().kind == .assign
                if isAssignment { for name in names { try checkVariable(name) } }
                (pipeline.variables, pipeline.isAssignment) = (names, isAssignment)
                return
            case .comma where context == "range" && names.count < 2:
                _ = take()
                skipSpace()
            case .comma: throw error("too many declarations in \(context)")
            default:
                next = rewind
                return
            }
        }
        guard names.isEmpty else { throw error("range can only initialize variables") }
    }

    private func check(_ pipeline: Pipeline, in context: String) throws(TemplateError) {
        guard !pipeline.commands.isEmpty else { throw error("missing value for \(context)") }
        for (index, command) in pipeline.commands.enumerated().dropFirst() {
            switch command.operands.first?.kind {
            case .literal, .null, .dot:
                throw error("non executable command in pipeline stage \(index + 1)")
            default: break
            }
        }
    }

    private mutating func command() throws(TemplateError) -> Command {
        var operands: [Operand] = []
        let start = peek.position
        reading: while true {
            skipSpace()
            if let operand = try operand() { operands.append(operand) }
            let token = peek
            switch token.kind {
            case .space: _ = take()
            case .rightDelimiter, .rightParenthesis: break reading
            case .pipe:
                _ = take()
                break reading
            default: throw unexpected(take(), in: "operand")
            }
        }
        guard let last = operands.last else { throw error("empty command") }
        return Command(operands: operands, place: Place(position: start, end: last.place.end))
    }

    private mutating func operand() throws(TemplateError) -> Operand? {
        guard var result = try term() else { return nil }
        guard peek.kind == .field else { return result }
        var names: [String] = []
        var last = peek
        while peek.kind == .field {
            last = take()
            names.append(String(last.text.dropFirst()))
        }
        result.place.end = last.end
        switch result.kind {
        case .field(let path): result.kind = .field(path + names)
        case .variable(let name, let path): result.kind = .variable(name, path + names)
        case .literal, .null, .dot:
            let text = String(decoding: source[result.place.position..<last.position], as: UTF8.self)
            throw error("unexpected . after term \(quoted(text))")
        case .function, .pipeline, .chain:
            result = Operand(kind: .chain(result, names), place: result.place)
        }
        return result
    }

    private mutating func term() throws(TemplateError) -> Operand? {
        let token = peek
        let kind: Operand.Kind
        switch token.kind {
        case .identifier:
            guard functions.contains(token.text) else {
                throw error("function \(quoted(token.text)) not defined")
            }
            kind = .function(token.text)
        case .dot: kind = .dot
        case .null: kind = .null
        case .variable:
            try checkVariable(token.text)
            kind = .variable(token.text, [])
        case .field: kind = .field([String(token.text.dropFirst())])
        case .bool: kind = .literal(.bool(token.text == "true"))
        case .character: kind = .literal(.int(Int64(token.text) ?? 0))
        case .number:
            guard let value = Self.number(token.text) else {
                throw error("bad number syntax: \(quoted(token.text))")
            }
            kind = .literal(value)
        case .string: kind = .literal(.string(token.text))
        case .leftParenthesis:
            _ = take()
            let inner = try pipeline("parenthesized pipeline", until: .rightParenthesis)
            let end = tokens[next - 1].end
            return Operand(kind: .pipeline(inner), place: Place(position: token.position, end: end))
        default: return nil
        }
        _ = take()
        return Operand(kind: kind, place: Place(position: token.position, end: token.end))
    }

    private func checkVariable(_ name: String) throws(TemplateError) {
        guard variables.contains(name) else { throw error("undefined variable \(quoted(name))") }
    }

    /// A number of Go: decimal, 0x, 0o, 0b, underscores, a fraction or an exponent.
    static func number(_ text: String) -> TemplateValue? {
        let plain = text.filter { $0 != "_" }
        var digits = Substring(plain)
        let isNegative = digits.first == "-"
        if digits.first == "-" || digits.first == "+" { digits = digits.dropFirst() }
        // What is left has no sign of its own.
        guard let first = digits.first, first == "." || first.isASCII && first.isNumber else { return nil }
        let prefixes: [(String, Int)] = [("0x", 16), ("0b", 2), ("0o", 8)]
        for (prefix, radix) in prefixes where digits.lowercased().hasPrefix(prefix) {
            let rest = digits.dropFirst(2)
            guard rest.first != "-", rest.first != "+" else { return nil }
            return Int64((isNegative ? "-" : "") + rest, radix: radix).map(TemplateValue.int)
        }
        if let whole = Int64((isNegative ? "-" : "") + digits) {
            let isOctal = digits.count > 1 && first == "0"
            return isOctal
                ? Int64((isNegative ? "-" : "") + digits, radix: 8).map(TemplateValue.int) : .int(whole)
        }
        guard digits.utf8.allSatisfy({ Lexer.isDigit($0) || ".eE+-".utf8.contains($0) }) else { return nil }
        let padded = (digits.first == "." ? "0" : "") + digits + (digits.last == "." ? "0" : "")
        guard let value = Double(padded), value.isFinite else { return nil }
        return .double(isNegative ? -value : value)
    }

    // MARK: Tokens

    private var peek: Token { tokens[min(next, tokens.count - 1)] }

    private mutating func take() -> Token {
        let token = peek
        // The last token, the end or an error, is never passed.
        if next < tokens.count - 1 { next += 1 }
        return token
    }

    private mutating func skipSpace() { while peek.kind == .space { _ = take() } }

    private mutating func expect(_ kind: Token.Kind, in context: String) throws(TemplateError) {
        skipSpace()
        guard peek.kind == kind else { throw unexpected(take(), in: context) }
        _ = take()
    }

    private mutating func descend() throws(TemplateError) {
        depth += 1
        guard depth <= TemplateLimits.nestingDepthMax else {
            throw error("nested too deeply: at most \(TemplateLimits.nestingDepthMax) levels")
        }
    }

    private func unexpected(_ token: Token, in context: String?) -> TemplateError {
        if token.kind == .error { return error(token.text) }
        return error("unexpected \(token.described)" + (context.map { " in \($0)" } ?? ""))
    }

    private func error(_ message: String) -> TemplateError {
        let line = 1 + source[..<min(peek.position, source.count)].count { $0 == UInt8(ascii: "\n") }
        return TemplateError("template: :\(line): \(message)", stage: .parsing)
    }
}
