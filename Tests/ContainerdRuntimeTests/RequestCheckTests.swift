import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import ContainerdRuntime

/// Words and kinds as Docker Engine 20.10 has them.
@Suite struct RequestCheckTests {
    private func words(
        _ limit: Int64? = nil, log: (driver: String, options: [String: String]) = ("", [:]),
        _ change: (inout ContainerSpec) -> Void = { _ in }
    ) -> String? {
        var spec = ContainerSpec(image: "busybox")
        change(&spec)
        var request = ContainerRequest(id: "a", name: "a", image: "busybox", spec: spec)
        if let limit { request.limits = ResourceLimit(nanoCPUs: limit) }
        (request.logDriver, request.logOptions) = log
        do throws(SwarmError) {
            try RequestCheck.check(request, processors: 2)
            return nil
        } catch {
            return error.message
        }
    }

    @Test func `what no container can have is refused in Docker's words`() {
        #expect(words() == nil)
        #expect(words { $0.stopSignal = "FOO" } == "Invalid signal: FOO")
        #expect(words { $0.stopSignal = "SIGQUIT" } == nil)
        #expect(words { $0.capabilityAdd = ["NOPE"] } == "invalid CapAdd: unknown capability: \"CAP_NOPE\"")
        #expect(words { $0.capabilityDrop = ["cap_x"] } == "invalid CapDrop: unknown capability: \"CAP_X\"")
        #expect(words { ($0.capabilityAdd, $0.capabilityDrop) = (["net_admin", "CAP_BPF"], ["all"]) } == nil)
        #expect(
            words { $0.dir = "rel" } == "the working directory 'rel' is invalid, it needs to be an absolute path")
        #expect(words(2_000_000_000) == nil)
        #expect(
            words(2_000_000_001)
                == "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available")
    }

    @Test func `log options are those of the driver, and a bad size fails the start`() {
        #expect(words(log: ("none", ["any": "thing"])) == nil)
        #expect(words(log: ("local", ["max-size": "1m", "max-file": "3"])) == nil)
        #expect(words(log: ("", ["nope": "1"])) == "unknown log opt 'nope' for json-file log driver")
        #expect(words(log: ("local", ["labels": "a"])) == "unknown log opt 'labels' for local log driver")
        #expect(words(log: ("nope", [:])) == "logger: no log driver named 'nope' is registered")
        #expect(
            words(log: ("json-file", ["max-size": "x"]))
                == "starting container failed: failed to initialize logging driver: invalid size: 'x'")
    }

    @Test func `options of a local volume are a mount`() throws {
        func words(_ options: [String: String]) -> String? {
            do throws(SwarmError) {
                _ = try LocalVolumeOptions(options, volume: "v")
                return nil
            } catch {
                return error.message
            }
        }
        #expect(try LocalVolumeOptions([:], volume: "v") == nil)
        #expect(words(["nope": "1"]) == "create v: invalid option: \"nope\"")
        #expect(words(["type": "tmpfs"]) == "create v: missing required option: \"device\"")
        #expect(words(["o": "bind", "device": "/a"]) == "create v: missing required option: \"type\"")
        let options = try #require(
            try LocalVolumeOptions(
                ["type": "nfs", "device": ":/data", "o": "addr=10.0.0.1,ro,noatime,exec,vers=4,rslave"], volume: "v"))
        #expect(options.parsed.flags == MountFlags.readOnly | MountFlags.noAccessTime)
        #expect(options.parsed.propagation == MountFlags.recursive | MountFlags.slave)
        #expect(options.parsed.data == "addr=10.0.0.1,vers=4")
    }

    /// Numbers of linux/mount.h.
    private enum MountFlags {
        static let (readOnly, noAccessTime, recursive, slave) = (1, 1024, 16384, 1 << 19)
    }
}
