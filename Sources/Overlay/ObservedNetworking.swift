package import SwarmCore

/// What the kernel holds now, as far as the planner needs to know.
package struct ObservedNetworking: Sendable, Equatable {
    package var networks: [String: ObservedNetwork] = [:]
    package var sandboxes: [String: ObservedSandbox] = [:]
    package var reservedPorts: Set<PublishedPort.Key> = []
    /// The content of the host's table; nil when it must be loaded anew.
    package var hostRuleset: HostRuleset?

    package init() {}
}

/// A network's namespace as found.
package struct ObservedNetwork: Sendable, Equatable {
    /// The bridge's own address, with its prefix length; nil when the bridge is missing.
    package var gateway: IPv4Subnet?
    package var mtu: Int = 0
    package var door: ObservedDoor?
    package var virtualIPs: Set<IPv4Address> = []
    /// The bridge ports that lead to containers.
    package var ports: Set<PortID> = []
    /// The content of the namespace's table; nil when it must be loaded anew.
    package var balancer: BalancerTable?

    package init() {}
}

/// The link between a network's namespace and the node.
package struct ObservedDoor: Sendable, Equatable {
    package var name: String
    /// Ingress only: the node's address on it.
    package var nodeAddress: IPv4Address?
    /// The host routes the network's subnet into it, and the network's default route leads out of it.
    package var isRouted: Bool

    package init(name: String, nodeAddress: IPv4Address?, isRouted: Bool) {
        (self.name, self.nodeAddress, self.isRouted) = (name, nodeAddress, isRouted)
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
