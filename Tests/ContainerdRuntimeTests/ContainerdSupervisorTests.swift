import ContainerdAPI
import FoundationEssentials
import Glibc
import Logging
import SwarmCore
import SwiftProtobuf
import Testing

@testable import ContainerdRuntime

/// A containerd of the test's own, in directories of its own.
func withContainerd(_ body: (ContainerdSupervisor, String) async throws -> Void) async throws {
    let base = "/tmp/swarm-containerd-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let supervisor = ContainerdSupervisor(
        dataDirectory: base + "/data", runDirectory: base + "/run", logger: Logger(label: "test"))
    try await supervisor.start()
    do {
        try await body(supervisor, base)
    } catch {
        await supervisor.stop(everything: true)
        try? FileManager.default.removeItem(atPath: base)
        throw error
    }
    await supervisor.stop(everything: true)
    try? FileManager.default.removeItem(atPath: base)
}

@Suite(.serialized, .enabled(if: getuid() == 0)) struct ContainerdSupervisorTests {
    @Test func `a containerd of our own answers`() async throws {
        try await withContainerd { supervisor, _ in
            let client = try ContainerdClient(socket: supervisor.socket)
            let version = try await client.version.version(
                Google_Protobuf_Empty(), options: ContainerdClient.quick)
            #expect(!version.version.isEmpty)
            client.shutdown()
        }
    }

    @Test func `a containerd that is killed comes back`() async throws {
        try await withContainerd { supervisor, base in
            let file = base + "/run/containerd/containerd.pid"
            let first = try #require(FileManager.default.contents(atPath: file))
            let process = try #require(pid_t(String(decoding: first, as: UTF8.self).filter(\.isNumber)))
            kill(process, SIGKILL)
            let deadline = ContinuousClock.now + .seconds(20)
            var second = first
            while second == first, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(20))
                second = FileManager.default.contents(atPath: file) ?? first
            }
            #expect(second != first)
            let client = try ContainerdClient(socket: supervisor.socket)
            _ = try await client.version.version(Google_Protobuf_Empty(), options: ContainerdClient.slow)
            client.shutdown()
        }
    }

    @Test func `an error of containerd keeps its text and gets our code`() async throws {
        try await withContainerd { supervisor, _ in
            let client = try ContainerdClient(socket: supervisor.socket)
            let error = await #expect(throws: SwarmError.self) {
                try await containerd("Containers.Get") {
                    _ = try await client.containers.get(.with { $0.id = "nope" }, options: ContainerdClient.quick)
                }
            }
            #expect(error?.code == .notFound)
            #expect(error?.message.contains("nope") == true)
            client.shutdown()
        }
    }
}
