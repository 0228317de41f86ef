import Glibc
import Overlay
import SwarmCore

/// A bound socket that keeps other processes of the host from taking a published port.
///
/// It never listens: the host's rules redirect packets before they would reach it.
final class PortReservation: Sendable {
    private let descriptors: [Int32]

    /// - Throws: `.conflict` when another process holds the port.
    init(_ key: PublishedPort.Key) throws(SwarmError) {
        descriptors =
            switch key.transport {
            case .tcp: [try Self.bind(key, SOCK_STREAM)]
            case .udp: [try Self.bind(key, SOCK_DGRAM)]
            // Few kernels have SCTP sockets, and binding one loads a module: nothing to reserve.
            case .sctp: []
            }
    }

    deinit { for descriptor in descriptors { close(descriptor) } }

    private static func bind(
        _ key: PublishedPort.Key, _ type: __socket_type
    ) throws(SwarmError) -> Int32 {
        let kind = Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        var descriptor = socket(AF_INET6, kind, 0)
        var status: Int32
        if descriptor >= 0 {
            var off: Int32 = 0
            _ = unsafe setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, 4)
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = key.port.bigEndian
            status = unsafe withUnsafeBytes(of: &address) { raw in
                unsafe Glibc.bind(
                    descriptor, raw.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
            }
        } else {
            // A kernel without IPv6.
            descriptor = socket(AF_INET, kind, 0)
            guard descriptor >= 0 else { throw systemError("reserve port \(key)") }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = key.port.bigEndian
            status = unsafe withUnsafeBytes(of: &address) { raw in
                unsafe Glibc.bind(
                    descriptor, raw.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(raw.count))
            }
        }
        guard status != 0 else { return descriptor }
        let error =
            errno == EADDRINUSE
            ? SwarmError(.conflict, "port \(key) is already in use by another process on this host")
            : systemError("reserve port \(key)")
        close(descriptor)
        throw error
    }
}
