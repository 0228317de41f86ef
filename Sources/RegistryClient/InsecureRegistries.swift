package import SwarmCore

/// The registries that need no trusted certificate, nor TLS at all.
///
/// Loopback addresses always belong to them: nobody but this machine can be at the other end.
package struct InsecureRegistries: Sendable, Equatable {
    private var hosts: Set<String> = []
    private var subnets: [IPv4Subnet] = []

    package init() {}

    /// - Parameter entries: each `HOST`, `HOST:PORT` or an IPv4 network such as `10.1.0.0/16`.
    /// - Throws: `.invalidArgument` with the entry that is none of these.
    package init(_ entries: [String]) throws(SwarmError) {
        for entry in entries where !entry.isEmpty {
            if let subnet = IPv4Subnet(entry) {
                subnets.append(subnet)
                continue
            }
            let address = RegistryAddress(entry)
            guard let address, !entry.contains("/"), !entry.contains(" ") else {
                throw SwarmError(
                    .invalidArgument,
                    "insecure registry \(entry): expected HOST, HOST:PORT or a network such as 10.1.0.0/16, without "
                        + "http:// before it")
            }
            hosts.insert(address.port == nil ? address.host.lowercased() : entry.lowercased())
        }
    }

    package func contains(_ address: RegistryAddress) -> Bool {
        let host = address.host.lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") { return true }
        if hosts.contains(host) || hosts.contains(address.description.lowercased()) { return true }
        guard let ip = IPv4Address(host) else { return false }
        return ip.octets.0 == 127 || subnets.contains { $0.contains(ip) }
    }
}

/// Where a registry listens: a host, and a port where one is named.
package struct RegistryAddress: Sendable, Hashable, CustomStringConvertible {
    package var host: String
    package var port: UInt16?

    /// Parses `HOST` or `HOST:PORT`.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), !parts[0].isEmpty else { return nil }
        if parts.count == 2 {
            guard let port = UInt16(parts[1]), port > 0 else { return nil }
            self.port = port
        }
        host = String(parts[0])
    }

    /// The registry of an image's domain; Docker Hub answers under another name than its images carry.
    package init?(domain: String) {
        self.init(domain == "docker.io" || domain == "index.docker.io" ? "registry-1.docker.io" : domain)
    }

    package var description: String { port.map { "\(host):\($0)" } ?? host }
}
