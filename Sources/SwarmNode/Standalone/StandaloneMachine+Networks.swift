package import NameService
package import Overlay
import Ports
package import SwarmCore
import SwarmModel

/// What standalone containers add to the kernel's networks and to names.
package struct StandaloneNetworking: Sendable, Equatable {
    package var networks: [String: DesiredNetwork] = [:]
    package var sandboxes: [String: DesiredSandbox] = [:]
    package var ports: [PublishedPort] = []
    package var zones: [String: NetworkZone] = [:]
    package var scopes: [String: ResolverScope] = [:]
    package var upstreams: [String: [String]] = [:]

    /// This node's networking as a whole: tasks' and standalone containers'.
    ///
    /// A port that a standalone container has stays its own, whatever a service publishes later.
    package func merged(
        into desired: DesiredNetworking, _ view: NameSpaceView
    ) -> (DesiredNetworking, NameSpaceView) {
        var (all, names) = (desired, view)
        all.networks.merge(networks) { first, _ in first }
        all.sandboxes.merge(sandboxes) { first, _ in first }
        let own = Set(ports.map(\.key))
        all.publishedPorts = desired.publishedPorts.filter { !own.contains($0.key) } + ports
        names.directory.networks.merge(zones) { first, _ in first }
        names.scopes.merge(scopes) { first, _ in first }
        names.upstreams.merge(upstreams) { first, _ in first }
        return (all, names)
    }
}

/// Addresses, ports and names of standalone containers.
extension StandaloneMachine {
    /// Ports that swarmd chooses from (Linux's own range of ephemeral ports, as Docker).
    static let chosenPorts: ClosedRange<UInt16> = 32_768...60_999
    /// Under this key the kernel's network stands that tasks without an overlay share with standalone containers.
    static let bridgeKey = "bridge"

    // MARK: Taking

    /// An address for one endpoint: at once on a network of this node, from the managers on one of the swarm's.
    mutating func take(_ id: String, _ index: Int, at now: Instant) throws(SwarmError) -> [StandaloneEffect] {
        guard var endpoint = members[id]?.wishes.endpoints[index], let member = members[id] else { return [] }
        if let network = localNetwork(endpoint.networkID) ?? localNetwork(endpoint.networkName) {
            (endpoint.networkID, endpoint.networkName, endpoint.isOverlay) = (network.id, network.name, false)
            endpoint.isInternal = network.isInternal
            endpoint.address = try freeAddress(on: network, wanted: endpoint.wantedAddress, for: id)
            members[id]?.wishes.endpoints[index] = endpoint
            return []
        }
        endpoint.isOverlay = true
        members[id]?.wishes.endpoints[index] = endpoint
        let target = endpoint.networkID.isEmpty ? endpoint.networkName : endpoint.networkID
        let wish = AttachmentWish(
            network: target, containerName: member.name, aliases: member.aliases(on: endpoint),
            address: endpoint.wantedAddress)
        return [.attach(containerID: id, wish)]
    }

    private func freeAddress(
        on network: LocalNetwork, wanted: IPv4Address?, for id: String
    ) throws(SwarmError) -> IPv4Subnet {
        var taken: Set<IPv4Address> = [network.gateway]
        for member in members.values {
            for endpoint in member.wishes.endpoints where endpoint.networkID == network.id {
                if let address = endpoint.address?.address { taken.insert(address) }
            }
        }
        let length = network.subnet.prefixLength
        if let wanted {
            guard network.subnet.contains(wanted), !taken.contains(wanted) else {
                let words =
                    network.subnet.contains(wanted)
                    ? "Address already in use" : "no configured subnet contains IP address \(wanted)"
                throw SwarmError(.failedPrecondition, "failed to set up container networking: \(words)")
            }
            return IPv4Subnet(wanted, prefixLength: length)
        }
        let size = Int(network.subnet.broadcast.value - network.subnet.network.value)
        // Tasks have the lower half of the node's own network.
        let first = network.id == bridge.id ? max(size / 2, 1) : 1
        guard size > first else { throw Self.noAddress(network) }
        let highest = taken.filter { $0 != network.gateway }.max().map {
            Int($0.value - network.subnet.network.value)
        }
        let count = size - first
        let start = highest.map { ($0 + 1 - first + count) % count } ?? 0
        for step in 0..<count {
            let candidate = network.subnet.network.advanced(by: first + (start + step) % count)
            if !taken.contains(candidate) { return IPv4Subnet(candidate, prefixLength: length) }
        }
        throw Self.noAddress(network)
    }

