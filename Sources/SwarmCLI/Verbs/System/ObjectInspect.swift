import SwarmClient
import SwarmCore

/// `swarmctl inspect`: anything by its name.
enum ObjectInspect {
    /// Where each kind of object is asked for, in the order in which a name is looked for.
    private static let places: [(kind: String, path: @Sendable (String) -> String)] = [
        ("container", { "/containers/\($0)/json" }), ("image", { "/images/\($0)/json" }),
        ("network", { "/networks/\($0)" }), ("volume", { "/volumes/\($0)" }), ("service", { "/services/\($0)" }),
        ("task", { "/tasks/\($0)" }), ("node", { "/nodes/\($0)" }), ("secret", { "/secrets/\($0)" }),
        ("config", { "/configs/\($0)" }),
    ]

    static let command = Command(
        "inspect", "Return low-level information on Docker objects", usage: "[OPTIONS] NAME|ID [NAME|ID...]",
        arguments: .atLeast(1),
        flags: [
            Inspection.formatFlag,
            Flag("size", short: "s", .bool, "Display total file sizes if the type is container"),
            Flag("type", .string, "Only inspect objects of the given type")
                .offering(.words(places.map(\.kind))),
        ]
    ) { invocation in
        let kind = invocation.flag("type") ?? ""
        guard kind.isEmpty || places.contains(where: { $0.kind == kind }) else {
            let known = (places.map(\.kind) + ["plugin"]).sorted().map { "\"\($0)\"" }.joined(separator: ", ")
            throw CommandFailure("unknown type: \"\(kind)\": must be one of \(known)")
        }
        try await Inspection.run(invocation) { argument in
            for place in places where kind.isEmpty || place.kind == kind {
                let sized: Query = place.kind == "container" && invocation.isOn("size") ? ["size": "1"] : [:]
                do throws(SwarmError) {
                    return try await invocation.client.json(place.path(argument), sized)
                } catch {
                    // Elsewhere there may be one; and a node in no swarm has containers all the same.
                    guard kind.isEmpty, error.isElsewhere else { throw error }
                }
            }
            throw SwarmError(.notFound, "Error: No such object: \(argument)")
        }
    }
}

extension SwarmError {
    /// Whether something of another kind may still have the name.
    fileprivate var isElsewhere: Bool {
        code == .notFound || code == .invalidArgument || (code == .unavailable && !isUnreachable)
    }
}
