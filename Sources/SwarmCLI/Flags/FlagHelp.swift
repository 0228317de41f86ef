/// The flags' part of `--help`, in two columns.
enum FlagHelp {
    /// A line may be this much longer than its share when that avoids a short last line.
    static let slackColumns = 5
    /// The narrowest column of text; below it the text starts on a line of its own.
    static let columnMin = 24
    static let indentOfNarrow = 16

    static func text(_ flags: [Flag], columns: Int) -> String {
        let shown = flags.filter { !$0.isHidden }.sorted { $0.name < $1.name }
        let heads = shown.map { flag in
            let name = (flag.short.map { "  -\($0), --" } ?? "      --") + flag.name
            return flag.kind.typeName.isEmpty ? name : name + " " + flag.kind.typeName
        }
        let widest = heads.map(\.count).max() ?? 0
        let column = widest + 3
        var text = ""
        for (flag, head) in zip(shown, heads) {
            let usage = flag.usage + (flag.defaultText.map { " (default \($0))" } ?? "")
            let padding = String(repeating: " ", count: column - head.count)
            text += head + padding + wrap(usage, indent: column, columns: columns) + "\n"
        }
        return text
    }

    /// Breaks text at spaces so that it fits beside the names.
    static func wrap(_ text: String, indent: Int, columns: Int) -> String {
        var indent = indent
        var lines: [Substring] = []
        if columns - 1 - indent < columnMin {
            indent = indentOfNarrow
            lines.append("")
        }
        // The last column stays free, and so does one more before text is broken at all.
        let width = max(columns - 1 - indent, columnMin)
        for paragraph in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var rest = paragraph
            while rest.count >= width, let space = rest.prefix(width - slackColumns).lastIndex(of: " ") {
                lines.append(rest[..<space])
                rest = rest[rest.index(after: space)...]
            }
            lines.append(rest)
        }
        return lines.joined(separator: "\n" + String(repeating: " ", count: indent))
    }
}
