package import SwarmCore

/// All that this node's kernel must hold for its tasks, as one value; the adapter makes the kernel match.
package struct DesiredNetworking: Sendable, Equatable {
    /// By network id: those with tasks on this node, and the ingress network.
    package var networks: [String: DesiredNetwork]
    /// By container id: one network namespace each.
    package var sandboxes: [String: DesiredSandbox]
    /// Ingress-mode and host-mode ports of this node.
    package var publishedPorts: [PublishedPort]

    package init(
        networks: [String: DesiredNetwork] = [:], sandboxes: [String: DesiredSandbox] = [:],
        publishedPorts: [PublishedPort] = []
    ) {
        (self.networks, self.sandboxes, self.publishedPorts) = (networks, sandboxes, publishedPorts)
    }
}

/// One network's sandbox namespace on this node: its bridge, its gateway, its balancer and its way out.
package struct DesiredNetwork: Sendable, Equatable {
    package var id: String
    package var name: String
    package var subnet: IPv4Subnet
    /// Owned by the bridge of every node's sandbox (anycast).
    package var gateway: IPv4Address
    package var mtu: Int
    package var vni: UInt32?
    /// No way out and no published ports.
    package var isInternal: Bool
    package var isIngress: Bool
    /// This node's own address on the ingress network; nil elsewhere.
    package var nodeAddress: IPv4Address?
    /// Other nodes' own addresses on the ingress network.
    package var peerNodeAddresses: [IPv4Address] = []
    package var services: [VirtualService]

    package init(
        id: String, name: String, subnet: IPv4Subnet, gateway: IPv4Address, mtu: Int, vni: UInt32?,
        isInternal: Bool, isIngress: Bool, nodeAddress: IPv4Address?, services: [VirtualService]
    ) {
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

    package init(
        transport: TransportProtocol, publishedPort: UInt16, targetPort: UInt16, mode: Mode, backends: [IPv4Address]
    ) {
        (self.transport, self.publishedPort, self.targetPort) = (transport, publishedPort, targetPort)
        (self.mode, self.backends) = (mode, backends)
    }
}

/// Names of kernel objects, all derived from identifiers so that a restarted daemon finds them again.
package enum KernelName {
    /// The host's end of a network's way out; at most 15 characters.
    package static func uplink(_ networkID: String) -> String { uplinkPrefix + networkID.prefix(10) }
    package static let uplinkPrefix = "swu"
    /// A container's end inside a network's sandbox.
    package static func port(_ containerID: String, _ index: Int) -> String { "v\(containerID.prefix(11))\(index)" }
    package static func networkNamespace(_ networkID: String) -> String { "network-" + networkID }
    package static let bridge = "br0"
    package static let door = "up0"
    /// Every uplink's address on the host: the sandboxes' next hop. Link-local, so it clashes with nobody's
    /// LAN.
    package static let nextHop = IPv4Address(169 << 24 | 254 << 16 | 100 << 8 | 1)
    package static let table = "swarm"
}
