import Store
import SwarmCore
import SwarmModel

/// Jobs run to completion; histories are cut; what no service wants goes.
extension Workspace {
    /// Starts what a job still lacks and replaces what failed, as its restart policy says.
    mutating func reconcileJob(_ service: Service) {
        let iteration = service.jobStatus?.jobIteration
        for task in store.tasks(ofService: service.id)
        where task.jobIteration != iteration && task.isCurrent && !task.isStopped {
            want(.shutdown, of: task)
        }
        let all = slots(of: service).mapValues { slot in
            Slot(key: slot.key, tasks: slot.tasks.filter { $0.jobIteration == iteration })
        }
        for (_, slot) in all.sorted(by: { $0.key < $1.key }) {
            guard !draft.isFull else { return revisit(at: now) }
            dismissFailures(in: slot)
        }
        let active = all.values.reduce(0) { $0 + $1.current.filter { !$0.isStopped }.count }
        let wanted: [SlotKey]
        if service.spec.isGlobal {
            wanted = store.nodes.sorted.filter { node in
                node.mayKeepTasks && node.spec.availability == "active"
                    && node.satisfies(service.spec.taskTemplate.placement)
            }.map { .node($0.id) }
        } else {
            wanted = (0..<Int(clamping: service.spec.totalCompletions)).map { .number($0) }
        }
        var room = service.spec.isGlobal ? wanted.count : Int(clamping: service.spec.maxConcurrent) - active
        for key in wanted where room > 0 {
            guard !draft.isFull else { return revisit(at: now) }
            let slot = all[key] ?? Slot(key: key, tasks: [])
            let isOpen = slot.current.contains { !$0.isStopped }
            guard !isOpen, !slot.tasks.contains(where: { $0.status.state == .complete }) else { continue }
            var startAfter: Timestamp?
            if let last = slot.newest {
                guard RestartDecision.shouldRestart(last, in: slot, spec: service.spec) else { continue }
                want(.shutdown, of: last)
                startAfter = last.status.timestamp + service.spec.taskTemplate.restartDelay
            }
            createTask(of: service, in: key, desired: .ready, startAfter: startAfter)
            room -= 1
        }
        promote(service, to: .complete)
    }

    /// Of what ended unwell only a slot's last task counts, and none once the slot's work is done.
    ///
    /// Clocks of leaders differ, so that the last by its date need not be the one that was made last.
    private mutating func dismissFailures(in slot: Slot) {
        let isDone = slot.tasks.contains { $0.status.state == .complete }
        for task in slot.current where task.isStopped && task.status.state != .complete {
            if isDone || task.id != slot.newest?.id { want(.shutdown, of: task) }
        }
    }

    /// Tasks of services that are gone go too; tasks of nodes that stayed away too long free what they hold.
    mutating func giveUpLostTasks() {
        for service in store.lostServices {
            for task in store.tasks(ofService: service) {
                guard draft.accepts(.task, task.id) else { return revisit(at: now) }
                want(.remove, of: task)
            }
        }
        // Nobody will ever report of a node that was removed.
        for node in store.lostNodes {
            for task in store.tasks(onNode: node) where !task.isStopped {
                guard draft.accepts(.task, task.id) else { return revisit(at: now) }
                orphan(task, "node was removed")
            }
        }
        for node in store.nodesDown {
            let limit = node.updatedAt + Reconciler.orphanAfter
            for task in store.tasks(onNode: node.id) where !task.isStopped {
                guard limit <= now else {
                    revisit(at: limit)
                    break
                }
                guard draft.accepts(.task, task.id) else { return revisit(at: now) }
                orphan(task, "node has been down for too long")
            }
        }
    }

    private mutating func orphan(_ task: SwarmTask, _ message: String) {
        // No service keeps a history of it; its node asks for another address if it ever comes back.
        guard !task.isAttachment else { return draft.remove(.task, task.id) }
        var lost = task
        (lost.status.state, lost.status.timestamp, lost.status.message) = (.orphaned, now, message)
        draft.put(.task(lost))
    }

    /// Removes what is to be removed and no longer runs.
    mutating func reap() {
        for id in store.taskIDsToRemove {
            guard let task = store.tasks[id], task.isStopped || task.status.state < .assigned else {
                continue
            }
            guard draft.accepts(.task, id) else { return revisit(at: now) }
            draft.remove(.task, id)
        }
    }

    /// Removes the oldest tasks of each slot beyond the history limit.
    mutating func cutHistory(of service: Service) {
        let limit = store.cluster?.taskHistoryLimit ?? 5
        guard limit >= 0 else { return }
        for (_, slot) in slots(of: service) where Int64(slot.tasks.count) > limit {
            let old = slot.tasks.filter { $0.isStopped && $0.desiredState >= .shutdown }
            for task in old.prefix(slot.tasks.count - Int(limit)) {
                guard draft.accepts(.task, task.id) else { return revisit(at: now) }
                draft.remove(.task, task.id)
            }
        }
    }
}
