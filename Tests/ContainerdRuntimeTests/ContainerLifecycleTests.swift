import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
import Logging
import Ports
import SwarmCore
import SwarmModel
import SwiftProtobuf
import Testing

@testable import ContainerdRuntime

/// A runtime of the test's own with busybox in it; everything goes afterwards.
func withRuntime(_ body: (ContainerdRuntimeService, RuntimeConfiguration) async throws -> Void) async throws {
    let name = "\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let base = "/tmp/swarm-runtime-" + name
    let configuration = RuntimeConfiguration(
        dataDirectory: base + "/data", runDirectory: base + "/run",
        // Of its own: other suites run at the same time.
        cgroupParent: "/swarm-test-" + name)
    let runtime = try ContainerdRuntimeService(configuration: configuration, logger: Logger(label: "test"))
    try await runtime.start()
    var failure: (any Error)?
    do {
        _ = try await runtime.images.importRootFileSystem(
            RootFileSystemArchive.stream(try RootFileSystemArchive.busybox()), reference: "busybox",
            changes: ["CMD [\"sh\"]", "ENV PATH=/bin"])
        try await body(runtime, configuration)
    } catch {
        failure = error
    }
    await runtime.shutdown(everything: true)
    try? FileManager.default.removeItem(atPath: base)
    if let failure { throw failure }
}

func request(_ arguments: [String], _ change: (inout ContainerSpec) -> Void = { _ in }) -> ContainerRequest {
    var generator = SystemRandomNumberGenerator()
    var spec = ContainerSpec(image: "busybox:latest", args: arguments)
    change(&spec)
    let id = Identifier.randomHex(using: &generator)
    return ContainerRequest(id: id, name: "test.1." + id.prefix(8), image: "busybox:latest", spec: spec)
}

