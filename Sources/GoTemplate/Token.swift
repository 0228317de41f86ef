/// A word of a template's language.
struct Token {
    enum Kind: Equatable {
        case text, rightDelimiter, space, identifier, field, variable, dot, null, bool, number, character
        case string, pipe, leftParenthesis, rightParenthesis, comma, assign, declare, other, keyword
        case leftDelimiter, end, error
    }

    var kind: Kind
    /// As written, but without quotes or escapes where it is a string; the message where it is an error.
    var text: String
    /// Bytes from the start of the source.
    var position: Int
    var end: Int

    /// How Go names it in a message.
    var described: String {
        switch kind {
        case .end: "EOF"
        case .error: text
        case .keyword, .dot, .null: "<\(text)>"
        default:
            text.unicodeScalars.count > 10
                ? quoted(String(String.UnicodeScalarView(text.unicodeScalars.prefix(10)))) + "..."
                : quoted(text)
        }
    }
}

/// The text in Go's double quotes.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\t": result += "\\t"
        case "\r": result += "\\r"
        case "\u{7}": result += "\\a"
        case "\u{8}": result += "\\b"
        case "\u{c}": result += "\\f"
        case "\u{b}": result += "\\v"
        case let scalar where scalar.value < 0x20 || scalar.value == 0x7f:
            result += "\\x" + hexadecimal(UInt64(scalar.value), width: 2)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

func hexadecimal(_ number: UInt64, width: Int, uppercase: Bool = false) -> String {
    let text = String(number, radix: 16, uppercase: uppercase)
    return String(repeating: "0", count: max(0, width - text.count)) + text
}
