/// Go's spelling of durations: `1h30m0s`, `1.5s`, `100ms`.
enum GoDuration {
    private static let units: [String: Int128] = [
        "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000,
        "h": 3_600_000_000_000,
    ]
    /// What the Compose Specification adds.
    private static let longUnits: [String: Int128] = ["d": 86_400_000_000_000, "w": 604_800_000_000_000]
    private static let fractionDigitsMax = 18

    /// Nanoseconds; nil when the text is no duration or too long for 64 bits.
    static func parse(_ text: String, withDays: Bool = false) -> Int64? {
        var rest = Substring(text)
        let isNegative = rest.hasPrefix("-")
        if isNegative || rest.hasPrefix("+") { rest = rest.dropFirst() }
        if rest == "0" { return 0 }
        guard !rest.isEmpty else { return nil }
        var total: Int128 = 0
        while !rest.isEmpty {
            let whole = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(whole.count)
            var fraction: Substring = ""
            if rest.hasPrefix(".") {
                rest = rest.dropFirst()
                fraction = rest.prefix { $0.isASCII && $0.isNumber }
                rest = rest.dropFirst(fraction.count)
            }
            let name = String(rest.prefix { $0 != "." && !($0.isASCII && $0.isNumber) })
            rest = rest.dropFirst(name.count)
            guard !(whole.isEmpty && fraction.isEmpty), whole.count <= 19,
                let unit = units[name] ?? (withDays ? longUnits[name] : nil),
                let amount = Int128(whole.isEmpty ? "0" : String(whole))
            else { return nil }
            total += amount * unit
            let digits = fraction.prefix(fractionDigitsMax)
            if let part = Int128(String(digits)) {
                total += part * unit / power(10, digits.count)
            }
            guard total <= Int128(Int64.max) else { return nil }
        }
        return Int64(isNegative ? -total : total)
    }

    private static func power(_ base: Int128, _ exponent: Int) -> Int128 {
        (0..<exponent).reduce(1) { product, _ in product * base }
    }

    static func format(_ nanoseconds: Int64) -> String {
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let magnitude = Int128(nanoseconds.magnitude)
        for (name, unit) in [("ns", 1000), ("µs", 1_000_000), ("ms", 1_000_000_000)] as [(String, Int128)]
        where magnitude < unit {
            return sign + decimal(magnitude, unit: unit / 1000) + name
        }
        let minute: Int128 = 60_000_000_000
        var text = decimal(magnitude % minute, unit: 1_000_000_000) + "s"
        let minutes = magnitude / minute
        if minutes > 0 { text = "\(minutes % 60)m" + text }
        if minutes >= 60 { text = "\(minutes / 60)h" + text }
        return sign + text
    }

    private static func decimal(_ amount: Int128, unit: Int128) -> String {
        let (whole, rest) = amount.quotientAndRemainder(dividingBy: unit)
        if rest == 0 { return "\(whole)" }
        var digits = "\(unit + rest)"
        digits.removeFirst()
        while digits.hasSuffix("0") { digits.removeLast() }
        return "\(whole).\(digits)"
    }
}

/// Sizes as people write them: `1.5g`, `64M`, `10 KiB`, all by powers of 1024.
enum ByteSize {
    /// Bytes; nil when the text is no size or too large for 64 bits.
    static func parse(_ text: String) -> Int64? {
        let number = text.prefix { ($0.isASCII && $0.isNumber) || $0 == "." }
        var unit = text.dropFirst(number.count).lowercased()
        if unit.hasPrefix(" ") { unit.removeFirst() }
        var power = 0
        if let first = unit.first, let index = "kmgtp".firstIndex(of: first) {
            power = "kmgtp".distance(from: "kmgtp".startIndex, to: index) + 1
            unit.removeFirst()
            if unit.hasPrefix("i") { unit.removeFirst() }
        }
        if unit.hasPrefix("b") { unit.removeFirst() }
        guard unit.isEmpty, let amount = PlainScalar.float(String(number)) else { return nil }
        let bytes = (0..<power).reduce(amount) { product, _ in product * 1024 }
        return bytes < 9.2e18 ? Int64(bytes) : nil
    }
}

/// Splits a command line into words by quotes and backslashes, without a shell's operators; `#` begins a comment.
enum ShellWords {
    struct Problem: Error { var message: String }

    static func split(_ text: String) throws(Problem) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var (isEscaped, isComment) = (false, false)
        for character in text.unicodeScalars.map(Character.init) {
            let isSpace = [" ", "\t", "\n", "\r"].contains(character)
            if isComment {
                isComment = character != "\n"
            } else if isEscaped {
                word = (word ?? "") + String(character)
                isEscaped = false
            } else if character == "\\" && quote != "'" {
                isEscaped = true
                word = word ?? ""
            } else if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if isSpace {
                if let finished = word { words.append(finished) }
                word = nil
            } else if character == "#" && word == nil {
                isComment = true
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if isEscaped { throw Problem(message: "EOF found after escape character") }
        if quote != nil { throw Problem(message: "EOF found when expecting closing quote") }
        if let finished = word { words.append(finished) }
        return words
    }
}
