import Dispatching
import Execution
import NameService
import Overlay
import SwarmCore
import SwarmModel

/// From assignments and local task states to what the kernel and the resolvers must hold.
extension AgentMachine {
    /// The node-local network of containers that join no overlay, as Docker's `bridge`.
    static let localNetworkID = "bridge"

    /// The next free address of the node-local network, after the highest one given, wrapping around.
    mutating func allocateLocalAddress(for containerID: String, _ task: SwarmTask) {
        guard localAddresses[containerID] == nil, usesLocalNetwork(task) else { return }
        let taken = Set(localAddresses.values)
        let first = facts.localSubnet.network.advanced(by: 2)
        // Standalone containers have the upper half.
        let half = Int(facts.localSubnet.broadcast.value - facts.localSubnet.network.value) / 2
        let last = facts.localSubnet.network.advanced(by: half - 1)
        let start = taken.max().map { $0.advanced(by: 1) } ?? first
        let candidates = [start...last, first...last].lazy.filter { $0.lowerBound <= $0.upperBound }
        for range in candidates {
            var candidate = range.lowerBound
            while candidate <= range.upperBound {
                if !taken.contains(candidate) {
                    localAddresses[containerID] = candidate
                    return
                }
                candidate = candidate.advanced(by: 1)
            }
        }
    }

    func usesLocalNetwork(_ task: SwarmTask) -> Bool {
        guard networkMode(task) == nil else { return false }
        return overlayAttachments(task).allSatisfy { $0.network.spec.ingress == true }
            && !overlayAttachments(task).contains { $0.network.spec.ingress == true }
    }

    /// `host` or `none` when the task asked for one of those instead of a network of its own.
    func networkMode(_ task: SwarmTask) -> String? {
        let targets = (task.spec.networks ?? []).compactMap(\.target)
        return targets.first { $0 == "host" || $0 == "none" }
    }

    func overlayAttachments(_ task: SwarmTask) -> [NetworkAttachment] { task.networksAttachments ?? [] }

    /// Tasks of this node that may take traffic, by service.
    private func localEndpoints() -> [ObjectID: [TaskEndpoint]] {
        var endpoints: [ObjectID: [TaskEndpoint]] = [:]
        for id in machines.keys.sorted() {
            guard let machine = machines[id], machine.isServing, let task = tasks[id],
                let service = task.serviceID
            else { continue }
            endpoints[service, default: []].append(TaskEndpoint(task, containerID: machine.containerID))
        }
        // Standalone containers of this node, each under its own attachment's identifier.
        for id in attached.sorted() {
            guard let task = attachments[id] else { continue }
            endpoints[id] = [TaskEndpoint(task, containerID: task.attachedContainerID ?? "")]
        }
        return endpoints
    }

    /// The addresses that managers have given standalone containers of this node; nil while no manager has told.
    package var containerAttachments: [ContainerAttachment]? {
        guard assignment != nil else { return nil }
        return attachments.keys.sorted().compactMap { id in
            guard let task = attachments[id], let containerID = task.attachedContainerID,
                let attachment = task.networksAttachments?.first, let address = attachment.addresses?.first
            else { return nil }
            return ContainerAttachment(
                id: id, containerID: containerID, networkID: attachment.network.id,
                networkName: attachment.network.spec.name,
                isInternal: attachment.network.spec.isInternal == true,
                address: address)
        }
    }

    /// The endpoints on other nodes that take traffic: a node that gossip holds for dead gets none.
    private func serving(_ service: ServiceEndpoints) -> [TaskEndpoint] {
        service.endpoints.filter { endpoint in
            endpoint.isServing && endpoint.nodeID != assignment?.nodeID
                && !unreachable.contains(endpoint.nodeID)
        }
    }

