/// Turns progress lines into what is written: redrawn in place on a terminal, only changes elsewhere.
package struct ProgressDisplay: Sendable {
    private let isTerminal: Bool
    private let columns: Int
    private var order: [String] = []
    private var texts: [String: String] = [:]
    private var drawn = 0

    package init(isTerminal: Bool, columns: Int) { (self.isTerminal, self.columns) = (isTerminal, columns) }

    /// The text to write for the newest lines.
    package mutating func show(_ lines: [ProgressLine]) -> String {
        var changed: [String] = []
        for line in lines {
            if texts[line.key] == nil { order.append(line.key) }
            // A bar that is not seen being drawn says no more than its state.
            if texts[line.key] != line.text && !line.text.isEmpty { changed.append(plain(line.text)) }
            texts[line.key] = line.text
        }
        guard isTerminal else { return changed.filter { !$0.hasSuffix(": ") }.map { $0 + "\n" }.joined() }
        // What is said about all stands below the single bars, whichever came first.
        let visible = (order.filter { $0 != "verify" } + order.filter { $0 == "verify" }).compactMap {
            texts[$0]
        }
        // Up to the first line, then each line anew with the rest of it cleared.
        var text = drawn > 0 ? "\u{1b}[\(drawn)A" : ""
        for line in visible { text += String(line.prefix(max(1, columns - 1))) + "\u{1b}[K\n" }
        drawn = visible.count
        return text
    }

    private func plain(_ text: String) -> String {
        guard !isTerminal, text.hasSuffix("]"), let bar = text.lastIndex(of: "[") else { return text }
        return String(text[..<bar]).trimmed
    }
}
