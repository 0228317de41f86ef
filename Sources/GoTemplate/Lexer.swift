/// Cuts a template into tokens; an error is the last token.
struct Lexer {
    private let source: [UInt8]
    private var position = 0
    private var parentheses = 0
    private var tokens: [Token] = []
    private var failed = false

    static let keywords: Set<String> = [
        "block", "break", "continue", "define", "else", "end", "if", "range", "template", "with",
    ]

    static func tokens(of source: [UInt8]) -> [Token] {
        var lexer = Lexer(source: source)
        lexer.run()
        return lexer.tokens
    }

    private init(source: [UInt8]) { self.source = source }

    private mutating func run() {
        var trimsNext = false
        while !failed {
            trimsNext = lexText(trimsStart: trimsNext)
            guard !failed, position < source.count else { break }
            if isComment() { trimsNext = lexComment() } else { trimsNext = lexAction() }
        }
        if !failed { append(.end, "", from: source.count) }
    }

    /// Literal text up to the next action or the end.
    private mutating func lexText(trimsStart: Bool) -> Bool {
        var start = position
        if trimsStart { while start < source.count, Self.isSpace(source[start]) { start += 1 } }
        position = start
        while position < source.count, !has("{{") { position += 1 }
        var end = position
        if position < source.count, position + 3 < source.count, source[position + 2] == UInt8(ascii: "-"),
            Self.isSpace(source[position + 3])
        {
            while end > start, Self.isSpace(source[end - 1]) { end -= 1 }
        }
        if end > start { append(.text, decoded(start..<end), from: start, to: end) }
        return false
    }

    private var leftTrimLength: Int {
        position + 3 < source.count && source[position + 2] == UInt8(ascii: "-")
            && Self.isSpace(source[position + 3]) ? 2 : 0
    }

    private func isComment() -> Bool { has("/*", at: position + 2 + leftTrimLength) }

    private mutating func lexComment() -> Bool {
        position += 2 + leftTrimLength + 2
        while position < source.count, !has("*/") { position += 1 }
        guard position < source.count else { return fail("unclosed comment") }
        position += 2
        if has("}}") {
            position += 2
            return false
        }
        guard position < source.count, Self.isSpace(source[position]), has("-}}", at: position + 1) else {
            return fail("comment ends before closing delimiter")
        }
        position += 4
        return true
    }

    /// One `{{ ... }}`; returns whether it trims the text that follows.
    private mutating func lexAction() -> Bool {
        append(.leftDelimiter, "{{", from: position, to: position + 2)
        position += 2 + leftTrimLength
        parentheses = 0
        while !failed {
            guard position < source.count else { return fail("unclosed action") }
            let trims = Self.isSpace(source[position]) && has("-}}", at: position + 1)
            if trims || has("}}") {
                guard parentheses == 0 else { return fail("unclosed left paren") }
                append(.rightDelimiter, "}}", from: position, to: position + (trims ? 4 : 2))
                position += trims ? 4 : 2
                return trims
            }
            lexInside()
        }
        return false
    }

    private mutating func lexInside() {
        let start = position
        let byte = source[position]
        switch byte {
        case _ where Self.isSpace(byte):
            while position < source.count, Self.isSpace(source[position]), !has("-}}", at: position + 1) {
                position += 1
            }
            append(.space, " ", from: start)
        case UInt8(ascii: "="): single(.assign)
        case UInt8(ascii: "|"): single(.pipe)
        case UInt8(ascii: ","): single(.comma)
        case UInt8(ascii: ":"):
            guard has(":=") else { return _ = fail("expected :=") }
            position += 2
            append(.declare, ":=", from: start)
        case UInt8(ascii: "("):
            parentheses += 1
            single(.leftParenthesis)
        case UInt8(ascii: ")"):
            parentheses -= 1
            guard parentheses >= 0 else { return _ = fail("unexpected right paren") }
            single(.rightParenthesis)
        case UInt8(ascii: "\""): lexQuoted()
        case UInt8(ascii: "`"): lexRaw()
        case UInt8(ascii: "'"): lexCharacter()
        case UInt8(ascii: "$"): lexWord(.variable)
        case UInt8(ascii: "."):
            if position + 1 < source.count, Self.isDigit(source[position + 1]) { return lexNumber() }
            lexWord(.field)
        case UInt8(ascii: "+"), UInt8(ascii: "-"): lexNumber()
        case _ where Self.isDigit(byte): lexNumber()
        case _ where Self.isAlphanumeric(byte): lexWord(.identifier)
        case 0x20...0x7e: single(.other)
        default: _ = fail("unrecognized character in action: \(Self.named(byte))")
        }
    }

    private mutating func lexWord(_ kind: Token.Kind) {
        let start = position
        if kind != .identifier { position += 1 }
        while position < source.count, Self.isAlphanumeric(source[position]) { position += 1 }
        guard isAtTerminator else { return _ = fail("bad character \(Self.named(source[position]))") }
        let text = decoded(start..<position)
        switch kind {
        case .field where text == ".": append(.dot, text, from: start)
        case .identifier where Self.keywords.contains(text): append(.keyword, text, from: start)
        case .identifier where text == "true" || text == "false": append(.bool, text, from: start)
        case .identifier where text == "nil": append(.null, text, from: start)
        default: append(kind, text, from: start)
        }
    }

