package import SwarmClient
import SwarmCore

/// How many arguments a verb takes.
package struct ArgumentCount: Sendable {
    var range: ClosedRange<Int>

    package static let none = ArgumentCount(range: 0...0)
    package static let any = ArgumentCount(range: 0...Int.max)
    package static func exactly(_ count: Int) -> ArgumentCount { ArgumentCount(range: count...count) }
    package static func atLeast(_ count: Int) -> ArgumentCount { ArgumentCount(range: count...Int.max) }
    package static func atMost(_ count: Int) -> ArgumentCount { ArgumentCount(range: 0...count) }
    package static func between(_ range: ClosedRange<Int>) -> ArgumentCount { ArgumentCount(range: range) }

    /// What is wrong with a number of arguments; nil when nothing is.
    package func complaint(_ count: Int) -> String? {
        guard !range.contains(count) else { return nil }
        func arguments(_ count: Int) -> String { "\(count) argument\(count == 1 ? "" : "s")" }
        if range.upperBound == 0 { return "accepts no arguments" }
        if range.lowerBound == range.upperBound { return "requires \(arguments(range.lowerBound))" }
        if range.upperBound == Int.max { return "requires at least \(arguments(range.lowerBound))" }
        if range.lowerBound == 0 { return "requires at most \(arguments(range.upperBound))" }
        return "requires at least \(range.lowerBound) and at most \(arguments(range.upperBound))"
    }
}

/// A verb, or a noun with verbs under it.
package struct Command: Sendable {
    package typealias Action = @Sendable (Invocation) async throws -> Void

    package var name: String
    package var aliases: [String] = []
    package var summary: String
    /// What follows the name in the usage line.
    package var usage: String
    package var arguments: ArgumentCount
    package var flags: [Flag]
    /// Whether flags may follow the first argument.
    package var isInterspersed = true
    package var isHidden = false
    package var children: [Command] = []
    package var action: Action?

    package init(
        _ name: String, _ summary: String, usage: String = "[OPTIONS]", arguments: ArgumentCount = .none,
        flags: [Flag] = [], action: @escaping Action
    ) {
        (self.name, self.summary, self.usage) = (name, summary, usage)
        (self.arguments, self.flags, self.action) = (arguments, flags, action)
    }

    package init(_ name: String, _ summary: String, children: [Command]) {
        (self.name, self.summary, self.children) = (name, summary, children)
        (usage, arguments, flags) = ("COMMAND", .any, [])
    }

    package func aliased(_ names: String...) -> Command {
        var command = self
        command.aliases += names
        return command
    }
    package func hidden() -> Command {
        var command = self
        command.isHidden = true
        return command
    }
    /// Flags end at the first argument, which begins a command line of its own.
    package func endingFlagsAtArguments() -> Command {
        var command = self
        command.isInterspersed = false
        return command
    }
    /// The same verb in another place, where its other names would mean something else.
    package func named(_ name: String) -> Command {
        var command = self
        (command.name, command.aliases) = (name, [])
        return command
    }

    func child(_ name: String) -> Command? { children.first { $0.name == name || $0.aliases.contains(name) } }
}

/// One run of a verb: its words and the world around it.
package struct Invocation: Sendable {
    /// As the user names it: `swarmctl service create`.
    package var path: String
    package var flags: ParsedFlags
    package var arguments: [String]
    package var client: EngineClient
    package var console: Console
    package var environment: [String: String]

    package func flag(_ name: String) -> String? { flags.text(name) }
    package func isOn(_ name: String) -> Bool { flags.isOn(name) }
    package func list(_ name: String) -> [String] { flags.list(name) }

    /// `--filter` values as pairs.
    package var filters: [(key: String, value: String)] {
        list("filter").map { text in
            let (key, value) = text.keyAndValue
            return (key: key.trimmed.lowercased(), value: (value ?? "").trimmed)
        }
    }
}

/// How a run ends when not with success.
package struct CommandFailure: Error, Sendable, Equatable {
    /// Nothing is printed when empty: everything was said already.
    package var message: String
    package var status: Int32

    package init(_ message: String, status: Int32 = 1) { (self.message, self.status) = (message, status) }

    /// A command line that cannot be understood.
    package static let usageStatus: Int32 = 125
    /// A template that cannot be read.
    package static let templateStatus: Int32 = 64
}

extension SwarmError {
    /// Whether nothing answered at all.
    var isUnreachable: Bool { code == .unavailable && message.hasPrefix("Cannot connect") }
}

/// A verb that, called in this way, only shows how it is called.
struct HelpRequest: Error {}

/// Does the same to each argument, prints each that worked, and fails with all complaints at the end.
package func forEachArgument(
    _ invocation: Invocation, _ body: (String) async throws -> String?
) async throws {
    var complaints: [String] = []
    for argument in invocation.arguments {
        do {
            if let line = try await body(argument) { invocation.console.print(line) }
        } catch let error as CommandFailure {
            complaints.append(error.message)
        } catch let error as SwarmError {
            complaints.append(error.description)
        }
    }
    guard complaints.isEmpty else { throw CommandFailure(complaints.joined(separator: "\n")) }
}
