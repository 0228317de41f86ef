import CNetlink
import Glibc
import SwarmCore

/// The changes we make, each one message.
extension NetlinkSocket {
    /// The other end of a veth pair, in another namespace.
    struct Peer {
        var name: String
        var mtu: Int
        var mac: MACAddress?
        var namespace: String
    }

    private static let create = Int32(NLM_F_CREATE | NLM_F_EXCL)
    private static let up = UInt32(IFF_UP)

    func createBridge(_ name: String, mac: MACAddress, mtu: Int) throws(SwarmError) {
        var payload = NetlinkPayload.link(flags: Self.up, change: Self.up)
        payload.put(IFLA_IFNAME, name)
        payload.put(IFLA_ADDRESS, mac.bytes)
        payload.put(IFLA_MTU, UInt32(mtu))
        payload.nest(IFLA_LINKINFO) { $0.put(IFLA_INFO_KIND, "bridge") }
        // Without NLM_F_EXCL: an existing bridge takes over the MTU and address.
        try request(RTM_NEWLINK, flags: Int32(NLM_F_CREATE), payload, "create bridge \(name)")
    }

    /// Makes a veth pair; this end is up, the other must be raised by its own namespace.
    /// - Throws: `.conflict` when the name is taken, as it is while an old link dies.
    func createPair(
        _ name: String, mtu: Int, mac: MACAddress? = nil, master: Int32? = nil, peer: Peer
    ) throws(SwarmError) {
        let descriptor = unsafe open(peer.namespace, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemError("open network namespace \(peer.namespace)") }
        defer { close(descriptor) }
        var payload = NetlinkPayload.link(flags: Self.up, change: Self.up)
        payload.put(IFLA_IFNAME, name)
        payload.put(IFLA_MTU, UInt32(mtu))
        if let mac { payload.put(IFLA_ADDRESS, mac.bytes) }
        if let master { payload.put(IFLA_MASTER, UInt32(master)) }
        payload.nest(IFLA_LINKINFO) { info in
            info.put(IFLA_INFO_KIND, "veth")
            info.nest(IFLA_INFO_DATA) { data in
                data.nest(Int(VETH_INFO_PEER)) { inner in
                    inner.appendLinkHeader()
                    inner.put(IFLA_IFNAME, peer.name)
                    inner.put(IFLA_MTU, UInt32(peer.mtu))
                    if let mac = peer.mac { inner.put(IFLA_ADDRESS, mac.bytes) }
                    inner.put(IFLA_NET_NS_FD, UInt32(descriptor))
                }
            }
        }
        try request(RTM_NEWLINK, flags: Self.create, payload, "create link \(name)")
    }

    /// - Parameter isHairpin: lets a bridge port send frames back where they came from; nil for other links.
    func configureLink(_ index: Int32, alias: String, isHairpin: Bool?) throws(SwarmError) {
        var payload = NetlinkPayload.link(index: index)
        payload.put(IFLA_IFALIAS, Array(alias.utf8))
        if let isHairpin {
            payload.nest(IFLA_LINKINFO) { info in
                info.put(IFLA_INFO_SLAVE_KIND, "bridge")
                info.nest(IFLA_INFO_SLAVE_DATA) { $0.put(IFLA_BRPORT_MODE, UInt8(isHairpin ? 1 : 0)) }
            }
        }
        try request(RTM_NEWLINK, payload, "configure link \(alias)")
    }

    /// A bridge that learned from this port would send frames for a local container away, once a late frame of the
    /// task that had its address before came in.
    func stopLearning(_ index: Int32, _ action: @autoclosure () -> String) throws(SwarmError) {
        var payload = NetlinkPayload.link(index: index)
        payload.nest(IFLA_LINKINFO) { info in
            info.put(IFLA_INFO_SLAVE_KIND, "bridge")
            info.nest(IFLA_INFO_SLAVE_DATA) { $0.put(IFLA_BRPORT_LEARNING, UInt8(0)) }
        }
        try request(RTM_NEWLINK, payload, action())
    }

    func setUp(_ index: Int32, _ action: @autoclosure () -> String) throws(SwarmError) {
        let payload = NetlinkPayload.link(index: index, flags: Self.up, change: Self.up)
        try request(RTM_NEWLINK, payload, action())
    }

    func setMaster(_ index: Int32, _ master: Int32) throws(SwarmError) {
        var payload = NetlinkPayload.link(index: index)
        payload.put(IFLA_MASTER, UInt32(master))
        try request(RTM_NEWLINK, payload, "add link \(index) to its bridge")
    }

    /// Removing what is gone succeeds.
    func deleteLink(_ name: String) throws(SwarmError) {
        var payload = NetlinkPayload.link()
        payload.put(IFLA_IFNAME, name)
        try request(RTM_DELLINK, payload, "remove link \(name)", ignoring: [NLE_NODEV, NLE_OBJ_NOTFOUND])
    }

    func setAddress(_ subnet: IPv4Subnet, _ index: Int32, isPresent: Bool) throws(SwarmError) {
        var payload = NetlinkPayload.address(prefixLength: subnet.prefixLength, index: index)
        payload.put(IFA_LOCAL, subnet.address)
        payload.put(IFA_ADDRESS, subnet.address)
        if isPresent {
            if subnet.prefixLength < 31 { payload.put(IFA_BROADCAST, subnet.broadcast) }
            try request(RTM_NEWADDR, flags: Int32(NLM_F_CREATE | NLM_F_REPLACE), payload, "add address \(subnet)")
        } else {
            try request(RTM_DELADDR, payload, "remove address \(subnet)", ignoring: [NLE_NOADDR])
        }
    }

    func setRoute(_ route: Route, isPresent: Bool) throws(SwarmError) {
        let isLocal = route.type == RouteType.local
        // Scopes: host for local addresses, universe behind a gateway, link for neighbours.
        let scope: UInt8 = isLocal ? 254 : (route.gateway == nil ? 253 : 0)
        var payload = NetlinkPayload.route(
            route.destination, table: UInt8(truncatingIfNeeded: route.table), scope: isPresent ? scope : 255,
            type: route.type)
        if route.destination.prefixLength > 0 { payload.put(Int(RTA_DST.rawValue), route.destination.address) }
        if let gateway = route.gateway { payload.put(Int(RTA_GATEWAY.rawValue), gateway) }
        if route.index > 0 { payload.put(Int(RTA_OIF.rawValue), UInt32(route.index)) }
        let words = route.destination.description
        if isPresent {
            let flags = Int32(NLM_F_CREATE | NLM_F_REPLACE)
            try request(RTM_NEWROUTE, flags: flags, payload, "add route \(words)")
        } else {
            try request(RTM_DELROUTE, payload, "remove route \(words)", ignoring: [NLE_OBJ_NOTFOUND])
        }
    }
}

extension NetlinkSocket.Route {
    /// - Parameter index: the link, or 0 to let the kernel find it by the gateway.
    static func defaultRoute(_ gateway: IPv4Address, _ index: Int32) -> Self {
        .init(
            destination: IPv4Subnet(IPv4Address(0), prefixLength: 0), table: 254, type: RouteType.unicast,
            gateway: gateway, index: index)
    }
}
