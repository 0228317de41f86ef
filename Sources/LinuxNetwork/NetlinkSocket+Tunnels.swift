import CNetlink
import Glibc
import Overlay
import SwarmCore

/// VXLAN devices and what they and their bridge know of other nodes.
extension NetlinkSocket {
    /// What a VXLAN device was made with.
    struct Tunnel: Sendable {
        var vni: UInt32
        var port: UInt16
        var address: IPv4Address?
    }

    @unsafe static func tunnel(_ link: OpaquePointer) -> Tunnel? {
        guard unsafe rtnl_link_is_vxlan(link) != 0 else { return nil }
        var (vni, port): (UInt32, UInt32) = (0, 0)
        guard unsafe rtnl_link_vxlan_get_id(link, &vni) == 0, unsafe rtnl_link_vxlan_get_port(link, &port) == 0 else {
            return nil
        }
        var local: OpaquePointer?
        let status = unsafe rtnl_link_vxlan_get_local(link, &local)
        defer { if let local = unsafe local { unsafe nl_addr_put(local) } }
        let address = unsafe status == 0 ? bytes(local).flatMap(ipv4) : nil
        return Tunnel(vni: vni, port: UInt16(truncatingIfNeeded: port), address: address)
    }

    /// Makes a VXLAN device in another namespace; its datagrams leave by the namespace of this socket (its underlay).
    /// - Throws: `.conflict` when this namespace has a device of the same identifier and port.
    func createTunnel(
        _ name: String, vni: UInt32, _ tunnel: DesiredTunnel, mtu: Int, namespace: String
    ) throws(SwarmError) {
        let descriptor = unsafe open(namespace, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemError("open network namespace \(namespace)") }
        defer { close(descriptor) }
        var payload = NetlinkPayload.link()
        payload.put(IFLA_IFNAME, name)
        payload.put(IFLA_MTU, UInt32(mtu))
        payload.put(IFLA_NET_NS_FD, UInt32(descriptor))
        payload.nest(IFLA_LINKINFO) { info in
            info.put(IFLA_INFO_KIND, "vxlan")
            info.nest(IFLA_INFO_DATA) { data in
                data.put(Int(IFLA_VXLAN_ID), vni)
                data.put(Int(IFLA_VXLAN_LOCAL), tunnel.address)
                data.put(Int(IFLA_VXLAN_PORT), tunnel.port.bigEndian)
                // Nothing is learned from frames, and ARP is answered from the neighbour table.
                data.put(Int(IFLA_VXLAN_LEARNING), UInt8(0))
                data.put(Int(IFLA_VXLAN_PROXY), UInt8(1))
                data.put(Int(IFLA_VXLAN_UDP_CSUM), UInt8(0))
            }
        }
        try request(
            RTM_NEWLINK, flags: Int32(NLM_F_CREATE | NLM_F_EXCL), payload,
            "create a VXLAN device with identifier \(vni) on UDP port \(tunnel.port)")
    }

    func setMTU(_ index: Int32, _ mtu: Int) throws(SwarmError) {
        var payload = NetlinkPayload.link(index: index)
        payload.put(IFLA_MTU, UInt32(mtu))
        try request(RTM_NEWLINK, payload, "set the packet size of link \(index) to \(mtu)")
    }

    // MARK: - Entries

    /// - Parameter index: the VXLAN device, a port of the bridge. Removing what is gone succeeds.
    func change(_ entry: ForwardingChange, _ index: Int32) throws(SwarmError) {
        let bridge = UInt8(AF_BRIDGE)
        let inet = UInt8(AF_INET)
        switch entry {
        case .setTunnel(let mac, let node):
            // bridge fdb replace MAC dev vx0 dst NODE self permanent
            var payload = NetlinkPayload.neighbour(bridge, index, NUD_PERMANENT | NUD_NOARP, NTF_SELF)
            payload.put(Int(NDA_LLADDR), mac.bytes)
            payload.put(Int(NDA_DST), node)
            try setEntry(payload, "send frames for \(mac) to \(node)")
        case .setBridged(let mac):
            // bridge fdb replace MAC dev vx0 master static
            var payload = NetlinkPayload.neighbour(bridge, index, NUD_NOARP, NTF_MASTER)
            payload.put(Int(NDA_LLADDR), mac.bytes)
            try setEntry(payload, "bridge frames for \(mac) to the tunnel")
        case .setNeighbour(let address, let mac):
            // ip neigh replace ADDRESS lladdr MAC dev vx0 nud permanent
            var payload = NetlinkPayload.neighbour(inet, index, NUD_PERMANENT, 0)
            payload.put(Int(NDA_DST), address)
            payload.put(Int(NDA_LLADDR), mac.bytes)
            try setEntry(payload, "answer for \(address)")
        case .removeNeighbour(let address):
            var payload = NetlinkPayload.neighbour(inet, index, 0, 0)
            payload.put(Int(NDA_DST), address)
            try removeEntry(payload, "no longer answer for \(address)")
        case .removeBridged(let mac):
            var payload = NetlinkPayload.neighbour(bridge, index, 0, NTF_MASTER)
            payload.put(Int(NDA_LLADDR), mac.bytes)
            try removeEntry(payload, "no longer bridge frames for \(mac)")
        case .removeTunnel(let mac):
            var payload = NetlinkPayload.neighbour(bridge, index, 0, NTF_SELF)
            payload.put(Int(NDA_LLADDR), mac.bytes)
            try removeEntry(payload, "no longer send frames for \(mac)")
        }
    }

