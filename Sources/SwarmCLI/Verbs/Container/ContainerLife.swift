import SwarmClient
import SwarmCore

/// What is done to containers that are there: start, stop, rename and the like.
extension ContainerVerbs {
    private static let timeFlag = Flag(
        "time", short: "t", .int, "Seconds to wait before killing the container")
    private static let many = "[OPTIONS] CONTAINER [CONTAINER...]"

    private static func post(
        _ invocation: Invocation, _ word: String, _ query: Query = [:]
    ) async throws {
        try await forEachArgument(invocation) { argument in
            let id = try await containerID(argument, invocation)
            _ = try await invocation.client.bytes(.post, "/containers/\(id)/\(word)", query)
            return argument
        }
    }

    private static func grace(_ invocation: Invocation) -> Query {
        invocation.flag("time").map { ["t": $0] } ?? [:]
    }

    static let stop = Command(
        "stop", "Stop one or more running containers", usage: many, arguments: .atLeast(1), flags: [timeFlag]
    ) { invocation in try await post(invocation, "stop", grace(invocation)) }

    static let restart = Command(
        "restart", "Restart one or more containers", usage: many, arguments: .atLeast(1), flags: [timeFlag]
    ) { invocation in try await post(invocation, "restart", grace(invocation)) }

    static let kill = Command(
        "kill", "Kill one or more running containers", usage: many, arguments: .atLeast(1),
        flags: [Flag("signal", short: "s", .string, "Signal to send to the container")]
    ) { invocation in
        try await post(invocation, "kill", invocation.flag("signal").map { ["signal": $0] } ?? [:])
    }

    static let pause = Command(
        "pause", "Pause all processes within one or more containers", usage: "CONTAINER [CONTAINER...]",
        arguments: .atLeast(1)
    ) { invocation in try await post(invocation, "pause") }

    static let unpause = Command(
        "unpause", "Unpause all processes within one or more containers", usage: "CONTAINER [CONTAINER...]",
        arguments: .atLeast(1)
    ) { invocation in try await post(invocation, "unpause") }

    static let remove = Command(
        "rm", "Remove one or more containers", usage: many, arguments: .atLeast(1),
        flags: [
            Flag("force", short: "f", .bool, "Force the removal of a running container (uses SIGKILL)"),
            Flag("volumes", short: "v", .bool, "Remove anonymous volumes associated with the container"),
        ]
    ) { invocation in
        var query = Query()
        if invocation.isOn("force") { query.append("force", "1") }
        if invocation.isOn("volumes") { query.append("v", "1") }
        let asked = query
        try await forEachArgument(invocation) { argument in
            do {
                _ = try await invocation.client.bytes(.delete, "/containers/\(argument)", asked)
                return argument
            } catch let error as SwarmError where error.code == .notFound && invocation.isOn("force") {
                // What is to be gone is gone: that is said, and no failure.
                invocation.console.complain(error.description)
                return nil
            }
        }
    }.aliased("remove")

    private struct Update: Encodable, Sendable { var RestartPolicy: RestartRule }

    static let update = Command(
        "update", "Update configuration of one or more containers", usage: many, arguments: .atLeast(1),
        flags: [
            Flag("restart", .string, "Restart policy to apply when a container exits")
                .offering(.words(RestartRule.names))
        ]
    ) { invocation in
        guard let text = invocation.flag("restart") else {
            throw CommandFailure("you must provide one or more flags when using this command")
        }
        let body = Update(RestartPolicy: try RestartRule(text))
        try await forEachArgument(invocation) { argument in
            _ = try await invocation.client.post("/containers/\(argument)/update", body: body)
            return argument
        }
    }

    static let rename = Command(
        "rename", "Rename a container", usage: "CONTAINER NEW_NAME", arguments: .exactly(2)
    ) { invocation in
        let id = try await containerID(invocation.arguments[0], invocation)
        _ = try await invocation.client.bytes(
            .post, "/containers/\(id)/rename", ["name": invocation.arguments[1]])
    }

    static let wait = Command(
        "wait", "Block until one or more containers stop, then print their exit codes",
        usage: "CONTAINER [CONTAINER...]", arguments: .atLeast(1)
    ) { invocation in
        try await forEachArgument(invocation) { argument in
            let id = try await containerID(argument, invocation)
            let answer = try JSONValue(
                parsing: try await invocation.client.bytes(.post, "/containers/\(id)/wait"))
            return String(answer["StatusCode"]?.integer ?? 0)
        }
    }

    static let top = Command(
        "top", "Display the running processes of a container", usage: "CONTAINER [ps OPTIONS]",
        arguments: .atLeast(1)
    ) { invocation in
        let id = try await containerID(invocation.arguments[0], invocation)
        let answer = try await invocation.client.json("/containers/\(id)/top")
        let rows = [answer["Titles"]?.elements ?? []] + (answer["Processes"]?.elements ?? []).map(\.elements)
        let cells = rows.map { $0.map { $0.text ?? "" } }
        let widths = (0..<(cells.first?.count ?? 0)).map { column in
            cells.map { $0.indices.contains(column) ? $0[column].count : 0 }.max() ?? 0
        }
        for row in cells {
            let padded = row.enumerated().map { index, cell in
                index == row.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[index] - cell.count + 2)
            }
            invocation.console.print(padded.joined())
        }
    }
}

/// `--restart`: `no`, `always`, `unless-stopped`, `on-failure[:COUNT]`.
struct RestartRule: Encodable, Sendable {
    static let names = ["no", "on-failure", "always", "unless-stopped"]
    var Name: String
    var MaximumRetryCount = 0

    init(_ text: String) throws(CommandFailure) {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        Name = parts.first ?? "no"
        guard parts.count > 1 else { return }
        guard let count = Int(parts[1]) else {
            throw CommandFailure("invalid restart policy format: maximum retry count must be an integer")
        }
        MaximumRetryCount = count
    }
}
