import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl service …`.
enum ServiceVerbs {
    static let command = Command(
        "service", "Manage Swarm services",
        children: [create, inspect, list, logs, processes, remove, rollback, scale, update])

    static let list = Command(
        "ls", "List services", flags: [ListFlags.filter, ListFlags.format, ListFlags.quiet]
    ) { invocation in
        let services = try await invocation.client.services(
            filters: invocation.filters, status: !invocation.isOn("quiet"))
        let listing = ServiceListing.listing(services)
        invocation.console.write(
            try listing.render(format: invocation.flag("format"), quiet: invocation.isOn("quiet")))
    }.aliased("list")

    static let remove = Command(
        "rm", "Remove one or more services", usage: "SERVICE [SERVICE...]", arguments: .atLeast(1)
    ) { invocation in
        try await forEachArgument(invocation) { argument in
            try await invocation.client.removeService(argument)
            return argument
        }
    }.aliased("remove")

    static let inspect = Command(
        "inspect", "Display detailed information on one or more services",
        usage: "[OPTIONS] SERVICE [SERVICE...]", arguments: .atLeast(1),
        flags: [
            Inspection.formatFlag, Flag("pretty", .bool, "Print the information in a human friendly format"),
        ]
    ) { invocation in
        guard invocation.isOn("pretty") else {
            return try await Inspection.run(invocation) { argument in
                do {
                    return try await invocation.client.json("/services/" + argument, ["insertDefaults": "true"])
                } catch let error as SwarmError where error.code == .notFound {
                    throw SwarmError(.notFound, "Error: no such service: \(argument)")
                }
            }
        }
        guard invocation.flag("format") == nil else {
            throw CommandFailure("--format is incompatible with human friendly format")
        }
        var texts: [String] = []
        for argument in invocation.arguments {
            let service = try await invocation.client.service(argument, defaults: true)
            var names: [String: String] = [:]
            for target in service.spec.attachments.compactMap(\.target) {
                names[target] = try await invocation.client.network(target, scope: "swarm").name
            }
            texts.append(
                ServiceDescription(
                    service: service, networkNames: names, now: Timestamp(nanoseconds: WallClock.nanoseconds)
                ).text)
        }
        invocation.console.write(texts.joined())
    }

    static let rollback = Command(
        "rollback", "Revert changes to a service's configuration", usage: "[OPTIONS] SERVICE",
        arguments: .exactly(1), flags: [ServiceFlags.detach, ServiceFlags.quiet]
    ) { invocation in
        let name = invocation.arguments[0]
        let service = try await invocation.client.service(name)
        try await rollBack(service, invocation)
        invocation.console.print(name)
        guard !invocation.isOn("detach") else { return }
        try await ConvergenceWait.run(service.id, name: name, invocation, quiet: invocation.isOn("quiet"))
    }

    /// Asks the engine to swap the spec with the one before.
    static func rollBack(_ service: Service, _ invocation: Invocation) async throws {
        let warnings = try await invocation.client.updateService(
            service, to: service.spec, query: ["registryAuthFrom": "previous-spec", "rollback": "previous"])
        for warning in warnings { invocation.console.complain(warning) }
    }

    static let scale = Command(
        "scale", "Scale one or multiple replicated services", usage: "SERVICE=REPLICAS [SERVICE=REPLICAS...]",
        arguments: .atLeast(1), flags: [ServiceFlags.detach]
    ) { invocation in
        var wanted: [(name: String, replicas: UInt64)] = []
        for argument in invocation.arguments {
            let (name, value) = argument.keyAndValue
            guard let value, !name.isEmpty else {
                throw CommandFailure(
                    "invalid scale specifier '\(argument)'.\nSee '\(invocation.path) --help'.\n\n"
                        + "Usage:  \(invocation.path) SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\n"
                        + "Scale one or multiple replicated services")
            }
            do {
                wanted.append((name: name, replicas: try GoNumber.uint(value)))
            } catch let error as SwarmError {
                throw CommandFailure("\(name): invalid replicas value \(value): \(error.message)")
            }
        }
        var scaled: [(id: String, name: String)] = []
        var complaints: [String] = []
        for (name, replicas) in wanted {
            do {
                let id = try await scaleOne(name, to: replicas, invocation)
                invocation.console.print("\(name) scaled to \(replicas)")
                scaled.append((id: id, name: name))
            } catch {
                complaints.append("\(name): \((error as? SwarmError)?.description ?? "\(error)")")
            }
        }
        if !invocation.isOn("detach") {
            for service in scaled {
                do {
                    try await ConvergenceWait.run(service.id, name: service.name, invocation, quiet: false)
                } catch let failure as CommandFailure {
                    complaints.append("\(service.name): \(failure.message)")
                }
            }
        }
        guard complaints.isEmpty else { throw CommandFailure(complaints.joined(separator: "\n")) }
    }

    private static func scaleOne(
        _ name: String, to replicas: UInt64, _ invocation: Invocation
    ) async throws(SwarmError) -> String {
        let service = try await invocation.client.service(name)
        var spec = service.spec
        if spec.mode.replicatedJob != nil {
            spec.mode.replicatedJob?.totalCompletions = replicas
        } else if spec.isGlobal {
            throw SwarmError(
                .invalidArgument, "scale can only be used with replicated or replicated-job mode")
        } else {
            spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: replicas))
        }
        for warning in try await invocation.client.updateService(service, to: spec) {
            invocation.console.complain(warning)
        }
        return service.id
    }

    static let processes = Command(
        "ps", "List the tasks of one or more services", usage: "[OPTIONS] SERVICE [SERVICE...]",
        arguments: .atLeast(1), flags: TaskVerbs.listFlags
    ) { invocation in
        let client = invocation.client
        let byID = try await client.services(filters: invocation.arguments.map { (key: "id", value: $0) })
        let byName = try await client.services(filters: invocation.arguments.map { (key: "name", value: $0) })
        var (found, complaints): ([String], [String]) = ([], [])
        for argument in invocation.arguments {
            let exact = byID.first { $0.id == argument } ?? byName.first { $0.spec.name == argument }
            let prefixed = byID.filter { $0.id.hasPrefix(argument) }
            if let service = exact ?? (prefixed.count == 1 ? prefixed.first : nil) {
                found.append(service.id)
            } else {
                complaints.append(
                    prefixed.count > 1
                        ? "service \(argument) is ambiguous (\(prefixed.count) matches found)"
                        : "no such service: \(argument)")
            }
        }
        if !found.isEmpty {
            let tasks = try await client.tasks(
                filters: invocation.filters + found.map { (key: "service", value: $0) })
            try await TaskVerbs.show(tasks, invocation)
        }
        guard complaints.isEmpty else { throw CommandFailure(complaints.joined(separator: "\n")) }
    }
}
