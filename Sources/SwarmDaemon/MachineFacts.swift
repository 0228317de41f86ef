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
        let isUnified = FileManager.default.fileExists(atPath: "/sys/fs/cgroup/cgroup.controllers")
        facts.cgroupVersion = isUnified ? "2" : "1"
        facts.defaultAddress = defaultAddress()
        return facts
    }

    private static func text(_ path: String) -> String {
        let content = (try? String(contentsOf: URL(filePath: path), encoding: .utf8)) ?? ""
        return content.hasSuffix("\n") ? String(content.dropLast()) : content
    }

    /// The source address that the kernel would use towards others; loopback on a machine without a network.
    private static func defaultAddress() -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        // TEST-NET-1 (RFC 5737): connecting a datagram socket looks up the route and sends nothing.
        name.sin_addr.s_addr = IPv4Address(192 << 24 | 2 << 8 | 1).value.bigEndian
        name.sin_port = UInt16(9).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                guard unsafe connect(descriptor, $0, length) == 0 else { return Int32(-1) }
                return unsafe getsockname(descriptor, $0, &length)
            }
        }
        return status == 0 ? IPv4Address(UInt32(bigEndian: name.sin_addr.s_addr)).description : "127.0.0.1"
    }
}
