import NIOCore
import SwarmClient
import SwarmCore
import SwarmModel

#if canImport(Glibc)
    import Glibc
#endif

/// `swarmctl exec`.
extension ContainerVerbs {
    static let exec = Command(
        "exec", "Execute a command in a running container", usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
        arguments: .atLeast(2),
        flags: [
            Flag("detach", short: "d", .bool, "Detached mode: run command in the background"),
            DetachKeys.flag,
            Flag("env", short: "e", ServiceFlags.environment, "Set environment variables"),
            Flag("env-file", .list(), "Read in a file of environment variables").offering(.files),
            Flag("interactive", short: "i", .bool, "Keep STDIN open even if not attached"),
            Flag("privileged", .bool, "Give extended privileges to the command"),
            Flag("tty", short: "t", .bool, "Allocate a pseudo-TTY"),
            Flag("user", short: "u", .string, "Username or UID (format: \"<name|uid>[:<group|gid>]\")"),
            Flag("workdir", short: "w", .string, "Working directory inside the container"),
        ]
    ) { invocation in
        let (client, console) = (invocation.client, invocation.console)
        let isDetached = invocation.isOn("detach")
        let wantsTerminal = invocation.isOn("tty")
        let isInteractive = invocation.isOn("interactive") && !isDetached
        if wantsTerminal && isInteractive && !console.isInputTerminal {
            throw CommandFailure("the input device is not a TTY")
        }
        var body = ExecCreation()
        body.Cmd = Array(invocation.arguments.dropFirst())
        body.User = invocation.flag("user") ?? ""
        body.WorkingDir = invocation.flag("workdir") ?? ""
        body.Privileged = invocation.isOn("privileged")
        body.Tty = wantsTerminal
        body.Detach = isDetached
        body.DetachKeys = invocation.flag("detach-keys") ?? ""
        (body.AttachStdin, body.AttachStdout, body.AttachStderr) = (isInteractive, !isDetached, !isDetached)
        var entries: [String] = []
        for path in invocation.list("env-file") {
            entries += try EnvironmentFile.parse(try TextFile.read(path), named: path)
        }
        body.Env = EnvironmentFile.resolve(entries + invocation.list("env"), from: invocation.environment)
        body.ConsoleSize = wantsTerminal ? console.size() : nil

        let container = try await containerID(invocation.arguments[0], invocation)
        let id = try await client.create("/containers/\(container)/exec", body: body).id
        let start = ExecStart(detach: isDetached, tty: wantsTerminal, consoleSize: body.ConsoleSize)
        guard !isDetached else {
            try await client.post("/exec/\(id)/start", body: start)
            return
        }
        console.flush()
        let terminal = wantsTerminal && isInteractive ? TerminalMode.raw() : nil
        defer { terminal?.restore() }
        let letGo = Detaching(terminal, try DetachKeys(invocation.flag("detach-keys") ?? ""))
        try await ExecConnection.start("/exec/\(id)/start", of: client, body: start) { stream in
            let follower = wantsTerminal ? followSize("/exec/\(id)/resize", client, console) : nil
            defer { follower?.cancel() }
            try await exchange(
                stream, console, isRaw: wantsTerminal, sendsInput: isInteractive,
                letGo: letGo)
        }
        let ended: ExecInspection = try await client.get("/exec/\(id)/json")
        let status = Int32(truncatingIfNeeded: ended.exitCode ?? 0)
        if status != 0 { throw CommandFailure("", status: status) }
    }.endingFlagsAtArguments()

    /// A container by its own name, or the one of a task such as `web.1`.
    static func containerID(_ argument: String, _ invocation: Invocation) async throws -> String {
        do {
            let found: ContainerInspection = try await invocation.client.get("/containers/\(argument)/json")
            return found.id
        } catch {
            guard error.code == .notFound else { throw error }
            // A swarm may be absent here, and then there are no tasks to look among.
            let task = (try? await TaskVerbs.find(argument, invocation)) ?? nil
            guard let id = task?.status.containerStatus?.containerID, !id.isEmpty else { throw error }
            return id
        }
    }

    /// How often the terminal's size is looked at while a command runs on it.
    private static let sizePollMilliseconds: Int64 = 250

    /// Tells the engine whenever the terminal's size has changed.
    static func followSize(
        _ path: String, _ client: EngineClient, _ console: Console
    ) -> Task<Void, any Error> {
        Task {
            var known = console.size()
            while !Task.isCancelled {
                try await Task.sleep(for: .milliseconds(sizePollMilliseconds))
                guard let size = console.size(), size != known else { continue }
                known = size
                // An engine that cannot resize still runs the command.
                _ = try? await client.bytes(.post, path, ["h": String(size[0]), "w": String(size[1])])
            }
        }
    }

    /// The terminal to put back, and the keys that let go of what runs on it; nil without a terminal.
    struct Detaching: Sendable {
        var terminal: TerminalMode
        var keys: DetachKeys

        init?(_ terminal: TerminalMode?, _ keys: DetachKeys) {
            guard let terminal else { return nil }
            (self.terminal, self.keys) = (terminal, keys)
        }

        /// Ends this program: what it watched goes on without it.
        func leave(_ console: Console) -> Never {
            console.flush()
            terminal.restore()
            console.complain("read escape sequence")
            exit(0)
        }
    }

    static func exchange(
        _ stream: RawStream, _ console: Console, isRaw: Bool, sendsInput: Bool, letGo: Detaching?
    ) async throws {
        var stream = stream
        let sender = Task { [stream] in
            if sendsInput {
                var letGo = letGo
                for try await chunk in FileBytes(descriptor: STDIN_FILENO) {
                    guard let found = letGo?.keys.pass(Array(chunk.readableBytesView)) else {
                        try await stream.write(chunk)
                        continue
                    }
                    if !found.passed.isEmpty { try await stream.write(ByteBuffer(bytes: found.passed)) }
                    if found.isComplete, let letGo { letGo.leave(console) }
                }
            }
            stream.finish()
        }
        var splitter = FrameSplitter()
        func show(_ bytes: [UInt8]) {
            for frame in isRaw ? [.init(stream: .stdout, bytes: bytes)] : splitter.frames(adding: bytes) {
                if frame.stream == .stderr || frame.stream == .systemError {
                    console.writeError(bytes: frame.bytes)
                } else {
                    console.write(bytes: frame.bytes)
                }
            }
            console.flush()
        }
        show(stream.first)
        while let bytes = try await stream.next() { show(bytes) }
        // The command has ended; nobody reads what is still typed.
        sender.cancel()
    }
}

/// The terminal without line editing, echo and signals, as an interactive command needs it.
struct TerminalMode: Sendable {
    private let saved: termios

    static func raw() -> TerminalMode? {
        var settings = termios()
        guard unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { return nil }
        let mode = TerminalMode(saved: settings)
        unsafe cfmakeraw(&settings)
        unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
        return mode
    }

    func restore() {
        var settings = saved
        unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
    }
}
