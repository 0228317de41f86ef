import CLinux
import FoundationEssentials
import Glibc
import SwarmCore
import SwarmNode

/// What this machine says about itself.
enum MachineFacts {
    static let version = "0.1.0"

    static func read(_ configuration: DaemonConfiguration) -> NodeFacts {
        var facts = NodeFacts()
        facts.version = version
        facts.hostname = text("/proc/sys/kernel/hostname")
        facts.kernelVersion = text("/proc/sys/kernel/osrelease")
        facts.operatingSystem = "Linux"
        for line in text("/etc/os-release").split(separator: "\n") {
            let value = line.drop { $0 != "=" }.dropFirst().filter { $0 != "\"" }
            if line.hasPrefix("PRETTY_NAME=") { facts.operatingSystem = String(value) }
            if line.hasPrefix("VERSION_ID=") { facts.osVersion = String(value) }
        }
        facts.cpuCount = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        facts.memoryBytes = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))
        facts.dataDirectory = configuration.dataDirectory
        facts.namespaceDirectory = configuration.runDirectory + "/network/netns"
        let isUnified = FileManager.default.fileExists(atPath: "/sys/fs/cgroup/cgroup.controllers")
        facts.cgroupVersion = isUnified ? "2" : "1"
        facts.defaultAddress = defaultAddress()
        facts.labels = configuration.labels
        facts.genericResources = configuration.genericResources
        return facts
    }

    private static func text(_ path: String) -> String {
        let content = (try? String(contentsOf: URL(filePath: path), encoding: .utf8)) ?? ""
        return content.hasSuffix("\n") ? String(content.dropLast()) : content
    }

    /// The source address that the kernel would use towards others; without a way to them the first address that is
    /// not only of this machine, or else loopback.
    private static func defaultAddress() -> String {
        // TEST-NET-1 (RFC 5737).
        let source = clinux_source_towards(IPv4Address(192 << 24 | 2 << 8 | 1).value.bigEndian)
        guard source == 0 else { return IPv4Address(UInt32(bigEndian: source)).description }
        // Loopback, and link-local addresses (RFC 3927), which our own links to networks have.
        let others = HostAndPort.interfaces().map { $0.address }.filter {
            $0.value >> 24 != 127 && $0.value >> 16 != 169 << 8 | 254
        }
        return others.first?.description ?? "127.0.0.1"
    }
}
