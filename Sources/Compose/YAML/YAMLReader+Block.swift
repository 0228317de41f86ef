/// Collections by indentation.
extension YAMLReader {
    /// A place to come back to.
    private struct Mark {
        var index, line, column, valueCount: Int
    }

    private var mark: Mark { Mark(index: index, line: line, column: column, valueCount: valueCount) }

    private mutating func restore(_ mark: Mark) {
        (index, line, column, valueCount) = (mark.index, mark.line, mark.column, mark.valueCount)
    }

    /// Longest key that may stand before its colon without `?`, in bytes; as in YAML.
    private static let implicitKeyBytesMax = 1024

    private func isIndicator(_ character: Character) -> Bool {
        character.asciiValue == peek() && !isAtEnd && isSpace(1)
    }

    /// Whether nothing but a comment is left on this line.
    private var isLineDone: Bool {
        isAtLineEnd || (peek() == UInt8(ascii: "#") && (index == 0 || isSpace(-1)))
    }

    /// Reads the node that begins here.
    /// - Parameters:
    ///   - parentIndent: the column of the collection around it, -1 for none.
    ///   - allowsCollection: whether a mapping or sequence may begin at this place of the line.
    ///   - isMappingValue: whether a sequence may stand as far left as its parent.
    mutating func blockNode(
        parentIndent: Int, allowsCollection: Bool, isMappingValue: Bool = false
    ) throws(YAMLProblem) -> Value {
        try enter()
        defer { leave() }
        let counted = valueCount
        let start = position
        if isIndicator("-") {
            guard allowsCollection else {
                throw problem("block sequence entries are not allowed in this context")
            }
            return try blockSequence(indent: column)
        }
        if allowsCollection {
            var isKey = isIndicator("?")
            if !isKey { isKey = try peekKey() }
            if isKey { return try blockMapping(indent: column) }
        }
        let properties = try properties()
        if isLineDone && !properties.isEmpty {
            let value = try blockValueBelow(
                parentIndent: parentIndent, isMappingValue: isMappingValue, start: start)
            return try finish(value, properties, countedFrom: counted, plain: value.isNull ? "" : nil)
        }
        return try inlineNode(properties, parentIndent: parentIndent, start: start, counted: counted)
    }

    /// Reads what stands below a key, a dash or a lone tag; null when nothing does.
    private mutating func blockValueBelow(
        parentIndent: Int, isMappingValue: Bool, start: Position
    ) throws(YAMLProblem) -> Value {
        try skipToContent()
        if isAtEnd || isAtDocumentMark { return try make(.null, at: start) }
        if column > parentIndent {
            return try blockNode(parentIndent: parentIndent, allowsCollection: true, isMappingValue: isMappingValue)
        }
        if isMappingValue && column == parentIndent && isIndicator("-") { return try blockSequence(indent: column) }
        return try make(.null, at: start)
    }

    /// Reads a scalar, an alias or a flow collection, which ends what this line may hold.
    private mutating func inlineNode(
        _ properties: Properties, parentIndent: Int, start: Position, counted: Int
    ) throws(YAMLProblem) -> Value {
        let value: Value
        switch peek() {
        case UInt8(ascii: "*"):
            guard properties.isEmpty else { throw problem("an alias has neither anchor nor tag of its own") }
            value = try alias()
        case UInt8(ascii: "|"), UInt8(ascii: ">"):
            let text = try blockScalar(parentIndent: parentIndent)
            return try finish(make(.string(text), at: start), properties, countedFrom: counted)
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            value = try finish(flowNode(), properties, countedFrom: counted)
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            let text = try quotedScalar()
            value = try finish(make(.string(text), at: start), properties, countedFrom: counted)
        default:
            let text = try plainScalar(parentIndent: parentIndent)
            value = try finish(
                make(PlainScalar.resolve(text), at: start), properties, countedFrom: counted, plain: text)
        }
        skipBlanks()
        if isIndicator(":") { throw problem("mapping values are not allowed in this context") }
        guard isLineDone else { throw problem("did not find expected key") }
        return value
    }

    private mutating func blockSequence(indent: Int) throws(YAMLProblem) -> Value {
        let start = position
        try enter()
        defer { leave() }
        var items: [Value] = []
        while !isAtEnd && column == indent && !isAtDocumentMark && isIndicator("-") {
            let place = position
            advance()
            skipBlanks()
            if isLineDone {
                items.append(try blockValueBelow(parentIndent: indent, isMappingValue: false, start: place))
            } else {
                items.append(try blockNode(parentIndent: indent, allowsCollection: true))
            }
            try skipToContent()
        }
        guard isAtEnd || column <= indent else { throw problem("did not find expected '-' indicator") }
        return try make(.list(items), at: start)
    }

