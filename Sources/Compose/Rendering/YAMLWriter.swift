/// Writes a tree as YAML, laid out and quoted as the go-yaml library does by default with two spaces of indent.
///
/// The tree's order is kept; whoever wants keys sorted sorts them first.
struct YAMLWriter {
    private var text = ""
    /// Whether go-yaml's mistake is made too: a text of several lines loses a line break that it begins with.
    private let isLikeGo: Bool

    static func write(_ value: Value, isLikeGo: Bool = false) -> String {
        var writer = YAMLWriter(isLikeGo: isLikeGo)
        switch value.content {
        case .map(let entries) where !entries.isEmpty: writer.map(entries, indent: 0, isInline: false)
        case .list(let items) where !items.isEmpty: writer.list(items, indent: 0, isInline: false)
        default:
            writer.scalar(value, indent: 0)
            writer.text += "\n"
        }
        return writer.text
    }

    private mutating func pad(_ indent: Int) { text += String(repeating: " ", count: indent) }

    /// - Parameter isInline: whether the first line goes on after what is written.
    private mutating func map(_ entries: [Value.Entry], indent: Int, isInline: Bool) {
        for (index, entry) in entries.enumerated() {
            if index > 0 || !isInline { pad(indent) }
            text += ScalarStyle.write(entry.key, isKey: true, indent: indent, isLikeGo: isLikeGo) + ":"
            member(entry.value, indent: indent)
        }
    }

    /// Writes a key's value, which a collection does below it and further in.
    private mutating func member(_ value: Value, indent: Int) {
        switch value.content {
        case .map(let entries) where !entries.isEmpty:
            text += "\n"
            map(entries, indent: indent + 2, isInline: false)
        case .list(let items) where !items.isEmpty:
            text += "\n"
            list(items, indent: indent + 2, isInline: false)
        default:
            text += " "
            scalar(value, indent: indent + 2)
            text += "\n"
        }
    }

    private mutating func list(_ items: [Value], indent: Int, isInline: Bool) {
        for (index, item) in items.enumerated() {
            if index > 0 || !isInline { pad(indent) }
            text += "- "
            switch item.content {
            case .map(let entries) where !entries.isEmpty: map(entries, indent: indent + 2, isInline: true)
            case .list(let items) where !items.isEmpty: list(items, indent: indent + 2, isInline: true)
            default:
                scalar(item, indent: indent + 2)
                text += "\n"
            }
        }
    }

    private mutating func scalar(_ value: Value, indent: Int) {
        switch value.content {
        case .null: text += "null"
        case .bool(let flag): text += flag ? "true" : "false"
        case .integer(let number): text += "\(number)"
        case .float(let number):
            switch GoNumber.format(number) {
            case "NaN": text += ".nan"
            case "+Inf": text += ".inf"
            case "-Inf": text += "-.inf"
            case "-0" where !isLikeGo: text += "-0.0"
            case let digits: text += digits
            }
        case .string(let string):
            text += ScalarStyle.write(string, isKey: false, indent: indent, isLikeGo: isLikeGo)
        case .list: text += "[]"
        case .map: text += "{}"
        }
    }
}

/// How a text is quoted.
enum ScalarStyle {
    /// What an emitter must know of a text; the names are YAML's.
    private struct Analysis {
        var blockIndicators = false
        var lineBreaks = false
        var hasTab = false
        var isSpecial = false
        var leadingSpace = false, trailingSpace = false, leadingBreak = false, trailingBreak = false
        var spaceBreak = false, breakSpace = false

        var allowsPlain: Bool {
            !(leadingSpace || leadingBreak || trailingSpace || trailingBreak || breakSpace || spaceBreak || hasTab
                || isSpecial || lineBreaks || blockIndicators)
        }
        var allowsSingle: Bool { !(breakSpace || spaceBreak || hasTab || isSpecial) }
        var allowsBlock: Bool { !(trailingSpace || spaceBreak || isSpecial) }
    }

    static func write(_ text: String, isKey: Bool, indent: Int, isLikeGo: Bool) -> String {
        let analysis = analyze(text)
        if text.unicodeScalars.contains("\n") {
            if isKey || !analysis.allowsBlock || (analysis.leadingBreak && !isLikeGo) { return double(text) }
            return literal(text, indent: indent)
        }
        if isMistakable(text) { return double(text) }
        if analysis.lineBreaks && isKey { return double(text) }
        if analysis.allowsPlain && !text.isEmpty { return text }
        return analysis.allowsSingle ? "'" + text.replacing("'", with: "''") + "'" : double(text)
    }

    /// Whether a reader would take the unquoted text for something other than text.
    private static func isMistakable(_ text: String) -> Bool {
        switch text {
        case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
            return true
        default: break
        }
        if case .string = PlainScalar.resolve(text) { return isSexagesimal(text) || Timestamps.looksLikeOne(text) }
        return true
    }

