/// A value as JSON on one line, keys sorted, `<`, `>` and `&` as they are.
enum JSON {
    static func encode(_ value: TemplateValue) throws(TemplateError) -> String {
        var result = ""
        try append(value, to: &result, depth: 0)
        return result
    }

    private static func append(
        _ value: TemplateValue, to result: inout String, depth: Int
    ) throws(TemplateError) {
        guard depth < TemplateLimits.valueDepthMax else {
            throw TemplateError("json: nested deeper than \(TemplateLimits.valueDepthMax) levels")
        }
        switch value {
        case .string(let text): append(text, to: &result)
        case .int(let number): result += String(number)
        case .double(let number):
            guard number.isFinite else {
                throw TemplateError("json: unsupported value: \(value.nested(depth: 0))")
            }
            result += Self.number(number)
        case .bool(let flag): result += flag ? "true" : "false"
        case .null: result += "null"
        case .list(let items):
            result += "["
            for (index, item) in items.enumerated() {
                if index > 0 { result += "," }
                try append(item, to: &result, depth: depth + 1)
            }
            result += "]"
        case .map(let entries):
            result += "{"
            let sorted = entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            for (index, entry) in sorted.enumerated() {
                if index > 0 { result += "," }
                append(entry.key, to: &result)
                result += ":"
                try append(entry.value, to: &result, depth: depth + 1)
            }
            result += "}"
        }
    }

    private static func number(_ number: Double) -> String {
        let decimal = Decimal(shortest: number)
        let sign = number.sign == .minus ? "-" : ""
        let exponent = decimal.digits.isEmpty ? 0 : decimal.point - 1
        guard exponent >= -6, exponent < 21 else {
            // JSON's exponents have no leading zero.
            let text = decimal.scientific(precision: nil)
            return sign
                + (text.hasSuffix("e-0\(abs(exponent))") ? text.dropLast(2) + "\(abs(exponent))" : text)
        }
        return sign + decimal.fixed(precision: max(0, decimal.digits.count - decimal.point))
    }

    private static func append(_ text: String, to result: inout String) {
        result += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{c}": result += "\\f"
            case "\u{2028}": result += "\\u2028"
            case "\u{2029}": result += "\\u2029"
            case let scalar where scalar.value < 0x20:
                result += "\\u" + hexadecimal(UInt64(scalar.value), width: 4)
            default: result.unicodeScalars.append(scalar)
            }
        }
        result += "\""
    }
}
