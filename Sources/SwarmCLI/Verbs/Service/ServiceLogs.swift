import SwarmClient
package import SwarmCore
import SwarmModel
import Synchronization

/// `swarmctl service logs` and `swarmctl logs`.
enum LogFlags {
    static let shared: [Flag] = [
        Flag("details", .bool, "Show extra details provided to logs"),
        Flag("follow", short: "f", .bool, "Follow log output"),
        Flag(
            "since", .string,
            "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"
        ),
        Flag(
            "tail", short: "n", .string, "Number of lines to show from the end of the logs",
            default: "\"all\""),
        Flag("timestamps", short: "t", .bool, "Show timestamps"),
    ]

    /// Of services and stacks: Docker has no end for these.
    static let gathered: [Flag] = [
        Flag(
            "until", .string,
            "Show logs before timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)")
    ]

    /// The request's parameters, apart from `details`.
    static func query(_ flags: ParsedFlags, now: Timestamp) throws(SwarmError) -> Query {
        var query: Query = ["stdout": "1", "stderr": "1"]
        if flags.isOn("follow") { query.append("follow", "1") }
        if flags.isOn("timestamps") { query.append("timestamps", "1") }
        for name in ["since", "until"] {
            if let text = flags.text(name) { query.append(name, try TimeArgument.parse(text, named: name, now: now)) }
        }
        query.append("tail", flags.text("tail") ?? "all")
        return query
    }
}

/// `--since` and `--until`: a time, seconds since 1970, or how long ago.
package enum TimeArgument {
    /// Seconds since 1970 with nine digits of fraction, as the API takes them.
    package static func parse(
        _ text: String, named name: String = "since", now: Timestamp
    ) throws(SwarmError) -> String {
        if let ago = try? GoDuration.parse(text) { return format(now.nanoseconds - ago) }
        if !text.isEmpty, text.allSatisfy({ $0.isASCII && $0.isNumber || $0 == "." }) { return text }
        // Days and local times without a zone are completed to full times in UTC.
        let completions = ["", "Z", ":00Z", "T00:00:00Z"]
        for completion in completions {
            if let time = Timestamp(text + completion) { return format(time.nanoseconds) }
        }
        throw SwarmError(
            .invalidArgument,
            "invalid value for \"\(name)\": failed to parse value as time or duration: \"\(text)\"")
    }

    private static func format(_ nanoseconds: Int64) -> String {
        let fraction = String(nanoseconds % 1_000_000_000)
        return "\(nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 9 - fraction.count)
            + fraction
    }
}

extension ServiceVerbs {
    static let logs = Command(
        "logs", "Fetch the logs of a service or task", usage: "[OPTIONS] SERVICE|TASK",
        arguments: .exactly(1),
        flags: LogFlags.shared + LogFlags.gathered + [
            Flag("no-resolve", .bool, "Do not map IDs to Names in output"),
            Flag("no-task-ids", .bool, "Do not include task IDs in output"),
            Flag("no-trunc", .bool, "Do not truncate output"),
            Flag("raw", .bool, "Do not neatly format logs"),
        ]
    ) { invocation in
        let client = invocation.client
        let argument = invocation.arguments[0]
        var query = try LogFlags.query(invocation.flags, now: Timestamp(nanoseconds: WallClock.nanoseconds))
        let path: String
        let hasTerminal: Bool
        do {
            let service = try await client.service(argument)
            path = "/services/\(service.id)/logs"
            hasTerminal = service.spec.taskTemplate.containerSpec?.tty ?? false
        } catch let error as SwarmError where error.code == .notFound {
            do {
                let task = try await client.task(argument)
                path = "/tasks/\(task.id)/logs"
                hasTerminal = task.spec.containerSpec?.tty ?? false
            } catch let error as SwarmError where error.code == .notFound {
                throw CommandFailure("no such task or service: \(argument)")
            }
        }
        let isRaw = invocation.isOn("raw")
        if hasTerminal && !isRaw { throw CommandFailure("tty service logs only supported with --raw") }
        if !isRaw || invocation.isOn("details") { query.append("details", "1") }
        let names = isRaw ? TaskNames() : try await TaskNames.load(invocation)
        let relay = LogRelay(
            writer: TaskLogWriter(names: names, flags: invocation.flags), isRaw: isRaw,
            console: invocation.console, lateNames: isRaw ? nil : TaskNames.lookup(invocation))
        let isComplete = try await relay.run(
            try await client.stream(.get, path, query), hasTerminal: hasTerminal)
        if !isComplete { throw CommandFailure("") }
    }
}

/// Writes the log streams of services as they come; several may run side by side.
final class LogRelay: Sendable {
    private let writer: Mutex<TaskLogWriter>
    private let isRaw: Bool
    private let console: Console
    /// Names of a task that nobody had heard of, and of its node: one that started meanwhile.
    private let lateNames: (@Sendable (_ task: String) async -> TaskNames)?

    init(
        writer: TaskLogWriter, isRaw: Bool, console: Console,
        lateNames: (@Sendable (_ task: String) async -> TaskNames)? = nil
    ) {
        self.writer = Mutex(writer)
        (self.isRaw, self.console, self.lateNames) = (isRaw, console, lateNames)
    }

