package import SwarmClient
import SwarmCore

/// `swarmctl system …`.
extension SystemVerbs {
    static let command = Command(
        "system", "Manage Docker", children: [diskUsage, events, info, prune])

    static let diskUsage = Command(
        "df", "Show docker disk usage",
        flags: [Flag("format", ListFlags.format.kind, ListFlags.format.usage)]
    ) { invocation in
        let usage = try await invocation.client.json("/system/df")
        invocation.console.write(try DiskUsage.listing(usage).render(format: invocation.flag("format")))
    }

    static let prune = Command(
        "prune", "Remove unused data",
        flags: [
            Flag("all", short: "a", .bool, "Remove all unused images not just dangling ones"),
            Flag("filter", .filter, "Provide filter values (e.g. \"label=<key>=<value>\")"),
            Flag("force", short: "f", .bool, "Do not prompt for confirmation"),
            Flag("volumes", .bool, "Prune anonymous volumes"),
        ]
    ) { invocation in
        let (all, volumes) = (invocation.isOn("all"), invocation.isOn("volumes"))
        var lost = ["all stopped containers", "all networks not used by at least one container"]
        if volumes { lost.append("all anonymous volumes not used by at least one container") }
        lost.append(
            all ? "all images without at least one container associated to them" : "all dangling images")
        let warning =
            "WARNING! This will remove:\n" + lost.map { "  - \($0)\n" }.joined()
            + "\nAre you sure you want to continue?"
        guard invocation.isOn("force") || Confirmation.ask(warning, invocation.console) else {
            throw CommandFailure("system prune has been cancelled")
        }
        var freed = try await Pruning.containers.run(invocation)
        freed += try await Pruning.networks.run(invocation)
        if volumes { freed += try await Pruning.volumes.run(invocation) }
        freed += try await Pruning.images(all: all).run(invocation)
        invocation.console.print("Total reclaimed space: \(Size.humanLong(freed))")
    }
}

/// One kind of thing that is removed when nothing uses it.
struct Pruning: Sendable {
    var path: String
    /// The member of the answer that has what was removed.
    var member: String
    var title: String
    var filters: [(key: String, value: String)] = []

    static let containers = Pruning(
        path: "/containers/prune", member: "ContainersDeleted", title: "Deleted Containers:")
    static let networks = Pruning(path: "/networks/prune", member: "NetworksDeleted", title: "Deleted Networks:")
    static let volumes = Pruning(path: "/volumes/prune", member: "VolumesDeleted", title: "Deleted Volumes:")
    static func images(all: Bool) -> Pruning {
        Pruning(
            path: "/images/prune", member: "ImagesDeleted", title: "Deleted Images:",
            filters: [(key: "dangling", value: all ? "false" : "true")])
    }

    /// Removes, and says what is gone.
    /// - Returns: the bytes that this freed.
    func run(_ invocation: Invocation) async throws -> Int64 {
        var query = Query()
        query.append(filters: invocation.filters + filters)
        let answer = try JSONValue(parsing: try await invocation.client.bytes(.post, path, query))
        let removed = answer[member]?.elements ?? []
        if !removed.isEmpty {
            invocation.console.print(title)
            for item in removed {
                // Images say what of them is gone: a name, or all.
                let line = item.text ?? item.members.map { "\($0.key.lowercased()): \($0.value.text ?? "")" }.joined()
                invocation.console.print(line)
            }
            invocation.console.print("")
        }
        return answer["SpaceReclaimed"]?.integer ?? 0
    }

    /// `container prune`, `image prune`.
    func command(_ summary: String, warning: String, _ noun: String, flags: [Flag] = []) -> Command {
        Command(
            "prune", summary,
            flags: flags + [
                Flag("filter", .filter, "Provide filter values (e.g. \"until=<timestamp>\")"),
                Flag("force", short: "f", .bool, "Do not prompt for confirmation"),
            ]
        ) { invocation in
            let question = "WARNING! \(warning)\nAre you sure you want to continue?"
            guard invocation.isOn("force") || Confirmation.ask(question, invocation.console) else {
                throw CommandFailure("\(noun) prune has been cancelled")
            }
            let what = path == "/images/prune" ? Pruning.images(all: invocation.isOn("all")) : self
            let freed = try await what.run(invocation)
            invocation.console.print("Total reclaimed space: \(Size.humanLong(freed))")
        }
    }
}

/// What `system df` shows of each kind of thing.
package enum DiskUsage {
    package static func listing(_ usage: JSONValue) -> Listing {
        var listing = Listing(
            columns: [
                Column("Type", "TYPE"), Column("TotalCount", "TOTAL"), Column("Active", "ACTIVE"),
                Column("Size", "SIZE"), Column("Reclaimable", "RECLAIMABLE"),
            ], shown: ["Type", "TotalCount", "Active", "Size", "Reclaimable"])
        func size(_ value: JSONValue, _ key: String = "Size") -> Int64 { max(value[key]?.integer ?? 0, 0) }
        let images = usage["Images"]?.elements ?? []
        let usedImages = images.filter { ($0["Containers"]?.integer ?? 0) > 0 }
        // Layers that images share count once.
        let layers = usage["LayersSize"]?.integer ?? 0
        let used = usedImages.reduce(0) { $0 + size($1) - size($1, "SharedSize") }
        let containers = usage["Containers"]?.elements ?? []
        let live = containers.filter { ["running", "paused", "restarting"].contains($0["State"]?.text ?? "") }
        let volumes = usage["Volumes"]?.elements ?? []
        let usedVolumes = volumes.filter { ($0["UsageData"]?["RefCount"]?.integer ?? 0) > 0 }
        func volumeBytes(_ volumes: [JSONValue]) -> Int64 {
            volumes.reduce(0) { $0 + size($1["UsageData"] ?? .null) }
        }
        func written(_ containers: [JSONValue]) -> Int64 { containers.reduce(0) { $0 + size($1, "SizeRw") } }
        listing.rows = [
            row("Images", images.count, usedImages.count, layers, free: layers - used),
            row(
                "Containers", containers.count, live.count, written(containers),
                free: written(containers) - written(live)),
            row(
                "Local Volumes", volumes.count, usedVolumes.count, volumeBytes(volumes),
                free: volumeBytes(volumes) - volumeBytes(usedVolumes)),
            row("Build Cache", 0, 0, 0, free: 0, showsShare: false),
        ]
        return listing
    }

    private static func row(
        _ type: String, _ total: Int, _ active: Int, _ bytes: Int64, free: Int64, showsShare: Bool = true
    ) -> [String: JSONValue] {
        let share = bytes > 0 && showsShare ? " (\(free * 100 / bytes)%)" : ""
        return [
            "Type": .string(type), "TotalCount": .string(String(total)), "Active": .string(String(active)),
            "Size": .string(Size.humanLong(bytes)), "Reclaimable": .string(Size.humanLong(free) + share),
        ]
    }
}