    private static func noAddress(_ network: LocalNetwork) -> SwarmError {
        SwarmError(
            .resourceExhausted,
            "failed to set up container networking: no available IPv4 addresses on network \(network.name) "
                + "(\(network.subnet))")
    }

    /// Every published port of the container gets its number, or none does.
    mutating func takePorts(_ id: String) throws(SwarmError) {
        guard let member = members[id] else { return }
        var taken = occupiedPorts
        for other in members.values { taken.formUnion(other.wishes.ports.compactMap(\.key)) }
        var ports = member.wishes.ports
        for index in ports.indices {
            guard let proto = TransportProtocol(rawValue: ports[index].transport) else { continue }
            let asked = ports[index].hostPort
            let free =
                asked != 0
                ? asked
                : Self.chosenPorts.first { !taken.contains(PublishedPort.Key(transport: proto, port: $0)) }
                    ?? 0
            let key = PublishedPort.Key(transport: proto, port: free)
            guard free != 0, !taken.contains(key) else {
                let host = ports[index].hostAddress.isEmpty ? "0.0.0.0" : ports[index].hostAddress
                throw SwarmError(
                    .unknown,
                    "failed to set up container networking: driver failed programming external connectivity on "
                        + "endpoint \(member.name) (\(id)): Bind for \(host):\(free) failed: port is already allocated"
                )
            }
            taken.insert(key)
            ports[index].assignedPort = free
        }
        members[id]?.wishes.ports = ports
    }

    // MARK: Managers' word

    mutating func attachAnswered(
        _ id: String, _ network: String, _ result: Result<ObjectID, SwarmError>, at now: Instant
    ) -> [StandaloneEffect] {
        guard let member = members[id], member.wantsAddresses,
            let index = member.wishes.endpoints.firstIndex(where: {
                $0.isOverlay && $0.attachmentID == nil
                    && ($0.networkID == network || $0.networkName == network)
            })
        else { return [] }
        switch result {
        case .success(let attachment):
            members[id]?.wishes.endpoints[index].attachmentID = attachment
            if member.phase == .running { members[id]?.reattachAt = now + Self.retryPause }
            return followAttachments(at: now)
        case .failure(let error):
            let words =
                error.code == .notFound
                ? error.message : "Could not attach to network \(network): \(error.message)"
            let told = SwarmError(error.code, "failed to set up container networking: \(words)")
            if case .attaching = member.phase { return fail(id, told) }
            if let ticket = members[id]?.connecting.removeValue(
                forKey: member.wishes.endpoints[index].networkName)
            {
                members[id]?.wishes.endpoints.remove(at: index)
                return [.answer(ticket: ticket, SwarmError(error.code, words))]
            }
            members[id]?.reattachAt = now + Self.retryPause
            return []
        }
    }

    /// Takes over the addresses that have come, and asks again for those that a running container has lost.
    mutating func followAttachments(at now: Instant) -> [StandaloneEffect] {
        guard let attachments else { return [] }
        detaching = detaching.filter { attachments[$0.key] != nil }
        var effects: [StandaloneEffect] = []
        for id in members.keys.sorted() {
            guard let member = members[id], member.wantsAddresses else { continue }
            let isDue = member.reattachAt.map { $0 <= now } ?? true
            var mustAskAgain = false
            for (index, endpoint) in member.wishes.endpoints.enumerated() where endpoint.isOverlay {
                if let attachment = endpoint.attachmentID.flatMap({ attachments[$0] }) {
                    effects += adopt(attachment, id, index)
                } else if member.phase == .running, isDue {
                    members[id]?.wishes.endpoints[index].attachmentID = nil
                    mustAskAgain = true
                    // An overlay's address costs nothing to ask for: it never throws.
                    effects += (try? take(id, index, at: now)) ?? []
                } else if member.phase == .running {
                    mustAskAgain = true
                }
            }
            if isDue { members[id]?.reattachAt = mustAskAgain ? now + Self.retryPause : nil }
            effects += proceed(id)
        }
        return effects
    }