    /// - Returns: false when the engine has said that something is missing.
    func run(_ stream: EngineStream, hasTerminal: Bool) async throws -> Bool {
        var splitter = FrameSplitter()
        var isComplete = true
        for try await part in stream {
            for frame in hasTerminal ? [.init(stream: .stdout, bytes: part)] : splitter.frames(adding: part) {
                if frame.stream != .systemError, !isRaw { await learnNames(frame.bytes) }
                switch frame.stream {
                case .systemError:
                    isComplete = false
                    console.writeError(bytes: frame.bytes)
                case .stderr: console.writeError(bytes: try line(frame.bytes))
                case .stdin, .stdout: console.write(bytes: try line(frame.bytes))
                }
            }
            console.flush()
        }
        return isComplete
    }

    private func learnNames(_ line: [UInt8]) async {
        guard let lateNames, let task = writer.withLock({ $0.stranger(in: line) }) else { return }
        let names = await lateNames(task)
        writer.withLock { $0.learn(task, names) }
    }

    private func line(_ bytes: [UInt8]) throws -> [UInt8] {
        isRaw ? bytes : try writer.withLock { try $0.line(bytes) }
    }
}

/// What log lines call tasks and nodes.
package struct TaskNames: Sendable {
    package var tasks: [String: String] = [:]
    package var nodes: [String: String] = [:]

    package init(tasks: [String: String] = [:], nodes: [String: String] = [:]) {
        (self.tasks, self.nodes) = (tasks, nodes)
    }

    static func load(_ invocation: Invocation) async throws -> TaskNames {
        let listing = try await TaskVerbs.names(invocation)
        var names = TaskNames(nodes: listing.nodeNames)
        for task in try await invocation.client.tasks() { names.tasks[task.id] = listing.name(task) }
        return names
    }

    /// Asks for one task's names when they are needed; a task that cannot be found keeps its identifier.
    static func lookup(_ invocation: Invocation) -> @Sendable (_ task: String) async -> TaskNames {
        { id in
            var names = TaskNames()
            do {
                let listing = try await TaskVerbs.names(invocation)
                let task = try await invocation.client.task(id)
                names = TaskNames(tasks: [id: listing.name(task)], nodes: listing.nodeNames)
            } catch {
                // The line is worth more than its name.
            }
            return names
        }
    }
}

/// Puts the task's name before each line: `web.1.t7x0k3@node1    | hello`.
package struct TaskLogWriter: Sendable {
    private var names: TaskNames
    /// Tasks that were asked for and have no name.
    private var nameless: Set<String> = []
    private let showsIDs: Bool
    private let truncates: Bool
    private let showsTime: Bool
    private let showsDetails: Bool
    /// Names are padded to the widest seen, so that bars line up.
    private var width = 0

    package init(names: TaskNames, flags: ParsedFlags) {
        self.names = names
        showsIDs = !flags.isOn("no-task-ids")
        truncates = !flags.isOn("no-trunc")
        showsTime = flags.isOn("timestamps")
        showsDetails = flags.isOn("details")
    }

    /// The task of a line, when it has no name yet.
    mutating func stranger(in bytes: [UInt8]) -> String? {
        var words = bytes.split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)[...]
        if showsTime { words = words.dropFirst() }
        guard let details = words.first else { return nil }
        for part in details.split(separator: UInt8(ascii: ",")) {
            let (key, value) = String(decoding: part, as: UTF8.self).keyAndValue
            guard key == "com.docker.swarm.task.id", let value else { continue }
            return names.tasks[value] == nil && !nameless.contains(value) ? value : nil
        }
        return nil
    }

    mutating func learn(_ task: String, _ found: TaskNames) {
        names.nodes.merge(found.nodes) { $1 }
        names.tasks.merge(found.tasks) { $1 }
        if names.tasks[task] == nil { nameless.insert(task) }
    }

    /// `[time ]details message`, with the details replaced by a name.
    package mutating func line(_ bytes: [UInt8]) throws(SwarmError) -> [UInt8] {
        var rest = bytes[...]
        func word() -> String {
            let end = rest.firstIndex(of: 0x20) ?? rest.endIndex
            defer { rest = end < rest.endIndex ? rest[(end + 1)...] : rest[end...] }
            return String(decoding: rest[..<end], as: UTF8.self)
        }
        let time = showsTime ? word() + " " : ""
        let details = word()
        var values: [String: String] = [:]
        for part in details.split(separator: ",") {
            let (key, value) = String(part).keyAndValue
            values[key] = value ?? ""
        }
        guard let node = values["com.docker.swarm.node.id"], let task = values["com.docker.swarm.task.id"]
        else {
            throw SwarmError(.unknown, "missing node id in details of a log line: \(details)")
        }
        let prefix = label(task: task, node: node)
        width = max(width, prefix.count)
        // Which task it is stands before the bar already.
        let others = details.split(separator: ",").filter { !$0.hasPrefix("com.docker.swarm.") }.joined(separator: ",")
        let extra = showsDetails ? others + " " : ""
        return Array("\(time)\(prefix.padded(width))    | \(extra)".utf8) + rest
    }

    private func label(task: String, node: String) -> String {
        let id = truncates ? task.shortID : task
        let name = names.tasks[task].map { showsIDs ? "\($0).\(id)" : $0 } ?? id
        return "\(name)@\(names.nodes[node] ?? node)"
    }
}
