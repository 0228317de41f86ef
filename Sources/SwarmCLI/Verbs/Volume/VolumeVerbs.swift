import SwarmClient
import SwarmCore

/// `swarmctl volume …`.
enum VolumeVerbs {
    static let command = Command("volume", "Manage volumes", children: [create, inspect, list, prune, remove])

    private struct Creation: Encodable, Sendable {
        var Name: String?
        var Driver: String
        var DriverOpts: [String: String]
        var Labels: [String: String]
    }

    static let create = Command(
        "create", "Create a volume", usage: "[OPTIONS] [VOLUME]", arguments: .atMost(1),
        flags: [
            Flag("driver", short: "d", .string, "Specify volume driver name", default: "\"local\""),
            Flag("label", ServiceFlags.labels, "Set metadata for a volume"),
            Flag("opt", short: "o", .list("map"), "Set driver specific options", default: "map[]"),
        ]
    ) { invocation in
        let body = Creation(
            Name: invocation.arguments.first, Driver: invocation.flag("driver") ?? "local",
            DriverOpts: ServiceCreation.pairs(invocation.list("opt")),
            Labels: ServiceCreation.pairs(invocation.list("label")))
        let answer = try JSONValue(parsing: try await invocation.client.post("/volumes/create", body: body))
        invocation.console.print(answer["Name"]?.text ?? "")
    }

    static let inspect = Command(
        "inspect", "Display detailed information on one or more volumes", usage: "[OPTIONS] VOLUME [VOLUME...]",
        arguments: .atLeast(1), flags: [Inspection.formatFlag]
    ) { invocation in
        try await Inspection.run(invocation) { try await invocation.client.json("/volumes/" + $0) }
    }

    static let list = Command(
        "ls", "List volumes",
        flags: [
            ListFlags.filter, ListFlags.format, Flag("quiet", short: "q", .bool, "Only display volume names"),
        ]
    ) { invocation in
        var query = Query()
        query.append(filters: invocation.filters)
        let answer = try await invocation.client.json("/volumes", query)
        let listing = listing(answer["Volumes"]?.elements ?? [])
        invocation.console.write(
            try listing.render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }.aliased("list")

    static func listing(_ volumes: [JSONValue]) -> Listing {
        var listing = Listing(
            columns: [
                Column("Name", "VOLUME NAME"), Column("Driver", "DRIVER"), Column("Scope", "SCOPE"),
                Column("Mountpoint", "MOUNTPOINT"), Column("Labels", "LABELS"), Column("Links", "LINKS"),
                Column("Size", "SIZE"), Column("Availability", "AVAILABILITY"), Column("Group", "GROUP"),
                Column("Status", "STATUS"),
            ], shown: ["Driver", "Name"], quietKey: "Name")
        func name(_ volume: JSONValue) -> String { volume["Name"]?.text ?? "" }
        listing.rows = volumes.sorted { NaturalOrder.precedes(name($0), name($1)) }.map { volume in
            var labels: [String: String] = [:]
            for label in volume["Labels"]?.members ?? [] { labels[label.key] = label.value.text ?? "" }
            return [
                "Name": .string(name(volume)), "Driver": .string(volume["Driver"]?.text ?? ""),
                "Scope": .string(volume["Scope"]?.text ?? ""),
                "Mountpoint": .string(volume["Mountpoint"]?.text ?? ""),
                "Labels": .string(NetworkOptions.labels(labels)), "Links": "N/A", "Size": "N/A",
                "Availability": "N/A", "Group": "N/A", "Status": "N/A",
            ]
        }
        return listing
    }

    static let prune = Command(
        "prune", "Remove unused local volumes",
        flags: [
            Flag("all", short: "a", .bool, "Remove all unused volumes, not just anonymous ones"),
            Flag("filter", .filter, "Provide filter values (e.g. \"label=<label>\")"),
            Flag("force", short: "f", .bool, "Do not prompt for confirmation"),
        ]
    ) { invocation in
        let all = invocation.isOn("all")
        let warning =
            "WARNING! This will remove \(all ? "all" : "anonymous") local volumes not used by at least one container.\n"
            + "Are you sure you want to continue?"
        guard invocation.isOn("force") || Confirmation.ask(warning, invocation.console) else {
            throw CommandFailure("volume prune has been cancelled")
        }
        var filters = invocation.filters
        if all { filters.append((key: "all", value: "true")) }
        var query = Query()
        query.append(filters: filters)
        let answer = try JSONValue(parsing: try await invocation.client.bytes(.post, "/volumes/prune", query))
        let removed = answer["VolumesDeleted"]?.elements.compactMap(\.text) ?? []
        if !removed.isEmpty {
            invocation.console.print("Deleted Volumes:")
            for name in removed { invocation.console.print(name) }
            invocation.console.print("")
        }
        invocation.console.print("Total reclaimed space: \(Size.human(answer["SpaceReclaimed"]?.integer ?? 0))")
    }

    static let remove = Command(
        "rm", "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
        usage: "[OPTIONS] VOLUME [VOLUME...]", arguments: .atLeast(1),
        flags: [Flag("force", short: "f", .bool, "Force the removal of one or more volumes")]
    ) { invocation in
        try await forEachArgument(invocation) { argument in
            let query: Query = invocation.isOn("force") ? ["force": "1"] : [:]
            _ = try await invocation.client.bytes(.delete, "/volumes/" + argument, query)
            return argument
        }
    }.aliased("remove")
}
