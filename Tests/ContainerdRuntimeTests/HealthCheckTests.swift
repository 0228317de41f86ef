import Foundation
import Glibc
import Logging
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(2))) struct HealthCheckTests {
    private static func check(_ script: String, retries: Int = 2, timeout: Int64 = 5_000_000_000) -> HealthConfig {
        HealthConfig(
            test: ["CMD-SHELL", script], interval: 50_000_000, timeout: timeout, retries: retries)
    }

    /// The next `count` health events of a container.
    private static func statuses(
        _ events: AsyncStream<ContainerEvent>, of id: String, _ count: Int
    ) async -> [HealthStatus] {
        var found: [HealthStatus] = []
        for await event in events {
            if case .health(id, let status, _) = event { found.append(status) }
            if found.count == count { break }
        }
        return found
    }

    @Test func `health follows the check, and is told before the start, on success and on failure`() async throws {
        try await withRuntime { runtime, _ in
            let asked = request(["sleep", "1000"]) { $0.healthcheck = Self.check("echo looked; test ! -f /tmp/ill") }
            let events = await runtime.events()
            try await runtime.create(asked)
            #expect(try await runtime.inspect(asked.id).health == .starting)
            _ = try await runtime.start(asked.id)
            #expect(await Self.statuses(events, of: asked.id, 2) == [.starting, .healthy])
            let info = try await runtime.inspect(asked.id)
            #expect(info.health == .healthy)
            #expect(info.healthChecks.last?.output == "looked\n")
            #expect(info.healthChecks.last?.exitCode == 0)
            _ = try await runtime.text(asked.id, "touch /tmp/ill")
            #expect(await Self.statuses(events, of: asked.id, 1) == [.unhealthy])
            let ill = try await runtime.inspect(asked.id)
            #expect(ill.failingStreak >= 2)
            #expect(ill.healthChecks.count <= 5)
            #expect(ill.execIDs == [])
        }
    }

    @Test func `a check that takes too long is killed in the container`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper {
                $0.healthcheck = Self.check("exec sleep 777", retries: 1, timeout: 200_000_000)
            }
            let events = await runtime.events()
            #expect(await Self.statuses(events, of: id, 1) == [.unhealthy])
            let result = try #require(try await runtime.inspect(id).healthChecks.first)
            #expect(result.exitCode == -1)
            #expect(result.output == "Health check exceeded timeout (200ms)")
            try await runtime.pause(id)
            try await runtime.unpause(id)
            let deadline = ContinuousClock.now + .seconds(5)
            var processes = 9
            repeat {
                processes = try await runtime.processes(id).filter { $0.command == "sleep 777" }.count
            } while processes > 1 && ContinuousClock.now < deadline
            #expect(processes <= 1)
        }
    }

    @Test func `the image's check is inherited, and NONE turns it off`() async throws {
        try await withRuntime { runtime, _ in
            let changes = ["HEALTHCHECK --interval=50ms CMD true", "CMD [\"sleep\", \"1000\"]", "ENV PATH=/bin"]
            do {
                _ = try await runtime.images.importRootFileSystem(
                    RootFileSystemArchive.stream(try RootFileSystemArchive.busybox()), reference: "checked",
                    changes: changes)
            } catch let error as SwarmError where error.message.contains("HEALTHCHECK") {
                // `import` need not know this instruction; images that are loaded or pulled bring it.
                return
            }
            for (spec, health) in [
                (HealthConfig?.none, HealthStatus.starting), (HealthConfig(test: ["NONE"]), .none),
            ] {
                var asked = request([]) {
                    $0.args = nil
                    $0.healthcheck = spec
                }
                asked.image = "checked"
                try await runtime.create(asked)
                #expect(try await runtime.inspect(asked.id).health == health)
            }
        }
    }

    @Test func `a restarted daemon goes on checking, and a healthy container stays healthy`() async throws {
        try await withRuntime { runtime, configuration in
            let id = try await runtime.sleeper { $0.healthcheck = Self.check("test ! -f /tmp/ill", retries: 1) }
            let events = await runtime.events()
            #expect(await Self.statuses(events, of: id, 1) == [.healthy])
            let heir = try ContainerdRuntimeService(configuration: configuration, logger: Logger(label: "heir"))
            try await heir.start()
            #expect(try await heir.inspect(id).health == .healthy)
            let after = await heir.events()
            _ = try await heir.text(id, "touch /tmp/ill")
            #expect(await Self.statuses(after, of: id, 1) == [.unhealthy])
            await heir.shutdown(everything: false)
        }
    }
}
