package import SwarmCore

/// What the kernel holds now, as far as the planner needs to know.
package struct ObservedNetworking: Sendable, Equatable {
    package var networks: [String: ObservedNetwork] = [:]
    package var sandboxes: [String: ObservedSandbox] = [:]
    package var reservedPorts: Set<PublishedPort.Key> = []
    /// The content of the host's table; nil when it must be loaded anew.
    package var hostRuleset: HostRuleset?
    /// The addresses of the node's links, each with the size of packet (MTU) that its link carries.
    package var linkMTUs: [IPv4Address: Int] = [:]

    package init() {}
}

/// A network's namespace as found.
package struct ObservedNetwork: Sendable, Equatable {
    /// The bridge's own address, with its prefix length; nil when the bridge is missing.
    package var gateway: IPv4Subnet?
    package var mac: MACAddress?
    /// The MTU of all links on this side; 0 when they differ.
    package var mtu: Int = 0
    package var tunnel: ObservedTunnel?
    package var forwarding = ForwardingTable()
    package var door: ObservedDoor?
    package var virtualIPs: Set<IPv4Address> = []
    /// The bridge ports that lead to containers.
    package var ports: Set<PortID> = []
    /// The content of the namespace's table; nil when it must be loaded anew.
    package var balancer: BalancerTable?

    package init() {}
}

/// A network's VXLAN device as found.
package struct ObservedTunnel: Sendable, Equatable {
    package var vni: UInt32
    package var port: UInt16
    package var address: IPv4Address?
    /// Is up, and a port of the network's bridge.
    package var isBridged: Bool

    package init(vni: UInt32, port: UInt16, address: IPv4Address?, isBridged: Bool) {
        (self.vni, self.port, self.address, self.isBridged) = (vni, port, address, isBridged)
    }
}

/// The link between a network's namespace and the node.
package struct ObservedDoor: Sendable, Equatable {
    package var name: String
    /// Ingress only: the node's address on it, and the hardware address.
    package var nodeAddress: IPv4Address?
    package var mac: MACAddress?
    /// The host routes the network's subnet into it, and the network's default route leads out of it.
    package var isRouted: Bool

    package init(name: String, nodeAddress: IPv4Address?, mac: MACAddress? = nil, isRouted: Bool) {
        (self.name, self.nodeAddress, self.mac, self.isRouted) = (name, nodeAddress, mac, isRouted)
    }
}

/// Which container, and which of its interfaces (0 is `eth0`); kept as the alias of the bridge port's link.
package struct PortID: Sendable, Hashable, Comparable, LosslessStringConvertible {
    package var sandboxID: String
    package var index: Int

    package init(sandboxID: String, index: Int) { (self.sandboxID, self.index) = (sandboxID, index) }

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let index = Int(parts[1]), !parts[0].isEmpty else { return nil }
        self.init(sandboxID: String(parts[0]), index: index)
    }

    package var description: String { "\(sandboxID)/\(index)" }
    package static func < (left: PortID, right: PortID) -> Bool {
        (left.sandboxID, left.index) < (right.sandboxID, right.index)
    }
}

/// A container's namespace as found.
package struct ObservedSandbox: Sendable, Equatable {
    /// By interface index; `eth0` is 0.
    package var interfaces: [Int: ObservedInterface] = [:]
    /// The size of packet that each interface takes.
    package var mtus: [Int: Int] = [:]
    package var defaultGateway: IPv4Address?

    package init() {}
}

package struct ObservedInterface: Sendable, Equatable {
    package var address: IPv4Address
    package var prefixLength: Int
    package var mac: MACAddress

    package init(address: IPv4Address, prefixLength: Int, mac: MACAddress) {
        (self.address, self.prefixLength, self.mac) = (address, prefixLength, mac)
    }
}
