import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl stack logs`.
extension StackVerbs {
    static let logs = Command(
        "logs", "Fetch the logs of all services of a stack", usage: "[OPTIONS] STACK", arguments: .exactly(1),
        flags: LogFlags.shared + LogFlags.gathered + [
            Flag("no-resolve", .bool, "Do not map IDs to Names in output"),
            Flag("no-task-ids", .bool, "Do not include task IDs in output"),
            Flag("no-trunc", .bool, "Do not truncate output"),
        ]
    ) { invocation in
        let (client, stack) = (invocation.client, invocation.arguments[0])
        let services = try await client.services(filters: [label(stack)])
        guard !services.isEmpty else { throw CommandFailure("nothing found in stack: \(stack)") }
        var query = try LogFlags.query(invocation.flags, now: Timestamp(nanoseconds: WallClock.nanoseconds))
        query.append("details", "1")
        let relay = LogRelay(
            writer: TaskLogWriter(names: try await TaskNames.load(invocation), flags: invocation.flags),
            isRaw: false, console: invocation.console, lateNames: TaskNames.lookup(invocation))
        let parameters = query
        let isComplete = try await withThrowingTaskGroup(of: Bool.self) { group in
            for service in services.sorted(by: { NaturalOrder.precedes($0.spec.name, $1.spec.name) }) {
                guard service.spec.taskTemplate.containerSpec?.tty != true else {
                    invocation.console.complain(
                        "service \(service.spec.name) writes to a terminal: see `swarmctl service logs --raw`"
                    )
                    continue
                }
                group.addTask {
                    let stream = try await client.stream(.get, "/services/\(service.id)/logs", parameters)
                    return try await relay.run(stream, hasTerminal: false)
                }
            }
            return try await group.reduce(true) { $0 && $1 }
        }
        if !isComplete { throw CommandFailure("") }
    }
}
