import ContainerdAPI
import Foundation
import Glibc
import Logging
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

@Suite(.serialized, .enabled(if: getuid() == 0), .timeLimit(.minutes(2))) struct InspectionTests {
    @Test func `processes and resources of a container are read from the kernel`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            let list = try await runtime.processes(id)
            #expect(list.map(\.command) == ["sleep 1000"])
            #expect(list.first?.pid == (try await runtime.inspect(id).pid))
            let before = try await runtime.statistics(id)
            _ = try await runtime.text(id, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
            let after = try await runtime.statistics(id)
            #expect(after.cpuTotalNanoseconds > before.cpuTotalNanoseconds)
            #expect(after.machineNanoseconds >= before.machineNanoseconds)
            #expect(after.processes == 1)
            #expect(after.memoryUsageBytes > 0 && after.memoryLimitBytes > after.memoryUsageBytes)
        }
    }

    @Test func `a paused container stands still and says so`() async throws {
        try await withRuntime { runtime, configuration in
            let id = try await runtime.sleeper()
            try await runtime.pause(id)
            #expect(try await runtime.inspect(id).state == .paused)
            await #expect(throws: SwarmError.self) { try await runtime.pause(id) }
            let heir = try ContainerdRuntimeService(configuration: configuration, logger: Logger(label: "heir"))
            try await heir.start()
            #expect(try await heir.inspect(id).state == .paused)
            await heir.shutdown(everything: false)
            try await runtime.unpause(id)
            #expect(try await runtime.inspect(id).state == .running)
        }
    }

    @Test func `waiting ends with the container's exit, or with its removal`() async throws {
        try await withRuntime { runtime, _ in
            let id = try await runtime.sleeper()
            let exit = Task { try await runtime.wait(id, for: .nextExit) }
            let removal = Task { try await runtime.wait(id, for: .removed) }
            while await runtime.removalWaiters.isEmpty { await Task.yield() }
            try await runtime.stop(id, gracePeriod: .zero)
            try await runtime.remove(id, force: false)
            #expect(try await removal.value == 137)
            exit.cancel()
        }
    }

    @Test func `what nobody knows is swept, what is known stays`() async throws {
        try await withRuntime { runtime, configuration in
            let kept = try await runtime.sleeper()
            let lost = try await runtime.sleeper()
            await runtime.forget(lost)
            let stray = String(repeating: "a", count: 64)
            for base in [configuration.runDirectory + "/io/", configuration.dataDirectory + "/containers/"] {
                try FileManager.default.createDirectory(atPath: base + stray, withIntermediateDirectories: true)
            }
            await runtime.sweep()
            #expect(try await runtime.containers().map(\.id) == [kept])
            #expect(try await runtime.inspect(kept).state == .running)
            let tasks = try await runtime.client.tasks.list(.init()).tasks.map(\.id)
            #expect(tasks == [kept])
            for base in [configuration.runDirectory + "/io", configuration.dataDirectory + "/containers"] {
                #expect(try FileManager.default.contentsOfDirectory(atPath: base) == [kept])
            }
        }
    }

    @Test func `a containerd that is there is used, in a namespace of this daemon's own`() async throws {
        try await withRuntime { host, configuration in
            let base = configuration.dataDirectory + "-guest"
            let guest = try ContainerdRuntimeService(
                configuration: RuntimeConfiguration(
                    dataDirectory: base + "/data", runDirectory: base + "/run",
                    containerdSocket: configuration.runDirectory + "/containerd.sock",
                    cgroupParent: "/swarm-guest-\(getpid())"),
                logger: Logger(label: "guest"))
            try await guest.start()
            #expect(guest.client.namespace != host.client.namespace)
            _ = try await guest.images.importRootFileSystem(
                RootFileSystemArchive.stream(try RootFileSystemArchive.busybox()), reference: "busybox",
                changes: ["CMD [\"sh\"]", "ENV PATH=/bin"])
            let own = try await host.sleeper()
            let result = try await guest.run(request(["echo", "guest"]))
            #expect(result.output == ["guest"])
            #expect(try await guest.containers().count == 1)
            await guest.shutdown(everything: true)
            #expect(try await host.inspect(own).state == .running)
        }
    }
}

