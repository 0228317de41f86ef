/// The networks that every node has of its own: no object of the store stands for them.
package enum PredefinedNetwork {
    package static let names = ["bridge", "host", "none"]

    /// 64 hexadecimal digits, as local networks have: the name's own bytes, repeated, so that they stay the same.
    package static func identifier(of name: String) -> String {
        let digits = name.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return String(String(repeating: digits, count: 64 / digits.count + 1).prefix(64))
    }

    /// The name behind a name, an identifier or the beginning of one (12 digits, as lists show them).
    package static func name(_ argument: String) -> String? {
        names.first { name in
            name == argument || (argument.utf8.count >= 12 && identifier(of: name).hasPrefix(argument))
        }
    }
}
