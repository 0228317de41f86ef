/// What an unquoted scalar stands for, by go-yaml's rules, which are YAML 1.2's with some of 1.1's numbers.
enum PlainScalar {
    static func resolve(_ text: String) -> Value.Content {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .bool(true)
        case "false", "False", "FALSE": return .bool(false)
        case ".nan", ".NaN", ".NAN": return .float(.nan)
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .float(.infinity)
        case "-.inf", "-.Inf", "-.INF": return .float(-.infinity)
        default: break
        }
        guard let first = text.utf8.first, isDigit(first) || "+-.".utf8.contains(first) else {
            return .string(text)
        }
        return integer(text).map { .integer($0) } ?? float(text).map { .float($0) } ?? .string(text)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    /// Decimal, `0x`, `0o`, `0b`, and octal by a leading zero; underscores between digits are passed over.
    static func integer(_ text: String) -> Int128? {
        var digits = Array(text.utf8.filter { $0 != UInt8(ascii: "_") })
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative || digits.first == UInt8(ascii: "+") { digits.removeFirst() }
        guard let first = digits.first, isDigit(first), digits.count <= 70 else { return nil }
        var radix = 10
        if first == UInt8(ascii: "0") && digits.count > 1 {
            let bases: [UInt8: Int] = [
                UInt8(ascii: "x"): 16, UInt8(ascii: "X"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "O"): 8,
                UInt8(ascii: "b"): 2, UInt8(ascii: "B"): 2,
            ]
            if let base = bases[digits[1]] {
                radix = base
                digits.removeFirst(2)
            } else {
                radix = 8
                digits.removeFirst()
            }
        }
        guard let magnitude = Int128(String(decoding: digits, as: UTF8.self), radix: radix),
            let lead = digits.first, lead != UInt8(ascii: "+"), lead != UInt8(ascii: "-")
        else { return nil }
        let number = isNegative ? -magnitude : magnitude
        return number >= Int128(Int64.min) && number <= Int128(UInt64.max) ? number : nil
    }

    /// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
    static func float(_ text: String) -> Double? {
        let bytes = Array(text.utf8.filter { $0 != UInt8(ascii: "_") })
        var index = 0
        func at(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }
        func digits() -> Int {
            let start = index
            while isDigit(at(index)) { index += 1 }
            return index - start
        }
        if at(index) == UInt8(ascii: "-") || at(index) == UInt8(ascii: "+") { index += 1 }
        let whole = digits()
        if at(index) == UInt8(ascii: ".") {
            index += 1
            let fraction = digits()
            guard whole + fraction > 0 else { return nil }
        } else if whole == 0 {
            return nil
        }
        if at(index) == UInt8(ascii: "e") || at(index) == UInt8(ascii: "E") {
            index += 1
            if at(index) == UInt8(ascii: "-") || at(index) == UInt8(ascii: "+") { index += 1 }
            guard digits() > 0 else { return nil }
        }
        guard index == bytes.count else { return nil }
        return Double(String(decoding: bytes, as: UTF8.self)).flatMap { $0.isFinite ? $0 : nil }
    }
}

/// What an explicit tag makes of a node.
enum Tag {
    /// - Parameter plain: the text of an unquoted scalar, as it was written.
    static func apply(_ tag: String, to value: Value, plain: String?) throws(YAMLProblem) -> Value {
        var value = value
        func refuse(_ kind: String) -> YAMLProblem {
            YAMLProblem(
                position: value.position,
                message: "cannot decode \(value.kindName) `\(value.text ?? "")` as a \(kind)")
        }
        let long = "!<tag:yaml.org,2002:"
        let name = tag.hasPrefix(long) ? "!!" + tag.dropFirst(long.count).dropLast() : tag
        switch name {
        case "!reset": value.directive = .reset
        case "!override": value.directive = .override
        case "!", "!!map", "!!seq": break
        case "!!str":
            guard let text = plain ?? value.string else { throw refuse(name) }
            value.content = .string(text)
        case "!!binary":
            guard let text = plain ?? value.string, let data = Base64.decode(text) else { throw refuse(name) }
            value.content = .string(String(decoding: data, as: UTF8.self))
        case "!!null":
            guard value.isNull || value.string == "" else { throw refuse(name) }
            value.content = .null
        case "!!int", "!!float", "!!bool":
            if let text = value.string { value.content = PlainScalar.resolve(text) }
            switch (name, value.content) {
            case ("!!int", .integer), ("!!float", .float), ("!!bool", .bool): break
            case ("!!float", .integer(let number)): value.content = .float(Double(number))
            default: throw refuse(name)
            }
        default:
            // A tag of someone's own leaves text as it is written.
            if let plain { value.content = .string(plain) }
        }
        return value
    }
}
