/// A place in a stack file; lines and columns count from 1, columns in Unicode scalars.
package struct Position: Sendable, Hashable, CustomStringConvertible {
    /// As the user named it; `-` is standard input.
    package var file: String
    package var line: Int
    package var column: Int

    package init(file: String, line: Int = 1, column: Int = 1) {
        (self.file, self.line, self.column) = (file, line, column)
    }

    package var description: String { "\(file):\(line):\(column)" }
}

/// One value of a stack file and where it stands.
///
/// Aliases and merge keys are already resolved: what they brought keeps the place where it was written.
package struct Value: Sendable {
    package enum Content: Sendable {
        case null
        case bool(Bool)
        /// From `Int64.min` to `UInt64.max`, as YAML files of Go programs have them.
        case integer(Int128)
        case float(Double)
        case string(String)
        case list([Value])
        case map([Entry])
    }

    /// A key of a mapping with its value.
    package struct Entry: Sendable {
        package var key: String
        package var keyPosition: Position
        package var value: Value
    }

    /// What the Compose Specification lets a later file say about an earlier file's value.
    package enum Directive: Sendable { case reset, override }

    package var content: Content
    package var position: Position
    package var directive: Directive?

    package init(_ content: Content, at position: Position, directive: Directive? = nil) {
        (self.content, self.position, self.directive) = (content, position, directive)
    }
}

extension Value {
    package var isNull: Bool { if case .null = content { true } else { false } }
    package var string: String? { if case .string(let text) = content { text } else { nil } }
    package var bool: Bool? { if case .bool(let flag) = content { flag } else { nil } }
    // Never inlined: the optimiser of Swift 6.3.1 reads the value after its life there, and ends the compilation.
    @inline(never)
    package var integer: Int128? { if case .integer(let number) = content { number } else { nil } }
    package var list: [Value]? { if case .list(let items) = content { items } else { nil } }
    package var entries: [Entry]? { if case .map(let entries) = content { entries } else { nil } }

    /// A number of either kind.
    package var number: Double? {
        switch content {
        case .integer(let number): Double(number)
        case .float(let number): number
        default: nil
        }
    }

    /// An integer, or a float without a fraction.
    package var wholeNumber: Int128? {
        switch content {
        case .integer(let number): number
        case .float(let number) where number.rounded() == number: Int128(exactly: number)
        default: nil
        }
    }

    /// What a scalar reads as where text is wanted, printed as Go prints it; nil for null and collections.
    package var text: String? {
        switch content {
        case .string(let text): text
        case .integer(let number): String(number)
        case .float(let number): GoNumber.format(number)
        case .bool(let flag): flag ? "true" : "false"
        case .null, .list, .map: nil
        }
    }

    /// The value of a key; setting nil removes the key, setting on a value that is no mapping makes it one.
    package subscript(key: String) -> Value? {
        get { entries?.first { $0.key == key }?.value }
        set {
            var entries = self.entries ?? []
            let index = entries.firstIndex { $0.key == key }
            if let newValue {
                if let index {
                    entries[index].value = newValue
                } else {
                    entries.append(Entry(key: key, keyPosition: newValue.position, value: newValue))
                }
            } else if let index {
                entries.remove(at: index)
            }
            content = .map(entries)
        }
    }

    /// Where the key itself stands, for words about the key rather than its value.
    package func keyPosition(_ key: String) -> Position {
        entries?.first { $0.key == key }?.keyPosition ?? position
    }

    /// The kind of value in a user's words.
    package var kindName: String {
        switch content {
        case .null: "null"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .float: "a number"
        case .string: "a string"
        case .list: "a list"
        case .map: "a mapping"
        }
    }

    /// Equal content, wherever it stands; the order of a mapping's keys does not matter.
    package func hasSameContent(as other: Value) -> Bool {
        switch (content, other.content) {
        case (.null, .null): return true
        case (.bool(let left), .bool(let right)): return left == right
        case (.integer(let left), .integer(let right)): return left == right
        case (.float(let left), .float(let right)): return left == right
        case (.string(let left), .string(let right)): return left == right
        case (.integer, .float), (.float, .integer): return number == other.number
        case (.list(let left), .list(let right)):
            return left.count == right.count && zip(left, right).allSatisfy { $0.hasSameContent(as: $1) }
        case (.map(let left), .map(let right)):
            guard left.count == right.count else { return false }
            let others = Dictionary(right.map { ($0.key, $0.value) }) { first, _ in first }
            return left.allSatisfy { entry in others[entry.key]?.hasSameContent(as: entry.value) ?? false }
        default: return false
        }
    }
}

/// Numbers in Go's shortest form.
enum GoNumber {
    /// As `strconv.FormatFloat(x, 'g', -1, 64)`: `1.5`, `1e+06`, `1.5e-07`.
    static func format(_ number: Double) -> String {
        if number.isNaN { return "NaN" }
        if number.isInfinite { return number < 0 ? "-Inf" : "+Inf" }
        let (digits, exponent) = decimal(number.magnitude)
        let sign = number.sign == .minus ? "-" : ""
        if exponent < -4 || exponent >= 6 {
            let rest = digits.dropFirst()
            let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            let mantissa = String(digits.prefix(1)) + (rest.isEmpty ? "" : "." + rest)
            return "\(sign)\(mantissa)e\(exponent < 0 ? "-" : "+")\(power)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        if digits.count <= exponent + 1 {
            return sign + digits + String(repeating: "0", count: exponent + 1 - digits.count)
        }
        return sign + digits.prefix(exponent + 1) + "." + digits.dropFirst(exponent + 1)
    }

    /// Shortest digits that read back as the same number, and the power of ten of the first of them.
    private static func decimal(_ number: Double) -> (digits: String, exponent: Int) {
        if number == 0 { return ("0", 0) }
        let text = "\(number)".lowercased()
        let parts = text.split(separator: "e")
        var exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let halves = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        var digits = String(halves[0])
        exponent += digits.count - 1
        if halves.count > 1 { digits += halves[1] }
        while digits.hasPrefix("0") && digits.count > 1 {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.hasSuffix("0") && digits.count > 1 { digits.removeLast() }
        return (digits, exponent)
    }
}