    private mutating func adopt(_ attachment: ContainerAttachment, _ id: String, _ index: Int)
        -> [StandaloneEffect]
    {
        guard var endpoint = members[id]?.wishes.endpoints[index], endpoint.address != attachment.address
        else { return [] }
        let asked = endpoint.networkName
        (endpoint.networkID, endpoint.networkName) = (attachment.networkID, attachment.networkName)
        (endpoint.address, endpoint.isInternal) = (attachment.address, attachment.isInternal)
        members[id]?.wishes.endpoints[index] = endpoint
        guard members[id]?.phase == .running else { return [] }
        networkChanged()
        if let ticket = members[id]?.connecting.removeValue(forKey: asked) {
            members[id]?.joins.append(.init(version: networkVersion + 1, ticket: ticket))
        }
        return save(id)
    }

    /// Gives back what no container wants any more, again and again until the managers have it.
    mutating func giveBack(at now: Instant) -> [StandaloneEffect] {
        guard let attachments else { return [] }
        var effects: [StandaloneEffect] = []
        for id in attachments.keys.sorted() {
            guard let attachment = attachments[id], !isWanted(attachment),
                detaching[id].map({ $0 + Self.retryPause <= now }) ?? true
            else { continue }
            detaching[id] = now
            effects.append(.detach(attachment: id))
        }
        return effects
    }

    private func isWanted(_ attachment: ContainerAttachment) -> Bool {
        guard let member = members[attachment.containerID], member.wantsAddresses else { return false }
        return member.wishes.endpoints.contains {
            $0.attachmentID == attachment.id || ($0.isOverlay && $0.attachmentID == nil)
        }
    }

    // MARK: While it runs

    mutating func connect(
        _ id: String, _ endpoint: StandaloneEndpoint, _ ticket: UInt64, at now: Instant
    ) -> [StandaloneEffect] {
        func refuse(_ code: SwarmError.Code, _ words: String) -> [StandaloneEffect] {
            [.answer(ticket: ticket, SwarmError(code, words))]
        }
        guard let member = members[id] else { return refuse(.notFound, "No such container: \(id)") }
        let mode = member.wishes.networkMode
        guard mode != "host", mode != "none", !mode.hasPrefix("container:") else {
            return refuse(
                .invalidArgument,
                "container sharing network namespace with another container or host cannot be connected to any other "
                    + "network"
            )
        }
        let text = endpoint.networkID.isEmpty ? endpoint.networkName : endpoint.networkID
        guard member.index(ofNetwork: text) == nil else {
            return refuse(
                .permissionDenied,
                "endpoint with name \(member.name) already exists in network \(endpoint.networkName)")
        }
        switch member.phase {
        case .resting:
            members[id]?.wishes.endpoints.append(endpoint)
            return save(id) + [.answer(ticket: ticket, nil)]
        case .running: break
        case .attaching, .joining, .starting, .waiting, .removing:
            return refuse(
                .conflict, "container \(member.name) is being started or removed just now; try again")
        }
        members[id]?.wishes.endpoints.append(endpoint)
        let index = member.wishes.endpoints.count
        do throws(SwarmError) {
            let effects = try take(id, index, at: now)
            guard let taken = members[id]?.wishes.endpoints[index] else { return [] }
            guard taken.address != nil else {
                members[id]?.connecting[taken.networkName] = ticket
                members[id]?.reattachAt = now + Self.retryPause
                return effects
            }
            members[id]?.joins.append(.init(version: networkVersion + 1, ticket: ticket))
            networkChanged()
            let told = StandaloneEffect.tell(
                containerID: id, network: taken.networkName, networkID: taken.networkID, isConnected: true)
            return save(id) + [told]
        } catch {
            members[id]?.wishes.endpoints.remove(at: index)
            return refuse(error.code, error.message)
        }
    }

    mutating func disconnect(
        _ id: String, _ network: String, force: Bool, _ ticket: UInt64
    ) -> [StandaloneEffect] {
        guard let member = members[id] else {
            return [.answer(ticket: ticket, SwarmError(.notFound, "No such container: \(id)"))]
        }
        guard let index = member.index(ofNetwork: network) else {
            let words = "container \(id) is not connected to network \(network)"
            return [.answer(ticket: ticket, SwarmError(.permissionDenied, words))]
        }
        let endpoint = member.wishes.endpoints[index]
        members[id]?.wishes.endpoints.remove(at: index)
        members[id]?.connecting[endpoint.networkName] = nil
        guard member.holdsNetwork else { return save(id) + [.answer(ticket: ticket, nil)] }
        members[id]?.joins.append(.init(version: networkVersion + 1, ticket: ticket))
        networkChanged()
        let told = StandaloneEffect.tell(
            containerID: id, network: endpoint.networkName, networkID: endpoint.networkID, isConnected: false)
        return save(id) + [told]
    }

