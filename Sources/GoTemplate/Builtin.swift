/// The functions that every template has: Go's own, and those that docker adds.
enum Builtin {
    static let names: Set<String> = [
        "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print", "printf",
        "println",
        "json", "split", "join", "title", "lower", "upper", "pad", "truncate",
    ]

    /// Calls a function other than `and` and `or`, which evaluate their own arguments.
    static func call(_ name: String, _ arguments: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        switch name {
        case "not": return .bool(try !exactly(1, arguments, name)[0].isTrue)
        case "eq": return .bool(try isAnyEqual(arguments, name))
        case "ne":
            let pair = try exactly(2, arguments, name)
            return .bool(try !isEqual(pair[0], pair[1]))
        case "lt", "le", "gt", "ge": return .bool(try compare(name, try exactly(2, arguments, name)))
        case "len": return .int(Int64(try length(try exactly(1, arguments, name)[0])))
        case "index": return try index(try atLeast(1, arguments, name))
        case "slice": return try slice(try atLeast(1, arguments, name))
        case "print": return .string(joined(arguments, always: false))
        case "println": return .string(joined(arguments, always: true) + "\n")
        case "printf":
            let all = try atLeast(1, arguments, name)
            return .string(try Format.print(try text(all[0]), Array(all.dropFirst())))
        default: return try shape(name, arguments)
        }
    }

    // MARK: Docker's functions

    private static func shape(
        _ name: String, _ arguments: [TemplateValue]
    ) throws(TemplateError) -> TemplateValue {
        switch name {
        case "json": return .string(try JSON.encode(try exactly(1, arguments, name)[0]))
        case "split":
            let pair = try exactly(2, arguments, name)
            return .list(try parts(of: try text(pair[0]), between: try text(pair[1])))
        case "join":
            let pair = try exactly(2, arguments, name)
            guard case .list(let items) = pair[0] else { throw wrongType(pair[0], "[]string") }
            return .string(items.map { $0.nested(depth: 0) }.joined(separator: try text(pair[1])))
        case "title": return .string(titled(try text(try exactly(1, arguments, name)[0])))
        case "lower": return .string(try text(try exactly(1, arguments, name)[0]).lowercased())
        case "upper": return .string(try text(try exactly(1, arguments, name)[0]).uppercased())
        case "pad":
            let all = try exactly(3, arguments, name)
            let source = try text(all[0])
            let before = String(repeating: " ", count: try columns(all[1]))
            let after = String(repeating: " ", count: try columns(all[2]))
            return .string(source.isEmpty ? "" : before + source + after)
        case "truncate":
            let pair = try exactly(2, arguments, name)
            let bytes = try text(pair[0]).utf8
            let limit = try number(pair[1])
            guard limit >= 0 else { throw TemplateError("slice bounds out of range: \(limit)") }
            return .string(String(decoding: bytes.prefix(Int(clamping: limit)), as: UTF8.self))
        default: throw TemplateError("there is no such function")
        }
    }

    private static func columns(_ value: TemplateValue) throws(TemplateError) -> Int {
        let count = try number(value)
        guard (0...Int64(TemplateLimits.columnsMax)).contains(count) else {
            throw TemplateError("a width is 0 to \(TemplateLimits.columnsMax), not \(count)")
        }
        return Int(count)
    }

    /// As Go splits: an empty separator cuts between all characters.
    private static func parts(of text: String, between separator: String) throws(TemplateError)
        -> [TemplateValue]
    {
        guard !separator.isEmpty else { return text.unicodeScalars.map { .string(String($0)) } }
        let (bytes, cut) = (Array(text.utf8), Array(separator.utf8))
        var result: [TemplateValue] = []
        var start = 0
        var position = 0
        while position + cut.count <= bytes.count {
            if bytes[position] == cut[0], bytes[position..<position + cut.count].elementsEqual(cut) {
                result.append(.string(String(decoding: bytes[start..<position], as: UTF8.self)))
                position += cut.count
                start = position
            } else {
                position += 1
            }
        }
        result.append(.string(String(decoding: bytes[start...], as: UTF8.self)))
        return result
    }

    /// Every word with a capital.
    private static func titled(_ text: String) -> String {
        var result = ""
        var startsWord = true
        for character in text {
            result += startsWord ? character.uppercased() : String(character)
            startsWord = !(character.isLetter || character.isNumber || character == "_" || character == "'")
        }
        return result
    }

    // MARK: Go's functions

    /// Spaces go between all operands, or only between two that are not texts.
    private static func joined(_ values: [TemplateValue], always: Bool) -> String {
        var result = ""
        var previousIsText = true
        for (index, value) in values.enumerated() {
            var isText = false
            if case .string = value { isText = true }
            if index > 0, always || !(isText || previousIsText) { result += " " }
            result += value.nested(depth: 0)
            previousIsText = isText
        }
        return result
    }

    private static func isAnyEqual(_ values: [TemplateValue], _ name: String) throws(TemplateError) -> Bool {
        let all = try atLeast(1, values, name)
        guard all.count > 1 else { throw TemplateError("missing argument for comparison") }
        for other in all.dropFirst() where try isEqual(all[0], other) { return true }
        return false
    }

