/// `--help` and refusals, from the same declarations that parsing uses.
package struct CommandHelp {
    package var command: Command
    /// `swarmctl service create`.
    package var path: String
    package var columns: Int

    package init(command: Command, path: String, columns: Int) {
        (self.command, self.path, self.columns) = (command, path, columns)
    }

    package var usageLine: String { "Usage:  \(path) \(usage)" }

    private var usage: String {
        let hasOptions = command.flags.contains { !$0.isHidden }
        let text = command.usage
        return hasOptions || !text.hasPrefix("[OPTIONS]")
            ? text : text.dropFirst("[OPTIONS]".count).description.trimmed
    }

    package var text: String {
        var text = usageLine.trimmed + "\n\n\(command.summary)\n"
        if !command.aliases.isEmpty {
            let parent = path.split(separator: " ").dropLast().joined(separator: " ")
            text +=
                "\nAliases:\n  "
                + ([path] + command.aliases.map { "\(parent) \($0)" }).joined(separator: ", ") + "\n"
        }
        if command.flags.contains(where: { !$0.isHidden }) {
            text += "\nOptions:\n" + FlagHelp.text(command.flags, columns: columns)
        }
        let shown = command.children.filter { !$0.isHidden }.sorted { $0.name < $1.name }
        if !shown.isEmpty {
            let width = (shown.map(\.name.count).max() ?? 0) + 2
            text += "\nCommands:\n"
            for child in shown {
                text +=
                    "  " + child.name + String(repeating: " ", count: width - child.name.count)
                    + child.summary + "\n"
            }
            text += "\nRun '\(path) COMMAND --help' for more information on a command.\n"
        }
        return text
    }

    /// A flag that cannot be understood.
    package func refusal(_ error: UsageError) -> String {
        "\(error.message)\n\n\(usageLine)\n\nRun '\(path) --help' for more information"
    }

    /// A wrong number of arguments.
    package func refusal(complaint: String) -> String {
        let verb = command.arguments.range.upperBound == Int.max ? "See" : "Run"
        return "swarmctl: '\(path)' \(complaint)\n\n\(usageLine)\n\n\(verb) '\(path) --help' for more information"
    }

    /// A word that is no verb here.
    package func refusal(unknown word: String) -> String {
        // The program itself has too many verbs for its usage to help here.
        let usage = path.contains(" ") ? "Usage:  \(path)\n\n" : ""
        return "swarmctl: unknown command: \(path) \(word)\n\n\(usage)Run '\(path) --help' for more information"
    }
}
