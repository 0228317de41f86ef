/// What a deployment has done so far, for the words of one that fails.
package struct StackAccount: Sendable {
    /// What is being asked for.
    package var current: String?
    /// What the engine refused.
    package var refused: [String] = []
    /// The revision that holds what was asked for, once it is kept.
    package var revision: Int?
    private var done: [String] = []

    package init() {}

    /// The current thing is done.
    package mutating func finish(_ verb: String) {
        if let current { done.append("\(verb) \(current)") }
        current = nil
    }

    /// Why a deployment has ended early, what it had done by then, and how to go on.
    package func words(_ stack: String, _ reason: String) -> String {
        let place = current.map { "\($0): " } ?? ""
        guard !done.isEmpty else { return "stack \(stack): \(place)\(reason)\nNothing was changed." }
        var lines = ["stack \(stack) is deployed in part: \(place)\(reason)", "Done:"]
        lines += done.map { "  \($0)" }
        lines.append("Deploying again goes on from here.")
        if let revision, revision > 1 {
            lines.append("`swarmctl stack rollback \(stack)` goes back to what was before.")
        }
        return lines.joined(separator: "\n")
    }
}
