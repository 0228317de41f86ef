package import SwarmModel

/// Turns what agents report into store actions.
package enum StatusUpdate {
    /// The updates that say something new about tasks that exist.
    ///
    /// States only move forward: a report that arrives late or twice changes nothing, and a report of the
    /// same
    /// state is kept only when its words, container or ports differ. The last of several reports of one
    /// task wins.
    package static func statusActions(
        _ store: ObjectStore, updates: [(taskID: ObjectID, status: TaskStatus)]
    ) -> [StoreAction] {
        var order: [ObjectID] = []
        var changed: [ObjectID: SwarmTask] = [:]
        for (id, status) in updates {
            guard var task = changed[id] ?? store.tasks[id] else { continue }
            let current = task.status
            guard status.state > current.state || (status.state == current.state && status != current) else {
                continue
            }
            if status.state == current.state && status.timestamp < current.timestamp { continue }
            if status.state == .running && task.runningSince == nil { task.runningSince = status.timestamp }
            task.status = status
            if current.err == SwarmTask.unfitError {
                // However its container ends, this is why.
                (task.status.message, task.status.err) = (current.message, current.err)
                if status.state.isTerminal { task.status.state = max(status.state, .rejected) }
            }
            if changed[id] == nil { order.append(id) }
            changed[id] = task
        }
        return order.compactMap { changed[$0].map { .update(.task($0)) } }
    }
}
