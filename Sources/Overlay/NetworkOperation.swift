package import SwarmCore

/// One step towards the desired state. Each is idempotent enough to be planned again after it failed.
package enum NetworkOperation: Sendable, Equatable {
    case removeSandbox(String)
    /// Deletes one bridge port, and with it the container's end.
    case detach(networkID: String, port: PortID)
    /// Makes the namespace, its bridge and the gateway address.
    case createNetwork(DesiredNetwork, mac: MACAddress)
    case closeTunnel(networkID: String)
    /// Makes the VXLAN device, empty of entries.
    case openTunnel(DesiredNetwork, DesiredTunnel)
    /// Gives all links of the network the size of packet that it carries.
    case setMTU(DesiredNetwork)
    case setForwarding(networkID: String, [ForwardingChange])
    case closeDoor(networkID: String)
    /// Makes the link between the network and the node, its addresses and routes.
    case openDoor(DesiredNetwork, mac: MACAddress?)
    case createSandbox(DesiredSandbox)
    case attach(Attachment)
    /// Nil removes the default route.
    case setDefaultRoute(sandboxID: String, gateway: IPv4Address?)
    case addVirtualIP(networkID: String, IPv4Address)
    /// Brings the network's rules to this content in atomic steps.
    case setBalancer(networkID: String, BalancerTable)
    case removeVirtualIP(networkID: String, IPv4Address)
    case reservePort(PublishedPort.Key)
    case setHostRuleset(HostRuleset)
    case releasePort(PublishedPort.Key)
    case removeNetwork(String)

    /// Whom a failure of this step is reported to.
    package enum Subject: Sendable, Hashable {
        case network(String), sandbox(String), port(PublishedPort.Key), host
    }

    package var subject: Subject {
        switch self {
        case .removeSandbox(let id), .setDefaultRoute(let id, _): .sandbox(id)
        case .createSandbox(let sandbox): .sandbox(sandbox.id)
        case .attach(let attachment): .sandbox(attachment.port.sandboxID)
        case .detach(_, let port): .sandbox(port.sandboxID)
        case .createNetwork(let network, _), .openDoor(let network, _), .openTunnel(let network, _),
            .setMTU(let network):
            .network(network.id)
        case .closeTunnel(let id), .setForwarding(let id, _), .closeDoor(let id),
            .addVirtualIP(let id, _), .setBalancer(let id, _), .removeVirtualIP(let id, _),
            .removeNetwork(let id):
            .network(id)
        case .reservePort(let key), .releasePort(let key): .port(key)
        case .setHostRuleset: .host
        }
    }

    /// What was done, for the log of repairs.
    package var summary: String {
        switch self {
        case .removeSandbox(let id): "removed the namespace of container \(id)"
        case .detach(let network, let port): "removed interface \(port) from network \(network)"
        case .closeTunnel(let id): "removed the tunnel of network \(id)"
        case .openTunnel(let network, _): "created the tunnel of network \(network.name)"
        case .setMTU(let network): "set the packet size of network \(network.name) to \(network.mtu)"
        case .setForwarding(let id, let changes): "changed \(changes.count) forwarding entries of network \(id)"
        case .createNetwork(let network, _): "created the namespace of network \(network.name)"
        case .closeDoor(let id): "removed the link between network \(id) and the host"
        case .openDoor(let network, _): "created the link between network \(network.name) and the host"
        case .createSandbox(let sandbox): "created the namespace of container \(sandbox.id)"
        case .attach(let attachment): "attached \(attachment.port) to network \(attachment.network.name)"
        case .setDefaultRoute(let id, let gateway):
            "set the default route of container \(id) to \(gateway.map(\.description) ?? "none")"
        case .addVirtualIP(let id, let address): "added virtual address \(address) to network \(id)"
        case .setBalancer(let id, _): "loaded the rules of network \(id)"
        case .removeVirtualIP(let id, let address): "removed virtual address \(address) from network \(id)"
        case .reservePort(let key): "reserved port \(key)"
        case .setHostRuleset: "loaded the rules of the host"
        case .releasePort(let key): "released port \(key)"
        case .removeNetwork(let id): "removed the namespace of network \(id)"
        }
    }
}

/// One interface of one container on one network.
package struct Attachment: Sendable, Equatable {
    package struct Network: Sendable, Equatable {
        package var id: String
        package var name: String
        package var mtu: Int
    }
    package var port: PortID
    package var network: Network
    package var interface: DesiredInterface
}
