package import SwarmClient
package import SwarmCore
import SwarmModel

/// `swarmctl network …`.
enum NetworkVerbs {
    static let command = Command(
        "network", "Manage networks", children: [connect, create, disconnect, inspect, list, prune, remove])

    static let create = Command(
        "create", "Create a network", usage: "[OPTIONS] NETWORK", arguments: .exactly(1),
        flags: [
            Flag("attachable", .bool, "Enable manual container attachment"),
            Flag(
                "aux-address", .list("map"), "Auxiliary IPv4 or IPv6 addresses used by Network driver",
                default: "map[]"),
            Flag("config-from", .string, "The network from which to copy the configuration"),
            Flag("config-only", .bool, "Create a configuration only network"),
            Flag("driver", short: "d", .string, "Driver to manage the Network", default: "\"bridge\""),
            Flag("gateway", .list("strings"), "IPv4 or IPv6 Gateway for the master subnet"),
            Flag("ingress", .bool, "Create swarm routing-mesh network"),
            Flag("internal", .bool, "Restrict external access to the network"),
            Flag("ip-range", .list("strings"), "Allocate container ip from a sub-range"),
            Flag("ipam-driver", .string, "IP Address Management Driver", default: "\"default\""),
            Flag("ipam-opt", .list("map"), "Set IPAM driver specific options", default: "map[]"),
            Flag("ipv4", .bool, "Enable or disable IPv4 address assignment", default: "true"),
            Flag("ipv6", .bool, "Enable or disable IPv6 address assignment"),
            Flag("label", ServiceFlags.labels, "Set metadata on a network"),
            Flag("opt", short: "o", .list("map"), "Set driver specific options", default: "map[]"),
            Flag("scope", .string, "Control the network's scope"),
            Flag("subnet", .list("strings"), "Subnet in CIDR format that represents a network segment"),
        ]
    ) { invocation in
        let body = try NetworkOptions.creation(invocation.flags, name: invocation.arguments[0])
        let created = try await invocation.client.create("/networks/create", body: body)
        for warning in created.warnings { invocation.console.complain("WARNING: \(warning)") }
        invocation.console.print(created.id)
    }

