/// Files of variables, in Docker's plain grammar and in the specification's.
enum EnvironmentFile {
    typealias Entry = (name: String, value: String?)

    struct Problem: Error {
        /// From 1.
        var line: Int
        var message: String
    }

    /// `NAME=value` lines without quotes or variables; `NAME` alone is looked up by the caller.
    static func plain(_ bytes: [UInt8]) throws(Problem) -> [Entry] {
        var entries: [Entry] = []
        var body = bytes[...]
        if body.starts(with: [0xef, 0xbb, 0xbf]) { body = body.dropFirst(3) }
        for (index, raw) in body.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            let raw = raw.last == 0x0d ? raw.dropLast() : raw
            guard let line = String(validating: raw, as: UTF8.self) else {
                throw Problem(
                    line: index + 1,
                    message:
                        "invalid utf8 bytes at line \(index + 1): [\(raw.map(String.init).joined(separator: " "))]")
            }
            let text = line.drop { $0.isWhitespace }
            guard let first = text.first, first != "#" else { continue }
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0]
            guard !name.contains(where: \.isWhitespace) else {
                throw Problem(line: index + 1, message: "variable '\(name)' contains whitespaces")
            }
            guard !name.isEmpty else {
                throw Problem(line: index + 1, message: "no variable name on line '\(text)'")
            }
            entries.append((String(name), parts.count == 2 ? String(parts[1]) : nil))
        }
        return entries
    }

    /// The grammar of `.env`: `export`, comments, quotes over several lines, escapes, and variables of the
    /// environment and of lines above.
    static func dotenv(_ bytes: [UInt8], variables: [String: String]) throws(Problem) -> [Entry] {
        guard var text = String(validating: bytes, as: UTF8.self) else {
            throw Problem(line: 1, message: "is not UTF-8 text")
        }
        if text.unicodeScalars.first == "\u{feff}" { text.unicodeScalars.removeFirst() }
        var reader = DotenvReader(text: Array(text.unicodeScalars), known: variables)
        return try reader.entries()
    }
}

/// Reads `.env` text.
private struct DotenvReader {
    let text: [UnicodeScalar]
    /// What a variable may refer to.
    var known: [String: String]
    /// What no line changes: the environment's.
    private let given: Set<String>
    private var index = 0
    private var line = 1

    init(text: [UnicodeScalar], known: [String: String]) {
        (self.text, self.known, given) = (text, known, Set(known.keys))
    }

    private var here: UnicodeScalar? { index < text.count ? text[index] : nil }

    private mutating func advance() {
        if here == "\n" { line += 1 }
        index += 1
    }

    private mutating func skipBlanks() { while here == " " || here == "\t" || here == "\r" { advance() } }

    private mutating func skipLine() { while here != nil && here != "\n" { advance() } }

    mutating func entries() throws(EnvironmentFile.Problem) -> [EnvironmentFile.Entry] {
        var result: [EnvironmentFile.Entry] = []
        while here != nil {
            skipBlanks()
            if here == "\n" || here == "#" || here == nil {
                skipLine()
                advance()
                continue
            }
            var name = word()
            if name == "export", here == " " || here == "\t" {
                skipBlanks()
                name = word()
            }
            guard !name.isEmpty else { throw problem("a variable's name is expected") }
            skipBlanks()
            guard here == "=" || here == ":" else {
                guard here == nil || here == "\n" || here == "#" else {
                    throw problem("variable '\(name)' contains whitespaces")
                }
                skipLine()
                result.append((name, nil))
                continue
            }
            advance()
            skipBlanks()
            let value = try value()
            if !given.contains(name) { known[name] = value }
            result.append((name, value))
        }
        return result
    }

    private func problem(_ message: String) -> EnvironmentFile.Problem {
        EnvironmentFile.Problem(line: line, message: message)
    }

    private mutating func word() -> String {
        var word = ""
        while let scalar = here,
            scalar == "_" || scalar == "." || scalar == "-" || scalar.properties.isAlphabetic
                || ("0"..."9").contains(scalar)
        {
            word.unicodeScalars.append(scalar)
            advance()
        }
        return word
    }

    private mutating func value() throws(EnvironmentFile.Problem) -> String {
        guard let quote = here, quote == "\"" || quote == "'" else {
            var raw = ""
            while let scalar = here, scalar != "\n" {
                if scalar == "#" && (raw.isEmpty || raw.last?.isWhitespace == true) { break }
                raw.unicodeScalars.append(scalar)
                advance()
            }
            skipLine()
            while raw.last?.isWhitespace == true { raw.removeLast() }
            return try substitute(raw)
        }
        let start = line
        advance()
        var raw = ""
        while let scalar = here, scalar != quote {
            advance()
            if scalar == "\\" && quote == "\"", let escaped = here {
                raw += Self.unescaped(escaped)
                advance()
            } else {
                raw.unicodeScalars.append(scalar)
            }
        }
        guard here == quote else {
            throw EnvironmentFile.Problem(line: start, message: "the quotes that begin here are never closed")
        }
        advance()
        skipLine()
        return quote == "'" ? raw : try substitute(raw)
    }

    private static func unescaped(_ scalar: UnicodeScalar) -> String {
        switch scalar {
        case "n": "\n"
        case "r": "\r"
        case "t": "\t"
        // Two dollars are one after the variables are put in.
        case "$": "$$"
        case "\"", "\\": String(scalar)
        default: "\\" + String(scalar)
        }
    }

    private func substitute(_ raw: String) throws(EnvironmentFile.Problem) -> String {
        var interpolation = Interpolation(.specification, known)
        do throws(Interpolation.Problem) {
            return try interpolation.substitute(raw)
        } catch {
            throw problem(error.message)
        }
    }
}
