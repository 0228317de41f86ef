import Glibc
import SwarmCore

/// Addresses as people type them: `192.0.2.1`, `192.0.2.1:2377`, `eth0`, `eth0:2377`.
enum HostAndPort {
    static let clusterPort: UInt16 = 2377

    static func host(of text: String) -> String { text.split(separator: ":").first.map(String.init) ?? text }

    static func port(of text: String, default fallback: UInt16 = clusterPort) throws(SwarmError) -> UInt16 {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count > 1 else { return fallback }
        guard parts.count == 2, let port = UInt16(parts[1]), port > 0 else {
            throw SwarmError(.invalidArgument, "\(text): the port must be a number from 1 to 65535")
        }
        return port
    }

    static func withPort(_ text: String) -> String { text.contains(":") ? text : "\(text):\(clusterPort)" }

    /// The host as an address: given as one, or an interface's first address.
    static func resolve(_ text: String, interfaces: [(name: String, address: IPv4Address)]) -> IPv4Address? {
        let name = host(of: text)
        return IPv4Address(name) ?? interfaces.first { $0.name == name }?.address
    }

    /// The machine's IPv4 addresses, in the kernel's order, without loopback.
    static func interfaces() -> [(name: String, address: IPv4Address)] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var found: [(name: String, address: IPv4Address)] = []
        var next = unsafe list
        while let entry = unsafe next {
            unsafe next = entry.pointee.ifa_next
            guard let socket = unsafe entry.pointee.ifa_addr,
                unsafe Int32(socket.pointee.sa_family) == AF_INET,
                unsafe entry.pointee.ifa_flags & UInt32(IFF_LOOPBACK) == 0
            else { continue }
            let raw = unsafe socket.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                unsafe $0.pointee.sin_addr.s_addr
            }
            unsafe found.append(
                (String(cString: entry.pointee.ifa_name), IPv4Address(UInt32(bigEndian: raw))))
        }
        return found
    }
}
