import SwarmClient
import SwarmCore
import SwarmModel

#if canImport(Glibc)
    import Glibc
#endif

/// The `swarmctl` program: finds the verb, parses its flags, runs it and turns the outcome into an exit status.
package enum SwarmCommand {
    package static let root: Command = {
        var root = Command(
            "swarmctl", "Manage a swarm of container hosts",
            children: [
                ServiceVerbs.command, StackVerbs.command, NodeVerbs.command, SwarmVerbs.command, NetworkVerbs.command,
                ImageVerbs.command, VolumeVerbs.command,
                ContainerVerbs.command, TaskVerbs.command, FileVerbs.secrets, FileVerbs.configs,
                SystemVerbs.command, SystemVerbs.version, ObjectInspect.command, RegistryVerbs.login,
                RegistryVerbs.logout, RegistryVerbs.search, CompletionVerbs.script, CompletionVerbs.candidates,
                SystemVerbs.info, SystemVerbs.events, TaskVerbs.processID, ContainerVerbs.list.named("ps"),
                ContainerVerbs.logs, ContainerVerbs.exec, ContainerVerbs.run, ContainerVerbs.create.hidden(),
                ContainerVerbs.attach.hidden(), ContainerVerbs.copy.hidden(), ContainerVerbs.kill.hidden(),
                ContainerVerbs.pause.hidden(), ContainerVerbs.remove.hidden(), ContainerVerbs.rename.hidden(),
                ContainerVerbs.restart.hidden(), ContainerVerbs.start.hidden(), ContainerVerbs.stats.hidden(),
                ContainerVerbs.stop.hidden(), ContainerVerbs.top.hidden(), ContainerVerbs.unpause.hidden(),
                ContainerVerbs.update.hidden(), ContainerVerbs.wait.hidden(),
                ImageVerbs.list.named("images"), ImageVerbs.history.hidden(),
                ImageVerbs.pull.hidden(),
                ImageVerbs.load.hidden(), ImageVerbs.importing.hidden(), ImageVerbs.tag.hidden(),
                ImageVerbs.remove.named("rmi").hidden(),
            ])
        root.usage = "[OPTIONS] COMMAND [ARG...]"
        root.isInterspersed = false
        root.flags = [
            Flag(
                "host", short: "H", .string, "Daemon socket to connect to",
                default: "\"\(EngineHost.standard)\""),
            Flag("debug", short: "D", .bool, "Print the causes of errors"),
            Flag("tls", .bool, "Use TLS; implied by --tlsverify"),
            Flag("tlscacert", .string, "Trust certs signed only by this CA").offering(.files),
            Flag("tlscert", .string, "Path to TLS certificate file").offering(.files),
            Flag("tlskey", .string, "Path to TLS key file").offering(.files),
            Flag("tlsverify", .bool, "Use TLS and verify the remote"),
            Flag("version", short: "v", .bool, "Print version information and quit"),
        ]
        return root
    }()

    package static func main() async -> Never {
        // A reader that goes away (`| head`) is no crash: writing fails and the program ends.
        _ = signal(SIGPIPE, SIG_IGN)
        let console = Console.standard()
        let words = Array(CommandLine.arguments.dropFirst())
        let status = await run(words, console: console, environment: ProcessEnvironment.current)
        console.flush()
        exit(status)
    }

    /// Runs one command line and returns its exit status.
    package static func run(_ words: [String], console: Console, environment: [String: String]) async -> Int32
    {
        do {
            try await dispatch(words, console, environment)
            return 0
        } catch let failure as CommandFailure {
            if !failure.message.isEmpty { console.complain(failure.message) }
            return failure.status
        } catch let error as SwarmError {
            console.complain(error.description)
            return 1
        } catch {
            console.complain("\(error)")
            return 1
        }
    }

    private static func dispatch(
        _ words: [String], _ console: Console, _ environment: [String: String]
    ) async throws {
        var (command, path) = (root, root.name)
        let global = try parse(words, command, path, console)
        guard let global else { return }
        if global.isOn("version") {
            console.print("swarmctl version \(SystemVerbs.clientVersion)")
            return
        }
        var rest = global.arguments[...]
        while command.action == nil {
            let word = rest.popFirst()
            guard let word, word != "--help", word != "-h" else {
                let help = CommandHelp(command: command, path: path, columns: console.columns).text
                // Who asks for it reads it on standard output; who forgot a verb is told on the other.
                if word == nil && command.name != root.name {
                    console.writeError(bytes: Array(help.utf8))
                } else {
                    console.write(help)
                }
                return
            }
            guard let child = command.child(word) else {
                let help = CommandHelp(command: command, path: path, columns: console.columns)
                throw CommandFailure(help.refusal(unknown: word))
            }
            (command, path) = (child, "\(path) \(child.name)")
        }
        guard let parsed = try parse(Array(rest), command, path, console), let action = command.action else {
            return
        }
        let help = CommandHelp(command: command, path: path, columns: console.columns)
        if let complaint = command.arguments.complaint(parsed.arguments.count) {
            throw CommandFailure(help.refusal(complaint: complaint))
        }
        let client = try client(global, environment)
        let invocation = Invocation(
            path: path, flags: parsed, arguments: parsed.arguments, client: client, console: console,
            environment: environment)
        do {
            try await action(invocation)
        } catch is HelpRequest {
            console.write(help.text)
        } catch {
            await client.shutDown()
            throw global.isOn("debug") ? error : withoutCause(error)
        }
        await client.shutDown()
    }

    /// The engine that the flags before the verb name, or else the environment.
    static func client(_ global: ParsedFlags, _ environment: [String: String]) throws -> EngineClient {
        let address = [global.text("host"), environment["SWARM_HOST"], environment["DOCKER_HOST"]]
            .compactMap { $0 }.first { !$0.isEmpty }
        let host = try EngineHost(
            address ?? EngineHost.standard, security: TLSFlags.security(global, environment, address))
        return try EngineClient(host: host)
    }

    /// Parses one level's flags; nil when help was asked for, and given.
    private static func parse(
        _ words: [String], _ command: Command, _ path: String, _ console: Console
    ) throws -> ParsedFlags? {
        let help = CommandHelp(command: command, path: path, columns: console.columns)
        do {
            let parsed = try FlagParser(command.flags, interspersed: command.isInterspersed).parse(words)
            guard parsed.wantsHelp else { return parsed }
            console.write(help.text)
            return nil
        } catch {
            throw CommandFailure(help.refusal(error), status: CommandFailure.usageStatus)
        }
    }

    /// Causes are for those who look into swarmctl itself.
    private static func withoutCause(_ error: any Error) -> any Error {
        guard var error = error as? SwarmError, error.code == .unavailable else { return error }
        error.cause = nil
        return error
    }
}
