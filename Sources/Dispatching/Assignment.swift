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
    /// The tasks that have a node and have not ended, on all nodes: so every node is told the same.
    package var endpoints: [TaskEndpoint] = []

    package init(id: ObjectID, name: String, isRoundRobin: Bool) {
        (self.id, self.name, self.isRoundRobin) = (id, name, isRoundRobin)
    }
}

/// One task that may send traffic, and take some when it serves.
package struct TaskEndpoint: Sendable, Equatable, Codable {
    package var taskID: ObjectID
    /// Where it runs: whoever holds that node for dead sends it nothing.
    package var nodeID: ObjectID
    /// `web.1`.
    package var taskName: String
    /// Empty until the task serves.
    package var containerID: String
    package var hostname: String
    package var addresses: [ObjectID: IPv4Address]
    /// Runs, is healthy and is to go on: names and balancers hold only such tasks. The others must be reachable, too:
    /// a container may call out before anybody calls it, and while it drains.
    package var isServing: Bool
    /// The node's address in the store, for who has not heard of it by gossip.
    package var nodeAddress: IPv4Address?

    package init(
        taskID: ObjectID, nodeID: ObjectID, taskName: String, containerID: String, hostname: String,
        addresses: [ObjectID: IPv4Address], isServing: Bool = true, nodeAddress: IPv4Address? = nil
    ) {
        (self.taskID, self.nodeID) = (taskID, nodeID)
        (self.isServing, self.nodeAddress) = (isServing, nodeAddress)
        (self.taskName, self.containerID) = (taskName, containerID)
        (self.hostname, self.addresses) = (hostname, addresses)
    }
}

extension Assignment {
    /// One node's part of the store, derived afresh from each snapshot.
    package init(of store: ObjectStore, node nodeID: ObjectID) {
        var directory = EndpointDirectory()
        self.init(of: store, node: nodeID, &directory)
    }

    /// - Parameter directory: what is known already of that store's services.
    init(of store: ObjectStore, node nodeID: ObjectID, _ directory: inout EndpointDirectory) {
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
        services = directory.services(on: networks.map(\.id), in: store)
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

    /// The task as other nodes must know it; nil before it has a node and after it has ended.
    /// - Parameter node: where it runs; a node that is down serves nobody.
    package init?(seenFromAfar task: SwarmTask, on node: Node?) {
        guard task.nodeID != nil, task.status.state >= .assigned, !task.status.state.isTerminal else { return nil }
        let isUp = task.status.state == .running && !task.status.isWithdrawn
        let serves = isUp && task.desiredState <= .running && node?.status.state != "down"
        self.init(task, containerID: serves ? task.status.containerStatus?.containerID ?? "" : "")
        isServing = serves
        nodeAddress = node?.status.addr.flatMap { IPv4Address($0) }
    }
}
