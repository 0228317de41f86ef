import SwarmCore

/// Compares what should be with what is, and orders the steps between them.
///
/// Addresses leave before they arrive elsewhere; rules change when everything they name exists; namespaces
/// go last.
package enum NetworkPlanner {
    package struct Plan: Sendable, Equatable {
        package var operations: [NetworkOperation] = []
        /// What cannot be done at all, in words.
        package var refusals: [NetworkOperation.Subject: String] = [:]
    }

    package static func plan(_ desired: DesiredNetworking, from observed: ObservedNetworking) -> Plan {
        var plan = Plan()
        let networks = usableNetworks(desired, &plan)
        removeSandboxes(desired, observed, &plan)
        for network in networks { planNetwork(network, observed, &plan) }
        for id in desired.sandboxes.keys.sorted() {
            guard let sandbox = desired.sandboxes[id] else { continue }
            planSandbox(sandbox, desired, observed, &plan)
        }
        for network in networks { planServices(network, desired, observed, &plan) }
        planHost(desired, observed, &plan)
        for id in observed.networks.keys.sorted() where desired.networks[id] == nil {
            plan.operations.append(.removeNetwork(id))
        }
        return plan
    }

    /// Leaves out networks that cannot exist, so that one bad object never harms the others.
    private static func usableNetworks(_ desired: DesiredNetworking, _ plan: inout Plan) -> [DesiredNetwork] {
        var usable: [DesiredNetwork] = []
        for id in desired.networks.keys.sorted() {
            guard let network = desired.networks[id] else { continue }
            if !network.subnet.contains(network.gateway) {
                plan.refusals[.network(id)] =
                    "network \(network.name): gateway \(network.gateway) is not in \(network.subnet)"
            } else if let other = usable.first(where: { $0.subnet.overlaps(network.subnet) }) {
                plan.refusals[.network(id)] =
                    "network \(network.name): \(network.subnet) overlaps \(other.subnet) of network \(other.name)"
            } else if network.isIngress && network.nodeAddress == nil {
                plan.refusals[.network(id)] = "network \(network.name): this node has no ingress address yet"
            } else {
                usable.append(network)
            }
        }
        return usable
    }

    private static func removeSandboxes(
        _ desired: DesiredNetworking, _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        for id in observed.networks.keys.sorted() {
            for port in observed.networks[id]?.ports.sorted() ?? [] {
                guard let sandbox = desired.sandboxes[port.sandboxID] else {
                    if observed.sandboxes[port.sandboxID] == nil {
                        plan.operations.append(.detach(networkID: id, port: port))
                    }
                    continue
                }
                let wanted =
                    sandbox.interfaces.indices.contains(port.index) ? sandbox.interfaces[port.index] : nil
                let found = observed.sandboxes[port.sandboxID]?.interfaces[port.index]
                if wanted?.networkID != id || wanted.map(ObservedInterface.init) != found {
                    plan.operations.append(.detach(networkID: id, port: port))
                }
            }
        }
        for id in observed.sandboxes.keys.sorted() where desired.sandboxes[id] == nil {
            plan.operations.append(.removeSandbox(id))
        }
    }

    private static func planNetwork(
        _ network: DesiredNetwork, _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        let found = observed.networks[network.id]
        let gateway = IPv4Subnet(network.gateway, prefixLength: network.subnet.prefixLength)
        if found?.gateway != gateway || found?.mtu != network.mtu {
            plan.operations.append(.createNetwork(network))
        }
        let wantsDoor = network.isIngress || !network.isInternal
        guard let door = found?.door else {
            if wantsDoor { plan.operations.append(.openDoor(network)) }
            return
        }
        let isRight = door.isRouted && door.nodeAddress == (network.isIngress ? network.nodeAddress : nil)
        if !wantsDoor || !isRight { plan.operations.append(.closeDoor(networkID: network.id)) }
        if wantsDoor && !isRight { plan.operations.append(.openDoor(network)) }
    }

    private static func planSandbox(
        _ sandbox: DesiredSandbox, _ desired: DesiredNetworking, _ observed: ObservedNetworking,
        _ plan: inout Plan
    ) {
        let found = observed.sandboxes[sandbox.id]
        if found == nil { plan.operations.append(.createSandbox(sandbox)) }
        for (index, interface) in sandbox.interfaces.enumerated() {
            guard let network = desired.networks[interface.networkID] else {
                plan.refusals[.sandbox(sandbox.id)] = "network \(interface.networkID) is not on this node"
                continue
            }
            if let reason = plan.refusals[.network(network.id)] {
                plan.refusals[.sandbox(sandbox.id)] = reason
                continue
            }
            let port = PortID(sandboxID: sandbox.id, index: index)
            let isAttached =
                observed.networks[network.id]?.ports.contains(port) == true
                && found?.interfaces[index] == ObservedInterface(interface)
            if isAttached { continue }
            plan.operations.append(
                .attach(
                    Attachment(
                        port: port, network: .init(id: network.id, name: network.name, mtu: network.mtu),
                        interface: interface)))
        }
        let gateway = sandbox.defaultNetwork.flatMap { desired.networks[$0] }.flatMap { network in
            network.isInternal && !network.isIngress ? nil : network.gateway
        }
        if found?.defaultGateway != gateway || (gateway != nil && plan.touches(sandbox.id)) {
            plan.operations.append(.setDefaultRoute(sandboxID: sandbox.id, gateway: gateway))
        }
    }

    private static func planServices(
        _ network: DesiredNetwork, _ desired: DesiredNetworking, _ observed: ObservedNetworking,
        _ plan: inout Plan
    ) {
        let found = observed.networks[network.id]
        let virtualIPs = Set(network.services.map(\.virtualIP))
        for address in virtualIPs.subtracting(found?.virtualIPs ?? []).sorted() {
            plan.operations.append(.addVirtualIP(networkID: network.id, address))
        }
        let members = desired.sandboxes.values.flatMap { sandbox in
            sandbox.interfaces.filter { $0.networkID == network.id }.map(\.address)
        }
        var table = found?.balancer ?? BalancerTable(gateway: network.gateway)
        table.gateway = network.gateway
        table.members = Set(members)
        table.doors =
            network.isIngress ? Set(network.peerNodeAddresses + [network.nodeAddress].compactMap(\.self)) : []
        table.setServices(network.services)
        if table != found?.balancer { plan.operations.append(.setBalancer(networkID: network.id, table)) }
        for address in (found?.virtualIPs ?? []).subtracting(virtualIPs).sorted() {
            plan.operations.append(.removeVirtualIP(networkID: network.id, address))
        }
    }

    private static func planHost(
        _ desired: DesiredNetworking, _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        var ports: [PublishedPort.Key: PublishedPort] = [:]
        for port in desired.publishedPorts {
            if ports[port.key] != nil {
                plan.refusals[.port(port.key)] = "port \(port.key) is published twice on this node"
                continue
            }
            ports[port.key] = port
        }
        for key in ports.keys.sorted() where !observed.reservedPorts.contains(key) {
            plan.operations.append(.reservePort(key))
        }
        let outgoing = desired.networks.values.filter { network in
            plan.refusals[.network(network.id)] == nil && (network.isIngress || !network.isInternal)
        }
        let ruleset = HostRuleset(
            subnets: outgoing.map(\.subnet.canonical), ports: ports.keys.sorted().compactMap { ports[$0] })
        if ruleset != observed.hostRuleset { plan.operations.append(.setHostRuleset(ruleset)) }
        for key in observed.reservedPorts.sorted() where ports[key] == nil {
            plan.operations.append(.releasePort(key))
        }
    }
}

extension NetworkPlanner.Plan {
    /// Whether an interface of the container is about to be made; its routes died with the old one.
    fileprivate func touches(_ sandboxID: String) -> Bool {
        operations.contains { operation in
            if case .attach(let attachment) = operation {
                attachment.port.sandboxID == sandboxID
            } else {
                false
            }
        }
    }
}

extension ObservedInterface {
    init(_ interface: DesiredInterface) {
        self.init(address: interface.address, prefixLength: interface.prefixLength, mac: interface.mac)
    }
}
