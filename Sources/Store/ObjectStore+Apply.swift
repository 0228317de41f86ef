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
        for action in transaction.actions {
            if let change = perform(action, at: index, time: transaction.time) {
                commit.changes.append(change)
            } else {
                commit.rejected.append(action)
            }
        }
        self.index = index
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
        if let before { unlink(before) }
        switch object {
        case .cluster(let cluster): self.cluster = cluster
        case .node(let node): nodes.put(node)
        case .service(let service): services.put(service)
        case .network(let network): networks.put(network)
        case .secret(let secret): secrets.put(secret)
        case .config(let config): configs.put(config)
        case .task(let task): tasks.put(task)
        }
        link(object)
    }

    /// Takes an object out, keeping every index true.
    mutating func take(_ object: StoreObject) {
        unlink(object)
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

    private mutating func link(_ object: StoreObject) {
        switch object {
        case .task(let task):
            if let service = task.serviceID { tasksByService.insert(task.id, under: service) }
            if let node = task.nodeID { tasksByNode.insert(task.id, under: node) }
            for network in task.attachedNetworkIDs { tasksByNetwork.insert(task.id, under: network) }
        case .service(let service):
            for network in service.referencedNetworkIDs { servicesByNetwork.insert(service.id, under: network) }
        case .cluster, .node, .network, .secret, .config: break
        }
    }

    private mutating func unlink(_ object: StoreObject) {
        switch object {
        case .task(let task):
            if let service = task.serviceID { tasksByService.remove(task.id, under: service) }
            if let node = task.nodeID { tasksByNode.remove(task.id, under: node) }
            for network in task.attachedNetworkIDs { tasksByNetwork.remove(task.id, under: network) }
        case .service(let service):
            for network in service.referencedNetworkIDs { servicesByNetwork.remove(service.id, under: network) }
        case .cluster, .node, .network, .secret, .config: break
        }
    }
}

extension SwarmTask {
    var attachedNetworkIDs: Set<ObjectID> { Set((networksAttachments ?? []).map(\.network.id)) }
}

extension Service {
    var referencedNetworkIDs: Set<ObjectID> {
        let attachments = (spec.taskTemplate.networks ?? []) + (spec.networks ?? [])
        return Set(attachments.compactMap(\.target) + (endpoint.virtualIPs ?? []).compactMap(\.networkID))
    }
}
