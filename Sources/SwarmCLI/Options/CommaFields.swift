package import SwarmCore

/// One record of comma-separated values (RFC 4180), as long option values are written.
enum CommaFields {
    private static func malformed(_ what: String, _ text: String, at place: String.Index) -> SwarmError {
        let column = text[..<place].utf8.count + 1
        return SwarmError(.invalidArgument, "parse error on line 1, column \(column): \(what)")
    }

    /// Refuses a bare or unfinished quote, and the empty record.
    static func parse(_ text: String) throws(SwarmError) -> [String] {
        guard !text.isEmpty else { throw SwarmError(.invalidArgument, "EOF") }
        var fields: [String] = []
        var rest = Substring(text)
        while true {
            var field = ""
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while true {
                    guard let end = rest.firstIndex(of: "\"") else {
                        throw malformed(
                            "extraneous or missing \" in quoted-field", text,
                            at: rest.isEmpty || !rest.contains("\"") ? text.endIndex : rest.startIndex)
                    }
                    field += rest[..<end]
                    rest = rest[rest.index(after: end)...]
                    guard rest.first == "\"" else { break }
                    field += "\""
                    rest = rest.dropFirst()
                }
                guard rest.isEmpty || rest.first == "," else {
                    throw malformed(
                        "extraneous or missing \" in quoted-field", text,
                        at: rest.isEmpty || !rest.contains("\"") ? text.endIndex : rest.startIndex)
                }
            } else {
                let end = rest.firstIndex(of: ",") ?? rest.endIndex
                guard !rest[..<end].contains("\"") else {
                    throw malformed(
                        "bare \" in non-quoted-field", text, at: rest.firstIndex(of: "\"") ?? text.endIndex)
                }
                field = String(rest[..<end])
                rest = rest[end...]
            }
            fields.append(field)
            guard rest.first == "," else { return fields }
            rest = rest.dropFirst()
        }
    }
}

extension String {
    /// `key` and `value` around the first `=`; the value is nil without one.
    var keyAndValue: (key: String, value: String?) {
        guard let equals = firstIndex(of: "=") else { return (self, nil) }
        return (String(self[..<equals]), String(self[index(after: equals)...]))
    }

    /// Without white space at either end.
    var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}

/// Splits a command line into words as a shell does: quotes, backslashes, no expansion.
package enum ShellWords {
    package static func split(_ text: String) throws(SwarmError) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var rest = text[...]
        while let character = rest.popFirst() {
            switch (quote, character) {
            case ("'", "'"), ("\"", "\""): quote = nil
            case ("'", _): word = (word ?? "") + String(character)
            case (_, "\\"):
                guard let next = rest.popFirst() else { break }
                // Inside double quotes a backslash stands for itself before anything else.
                let keeps = quote == "\"" && !["\"", "\\", "$", "`"].contains(next)
                word = (word ?? "") + (keeps ? "\\" : "") + String(next)
            case ("\"", _): word = (word ?? "") + String(character)
            case (_, "'"), (_, "\""):
                quote = character
                word = word ?? ""
            case (_, _) where character.isWhitespace:
                if let finished = word { words.append(finished) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        guard quote == nil else {
            throw SwarmError(.invalidArgument, "EOF found when expecting closing quote")
        }
        if let finished = word { words.append(finished) }
        return words
    }
}