    private var isAtTerminator: Bool {
        guard position < source.count else { return true }
        let byte = source[position]
        return Self.isSpace(byte) || ".,|:()".utf8.contains(byte) || has("}}")
    }

    private mutating func lexNumber() {
        let start = position
        if source[position] == UInt8(ascii: "+") || source[position] == UInt8(ascii: "-") { position += 1 }
        while position < source.count {
            let byte = source[position]
            let isSign = byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
            let isExponent = source[position - 1] | 0x20 == UInt8(ascii: "e") && !has("0x", at: start)
            guard Self.isAlphanumeric(byte) || byte == UInt8(ascii: ".") || (isSign && isExponent) else {
                break
            }
            position += 1
        }
        append(.number, decoded(start..<position), from: start)
    }

    private mutating func lexQuoted() {
        let start = position
        position += 1
        var bytes: [UInt8] = []
        while position < source.count, source[position] != UInt8(ascii: "\"") {
            guard source[position] != UInt8(ascii: "\n") else {
                return _ = fail("unterminated quoted string")
            }
            guard appendCharacter(to: &bytes) else {
                return _ = fail(position < source.count ? "invalid syntax" : "unterminated quoted string")
            }
        }
        guard position < source.count else { return _ = fail("unterminated quoted string") }
        position += 1
        append(.string, String(decoding: bytes, as: UTF8.self), from: start)
    }

    private mutating func lexRaw() {
        let start = position
        position += 1
        while position < source.count, source[position] != UInt8(ascii: "`") { position += 1 }
        guard position < source.count else { return _ = fail("unterminated raw quoted string") }
        position += 1
        append(.string, decoded(start + 1..<position - 1), from: start)
    }

    private mutating func lexCharacter() {
        let start = position
        position += 1
        var bytes: [UInt8] = []
        while position < source.count, source[position] != UInt8(ascii: "'") {
            guard source[position] != UInt8(ascii: "\n"), appendCharacter(to: &bytes) else {
                return _ = fail("unterminated character constant")
            }
        }
        guard position < source.count else { return _ = fail("unterminated character constant") }
        position += 1
        let scalars = String(decoding: bytes, as: UTF8.self).unicodeScalars
        guard let scalar = scalars.first, scalars.count == 1 else {
            return _ = fail("malformed character constant: \(decoded(start..<position))")
        }
        append(.character, String(scalar.value), from: start)
    }

    /// One byte or escape of a quoted string; false when the escape is not one.
    private mutating func appendCharacter(to bytes: inout [UInt8]) -> Bool {
        let byte = source[position]
        position += 1
        guard byte == UInt8(ascii: "\\") else {
            bytes.append(byte)
            return true
        }
        guard position < source.count else { return false }
        let escape = source[position]
        position += 1
        let simple: [UInt8: UInt8] = [
            0x61: 7, 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9, 0x76: 11, 0x5c: 0x5c, 0x27: 0x27,
            0x22: 0x22,
        ]
        if let plain = simple[escape] {
            bytes.append(plain)
            return true
        }
        switch escape {
        case UInt8(ascii: "x"):
            guard let value = digits(2, radix: 16) else { return false }
            bytes.append(UInt8(truncatingIfNeeded: value))
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            guard let value = digits(escape == UInt8(ascii: "u") ? 4 : 8, radix: 16),
                let scalar = Unicode.Scalar(value)
            else { return false }
            bytes += Array(String(Character(scalar)).utf8)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            position -= 1
            guard let value = digits(3, radix: 8), value < 256 else { return false }
            bytes.append(UInt8(truncatingIfNeeded: value))
        default: return false
        }
        return true
    }

    private mutating func digits(_ count: Int, radix: Int) -> UInt32? {
        guard position + count <= source.count else { return nil }
        let text = source[position..<position + count]
        guard text.allSatisfy(Self.isAlphanumeric), let value = UInt32(decoded(text.indices), radix: radix)
        else {
            return nil
        }
        position += count
        return value
    }

    private mutating func single(_ kind: Token.Kind) {
        position += 1
        append(kind, decoded(position - 1..<position), from: position - 1)
    }

    private mutating func append(_ kind: Token.Kind, _ text: String, from start: Int, to end: Int? = nil) {
        tokens.append(Token(kind: kind, text: text, position: start, end: end ?? position))
    }

    @discardableResult
    private mutating func fail(_ message: String) -> Bool {
        failed = true
        append(.error, message, from: min(position, source.count))
        return false
    }

    private func has(_ text: String, at offset: Int? = nil) -> Bool {
        let offset = offset ?? position
        let bytes = text.utf8
        return offset + bytes.count <= source.count
            && source[offset..<offset + bytes.count].elementsEqual(bytes)
    }

    private func decoded(_ range: Range<Int>) -> String { String(decoding: source[range], as: UTF8.self) }

    static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
    }
    static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    /// Letters, digits and the underscore; any character beyond ASCII counts as a letter.
    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte == 0x5f || byte >= 0x80 || (0x61...0x7a).contains(byte | 0x20)
    }
    private static func named(_ byte: UInt8) -> String {
        let code = "U+" + hexadecimal(UInt64(byte), width: 4, uppercase: true)
        return (0x20...0x7e).contains(byte) ? "\(code) '\(Character(Unicode.Scalar(byte)))'" : code
    }
}