extension ContainerdRuntimeService {
    /// Creates and starts a container and waits until it ends.
    func run(_ request: ContainerRequest) async throws -> (code: Int, output: [String], errors: [String]) {
        let events = await events()
        try await create(request)
        _ = try await start(request.id)
        var code = -1
        for await event in events {
            if case .exited(request.id, let exitCode, _, _) = event {
                code = exitCode
                break
            }
        }
        let deadline = ContinuousClock.now + .seconds(2)
        var lines: [LogLine] = []
        // The last bytes may still be in the pipe when the exit is reported.
        repeat {
            lines = []
            for try await line in try await logs(request.id, LogOptions()) { lines.append(line) }
        } while lines.isEmpty && ContinuousClock.now < deadline
        func text(_ stream: LogLine.Stream) -> [String] {
            lines.filter { $0.stream == stream }.map { String(decoding: $0.text, as: UTF8.self) }
        }
        return (code, text(.stdout), text(.stderr))
    }
}

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(2))) struct ContainerLifecycleTests {
    @Test func `a snapshot that is removed while containerd collects does not keep its files`() async throws {
        try await withRuntime { runtime, configuration in
            let directory = configuration.dataDirectory
                + "/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"
            func snapshots() -> Int { ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).count }
            let layers = snapshots()
            for _ in 0..<3 {
                let requests = (0..<4).map { _ in request(["sleep", "60"]) }
                for request in requests { try await runtime.create(request) }
                await withTaskGroup(of: Void.self) { group in
                    for request in requests { group.addTask { try? await runtime.remove(request.id, force: true) } }
                }
            }
            // Within a slow beat.
            let deadline = ContinuousClock.now + .seconds(30)
            while snapshots() != layers, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(50)) }
            #expect(snapshots() == layers)
        }
    }

    @Test func `a container runs, its output is kept apart and its exit code is told`() async throws {
        try await withRuntime { runtime, _ in
            let script = "echo one; echo two >&2; exit 7"
            let result = try await runtime.run(request(["sh", "-c", script]))
            #expect(result.code == 7)
            #expect(result.output == ["one"])
            #expect(result.errors == ["two"])
        }
    }

    @Test func `removing everything leaves no control group behind`() async throws {
        var parent = ""
        try await withRuntime { runtime, configuration in
            parent = configuration.cgroupParent
            _ = try await runtime.run(request(["true"]))
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: "/sys/fs/cgroup").filter {
            FileManager.default.fileExists(atPath: "/sys/fs/cgroup/\($0)\(parent)")
        }
        #expect(parent != "")
        #expect(left == [])
    }

    @Test func `user, groups, environment, directory and host name are what the task asked for`() async throws {
        try await withRuntime { runtime, _ in
            let script = "id -u; id -g; id -G; echo $GREETING; pwd; hostname; cat /proc/self/status | grep CapEff"
            let result = try await runtime.run(
                request(["sh", "-c", "id -u; id -g; id -G; echo $GREETING; pwd; hostname"]) { spec in
                    spec.user = "web"
                    spec.env = ["GREETING=a", "GREETING=hello"]
                    spec.dir = "/www"
                    spec.hostname = "box"
                })
            #expect(!script.isEmpty)
            #expect(result.output == ["1000", "1001", "1001 2000", "hello", "/www", "box"])
        }
    }

    @Test func `a command that is not there fails with words and leaves nothing behind`() async throws {
        try await withRuntime { runtime, configuration in
            let wrong = request(["/bin/nope"])
            let error = await #expect(throws: SwarmError.self) {
                try await runtime.create(wrong)
                _ = try await runtime.start(wrong.id)
            }
            #expect(error?.message.contains("/bin/nope") == true)
            try await runtime.remove(wrong.id, force: true)
            #expect(try await runtime.containers().isEmpty)
            let left = try FileManager.default.contentsOfDirectory(atPath: configuration.dataDirectory + "/containers")
            #expect(left == [])
        }
    }

    @Test func `a missing bind source is refused in Docker's words`() async throws {
        try await withRuntime { runtime, _ in
            let wrong = request(["sleep", "1"]) {
                $0.mounts = [Mount(type: "bind", source: "/nowhere/at/all", target: "/data")]
            }
            let error = await #expect(throws: SwarmError.self) { try await runtime.create(wrong) }
            let words = "invalid mount config for type \"bind\": bind source path does not exist: /nowhere/at/all"
            #expect(error?.message == words)
        }
    }

    /// Retired connections were cut, and each call under way began again with its whole time.
    @Test func `a call under way outlives the connections that follow its own`() async throws {
        try await withRuntime { runtime, configuration in
            let sleeper = request(["sleep", "1000"])
            try await runtime.create(sleeper)
            _ = try await runtime.start(sleeper.id)
            let client = try ContainerdClient(socket: configuration.runDirectory + "/containerd.sock")
            async let ended = client.tasks.wait(
                .with { $0.containerID = sleeper.id }, options: ContainerdClient.within(.seconds(60)))
            for _ in 0...ContainerdClient.callsPerConnection {
                _ = try await client.version.version(.init(), options: ContainerdClient.quick)
            }
            // The moment itself, not a guess at it: its connection is retired at this age.
            try await Task.sleep(for: ContainerdClient.retirement + .seconds(1))
            try await runtime.kill(sleeper.id, signal: "KILL")
            #expect(try await ended.exitStatus == 137)
            client.shutdown()
        }
    }

    @Test func `a process that ignores its stop signal is killed after the grace period`() async throws {
        try await withRuntime { runtime, _ in
            let stubborn = request(["sh", "-c", "trap '' TERM; echo ready; while true; do sleep 1; done"])
            let events = await runtime.events()
            try await runtime.create(stubborn)
            _ = try await runtime.start(stubborn.id)
            var follow = LogOptions()
            follow.follow = true
            for try await _ in try await runtime.logs(stubborn.id, follow) { break }
            try await runtime.stop(stubborn.id, gracePeriod: .milliseconds(300))
            for await event in events {
                guard case .exited(stubborn.id, let code, _, _) = event else { continue }
                #expect(code == 137)
                break
            }
        }
    }

    @Test func `a named volume keeps its data, a tmpfs and a secret do not reach it`() async throws {
        try await withRuntime { runtime, _ in
            let mounts = [Mount(type: "volume", source: "data", target: "/data")]
            _ = try await runtime.run(request(["sh", "-c", "echo kept > /data/file"]) { $0.mounts = mounts })
            var second = request(["sh", "-c", "cat /data/file /run/secrets/key"]) { $0.mounts = mounts }
            second.files = [
                ContainerFile(
                    path: "/run/secrets/key", data: Array("secret\n".utf8), uid: 0, gid: 0, mode: 0o400, isSecret: true)
            ]
            let result = try await runtime.run(second)
            #expect(result.output == ["kept", "secret"])
        }
    }

    @Test func `a restarted daemon adopts a running container with the same process, and still reads it`() async throws {
        try await withRuntime { runtime, configuration in
            let server = request(["sh", "-c", "while true; do echo beat; sleep 0.1; done"])
            try await runtime.create(server)
            let pid = try await runtime.start(server.id)
            // A second service on the same directories, as after `kill -9` of the first.
            let heir = try ContainerdRuntimeService(configuration: configuration, logger: Logger(label: "heir"))
            try await heir.start()
            let info = try #require(try await heir.containers().first { $0.id == server.id })
            #expect(info.state == .running)
            #expect(info.pid == pid)
            var follow = LogOptions()
            follow.follow = true
            var beats = 0
            for try await _ in try await heir.logs(server.id, follow) {
                beats += 1
                if beats == 3 { break }
            }
            #expect(beats == 3)
            await heir.shutdown(everything: false)
        }
    }

    @Test func `containers outlive a killed containerd and their end is still told`() async throws {
        try await withRuntime { runtime, configuration in
            let server = request(["sleep", "1000"])
            let events = await runtime.events()
            try await runtime.create(server)
            let pid = try await runtime.start(server.id)
            let file = configuration.runDirectory + "/containerd/containerd.pid"
            let text = try #require(FileManager.default.contents(atPath: file))
            let containerd = try #require(pid_t(String(decoding: text, as: UTF8.self).filter(\.isNumber)))
            #expect(kill(containerd, SIGKILL) == 0)
            for await event in events where event == .runtimeRestarted { break }
            #expect(kill(pid_t(pid), 0) == 0)
            #expect(try await runtime.inspect(server.id).pid == pid)
            #expect(kill(pid_t(pid), SIGKILL) == 0)
            for await event in events {
                guard case .exited(server.id, let code, _, _) = event else { continue }
                #expect(code == 137)
                break
            }
        }
    }
}

