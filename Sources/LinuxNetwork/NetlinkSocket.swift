import CNetlink
import Glibc
import SwarmCore

/// One libnl socket, bound for life to the network namespace of the thread that opened it.
///
/// Not thread-safe: only the `KernelNetwork` actor uses it after it was opened.
@safe final class NetlinkSocket: @unchecked Sendable {
    // Sendable because it is made on a short-lived thread and handed to the one actor that uses it.
    let handle: OpaquePointer

    init(_ family: Int32 = NETLINK_ROUTE) throws(SwarmError) {
        guard let socket = unsafe nl_socket_alloc() else {
            throw SwarmError(.resourceExhausted, "cannot allocate a netlink socket")
        }
        unsafe handle = socket
        let status = unsafe nl_connect(socket, family)
        guard status >= 0 else {
            throw SwarmError(.unavailable, "cannot open a netlink socket: \(Self.reason(status))")
        }
    }

    deinit { unsafe nl_socket_free(handle) }

    /// Sends one request and waits for its acknowledgement.
    func request(
        _ type: Int, flags: Int32 = 0, _ payload: NetlinkPayload, _ action: @autoclosure () -> String,
        ignoring harmless: [Int32] = []
    ) throws(SwarmError) {
        var bytes = payload.bytes
        let count = bytes.count
        var status = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe nl_send_simple(handle, Int32(type), flags, buffer.baseAddress, count)
        }
        if status >= 0 { status = unsafe nl_wait_for_ack(handle) }
        guard status < 0, !harmless.contains(-status) else { return }
        let code: SwarmError.Code = -status == Int32(NLE_EXIST) ? .conflict : .unavailable
        throw SwarmError(code, "cannot \(action()): \(Self.reason(status))")
    }

    static func reason(_ status: Int32) -> String {
        unsafe nl_geterror(status).map { unsafe String(cString: $0) } ?? "error \(status)"
    }

    // MARK: - Reading

    struct Link: Sendable {
        var index: Int32
        var name: String
        var alias: String?
        var master: Int32
        var mtu: Int
        var isUp: Bool
        var mac: MACAddress?
        /// Only of VXLAN devices.
        var tunnel: Tunnel?
    }
    struct Address: Sendable {
        var index: Int32
        var subnet: IPv4Subnet
    }
    struct Route: Sendable {
        var destination: IPv4Subnet
        var table: UInt32
        var type: UInt8
        var gateway: IPv4Address?
        var index: Int32
    }

    func links() throws(SwarmError) -> [Link] {
        var cache: OpaquePointer?
        try check(unsafe rtnl_link_alloc_cache(handle, AF_UNSPEC, &cache), "list links")
        return unsafe Self.objects(cache) { object in
            guard let name = unsafe rtnl_link_get_name(object).map({ unsafe String(cString: $0) }) else { return nil }
            let alias = unsafe rtnl_link_get_ifalias(object).map { unsafe String(cString: $0) }
            return unsafe Link(
                index: rtnl_link_get_ifindex(object), name: name, alias: alias,
                master: rtnl_link_get_master(object), mtu: Int(rtnl_link_get_mtu(object)),
                isUp: rtnl_link_get_flags(object) & UInt32(IFF_UP) != 0,
                mac: Self.bytes(rtnl_link_get_addr(object)).flatMap { MACAddress($0) }, tunnel: Self.tunnel(object))
        }
    }

    func addresses() throws(SwarmError) -> [Address] {
        var cache: OpaquePointer?
        try check(unsafe rtnl_addr_alloc_cache(handle, &cache), "list addresses")
        return unsafe Self.objects(cache) { object in
            guard unsafe rtnl_addr_get_family(object) == AF_INET,
                let address = unsafe Self.bytes(rtnl_addr_get_local(object)).flatMap(Self.ipv4)
            else { return nil }
            let length = min(32, max(0, Int(unsafe rtnl_addr_get_prefixlen(object))))
            return Address(
                index: unsafe rtnl_addr_get_ifindex(object), subnet: IPv4Subnet(address, prefixLength: length))
        }
    }

    func routes() throws(SwarmError) -> [Route] {
        var cache: OpaquePointer?
        try check(unsafe rtnl_route_alloc_cache(handle, AF_INET, 0, &cache), "list routes")
        return unsafe Self.objects(cache) { object in
            let destination = unsafe rtnl_route_get_dst(object)
            let length = min(32, max(0, Int(unsafe nl_addr_get_prefixlen(destination))))
            let network = unsafe Self.bytes(destination).flatMap(Self.ipv4) ?? IPv4Address(0)
            let hop = unsafe rtnl_route_nexthop_n(object, 0)
            let gateway = unsafe hop.flatMap { unsafe Self.bytes(rtnl_route_nh_get_gateway($0)) }.flatMap(Self.ipv4)
            return unsafe Route(
                destination: IPv4Subnet(network, prefixLength: length), table: rtnl_route_get_table(object),
                type: rtnl_route_get_type(object), gateway: gateway,
                index: hop.map { unsafe rtnl_route_nh_get_ifindex($0) } ?? 0)
        }
    }

    func index(of name: String) throws(SwarmError) -> Int32 {
        guard let link = try links().first(where: { $0.name == name }) else {
            throw SwarmError(.notFound, "no link \(name)")
        }
        return link.index
    }

    private func check(_ status: Int32, _ action: String) throws(SwarmError) {
        guard status < 0 else { return }
        throw SwarmError(.unavailable, "cannot \(action): \(Self.reason(status))")
    }

    @unsafe private static func objects<Value>(
        _ cache: OpaquePointer?, _ read: (OpaquePointer) -> Value?
    ) -> [Value] {
        defer { unsafe nl_cache_free(cache) }
        var values: [Value] = []
        var next = unsafe nl_cache_get_first(cache)
        while let object = unsafe next {
            if let value = unsafe read(object) { values.append(value) }
            unsafe next = nl_cache_get_next(object)
        }
        return values
    }

    @unsafe static func bytes(_ address: OpaquePointer?) -> [UInt8]? {
        guard let address = unsafe address, let start = unsafe nl_addr_get_binary_addr(address) else { return nil }
        return unsafe Array(UnsafeRawBufferPointer(start: start, count: Int(nl_addr_get_len(address))))
    }

    static func ipv4(_ bytes: [UInt8]) -> IPv4Address? {
        guard bytes.count == 4 else { return nil }
        return IPv4Address(bytes.reduce(0) { $0 << 8 | UInt32($1) })
    }
}
