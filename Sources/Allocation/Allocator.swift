package import Store
package import SwarmCore
import SwarmModel

/// What limits the allocator beyond the store: facts of this node, and defaults of the swarm.
package struct AllocationFacts: Sendable, Equatable {
    /// Networks that the node itself routes to; pools never overlap them.
    package var hostRoutes: [IPv4Subnet]

    package init(hostRoutes: [IPv4Subnet] = []) { self.hostRoutes = hostRoutes }
}

/// Gives networks their subnets, services their addresses and ports, tasks their addresses.
package struct Allocator {
    /// Published ports are drawn from here when none is asked for (Docker's dynamic range).
    static let dynamicPorts: ClosedRange<UInt32> = 30_000...32_767
    /// The first VXLAN network identifier, as Docker numbers them.
    static let firstVNI: UInt32 = 4097
    static let defaultPool = IPv4Subnet(IPv4Address(10 << 24), prefixLength: 8)

    var draft: StoreDraft
    let now: Timestamp
    let facts: AllocationFacts
    /// What is taken on each network, gathered once for all tasks of a pass.
    private var books: [ObjectID: AddressBook] = [:]

    /// Allocates everything that is still missing; what cannot be had is said in the tasks' status.
    package static func allocate(_ draft: inout StoreDraft, at now: Timestamp, facts: AllocationFacts) {
        var allocator = Allocator(draft: draft, now: now, facts: facts)
        for network in allocator.draft.store.networks.sorted where network.subnet == nil {
            guard !allocator.draft.isFull else { break }
            allocator.allocate(network)
        }
        // What this pass alone has found to need no tasks may still need an address.
        for id in draft.store.services.ids where draft.base.settledUntil(id, at: now) == nil {
            guard allocator.draft.accepts(.service, id), let service = allocator.draft.store.services[id]
            else {
                break
            }
            allocator.allocate(service)
        }
        for id in allocator.draft.store.newTaskIDs {
            guard allocator.draft.accepts(.task, id), let task = allocator.draft.store.tasks[id] else {
                break
            }
            allocator.allocate(task)
        }
        draft = allocator.draft
    }

    private init(draft: StoreDraft, now: Timestamp, facts: AllocationFacts) {
        (self.draft, self.now, self.facts) = (draft, now, facts)
    }

    // MARK: Networks

    private mutating func allocate(_ network: Network) {
        var network = network
        let asked = network.spec.ipamOptions?.configs?.first
        guard let subnet = asked?.subnet.flatMap({ IPv4Subnet($0) })?.canonical ?? freeSubnet() else {
            return
        }
        let gateway = asked?.gateway.flatMap { IPv4Address($0) } ?? subnet.network.advanced(by: 1)
        let taken = Set(draft.store.networks.sorted.compactMap(\.vni))
        let free = network.spec.askedVNI.flatMap { taken.contains($0) ? nil : $0 }
        let vni = free ?? (Self.firstVNI...).lazy.first { !taken.contains($0) } ?? Self.firstVNI
        (network.subnet, network.gateway, network.vni) = (subnet, gateway, vni)
        network.driverState = Driver(
            name: network.spec.driverConfiguration?.name ?? "overlay",
            options: ["com.docker.network.driver.overlay.vxlanid_list": String(vni)])
        network.ipam = IPAM(
            driver: Driver(name: "default"),
            configs: [
                IPAMConfig(subnet: subnet.description, range: asked?.range, gateway: gateway.description)
            ])
        draft.put(.network(network))
    }

    /// The first free subnet of the swarm's pools: one that no network, pool user or route of this node overlaps.
    private func freeSubnet() -> IPv4Subnet? {
        let pools = (draft.store.cluster?.defaultAddrPool ?? []).compactMap { IPv4Subnet($0) }
        let length = Int(draft.store.cluster?.subnetSize ?? 24)
        let taken =
            draft.store.networks.sorted.compactMap(\.subnet) + facts.hostRoutes.filter { $0.prefixLength > 0 }
        for pool in pools.isEmpty ? [Self.defaultPool] : pools
        where pool.prefixLength <= length && length <= 30 {
            var candidate = IPv4Subnet(pool.network, prefixLength: length)
            while pool.contains(candidate.address) {
                guard let obstacle = taken.first(where: { $0.overlaps(candidate) }) else { return candidate }
                // Jump over the obstacle: a host's own 10.0.0.0/9 must not cost 32,768 steps for each network.
                let last = max(obstacle.broadcast, candidate.broadcast)
                guard last < pool.broadcast else { break }
                candidate = IPv4Subnet(
                    IPv4Subnet(last.advanced(by: 1), prefixLength: length).network, prefixLength: length)
            }
        }
        return nil
    }

    // MARK: Services

    private mutating func allocate(_ service: Service) {
        var service = service
        let spec = service.spec.endpointSpec ?? EndpointSpec()
        var endpoint = service.endpoint
        let ports = allocatedPorts(of: service, spec)
        if endpoint.ports ?? [] != ports { endpoint.ports = ports.isEmpty ? nil : ports }
        endpoint.spec = spec
        var wanted = service.spec.isVirtualIP ? service.spec.attachments.compactMap(\.target) : []
        if ports.contains(where: { !$0.isHostMode }), service.spec.isVirtualIP,
            let ingress = draft.store.ingressNetwork
        {
            wanted.insert(ingress.id, at: 0)
        }
        var addresses = (endpoint.virtualIPs ?? []).filter { wanted.contains($0.networkID ?? "") }
        for id in wanted where !addresses.contains(where: { $0.networkID == id }) {
            guard let network = draft.store.networks[id], let subnet = network.subnet,
                let address = freeAddress(on: network)
            else { continue }
            books[id]?.taken.insert(address)
            addresses.append(
                EndpointVirtualIP(networkID: id, addr: IPv4Subnet(address, prefixLength: subnet.prefixLength))
            )
        }
        endpoint.virtualIPs = addresses.isEmpty ? nil : addresses
        let lacksNumber = ports.contains { !$0.isHostMode && ($0.publishedPort ?? 0) == 0 }
        if addresses.count < wanted.count || lacksNumber { draft.unsettle(service.id) }
        guard endpoint != service.endpoint else { return }
        service.endpoint = endpoint
        draft.put(.service(service))
    }

    /// The ports as asked for, those without a number given one; a number once given is kept.
    private func allocatedPorts(of service: Service, _ spec: EndpointSpec) -> [PortConfig] {
        var taken: Set<UInt32> = []
        if (spec.ports ?? []).contains(where: { ($0.publishedPort ?? 0) == 0 && !$0.isHostMode }) {
            draft.store.services.forEach { other in
                guard other.id != service.id else { return }
                for port in other.endpoint.ports ?? [] { taken.insert(port.publishedPort ?? 0) }
            }
        }
        for port in spec.ports ?? [] { taken.insert(port.publishedPort ?? 0) }
        var kept = service.endpoint.ports ?? []
        return (spec.ports ?? []).map { asked in
            var port = asked
            port.proto = asked.effectiveProtocol
            port.publishMode = asked.isHostMode ? "host" : "ingress"
            guard (asked.publishedPort ?? 0) == 0, !asked.isHostMode else { return port }
            let before = kept.firstIndex { old in
                old.targetPort == asked.targetPort && old.effectiveProtocol == asked.effectiveProtocol
                    && Self.dynamicPorts.contains(old.publishedPort ?? 0)
                    && !taken.contains(old.publishedPort ?? 0)
            }
            let number =
                before.map { kept.remove(at: $0).publishedPort }
                ?? Self.dynamicPorts.first { !taken.contains($0) }
            port.publishedPort = number
            taken.insert(number ?? 0)
            return port
        }
    }

    // MARK: Tasks

    private mutating func allocate(_ task: SwarmTask) {
        guard let service = task.serviceID.flatMap({ draft.store.services[$0] }) else {
            if task.isAttachment { allocate(attachment: task) }
            return
        }
        var task = task
        task.endpoint = service.endpoint
        var targets: [(Network, [String]?)] = []
        if (service.endpoint.ports ?? []).contains(where: { !$0.isHostMode }),
            let ingress = draft.store.ingressNetwork
        {
            targets.append((ingress, nil))
        }
        for attachment in task.spec.networks ?? service.spec.networks ?? [] {
            guard let network = attachment.target.flatMap({ draft.store.networks[$0] }) else { continue }
            targets.append((network, attachment.aliases))
        }
        var attachments: [NetworkAttachment] = []
        for (network, aliases) in targets {
            guard let subnet = network.subnet else {
                return fail(
                    task, "no free subnet for network \(network.spec.name) in the swarm's address pools")
            }
            let needsVirtualIP = service.spec.isVirtualIP
            let virtualIP = service.endpoint.virtualIPs?.first { $0.networkID == network.id }
            guard virtualIP != nil || !needsVirtualIP, let address = freeAddress(on: network) else {
                return fail(
                    task, "could not find an available IP on network \(network.spec.name) (\(subnet))")
            }
            attachments.append(
                NetworkAttachment(
                    network: AttachedNetwork(
                        id: network.id, version: network.version, createdAt: network.createdAt,
                        updatedAt: network.updatedAt, spec: network.spec, driverState: network.driverState,
                        ipamOptions: network.ipam),
                    addresses: [IPv4Subnet(address, prefixLength: subnet.prefixLength)], aliases: aliases))
        }
        for attachment in attachments {
            if let address = attachment.addresses?.first?.address {
                books[attachment.network.id]?.give(address)
            }
        }
        task.networksAttachments = attachments.isEmpty ? nil : attachments
        task.status.state = .pending
        task.status.timestamp = now
        task.status.message = "pending task scheduling"
        task.status.err = nil
        draft.put(.task(task))
    }

    /// A standalone container's address; the container is on its node already, so that no scheduler is asked.
    private mutating func allocate(attachment: SwarmTask) {
        var task = attachment
        let asked = task.spec.networks?.first
        guard let network = asked?.target.flatMap({ draft.store.networks[$0] }) else {
            // Removed meanwhile.
            return draft.remove(.task, task.id)
        }
        guard let subnet = network.subnet, let free = freeAddress(on: network) else {
            return fail(task, "could not find an available IP on network \(network.spec.name)")
        }
        var address = free
        if let wanted = asked?.driverOpts?[AttachmentOption.address].flatMap({ IPv4Address($0) }) {
            guard books[network.id]?.taken.contains(wanted) != true else {
                return fail(task, "Address already in use")
            }
            address = wanted
            books[network.id]?.taken.insert(wanted)
        } else {
            books[network.id]?.give(address)
        }
        task.networksAttachments = [
            NetworkAttachment(
                network: AttachedNetwork(
                    id: network.id, version: network.version, createdAt: network.createdAt,
                    updatedAt: network.updatedAt, spec: network.spec, driverState: network.driverState,
                    ipamOptions: network.ipam),
                addresses: [IPv4Subnet(address, prefixLength: subnet.prefixLength)], aliases: asked?.aliases)
        ]
        (task.status.state, task.status.timestamp, task.status.err) = (.assigned, now, nil)
        task.status.message = "address assigned"
        draft.put(.task(task))
    }

    private mutating func fail(_ task: SwarmTask, _ reason: String) {
        guard task.status.err != reason else { return }
        var task = task
        task.status.timestamp = now
        task.status.err = reason
        draft.put(.task(task))
    }

    /// The next address after the highest one known, wrapping around: an address just freed rests for a while.
    private mutating func freeAddress(on network: Network) -> IPv4Address? {
        guard var book = books[network.id] ?? AddressBook(of: network, in: draft) else { return nil }
        let address = book.next()
        books[network.id] = book
        return address
    }
}

