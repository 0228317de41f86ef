/// Why a text is not YAML, or not YAML that a stack file may hold.
struct YAMLProblem: Error {
    var position: Position
    var message: String
}

/// Reads the first document of a YAML 1.2 text into a tree of values with their places.
///
/// Written for this module rather than taken from a library: it bounds depth and alias expansion while it reads,
/// keeps the place of keys, needs neither Foundation nor C, and follows the go-yaml library where YAML leaves a
/// choice, because that is what Docker reads with. Keys are strings.
struct YAMLReader {
    let file: String
    let bytes: [UInt8]
    var index = 0
    var line = 1
    /// In scalars, from 0.
    var column = 0
    var depth = 0
    var valueCount = 0
    /// How many flow collections are open.
    var flowDepth = 0
    var anchors: [String: (value: Value, size: Int)] = [:]
    var duplicates: [YAMLProblem] = []

    private init(file: String, bytes: [UInt8]) { (self.file, self.bytes) = (file, bytes) }

    /// The first document, nil when there is none but comments; and keys that stand twice in one mapping.
    static func read(
        _ bytes: [UInt8], file: String
    ) throws(YAMLProblem) -> (document: Value?, duplicates: [YAMLProblem]) {
        guard bytes.count <= StackLimits.fileBytesMax else {
            throw YAMLProblem(
                position: Position(file: file),
                message: "the file has \(bytes.count) bytes; at most \(StackLimits.fileBytesMax) are read")
        }
        var reader = YAMLReader(file: file, bytes: bytes)
        try reader.checkText()
        let document = try reader.document()
        return (document, reader.duplicates)
    }

    // MARK: Characters

    /// The byte at an offset from here, 0 past the end.
    func peek(_ offset: Int = 0) -> UInt8 { index + offset < bytes.count ? bytes[index + offset] : 0 }
    var isAtEnd: Bool { index >= bytes.count }

