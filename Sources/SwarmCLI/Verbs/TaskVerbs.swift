import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl task …` and what lists of tasks share.
enum TaskVerbs {
    static let listFlags: [Flag] = [
        ListFlags.filter, Flag("format", .string, "Pretty-print tasks using a Go template"),
        Flag("no-resolve", .bool, "Do not map IDs to Names"), ListFlags.noTruncation,
        Flag("quiet", short: "q", .bool, "Only display task IDs"),
    ]

    static let command = Command("task", "Look at tasks", children: [list, inspect])

    static let list = Command("ls", "List the tasks of all services", flags: listFlags) { invocation in
        try await show(try await invocation.client.tasks(filters: invocation.filters), invocation)
    }.aliased("list")

    static let inspect = Command(
        "inspect", "Display detailed information on one or more tasks", usage: "[OPTIONS] TASK [TASK...]",
        arguments: .atLeast(1), flags: [Inspection.formatFlag]
    ) { invocation in
        try await Inspection.run(invocation) { argument in
            do {
                return try await invocation.client.json("/tasks/" + argument)
            } catch let error as SwarmError where error.code == .notFound {
                guard let task = try await find(argument, invocation) else { throw error }
                return try await invocation.client.json("/tasks/" + task.id)
            }
        }
    }

    static let processID = Command(
        "task-pid", "Print the process identifier of a task's container on this host", usage: "TASK",
        arguments: .exactly(1)
    ) { invocation in
        let argument = invocation.arguments[0]
        var container = argument
        do {
            if let task = try await find(argument, invocation) {
                guard let id = task.status.containerStatus?.containerID, !id.isEmpty else {
                    throw CommandFailure("task \(argument) has no container: it is \(task.status.state.name)")
                }
                container = id
            }
        } catch let error as SwarmError {
            guard error.code == .unavailable, !error.isUnreachable else { throw error }
            // Without a swarm there are still containers.
        }
        let found: ContainerInspection = try await invocation.client.get("/containers/\(container)/json")
        guard found.state?.running == true, let pid = found.state?.pid, pid > 0 else {
            throw CommandFailure("no running container for '\(argument)'")
        }
        invocation.console.print(String(pid))
    }.hidden()

    /// The task with an identifier, a prefix of one, a name such as `web.1`, or a container; the running one first.
    static func find(_ argument: String, _ invocation: Invocation) async throws -> SwarmTask? {
        let tasks = try await invocation.client.tasks()
        let names = try await names(invocation)
        let newestFirst = tasks.sorted { left, right in
            let (leftRuns, rightRuns) = (left.status.state == .running, right.status.state == .running)
            return leftRuns != rightRuns ? leftRuns : left.createdAt > right.createdAt
        }
        let exact = newestFirst.first { task in
            let name = names.name(task)
            return task.id == argument || name == argument || "\(name).\(task.id)" == argument
                || task.status.containerStatus?.containerID == argument
        }
        if let exact { return exact }
        let prefixed = newestFirst.filter {
            $0.id.hasPrefix(argument) || ($0.status.containerStatus?.containerID ?? "").hasPrefix(argument)
        }
        return prefixed.count == 1 ? prefixed.first : nil
    }

    static func show(_ tasks: [SwarmTask], _ invocation: Invocation) async throws {
        let isQuiet = invocation.isOn("quiet")
        let names = isQuiet ? listing(invocation, services: [:], nodes: [:]) : try await names(invocation)
        invocation.console.write(
            try names.listing(tasks, indents: (invocation.flag("format") ?? "table").hasPrefix("table"))
                .render(format: invocation.flag("format"), quiet: isQuiet))
    }

    /// How tasks are named, resolved unless `--no-resolve`.
    static func names(_ invocation: Invocation) async throws -> TaskListing {
        guard !invocation.isOn("no-resolve") else { return listing(invocation, services: [:], nodes: [:]) }
        let services = try await invocation.client.services()
        let nodes = try await invocation.client.nodes()
        return listing(
            invocation, services: Dictionary(services.map { ($0.id, $0.spec.name) }) { first, _ in first },
            nodes: Dictionary(nodes.map { ($0.id, $0.spec.name ?? $0.description.hostname ?? $0.id) }) {
                first, _ in first
            })
    }

    private static func listing(
        _ invocation: Invocation, services: [String: String], nodes: [String: String]
    ) -> TaskListing {
        TaskListing(
            serviceNames: services, nodeNames: nodes, truncates: !invocation.isOn("no-trunc"),
            now: Timestamp(nanoseconds: WallClock.nanoseconds))
    }
}
