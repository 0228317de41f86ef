package import SwarmCore

/// All that this node's kernel must hold for its tasks, as one value; the adapter makes the kernel match.
package struct DesiredNetworking: Sendable, Equatable {
    /// By network id: those with tasks on this node, and the ingress network.
    package var networks: [String: DesiredNetwork]
    /// By container id: one network namespace each.
    package var sandboxes: [String: DesiredSandbox]
    /// Ingress-mode and host-mode ports of this node.
    package var publishedPorts: [PublishedPort]
    /// Nil on a node that no other can reach: its networks end here.
    package var tunnel: DesiredTunnel?

    package init(
        networks: [String: DesiredNetwork] = [:], sandboxes: [String: DesiredSandbox] = [:],
        publishedPorts: [PublishedPort] = [], tunnel: DesiredTunnel? = nil
    ) {
        (self.networks, self.sandboxes, self.publishedPorts) = (networks, sandboxes, publishedPorts)
        self.tunnel = tunnel
    }
}

/// What all VXLAN devices of this node have in common (RFC 7348).
package struct DesiredTunnel: Sendable, Hashable {
    /// What VXLAN adds to a packet over IPv4: outer IP 20, UDP 8, VXLAN 8, inner Ethernet 14 bytes.
    package static let overhead = 50

    /// This node's data-path address; the link that holds it decides how big packets may be.
    package var address: IPv4Address
    /// The same on all nodes.
    package var port: UInt16
    /// The data-path addresses of all other members; from elsewhere no frame is taken.
    package var peers: Set<IPv4Address>

    package init(address: IPv4Address, port: UInt16 = 4789, peers: Set<IPv4Address> = []) {
        (self.address, self.port, self.peers) = (address, port, peers)
    }
}

/// One network's sandbox namespace on this node: its bridge, its gateway, its balancer and its way out.
package struct DesiredNetwork: Sendable, Equatable {
    package var id: String
    package var name: String
    package var subnet: IPv4Subnet
    /// Owned by the bridge of every node's sandbox (anycast).
    package var gateway: IPv4Address
    /// At most; an overlay takes less where the underlay carries less.
    package var mtu: Int
    /// Nil for a network that no other node has.
    package var vni: UInt32?
    /// No way out and no published ports.
    package var isInternal: Bool
    package var isIngress: Bool
    /// The node's own address on the ingress network, nil elsewhere. All nodes have the same one (anycast): replies go
    /// back by the door's hardware address, which is each node's own.
    package var nodeAddress: IPv4Address?
    package var services: [VirtualService]
    /// Tasks on other nodes: their address here, and their node's data-path address.
    package var remotes: [IPv4Address: IPv4Address]

    package init(
        id: String, name: String, subnet: IPv4Subnet, gateway: IPv4Address, mtu: Int, vni: UInt32?,
        isInternal: Bool, isIngress: Bool, nodeAddress: IPv4Address?, services: [VirtualService],
        remotes: [IPv4Address: IPv4Address] = [:]
    ) {
        self.remotes = remotes
        (self.id, self.name, self.subnet, self.gateway, self.mtu) = (id, name, subnet, gateway, mtu)
        (self.vni, self.isInternal, self.isIngress) = (vni, isInternal, isIngress)
        (self.nodeAddress, self.services) = (nodeAddress, services)
    }
}

/// A virtual address and the running, healthy tasks behind it.
package struct VirtualService: Sendable, Equatable {
    package var id: String
    package var virtualIP: IPv4Address
    package var backends: [IPv4Address]

    package init(id: String, virtualIP: IPv4Address, backends: [IPv4Address]) {
        (self.id, self.virtualIP, self.backends) = (id, virtualIP, backends)
    }
}

/// One container's network namespace.
package struct DesiredSandbox: Sendable, Equatable {
    package var id: String
    /// In order: the first becomes `eth0`.
    package var interfaces: [DesiredInterface]
    /// The network whose gateway is the default route; nil leaves no way out.
    package var defaultNetwork: String?
    /// Kernel settings of the namespace, by their path under /proc/sys.
    package var sysctls: [String: String] = [:]

    package init(id: String, interfaces: [DesiredInterface], defaultNetwork: String?) {
        (self.id, self.interfaces, self.defaultNetwork) = (id, interfaces, defaultNetwork)
    }
}

/// One container's end on one network.
package struct DesiredInterface: Sendable, Equatable {
    package var networkID: String
    package var address: IPv4Address
    package var prefixLength: Int
    package var mac: MACAddress

    package init(networkID: String, address: IPv4Address, prefixLength: Int, mac: MACAddress) {
        (self.networkID, self.address, self.prefixLength, self.mac) = (networkID, address, prefixLength, mac)
    }
}

package enum TransportProtocol: String, Sendable, Hashable { case tcp, udp, sctp }

/// A port of this node that leads to tasks.
package struct PublishedPort: Sendable, Equatable {
    package enum Mode: Sendable { case ingress, host }
    package var transport: TransportProtocol
    package var publishedPort: UInt16
    package var targetPort: UInt16
    package var mode: Mode
    package struct Key: Sendable, Hashable, Comparable, CustomStringConvertible {
        package var transport: TransportProtocol
        package var port: UInt16

        package init(transport: TransportProtocol, port: UInt16) {
            (self.transport, self.port) = (transport, port)
        }

        package static func < (left: Key, right: Key) -> Bool {
            (left.port, left.transport.rawValue) < (right.port, right.transport.rawValue)
        }

        /// `8080/tcp`.
        package var description: String { "\(port)/\(transport.rawValue)" }
    }

    package var key: Key { Key(transport: transport, port: publishedPort) }
    /// Addresses on the ingress network, or on the task's default network in host mode.
    package var backends: [IPv4Address]
    /// The one address of this node at which the port is open; nil is all of them.
    package var hostAddress: IPv4Address?

    package init(
        transport: TransportProtocol, publishedPort: UInt16, targetPort: UInt16, mode: Mode,
        backends: [IPv4Address]
    ) {
        (self.transport, self.publishedPort, self.targetPort) = (transport, publishedPort, targetPort)
        (self.mode, self.backends) = (mode, backends)
    }
}
