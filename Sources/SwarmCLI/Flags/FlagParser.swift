import SwarmClient
import SwarmCore

/// What a command line said: flags with their texts, and the words that are no flags.
package struct ParsedFlags: Sendable {
    /// Texts by flag name, in the order given; every one passed its flag's check.
    package private(set) var texts: [String: [String]] = [:]
    package internal(set) var arguments: [String] = []
    package internal(set) var wantsHelp = false

    package init() {}

    package mutating func set(_ name: String, _ text: String) { texts[name, default: []].append(text) }

    package func isSet(_ name: String) -> Bool { texts[name] != nil }
    package func isAnySet(_ names: [String]) -> Bool { names.contains(where: isSet) }
    /// The last text given; nil when absent.
    package func text(_ name: String) -> String? { texts[name]?.last }
    package func list(_ name: String) -> [String] { texts[name] ?? [] }
    /// A switch's state; false when absent.
    package func isOn(_ name: String) -> Bool { text(name).flatMap { try? GoNumber.bool($0) } ?? false }
}

/// Why a command line cannot be understood.
package struct UsageError: Error, Sendable, Equatable {
    package var message: String
    package init(_ message: String) { self.message = message }
}

/// Parses flags as the docker client does, which follows Go's pflag.
///
/// A drop-in must take the very same words: `--detach=false`, `-dq`, `-p8080:80`, a switch that never takes the
/// next word, `service create` whose flags end at the image. swift-argument-parser differs in each of these
/// (no `--flag=false` for switches, no joined short values, refusals in its own words), so the parser is ours.
package struct FlagParser {
    let flags: [Flag]
    /// Whether flags may follow the first argument.
    let isInterspersed: Bool

    package init(_ flags: [Flag], interspersed: Bool = true) {
        (self.flags, isInterspersed) = (flags, interspersed)
    }

    package func parse(_ words: [String]) throws(UsageError) -> ParsedFlags {
        var parsed = ParsedFlags()
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                parsed.arguments += rest
                return parsed
            }
            if word.hasPrefix("--") {
                try parseLong(word, &rest, into: &parsed)
            } else if word.hasPrefix("-"), word != "-" {
                try parseShort(word, &rest, into: &parsed)
            } else {
                parsed.arguments.append(word)
                if !isInterspersed {
                    parsed.arguments += rest
                    return parsed
                }
            }
            if parsed.wantsHelp { return parsed }
        }
        return parsed
    }

    private func parseLong(
        _ word: String, _ rest: inout ArraySlice<String>, into parsed: inout ParsedFlags
    ) throws(UsageError) {
        let body = word.dropFirst(2)
        let equals = body.firstIndex(of: "=")
        let name = String(body[..<(equals ?? body.endIndex)])
        guard !name.isEmpty, !name.hasPrefix("-") else { throw UsageError("bad flag syntax: \(word)") }
        guard let flag = flags.first(where: { $0.name == name }) else {
            if name == "help" {
                parsed.wantsHelp = true
                return
            }
            throw UsageError("unknown flag: --\(name)")
        }
        if let equals {
            try set(flag, String(body[body.index(after: equals)...]), into: &parsed)
        } else if flag.kind.isSwitch {
            try set(flag, "true", into: &parsed)
        } else if let value = rest.popFirst() {
            try set(flag, value, into: &parsed)
        } else {
            throw UsageError("flag needs an argument: --\(name)")
        }
    }

    private func parseShort(
        _ word: String, _ rest: inout ArraySlice<String>, into parsed: inout ParsedFlags
    ) throws(UsageError) {
        var letters = word.dropFirst()
        while let letter = letters.first {
            let group = "-" + letters
            letters = letters.dropFirst()
            guard let flag = flags.first(where: { $0.short == letter }) else {
                if letter == "h" {
                    parsed.wantsHelp = true
                    return
                }
                throw UsageError("unknown shorthand flag: '\(letter)' in \(group)")
            }
            if letters.first == "=" {
                return try set(flag, String(letters.dropFirst()), into: &parsed)
            }
            if flag.kind.isSwitch {
                try set(flag, "true", into: &parsed)
                continue
            }
            if !letters.isEmpty { return try set(flag, String(letters), into: &parsed) }
            guard let value = rest.popFirst() else {
                throw UsageError("flag needs an argument: '\(letter)' in \(group)")
            }
            return try set(flag, value, into: &parsed)
        }
    }

    private func set(_ flag: Flag, _ text: String, into parsed: inout ParsedFlags) throws(UsageError) {
        if let refusal = flag.kind.refusal(of: text) {
            let quoted = JSONValue.string(text).compact
            throw UsageError("invalid argument \(quoted) for \"\(flag.displayName)\" flag: \(refusal.message)")
        }
        parsed.set(flag.name, text)
    }
}
