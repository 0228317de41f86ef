/// Where a task is in its life; the order is the law that states only move forward.
package enum TaskState: Int, Sendable, Hashable, Comparable, CaseIterable {
    case new = 0, pending = 64, assigned = 192, accepted = 256, preparing = 320, ready = 384, starting = 448
    case running = 512, complete = 576, shutdown = 640, failed = 704, rejected = 768, remove = 800, orphaned = 832

    package static func < (left: TaskState, right: TaskState) -> Bool { left.rawValue < right.rawValue }

    /// Whether nothing of the task runs any more.
    package var isTerminal: Bool { self >= .complete && self != .remove }

    /// A case's own name; looked up, since lists of tasks have thousands.
    package var name: String { Self.names[self] ?? "\(self)" }
    private static let names = Dictionary(uniqueKeysWithValues: allCases.map { ($0, "\($0)") })
    private static let states = Dictionary(uniqueKeysWithValues: allCases.map { ("\($0)", $0) })

    package init?(name: String) {
        guard let state = Self.states[name] else { return nil }
        self = state
    }
}

extension TaskState: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let state = TaskState(name: text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is not a task state"))
        }
        self = state
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(name)
    }
}