    private static func isEqual(_ left: TemplateValue, _ right: TemplateValue) throws(TemplateError) -> Bool {
        for value in [left, right] {
            switch value {
            case .list, .map:
                if left == .null || right == .null { return false }
                throw TemplateError("non-comparable type \(value.nested(depth: 0)): \(value.typeName)")
            case .string, .int, .double, .bool, .null: break
            }
        }
        switch (left, right) {
        case (.null, _), (_, .null): return left == right
        case (.int(let left), .double(let right)), (.double(let right), .int(let left)):
            return Double(left) == right
        case (.string, .string), (.int, .int), (.double, .double), (.bool, .bool): return left == right
        default: throw TemplateError("incompatible types for comparison")
        }
    }

    private static func compare(_ name: String, _ pair: [TemplateValue]) throws(TemplateError) -> Bool {
        func holds<Value: Comparable>(_ left: Value, _ right: Value) -> Bool {
            switch name {
            case "lt": left < right
            case "le": left <= right
            case "gt": left > right
            default: left >= right
            }
        }
        switch (pair[0], pair[1]) {
        case (.int(let left), .int(let right)): return holds(left, right)
        case (.double(let left), .double(let right)): return holds(left, right)
        case (.int(let left), .double(let right)): return holds(Double(left), right)
        case (.double(let left), .int(let right)): return holds(left, Double(right))
        case (.string(let left), .string(let right)):
            let (left, right) = (Array(left.utf8), Array(right.utf8))
            let order = left == right ? 0 : left.lexicographicallyPrecedes(right) ? -1 : 1
            return holds(order, 0)
        case (.bool, _), (_, .bool), (.list, _), (_, .list), (.map, _), (_, .map), (.null, _), (_, .null):
            throw TemplateError("invalid type for comparison")
        default: throw TemplateError("incompatible types for comparison")
        }
    }

    private static func length(_ value: TemplateValue) throws(TemplateError) -> Int {
        switch value {
        case .string(let text): return text.utf8.count
        case .list(let items): return items.count
        case .map(let entries): return entries.count
        case .null: throw TemplateError("len of nil pointer")
        case .int, .double, .bool: throw TemplateError("len of type \(value.typeName)")
        }
    }

    private static func index(_ values: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        var value = values[0]
        for key in values.dropFirst() {
            switch value {
            case .list(let items): value = items[try position(key, below: items.count)]
            case .string(let text):
                let bytes = Array(text.utf8)
                value = .int(Int64(bytes[try position(key, below: bytes.count)]))
            case .map(let entries):
                guard case .string(let name) = key else {
                    throw TemplateError("value has type \(key.typeName); should be string")
                }
                value = entries[name] ?? .null
            case .null: throw TemplateError("index of nil pointer")
            case .int, .double, .bool: throw TemplateError("can't index item of type \(value.typeName)")
            }
        }
        return value
    }

    private static func position(_ key: TemplateValue, below count: Int) throws(TemplateError) -> Int {
        guard case .int(let number) = key else {
            throw TemplateError("cannot index slice/array with type \(key.typeName)")
        }
        guard (0..<Int64(count)).contains(number) else {
            throw TemplateError("index out of range: \(number)")
        }
        return Int(number)
    }

    private static func slice(_ values: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        let count: Int
        switch values[0] {
        case .string(let text): count = text.utf8.count
        case .list(let items): count = items.count
        case .null: throw TemplateError("slice of untyped nil")
        case .int, .double, .bool, .map: throw TemplateError("can't slice item of type \(values[0].typeName)")
        }
        guard values.count <= 4 else { throw TemplateError("too many slice indexes: \(values.count - 1)") }
        if case .string = values[0], values.count == 4 {
            throw TemplateError("cannot 3-index slice a string")
        }
        var bounds: [Int] = []
        for value in values.dropFirst() { bounds.append(try position(value, below: count + 1)) }
        let start = bounds.first ?? 0
        let end = bounds.count > 1 ? bounds[1] : count
        guard start <= end else { throw TemplateError("invalid slice index: \(start) > \(end)") }
        if bounds.count > 2, end > bounds[2] {
            throw TemplateError("invalid slice index: \(end) > \(bounds[2])")
        }
        switch values[0] {
        case .string(let text): return .string(String(decoding: Array(text.utf8)[start..<end], as: UTF8.self))
        case .list(let items): return .list(Array(items[start..<end]))
        case .int, .double, .bool, .map, .null: return .null
        }
    }

    // MARK: Arguments

    private static func exactly(
        _ count: Int, _ values: [TemplateValue], _ name: String
    ) throws(TemplateError) -> [TemplateValue] {
        guard values.count == count else {
            throw TemplateError("wrong number of args for \(name): want \(count) got \(values.count)")
        }
        return values
    }

    private static func atLeast(
        _ count: Int, _ values: [TemplateValue], _ name: String
    ) throws(TemplateError) -> [TemplateValue] {
        guard values.count >= count else {
            throw TemplateError(
                "wrong number of args for \(name): want at least \(count) got \(values.count)")
        }
        return values
    }

    private static func text(_ value: TemplateValue) throws(TemplateError) -> String {
        guard case .string(let text) = value else { throw wrongType(value, "string") }
        return text
    }

    private static func number(_ value: TemplateValue) throws(TemplateError) -> Int64 {
        guard case .int(let number) = value else { throw wrongType(value, "int") }
        return number
    }

    private static func wrongType(_ value: TemplateValue, _ wanted: String) -> TemplateError {
        value == .null
            ? TemplateError("invalid value; expected \(wanted)")
            : TemplateError("wrong type for value; expected \(wanted); got \(value.typeName)")
    }
}
