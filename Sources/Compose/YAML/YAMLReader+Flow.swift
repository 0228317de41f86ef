/// Collections in brackets and braces.
extension YAMLReader {
    /// Reads `[…]` or `{…}` that begins here.
    mutating func flowNode() throws(YAMLProblem) -> Value {
        try enter()
        flowDepth += 1
        defer {
            flowDepth -= 1
            leave()
        }
        return peek() == UInt8(ascii: "[") ? try flowSequence() : try flowMapping()
    }

    private mutating func flowSequence() throws(YAMLProblem) -> Value {
        let start = position
        advance()
        var items: [Value] = []
        while true {
            try skipToFlowContent(closing: "]", from: start)
            if peek() == UInt8(ascii: "]") { break }
            let place = position
            let isExplicit = peek() == UInt8(ascii: "?") && isSpace(1)
            if isExplicit {
                advance()
                try skipToContent(isFlow: true)
            }
            let (value, isPlainMerge) = try flowItem()
            try skipToFlowContent(closing: "]", from: start)
            if peek() == UInt8(ascii: ":") {
                // A single pair without braces.
                advance()
                let key = try flowKey(value, isMerge: isPlainMerge)
                var builder = MappingBuilder()
                builder.add(key, at: place, try flowValue(closing: "]", from: start))
                items.append(try finish(&builder, at: place))
                try skipToFlowContent(closing: "]", from: start)
            } else {
                items.append(value)
            }
            try separator(closing: "]")
        }
        advance()
        return try make(.list(items), at: start)
    }

    private mutating func flowMapping() throws(YAMLProblem) -> Value {
        let start = position
        advance()
        var builder = MappingBuilder()
        while true {
            try skipToFlowContent(closing: "}", from: start)
            if peek() == UInt8(ascii: "}") { break }
            if peek() == UInt8(ascii: "?") && isSpace(1) {
                advance()
                try skipToContent(isFlow: true)
            }
            let place = position
            let (value, isPlainMerge) = try flowItem()
            let key = try flowKey(value, isMerge: isPlainMerge)
            try skipToFlowContent(closing: "}", from: start)
            if peek() == UInt8(ascii: ":") {
                advance()
                builder.add(key, at: place, try flowValue(closing: "}", from: start))
                try skipToFlowContent(closing: "}", from: start)
            } else {
                builder.add(key, at: place, try make(.null, at: place))
            }
            try separator(closing: "}")
        }
        advance()
        return try finish(&builder, at: start)
    }

    private mutating func flowValue(closing: Character, from start: Position) throws(YAMLProblem) -> Value {
        let colon = position
        try skipToFlowContent(closing: closing, from: start)
        if ",]}".utf8.contains(peek()) { return try make(.null, at: colon) }
        return try flowItem().value
    }

    /// Reads one node of a flow collection, and whether it is an unquoted `<<`.
    private mutating func flowItem() throws(YAMLProblem) -> (value: Value, isMerge: Bool) {
        let counted = valueCount
        let start = position
        let properties = try properties()
        if !properties.isEmpty { try skipToContent(isFlow: true) }
        switch peek() {
        case UInt8(ascii: "*"):
            guard properties.isEmpty else { throw problem("an alias has neither anchor nor tag of its own") }
            return (try alias(), false)
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            return (try finish(flowNode(), properties, countedFrom: counted), false)
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            let text = try quotedScalar()
            return (try finish(make(.string(text), at: start), properties, countedFrom: counted), false)
        case UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: ":"):
            guard !properties.isEmpty || (peek() == UInt8(ascii: ":") && !isPlainColon) else {
                if peek() == UInt8(ascii: ":") { break }
                throw problem("did not find expected node content")
            }
            return (try finish(make(.null, at: start), properties, countedFrom: counted, plain: ""), false)
        default: break
        }
        let text = try plainScalar(parentIndent: -1)
        let value = try make(PlainScalar.resolve(text), at: start)
        return (
            try finish(value, properties, countedFrom: counted, plain: text), text == "<<" && properties.isEmpty
        )
    }

    /// Whether a colon here is the first character of a plain scalar.
    private var isPlainColon: Bool { !isSpace(1) && !",[]{}".utf8.contains(peek(1)) }

    private func flowKey(_ value: Value, isMerge: Bool) throws(YAMLProblem) -> Key {
        if isMerge { return Key(text: "<<", isMerge: true) }
        guard let text = value.string else { throw problem(Key.notText(value), at: value.position) }
        return Key(text: text, isMerge: false)
    }

    private mutating func skipToFlowContent(closing: Character, from start: Position) throws(YAMLProblem) {
        try skipToContent(isFlow: true)
        if isAtEnd || isAtDocumentMark {
            throw problem("did not find expected ',' or '\(closing)' to end what began at line \(start.line)")
        }
    }

    private mutating func separator(closing: Character) throws(YAMLProblem) {
        if peek() == UInt8(ascii: ",") {
            advance()
        } else if peek() != closing.asciiValue {
            throw problem("did not find expected ',' or '\(closing)'")
        }
    }
}
