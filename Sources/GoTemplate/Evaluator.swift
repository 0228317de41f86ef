/// Carries out a template once.
struct Evaluator {
    private let template: Template
    private let root: TemplateValue
    private var variables: [(name: String, value: TemplateValue)]
    private var output = ""
    private var outputBytes = 0
    private var steps = 0

    /// How a list of statements ended.
    private enum Flow { case onward, leaveLoop, nextRound }

    init(template: Template, root: TemplateValue) {
        (self.template, self.root) = (template, root)
        variables = [("$", root)]
    }

    mutating func run() throws(TemplateError) -> String {
        _ = try walk(template.statements, dot: root)
        return output
    }

    // MARK: Statements

    private mutating func walk(_ list: [Statement], dot: TemplateValue) throws(TemplateError) -> Flow {
        for statement in list {
            switch statement {
            case .text(let text): try write(text, at: nil)
            case .action(let pipeline):
                let value = try evaluate(pipeline, dot: dot)
                if pipeline.variables.isEmpty { try write(value.printed, at: pipeline.place) }
            case .condition(let branch), .with(let branch):
                let scope = variables.count
                defer { variables.removeSubrange(scope...) }
                let value = try evaluate(branch.pipeline, dot: dot)
                var inner = dot
                if case .with = statement { inner = value }
                let flow =
                    value.isTrue ? try walk(branch.body, dot: inner) : try walk(branch.otherwise, dot: dot)
                if flow != .onward { return flow }
            case .range(let branch):
                let flow = try walkRange(branch, dot: dot)
                if flow != .onward { return flow }
            case .leaveLoop: return .leaveLoop
            case .nextRound: return .nextRound
            }
        }
        return .onward
    }

    /// Returns what its other body, which belongs to the loop around, ended with.
    private mutating func walkRange(
        _ branch: Branch, dot: TemplateValue
    ) throws(TemplateError) -> Flow {
        let scope = variables.count
        defer { variables.removeSubrange(scope...) }
        let value = try evaluate(branch.pipeline, dot: dot)
        let rounds: [(TemplateValue, TemplateValue)]
        switch value {
        case .list(let items): rounds = items.enumerated().map { (.int(Int64($0.offset)), $0.element) }
        case .map(let entries):
            rounds = entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                .map { (.string($0.key), $0.value) }
        case .int(let limit):
            guard limit <= Int64(TemplateLimits.stepsMax) else {
                throw tooManySteps(at: branch.pipeline.place)
            }
            rounds = (0..<max(0, limit)).map { (.int($0), .int($0)) }
        case .null: rounds = []
        case .string, .double, .bool:
            throw error("range can't iterate over \(value.printed)", at: branch.pipeline.place)
        }
        guard !rounds.isEmpty else { return try walk(branch.otherwise, dot: dot) }
        for (key, element) in rounds {
            try count(at: branch.pipeline.place)
            let inside = variables.count
            defer { variables.removeSubrange(inside...) }
            set(branch.pipeline, key: key, element: element)
            if try walk(branch.body, dot: element) == .leaveLoop { break }
        }
        return .onward
    }

    private mutating func set(_ pipeline: Pipeline, key: TemplateValue, element: TemplateValue) {
        let values = pipeline.variables.count > 1 ? [key, element] : [element]
        for (name, value) in zip(pipeline.variables, values) {
            if pipeline.isAssignment { assign(name, value) } else { variables.append((name, value)) }
        }
    }

    private mutating func assign(_ name: String, _ value: TemplateValue) {
        guard let index = variables.lastIndex(where: { $0.name == name }) else { return }
        variables[index].value = value
    }

    // MARK: Expressions

    private mutating func evaluate(
        _ pipeline: Pipeline, dot: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        var value: TemplateValue?
        for command in pipeline.commands { value = try evaluate(command, dot: dot, final: value) }
        let result = value ?? .null
        // A range gives its variables a value in each round.
        for name in pipeline.variables.prefix(1) {
            if pipeline.isAssignment { assign(name, result) } else { variables.append((name, result)) }
        }
        return result
    }

    private mutating func evaluate(
        _ command: Command, dot: TemplateValue, final: TemplateValue?
    ) throws(TemplateError) -> TemplateValue {
        try count(at: command.place)
        guard let first = command.operands.first else { return .null }
        let rest = command.operands.dropFirst()
        switch first.kind {
        case .function(let name):
            return try call(name, rest, dot: dot, final: final, place: command.place)
        case .field(let path) where !rest.isEmpty || final != nil:
            return try callMethod(path, of: dot, rest, dot: dot, final: final, place: first.place)
        case .variable(let name, let path) where !path.isEmpty && (!rest.isEmpty || final != nil):
            return try callMethod(path, of: variable(name), rest, dot: dot, final: final, place: first.place)
        case .null: throw error("nil is not a command", at: first.place)
        default:
            guard rest.isEmpty, final == nil else {
                throw error("can't give argument to non-function \(source(of: first.place))", at: first.place)
            }
            return try evaluate(first, dot: dot)
        }
    }

    private mutating func evaluate(
        _ operand: Operand, dot: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        try count(at: operand.place)
        switch operand.kind {
        case .literal(let value): return value
        case .null: return .null
        case .dot: return dot
        case .field(let path): return try follow(path[...], from: dot, at: operand.place)
        case .variable(let name, let path):
            return try follow(path[...], from: variable(name), at: operand.place)
        case .function(let name): return try call(name, [], dot: dot, final: nil, place: operand.place)
        case .pipeline(let pipeline): return try evaluate(pipeline, dot: dot)
        case .chain(let inner, let path):
            return try follow(path[...], from: try evaluate(inner, dot: dot), at: operand.place)
        }
    }

