import CNetlink
import Glibc
import Logging
import Overlay
import SwarmCore

extension KernelNetwork {
    /// Carries out one step and notes it in `observed`.
    func perform(_ operation: NetworkOperation) throws(SwarmError) {
        switch operation {
        case .removeSandbox(let id): removeSandbox(id)
        case .detach(let networkID, let port): try detach(networkID, port)
        case .createNetwork(let network, let mac): try createNetwork(network, mac)
        case .closeTunnel(let id): try closeTunnel(id)
        case .openTunnel(let network, let tunnel): try openTunnel(network, tunnel)
        case .setMTU(let network): try setMTU(network)
        case .setForwarding(let id, let changes): try setForwarding(id, changes)
        case .closeDoor(let id): try closeDoor(id)
        case .openDoor(let network, let mac): try openDoor(network, mac)
        case .createSandbox(let sandbox): try createSandbox(sandbox)
        case .attach(let attachment): try attach(attachment)
        case .setDefaultRoute(let id, let gateway): try setDefaultRoute(id, gateway)
        case .addVirtualIP(let id, let address): try setVirtualIP(id, address, isPresent: true)
        case .removeVirtualIP(let id, let address): try setVirtualIP(id, address, isPresent: false)
        case .setBalancer(let id, let table): try setBalancer(id, table)
        case .reservePort(let key):
            reservations[key] = try inHost { () throws(SwarmError) in try PortReservation(key) }
            observed.reservedPorts.insert(key)
        case .releasePort(let key):
            reservations[key] = nil
            observed.reservedPorts.remove(key)
        case .setHostRuleset(let ruleset): try setHostRuleset(ruleset)
        case .removeNetwork(let id): removeNetwork(id)
        }
    }

    func startedHost() throws(SwarmError) -> NamespaceHandles {
        guard let host else { throw SwarmError(.failedPrecondition, "the network adapter is not started") }
        return host
    }

    func handles(_ networkID: String) throws(SwarmError) -> NamespaceHandles {
        guard let handles = networkHandles[networkID] else {
            throw SwarmError(.notFound, "network \(networkID) has no namespace on this node")
        }
        return handles
    }

    // MARK: - Networks

    private func createNetwork(_ network: DesiredNetwork, _ mac: MACAddress) throws(SwarmError) {
        let path = networkPath(network.id)
        if networkHandles[network.id] == nil {
            removeNetworkNamespace(path)
            networkHandles[network.id] = try createNetworkNamespace(path) { () throws(SwarmError) in
                for (name, value) in Self.networkSysctls { try Sysctl.write(name, value, isRequired: false) }
                return try NamespaceHandles(netlink: NetlinkSocket(), nftables: NFTablesContext())
            }
        }
        let socket = try handles(network.id).netlink
        try socket.setUp(1, "raise the loopback of network \(network.name)")
        let gateway = IPv4Subnet(network.gateway, prefixLength: network.subnet.prefixLength)
        try socket.createBridge(Names.bridge, mac: mac, mtu: network.mtu)
        let index = try socket.index(of: Names.bridge)
        for stale in try socket.addresses() where stale.index == index && stale.subnet != gateway {
            try socket.setAddress(stale.subnet, index, isPresent: false)
        }
        try socket.setAddress(gateway, index, isPresent: true)
        var found = observed.networks[network.id] ?? ObservedNetwork()
        (found.gateway, found.mac) = (gateway, mac)
        // Links that were there before may have another size.
        if observed.networks[network.id] == nil { found.mtu = network.mtu }
        observed.networks[network.id] = found
    }

    /// The bridge passes frames through the ip hooks, answers only what it must, and never redirects.
    private static let networkSysctls: [(String, String)] = [
        ("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.default.rp_filter", "0"),
        ("net.ipv4.conf.all.send_redirects", "0"), ("net.ipv4.conf.default.send_redirects", "0"),
        ("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1"),
        ("net.bridge.bridge-nf-call-iptables", "1"), ("net.bridge.bridge-nf-call-ip6tables", "0"),
        ("net.bridge.bridge-nf-call-arptables", "0"),
        ("net.netfilter.nf_conntrack_tcp_be_liberal", "1"),
        // A SYN that nobody answers is remembered with the task it was sent to, by default for two minutes: a client
        // port used again meanwhile would be led to a task that may be dead. One second is the first retransmission,
        // which is then balanced anew.
        ("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "1"),
    ]

    private func removeNetwork(_ id: String) {
        // A dying namespace holds its VXLAN identifier for a while: give it back now, or the network could not return.
        if observed.networks[id]?.tunnel != nil { try? networkHandles[id]?.netlink.deleteLink(Names.tunnel) }
        networkHandles[id] = nil
        networkListings[id] = nil
        // The host's end of the door dies with the namespace, but only some milliseconds later: remove its
        // name now.
        if let host, let door = observed.networks[id]?.door { try? host.netlink.deleteLink(door.name) }
        removeNetworkNamespace(networkPath(id))
        observed.networks[id] = nil
    }

    private func setVirtualIP(_ id: String, _ address: IPv4Address, isPresent: Bool) throws(SwarmError) {
        let socket = try handles(id).netlink
        let index = try socket.index(of: Names.bridge)
        try socket.setRoute(
            .init(
                destination: IPv4Subnet(address, prefixLength: 32), table: 255, type: RouteType.local, gateway: nil,
                index: index), isPresent: isPresent)
        if isPresent {
            observed.networks[id]?.virtualIPs.insert(address)
        } else {
            observed.networks[id]?.virtualIPs.remove(address)
        }
    }

    // MARK: - Rules

    private func setBalancer(_ id: String, _ table: BalancerTable) throws(SwarmError) {
        let handles = try handles(id)
        let old = observed.networks[id]?.balancer
        observed.networks[id]?.balancer = nil
        try load(handles.nftables, old.flatMap { table.transactions(from: $0) }, or: table.replacement())
        observed.networks[id]?.balancer = table
        networkListings[id] = nil
        if let old { forget(id, table.departed(since: old), table.awakened(since: old)) }
    }

    /// Tries the small steps; when the kernel disagrees about what is there, replaces everything.
    private func load(
        _ nftables: NFTablesContext, _ steps: [String]?, or replacement: String
    ) throws(SwarmError) {
        if let steps {
            do throws(SwarmError) {
                for step in steps { try nftables.run(step) }
                return
            } catch {
                logger.warning("rules differed from memory", metadata: ["error": "\(error)"])
            }
        }
        try nftables.run(replacement)
    }

    private func setHostRuleset(_ ruleset: HostRuleset) throws(SwarmError) {
        var usable = ruleset
        usable.ports.removeAll { reservations[$0.key] == nil }
        let host = try startedHost()
        let old = observed.hostRuleset
        observed.hostRuleset = nil
        let steps = old.flatMap { usable.transactions(from: $0) }
        try load(host.nftables, steps, or: usable.replacement(doors: configuration.namePrefix))
        // A port that could not be reserved keeps the plan unfulfilled, so the next beat tries again.
        observed.hostRuleset = usable
        if let old { forgetPublished(old, usable) }
        hostListing = nil
    }
}
