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
        let networks = usableNetworks(desired, observed, &plan)
        let members = members(desired)
        removeSandboxes(desired, observed, &plan)
        var forgetting: [String: [ForwardingChange]] = [:]
        for network in networks {
            planNetwork(network, desired.tunnel, observed, &plan)
            let own = members[network.id] ?? []
            let steps = forwardingSteps(network, own, desired.tunnel, observed)
            if !steps.early.isEmpty { plan.operations.append(.setForwarding(networkID: network.id, steps.early)) }
            if !steps.late.isEmpty { forgetting[network.id] = steps.late }
        }
        let usable = Dictionary(networks.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for id in desired.sandboxes.keys.sorted() {
            guard let sandbox = desired.sandboxes[id] else { continue }
            planSandbox(sandbox, desired, usable, observed, &plan)
        }
        for network in networks {
            planMTU(network, desired, observed, &plan)
            planServices(network, members[network.id] ?? [], desired.tunnel, observed, &plan)
            if let changes = forgetting[network.id] {
                plan.operations.append(.setForwarding(networkID: network.id, changes))
            }
        }
        planHost(desired, observed, &plan)
        for id in observed.networks.keys.sorted() where desired.networks[id] == nil {
            plan.operations.append(.removeNetwork(id))
        }
        return plan
    }

    /// Leaves out networks that cannot exist, so that one bad object never harms the others.
    private static func usableNetworks(
        _ desired: DesiredNetworking, _ observed: ObservedNetworking, _ plan: inout Plan
    ) -> [DesiredNetwork] {
        var usable: [DesiredNetwork] = []
        let underlay = desired.tunnel.flatMap { observed.linkMTUs[$0.address] }
        if let tunnel = desired.tunnel, underlay == nil {
            plan.refusals[.host] =
                "no link of this node has its data-path address \(tunnel.address): tasks here reach no other node"
        }
        for id in desired.networks.keys.sorted() {
            guard var network = desired.networks[id] else { continue }
            if network.vni != nil, desired.tunnel != nil {
                network.mtu = min(network.mtu, max((underlay ?? defaultMTU) - DesiredTunnel.overhead, smallestMTU))
            }
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
        _ network: DesiredNetwork, _ tunnel: DesiredTunnel?, _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        let found = observed.networks[network.id]
        let gateway = IPv4Subnet(network.gateway, prefixLength: network.subnet.prefixLength)
        let mac = tunnel.map { MACAddress(bridgeOf: $0.address) } ?? MACAddress(derivedFrom: network.gateway)
        if found?.gateway != gateway || found?.mac != mac {
            plan.operations.append(.createNetwork(network, mac: mac))
        }
        planTunnel(network, tunnel, observed, &plan)
        let wantsDoor = network.isIngress || !network.isInternal
        let doorMAC = network.isIngress ? doorNumber(network, tunnel).map { MACAddress(doorOf: $0) } : nil
        guard let door = found?.door else {
            if wantsDoor { plan.operations.append(.openDoor(network, mac: doorMAC)) }
            return
        }
        let isRight =
            door.isRouted && door.nodeAddress == (network.isIngress ? network.nodeAddress : nil)
            && (doorMAC == nil || door.mac == doorMAC)
        if !wantsDoor || !isRight { plan.operations.append(.closeDoor(networkID: network.id)) }
        if wantsDoor && !isRight { plan.operations.append(.openDoor(network, mac: doorMAC)) }
    }

    private static func planSandbox(
        _ sandbox: DesiredSandbox, _ desired: DesiredNetworking, _ usable: [String: DesiredNetwork],
        _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        let found = observed.sandboxes[sandbox.id]
        if found == nil { plan.operations.append(.createSandbox(sandbox)) }
        for (index, interface) in sandbox.interfaces.enumerated() {
            guard let network = usable[interface.networkID] else {
                plan.refusals[.sandbox(sandbox.id)] =
                    plan.refusals[.network(interface.networkID)]
                    ?? "network \(interface.networkID) is not on this node"
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
        _ network: DesiredNetwork, _ members: Set<IPv4Address>, _ tunnel: DesiredTunnel?,
        _ observed: ObservedNetworking, _ plan: inout Plan
    ) {
        let found = observed.networks[network.id]
        let virtualIPs = Set(network.services.map(\.virtualIP))
        for address in virtualIPs.subtracting(found?.virtualIPs ?? []).sorted() {
            plan.operations.append(.addVirtualIP(networkID: network.id, address))
        }
        var table = found?.balancer ?? BalancerTable(gateway: network.gateway)
        table.gateway = network.gateway
        table.members = members
        table.doors = []
        if network.isIngress, let own = doorNumber(network, tunnel) {
            table.doors = (tunnel?.peers ?? []).union([own])
        }
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
            subnets: outgoing.map(\.subnet.canonical), ports: ports.keys.sorted().compactMap { ports[$0] },
            tunnel: desired.tunnel)
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
