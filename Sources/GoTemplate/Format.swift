/// `printf`: Go's verbs, flags, widths and precisions for the values that a template has.
struct Format {
    private var flags: Set<Character> = []
    private var width: Int?
    private var precision: Int?

    static func print(_ format: String, _ arguments: [TemplateValue]) throws(TemplateError) -> String {
        var result = ""
        var rest = Substring(format)
        var used = 0
        while let character = rest.popFirst() {
            guard character == "%" else {
                result.append(character)
                continue
            }
            var directive = Format()
            try directive.read(&rest, arguments, &used)
            guard let verb = rest.popFirst() else {
                result += "%!(NOVERB)"
                break
            }
            if verb == "%" {
                result += "%"
            } else if used < arguments.count {
                result += directive.padded(directive.text(of: arguments[used], verb: verb), verb: verb)
                used += 1
            } else {
                result += "%!\(verb)(MISSING)"
            }
            guard result.utf8.count <= TemplateLimits.outputBytesMax else {
                throw TemplateError("output is longer than \(TemplateLimits.outputBytesMax) bytes")
            }
        }
        if used < arguments.count {
            let extra = arguments[used...].map {
                $0 == .null ? "<nil>" : "\($0.typeName)=\($0.nested(depth: 0))"
            }
            result += "%!(EXTRA \(extra.joined(separator: ", ")))"
        }
        return result
    }

    /// Reads what stands between the percent sign and the verb.
    private mutating func read(
        _ rest: inout Substring, _ arguments: [TemplateValue], _ used: inout Int
    ) throws(TemplateError) {
        while let flag = rest.first, "+-# 0".contains(flag) {
            flags.insert(flag)
            rest.removeFirst()
        }
        width = try Self.number(&rest, arguments, &used)
        if let given = width, given < 0 {
            flags.insert("-")
            width = -given
        }
        guard rest.first == "." else { return }
        rest.removeFirst()
        precision = max(0, try Self.number(&rest, arguments, &used) ?? 0)
    }

    private static func number(
        _ rest: inout Substring, _ arguments: [TemplateValue], _ used: inout Int
    ) throws(TemplateError) -> Int? {
        var value: Int64?
        if rest.first == "*" {
            rest.removeFirst()
            guard used < arguments.count, case .int(let given) = arguments[used] else {
                throw TemplateError("'*' in a format wants a whole number")
            }
            used += 1
            value = given
        } else {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard !digits.isEmpty else { return nil }
            rest.removeFirst(digits.count)
            value = Int64(digits) ?? Int64.max
        }
        guard let value, value.magnitude <= UInt64(TemplateLimits.columnsMax) else {
            throw TemplateError("a width or precision is at most \(TemplateLimits.columnsMax)")
        }
        return Int(value)
    }

    private func text(of value: TemplateValue, verb: Character) -> String {
        switch (verb, value) {
        case ("v", .double(let number)) where precision != nil: return floating(number, "g") ?? ""
        case ("v", .string(let text)):
            return flags.contains("#") ? quoted(text) : cut(text)
        case ("v", .int(let number)): return whole(number, "d") ?? ""
        case ("v", _): return value.nested(depth: 0)
        case ("T", .null): return "<nil>"
        case ("T", _): return value.typeName
        case ("t", .bool(let flag)): return flag ? "true" : "false"
        case ("s", .string(let text)): return cut(text)
        case ("q", .string(let text)): return flags.contains("#") ? "`\(text)`" : quoted(cut(text))
        case ("x", .string(let text)), ("X", .string(let text)):
            return text.utf8.map { hexadecimal(UInt64($0), width: 2, uppercase: verb == "X") }.joined()
        case ("s", .list(let items)), ("d", .list(let items)), ("q", .list(let items)):
            return "[" + items.map { each($0, verb) }.joined(separator: " ") + "]"
        case (_, .int(let number)): return whole(number, verb) ?? wrong(verb, value)
        case (_, .double(let number)): return floating(number, verb) ?? wrong(verb, value)
        default: return wrong(verb, value)
        }
    }

    /// A list's element under the list's verb; lists within lists print plainly.
    private func each(_ value: TemplateValue, _ verb: Character) -> String {
        if case .list = value { return value.nested(depth: 1) }
        return text(of: value, verb: verb)
    }

    private func wrong(_ verb: Character, _ value: TemplateValue) -> String {
        value == .null ? "%!\(verb)(<nil>)" : "%!\(verb)(\(value.typeName)=\(value.nested(depth: 0)))"
    }

    private func cut(_ text: String) -> String {
        guard let precision else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.prefix(precision)))
    }

    private func sign(isNegative: Bool) -> String {
        if isNegative { return "-" }
        return flags.contains("+") ? "+" : flags.contains(" ") ? " " : ""
    }

    private func whole(_ number: Int64, _ verb: Character) -> String? {
        let digits: String
        let prefix: String
        switch verb {
        case "d": (digits, prefix) = (String(number.magnitude), "")
        case "b": (digits, prefix) = (String(number.magnitude, radix: 2), "0b")
        case "o": (digits, prefix) = (String(number.magnitude, radix: 8), "0")
        case "O": (digits, prefix) = ("0o" + String(number.magnitude, radix: 8), "")
        case "x": (digits, prefix) = (String(number.magnitude, radix: 16), "0x")
        case "X": (digits, prefix) = (String(number.magnitude, radix: 16, uppercase: true), "0X")
        case "c", "q", "U":
            let scalar = UInt32(exactly: number).flatMap(Unicode.Scalar.init) ?? "\u{fffd}"
            if verb == "U" {
                return "U+" + hexadecimal(UInt64(bitPattern: number), width: 4, uppercase: true)
            }
            return verb == "c" ? String(scalar) : "'\(scalar)'"
        default: return nil
        }
        let zeros = String(repeating: "0", count: max(0, (precision ?? 0) - digits.count))
        return sign(isNegative: number < 0) + (flags.contains("#") ? prefix : "") + zeros + digits
    }

    private func floating(_ number: Double, _ verb: Character) -> String? {
        guard "eEfFgG".contains(verb) else { return nil }
        if let special = Decimal.special(number) { return special }
        let decimal = Decimal(exactly: number.magnitude)
        var text: String
        switch verb {
        case "f", "F": text = decimal.fixed(precision: precision ?? 6)
        case "e", "E": text = decimal.scientific(precision: precision ?? 6)
        default:
            guard let precision else {
                text = Decimal.general(number.magnitude)
                break
            }
            var rounded = decimal
            rounded.round(to: max(1, precision))
            while rounded.digits.last == 0 { rounded.digits.removeLast() }
            let exponent = rounded.digits.isEmpty ? 0 : rounded.point - 1
            let isPlain = exponent >= -4 && exponent < max(1, precision)
            text =
                isPlain
                ? rounded.fixed(precision: max(0, rounded.digits.count - rounded.point))
                : rounded.scientific(precision: nil)
        }
        if verb == "E" || verb == "G" { text = text.uppercased() }
        return sign(isNegative: number.sign == .minus) + text
    }

    private func padded(_ text: String, verb: Character) -> String {
        let missing = (width ?? 0) - text.unicodeScalars.count
        guard missing > 0 else { return text }
        if flags.contains("-") { return text + String(repeating: " ", count: missing) }
        guard flags.contains("0") else { return String(repeating: " ", count: missing) + text }
        // Zeros go between a number's sign and its digits.
        let zeros = String(repeating: "0", count: missing)
        guard let first = text.first, "+-".contains(first), !"sqv".contains(verb) else { return zeros + text }
        return String(first) + zeros + text.dropFirst()
    }
}
