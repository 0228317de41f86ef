import Store
import SwarmCore
import SwarmModel

/// What nodes are told of services, derived once for all nodes and kept until it changes.
///
/// Law: everything in here equals what the store says, as long as each change of the store is followed by `forget`.
struct EndpointDirectory: Sendable {
    struct Entry: Sendable {
        var service: ServiceEndpoints
        var fingerprint: UInt64
    }
    private var entries: [ObjectID: Entry] = [:]
    /// By network: the services that have a name or an address there.
    private var members: [ObjectID: [ObjectID]] = [:]

    /// Services, networks or anything else may have changed.
    mutating func forgetAll() { self = EndpointDirectory() }

    /// Only tasks of the service, or nodes that they run on, have changed.
    mutating func forget(_ service: ObjectID) { entries[service] = nil }

    mutating func entry(_ id: ObjectID, in store: ObjectStore) -> Entry? {
        if let known = entries[id] { return known }
        guard
            let service = store.services[id].map({ ServiceEndpoints($0, in: store) })
                ?? store.tasks[id].flatMap({ ServiceEndpoints(attachment: $0, in: store) })
        else { return nil }
        let entry = Entry(service: service, fingerprint: service.fingerprint)
        entries[id] = entry
        return entry
    }

    /// The services with an address or a name on one of the networks, by identifier.
    mutating func services(on networks: [ObjectID], in store: ObjectStore) -> [ServiceEndpoints] {
        var ids: [ObjectID] = []
        for network in networks { ids += services(on: network, in: store) }
        if networks.count > 1 { ids = Set(ids).sorted() }
        return ids.compactMap { entry($0, in: store)?.service }
    }

    private mutating func services(on network: ObjectID, in store: ObjectStore) -> [ObjectID] {
        if let known = members[network] { return known }
        let isIngress = store.networks[network]?.spec.ingress == true
        var found = store.services(onNetwork: network).filter { service in
            // A service may still hold an address on a network that it has left.
            isIngress
                ? service.endpoint.ports?.isEmpty == false
                : service.spec.attachments.contains { $0.target == network }
        }.map(\.id)
        var attached: [ObjectID] = []
        store.forEachTask(onNetwork: network) { task in if task.isAttachment { attached.append(task.id) } }
        found = (found + attached).sorted()
        members[network] = found
        return found
    }

    /// Fingerprints of all items, hashing nothing that was hashed before.
    mutating func fingerprints(of assignment: Assignment, in store: ObjectStore) -> [AssignmentKey: UInt64] {
        var result: [AssignmentKey: UInt64] = [:]
        result.reserveCapacity(assignment.services.count + assignment.tasks.count + assignment.networks.count)
        for item in assignment.items {
            if case .endpoints(let service) = item {
                result[item.key] = entry(service.id, in: store)?.fingerprint
            } else {
                result[item.key] = item.fingerprint
            }
        }
        return result
    }
}

extension ServiceEndpoints {
    /// A standalone container, which has names and an address like a service of one task without a virtual address.
    ///
    /// - Returns: nil for other tasks.
    init?(attachment task: SwarmTask, in store: ObjectStore) {
        guard task.isAttachment, let attachment = task.networksAttachments?.first else { return nil }
        self.init(id: task.id, name: task.displayName, isRoundRobin: true)
        networks = [attachment.network.id]
        aliases = [attachment.network.id: attachment.aliases ?? []]
        endpoints = [TaskEndpoint(seenFromAfar: task, on: task.nodeID.flatMap { store.nodes[$0] })]
            .compactMap(\.self)
    }

    init(_ service: Service, in store: ObjectStore) {
        let mode = service.spec.endpointSpec?.mode ?? "vip"
        self.init(id: service.id, name: service.spec.name, isRoundRobin: mode == "dnsrr")
        for address in service.endpoint.virtualIPs ?? [] {
            guard let network = address.networkID, let subnet = address.addr else { continue }
            virtualIPs[network] = subnet.address
        }
        for attachment in service.spec.attachments {
            guard let target = attachment.target else { continue }
            self.networks.append(target)
            aliases[target] = attachment.aliases ?? []
        }
        ports = service.endpoint.ports ?? []
        endpoints = store.tasks(ofService: service.id).compactMap { task in
            TaskEndpoint(seenFromAfar: task, on: task.nodeID.flatMap { store.nodes[$0] })
        }
    }
}
