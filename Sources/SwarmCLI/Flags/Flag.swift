package import SwarmCore

/// Refuses text that is no value of its kind, with the reason alone.
package typealias FlagCheck = @Sendable (String) throws(SwarmError) -> Void

/// What a flag's value may be: how `--help` names it, and what text it accepts.
package struct FlagKind: Sendable {
    /// As `--help` shows it after the flag's name; empty for a switch.
    package var typeName: String
    /// A switch stands alone: `--detach`, `--detach=false`.
    package var isSwitch = false
    /// Whether every occurrence counts, instead of the last.
    package var isRepeatable = false
    package var check: FlagCheck

    package init(
        _ typeName: String, isSwitch: Bool = false, isRepeatable: Bool = false,
        check: @escaping FlagCheck = { _ throws(SwarmError) in }
    ) {
        (self.typeName, self.isSwitch, self.isRepeatable, self.check) = (
            typeName, isSwitch, isRepeatable, check
        )
    }

    /// Why a text is no such value; nil when it is one.
    package func refusal(of text: String) -> SwarmError? {
        do {
            try check(text)
            return nil
        } catch {
            return error
        }
    }

    package static let bool = FlagKind("", isSwitch: true) { text throws(SwarmError) in
        _ = try GoNumber.bool(text)
    }
    package static let string = FlagKind("string")
    package static let command = FlagKind("command") { text throws(SwarmError) in
        _ = try ShellWords.split(text)
    }
    package static let int = FlagKind("int") { text throws(SwarmError) in _ = try GoNumber.int(text) }
    package static let uint = FlagKind("uint") { text throws(SwarmError) in _ = try GoNumber.uint(text) }
    package static let uint32 = FlagKind("uint32") { text throws(SwarmError) in
        guard try GoNumber.uint(text) <= UInt64(UInt32.max) else {
            throw GoNumber.outOfRange("ParseUint", text)
        }
    }
    package static let float = FlagKind("float") { text throws(SwarmError) in _ = try GoNumber.float(text) }
    package static let duration = FlagKind("duration") { text throws(SwarmError) in
        _ = try GoDuration.parse(text)
    }
    /// A duration that may be zero but not negative.
    package static let positiveDuration = FlagKind("duration") { text throws(SwarmError) in
        guard try GoDuration.parse(text) >= 0 else {
            throw SwarmError(.invalidArgument, "duration cannot be negative")
        }
    }
    package static let bytes = FlagKind("bytes") { text throws(SwarmError) in _ = try Size.bytes(text) }
    package static let cpus = FlagKind("decimal") { text throws(SwarmError) in _ = try Size.nanoCPUs(text) }
    package static let filter = FlagKind("filter", isRepeatable: true) { text throws(SwarmError) in
        guard text.contains("=") else {
            throw SwarmError(.invalidArgument, "bad format of filter (expected name=value)")
        }
    }

    /// A repeatable flag whose every value is checked.
    package static func list(
        _ typeName: String = "list", check: @escaping FlagCheck = { _ throws(SwarmError) in }
    ) -> FlagKind {
        FlagKind(typeName, isRepeatable: true, check: check)
    }
}

/// One flag's declaration; parsing and `--help` both read it.
package struct Flag: Sendable {
    package var name: String
    package var short: Character?
    package var kind: FlagKind
    package var usage: String
    /// What holds when the flag is absent, as `--help` shows it.
    package var defaultText: String?
    package var isHidden: Bool
    /// What completion proposes; nil leaves it to the kind and the usage.
    package private(set) var offers: FlagValues?

    package init(
        _ name: String, short: Character? = nil, _ kind: FlagKind, _ usage: String,
        default defaultText: String? = nil,
        hidden: Bool = false
    ) {
        self.name = name
        self.short = short
        self.kind = kind
        self.usage = usage
        self.defaultText = defaultText
        isHidden = hidden
    }

    /// The same flag, whose values are known.
    package func offering(_ values: FlagValues) -> Flag {
        var flag = self
        flag.offers = values
        return flag
    }

    /// As refusals name it: `-p, --publish`.
    var displayName: String { (short.map { "-\($0), " } ?? "") + "--" + name }
}
