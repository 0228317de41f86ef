import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl run`, `create`, `start` and `attach`: containers that are no tasks.
extension ContainerVerbs {
    private struct Creation: Encodable, Sendable {
        struct Binding: Encodable, Sendable {
            var HostIp = ""
            var HostPort = ""
        }
        struct Host: Encodable, Sendable {
            var Binds: [String]?
            var NetworkMode = "default"
            var PortBindings: [String: [Binding]] = [:]
            var RestartPolicy: RestartRule?
            var AutoRemove = false
            var Privileged = false
            var ReadonlyRootfs = false
            var CapAdd: [String]?
            var CapDrop: [String]?
            var Dns: [String]?
            var ExtraHosts: [String]?
            var Memory: Int64?
            var NanoCpus: Int64?
            var Init: Bool?
        }
        struct Networking: Encodable, Sendable {
            struct Endpoint: Encodable, Sendable { var Aliases: [String] }
            var EndpointsConfig: [String: Endpoint]
        }
        var Image: String
        var Cmd: [String]?
        var Entrypoint: [String]?
        var Env: [String] = []
        var Hostname: String?
        var User: String?
        var WorkingDir: String?
        var Labels: [String: String] = [:]
        var Tty = false
        var OpenStdin = false
        var StdinOnce = false
        var AttachStdin = false
        var AttachStdout = false
        var AttachStderr = false
        var StopSignal: String?
        var HostConfig = Host()
        var NetworkingConfig: Networking?
        var ExposedPorts: [String: [String: String]] = [:]
    }

    private static let creationFlags: [Flag] = [
        Flag("add-host", .list(), "Add a custom host-to-IP mapping (host:ip)"),
        Flag("cap-add", .list(), "Add Linux capabilities"),
        Flag("cap-drop", .list(), "Drop Linux capabilities"),
        Flag("cpus", .cpus, "Number of CPUs"), Flag("dns", .list(), "Set custom DNS servers"),
        Flag("entrypoint", .string, "Overwrite the default ENTRYPOINT of the image"),
        Flag("env", short: "e", ServiceFlags.environment, "Set environment variables"),
        Flag("hostname", short: "h", .string, "Container host name"),
        Flag("init", .bool, "Run an init inside the container that forwards signals and reaps processes"),
        Flag("interactive", short: "i", .bool, "Keep STDIN open even if not attached"),
        Flag("label", short: "l", ServiceFlags.labels, "Set meta data on a container"),
        Flag("memory", short: "m", .bytes, "Memory limit"),
        Flag("name", .string, "Assign a name to the container"),
        Flag("network", .string, "Connect a container to a network").offering(.names(.network)),
        Flag("network-alias", .list(), "Add network-scoped alias for the container"),
        Flag("privileged", .bool, "Give extended privileges to this container"),
        Flag("publish", short: "p", .list(), "Publish a container's port(s) to the host"),
        Flag("read-only", .bool, "Mount the container's root filesystem as read only"),
        Flag("restart", .string, "Restart policy to apply when a container exits", default: "\"no\"")
            .offering(.words(RestartRule.names)),
        Flag("rm", .bool, "Automatically remove the container when it exits"),
        Flag("stop-signal", .string, "Signal to stop the container"),
        Flag("tty", short: "t", .bool, "Allocate a pseudo-TTY"),
        Flag("user", short: "u", .string, "Username or UID (format: \"<name|uid>[:<group|gid>]\")"),
        Flag("volume", short: "v", .list(), "Bind mount a volume"),
        Flag("workdir", short: "w", .string, "Working directory inside the container"),
    ]

    static let create = Command(
        "create", "Create a new container", usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        arguments: .atLeast(1),
        flags: creationFlags
    ) { invocation in
        let body = try creation(invocation, isDetached: false)
        invocation.console.print(try await make(body, invocation))
    }.endingFlagsAtArguments()

    static let run = Command(
        "run", "Create and run a new container from an image", usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        arguments: .atLeast(1),
        flags: creationFlags + [
            Flag("detach", short: "d", .bool, "Run container in background and print container ID"), DetachKeys.flag,
        ]
    ) { invocation in
        let isDetached = invocation.isOn("detach")
        let isInteractive = invocation.isOn("interactive") && !isDetached
        if invocation.isOn("tty") && isInteractive && !invocation.console.isInputTerminal {
            throw CommandFailure("the input device is not a TTY")
        }
        let body = try creation(invocation, isDetached: isDetached)
        let id: String
        do {
            id = try await make(body, invocation)
            if isDetached { _ = try await invocation.client.bytes(.post, "/containers/\(id)/start") }
        } catch let error as SwarmError {
            throw refusal(error.description, status: startStatus(error))
        } catch let failure as CommandFailure {
            throw refusal(failure.message, status: CommandFailure.usageStatus)
        }
        guard !isDetached else { return invocation.console.print(id) }
        do {
            try await follow(
                id, invocation, hasTerminal: body.Tty, sendsInput: isInteractive,
                isRemoved: body.HostConfig.AutoRemove,
                starts: true)
        } catch let failure as CommandFailure {
            // Without words it is the container's own status.
            throw failure.message.isEmpty ? failure : refusal(failure.message, status: failure.status)
        }
    }.endingFlagsAtArguments()

    static let start = Command(
        "start", "Start one or more stopped containers", usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        arguments: .atLeast(1),
        flags: [
            Flag("attach", short: "a", .bool, "Attach STDOUT/STDERR and forward signals"),
            DetachKeys.flag, Flag("interactive", short: "i", .bool, "Attach container's STDIN"),
        ]
    ) { invocation in
        let (attaches, isInteractive) = (invocation.isOn("attach"), invocation.isOn("interactive"))
        guard attaches || isInteractive else {
            return try await forEachArgument(invocation) { argument in
                _ = try await invocation.client.bytes(.post, "/containers/\(argument)/start")
                return argument
            }
        }
        guard invocation.arguments.count == 1 else {
            throw CommandFailure("you cannot start and attach multiple containers at once")
        }
        let found = try await invocation.client.json("/containers/\(invocation.arguments[0])/json")
        try await follow(
            found["Id"]?.text ?? "", invocation, hasTerminal: found["Config"]?["Tty"]?.isTrue == true,
            sendsInput: isInteractive, isRemoved: found["HostConfig"]?["AutoRemove"]?.isTrue == true,
            starts: true)
    }

    static let attach = Command(
        "attach", "Attach local standard input, output, and error streams to a running container",
        usage: "[OPTIONS] CONTAINER", arguments: .exactly(1),
        flags: [DetachKeys.flag, Flag("no-stdin", .bool, "Do not attach STDIN")]
    ) { invocation in
        let found = try await invocation.client.json("/containers/\(invocation.arguments[0])/json")
        guard found["State"]?["Running"]?.isTrue == true else {
            throw CommandFailure("cannot attach to a stopped container, start it first")
        }
        try await follow(
            found["Id"]?.text ?? "", invocation, hasTerminal: found["Config"]?["Tty"]?.isTrue == true,
            sendsInput: found["Config"]?["OpenStdin"]?.isTrue == true && !invocation.isOn("no-stdin"),
            isRemoved: found["HostConfig"]?["AutoRemove"]?.isTrue == true, starts: false)
    }

    private static func refusal(_ message: String, status: Int32) -> CommandFailure {
        CommandFailure("swarmctl: \(message)\n\nRun 'swarmctl run --help' for more information", status: status)
    }

    /// Docker's codes of what could not be run.
    private static func startStatus(_ error: SwarmError) -> Int32 {
        let message = error.description
        if message.contains("executable file not found") || message.contains("no such file or directory") {
            return 127
        }
        return message.contains("permission denied") || message.contains("is a directory") ? 126 : 125
    }

    // MARK: Creation

    private static func creation(_ invocation: Invocation, isDetached: Bool) throws -> Creation {
        var body = Creation(Image: invocation.arguments[0])
        let command = Array(invocation.arguments.dropFirst())
        body.Cmd = command.isEmpty ? nil : command
        body.Entrypoint = invocation.flag("entrypoint").map { [$0] }
        body.Env = EnvironmentFile.resolve(invocation.list("env"), from: invocation.environment)
        (body.Hostname, body.User) = (invocation.flag("hostname"), invocation.flag("user"))
        (body.WorkingDir, body.StopSignal) = (invocation.flag("workdir"), invocation.flag("stop-signal"))
        body.Labels = ServiceCreation.pairs(invocation.list("label"))
        let isInteractive = invocation.isOn("interactive")
        (body.Tty, body.OpenStdin) = (invocation.isOn("tty"), isInteractive)
        body.StdinOnce = isInteractive && !isDetached
        body.AttachStdin = isInteractive && !isDetached
        (body.AttachStdout, body.AttachStderr) = (!isDetached, !isDetached)
        body.HostConfig = try host(invocation, &body)
        let aliases = invocation.list("network-alias")
        if !aliases.isEmpty {
            body.NetworkingConfig = .init(EndpointsConfig: [
                body.HostConfig.NetworkMode: .init(Aliases: aliases)
            ])
        }
        return body
    }

    private static func host(_ invocation: Invocation, _ body: inout Creation) throws -> Creation.Host {
        var host = Creation.Host()
        func list(_ name: String) -> [String]? {
            let values = invocation.list(name)
            return values.isEmpty ? nil : values
        }
        (host.Binds, host.CapAdd, host.CapDrop) = (list("volume"), list("cap-add"), list("cap-drop"))
        (host.Dns, host.ExtraHosts) = (list("dns"), list("add-host"))
        host.NetworkMode = invocation.flag("network") ?? "default"
        (host.AutoRemove, host.Privileged) = (invocation.isOn("rm"), invocation.isOn("privileged"))
        host.ReadonlyRootfs = invocation.isOn("read-only")
        host.Init = invocation.isOn("init") ? true : nil
        host.Memory = try invocation.flag("memory").map { text throws(SwarmError) in try Size.bytes(text) }
        host.NanoCpus = try invocation.flag("cpus").map { text throws(SwarmError) in try Size.nanoCPUs(text) }
        host.RestartPolicy = try invocation.flag("restart").map { try RestartRule($0) }
        for text in invocation.list("publish") {
            for (port, binding) in try published(text) {
                host.PortBindings[port, default: []].append(binding)
                body.ExposedPorts[port] = [:]
            }
        }
        return host
    }

    /// `[ADDRESS:][PORT:]PORT[/PROTOCOL]`.
    private static func published(_ text: String) throws -> [(String, Creation.Binding)] {
        var fields = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var binding = Creation.Binding()
        if fields.count == 3 { binding.HostIp = fields.removeFirst() }
        guard fields.count <= 2 else { throw CommandFailure("invalid port specification: \"\(text)\"") }
        let plain = fields.count == 2 && fields[0].isEmpty ? fields[1] : fields.joined(separator: ":")
        return try PublishOption.parse(plain).map { port in
            var binding = binding
            binding.HostPort = port.publishedPort.map { $0 == 0 ? "" : String($0) } ?? ""
            return ("\(port.targetPort ?? 0)/\(port.proto ?? "tcp")", binding)
        }
    }

    /// Creates it; an image that is not there is fetched first.
    private static func make(_ body: Creation, _ invocation: Invocation) async throws -> String {
        let query: Query = invocation.flag("name").map { ["name": $0] } ?? [:]
        func post() async throws(SwarmError) -> String {
            let bytes = try await invocation.client.post("/containers/create", query, body: body)
            return try JSONValue(parsing: bytes)["Id"]?.text ?? ""
        }
        do {
            return try await post()
        } catch {
            guard error.code == .notFound, error.message.contains("No such image") else { throw error }
            invocation.console.complain("Unable to find image '\(body.Image)' locally")
            let progress = try await invocation.client.stream(.post, "/images/create", ["fromImage": body.Image])
            try await ProgressStream.show(progress, invocation, quiet: false, toErrors: true)
            return try await post()
        }
    }

    // MARK: Attached

    /// Shows a container's output and sends it input until it ends; its exit code becomes this command's.
    private static func follow(
        _ id: String, _ invocation: Invocation, hasTerminal: Bool, sendsInput: Bool, isRemoved: Bool,
        starts: Bool
    ) async throws {
        let (client, console) = (invocation.client, invocation.console)
        let condition = isRemoved ? "removed" : starts ? "next-exit" : "not-running"
        let exit = try await client.stream(.post, "/containers/\(id)/wait", ["condition": condition])
        var query: Query = ["stream": "1", "stdout": "1", "stderr": "1"]
        if sendsInput { query.append("stdin", "1") }
        console.flush()
        let terminal = hasTerminal && sendsInput ? TerminalMode.raw() : nil
        defer { terminal?.restore() }
        let letGo = Detaching(terminal, try DetachKeys(invocation.flag("detach-keys") ?? ""))
        try await ExecConnection.start("/containers/\(id)/attach", query, of: client, body: EmptyBody()) {
            stream in
            if starts {
                do throws(SwarmError) {
                    _ = try await client.bytes(.post, "/containers/\(id)/start")
                } catch {
                    // Docker removes what it could not start, too.
                    if isRemoved { _ = try? await client.bytes(.delete, "/containers/\(id)", ["force": "1"]) }
                    throw CommandFailure(error.description, status: startStatus(error))
                }
            }
            let follower = hasTerminal ? followSize("/containers/\(id)/resize", client, console) : nil
            defer { follower?.cancel() }
            try await exchange(
                stream, console, isRaw: hasTerminal, sendsInput: sendsInput,
                letGo: letGo)
        }
        var bytes: [UInt8] = []
        for try await part in exit { bytes += part }
        let code = try JSONValue(parsing: bytes)["StatusCode"]?.integer ?? 0
        if code != 0 { throw CommandFailure("", status: Int32(truncatingIfNeeded: code)) }
    }

    private struct EmptyBody: Encodable, Sendable {}
}

extension JSONValue {
    fileprivate var isTrue: Bool { if case .bool(true) = self { true } else { false } }
}
