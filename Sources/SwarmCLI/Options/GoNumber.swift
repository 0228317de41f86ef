package import SwarmCore

/// Numbers as Go's strconv reads them, with its refusals, which users see in Docker's messages.
package enum GoNumber {
    package static func uint(_ text: String) throws(SwarmError) -> UInt64 {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw invalid("ParseUint", text)
        }
        guard let value = UInt64(text) else { throw outOfRange("ParseUint", text) }
        return value
    }

    package static func int(_ text: String) throws(SwarmError) -> Int64 {
        let digits = text.hasPrefix("-") || text.hasPrefix("+") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw invalid("ParseInt", text)
        }
        guard let value = Int64(text) else { throw outOfRange("ParseInt", text) }
        return value
    }

    package static func float(_ text: String) throws(SwarmError) -> Double {
        guard let value = Double(text), value.isFinite else { throw invalid("ParseFloat", text) }
        return value
    }

    package static func bool(_ text: String) throws(SwarmError) -> Bool {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: throw invalid("ParseBool", text)
        }
    }

    /// A file mode in octal.
    package static func octal(_ text: String) throws(SwarmError) -> UInt32 {
        guard !text.isEmpty, let value = UInt32(text, radix: 8),
            text.utf8.allSatisfy({ (0x30...0x37).contains($0) })
        else { throw invalid("ParseUint", text) }
        return value
    }

    /// A number in the base that its prefix says, as Go's `ParseUint` reads it with base 0: `0444` and `0o444` are
    /// octal, `9` is nine.
    package static func anyBase(_ text: String) throws(SwarmError) -> UInt32 {
        let prefixes: [(prefix: String, radix: Int)] = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        let lower = text.lowercased()
        guard let known = prefixes.first(where: { lower.hasPrefix($0.prefix) && lower.count > $0.prefix.count }) else {
            guard let value = UInt32(exactly: try uint(text)) else { throw outOfRange("ParseUint", text) }
            return value
        }
        let digits = lower.dropFirst(known.prefix.count)
        guard digits.allSatisfy(\.isHexDigit), let value = UInt32(digits, radix: known.radix) else {
            throw invalid("ParseUint", text)
        }
        return value
    }

    static func invalid(_ function: String, _ text: String) -> SwarmError {
        SwarmError(.invalidArgument, "strconv.\(function): parsing \"\(text)\": invalid syntax")
    }

    static func outOfRange(_ function: String, _ text: String) -> SwarmError {
        SwarmError(.invalidArgument, "strconv.\(function): parsing \"\(text)\": value out of range")
    }
}

/// Lengths of time in Go's notation: `1m30s`, `500ms`.
package enum GoDuration {
    private static let units: [String: Double] = [
        "ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
    ]

    /// Nanoseconds.
    package static func parse(_ text: String) throws(SwarmError) -> Int64 {
        var rest = Substring(text)
        var sign: Int64 = 1
        if let first = rest.first, first == "-" || first == "+" {
            sign = first == "-" ? -1 : 1
            rest = rest.dropFirst()
        }
        if rest == "0" { return 0 }
        guard !rest.isEmpty else { throw SwarmError(.invalidArgument, "time: invalid duration \"\(text)\"") }
        var total: Int64 = 0
        while !rest.isEmpty {
            let digits = rest.prefix { $0 == "." || ("0"..."9").contains($0) }
            guard !digits.isEmpty, let number = Double(digits.hasPrefix(".") ? "0" + digits : digits + "")
            else {
                throw SwarmError(.invalidArgument, "time: invalid duration \"\(text)\"")
            }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0 != "." && !("0"..."9").contains($0) }
            guard !unit.isEmpty else {
                throw SwarmError(.invalidArgument, "time: missing unit in duration \"\(text)\"")
            }
            guard let scale = units[String(unit)] else {
                throw SwarmError(.invalidArgument, "time: unknown unit \"\(unit)\" in duration \"\(text)\"")
            }
            rest = rest.dropFirst(unit.count)
            let (sum, overflow) = total.addingReportingOverflow(try whole(digits, number, scale, text))
            guard !overflow else { throw SwarmError(.invalidArgument, "time: invalid duration \"\(text)\"") }
            total = sum
        }
        return sign * total
    }

    private static func whole(
        _ digits: Substring, _ number: Double, _ scale: Double, _ text: String
    ) throws(SwarmError) -> Int64 {
        // Whole numbers are multiplied as such, so that no precision is lost.
        if let integer = Int64(digits) {
            let (product, overflow) = integer.multipliedReportingOverflow(by: Int64(scale))
            if !overflow { return product }
        } else if number * scale < 9.2e18 {
            return Int64((number * scale).rounded())
        }
        throw SwarmError(.invalidArgument, "time: invalid duration \"\(text)\"")
    }

    /// As Go prints it: `2160h0m0s`, `1m30s`, `5s`, `500ms`, `0s`.
    package static func format(_ nanoseconds: Int64) -> String {
        guard nanoseconds != 0 else { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let value = nanoseconds.magnitude
        func fraction(_ whole: UInt64, _ part: UInt64, digits: Int) -> String {
            var text = String(part)
            text = String(repeating: "0", count: digits - text.count) + text
            while text.last == "0" { text.removeLast() }
            return text.isEmpty ? String(whole) : "\(whole).\(text)"
        }
        switch value {
        case ..<1_000: return "\(sign)\(value)ns"
        case ..<1_000_000: return sign + fraction(value / 1_000, value % 1_000, digits: 3) + "µs"
        case ..<1_000_000_000: return sign + fraction(value / 1_000_000, value % 1_000_000, digits: 6) + "ms"
        default: break
        }
        let seconds = value / 1_000_000_000
        let last = fraction(seconds % 60, value % 1_000_000_000, digits: 9) + "s"
        if seconds < 60 { return sign + last }
        if seconds < 3600 { return "\(sign)\(seconds / 60)m\(last)" }
        return "\(sign)\(seconds / 3600)h\(seconds / 60 % 60)m\(last)"
    }
}
