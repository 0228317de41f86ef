package import SwarmClient
package import SwarmCore
import SwarmModel

/// `swarmctl container …`, `ps`, `logs` and `exec`.
enum ContainerVerbs {
    static let command = Command(
        "container", "Manage containers",
        children: [
            attach, copy, create, exec, inspect, kill, list, logs, pause, prune, remove, rename, restart, run, start,
            stats, stop, top, unpause, update, wait,
        ])

    static let list = Command(
        "ls", "List containers",
        flags: [
            Flag("all", short: "a", .bool, "Show all containers (default shows just running)"),
            ListFlags.filter,
            ListFlags.format,
            Flag(
                "last", short: "n", .int, "Show n last created containers (includes all states)",
                default: "-1"),
            Flag("latest", short: "l", .bool, "Show the latest created container (includes all states)"),
            ListFlags.noTruncation, Flag("quiet", short: "q", .bool, "Only display container IDs"),
            Flag("size", short: "s", .bool, "Display total file sizes"),
        ]
    ) { invocation in
        var query = Query()
        if invocation.isOn("all") { query.append("all", "1") }
        // Sizes take the engine a walk through files, and only some formats show them.
        let format = invocation.flag("format") ?? ""
        let showsSize = invocation.isOn("size") || [".Size", "json"].contains { format.contains($0) }
        if showsSize { query.append("size", "1") }
        let last = invocation.isOn("latest") ? "1" : invocation.flag("last")
        if let last, (Int(last) ?? 0) > 0 { query.append("limit", last) }
        query.append(filters: invocation.filters)
        let containers: [ContainerSummary] = try await invocation.client.get("/containers/json", query)
        var listing = ContainerListing.listing(
            containers, truncates: !invocation.isOn("no-trunc"),
            now: Timestamp(nanoseconds: WallClock.nanoseconds))
        if invocation.isOn("size") { listing.shown.append("Size") }
        invocation.console.write(
            try listing.render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }.aliased("list", "ps")

    static let prune = Pruning.containers.command(
        "Remove all stopped containers", warning: "This will remove all stopped containers.", "container")

    static let inspect = Command(
        "inspect", "Display detailed information on one or more containers",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]", arguments: .atLeast(1), flags: [Inspection.formatFlag]
    ) { invocation in
        try await Inspection.run(invocation) { try await invocation.client.json("/containers/\($0)/json") }
    }

    static let logs = Command(
        "logs", "Fetch the logs of a container", usage: "[OPTIONS] CONTAINER", arguments: .exactly(1),
        flags: LogFlags.shared + [
            Flag(
                "until", .string,
                "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"
            )
        ]
    ) { invocation in
        let client = invocation.client
        let id = try await containerID(invocation.arguments[0], invocation)
        let found: ContainerInspection = try await client.get("/containers/\(id)/json")
        var query = try LogFlags.query(invocation.flags, now: Timestamp(nanoseconds: WallClock.nanoseconds))
        if invocation.isOn("details") { query.append("details", "1") }
        var splitter = FrameSplitter()
        for try await part in try await client.stream(.get, "/containers/\(found.id)/logs", query) {
            if found.config?.tty == true {
                invocation.console.write(bytes: part)
            } else {
                for frame in splitter.frames(adding: part) {
                    if frame.stream == .stdout || frame.stream == .stdin {
                        invocation.console.write(bytes: frame.bytes)
                    } else {
                        invocation.console.writeError(bytes: frame.bytes)
                    }
                }
            }
            invocation.console.flush()
        }
    }
}

/// `ps`.
package enum ContainerListing {
    /// The longest command shown without `--no-trunc`.
    static let commandColumns = 20

    package static func listing(_ containers: [ContainerSummary], truncates: Bool, now: Timestamp) -> Listing
    {
        var listing = Listing(
            columns: [
                Column("ID", "CONTAINER ID"), Column("Image", "IMAGE"), Column("Command", "COMMAND"),
                Column("RunningFor", "CREATED"), Column("Status", "STATUS"), Column("Ports", "PORTS"),
                Column("Names", "NAMES"), Column("CreatedAt", "CREATED AT"), Column("State", "STATE"),
                Column("Labels", "LABELS"), Column("Networks", "NETWORKS"), Column("Mounts", "MOUNTS"),
                Column("LocalVolumes", "LOCAL VOLUMES"), Column("Size", "SIZE"),
            ], shown: ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"])
        listing.rows = containers.map { container in
            let created = Timestamp(nanoseconds: (container.created ?? 0) * 1_000_000_000)
            let command = container.command ?? ""
            let image = container.image ?? ""
            let mounts = (container.mounts ?? []).map { $0.name ?? $0.source ?? "" }
            return [
                "ID": .string(truncates ? container.id.shortID : container.id),
                "Image": .string(truncates ? ServiceListing.image(image) : image),
                "Command": .string("\"\(truncates ? command.ellipsis(commandColumns) : command)\""),
                "RunningFor": .string(Age.text(now - created) + " ago"),
                "Status": .string(container.status ?? ""),
                "Ports": .string(ports(container.ports ?? [])),
                "Names": .string(
                    (container.names ?? []).map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 }.joined(
                        separator: ",")),
                "CreatedAt": .string(created.goDescription), "State": .string(container.state ?? ""),
                "Labels": .string(NetworkOptions.labels(container.labels)),
                "Networks": .string(
                    (container.networkSettings?.networks ?? [:]).keys.sorted().joined(separator: ",")),
                "Mounts": .string(mounts.joined(separator: ",")),
                "LocalVolumes": .string(String((container.mounts ?? []).filter { $0.name != nil }.count)),
                "Size": .string(size(container)), "Platform": .null,
            ]
        }
        return listing
    }

    /// What it has written, and with that what its image has.
    private static func size(_ container: ContainerSummary) -> String {
        let written = Size.human(container.sizeBytes ?? 0)
        guard let all = container.wholeSizeBytes, all > 0 else { return written }
        return "\(written) (virtual \(Size.human(all)))"
    }

    static func ports(_ ports: [ContainerSummary.Port]) -> String {
        let sorted = ports.sorted {
            ($0.privatePort, $0.proto ?? "", $0.address ?? "") < (
                $1.privatePort, $1.proto ?? "", $1.address ?? ""
            )
        }
        return sorted.map { port in
            let target = "\(port.privatePort)/\(port.proto ?? "tcp")"
            guard let published = port.publicPort, published > 0 else { return target }
            return "\(port.address ?? "0.0.0.0"):\(published)->\(target)"
        }.joined(separator: ", ")
    }
}
