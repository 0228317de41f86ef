/// Text: plain, in quotes, and in blocks.
extension YAMLReader {
    // MARK: Plain

    /// Whether a plain scalar may begin with the character here.
    var canStartPlain: Bool {
        if isAtLineEnd || Self.isBlank(peek()) { return false }
        switch Character(UnicodeScalar(peek())) {
        case "-", "?", ":":
            return !isSpace(1) && !(flowDepth > 0 && ",[]{}".utf8.contains(peek(1)))
        case ",", "[", "]", "{", "}", "#", "&", "*", "!", "|", ">", "'", "\"", "%", "@", "`": return false
        default: return true
        }
    }

    /// Reads a plain scalar to the end of its part on this line.
    mutating func plainLine() -> String {
        let start = index
        var end = index
        while !isAtLineEnd {
            let byte = peek()
            if byte == UInt8(ascii: ":") && (isSpace(1) || (flowDepth > 0 && ",[]{}".utf8.contains(peek(1)))) {
                break
            }
            if byte == UInt8(ascii: "#") && index > start && isSpace(-1) { break }
            if flowDepth > 0 && ",[]{}".utf8.contains(byte) { break }
            advance()
            if !Self.isBlank(byte) { end = index }
        }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    /// Reads a plain scalar over all its lines, folded.
    mutating func plainScalar(parentIndent: Int) throws(YAMLProblem) -> String {
        guard canStartPlain else {
            throw problem(
                ",]}".utf8.contains(peek())
                    ? "did not find expected node content" : "found character that cannot start any token")
        }
        var text = plainLine()
        while isAtLineEnd && !isAtEnd {
            let here = (index, line, column)
            var breaks = 0
            while !isAtEnd && (Self.isBreak(peek()) || Self.isBlank(peek())) {
                if Self.isBreak(peek()) {
                    breaks += 1
                    skipBreak()
                } else {
                    advance()
                }
            }
            let isContinued =
                !isAtEnd && !isAtDocumentMark && peek() != UInt8(ascii: "#")
                && (flowDepth > 0 ? !",[]{}:".utf8.contains(peek()) || isColonInside : column > parentIndent)
            guard isContinued else {
                (index, line, column) = here
                break
            }
            let more = plainLine()
            guard !more.isEmpty else {
                (index, line, column) = here
                break
            }
            text += (breaks == 1 ? " " : String(repeating: "\n", count: breaks - 1)) + more
        }
        return text
    }

    private var isColonInside: Bool {
        peek() == UInt8(ascii: ":") && !isSpace(1) && !",[]{}".utf8.contains(peek(1))
    }

    // MARK: In quotes

    /// Whether the quote that begins here ends on the same line.
    func isQuoteClosedOnLine() -> Bool {
        let quote = peek()
        var offset = 1
        while index + offset < bytes.count && !Self.isBreak(peek(offset)) {
            if quote == UInt8(ascii: "\"") && peek(offset) == UInt8(ascii: "\\") {
                offset += 2
            } else if peek(offset) == quote {
                guard quote == UInt8(ascii: "'") && peek(offset + 1) == quote else {
                    return true
                }
                offset += 2
            } else {
                offset += 1
            }
        }
        return false
    }

    mutating func quotedScalar() throws(YAMLProblem) -> String {
        let start = position
        let quote = peek()
        let isDouble = quote == UInt8(ascii: "\"")
        advance()
        var text: [UInt8] = []
        // Bytes that folding must not take for trailing white space: what escapes brought.
        var kept = 0
        while true {
            guard !isAtEnd else {
                throw problem("found unexpected end of stream in the quotes that began at line \(start.line)")
            }
            if isAtDocumentMark { throw problem("found unexpected document indicator in quotes") }
            let byte = peek()
            if byte == quote {
                advance()
                if isDouble || peek() != quote { break }
                text.append(quote)
                advance()
            } else if isDouble && byte == UInt8(ascii: "\\") {
                advance()
                if Self.isBreak(peek()) {
                    skipBreak()
                    skipBlanks()
                } else {
                    text += Array(String(try escape()).utf8)
                }
                kept = text.count
            } else if Self.isBreak(byte) {
                while text.count > kept, let last = text.last, Self.isBlank(last) { text.removeLast() }
                text += foldedBreaks()
                kept = text.count
            } else {
                text.append(byte)
                advance()
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads line breaks within quotes: one is a space, each further one a line break.
    private mutating func foldedBreaks() -> [UInt8] {
        var breaks = 0
        while Self.isBreak(peek()) && !isAtEnd {
            skipBreak()
            breaks += 1
            skipBlanks()
        }
        return breaks == 1 ? [0x20] : Array(repeating: 0x0a, count: breaks - 1)
    }

    private mutating func escape() throws(YAMLProblem) -> Character {
        let simple: [UInt8: Character] = [
            UInt8(ascii: "0"): "\0", UInt8(ascii: "a"): "\u{07}", UInt8(ascii: "b"): "\u{08}",
            UInt8(ascii: "t"): "\t", 0x09: "\t", UInt8(ascii: "n"): "\n", UInt8(ascii: "v"): "\u{0b}",
            UInt8(ascii: "f"): "\u{0c}", UInt8(ascii: "r"): "\r", UInt8(ascii: "e"): "\u{1b}",
            0x20: " ", UInt8(ascii: "\""): "\"", UInt8(ascii: "/"): "/", UInt8(ascii: "\\"): "\\",
            UInt8(ascii: "N"): "\u{85}", UInt8(ascii: "_"): "\u{a0}", UInt8(ascii: "L"): "\u{2028}",
            UInt8(ascii: "P"): "\u{2029}",
        ]
        let start = position
        let byte = peek()
        advance()
        if let character = simple[byte] { return character }
        let digits: [UInt8: Int] = [UInt8(ascii: "x"): 2, UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8]
        guard let count = digits[byte] else { throw problem("found unknown escape character", at: start) }
        var code: UInt32 = 0
        for _ in 0..<count {
            guard let digit = Character(UnicodeScalar(peek())).hexDigitValue, peek() < 0x80 else {
                throw problem("did not find expected hexadecimal number", at: start)
            }
            code = code << 4 | UInt32(digit)
            advance()
        }
        guard let scalar = UnicodeScalar(code) else {
            throw problem("found invalid Unicode character escape code", at: start)
        }
        return Character(scalar)
    }

    // MARK: Blocks

    private struct BlockHeader {
        var isLiteral: Bool
        /// `-` -1, none 0, `+` 1.
        var chomping = 0
        var increment: Int?
    }

    private mutating func blockHeader() throws(YAMLProblem) -> BlockHeader {
        var header = BlockHeader(isLiteral: peek() == UInt8(ascii: "|"))
        advance()
        for _ in 0..<2 {
            switch peek() {
            case UInt8(ascii: "+"): header.chomping = 1
            case UInt8(ascii: "-"): header.chomping = -1
            case UInt8(ascii: "1")...UInt8(ascii: "9"): header.increment = Int(peek() - UInt8(ascii: "0"))
            case UInt8(ascii: "0"):
                throw problem("found an indentation indicator equal to 0")
            default: continue
            }
            advance()
        }
        skipBlanks()
        if peek() == UInt8(ascii: "#") && isSpace(-1) { while !isAtLineEnd { advance() } }
        guard isAtLineEnd else { throw problem("did not find expected comment or line break") }
        if !isAtEnd { skipBreak() }
        return header
    }

    /// Reads `|` or `>` and the lines below.
    mutating func blockScalar(parentIndent: Int) throws(YAMLProblem) -> String {
        let header = try blockHeader()
        let base = max(parentIndent, 0)
        var indent = header.increment.map { parentIndent >= 0 ? base + $0 : $0 } ?? 0
        var text: [UInt8] = []
        var leadingBreak = false
        var trailingBreaks = 0
        var wasIndented = false
        try skipEmptyLines(&indent, minimum: parentIndent + 1, isKnown: header.increment != nil, &trailingBreaks)
        while column == indent && !isAtEnd && !isAtDocumentMark {
            let isIndented = Self.isBlank(peek())
            if leadingBreak {
                if !header.isLiteral && !wasIndented && !isIndented {
                    if trailingBreaks == 0 { text.append(0x20) }
                } else {
                    text.append(0x0a)
                }
            }
            text += Array(repeating: 0x0a, count: trailingBreaks)
            trailingBreaks = 0
            wasIndented = isIndented
            let start = index
            while !isAtLineEnd { advance() }
            text += bytes[start..<index]
            leadingBreak = !isAtEnd
            if !isAtEnd { skipBreak() }
            try skipEmptyLines(&indent, minimum: 0, isKnown: true, &trailingBreaks)
        }
        if header.chomping >= 0 && leadingBreak { text.append(0x0a) }
        if header.chomping > 0 { text += Array(repeating: 0x0a, count: trailingBreaks) }
        return String(decoding: text, as: UTF8.self)
    }

    /// Skips indentation and empty lines; finds the indentation out where the header does not say it.
    private mutating func skipEmptyLines(
        _ indent: inout Int, minimum: Int, isKnown: Bool, _ breaks: inout Int
    ) throws(YAMLProblem) {
        var widest = 0
        while true {
            while (!isKnown || column < indent) && peek() == 0x20 { advance() }
            widest = max(widest, column)
            if !isKnown && peek() == 0x09 && column < max(minimum, 1) {
                throw problem("found a tab character where an indentation space is expected")
            }
            guard Self.isBreak(peek()) && !isAtEnd else { break }
            skipBreak()
            breaks += 1
        }
        if !isKnown { indent = max(widest, minimum, 1) }
    }
}