    static let list = Command(
        "ls", "List networks",
        flags: [
            ListFlags.filter, ListFlags.format, ListFlags.noTruncation,
            Flag("quiet", short: "q", .bool, "Only display network IDs"),
        ]
    ) { invocation in
        let networks = try await invocation.client.networks(filters: invocation.filters)
        let listing = NetworkOptions.listing(networks, truncates: !invocation.isOn("no-trunc"))
        invocation.console.write(
            try listing.render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }.aliased("list")

    static let inspect = Command(
        "inspect", "Display detailed information on one or more networks",
        usage: "[OPTIONS] NETWORK [NETWORK...]",
        arguments: .atLeast(1),
        flags: [Inspection.formatFlag, Flag("verbose", short: "v", .bool, "Verbose output for diagnostics")]
    ) { invocation in
        let query: Query = invocation.isOn("verbose") ? ["verbose": "true"] : [:]
        try await Inspection.run(invocation) { try await invocation.client.json("/networks/" + $0, query) }
    }

    static let remove = Command(
        "rm", "Remove one or more networks", usage: "NETWORK [NETWORK...]", arguments: .atLeast(1),
        flags: [Flag("force", short: "f", .bool, "Do not error if the network does not exist")]
    ) { invocation in
        try await forEachArgument(invocation) { argument in
            let client = invocation.client
            if let network = try? await client.network(argument), network.ingress == true {
                let warning =
                    "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm "
                    + "run the same docker engine version. Otherwise, removal may not be effective and "
                    + "functionality of newly create ingress networks will be impaired.\n"
                    + "Are you sure you want to continue?"
                guard Confirmation.ask(warning, invocation.console) else { return nil }
            }
            do {
                _ = try await client.bytes(.delete, "/networks/" + argument)
                return argument
            } catch let error as SwarmError where error.code == .notFound && invocation.isOn("force") {
                return nil
            }
        }
    }.aliased("remove")

    static let prune = Command(
        "prune", "Remove all unused networks",
        flags: [
            Flag("filter", .filter, "Provide filter values (e.g. \"until=<timestamp>\")"),
            Flag("force", short: "f", .bool, "Do not prompt for confirmation"),
        ]
    ) { invocation in
        let warning =
            "WARNING! This will remove all custom networks not used by at least one container.\n"
            + "Are you sure you want to continue?"
        guard invocation.isOn("force") || Confirmation.ask(warning, invocation.console) else {
            throw CommandFailure("network prune has been cancelled")
        }
        var query = Query()
        query.append(filters: invocation.filters)
        let answer = try JSONValue(
            parsing: try await invocation.client.bytes(.post, "/networks/prune", query))
        let removed = answer["NetworksDeleted"]?.elements.compactMap(\.text) ?? []
        guard !removed.isEmpty else { return }
        invocation.console.print("Deleted Networks:")
        for name in removed { invocation.console.print(name) }
        invocation.console.print("")
    }
}

/// Questions before what cannot be undone.
enum Confirmation {
    static func ask(_ question: String, _ console: Console) -> Bool {
        console.write(question + " [y/N] ")
        console.flush()
        let answer = readLine() ?? ""
        return ["y", "yes"].contains(answer.trimmed.lowercased())
    }
}

/// `network create`'s body and `network ls`.
package enum NetworkOptions {
    package static func creation(_ flags: ParsedFlags, name: String) throws(SwarmError) -> NetworkCreation {
        let ranges = try addressRanges(flags)
        var body = NetworkCreation(
            name: name, driver: flags.text("driver") ?? "bridge",
            addressing: .init(
                driver: flags.text("ipam-driver") ?? "default",
                options: ServiceCreation.pairs(flags.list("ipam-opt")), ranges: ranges))
        body.Scope = flags.text("scope") ?? ""
        body.Internal = flags.isOn("internal")
        body.Attachable = flags.isOn("attachable")
        body.Ingress = flags.isOn("ingress")
        body.ConfigOnly = flags.isOn("config-only")
        body.ConfigFrom = flags.text("config-from").map { .init(network: $0) }
        body.Options = ServiceCreation.pairs(flags.list("opt"))
        body.Labels = ServiceCreation.pairs(flags.list("label"))
        if flags.isSet("ipv4") { body.EnableIPv4 = flags.isOn("ipv4") }
        if flags.isSet("ipv6") { body.EnableIPv6 = flags.isOn("ipv6") }
        return body
    }

    private static func addressRanges(_ flags: ParsedFlags) throws(SwarmError) -> [NetworkCreation
        .AddressRange]
    {
        func values(_ name: String) -> [String] {
            flags.list(name).flatMap { $0.split(separator: ",").map(String.init) }
        }
        let (subnets, ranges, gateways) = (values("subnet"), values("ip-range"), values("gateway"))
        guard subnets.count >= ranges.count, subnets.count >= gateways.count else {
            throw SwarmError(.invalidArgument, "every ip-range or gateway must have a corresponding subnet")
        }
        var result: [NetworkCreation.AddressRange] = []
        for text in subnets {
            guard let subnet = IPv4Subnet(text) else {
                guard text.contains(":") else {
                    throw SwarmError(.invalidArgument, "invalid CIDR address: \(text)")
                }
                result.append(.init(subnet: text))
                continue
            }
            for other in result.compactMap({ IPv4Subnet($0.Subnet ?? "") }) where other.overlaps(subnet) {
                throw SwarmError(
                    .invalidArgument, "multiple overlapping subnet configuration is not supported")
            }
            result.append(.init(subnet: text))
        }
        func place(_ what: String, _ text: String, _ address: IPv4Address?) throws(SwarmError) -> Int {
            guard let address else { throw SwarmError(.invalidArgument, "invalid address: \(text)") }
            guard
                let index = result.firstIndex(where: {
                    IPv4Subnet($0.Subnet ?? "")?.contains(address) ?? false
                })
            else {
                throw SwarmError(.invalidArgument, "no matching subnet for \(what) \(text)")
            }
            return index
        }
        for text in ranges {
            let index = try place("range", text, IPv4Subnet(text)?.network)
            if let other = result[index].IPRange {
                throw SwarmError(
                    .invalidArgument,
                    "cannot configure multiple ranges (\(text), \(other)) on the same subnet "
                        + "(\(result[index].Subnet ?? ""))")
            }
            result[index].IPRange = text
        }
        for text in gateways {
            let index = try place("gateway", text, IPv4Address(text))
            if let other = result[index].Gateway {
                throw SwarmError(
                    .invalidArgument,
                    "cannot configure multiple gateways (\(text), \(other)) for the same subnet "
                        + "(\(result[index].Subnet ?? ""))")
            }
            result[index].Gateway = text
        }
        for text in flags.list("aux-address") {
            let (name, value) = text.keyAndValue
            let index = try place("aux-address", text, IPv4Address(value ?? ""))
            result[index].AuxiliaryAddresses = (result[index].AuxiliaryAddresses ?? [:]).merging([
                name: value ?? ""
            ]) { $1 }
        }
        return result
    }

    package static func listing(_ networks: [NetworkSummary], truncates: Bool) -> Listing {
        var listing = Listing(
            columns: [
                Column("ID", "NETWORK ID"), Column("Name", "NAME"), Column("Driver", "DRIVER"),
                Column("Scope", "SCOPE"),
                Column("IPv6", "IPV6"), Column("IPv4", "IPV4"), Column("Internal", "INTERNAL"),
                Column("Labels", "LABELS"),
                Column("CreatedAt", "CREATED AT"),
            ], shown: ["ID", "Name", "Driver", "Scope"])
        let sorted = networks.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
            .sorted { NaturalOrder.precedes($0.name, $1.name) }
        listing.rows = sorted.map { network in
            [
                "ID": .string(truncates ? network.id.shortID : network.id), "Name": .string(network.name),
                "Driver": .string(network.driver ?? ""), "Scope": .string(network.scope ?? ""),
                "IPv6": .string(String(network.ipv6 ?? false)), "IPv4": .string(String(network.ipv4 ?? true)),
                "Internal": .string(String(network.isInternal ?? false)),
                "Labels": .string(labels(network.labels)),
                "CreatedAt": .string((network.created ?? .zero).goDescription),
            ]
        }
        return listing
    }

    static func labels(_ labels: [String: String]?) -> String {
        // Docker's client sorts what it prints, not the keys.
        (labels ?? [:]).map { "\($0.key)=\($0.value)" }.sorted().joined(separator: ",")
    }
}

/// `swarmctl network connect` and `disconnect`.
extension NetworkVerbs {
    private struct Connection: Encodable, Sendable {
        struct Endpoint: Encodable, Sendable {
            struct Addresses: Encodable, Sendable { var IPv4Address: String }
            var Aliases: [String]
            var IPAMConfig: Addresses?
        }
        var Container: String
        var EndpointConfig: Endpoint?
        var Force: Bool?
    }

    static let connect = Command(
        "connect", "Connect a container to a network", usage: "[OPTIONS] NETWORK CONTAINER",
        arguments: .exactly(2),
        flags: [
            Flag("alias", .list(), "Add network-scoped alias for the container"),
            Flag("ip", .string, "IPv4 address (e.g., \"172.30.100.104\")"),
        ]
    ) { invocation in
        let address = invocation.flag("ip").map { Connection.Endpoint.Addresses(IPv4Address: $0) }
        let body = Connection(
            Container: invocation.arguments[1],
            EndpointConfig: .init(Aliases: invocation.list("alias"), IPAMConfig: address))
        _ = try await invocation.client.post("/networks/\(invocation.arguments[0])/connect", body: body)
    }

    static let disconnect = Command(
        "disconnect", "Disconnect a container from a network", usage: "[OPTIONS] NETWORK CONTAINER",
        arguments: .exactly(2),
        flags: [Flag("force", short: "f", .bool, "Force the container to disconnect from a network")]
    ) { invocation in
        let body = Connection(Container: invocation.arguments[1], Force: invocation.isOn("force"))
        _ = try await invocation.client.post("/networks/\(invocation.arguments[0])/disconnect", body: body)
    }
}
