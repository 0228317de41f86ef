import HashTreeCollections
import SwarmCore
import SwarmModel

/// Writing. Applying the same transactions at the same indexes gives the same store on every node.
extension ObjectStore {
    /// Applies each action that still holds, in order, and reports those that do not.
    ///
    /// An action is refused when it creates an id or a unique name that exists, updates an object whose
    /// stored
    /// version differs from the one it was based on, or removes what is not there. The others take effect:
    /// plans
    /// are made on snapshots, and one stale decision must not undo the rest.
    package mutating func apply(_ transaction: Transaction, at index: UInt64) -> Commit {
        var commit = Commit(index: index, time: transaction.time)
        self.index = index
        for action in transaction.actions {
            if let change = perform(action, at: index, time: transaction.time) {
                commit.changes.append(change)
            } else {
                commit.rejected.append(action)
            }
        }
        return commit
    }

    private mutating func perform(_ action: StoreAction, at index: UInt64, time: Timestamp) -> StoreChange? {
        switch action {
        case .create(var object):
            guard self.object(object.kind, object.id) == nil, isNameFree(for: object) else { return nil }
            if object.kind == .cluster && cluster != nil { return nil }
            object.stamp(index: index, createdAt: time, updatedAt: time)
            put(object, replacing: nil)
            return StoreChange(before: nil, after: object)
        case .update(var object):
            guard let before = self.object(object.kind, object.id), before.version == object.version,
                isNameFree(for: object)
            else { return nil }
            object.stamp(index: index, createdAt: before.createdAt, updatedAt: time)
            put(object, replacing: before)
            return StoreChange(before: before, after: object)
        case .remove(let kind, let id):
            guard let before = self.object(kind, id) else { return nil }
            take(before)
            return StoreChange(before: before, after: nil)
        }
    }

    private func isNameFree(for object: StoreObject) -> Bool {
        guard let name = object.uniqueName else { return true }
        let holder: ObjectID? =
            switch object.kind {
            case .service: services.named(name)?.id
            case .network: networks.named(name)?.id
            case .secret: secrets.named(name)?.id
            case .config: configs.named(name)?.id
            case .cluster, .node, .task: nil
            }
        return holder == nil || holder == object.id
    }

    /// Writes an object as it is, keeping every index true.
    mutating func put(_ object: StoreObject, replacing before: StoreObject?) {
        relink(before, object)
        switch object {
        case .cluster(let cluster): self.cluster = cluster
        case .node(let node): nodes.put(node)
        case .service(let service): services.put(service)
        case .network(let network): networks.put(network)
        case .secret(let secret): secrets.put(secret)
        case .config(let config): configs.put(config)
        case .task(let task): tasks.put(task)
        }
    }

    /// A task that is there already, without a copy of what it was.
    mutating func replace(_ task: SwarmTask) {
        var before: TaskLinks?
        tasks.visit(task.id) { before = TaskLinks($0) }
        relink(task: before, TaskLinks(task))
        tasks.put(task)
    }

    /// Takes an object out, keeping every index true.
    mutating func take(_ object: StoreObject) {
        relink(object, nil)
        switch object.kind {
        case .cluster: cluster = nil
        case .node: nodes.remove(object.id)
        case .service: services.remove(object.id)
        case .network: networks.remove(object.id)
        case .secret: secrets.remove(object.id)
        case .config: configs.remove(object.id)
        case .task: tasks.remove(object.id)
        }
    }

    private mutating func relink(_ before: StoreObject?, _ after: StoreObject?) {
        switch after ?? before {
        case .task:
            var (old, new): (TaskLinks?, TaskLinks?)
            if case .task(let task)? = before { old = TaskLinks(task) }
            if case .task(let task)? = after { new = TaskLinks(task) }
            relink(task: old, new)
        case .service(let service):
            var (old, new): (Set<ObjectID>, Set<ObjectID>) = ([], [])
            if case .service(let service)? = before { old = service.referencedNetworkIDs }
            if case .service(let service)? = after { new = service.referencedNetworkIDs }
            for network in old.subtracting(new) { servicesByNetwork.remove(service.id, under: network) }
            for network in new.subtracting(old) { servicesByNetwork.insert(service.id, under: network) }
            changedAt[service.id] = after == nil ? nil : index
        case .node(let node):
            if case .node(let new)? = after, new.status.state == "down" {
                downNodes.insert(node.id)
            } else {
                downNodes.remove(node.id)
            }
            guard case .node(let old)? = before, case .node(let new)? = after, old.spec == new.spec,
                old.status.state == new.status.state, old.description.matters(like: new.description)
            else {
                surroundingsChangedAt = index
                return
            }
        case .network, .cluster: surroundingsChangedAt = index
        case .secret, .config, nil: break
        }
    }

    /// Most changes of a task leave its service, node and networks as they are.
    private mutating func relink(task old: TaskLinks?, _ new: TaskLinks?) {
        guard let id = new?.id ?? old?.id else { return }
        if old?.serviceID != new?.serviceID {
            if let service = old?.serviceID { tasksByService.remove(id, under: service) }
            if let service = new?.serviceID { tasksByService.insert(id, under: service) }
        }
        if old?.nodeID != new?.nodeID {
            if let node = old?.nodeID { tasksByNode.remove(id, under: node) }
            if let node = new?.nodeID { tasksByNode.insert(id, under: node) }
        }
        if old?.attachments != new?.attachments {
            for network in old?.networkIDs ?? [] { tasksByNetwork.remove(id, under: network) }
            for network in new?.networkIDs ?? [] { tasksByNetwork.insert(id, under: network) }
        }
        if old?.state == .new { newTasks.remove(id) }
        if old?.state == .pending { pendingTasks.remove(id) }
        if new?.state == .new { newTasks.insert(id) }
        if new?.state == .pending { pendingTasks.insert(id) }
        let removals = (old?.desiredState == .remove, new?.desiredState == .remove)
        if removals.0, !removals.1 { removableTasks.remove(id) }
        if removals.1, !removals.0 { removableTasks.insert(id) }
        if let service = new?.serviceID ?? old?.serviceID, services.contains(service) { changedAt[service] = index }
    }
}

/// What indexes know of a task; a whole one costs dozens of counts to hand on.
private struct TaskLinks {
    var id: ObjectID
    var serviceID: ObjectID?
    var nodeID: ObjectID?
    var attachments: [NetworkAttachment]?
    var state: TaskState
    var desiredState: TaskState

    init(_ task: SwarmTask) {
        (id, serviceID, nodeID) = (task.id, task.serviceID, task.nodeID)
        (attachments, state, desiredState) = (task.networksAttachments, task.status.state, task.desiredState)
    }

    var networkIDs: Set<ObjectID> { Set((attachments ?? []).map(\.network.id)) }
}

extension Service {
    var referencedNetworkIDs: Set<ObjectID> {
        let attachments = (spec.taskTemplate.networks ?? []) + (spec.networks ?? [])
        return Set(attachments.compactMap(\.target) + (endpoint.virtualIPs ?? []).compactMap(\.networkID))
    }
}

extension NodeDescription {
    /// Whether both are the same to tasks: all nodes renew their certificates, and no task cares.
    fileprivate func matters(like other: NodeDescription) -> Bool {
        var other = other
        other.tlsInfo = tlsInfo
        return self == other
    }
}