@Suite struct KernelTextTests {
    @Test func `both layouts of control groups are understood`() throws {
        let base = "/tmp/swarm-cgroup-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: base) }
        func write(_ text: String, _ path: String) throws {
            let whole = base + "/" + path
            try FileManager.default.createDirectory(
                atPath: URL(filePath: whole).deletingLastPathComponent().path, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(filePath: whole))
        }
        try write("usage_usec 50\nuser_usec 30\nsystem_usec 20\nnr_periods 4\n", "x/c/cpu.stat")
        try write("4096\n", "x/c/memory.current")
        try write("max\n", "x/c/memory.max")
        try write("inactive_file 96\n", "x/c/memory.stat")
        try write("3\n", "x/c/pids.current")
        try write("8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n", "x/c/io.stat")
        var statistics = ContainerStatistics(readAt: .zero)
        ControlGroup("0::/x/c\n", mount: base).fill(&statistics)
        #expect(statistics.cpuTotalNanoseconds == 50_000)
        #expect(statistics.throttlingPeriods == 4)
        #expect(statistics.memoryUsageBytes == 4096 && statistics.memoryLimitBytes == .max)
        #expect(statistics.memoryInactiveFileBytes == 96)
        #expect(statistics.processes == 3)
        #expect(statistics.blockBytes.map(\.value) == [10, 20])

        try write("77\n", "cpuacct/y/cpuacct.usage")
        try write("4096\n", "memory/y/memory.limit_in_bytes")
        try write("1\n2\n", "pids/y/cgroup.procs")
        var first = ContainerStatistics(readAt: .zero)
        let group = ControlGroup("5:cpu,cpuacct:/y\n4:memory:/y\n3:pids:/y\n0::/\n", mount: base)
        group.fill(&first)
        #expect(first.cpuTotalNanoseconds == 77 && first.memoryLimitBytes == 4096)
        #expect(group.processes() == [1, 2])
    }

    @Test func `interfaces are counted, the loopback is not`() {
        let text = """
            Inter-|   Receive                                                |  Transmit
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
                lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0
              eth0:12345      67    1    2    0     0          0         0      890      12    3    4    0     0
            """
        let list = NetworkCounters.parse(text)
        #expect(list.map(\.name) == ["eth0"])
        #expect(list.first?.received == .init(bytes: 12345, packets: 67, errors: 1, dropped: 2))
        #expect(list.first?.sent == .init(bytes: 890, packets: 12, errors: 3, dropped: 4))
    }

    @Test func `a capability opens its system calls and nothing else`() {
        let standard = SeccompProfile.standard(for: SpecificationBuilder.defaultCapabilities)
        #expect(standard.syscalls.first?.names.contains("mount") == false)
        #expect(standard.syscalls.contains { $0.names == ["clone3"] && $0.errnoRet == 38 })
        let admin = SeccompProfile.standard(for: ["CAP_SYS_ADMIN"])
        #expect(admin.syscalls.first?.names.contains("mount") == true)
        #expect(admin.syscalls.first?.names.contains("chroot") == false)
        #expect(!admin.syscalls.contains { $0.names == ["clone3"] })
    }

    @Test func `an init program that is not installed is named with its package`() {
        var builder = SpecificationTests.builder(ContainerSpec(args: ["x"], initProcess: true))
        builder.initProgram = nil
        let error = #expect(throws: SwarmError.self) { try builder.arguments() }
        #expect(error?.message.contains("apt-get install tini") == true)
        builder.initProgram = "/usr/bin/tini-static"
        #expect((try? builder.arguments()) == ["/sbin/docker-init", "--", "x"])
    }
}

extension ContainerdRuntimeService {
    /// As if a crash had lost the record.
    func forget(_ id: String) {
        records[id] = nil
        states[id] = nil
    }
}
