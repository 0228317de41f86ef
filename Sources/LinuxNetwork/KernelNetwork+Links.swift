import CNetlink
import Glibc
import Overlay
import SwarmCore

extension KernelNetwork {
    // MARK: - Doors

    /// Small addresses for the links between host and networks: 8192 pairs that no site routes (RFC 3927).
    private static let linkLocalBase: UInt32 = 169 << 24 | 254 << 16 | 64 << 8
    private static let doorsMax = 8192

    func openDoor(_ network: DesiredNetwork, _ mac: MACAddress?) throws(SwarmError) {
        for _ in 0..<Self.doorsMax {
            let number = nextDoor % Self.doorsMax
            nextDoor += 1
            do throws(SwarmError) {
                if network.isIngress {
                    try openIngressDoor(network, mac, number)
                } else {
                    try openUplink(network, number)
                }
                return
            } catch where error.code == .conflict {
                continue
            } catch {
                throw error
            }
        }
        throw SwarmError(.resourceExhausted, "all \(Self.doorsMax) links between networks and this host are in use")
    }

    /// A routed link: the host reaches the subnet through it, and the network's default route leaves by it.
    private func openUplink(_ network: DesiredNetwork, _ number: Int) throws(SwarmError) {
        let name = "\(configuration.namePrefix)u\(number)"
        let outer = IPv4Address(Self.linkLocalBase + UInt32(number) * 2)
        let inner = outer.advanced(by: 1)
        let (host, sandbox) = (try startedHost().netlink, try handles(network.id).netlink)
        try host.createPair(
            name, mtu: network.mtu,
            peer: .init(name: Names.uplink, mtu: network.mtu, namespace: networkPath(network.id)))
        do throws(SwarmError) {
            let outerIndex = try host.index(of: name)
            try host.configureLink(outerIndex, alias: network.id, isHairpin: nil)
            try host.setAddress(IPv4Subnet(outer, prefixLength: 31), outerIndex, isPresent: true)
            try allowLoopback(name)
            let innerIndex = try sandbox.index(of: Names.uplink)
            try sandbox.setUp(innerIndex, "raise the uplink of network \(network.name)")
            try sandbox.setAddress(IPv4Subnet(inner, prefixLength: 31), innerIndex, isPresent: true)
            try sandbox.setRoute(.defaultRoute(outer, innerIndex), isPresent: true)
            try host.setRoute(
                .init(
                    destination: network.subnet.canonical, table: 254, type: RouteType.unicast, gateway: inner,
                    index: outerIndex), isPresent: true)
        } catch {
            try? host.deleteLink(name)
            throw SwarmError(.unavailable, error.message, cause: error.cause)
        }
        observed.networks[network.id]?.door = ObservedDoor(name: name, nodeAddress: nil, isRouted: true)
    }

    /// A bridged link: the host is a member of the ingress network, so that replies can be bridged to it by
    /// address.
    private func openIngressDoor(
        _ network: DesiredNetwork, _ mac: MACAddress?, _ number: Int
    ) throws(SwarmError) {
        guard let address = network.nodeAddress else {
            throw SwarmError(.failedPrecondition, "network \(network.name): this node has no ingress address yet")
        }
        let name = "\(configuration.namePrefix)i\(number)"
        let (host, sandbox) = (try startedHost().netlink, try handles(network.id).netlink)
        let inner = "gw\(number)"
        try host.createPair(
            name, mtu: network.mtu, mac: mac ?? MACAddress(doorOf: address),
            peer: .init(name: inner, mtu: network.mtu, namespace: networkPath(network.id)))
        do throws(SwarmError) {
            let outerIndex = try host.index(of: name)
            try host.configureLink(outerIndex, alias: network.id, isHairpin: nil)
            let bridge = try sandbox.index(of: Names.bridge)
            let innerIndex = try sandbox.index(of: inner)
            try sandbox.setMaster(innerIndex, bridge)
            try sandbox.setUp(innerIndex, "raise the door of network \(network.name)")
            try host.setAddress(
                IPv4Subnet(address, prefixLength: network.subnet.prefixLength), outerIndex, isPresent: true)
            try allowLoopback(name)
            try sandbox.setRoute(.defaultRoute(address, bridge), isPresent: true)
        } catch {
            try? host.deleteLink(name)
            throw SwarmError(.unavailable, error.message, cause: error.cause)
        }
        observed.networks[network.id]?.door = ObservedDoor(
            name: name, nodeAddress: address, mac: mac ?? MACAddress(doorOf: address), isRouted: true)
    }

    /// Replies to a client on this node's loopback come in by the door; a guard rule keeps forged ones out.
    private func allowLoopback(_ name: String) throws(SwarmError) {
        try inHost { () throws(SwarmError) in try Sysctl.writePath("net/ipv4/conf/\(name)/route_localnet", "1") }
    }