    func desiredNetworking() -> DesiredNetworking {
        guard let assignment else {
            return DesiredNetworking(networks: [:], sandboxes: [:], publishedPorts: [])
        }
        let local = localEndpoints()
        let remotes = remotes(assignment)
        var networks: [String: DesiredNetwork] = [:]
        for network in assignment.networks {
            guard let subnet = network.subnet, let gateway = network.gateway else { continue }
            let isIngress = network.spec.ingress == true
            networks[network.id] = DesiredNetwork(
                id: network.id, name: network.spec.name, subnet: subnet, gateway: gateway,
                mtu: mtu(of: network),
                vni: network.vni, isInternal: network.spec.isInternal == true, isIngress: isIngress,
                nodeAddress: isIngress ? subnet.broadcast.advanced(by: -1) : nil,
                services: isIngress ? [] : virtualServices(on: network.id, assignment, local),
                remotes: remotes[network.id] ?? [:])
        }
        var sandboxes: [String: DesiredSandbox] = [:]
        for (id, machine) in machines where machine.needsNetwork {
            guard let task = tasks[id], networkMode(task) == nil else { continue }
            sandboxes[machine.containerID] = sandbox(for: task, machine.containerID)
        }
        if sandboxes.values.contains(where: { $0.defaultNetwork == Self.localNetworkID }) {
            networks[Self.localNetworkID] = DesiredNetwork(
                id: Self.localNetworkID, name: Self.localNetworkID, subnet: facts.localSubnet,
                gateway: facts.localSubnet.network.advanced(by: 1), mtu: 1500, vni: nil, isInternal: false,
                isIngress: false, nodeAddress: nil, services: [])
        }
        return DesiredNetworking(
            networks: networks, sandboxes: sandboxes, publishedPorts: publishedPorts(assignment, local),
            tunnel: tunnel(assignment))
    }

    // MARK: Other nodes

    /// Where tunnels to a task's node end: gossip knows first and best, the store when nobody has gossiped yet.
    private func dataPathAddress(_ endpoint: TaskEndpoint) -> IPv4Address? {
        peers[endpoint.nodeID] ?? endpoint.nodeAddress
    }

    /// By network: every task on another node that may send or take a packet, serving or not, and its node's address.
    ///
    /// Nodes that are held for dead stay: nothing is lost by it, and those that only seemed dead go on at once.
    private func remotes(_ assignment: Assignment) -> [ObjectID: [IPv4Address: IPv4Address]] {
        guard facts.dataPathAddress != nil else { return [:] }
        var remotes: [ObjectID: [IPv4Address: IPv4Address]] = [:]
        for service in assignment.services {
            for endpoint in service.endpoints where endpoint.nodeID != assignment.nodeID {
                guard let node = dataPathAddress(endpoint) else { continue }
                for (network, address) in endpoint.addresses {
                    remotes[network, default: [:]][address] = node
                }
            }
        }
        return remotes
    }

    private func tunnel(_ assignment: Assignment) -> DesiredTunnel? {
        guard let own = facts.dataPathAddress else { return nil }
        var nodes = Set(peers.values)
        for service in assignment.services {
            for endpoint in service.endpoints where endpoint.nodeID != assignment.nodeID {
                if let node = dataPathAddress(endpoint) { nodes.insert(node) }
            }
        }
        nodes.remove(own)
        return DesiredTunnel(address: own, port: facts.dataPathPort, peers: nodes)
    }

    /// Docker's option names the underlay's packet size, of which an overlay loses what the tunnel adds.
    private func mtu(of network: Network) -> Int {
        let asked = network.spec.askedPacketSize.map { $0 - DesiredTunnel.overhead }
        guard facts.dataPathAddress != nil else { return min(asked ?? facts.mtu, facts.mtu) }
        return asked ?? 65_535 - DesiredTunnel.overhead
    }

    private func virtualServices(
        on network: ObjectID, _ assignment: Assignment, _ local: [ObjectID: [TaskEndpoint]]
    ) -> [VirtualService] {
        assignment.services.compactMap { service in
            guard let address = service.virtualIPs[network] else { return nil }
            let backends = ((local[service.id] ?? []) + serving(service)).compactMap {
                $0.addresses[network]
            }
            return VirtualService(id: service.id, virtualIP: address, backends: backends.sorted())
        }
    }

    private func sandbox(for task: SwarmTask, _ containerID: String) -> DesiredSandbox {
        var interfaces: [DesiredInterface] = []
        for attachment in overlayAttachments(task) {
            guard let address = attachment.addresses?.first else { continue }
            interfaces.append(
                DesiredInterface(
                    networkID: attachment.network.id, address: address.address,
                    prefixLength: address.prefixLength, mac: MACAddress(derivedFrom: address.address)))
        }
        let attachments = overlayAttachments(task).map(\.network)
        var defaultNetwork =
            attachments.first { $0.spec.ingress == true }?.id
            ?? attachments.first { $0.spec.isInternal != true }?.id
        if let address = localAddresses[containerID], interfaces.isEmpty {
            interfaces.append(
                DesiredInterface(
                    networkID: Self.localNetworkID, address: address,
                    prefixLength: facts.localSubnet.prefixLength, mac: MACAddress(derivedFrom: address)))
            defaultNetwork = Self.localNetworkID
        }
        return DesiredSandbox(id: containerID, interfaces: interfaces, defaultNetwork: defaultNetwork)
    }

