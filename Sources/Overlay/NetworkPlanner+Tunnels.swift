import SwarmCore

/// How networks reach across nodes.
extension NetworkPlanner {
    /// What every IPv4 host must take (RFC 791).
    static let smallestMTU = 576
    /// Of the underlay, when the data-path address is on no link.
    static let defaultMTU = 1500

    /// By network: the addresses of this node's containers.
    static func members(_ desired: DesiredNetworking) -> [String: Set<IPv4Address>] {
        var members: [String: Set<IPv4Address>] = [:]
        for interface in desired.sandboxes.values.flatMap(\.interfaces) {
            members[interface.networkID, default: []].insert(interface.address)
        }
        return members
    }

    /// What tells this node's door into a network from those of others.
    static func doorNumber(_ network: DesiredNetwork, _ tunnel: DesiredTunnel?) -> IPv4Address? {
        tunnel?.address ?? network.nodeAddress
    }

    static func planTunnel(
        _ network: DesiredNetwork, _ tunnel: DesiredTunnel?, _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        let found = observed.networks[network.id]?.tunnel
        let wanted = wantedTunnel(network, tunnel)
        guard found != wanted else { return }
        if found != nil { plan.operations.append(.closeTunnel(networkID: network.id)) }
        if wanted != nil, let tunnel { plan.operations.append(.openTunnel(network, tunnel)) }
    }

    private static func wantedTunnel(_ network: DesiredNetwork, _ tunnel: DesiredTunnel?) -> ObservedTunnel? {
        guard let vni = network.vni, let tunnel else { return nil }
        return ObservedTunnel(vni: vni, port: tunnel.port, address: tunnel.address, isBridged: true)
    }

    /// The entries that outlive this plan's changes to the device itself.
    static func kept(
        _ network: DesiredNetwork, _ tunnel: DesiredTunnel?, _ observed: ObservedNetworking
    ) -> ForwardingTable {
        guard let found = observed.networks[network.id], found.tunnel == wantedTunnel(network, tunnel) else {
            return ForwardingTable()
        }
        return found.forwarding
    }

    /// - Parameter members: what runs here is never sought elsewhere, whatever others still believe.
    static func forwarding(
        _ network: DesiredNetwork, _ members: Set<IPv4Address>, _ tunnel: DesiredTunnel?
    ) -> ForwardingTable {
        guard network.vni != nil, let tunnel else { return ForwardingTable() }
        let remotes = network.remotes.filter { !members.contains($0.key) && $0.value != tunnel.address }
        return ForwardingTable(
            remotes: remotes, doors: network.isIngress ? tunnel.peers.subtracting([tunnel.address]) : [])
    }

    /// Ways must exist before a balancer uses them, and go when none does any more; but an address that is now here
    /// loses its old way at once.
    static func forwardingSteps(
        _ network: DesiredNetwork, _ members: Set<IPv4Address>, _ tunnel: DesiredTunnel?,
        _ observed: ObservedNetworking
    ) -> (early: [ForwardingChange], late: [ForwardingChange]) {
        let old = kept(network, tunnel, observed)
        let wanted = forwarding(network, members, tunnel)
        guard wanted != old else { return ([], []) }
        let removals = wanted.removals(from: old)
        let early = removals.filter { $0.concerns(members) } + wanted.additions(to: old)
        return (early, removals.filter { !$0.concerns(members) })
    }

    /// Links that are made in this plan get the right size at once; this is for those that were there.
    static func planMTU(
        _ network: DesiredNetwork, _ desired: DesiredNetworking, _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        guard let found = observed.networks[network.id] else { return }
        let isSandboxRight = found.ports.allSatisfy { port in
            (observed.sandboxes[port.sandboxID]?.mtus[port.index]).map { $0 == network.mtu } ?? true
        }
        if found.mtu != network.mtu || !isSandboxRight { plan.operations.append(.setMTU(network)) }
    }
}

extension ForwardingChange {
    /// Whether an entry of one of these addresses goes.
    fileprivate func concerns(_ members: Set<IPv4Address>) -> Bool {
        switch self {
        case .removeNeighbour(let address): members.contains(address)
        case .removeBridged(let mac), .removeTunnel(let mac):
            members.contains(IPv4Address(UInt32(truncatingIfNeeded: mac.value)))
                && mac == MACAddress(derivedFrom: IPv4Address(UInt32(truncatingIfNeeded: mac.value)))
        case .setTunnel, .setBridged, .setNeighbour: false
        }
    }
}
