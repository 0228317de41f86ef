import CLinux
import Glibc
import LinuxNetwork
import SwarmCore

/// The two sockets of one container's resolver, opened inside its network namespace.
struct ResolverSockets: Sendable {
    var datagram: Int32
    var stream: Int32

    /// 127.0.0.11, where every container's resolv.conf points.
    static let address = IPv4Address(127 << 24 | 11)
    static let table = "swarm_dns"
    private static let backlog: Int32 = 64

    /// Opens both on free ports and leads port 53 to them, so that the container may serve port 53 itself.
    static func open(inNamespace path: String) throws(SwarmError) -> ResolverSockets {
        try openInNetworkNamespace(path) { () throws(SwarmError) in
            let datagram = try socket(of: Int32(SOCK_DGRAM.rawValue))
            let stream: Int32
            do throws(SwarmError) {
                stream = try socket(of: Int32(SOCK_STREAM.rawValue))
            } catch {
                close(datagram)
                throw error
            }
            do throws(SwarmError) {
                guard listen(stream, backlog) == 0 else { throw failure("listen") }
                try redirect(udp: clinux_bound_port(datagram), tcp: clinux_bound_port(stream))
            } catch {
                close(datagram)
                close(stream)
                throw error
            }
            return ResolverSockets(datagram: datagram, stream: stream)
        }
    }

    /// Rewrites port 53 and back without tracking connections: looking each packet up cost a fifth of an answer
    /// (decision 12).
    private static func redirect(udp: UInt16, tcp: UInt16) throws(SwarmError) {
        let rules = """
            table ip \(table)
            delete table ip \(table)
            table ip \(table) {
              chain output {
                type filter hook output priority raw;
                ip daddr \(address) udp dport 53 udp dport set \(udp) notrack
                ip daddr \(address) tcp dport 53 tcp dport set \(tcp) notrack
                ip saddr \(address) udp sport \(udp) udp sport set 53 notrack
                ip saddr \(address) tcp sport \(tcp) tcp sport set 53 notrack
              }
            }

            """
        _ = try NFTablesContext().run(rules)
    }

    private static func socket(of kind: Int32) throws(SwarmError) -> Int32 {
        let descriptor = clinux_open_bound(kind, address.value.bigEndian)
        guard descriptor >= 0 else { throw failure("bind \(address)") }
        return descriptor
    }

    private static func failure(_ call: String) -> SwarmError {
        let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? ""
        return SwarmError(.unavailable, "the container's name server cannot \(call): \(reason)")
    }
}
