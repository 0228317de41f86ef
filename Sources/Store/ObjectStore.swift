import HashTreeCollections
package import SwarmModel

/// All replicated objects at one log index. Copying it is a snapshot (persistent tables, `Decisions/0002`).
package struct ObjectStore: Sendable {
    /// The log index of the last applied transaction.
    package internal(set) var index: UInt64 = 0
    package internal(set) var cluster: Cluster?
    package internal(set) var nodes = Table<Node>()
    package internal(set) var services = Table<Service>()
    package internal(set) var networks = Table<Network>()
    package internal(set) var secrets = Table<Secret>()
    package internal(set) var configs = Table<Config>()
    package internal(set) var tasks = Table<SwarmTask>(isOrdered: false)
    /// Tasks that wait for the planner: for their addresses, for a node, to be forgotten.
    var newTasks: TreeSet<ObjectID> = []
    var pendingTasks: TreeSet<ObjectID> = []
    var removableTasks: TreeSet<ObjectID> = []
    var downNodes: TreeSet<ObjectID> = []
    /// What the planner found out about this history; travels with snapshots, is no part of images.
    package var settled = SettledServices()
    /// The index at which a service or one of its tasks last changed.
    var changedAt: TreeDictionary<ObjectID, UInt64> = [:]
    /// The same of nodes, as far as they matter for tasks, of networks and of the cluster.
    var surroundingsChangedAt: UInt64 = 0
    var tasksByService = MultiIndex()
    var tasksByNode = MultiIndex()
    var tasksByNetwork = MultiIndex()
    var servicesByNetwork = MultiIndex()

    package init() {}

    /// A service's tasks, oldest id order, whatever their state.
    package func tasks(ofService id: ObjectID) -> [SwarmTask] { tasksByService[id].compactMap { tasks[$0] } }
    package func tasks(onNode id: ObjectID) -> [SwarmTask] { tasksByNode[id].compactMap { tasks[$0] } }
    /// Tasks without addresses, by identifier.
    package var newTaskIDs: [ObjectID] { newTasks.sorted() }
    /// Calls back with every task without a node, in no order.
    package func forEachPendingTask(_ body: (SwarmTask) -> Void) {
        for task in pendingTasks { tasks.visit(task, body) }
    }
    /// Nodes that are down, by identifier.
    package var nodesDown: [Node] { downNodes.sorted().compactMap { nodes[$0] } }
    /// Tasks that are to be forgotten, by identifier.
    package var taskIDsToRemove: [ObjectID] { removableTasks.sorted() }
    /// Nodes that are gone while tasks that were given to them are not.
    package var lostNodes: [ObjectID] { tasksByNode.keys.filter { !nodes.contains($0) }.sorted() }
    /// Services that are gone while tasks of theirs are not.
    package var lostServices: [ObjectID] { tasksByService.keys.filter { !services.contains($0) }.sorted() }
    /// The tasks that hold an attachment to a network, whatever their state.
    package func tasks(onNetwork id: ObjectID) -> [SwarmTask] { tasksByNetwork[id].compactMap { tasks[$0] } }
    /// Calls back with every task that holds an attachment to a network, in no order.
    package func forEachTask(onNetwork id: ObjectID, _ body: (SwarmTask) -> Void) {
        for task in tasksByNetwork.unordered(id) { tasks.visit(task, body) }
    }
    /// Calls back with every task of a service, in no order.
    package func forEachTask(ofService id: ObjectID, _ body: (SwarmTask) -> Void) {
        for task in tasksByService.unordered(id) { tasks.visit(task, body) }
    }
    /// Calls back with every task that was given to a node, in no order.
    package func forEachTask(onNode id: ObjectID, _ body: (SwarmTask) -> Void) {
        for task in tasksByNode.unordered(id) { tasks.visit(task, body) }
    }
    /// The services that are attached to a network by their spec or still hold an address on it.
    package func services(onNetwork id: ObjectID) -> [Service] {
        servicesByNetwork[id].compactMap { services[$0] }
    }
}

/// Reads one object of any kind.
extension ObjectStore {
    package func object(_ kind: ObjectKind, _ id: ObjectID) -> StoreObject? {
        switch kind {
        case .cluster: cluster.flatMap { $0.id == id ? .cluster($0) : nil }
        case .node: nodes[id].map { .node($0) }
        case .service: services[id].map { .service($0) }
        case .network: networks[id].map { .network($0) }
        case .secret: secrets[id].map { .secret($0) }
        case .config: configs[id].map { .config($0) }
        case .task: tasks[id].map { .task($0) }
        }
    }
}

/// Which objects refer to another one; ids come out sorted, so that no hash order escapes.
struct MultiIndex: Sendable {
    private var members: TreeDictionary<ObjectID, TreeSet<ObjectID>> = [:]

    subscript(key: ObjectID) -> [ObjectID] { members[key].map { $0.sorted() } ?? [] }
    /// In no order.
    var keys: TreeDictionary<ObjectID, TreeSet<ObjectID>>.Keys { members.keys }
    func unordered(_ key: ObjectID) -> TreeSet<ObjectID> { members[key] ?? [] }

    mutating func insert(_ member: ObjectID, under key: ObjectID) { members[key, default: []].insert(member) }

    mutating func remove(_ member: ObjectID, under key: ObjectID) {
        members[key]?.remove(member)
        if members[key]?.isEmpty == true { members[key] = nil }
    }
}
