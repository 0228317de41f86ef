package import Store
package import SwarmCore
import SwarmModel

/// Gives each pending task a node, or says in words why no node takes it.
package struct Scheduler {
    var draft: StoreDraft
    let now: Timestamp
    private var nodes: NodeLoads

    package static func schedule(_ draft: inout StoreDraft, at now: Timestamp) {
        var pending: [ObjectID: [(slot: Int, id: ObjectID)]] = [:]
        draft.store.forEachPendingTask { task in
            guard task.desiredState <= .complete else { return }
            pending[task.serviceID ?? "", default: []].append((task.slot ?? 0, task.id))
        }
        guard !pending.isEmpty else { return }
        var scheduler = Scheduler(draft: draft, now: now)
        // Service by service: what a search knows of all nodes is still true when the next task of its service comes,
        // and would not be after another service's.
        for (service, tasks) in pending.sorted(by: { $0.key < $1.key }) {
            var order = tasks.filter { scheduler.draft.accepts(.task, $0.id) }
            guard !order.isEmpty else { continue }
            order.sort { $0.slot != $1.slot ? $0.slot < $1.slot : $0.id < $1.id }
            scheduler.place(order.map(\.id), of: service)
        }
        draft = scheduler.draft
    }

    private init(draft: StoreDraft, now: Timestamp) {
        (self.draft, self.now) = (draft, now)
        nodes = NodeLoads(of: draft.store)
    }

    private mutating func place(_ tasks: [ObjectID], of service: ObjectID) {
        // Tasks of one service with equal wishes share their search.
        var searches = ServiceSearches(of: service, in: draft.store, among: nodes)
        for id in tasks {
            guard draft.accepts(.task, id), var task = draft.store.tasks[id] else { continue }
            if place(&task, using: &searches) { draft.replace(task) }
        }
    }

    /// - Returns: whether that changes anything.
    private mutating func place(_ task: inout SwarmTask, using searches: inout ServiceSearches) -> Bool {
        let (best, refusals) =
            task.nodeID.map { searches.choose($0, for: task, among: nodes) }
            ?? searches.search(for: task, among: nodes)
        guard let best else {
            let reason = "no suitable node" + Refusal.explain(refusals)
            guard task.status.err != reason else { return false }
            task.status.timestamp = now
            task.status.err = reason
            return true
        }
        task.nodeID = nodes.nodes[best].id
        task.status.state = .assigned
        task.status.timestamp = now
        task.status.message = "scheduler assigned task to node"
        task.status.err = nil
        searches.add(at: best)
        task.genericResources = nodes.add(task, at: best)
        return true
    }
}

extension SwarmTask {
    /// Whether it counts for the node that it was given to.
    var takesRoom: Bool {
        desiredState <= .complete && !status.state.isTerminal && status.state >= .assigned
    }
}