/// What is taken on one network.
private struct AddressBook {
    var taken: Set<IPv4Address>
    private let first: IPv4Address
    private let count: Int
    /// How far from the first address the search goes on; what was passed is taken.
    private var position: Int

    /// - Returns: nil when the network has no room at all.
    init?(of network: Network, in draft: StoreDraft) {
        guard let subnet = network.subnet, let gateway = network.gateway else { return nil }
        let range = network.ipam?.configs?.first?.range.flatMap { IPv4Subnet($0) } ?? subnet
        taken = [gateway]
        var (known, highest) = (taken, range.network)
        // The node's own address on the routing mesh.
        if network.spec.ingress == true { known.insert(subnet.broadcast.advanced(by: -1)) }
        // What this very plan gives up is not given away yet: parts of a plan may come too late.
        for store in [draft.store, draft.base] {
            for service in store.services(onNetwork: network.id) {
                for virtualIP in service.endpoint.virtualIPs ?? [] where virtualIP.networkID == network.id {
                    if let address = virtualIP.addr?.address { known.insert(address) }
                }
            }
            store.forEachTask(onNetwork: network.id) { task in
                for attachment in task.networksAttachments ?? [] where attachment.network.id == network.id {
                    guard let address = attachment.addresses?.first?.address else { continue }
                    highest = max(highest, address)
                    if !task.status.state.isTerminal { known.insert(address) }
                }
            }
        }
        taken = known
        first = range.network.advanced(by: range.network == subnet.network ? 1 : 0)
        let last = range.broadcast.advanced(by: range.broadcast == subnet.broadcast ? -1 : 0)
        guard first <= last else { return nil }
        count = Int(last.value - first.value) + 1
        position = highest < last && highest >= first ? Int(highest.value - first.value) + 1 : 0
    }

    /// The next free address; it stays free until it is given.
    mutating func next() -> IPv4Address? {
        for step in 0..<count {
            let candidate = first.advanced(by: (position + step) % count)
            guard !taken.contains(candidate) else { continue }
            position = (position + step) % count
            return candidate
        }
        return nil
    }

    mutating func give(_ address: IPv4Address) {
        taken.insert(address)
        position = (position + 1) % count
    }
}