    /// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`, a number of YAML 1.1.
    private static func isSexagesimal(_ text: String) -> Bool {
        func isDigits(_ part: Substring) -> Bool {
            !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
        }
        var body = Substring(text)
        if body.hasPrefix("-") || body.hasPrefix("+") { body = body.dropFirst() }
        let parts = body.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count > 1, let first = parts.first, isDigits(first.prefix(1)),
            first.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_") })
        else { return false }
        for (index, part) in parts.enumerated().dropFirst() {
            var part = part
            if index == parts.count - 1, let dot = part.firstIndex(of: ".") {
                let fraction = part[part.index(after: dot)...]
                guard fraction.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_") }) else {
                    return false
                }
                part = part[..<dot]
            }
            guard isDigits(part), part.utf8.count <= 2, (Int(part) ?? 60) < 60 else { return false }
        }
        return true
    }

    private static func isBreak(_ scalar: UnicodeScalar) -> Bool {
        ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains(scalar)
    }

    /// What go-yaml writes as it is.
    private static func isPrintable(_ scalar: UnicodeScalar) -> Bool {
        switch scalar.value {
        case 0x0a, 0x20...0x7e, 0xa0...0xd7ff, 0xe000...0xfefe, 0xff00...0xfffd: true
        default: false
        }
    }

    private static func analyze(_ text: String) -> Analysis {
        var analysis = Analysis()
        if text.hasPrefix("---") || text.hasPrefix("...") { analysis.blockIndicators = true }
        let scalars = Array(text.unicodeScalars)
        func isBlank(_ index: Int) -> Bool {
            index >= scalars.count || scalars[index] == " " || scalars[index] == "\t" || isBreak(scalars[index])
        }
        var (previousSpace, previousBreak) = (false, false)
        for (index, scalar) in scalars.enumerated() {
            let isLast = index == scalars.count - 1
            let isFollowedByBlank = isBlank(index + 1)
            if index == 0 {
                if "#,[]{}&*!|>'\"%@`".unicodeScalars.contains(scalar) { analysis.blockIndicators = true }
                if "?:-".unicodeScalars.contains(scalar) && isFollowedByBlank { analysis.blockIndicators = true }
            } else {
                if scalar == ":" && isFollowedByBlank { analysis.blockIndicators = true }
                if scalar == "#" && isBlank(index - 1) { analysis.blockIndicators = true }
            }
            if !isPrintable(scalar) {
                if scalar == "\t" { analysis.hasTab = true } else { analysis.isSpecial = true }
            }
            if scalar == " " {
                if index == 0 { analysis.leadingSpace = true }
                if isLast { analysis.trailingSpace = true }
                if previousBreak { analysis.breakSpace = true }
                (previousSpace, previousBreak) = (true, false)
            } else if isBreak(scalar) {
                analysis.lineBreaks = true
                if index == 0 { analysis.leadingBreak = true }
                if isLast { analysis.trailingBreak = true }
                if previousSpace { analysis.spaceBreak = true }
                (previousSpace, previousBreak) = (false, true)
            } else {
                (previousSpace, previousBreak) = (false, false)
            }
        }
        return analysis
    }

    private static func literal(_ text: String, indent: Int) -> String {
        var header = "|"
        if let first = text.unicodeScalars.first, first == " " || isBreak(first) { header += "2" }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        var body = lines[...]
        if lines.first?.isEmpty == true { body = body.dropFirst() }
        if text.hasSuffix("\n") {
            body = body.dropLast()
            if text == "\n" || text.hasSuffix("\n\n") { header += "+" }
        } else {
            header += "-"
        }
        let pad = String(repeating: " ", count: indent)
        return header + "\n" + body.map { $0.isEmpty ? "" : pad + $0 }.joined(separator: "\n")
    }

    private static func double(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            if isPrintable(scalar) && !isBreak(scalar) && scalar != "\"" && scalar != "\\" {
                result.unicodeScalars.append(scalar)
                continue
            }
            switch scalar {
            case "\0": result += "\\0"
            case "\u{07}": result += "\\a"
            case "\u{08}": result += "\\b"
            case "\t": result += "\\t"
            case "\n": result += "\\n"
            case "\u{0b}": result += "\\v"
            case "\u{0c}": result += "\\f"
            case "\r": result += "\\r"
            case "\u{1b}": result += "\\e"
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{85}": result += "\\N"
            case "\u{2028}": result += "\\L"
            case "\u{2029}": result += "\\P"
            default:
                let code = scalar.value
                let (letter, width) = code <= 0xff ? ("x", 2) : code <= 0xffff ? ("u", 4) : ("U", 8)
                let digits = String(code, radix: 16, uppercase: true)
                result += "\\\(letter)" + String(repeating: "0", count: width - digits.count) + digits
            }
        }
        return result + "\""
    }
}

/// Dates and times, which YAML readers take unquoted for more than text.
enum Timestamps {
    /// `2001-1-2`, alone or with a time of day.
    static func looksLikeOne(_ text: String) -> Bool {
        let day = text.prefix { $0 != "T" && $0 != "t" && $0 != " " }
        let parts = day.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].utf8.count == 4, UInt16(parts[0]) != nil,
            let month = UInt8(parts[1]), let date = UInt8(parts[2]), (1...12).contains(month),
            (1...31).contains(date), parts[1].utf8.count <= 2, parts[2].utf8.count <= 2
        else { return false }
        let rest = text.dropFirst(day.count + 1)
        if day.count == text.count { return true }
        let clock = rest.prefix { !"Z+-".contains($0) }.split(separator: ":", omittingEmptySubsequences: false)
        return clock.count == 3 && clock.dropLast().allSatisfy { UInt8($0) != nil } && Double(clock[2]) != nil
    }
}