    // MARK: The whole

    /// The subnet for a new network of this node: Docker's own pools, and none that something else uses.
    package func freeSubnet(avoiding taken: [IPv4Subnet]) -> IPv4Subnet? {
        let used = taken + ([bridge] + networks).map(\.subnet)
        let large = (17...31).map { IPv4Subnet(IPv4Address(172 << 24 | $0 << 16), prefixLength: 16) }
        let small = (0..<16).map {
            IPv4Subnet(IPv4Address(192 << 24 | 168 << 16 | $0 << 12), prefixLength: 20)
        }
        return (large + small).first { candidate in !used.contains { $0.overlaps(candidate) } }
    }

    /// Whether a container that runs, or is about to, is on the network.
    package func hasEndpoints(onNetwork id: String) -> Bool {
        members.values.contains { member in
            member.wantsAddresses && member.wishes.endpoints.contains { $0.networkID == id }
        }
    }

    package var networking: StandaloneNetworking {
        var result = StandaloneNetworking()
        let local = Dictionary(
            ([bridge] + networks).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var containers: [String: [NameService.ContainerRecord]] = [:]
        for id in members.keys.sorted() {
            guard let member = members[id], member.holdsNetwork else { continue }
            add(member, local, &result)
            guard member.phase == .running || member.phase == .starting else { continue }
            for endpoint in member.wishes.endpoints
            where !endpoint.isOverlay && endpoint.networkID != bridge.id {
                guard let address = endpoint.address?.address else { continue }
                containers[endpoint.networkID, default: []].append(
                    NameService.ContainerRecord(
                        address: address, names: [member.name] + member.aliases(on: endpoint)))
            }
        }
        for (id, network) in local where result.networks[Self.key(id, bridge)] != nil && id != bridge.id {
            result.zones[id] = NetworkZone(
                id: id, name: network.name, isInternal: network.isInternal, containers: containers[id] ?? [])
        }
        return result
    }

    private static func key(_ id: String, _ bridge: LocalNetwork) -> String {
        id == bridge.id ? bridgeKey : id
    }

    private func add(
        _ member: StandaloneMember, _ local: [String: LocalNetwork], _ result: inout StandaloneNetworking
    ) {
        var interfaces: [DesiredInterface] = []
        var (defaultNetwork, defaultAddress): (String?, IPv4Address?)
        var named: [String] = []
        for endpoint in member.wishes.endpoints {
            guard let address = endpoint.address else { continue }
            let key = Self.key(endpoint.networkID, bridge)
            if let network = local[endpoint.networkID] {
                result.networks[key] = DesiredNetwork(
                    id: key, name: network.name, subnet: network.subnet, gateway: network.gateway, mtu: 1500,
                    vni: nil,
                    isInternal: network.isInternal, isIngress: false, nodeAddress: nil, services: [])
            }
            interfaces.append(
                DesiredInterface(
                    networkID: key, address: address.address, prefixLength: address.prefixLength,
                    mac: MACAddress(derivedFrom: address.address)))
            if defaultNetwork == nil, !endpoint.isInternal {
                (defaultNetwork, defaultAddress) = (key, address.address)
            }
            if key != Self.bridgeKey { named.append(endpoint.networkID) }
        }
        result.sandboxes[member.id] = DesiredSandbox(
            id: member.id, interfaces: interfaces, defaultNetwork: defaultNetwork)
        result.scopes[member.id] = ResolverScope(networks: named, forwardsUpstream: defaultNetwork != nil)
        if !member.nameservers.isEmpty { result.upstreams[member.id] = member.nameservers }
        for port in member.wishes.ports {
            guard let key = port.key, let address = defaultAddress else { continue }
            var published = PublishedPort(
                transport: key.transport, publishedPort: key.port, targetPort: port.containerPort,
                mode: .host,
                backends: [address])
            published.hostAddress = IPv4Address(port.hostAddress).flatMap { $0.value == 0 ? nil : $0 }
            result.ports.append(published)
        }
    }
}