    mutating func advance(_ count: Int = 1) {
        for _ in 0..<count where index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == 0x0a || (byte == 0x0d && peek() != 0x0a) {
                (line, column) = (line + 1, 0)
            } else if byte & 0xc0 != 0x80 {
                column += 1
            }
        }
    }

    static func isBreak(_ byte: UInt8) -> Bool { byte == 0x0a || byte == 0x0d }
    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// White space, a line break or the end.
    func isSpace(_ offset: Int = 0) -> Bool {
        index + offset >= bytes.count || Self.isBlank(peek(offset)) || Self.isBreak(peek(offset))
    }

    var isAtLineEnd: Bool { isAtEnd || Self.isBreak(peek()) }

    var position: Position { Position(file: file, line: line, column: column + 1) }

    func problem(_ message: String, at position: Position? = nil) -> YAMLProblem {
        YAMLProblem(position: position ?? self.position, message: message)
    }

    mutating func skipBlanks() { while Self.isBlank(peek()) { advance() } }

    /// Skips one line break of any kind.
    mutating func skipBreak() {
        if peek() == 0x0d && peek(1) == 0x0a { advance() }
        advance()
    }

    /// Goes to the next character that is neither white space, comment nor line break.
    /// - Parameter isFlow: whether tabs may stand before it on its line.
    mutating func skipToContent(isFlow: Bool = false) throws(YAMLProblem) {
        while !isAtEnd {
            let byte = peek()
            if byte == 0x20 || (byte == 0x09 && (isFlow || !isInIndentation)) {
                advance()
            } else if byte == 0x09 {
                // A tab before nothing is harmless; before content it would be taken for indentation.
                let start = position
                skipBlanks()
                guard isAtLineEnd || peek() == UInt8(ascii: "#") else {
                    throw problem("found character that cannot start any token: a tab cannot indent", at: start)
                }
            } else if Self.isBreak(byte) {
                skipBreak()
            } else if byte == UInt8(ascii: "#") && (index == 0 || isSpace(-1)) {
                while !isAtLineEnd { advance() }
            } else {
                return
            }
        }
    }

    /// Whether only white space is before this place on its line.
    private var isInIndentation: Bool {
        var start = index
        while start > 0 && !Self.isBreak(bytes[start - 1]) {
            start -= 1
            if !Self.isBlank(bytes[start]) { return false }
        }
        return true
    }

    /// Whether `---` or `...` begins here at the first column.
    var isAtDocumentMark: Bool {
        guard column == 0, peek() == UInt8(ascii: "-") || peek() == UInt8(ascii: ".") else { return false }
        return peek(1) == peek() && peek(2) == peek() && isSpace(3)
    }

    // MARK: The document

    /// Refuses what is not UTF-8 text, before anything counts on it.
    private mutating func checkText() throws(YAMLProblem) {
        func line(of index: Int) -> Position {
            Position(file: file, line: 1 + bytes[..<index].count { $0 == 0x0a })
        }
        if String(validating: bytes, as: UTF8.self) == nil {
            throw problem("invalid UTF-8", at: line(of: validPrefix))
        }
        let control = bytes.firstIndex { $0 < 0x20 && $0 != 0x09 && $0 != 0x0a && $0 != 0x0d || $0 == 0x7f }
        if let control { throw problem("control characters are not allowed", at: line(of: control)) }
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { index = 3 }
    }

    /// How many bytes are text before the first that is not.
    private var validPrefix: Int {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var count = 0
        while case .scalarValue(let scalar) = decoder.decode(&iterator) { count += UTF8.width(scalar) }
        return min(count, bytes.count)
    }

    private mutating func document() throws(YAMLProblem) -> Value? {
        try skipToContent()
        while column == 0 && peek() == UInt8(ascii: "%") {
            let start = position
            let text = restOfLine()
            if text.hasPrefix("%YAML") && text.split(separator: " ").dropFirst().first != "1.1" {
                // go-yaml refuses 1.2 as well; we read it.
                guard text.split(separator: " ").dropFirst().first == "1.2" else {
                    throw problem("found incompatible YAML document", at: start)
                }
            }
            try skipToContent()
        }
        if isAtDocumentMark && peek() == UInt8(ascii: "-") { advance(3) }
        try skipToContent()
        if isAtEnd || isAtDocumentMark { return nil }
        let value = try blockNode(parentIndent: -1, allowsCollection: true)
        try skipToContent()
        guard isAtEnd || isAtDocumentMark else { throw problem("did not find expected <document start>") }
        return value
    }

    private mutating func restOfLine() -> String {
        let start = index
        while !isAtLineEnd { advance() }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    // MARK: Counting

    mutating func make(_ content: Value.Content, at position: Position) throws(YAMLProblem) -> Value {
        try count(1, at: position)
        return Value(content, at: position)
    }

    private mutating func count(_ count: Int, at position: Position) throws(YAMLProblem) {
        valueCount += count
        guard valueCount <= StackLimits.valuesMax else {
            throw problem(
                "the file holds more than \(StackLimits.valuesMax) values once its aliases are put in", at: position
            )
        }
    }

    mutating func enter() throws(YAMLProblem) {
        depth += 1
        guard depth <= StackLimits.depthMax else {
            throw problem("exceeded max depth: collections are nested more than \(StackLimits.depthMax) deep")
        }
    }

    mutating func leave() { depth -= 1 }

    // MARK: Properties and aliases

    /// A node's anchor and tag.
    struct Properties {
        var anchor: String?
        var tag: String?
        var isEmpty: Bool { anchor == nil && tag == nil }
    }

    /// Reads `&anchor` and `!tag` in either order, on this line.
    mutating func properties() throws(YAMLProblem) -> Properties {
        var found = Properties()
        while true {
            if peek() == UInt8(ascii: "&") && found.anchor == nil {
                advance()
                found.anchor = try anchorName("anchor")
            } else if peek() == UInt8(ascii: "!") && found.tag == nil {
                let start = index
                while !isSpace() && !(flowDepth > 0 && ",[]{}".utf8.contains(peek())) { advance() }
                found.tag = String(decoding: bytes[start..<index], as: UTF8.self)
            } else {
                return found
            }
            skipBlanks()
        }
    }

    private mutating func anchorName(_ what: String) throws(YAMLProblem) -> String {
        let start = index
        while !isSpace() && !",[]{}".utf8.contains(peek()) && !(peek() == UInt8(ascii: ":") && isSpace(1)) {
            advance()
        }
        guard index > start else {
            throw problem("did not find expected alphabetic or numeric character in the \(what)'s name")
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// Reads `*name` and puts in what it stands for.
    mutating func alias() throws(YAMLProblem) -> Value {
        let start = position
        advance()
        let name = try anchorName("alias")
        guard let (value, size) = anchors[name] else {
            throw problem("unknown anchor '\(name)' referenced", at: start)
        }
        try count(size, at: start)
        return value
    }

    /// Remembers a node that has an anchor, and makes what its tag says of it.
    mutating func finish(
        _ value: Value, _ properties: Properties, countedFrom: Int, plain: String? = nil
    ) throws(YAMLProblem) -> Value {
        var value = value
        if let tag = properties.tag { value = try Tag.apply(tag, to: value, plain: plain) }
        if let anchor = properties.anchor { anchors[anchor] = (value, valueCount - countedFrom) }
        return value
    }
}
