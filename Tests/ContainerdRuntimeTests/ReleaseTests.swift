import Foundation
import Glibc
import Logging
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

/// Looks again until `condition` holds.
/// - Returns: whether it did within `bound`.
private func eventually(
    within bound: Duration = .seconds(15), _ condition: () async -> Bool
) async -> Bool {
    let deadline = ContinuousClock.now + bound
    while ContinuousClock.now < deadline {
        if await condition() { return true }
        try? await Task.sleep(for: .milliseconds(20))
    }
    return false
}

private func shims(_ id: String) -> [ShimProcess] { ShimProcess.all().filter { $0.id == id } }

/// A second service on the same directories, as after `kill -9` of the first.
private func withHeir(
    _ configuration: RuntimeConfiguration, _ body: (ContainerdRuntimeService) async throws -> Void
) async throws {
    let heir = try ContainerdRuntimeService(configuration: configuration, logger: Logger(label: "heir"))
    try await heir.start()
    do { try await body(heir) } catch {
        await heir.shutdown(everything: false)
        throw error
    }
    await heir.shutdown(everything: false)
}

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(2))) struct ReleaseTests {
    @Test func `an ended container keeps its exit code and log but no shim, mount or control group`() async throws {
        try await withRuntime { runtime, configuration in
            let short = request(["sh", "-c", "echo words; exit 7"])
            #expect(try await runtime.run(short).code == 7)
            #expect(await eventually { shims(short.id).isEmpty })
            #expect(await eventually { await runtime.endedTasks.isEmpty })
            #expect(try await runtime.containerdTasks() == [])
            let mounts = try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
            #expect(!mounts.contains(short.id))
            let groups = try FileManager.default.contentsOfDirectory(atPath: "/sys/fs/cgroup").filter {
                FileManager.default.fileExists(atPath: "/sys/fs/cgroup/\($0)\(configuration.cgroupParent)/\(short.id)")
            }
            #expect(groups == [])
            try await withHeir(configuration) { heir in
                let info = try await heir.inspect(short.id)
                #expect(info.state == .exited && info.exitCode == 7 && info.finishedAt != nil)
                var lines: [String] = []
                for try await line in try await heir.logs(short.id, LogOptions()) {
                    lines.append(String(decoding: line.text, as: UTF8.self))
                }
                #expect(lines == ["words"])
                let error = await #expect(throws: SwarmError.self) { try await heir.start(short.id) }
                #expect(error?.code == .failedPrecondition)
                let kill = await #expect(throws: SwarmError.self) { try await heir.kill(short.id, signal: "TERM") }
                #expect(kill?.code == .conflict)
                try await heir.stop(short.id, gracePeriod: .seconds(1))
            }
            try await runtime.remove(short.id, force: false)
            #expect(try await runtime.containers().isEmpty)
        }
    }

    @Test func `an end that no daemon saw is written down before its task goes`() async throws {
        try await withRuntime { runtime, configuration in
            let events = await runtime.events()
            let short = request(["sh", "-c", "exit 5"])
            try await runtime.create(short)
            await runtime.keepTask(of: short.id)
            _ = try await runtime.start(short.id)
            for await event in events { if case .exited(short.id, _, _, _) = event { break } }
            try await runtime.forgetExit(of: short.id)
            #expect(shims(short.id).count == 1)
            try await withHeir(configuration) { heir in
                let code = try await heir.inspect(short.id).exitCode
                #expect(code == 5)
                #expect(await eventually { shims(short.id).isEmpty })
            }
            try await withHeir(configuration) { heir in
                let code = try await heir.inspect(short.id).exitCode
                #expect(code == 5)
            }
        }
    }

    @Test func `a shim that containerd has forgotten is ended, one under way and others' are not`() async throws {
        try await withRuntime { runtime, configuration in
            let base = URL(filePath: configuration.dataDirectory).deletingLastPathComponent().path
            let socket = configuration.runDirectory + "/containerd.sock"
            let foreign = base + "/foreign.sock"
            try Data().write(to: URL(filePath: foreign))
            var generator = SystemRandomNumberGenerator()
            let ids = (0..<3).map { _ in Identifier.randomHex(using: &generator) }
            await runtime.beginCreating(ids[0])
            try startShim(ids[0], "swarm", address: socket, listener: socket, in: base)
            try startShim(ids[1], "others", address: socket, listener: socket, in: base)
            try startShim(ids[2], "swarm", address: foreign, listener: socket, in: base)
            defer { for shim in ids.flatMap(shims) { shim.end() } }
            #expect(await eventually { ids.allSatisfy { shims($0).count == 1 } })
            let shim = try #require(shims(ids[0]).first)
            let sockets = Set(try FileManager.default.contentsOfDirectory(atPath: "/run/containerd/s"))
            await runtime.endOrphanedShims()
            #expect(ids.allSatisfy { shims($0) != [] })
            await runtime.endCreating(ids[0])
            await runtime.endOrphanedShims()
            #expect(await eventually { kill(shim.pid, 0) != 0 || shims(ids[0]).isEmpty })
            #expect(shims(ids[1]).count == 1 && shims(ids[2]).count == 1)
            let left = Set(try FileManager.default.contentsOfDirectory(atPath: "/run/containerd/s"))
            let name = ContentWriter.digest(of: Array("\(socket)/swarm/\(ids[0])".utf8)).dropFirst("sha256:".count)
            #expect(sockets.contains(String(name)) && !left.contains(String(name)))
        }
    }

    /// Starts a shim as containerd does, and like containerd after a lost request never asks it anything.
    private func startShim(
        _ id: String, _ namespace: String, address: String, listener: String, in base: String
    ) throws {
        let bundle = base + "/bundle-" + id
        try FileManager.default.createDirectory(atPath: bundle, withIntermediateDirectories: true)
        try Data(#"{"ociVersion":"1.0.2"}"#.utf8).write(to: URL(filePath: bundle + "/config.json"))
        let command = "cd \(bundle) && exec containerd-shim-runc-v2 -namespace \(namespace) -id \(id) "
            + "-address \(address) -publish-binary /usr/bin/containerd start"
        let process = try ChildProcess.spawnDetached(
            "/bin/sh", ["-c", command],
            environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TTRPC_ADDRESS=\(listener).ttrpc"],
            logFile: bundle + "/log")
        var status: Int32 = 0
        #expect(unsafe waitpid(process, &status, 0) == process)
        let log = (try? String(contentsOfFile: bundle + "/log", encoding: .utf8)) ?? ""
        #expect(status == 0, "the shim does not start: \(log)")
    }

    @Test func `only the long-lived runs of the shim program are taken for shims`() {
        let id = String(repeating: "a", count: 64)
        let words = ["/usr/bin/containerd-shim-runc-v2", "-namespace", "swarm", "-id", id, "-address", "/run/x.sock"]
        func parse(_ words: [String]) -> ShimProcess? {
            ShimProcess(pid: 1, commandLine: words.map { $0 + "\0" }.joined())
        }
        let shim = parse(words)
        #expect(shim?.namespace == "swarm" && shim?.id == id && shim?.address == "/run/x.sock")
        #expect(parse(words + ["-debug"]) == shim)
        #expect(parse(words + ["start"]) == nil)
        #expect(parse(words + ["-bundle", "/b", "delete"]) == nil)
        #expect(parse(["/bin/sh"] + words.dropFirst()) == nil)
        #expect(parse(Array(words.prefix(5))) == nil)
        #expect(ShimProcess(pid: 1, commandLine: "") == nil)
    }
}

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(2))) struct PrivacyTests {
    @Test func `nothing that a task was given lies in the data directory, and an heir still knows it`() async throws {
        try await withRuntime { runtime, configuration in
            var marked = request(["/bin/tool", "MARKARGUMENT"]) {
                $0.env = ["MARK=MARKENVIRONMENT"]
                $0.healthcheck = HealthConfig(test: ["CMD-SHELL", "echo MARKCHECK"], interval: 3_600_000_000_000)
            }
            // A config may be a program.
            let script = "#!/bin/sh\necho MARKCONFIG $1 $MARK\nexec sleep 1000\n"
            marked.files = [
                ContainerFile(
                    path: "/bin/tool", data: Array(script.utf8), uid: 0, gid: 0, mode: 0o555, isSecret: false),
            ]
            marked.logDriver = "none"
            try await runtime.create(marked)
            _ = try await runtime.start(marked.id)
            #expect(try found("MARKCONFIG", below: configuration.dataDirectory) == [])
            for mark in ["MARKENVIRONMENT", "MARKARGUMENT", "MARKCHECK"] {
                #expect(try found(mark, below: configuration.dataDirectory + "/containers") == [])
            }
            try await withHeir(configuration) { heir in
                let info = try await heir.inspect(marked.id)
                #expect(info.arguments == ["/bin/tool", "MARKARGUMENT"])
                #expect(info.environment.contains("MARK=MARKENVIRONMENT"))
                #expect(info.request?.spec.args == marked.spec.args)
                #expect(info.health != .none)
                let config = try await heir.text(marked.id, "cat /bin/tool")
                #expect(config.contains("MARKCONFIG"))
                let ended = await heir.events()
                try await heir.kill(marked.id, signal: "KILL")
                for await event in ended { if case .exited(marked.id, _, _, _) = event { break } }
            }
            // As after a reboot: no file of the run directory is left.
            try FileManager.default.removeItem(atPath: configuration.runDirectory + "/private/" + marked.id)
            try await withHeir(configuration) { heir in
                let info = try await heir.inspect(marked.id)
                #expect(info.state == .exited && info.exitCode == 137 && info.name == marked.name)
                #expect(info.environment == [] && info.arguments == [])
            }
            try await runtime.remove(marked.id, force: true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: configuration.runDirectory + "/private") == [])
            #expect(try FileManager.default.contentsOfDirectory(atPath: configuration.runDirectory + "/secrets") == [])
        }
    }

    @Test func `a record that an older swarmd wrote in one file is divided`() async throws {
        try await withRuntime { runtime, configuration in
            let server = request(["sleep", "1000"]) { $0.env = ["MARK=MARKOLD"] }
            try await runtime.create(server)
            let file = configuration.dataDirectory + "/containers/\(server.id)/record.json"
            let whole = try #require(await runtime.records[server.id])
            try JSONEncoder().encode(whole).write(to: URL(filePath: file))
            try FileManager.default.removeItem(atPath: configuration.runDirectory + "/private/" + server.id)
            try await withHeir(configuration) { heir in
                let environment = try await heir.inspect(server.id).environment
                #expect(environment.contains("MARK=MARKOLD"))
            }
            #expect(try found("MARKOLD", below: configuration.dataDirectory + "/containers") == [])
            try await withHeir(configuration) { heir in
                let environment = try await heir.inspect(server.id).environment
                #expect(environment.contains("MARK=MARKOLD"))
            }
        }
    }

    /// Files below `directory` that hold `mark`.
    private func found(_ mark: String, below directory: String) throws -> [String] {
        let files = try FileManager.default.subpathsOfDirectory(atPath: directory)
        #expect(!files.isEmpty)
        return files.filter { path in
            var about = stat()
            guard unsafe lstat(directory + "/" + path, &about) == 0, about.st_mode & S_IFMT == S_IFREG else {
                return false
            }
            return FileManager.default.contents(atPath: directory + "/" + path)?.firstRange(of: Data(mark.utf8)) != nil
        }
    }
}

extension ContainerdRuntimeService {
    func containerdTasks() async throws -> [String] { try await processes().keys.sorted() }
    func beginCreating(_ id: String) { creating.insert(id) }
    func endCreating(_ id: String) { creating.remove(id) }

    /// Asks containerd for no end of its task, as a daemon that is killed before it could.
    func keepTask(of id: String) { withdrawing[id] = 1 }

    /// As if it had ended after this daemon's death.
    func forgetExit(of id: String) throws {
        guard var record = records[id] else { return }
        (record.finishedAt, record.exitCode) = (nil, nil)
        try record.write(to: directory(of: id) + "/record.json")
    }
}
