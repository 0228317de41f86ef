import SwarmClient
package import SwarmCore
package import SwarmModel

/// `swarmctl node …`.
enum NodeVerbs {
    static let command = Command(
        "node", "Manage Swarm nodes", children: [demote, inspect, list, processes, promote, remove, update])

    static let list = Command(
        "ls", "List nodes in the swarm", flags: [ListFlags.filter, ListFlags.format, ListFlags.quiet]
    ) { invocation in
        let nodes = try await invocation.client.nodes(filters: invocation.filters)
        let isQuiet = invocation.isOn("quiet")
        let own = isQuiet || nodes.isEmpty ? "" : try await invocation.client.info().swarm?.nodeID ?? ""
        let cluster =
            isQuiet || invocation.flag("format") == nil ? nil : try await invocation.client.cluster()
        let listing = NodeListing.listing(nodes, own: own, trust: cluster?.tlsInfo)
        invocation.console.write(try listing.render(format: invocation.flag("format"), quiet: isQuiet))
    }.aliased("list")

    static let inspect = Command(
        "inspect", "Display detailed information on one or more nodes",
        usage: "[OPTIONS] self|NODE [NODE...]",
        arguments: .atLeast(1),
        flags: [
            Inspection.formatFlag, Flag("pretty", .bool, "Print the information in a human friendly format"),
        ]
    ) { invocation in
        let client = invocation.client
        guard invocation.isOn("pretty") else {
            return try await Inspection.run(invocation) { argument in
                try await client.json("/nodes/" + (try await resolve(argument, client)))
            }
        }
        var texts: [String] = []
        for argument in invocation.arguments {
            texts.append(NodeDescriptionText.text(try await client.node(try await resolve(argument, client))))
        }
        invocation.console.write(texts.joined(separator: "\n"))
    }

    static let processes = Command(
        "ps", "List tasks running on one or more nodes, defaults to current node",
        usage: "[OPTIONS] [NODE...]",
        arguments: .any, flags: TaskVerbs.listFlags
    ) { invocation in
        let client = invocation.client
        let arguments = invocation.arguments.isEmpty ? ["self"] : invocation.arguments
        var (tasks, complaints): ([SwarmTask], [String]) = ([], [])
        for argument in arguments {
            do {
                let node = try await client.node(try await resolve(argument, client))
                tasks += try await client.tasks(filters: invocation.filters + [(key: "node", value: node.id)])
            } catch let error as SwarmError {
                complaints.append(error.description)
            }
        }
        if complaints.isEmpty || !tasks.isEmpty { try await TaskVerbs.show(tasks, invocation) }
        guard complaints.isEmpty else { throw CommandFailure(complaints.joined(separator: "\n")) }
    }

    static let promote = Command(
        "promote", "Promote one or more nodes to manager in the swarm", usage: "NODE [NODE...]",
        arguments: .atLeast(1)
    ) { invocation in
        try await setRole("manager", invocation) { "Node \($0) promoted to a manager in the swarm." }
    }

    static let demote = Command(
        "demote", "Demote one or more nodes from manager in the swarm", usage: "NODE [NODE...]",
        arguments: .atLeast(1)
    ) { invocation in
        try await setRole("worker", invocation) { "Manager \($0) demoted in the swarm." }
    }

    private static func setRole(
        _ role: String, _ invocation: Invocation, done: @escaping @Sendable (String) -> String
    ) async throws {
        try await forEachArgument(invocation) { argument in
            let node = try await invocation.client.node(argument)
            guard node.spec.role != role else { return "Node \(node.id) is already a \(role)." }
            var spec = node.spec
            spec.role = role
            try await invocation.client.updateNode(node, to: spec)
            return done(argument)
        }
    }

    static let update = Command(
        "update", "Update a node", usage: "[OPTIONS] NODE", arguments: .exactly(1),
        flags: [
            Flag("availability", .string, "Availability of the node (\"active\", \"pause\", \"drain\")"),
            Flag("label-add", ServiceFlags.labels, "Add or update a node label (\"key=value\")"),
            Flag("label-rm", .list(), "Remove a node label if exists"),
            Flag("role", .string, "Role of the node (\"worker\", \"manager\")"),
        ]
    ) { invocation in
        let node = try await invocation.client.node(invocation.arguments[0])
        let spec = try NodeChange.apply(invocation.flags, to: node.spec)
        try await invocation.client.updateNode(node, to: spec)
        invocation.console.print(invocation.arguments[0])
    }

    static let remove = Command(
        "rm", "Remove one or more nodes from the swarm", usage: "[OPTIONS] NODE [NODE...]",
        arguments: .atLeast(1),
        flags: [Flag("force", short: "f", .bool, "Force remove a node from the swarm")]
    ) { invocation in
        try await forEachArgument(invocation) { argument in
            try await invocation.client.removeNode(argument, force: invocation.isOn("force"))
            return argument
        }
    }.aliased("remove")

    /// `self` means the node that answers.
    static func resolve(_ argument: String, _ client: EngineClient) async throws(SwarmError) -> String {
        guard argument == "self" else { return argument }
        let id = try await client.info().swarm?.nodeID ?? ""
        // Asking for the list makes the engine say why there is no such node.
        if id.isEmpty { _ = try await client.nodes() }
        return id
    }
}

