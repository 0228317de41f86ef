/// What a registry asks for in `WWW-Authenticate` (RFC 9110 §11.6.1).
package struct Challenge: Sendable, Equatable {
    /// In lower case: `bearer`, `basic`.
    package var scheme: String
    /// Names in lower case.
    package var parameters: [String: String]

    /// The longest header that is read, in bytes.
    static let bytesMax = 8 << 10

    package init(scheme: String, parameters: [String: String] = [:]) {
        (self.scheme, self.parameters) = (scheme, parameters)
    }

    /// All challenges of all headers, in their order; what breaks the grammar ends the reading of its header.
    package static func parse(_ headers: [String]) -> [Challenge] {
        headers.filter { $0.utf8.count <= bytesMax }.flatMap { header in
            var reader = ChallengeReader(rest: Array(header.utf8)[...])
            return reader.challenges()
        }
    }
}

/// A scanner over one header.
private struct ChallengeReader {
    var rest: ArraySlice<UInt8>

    mutating func challenges() -> [Challenge] {
        var found: [Challenge] = []
        while true {
            skip { $0 == 0x20 || $0 == 0x09 || $0 == 0x2c }
            guard let word = token() else { return found }
            skip { $0 == 0x20 || $0 == 0x09 }
            guard rest.first == 0x3d else {
                found.append(Challenge(scheme: word.lowercased()))
                continue
            }
            // A word before `=` is a parameter of the challenge that came before it.
            rest.removeFirst()
            skip { $0 == 0x20 || $0 == 0x09 }
            guard let value = rest.first == 0x22 ? quoted() : token(), !found.isEmpty else { return found }
            found[found.count - 1].parameters[word.lowercased()] = value
        }
    }

    private mutating func skip(_ isSkipped: (UInt8) -> Bool) { rest = rest.drop(while: isSkipped) }

    private mutating func token() -> String? {
        let word = rest.prefix { byte in
            let isSeparator = byte <= 0x20 || byte >= 0x7f || "()<>@,;:\\\"/[]?={}".utf8.contains(byte)
            return !isSeparator
        }
        guard !word.isEmpty else { return nil }
        rest = rest.dropFirst(word.count)
        return String(decoding: word, as: UTF8.self)
    }

    private mutating func quoted() -> String? {
        rest.removeFirst()
        var text: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case 0x22: return String(decoding: text, as: UTF8.self)
            case 0x5c:
                guard let escaped = rest.popFirst() else { return nil }
                text.append(escaped)
            default: text.append(byte)
            }
        }
        return nil
    }
}
