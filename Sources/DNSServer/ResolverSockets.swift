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
                try redirect(udp: port(of: datagram), tcp: port(of: stream))
            } catch {
                close(datagram)
                close(stream)
                throw error
            }
            return ResolverSockets(datagram: datagram, stream: stream)
        }
    }

    private static func redirect(udp: UInt16, tcp: UInt16) throws(SwarmError) {
        let rules = """
            table ip \(table)
            delete table ip \(table)
            table ip \(table) {
              chain output {
                type nat hook output priority -100;
                ip daddr \(address) udp dport 53 dnat to \(address):\(udp)
                ip daddr \(address) tcp dport 53 dnat to \(address):\(tcp)
              }
            }

            """
        _ = try NFTablesContext().run(rules)
    }

    private static func socket(of kind: Int32) throws(SwarmError) -> Int32 {
        let descriptor = Glibc.socket(
            AF_INET, kind | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw failure("open a socket") }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = address.value.bigEndian
        let status = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            let error = failure("bind \(address)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func port(of descriptor: Int32) -> UInt16 {
        var name = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = unsafe withUnsafeMutablePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(descriptor, $0, &length)
            }
        }
        // By bytes: an optimised build looks for the field in another of the modules that import the C header.
        return unsafe withUnsafeBytes(of: &name) { unsafe UInt16($0[2]) << 8 | UInt16($0[3]) }
    }

    private static func failure(_ call: String) -> SwarmError {
        let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? ""
        return SwarmError(.unavailable, "the container's name server cannot \(call): \(reason)")
    }
}