/// What `node update` changes.
package enum NodeChange {
    package static func apply(_ flags: ParsedFlags, to old: NodeSpec) throws(SwarmError) -> NodeSpec {
        var spec = old
        if let role = flags.text("role") { spec.role = role }
        if let availability = flags.text("availability") { spec.availability = availability }
        spec.labels.merge(ServiceCreation.pairs(flags.list("label-add"))) { $1 }
        for key in flags.list("label-rm") {
            guard spec.labels.removeValue(forKey: key) != nil else {
                throw SwarmError(.invalidArgument, "key \(key) doesn't exist in node's labels")
            }
        }
        return spec
    }
}

/// `node ls`.
package enum NodeListing {
    package static func listing(_ nodes: [Node], own: String, trust: TLSInfo?) -> Listing {
        var listing = Listing(
            columns: [
                Column("ID", "ID"), Column("Hostname", "HOSTNAME"), Column("Status", "STATUS"),
                Column("Availability", "AVAILABILITY"), Column("ManagerStatus", "MANAGER STATUS"),
                Column("EngineVersion", "ENGINE VERSION"), Column("TLSStatus", "TLS STATUS"),
                Column("Self", ""),
            ], shown: ["Marked", "Hostname", "Status", "Availability", "ManagerStatus", "EngineVersion"],
            inner: ["Marked"])
        listing.columns.append(Column("Marked", "ID"))
        let sorted = nodes.sorted {
            NaturalOrder.precedes($0.description.hostname ?? "", $1.description.hostname ?? "")
        }
        listing.rows = sorted.map { node in
            let reachability = node.managerStatus.map { $0.leader == true ? "leader" : $0.reachability } ?? ""
            return [
                "ID": .string(node.id), "Marked": .string(node.id + (node.id == own ? " *" : "  ")),
                "Self": .bool(node.id == own), "Hostname": .string(node.description.hostname ?? ""),
                "Status": .string(TaskListing.capitalized(node.status.state)),
                "Availability": .string(TaskListing.capitalized(node.spec.availability)),
                "ManagerStatus": .string(TaskListing.capitalized(reachability)),
                "EngineVersion": .string(node.description.engine.engineVersion ?? ""),
                "TLSStatus": .string(tlsStatus(node, trust)),
            ]
        }
        return listing
    }

    private static func tlsStatus(_ node: Node, _ trust: TLSInfo?) -> String {
        guard let trust, let root = node.description.tlsInfo.trustRoot else { return "Unknown" }
        return root == trust.trustRoot ? "Ready" : "Needs Rotation"
    }
}

/// `node inspect --pretty`.
package enum NodeDescriptionText {
    package static func text(_ node: Node) -> String {
        var lines = ["ID:\t\t\t\(node.id)"]
        if let name = node.spec.name, !name.isEmpty { lines.append("Name:\t\t\t\(name)") }
        if !node.spec.labels.isEmpty {
            lines.append("Labels:")
            lines += node.spec.labels.sorted { $0.key < $1.key }.map { " - \($0.key)=\($0.value)" }
        }
        let description = node.description
        lines += [
            "Hostname:              \t\(description.hostname ?? "")",
            "Joined at:             \t\(node.createdAt.prettyDescription)", "Status:",
            " State:\t\t\t\(TaskListing.capitalized(node.status.state))",
        ]
        if let message = node.status.message, !message.isEmpty { lines.append(" Message:\t\t\(message)") }
        lines.append(" Availability:         \t\(TaskListing.capitalized(node.spec.availability))")
        if let address = node.status.addr { lines.append(" Address:\t\t\(address)") }
        if let status = node.managerStatus {
            lines += [
                "Manager Status:", " Address:\t\t\(status.addr)",
                " Raft Status:\t\t\(TaskListing.capitalized(status.reachability))",
                " Leader:\t\t\(status.leader == true ? "Yes" : "No")",
            ]
        }
        lines += [
            "Platform:", " Operating System:\t\(description.platform.os ?? "")",
            " Architecture:\t\t\(description.platform.architecture ?? "")", "Resources:",
            " CPUs:\t\t\t\(Size.cpus(description.resources.nanoCPUs ?? 0))",
            " Memory:\t\t\(Size.humanBinary(description.resources.memoryBytes ?? 0))",
        ]
        let plugins = Dictionary(grouping: description.engine.plugins ?? []) { $0.type }
        if !plugins.isEmpty {
            lines.append("Plugins:")
            for (type, members) in plugins.sorted(by: { $0.key < $1.key }) {
                lines.append(" \(type):\t\t\(members.map(\.name).sorted().joined(separator: ", "))")
            }
        }
        lines.append("Engine Version:\t\t\(description.engine.engineVersion ?? "")")
        if let labels = description.engine.labels, !labels.isEmpty {
            lines.append("Engine Labels:")
            lines += labels.sorted { $0.key < $1.key }.map { " - \($0.key)=\($0.value)" }
        }
        if let root = description.tlsInfo.trustRoot, !root.isEmpty {
            lines += [
                "TLS Info:", " TrustRoot:", root.trimmed, "",
                " Issuer Subject:\t\(description.tlsInfo.certIssuerSubject ?? "")",
                " Issuer Public Key:\t\(description.tlsInfo.certIssuerPublicKey ?? "")",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
