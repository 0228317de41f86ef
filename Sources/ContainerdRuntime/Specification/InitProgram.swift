import FoundationEssentials
import SwarmCore

/// The small static program that runs as process 1 with `--init` and reaps orphans.
enum InitProgram {
    /// Each takes its command after `--`.
    private static let places = [
        "/usr/bin/docker-init", "/usr/libexec/docker/docker-init", "/usr/bin/tini-static", "/usr/bin/catatonit",
        "/usr/libexec/podman/catatonit",
    ]

    static var path: String? { places.first { FileManager.default.isExecutableFile(atPath: $0) } }

    static let missing = SwarmError(
        .failedPrecondition,
        "the service asks for an init process (--init), but this node has no init program: apt-get install tini")
}

/// What the kernel can limit.
enum ControlGroupSupport {
    /// Whether swap is counted: a boot option on some kernels.
    static let countsSwap: Bool = {
        let base = "/sys/fs/cgroup"
        let manager = FileManager.default
        guard manager.fileExists(atPath: base + "/cgroup.controllers") else {
            return manager.fileExists(atPath: base + "/memory/memory.memsw.limit_in_bytes")
        }
        // The root group has no such file: its children tell.
        let children = (try? manager.contentsOfDirectory(atPath: base)) ?? []
        let groups = children.filter { manager.fileExists(atPath: "\(base)/\($0)/memory.max") }
        return groups.isEmpty || groups.contains { manager.fileExists(atPath: "\(base)/\($0)/memory.swap.max") }
    }()
}