@Suite struct SpecificationTests {
    static func builder(_ spec: ContainerSpec, image: ImageConfiguration = ImageConfiguration()) -> SpecificationBuilder {
        let request = ContainerRequest(id: String(repeating: "a", count: 64), name: "x", image: "x", spec: spec)
        return SpecificationBuilder(
            request: request, image: image, user: .init(uid: 0, gid: 0), cgroupParent: "/swarm",
            directory: "/d", usesCgroupV2: false, taskMounts: [])
    }

    @Test func `entrypoint and command merge as Docker merges them`() throws {
        var image = ImageConfiguration()
        image.entrypoint = ["/entry"]
        image.cmd = ["default"]
        #expect(try Self.builder(ContainerSpec(), image: image).arguments() == ["/entry", "default"])
        #expect(try Self.builder(ContainerSpec(args: ["x"]), image: image).arguments() == ["/entry", "x"])
        #expect(try Self.builder(ContainerSpec(command: ["/other"]), image: image).arguments() == ["/other"])
        #expect(throws: SwarmError.self) { try Self.builder(ContainerSpec()).arguments() }
    }

    @Test func `the default capabilities are Docker's fourteen, and lists edit them`() {
        #expect(Self.builder(ContainerSpec()).capabilitySet().count == 14)
        let edited = Self.builder(ContainerSpec(capabilityAdd: ["net_admin"], capabilityDrop: ["CAP_CHOWN"]))
        #expect(edited.capabilitySet().contains("CAP_NET_ADMIN"))
        #expect(!edited.capabilitySet().contains("CAP_CHOWN"))
        #expect(Self.builder(ContainerSpec(capabilityDrop: ["ALL"])).capabilitySet() == [])
    }

    @Test func `users are found by name and number, and unknown ones refused`() throws {
        let lookup = UserLookup(
            passwd: "root:x:0:0::/:/bin/sh\nweb:x:1000:1001::/:/bin/sh", group: "extra:x:2000:web,x\nweb:x:1001:")
        #expect(try lookup.resolve("web") == .init(uid: 1000, gid: 1001, additionalGids: [1001, 2000]))
        #expect(try lookup.resolve("web:extra") == .init(uid: 1000, gid: 2000, additionalGids: [2000]))
        #expect(try lookup.resolve("4242") == .init(uid: 4242, gid: 0, additionalGids: [0]))
        #expect(throws: SwarmError.self) { try lookup.resolve("nosuch") }
        #expect(throws: SwarmError.self) { try lookup.resolve("web:nosuch") }
        #expect(throws: SwarmError.self) { try lookup.resolve("3000000000") }
    }

    @Test func `the system-call filter allows what Docker's does`() {
        #expect(SeccompProfile.allowed.count == 346)
        #expect(!SeccompProfile.allowed.contains("mount"))
    }

    @Test func `signals have names and numbers`() throws {
        #expect(try SignalName.number("SIGTERM") == 15)
        #expect(try SignalName.number("hup") == 1)
        #expect(try SignalName.number("9") == 9)
        #expect(throws: SwarmError.self) { try SignalName.number("SIGNOPE") }
    }
}
