package import SwarmCore

/// What one network's namespace knows of tasks on other nodes. Nothing is learned and nothing flooded: what is not in
/// here is not reached.
package struct ForwardingTable: Sendable, Equatable {
    /// Where frames for an address go: its node's data-path address. Held by the VXLAN device.
    package var tunnels: [MACAddress: IPv4Address] = [:]
    /// The addresses that the bridge seeks behind the VXLAN device.
    package var bridged: Set<MACAddress> = []
    /// What the VXLAN device answers to ARP.
    package var neighbours: [IPv4Address: MACAddress] = [:]

    package init() {}

    /// - Parameter remotes: tasks by their address on this network, with their nodes' data-path addresses.
    /// - Parameter doors: data-path addresses of nodes that reach into this network.
    package init(remotes: [IPv4Address: IPv4Address], doors: Set<IPv4Address> = []) {
        tunnels.reserveCapacity(remotes.count + doors.count)
        neighbours.reserveCapacity(remotes.count)
        for (address, node) in remotes {
            let mac = MACAddress(derivedFrom: address)
            tunnels[mac] = node
            neighbours[address] = mac
        }
        for node in doors { tunnels[MACAddress(doorOf: node)] = node }
        bridged = Set(tunnels.keys)
    }
}

/// One entry of a network's forwarding table that comes, changes or goes.
package enum ForwardingChange: Sendable, Equatable {
    case setTunnel(MACAddress, IPv4Address), setBridged(MACAddress), setNeighbour(IPv4Address, MACAddress)
    case removeNeighbour(IPv4Address), removeBridged(MACAddress), removeTunnel(MACAddress)
}

extension ForwardingTable {
    /// The entries that are new or different in this table, so ordered that an address is only answered for when the
    /// way to it exists.
    package func additions(to old: ForwardingTable) -> [ForwardingChange] {
        guard self != old else { return [] }
        let tunnels = self.tunnels.filter { old.tunnels[$0.key] != $0.value }.sorted { $0.key < $1.key }
        let bridged = self.bridged.subtracting(old.bridged).sorted()
        let neighbours = self.neighbours.filter { old.neighbours[$0.key] != $0.value }.sorted { $0.key < $1.key }
        return tunnels.map { .setTunnel($0.key, $0.value) } + bridged.map { .setBridged($0) }
            + neighbours.map { .setNeighbour($0.key, $0.value) }
    }

    /// The entries of `old` that this table no longer has, in the opposite order.
    package func removals(from old: ForwardingTable) -> [ForwardingChange] {
        guard self != old else { return [] }
        let neighbours = old.neighbours.keys.filter { self.neighbours[$0] == nil }.sorted()
        let bridged = old.bridged.subtracting(self.bridged).sorted()
        let tunnels = old.tunnels.keys.filter { self.tunnels[$0] == nil }.sorted()
        return neighbours.map { .removeNeighbour($0) } + bridged.map { .removeBridged($0) }
            + tunnels.map { .removeTunnel($0) }
    }

    package mutating func apply(_ change: ForwardingChange) {
        switch change {
        case .setTunnel(let mac, let node): tunnels[mac] = node
        case .setBridged(let mac): bridged.insert(mac)
        case .setNeighbour(let address, let mac): neighbours[address] = mac
        case .removeNeighbour(let address): neighbours[address] = nil
        case .removeBridged(let mac): bridged.remove(mac)
        case .removeTunnel(let mac): tunnels[mac] = nil
        }
    }
}

extension MACAddress {
    /// A node's door into the ingress network: replies find the way back by it.
    package init(doorOf node: IPv4Address) { self.init(0x0243, node) }
    /// The bridge of a node's part of a network. Each node has its own, though the gateway's IP address is the same on
    /// all: a frame from a bridge with this bridge's address would look like its own come back.
    package init(bridgeOf node: IPv4Address) { self.init(0x0244, node) }
}