    private func publishedPorts(
        _ assignment: Assignment, _ local: [ObjectID: [TaskEndpoint]]
    ) -> [PublishedPort] {
        let ingress = assignment.networks.first { $0.spec.ingress == true }?.id
        var published: [PublishedPort] = []
        for service in assignment.services {
            for port in service.ports {
                guard let target = port.targetPort.flatMap(UInt16.init(exactly:)),
                    let proto = TransportProtocol(rawValue: port.proto ?? "tcp")
                else { continue }
                if (port.publishMode ?? "ingress") == "ingress" {
                    guard let number = port.publishedPort.flatMap(UInt16.init(exactly:)), number != 0 else {
                        continue
                    }
                    let endpoints = (local[service.id] ?? []) + serving(service)
                    let backends = endpoints.compactMap { endpoint in
                        ingress.flatMap { endpoint.addresses[$0] }
                    }
                    published.append(
                        PublishedPort(
                            transport: proto, publishedPort: number, targetPort: target, mode: .ingress,
                            backends: backends.sorted()))
                }
            }
        }
        return published + hostModePorts(local)
    }

    private func hostModePorts(_ local: [ObjectID: [TaskEndpoint]]) -> [PublishedPort] {
        var published: [PublishedPort] = []
        for id in machines.keys.sorted() {
            guard let machine = machines[id], machine.needsNetwork, let task = tasks[id] else { continue }
            let sandbox = sandbox(for: task, machine.containerID)
            let address = sandbox.interfaces.first { $0.networkID == sandbox.defaultNetwork }?.address
            for port in task.hostModePorts {
                guard let number = port.publishedPort.flatMap(UInt16.init(exactly:)), number != 0,
                    let target = port.targetPort.flatMap(UInt16.init(exactly:)), let address,
                    let proto = TransportProtocol(rawValue: port.proto ?? "tcp")
                else { continue }
                published.append(
                    PublishedPort(
                        transport: proto, publishedPort: number, targetPort: target, mode: .host,
                        backends: machine.isServing ? [address] : []))
            }
        }
        return published
    }

    // MARK: Names

    func nameSpaceView() -> NameSpaceView {
        guard let assignment else { return NameSpaceView() }
        let local = localEndpoints()
        var zones: [String: NetworkZone] = [:]
        for network in assignment.networks where network.spec.ingress != true {
            let services = assignment.services.filter { $0.networks.contains(network.id) }.map { service in
                ServiceRecord(
                    name: service.name, aliases: service.aliases[network.id] ?? [],
                    virtualIP: service.isRoundRobin ? nil : service.virtualIPs[network.id],
                    endpoints: ((local[service.id] ?? []) + serving(service)).compactMap {
                        $0.record(on: network.id, isAttachment: $0.taskID == service.id)
                    })
            }
            zones[network.id] = NetworkZone(
                id: network.id, name: network.spec.name, isInternal: network.spec.isInternal == true,
                services: services, containers: [])
        }
        var scopes: [String: ResolverScope] = [:]
        var upstreams: [String: [String]] = [:]
        for (id, machine) in machines where machine.needsNetwork {
            guard let task = tasks[id], networkMode(task) == nil else { continue }
            let attached = overlayAttachments(task).map(\.network).filter { $0.spec.ingress != true }
            let hasWayOut =
                attached.isEmpty || overlayAttachments(task).contains { $0.network.spec.isInternal != true }
            scopes[machine.containerID] = ResolverScope(
                networks: attached.map(\.id), forwardsUpstream: hasWayOut)
            if let servers = task.spec.containerSpec?.dnsConfig?.nameservers, !servers.isEmpty {
                upstreams[machine.containerID] = servers
            }
        }
        return NameSpaceView(
            directory: ServiceDirectory(networks: zones), scopes: scopes, upstreams: upstreams)
    }
}

extension TaskEndpoint {
    /// The endpoint's names on one network; nil when it has no address there.
    func record(on network: ObjectID, isAttachment: Bool) -> EndpointRecord? {
        guard let address = addresses[network] else { return nil }
        return EndpointRecord(
            address: address, taskName: taskName,
            containerName: isAttachment ? taskName : "\(taskName).\(taskID)",
            containerID: containerID,
            aliases: hostname.isEmpty ? [] : [hostname])
    }
}
