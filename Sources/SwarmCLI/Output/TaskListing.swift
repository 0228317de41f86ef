import SwarmClient
package import SwarmCore
package import SwarmModel

/// `service ps`, `node ps` and `task ls`.
package struct TaskListing: Sendable {
    /// The longest error shown without `--no-trunc`.
    static let errorColumns = 30

    /// Services and nodes by identifier; those missing are shown by it.
    package var serviceNames: [String: String]
    package var nodeNames: [String: String]
    package var truncates: Bool
    package var now: Timestamp

    package init(
        serviceNames: [String: String], nodeNames: [String: String], truncates: Bool, now: Timestamp
    ) {
        (self.serviceNames, self.nodeNames, self.truncates, self.now) = (
            serviceNames, nodeNames, truncates, now
        )
    }

    /// `web.1`, or `web.<node>` for a global service.
    package func name(_ task: SwarmTask) -> String {
        let service = serviceNames[task.serviceID ?? ""] ?? task.serviceID ?? ""
        if let slot = task.slot, slot != 0 { return "\(service).\(slot)" }
        guard let node = task.nodeID, !node.isEmpty else { return service.isEmpty ? task.id : service }
        return "\(service).\(node)"
    }

    /// - Parameter indents: whether older tasks of a slot hang under its newest, as in the default table.
    package func listing(_ tasks: [SwarmTask], indents: Bool = true) -> Listing {
        var listing = Listing(
            columns: [
                Column("ID", "ID"), Column("Name", "NAME"), Column("Image", "IMAGE"), Column("Node", "NODE"),
                Column("DesiredState", "DESIRED STATE"), Column("CurrentState", "CURRENT STATE"),
                Column("Error", "ERROR"), Column("Ports", "PORTS"),
            ], shown: ["ID", "Name", "Image", "Node", "DesiredState", "CurrentState", "Error", "Ports"],
            quietKey: "FullID", inner: ["FullID"])
        let named = tasks.map { (task: $0, name: name($0)) }.sorted { left, right in
            if left.name != right.name { return NaturalOrder.precedes(left.name, right.name) }
            return (left.task.createdAt, left.task.id) > (right.task.createdAt, right.task.id)
        }
        var previous = ""
        for (task, name) in named {
            // Older tasks of the same slot hang under the newest.
            let isOlder = indents && name == previous
            previous = name
            listing.rows.append(row(task, isOlder ? " \\_ \(name)" : name))
        }
        return listing
    }

    private func row(_ task: SwarmTask, _ name: String) -> [String: JSONValue] {
        let image = task.spec.containerSpec?.image ?? ""
        let age = Age.text(now - task.status.timestamp).lowercasedFirst
        return [
            "ID": .string(truncates ? task.id.shortID : task.id), "FullID": .string(task.id),
            "Name": .string(name),
            "Image": .string(truncates ? ServiceListing.image(image) : image),
            "Node": .string(nodeNames[task.nodeID ?? ""] ?? task.nodeID ?? ""),
            "DesiredState": .string(Self.capitalized(task.desiredState.name)),
            "CurrentState": .string("\(Self.capitalized(task.status.state.name)) \(age) ago"),
            "Error": .string(error(task.status.err ?? "")), "Ports": .string(Self.ports(task)),
        ]
    }

    private func error(_ text: String) -> String {
        guard !text.isEmpty else { return "" }
        return "\"\(truncates ? text.ellipsis(Self.errorColumns) : text)\""
    }

    /// Host-mode ports: `*:8080->80/tcp`.
    private static func ports(_ task: SwarmTask) -> String {
        let texts = (task.status.portStatus.ports ?? []).map {
            "*:\($0.publishedPort ?? 0)->\($0.targetPort ?? 0)/\($0.effectiveProtocol)"
        }
        return texts.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }.joined(separator: ",")
    }

    static func capitalized(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }
}

extension String {
    var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }
}