    private func variable(_ name: String) -> TemplateValue {
        variables.last { $0.name == name }?.value ?? .null
    }

    private func follow(
        _ path: ArraySlice<String>, from start: TemplateValue, at place: Place
    ) throws(TemplateError) -> TemplateValue {
        var value = start
        for name in path {
            guard let found = try field(name, of: value, at: place) else { return .null }
            value = found
        }
        return value
    }

    /// Nothing where the value has no such field and the template does not mind.
    private func field(
        _ name: String, of value: TemplateValue, at place: Place
    ) throws(TemplateError) -> TemplateValue? {
        switch value {
        case .map(let entries):
            if let found = entries[name] { return found }
            if let method = template.functions["." + name] {
                return try calling(name, at: place) { () throws(TemplateError) in try method.body([value]) }
            }
            guard template.missingKey == .error else { return nil }
            throw error("can't evaluate field \(name) in type \(value.typeName)", at: place)
        case .null: throw error("nil pointer evaluating interface {}.\(name)", at: place)
        case .string, .int, .double, .bool, .list:
            throw error("can't evaluate field \(name) in type \(value.typeName)", at: place)
        }
    }

    private mutating func callMethod(
        _ path: [String], of start: TemplateValue, _ operands: ArraySlice<Operand>, dot: TemplateValue,
        final: TemplateValue?, place: Place
    ) throws(TemplateError) -> TemplateValue {
        let receiver = try follow(path.dropLast(), from: start, at: place)
        let name = path.last ?? ""
        guard let method = template.functions["." + name] else {
            _ = try field(name, of: receiver, at: place)
            throw error("\(name) is not a method but has arguments", at: place)
        }
        var arguments = [receiver]
        for operand in operands { arguments.append(try evaluate(operand, dot: dot)) }
        if let final { arguments.append(final) }
        return try calling(name, at: place) { () throws(TemplateError) in try method.body(arguments) }
    }

    private mutating func call(
        _ name: String, _ operands: ArraySlice<Operand>, dot: TemplateValue, final: TemplateValue?,
        place: Place
    ) throws(TemplateError) -> TemplateValue {
        let isOwn = template.functions[name] == nil
        if isOwn, name == "and" || name == "or" {
            return try shortCircuit(name, operands, dot: dot, final: final, place: place)
        }
        var arguments: [TemplateValue] = []
        for operand in operands { arguments.append(try evaluate(operand, dot: dot)) }
        if let final { arguments.append(final) }
        let function = template.functions[name]
        return try calling(name, at: place) { () throws(TemplateError) in
            if let function { return try function.body(arguments) }
            return try Builtin.call(name, arguments)
        }
    }

    /// `and` and `or` evaluate no further than they need to.
    private mutating func shortCircuit(
        _ name: String, _ operands: ArraySlice<Operand>, dot: TemplateValue, final: TemplateValue?,
        place: Place
    ) throws(TemplateError) -> TemplateValue {
        var last: TemplateValue?
        for operand in operands {
            let value = try evaluate(operand, dot: dot)
            if value.isTrue == (name == "or") { return value }
            last = value
        }
        guard let result = final ?? last else {
            throw error("wrong number of args for \(name): want at least 1 got 0", at: place)
        }
        return result
    }

    /// Says where a function failed, and keeps what it makes within bounds.
    private func calling(
        _ name: String, at place: Place, _ body: () throws(TemplateError) -> TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        let result: TemplateValue
        do {
            result = try body()
        } catch {
            throw self.error(
                error.message.hasPrefix("wrong number of args for ")
                    ? error.message : "error calling \(name): \(error.message)", at: place)
        }
        if case .string(let text) = result, text.utf8.count > TemplateLimits.outputBytesMax {
            throw error(Self.tooLong, at: place)
        }
        return result
    }

    // MARK: Bounds and errors

    private static let tooLong = "output is longer than \(TemplateLimits.outputBytesMax) bytes"

    private mutating func write(_ text: String, at place: Place?) throws(TemplateError) {
        outputBytes += text.utf8.count
        guard outputBytes <= TemplateLimits.outputBytesMax else {
            throw error(Self.tooLong, at: place ?? Place(position: 0, end: 0))
        }
        output += text
    }

    private mutating func count(at place: Place) throws(TemplateError) {
        steps += 1
        guard steps <= TemplateLimits.stepsMax else {
            throw tooManySteps(at: place)
        }
    }

    private func tooManySteps(at place: Place) -> TemplateError {
        error("more than \(TemplateLimits.stepsMax) steps", at: place)
    }

    private func source(of place: Place) -> String {
        String(decoding: template.source[place.position..<max(place.position, place.end)], as: UTF8.self)
    }

    private func error(_ message: String, at place: Place) -> TemplateError {
        let before = template.source[..<place.position]
        let newline = UInt8(ascii: "\n")
        let line = 1 + before.count { $0 == newline }
        let column = place.position - (before.lastIndex(of: newline).map { $0 + 1 } ?? 0)
        let scalars = source(of: place).unicodeScalars
        var context = String(String.UnicodeScalarView(scalars.prefix(20)))
        if scalars.count > 20 { context += "..." }
        return TemplateError("template: :\(line):\(column): executing \"\" at <\(context)>: \(message)")
    }
}