    private mutating func blockMapping(indent: Int) throws(YAMLProblem) -> Value {
        let start = position
        try enter()
        defer { leave() }
        var builder = MappingBuilder()
        while !isAtEnd && column == indent && !isAtDocumentMark {
            let keyPosition = position
            var key: Key
            if isIndicator("?") {
                advance()
                try skipToContent()
                key = try explicitKey(parentIndent: indent)
                try skipToContent()
                guard column == indent && isIndicator(":") else {
                    builder.add(key, at: keyPosition, try make(.null, at: keyPosition))
                    continue
                }
            } else {
                guard let found = try scanKey() else {
                    throw problem(isIndicator("-") ? "did not find expected key" : "could not find expected ':'")
                }
                key = found
            }
            let colon = position
            advance()
            skipBlanks()
            let value =
                isLineDone
                ? try blockValueBelow(parentIndent: indent, isMappingValue: true, start: colon)
                : try blockNode(parentIndent: indent, allowsCollection: false, isMappingValue: true)
            builder.add(key, at: keyPosition, value)
            try skipToContent()
        }
        guard isAtEnd || column <= indent else { throw problem("did not find expected key") }
        return try finish(&builder, at: start)
    }

    /// Resolves merge keys and notes keys that stand twice.
    mutating func finish(_ builder: inout MappingBuilder, at start: Position) throws(YAMLProblem) -> Value {
        let entries = try builder.finish()
        duplicates += builder.duplicates
        return try make(.map(entries), at: start)
    }

    private mutating func explicitKey(parentIndent: Int) throws(YAMLProblem) -> Key {
        let place = position
        let value = try blockNode(parentIndent: parentIndent, allowsCollection: true)
        guard let text = value.string else { throw problem(Key.notText(value), at: place) }
        return Key(text: text, isMerge: false)
    }

    /// Whether a key with its colon begins here.
    private mutating func peekKey() throws(YAMLProblem) -> Bool {
        let here = mark
        defer { restore(here) }
        return try scanKey() != nil
    }

    /// Reads a key up to its colon; stays where it was and gives nil when there is none on this line.
    private mutating func scanKey() throws(YAMLProblem) -> Key? {
        let here = mark
        let counted = valueCount
        let start = position
        let properties = try properties()
        var value: Value?
        var plain: String?
        switch peek() {
        case UInt8(ascii: "*"): value = try alias()
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            if isQuoteClosedOnLine() { value = try make(.string(quotedScalar()), at: start) }
        case UInt8(ascii: "|"), UInt8(ascii: ">"), UInt8(ascii: "["), UInt8(ascii: "{"): break
        default:
            if canStartPlain || isIndicator(":") {
                let text = plainLine()
                plain = text
                value = try make(PlainScalar.resolve(text), at: start)
            }
        }
        skipBlanks()
        guard let found = value, isIndicator(":"), index - here.index <= Self.implicitKeyBytesMax else {
            restore(here)
            return nil
        }
        let finished = try finish(found, properties, countedFrom: counted, plain: plain)
        if plain == "<<" && properties.tag == nil { return Key(text: "<<", isMerge: true) }
        guard let text = finished.string else { throw problem(Key.notText(finished), at: start) }
        return Key(text: text, isMerge: false)
    }
}

/// A mapping's key; keys are strings.
struct Key {
    var text: String
    /// `<<`, unquoted.
    var isMerge: Bool

    static func notText(_ value: Value) -> String {
        if let text = value.text { return "the key \(text) is \(value.kindName): put it in quotes" }
        return "a key must be a string, not \(value.kindName)"
    }
}

/// Gathers a mapping's entries.
struct MappingBuilder {
    private var entries: [Value.Entry] = []
    private var places: [String: Int] = [:]
    private var merges: [Value] = []
    private(set) var duplicates: [YAMLProblem] = []
    private var mergePosition: Position?

    mutating func add(_ key: Key, at position: Position, _ value: Value) {
        if key.isMerge {
            if let mergePosition { return note("<<", at: position, first: mergePosition) }
            mergePosition = position
            merges.append(value)
        } else if let place = places[key.text] {
            note(key.text, at: position, first: entries[place].keyPosition)
        } else {
            places[key.text] = entries.count
            entries.append(Value.Entry(key: key.text, keyPosition: position, value: value))
        }
    }

    private mutating func note(_ key: String, at position: Position, first: Position) {
        duplicates.append(
            YAMLProblem(position: position, message: "mapping key \"\(key)\" already defined at line \(first.line)")
        )
    }

    /// The entries, with those that merge keys bring where the mapping has none of its own.
    mutating func finish() throws(YAMLProblem) -> [Value.Entry] {
        for merge in merges {
            for source in merge.list ?? [merge] {
                guard let brought = source.entries else {
                    throw YAMLProblem(
                        position: source.position,
                        message: "map merge requires map or sequence of maps as the value")
                }
                for entry in brought where places[entry.key] == nil {
                    places[entry.key] = entries.count
                    entries.append(entry)
                }
            }
        }
        return entries
    }
}