    private func setEntry(_ payload: NetlinkPayload, _ action: @autoclosure () -> String) throws(SwarmError) {
        try request(RTM_NEWNEIGH, flags: Int32(NLM_F_CREATE | NLM_F_REPLACE), payload, action())
    }

    private func removeEntry(_ payload: NetlinkPayload, _ action: @autoclosure () -> String) throws(SwarmError) {
        try request(RTM_DELNEIGH, payload, action(), ignoring: [NLE_OBJ_NOTFOUND, NLE_NODEV])
    }

    /// All entries that point to the VXLAN device `index` or are held by it.
    func forwarding(_ index: Int32) throws(SwarmError) -> ForwardingTable {
        var table = ForwardingTable()
        for entry in try neighbours(AF_BRIDGE) where entry.index == index {
            guard let mac = entry.mac else { continue }
            if Int32(entry.flags) & NTF_SELF != 0 {
                if let node = entry.destination { table.tunnels[mac] = node }
            } else if Int32(entry.state) & NUD_NOARP != 0 {
                // What the bridge has learned by itself, or holds as its own, is none of ours.
                table.bridged.insert(mac)
            }
        }
        for entry in try neighbours(AF_INET) where entry.index == index && Int32(entry.state) & NUD_PERMANENT != 0 {
            if let address = entry.destination, let mac = entry.mac { table.neighbours[address] = mac }
        }
        return table
    }

    /// `struct ndmsg` and the attributes that we use.
    struct Neighbour: Sendable {
        var index: Int32
        var state: UInt16
        var flags: UInt8
        var destination: IPv4Address?
        var mac: MACAddress?
    }

    /// A dump that another change interrupted is repeated so often.
    private static let dumpsMax = 8

    /// Not by libnl's cache, which takes entries of a bridge and of its ports for the same object.
    private func neighbours(_ family: Int32) throws(SwarmError) -> [Neighbour] {
        for _ in 0..<Self.dumpsMax {
            let collected = Collected()
            let status = unsafe dump(UInt8(family), collected)
            if status == -NLE_DUMP_INTR { continue }
            guard status >= 0 else {
                throw SwarmError(.unavailable, "cannot list forwarding entries: \(Self.reason(status))")
            }
            return collected.entries
        }
        throw SwarmError(.unavailable, "cannot list forwarding entries: they keep changing")
    }

    private final class Collected {
        var entries: [Neighbour] = []
    }

    @unsafe private func dump(_ family: UInt8, _ collected: Collected) -> Int32 {
        var payload = NetlinkPayload.neighbour(family, 0, 0, 0)
        // For a bridge the kernel expects a link's header.
        if Int32(family) == AF_BRIDGE { payload = .link(family: family) }
        var bytes = payload.bytes
        let count = bytes.count
        let sent = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe nl_send_simple(handle, Int32(RTM_GETNEIGH), Int32(NLM_F_DUMP), buffer.baseAddress, count)
        }
        guard sent >= 0, let callbacks = unsafe nl_cb_alloc(NL_CB_DEFAULT) else { return min(sent, -NLE_NOMEM) }
        defer { unsafe nl_cb_put(callbacks) }
        let argument = unsafe Unmanaged.passUnretained(collected).toOpaque()
        _ = unsafe nl_cb_set(
            callbacks, NL_CB_VALID, NL_CB_CUSTOM,
            { message, argument in
                guard let message = unsafe message, let argument = unsafe argument,
                    let header = unsafe nlmsg_hdr(message)
                else { return Int32(NL_SKIP.rawValue) }
                let length = Int(unsafe nlmsg_datalen(header))
                let raw = unsafe UnsafeRawBufferPointer(start: nlmsg_data(header), count: max(0, length))
                let collected = unsafe Unmanaged<Collected>.fromOpaque(argument).takeUnretainedValue()
                if let entry = unsafe Neighbour(raw) { collected.entries.append(entry) }
                return Int32(NL_OK.rawValue)
            }, argument)
        return withExtendedLifetime(collected) { unsafe nl_recvmsgs(handle, callbacks) }
    }
}

extension NetlinkSocket.Neighbour {
    private static let headerLength = 12

    fileprivate init?(_ raw: UnsafeRawBufferPointer) {
        guard raw.count >= Self.headerLength else { return nil }
        index = unsafe raw.loadUnaligned(fromByteOffset: 4, as: Int32.self)
        state = unsafe raw.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
        flags = unsafe raw[10]
        var offset = Self.headerLength
        while offset + 4 <= raw.count {
            let length = Int(unsafe raw.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            let type = Int(unsafe raw.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self))
            guard length >= 4, offset + length <= raw.count else { return }
            let value = unsafe raw[(offset + 4)..<(offset + length)]
            if type == Int(NDA_DST), length == 8 {
                destination = unsafe IPv4Address(value.reduce(0) { $0 << 8 | UInt32($1) })
            }
            if type == Int(NDA_LLADDR), length == 10 { mac = unsafe MACAddress(value) }
            offset += (length + 3) & ~3
        }
    }
}
