import FoundationEssentials
import SwarmClient
package import SwarmCore
package import SwarmModel

/// `swarmctl secret …` and `swarmctl config …`, which differ in little but their data.
package enum FileVerbs {
    static let secrets = Command("secret", "Manage Swarm secrets", children: verbs("secret"))
    static let configs = Command("config", "Manage Swarm configs", children: verbs("config"))

    private static func verbs(_ kind: String) -> [Command] {
        [create(kind), inspect(kind), list(kind), remove(kind)]
    }

    private static func create(_ kind: String) -> Command {
        let isSecret = kind == "secret"
        var flags = [
            Flag(
                "label", short: "l", ServiceFlags.labels,
                "\(kind.prefix(1).uppercased() + kind.dropFirst()) labels"),
            Flag("template-driver", .string, "Template driver"),
        ]
        if isSecret { flags.append(Flag("driver", short: "d", .string, "Secret driver")) }
        return Command(
            "create", "Create a \(kind) from a file or STDIN" + (isSecret ? " as content" : ""),
            usage: isSecret ? "[OPTIONS] SECRET [file|-]" : "[OPTIONS] CONFIG file|-",
            arguments: isSecret ? .between(1...2) : .exactly(2), flags: flags
        ) { invocation in
            let path = invocation.arguments.count == 2 ? invocation.arguments[1] : nil
            let driver = invocation.flag("driver")
            if driver == nil, path == nil {
                throw CommandFailure("secret file is required")
            }
            if driver != nil, path != nil {
                throw CommandFailure("When using secret driver secret data must be empty")
            }
            var spec = SecretSpec(
                name: invocation.arguments[0], labels: ServiceCreation.pairs(invocation.list("label")))
            if let path {
                let context = isSecret ? "" : "Error reading content from \"\(path)\": "
                do {
                    let bytes = try TextFile.bytes(path)
                    guard !bytes.isEmpty else {
                        throw CommandFailure("\(context)error reading from \(path): data is empty")
                    }
                    spec.data = Data(bytes).base64EncodedString()
                } catch let error as SwarmError {
                    throw CommandFailure("\(context)error reading from \(path): \(error.message)")
                }
            }
            if let driver { spec.driver = Driver(name: driver) }
            if let template = invocation.flag("template-driver") { spec.templating = Driver(name: template) }
            let created = try await invocation.client.create("/\(kind)s/create", body: spec)
            invocation.console.print(created.id)
        }
    }

    private static func inspect(_ kind: String) -> Command {
        Command(
            "inspect", "Display detailed information on one or more \(kind)s",
            usage: "[OPTIONS] \(kind.uppercased()) [\(kind.uppercased())...]", arguments: .atLeast(1),
            flags: [
                Inspection.formatFlag,
                Flag("pretty", .bool, "Print the information in a human friendly format"),
            ]
        ) { invocation in
            guard invocation.isOn("pretty") else {
                return try await Inspection.run(invocation) {
                    try await invocation.client.json("/\(kind)s/" + $0)
                }
            }
            for argument in invocation.arguments {
                let object: Secret = try await invocation.client.get("/\(kind)s/" + argument)
                invocation.console.write(kind == "config" ? prettyConfig(object) : prettySecret(object))
            }
        }
    }

    /// With the stock client's columns, which differ between the two.
    static func prettySecret(_ object: Secret) -> String {
        let lines =
            ["ID:              \(object.id)", "Name:              \(object.spec.name)"] + labels(object) + [
                "Driver:            \(object.spec.driver?.name ?? "")",
                "Created at:        \(object.createdAt.prettyDescription)",
                "Updated at:        \(object.updatedAt.prettyDescription)",
            ]
        return lines.joined(separator: "\n") + "\n"
    }

    static func prettyConfig(_ object: Secret) -> String {
        var lines = ["ID:\t\t\t\(object.id)", "Name:\t\t\t\(object.spec.name)"] + labels(object)
        lines += [
            "Created at:            \t\(object.createdAt.prettyDescription)",
            "Updated at:            \t\(object.updatedAt.prettyDescription)", "Data:",
        ]
        let data = object.spec.data.flatMap { Data(base64Encoded: $0) } ?? Data()
        return (lines + [String(decoding: data, as: UTF8.self)]).joined(separator: "\n") + "\n"
    }

    private static func labels(_ object: Secret) -> [String] {
        let labels = object.spec.labels ?? [:]
        guard !labels.isEmpty else { return [] }
        return ["Labels:"] + labels.sorted { $0.key < $1.key }.map { " - \($0.key)=\($0.value)" }
    }

    private static func list(_ kind: String) -> Command {
        Command("ls", "List \(kind)s", flags: [ListFlags.filter, ListFlags.format, ListFlags.quiet]) {
            invocation in
            var query = Query()
            query.append(filters: invocation.filters)
            // Configs decode as secrets: the same fields, minus a driver.
            let objects: [Secret] = try await invocation.client.get("/\(kind)s", query)
            let now = Timestamp(nanoseconds: WallClock.nanoseconds)
            let listing = listing(objects, showsDriver: kind == "secret", now: now)
            invocation.console.write(
                try listing.render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
        }.aliased("list")
    }

    package static func listing(_ objects: [Secret], showsDriver: Bool, now: Timestamp) -> Listing {
        var listing = Listing(
            columns: [
                Column("ID", "ID"), Column("Name", "NAME"), Column("Driver", "DRIVER"),
                Column("CreatedAt", "CREATED"),
                Column("UpdatedAt", "UPDATED"), Column("Labels", "LABELS"),
            ],
            shown: showsDriver
                ? ["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"]
                : ["ID", "Name", "CreatedAt", "UpdatedAt"])
        if !showsDriver { listing.columns.removeAll { $0.key == "Driver" } }
        listing.rows = objects.sorted { NaturalOrder.precedes($0.spec.name, $1.spec.name) }.map { object in
            let row: [String: JSONValue] = [
                "ID": .string(object.id), "Name": .string(object.spec.name),
                "Driver": .string(object.spec.driver?.name ?? ""),
                "CreatedAt": .string(Age.text(now - object.createdAt) + " ago"),
                "UpdatedAt": .string(Age.text(now - object.updatedAt) + " ago"),
                "Labels": .string(NetworkOptions.labels(object.spec.labels)),
            ]
            return showsDriver ? row : row.filter { $0.key != "Driver" }
        }
        return listing
    }

    private static func remove(_ kind: String) -> Command {
        Command(
            "rm", "Remove one or more \(kind)s", usage: "\(kind.uppercased()) [\(kind.uppercased())...]",
            arguments: .atLeast(1)
        ) { invocation in
            try await forEachArgument(invocation) { argument in
                _ = try await invocation.client.bytes(.delete, "/\(kind)s/" + argument)
                return argument
            }
        }.aliased("remove")
    }
}
