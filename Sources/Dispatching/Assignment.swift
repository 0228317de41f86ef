package import Store
package import SwarmCore
package import SwarmModel

/// Everything one node must know to run its tasks: its part of the store, and nothing else.
package struct Assignment: Sendable, Equatable, Codable {
    package var nodeID: ObjectID
    package var tasks: [SwarmTask] = []
    /// The networks of those tasks, and the ingress network on every node.
    package var networks: [Network] = []
    package var secrets: [Secret] = []
    package var configs: [Config] = []
    /// Services with an address or a name on those networks.
    package var services: [ServiceEndpoints] = []

    package init(nodeID: ObjectID) { self.nodeID = nodeID }
}

/// An assignment as a node keeps it over its restarts.
package struct HeldAssignment: Sendable, Equatable, Codable {
    /// Versions of objects compare within one epoch only.
    package var epoch: UInt64
    package var assignment: Assignment

    package init(epoch: UInt64, assignment: Assignment) { (self.epoch, self.assignment) = (epoch, assignment) }
}

/// One service as names and balancers see it.
package struct ServiceEndpoints: Sendable, Equatable, Codable {
    package var id: ObjectID
    package var name: String
    package var isRoundRobin: Bool
    package var virtualIPs: [ObjectID: IPv4Address] = [:]
    package var aliases: [ObjectID: [String]] = [:]
    /// The networks that the service's tasks join.
    package var networks: [ObjectID] = []
    package var ports: [PortConfig] = []
    /// Running and healthy tasks on other nodes.
    package var remote: [TaskEndpoint] = []

    package init(id: ObjectID, name: String, isRoundRobin: Bool) {
        (self.id, self.name, self.isRoundRobin) = (id, name, isRoundRobin)
    }
}

/// One task that may take traffic.
package struct TaskEndpoint: Sendable, Equatable, Codable {
    package var taskID: ObjectID
    /// Where it runs: whoever holds that node for dead sends it nothing.
    package var nodeID: ObjectID
    /// `web.1`.
    package var taskName: String
    package var containerID: String
    package var hostname: String
    package var addresses: [ObjectID: IPv4Address]

    package init(
        taskID: ObjectID, nodeID: ObjectID, taskName: String, containerID: String, hostname: String,
        addresses: [ObjectID: IPv4Address]
    ) {
        (self.taskID, self.nodeID) = (taskID, nodeID)
        (self.taskName, self.containerID) = (taskName, containerID)
        (self.hostname, self.addresses) = (hostname, addresses)
    }
}

extension Assignment {
    /// One node's part of the store, derived afresh from each snapshot.
    package init(of store: ObjectStore, node nodeID: ObjectID) {
        self.init(nodeID: nodeID)
        tasks = store.tasks(onNode: nodeID).filter { $0.status.state >= .assigned }
        var networkIDs: Set<ObjectID> = []
        var secretIDs: Set<ObjectID> = []
        var configIDs: Set<ObjectID> = []
        for task in tasks where !task.status.state.isTerminal {
            networkIDs.formUnion((task.networksAttachments ?? []).map(\.network.id))
            secretIDs.formUnion((task.spec.containerSpec?.secrets ?? []).map(\.secretID))
            configIDs.formUnion((task.spec.containerSpec?.configs ?? []).map(\.configID))
        }
        networks = store.networks.sorted.filter { networkIDs.contains($0.id) || $0.spec.ingress == true }
        secrets = secretIDs.sorted().compactMap { store.secrets[$0] }
        configs = configIDs.sorted().compactMap { store.configs[$0] }
        let present = Set(networks.map(\.id))
        services = store.services.sorted.compactMap {
            ServiceEndpoints($0, in: store, on: present, except: nodeID)
        }
    }
}

extension ServiceEndpoints {
    init?(_ service: Service, in store: ObjectStore, on networks: Set<ObjectID>, except nodeID: ObjectID) {
        let mode = service.spec.endpointSpec?.mode ?? "vip"
        self.init(id: service.id, name: service.spec.name, isRoundRobin: mode == "dnsrr")
        for address in service.endpoint.virtualIPs ?? [] {
            guard let network = address.networkID, let subnet = address.addr else { continue }
            virtualIPs[network] = subnet.address
        }
        for attachment in service.spec.taskTemplate.networks ?? service.spec.networks ?? [] {
            guard let target = attachment.target else { continue }
            self.networks.append(target)
            aliases[target] = attachment.aliases ?? []
        }
        ports = service.endpoint.ports ?? []
        guard !ports.isEmpty || self.networks.contains(where: networks.contains) else { return nil }
        remote = store.tasks(ofService: service.id).filter {
            $0.nodeID != nodeID && $0.status.state == .running && $0.desiredState <= .running
                && store.nodes[$0.nodeID ?? ""]?.status.state != "down"
        }.map { TaskEndpoint($0, containerID: $0.status.containerStatus?.containerID ?? "") }
    }
}

extension TaskEndpoint {
    package init(_ task: SwarmTask, containerID: String) {
        var addresses: [ObjectID: IPv4Address] = [:]
        for attachment in task.networksAttachments ?? [] {
            addresses[attachment.network.id] = attachment.addresses?.first?.address
        }
        self.init(
            taskID: task.id, nodeID: task.nodeID ?? "", taskName: task.displayName, containerID: containerID,
            hostname: task.spec.containerSpec?.hostname ?? "", addresses: addresses)
    }
}