    func closeDoor(_ id: String) throws(SwarmError) {
        guard let door = observed.networks[id]?.door else { return }
        try startedHost().netlink.deleteLink(door.name)
        observed.networks[id]?.door = nil
    }

    // MARK: - Containers

    func createSandbox(_ sandbox: DesiredSandbox) throws(SwarmError) {
        let path = namespacePath(of: sandbox.id)
        removeNetworkNamespace(path)
        let sysctls = sandbox.sysctls
        let socket = try createNetworkNamespace(path) { () throws(SwarmError) in
            for (name, value) in Self.sandboxSysctls { try Sysctl.write(name, value, isRequired: false) }
            for (name, value) in sysctls.sorted(by: { $0.key < $1.key }) {
                guard name.hasPrefix("net.") else {
                    throw SwarmError(.invalidArgument, "sysctl \(name) does not belong to a network namespace")
                }
                try Sysctl.write(name, value)
            }
            return try NetlinkSocket()
        }
        try socket.setUp(1, "raise the loopback of container \(sandbox.id)")
        observed.sandboxes[sandbox.id] = ObservedSandbox()
    }

    /// As Docker: any user may bind low ports and send pings; no IPv6 on interfaces without an IPv6 subnet.
    private static let sandboxSysctls: [(String, String)] = [
        ("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.default.rp_filter", "0"),
        ("net.ipv6.conf.default.disable_ipv6", "1"), ("net.ipv4.ip_unprivileged_port_start", "0"),
        ("net.ipv4.ping_group_range", "0 2147483647"),
    ]

    func removeSandbox(_ id: String) {
        removeNetworkNamespace(namespacePath(of: id))
        observed.sandboxes[id] = nil
        departing.insert(id)
        // The bridge ports die with the namespace, or with its last process.
        for network in observed.networks.keys {
            let kept = Set(observed.networks[network]?.ports.filter { $0.sandboxID != id } ?? [])
            observed.networks[network]?.ports = kept
        }
    }

    func attach(_ attachment: Attachment) throws(SwarmError) {
        let (port, interface) = (attachment.port, attachment.interface)
        let path = namespacePath(of: port.sandboxID)
        guard observed.sandboxes[port.sandboxID] != nil else {
            throw SwarmError(.notFound, "container \(port.sandboxID) has no network namespace")
        }
        let sandbox = try handles(attachment.network.id).netlink
        let bridge = try sandbox.index(of: Names.bridge)
        let name = "p\(nextPort)"
        nextPort += 1
        let ethernet = "eth\(port.index)"
        try sandbox.createPair(
            name, mtu: attachment.network.mtu, master: bridge,
            peer: .init(name: ethernet, mtu: attachment.network.mtu, mac: interface.mac, namespace: path))
        do throws(SwarmError) {
            try sandbox.configureLink(try sandbox.index(of: name), alias: port.description, isHairpin: true)
            let container = try openInNetworkNamespace(path) { () throws(SwarmError) in try NetlinkSocket() }
            let index = try container.index(of: ethernet)
            try container.setUp(index, "raise \(ethernet)")
            try container.setAddress(
                IPv4Subnet(interface.address, prefixLength: interface.prefixLength), index, isPresent: true)
        } catch {
            try? sandbox.deleteLink(name)
            throw error
        }
        observed.networks[attachment.network.id]?.ports.insert(port)
        observed.sandboxes[port.sandboxID]?.interfaces[port.index] = ObservedInterface(
            address: interface.address, prefixLength: interface.prefixLength, mac: interface.mac)
        observed.sandboxes[port.sandboxID]?.mtus[port.index] = attachment.network.mtu
    }

    func detach(_ networkID: String, _ port: PortID) throws(SwarmError) {
        let socket = try handles(networkID).netlink
        if let link = try socket.links().first(where: { $0.alias == port.description }) {
            try socket.deleteLink(link.name)
        }
        observed.networks[networkID]?.ports.remove(port)
        observed.sandboxes[port.sandboxID]?.interfaces[port.index] = nil
    }

    func setDefaultRoute(_ id: String, _ gateway: IPv4Address?) throws(SwarmError) {
        guard observed.sandboxes[id] != nil else {
            throw SwarmError(.notFound, "container \(id) has no network namespace")
        }
        let path = namespacePath(of: id)
        let socket = try openInNetworkNamespace(path) { () throws(SwarmError) in try NetlinkSocket() }
        for route in try socket.routes() where route.destination.prefixLength == 0 && route.table == 254 {
            if route.gateway != gateway { try socket.setRoute(route, isPresent: false) }
        }
        if let gateway { try socket.setRoute(.defaultRoute(gateway, 0), isPresent: true) }
        observed.sandboxes[id]?.defaultGateway = gateway
    }
}
