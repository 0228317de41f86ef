import Store
import SwarmCore
import SwarmModel

/// Rolling updates and rollbacks: batches of slots move to the service's new template while failures are counted.
///
/// Nothing but the store is remembered: a slot is outdated, in progress or done by its tasks alone, so a new
/// leader goes on with the very next slot.
extension Workspace {
    mutating func updateProgress(_ service: Service) {
        var service = service
        let slots = slots(of: service).sorted { $0.key < $1.key }.map(\.value)
        let occupied = slots.filter { !$0.current.isEmpty }
        let outdated = occupied.filter { slot in !slot.current.contains { isCurrentVersion($0, of: service) }
        }
        let isRollback = service.updateStatus?.state?.hasPrefix("rollback") == true
        let states = ["paused", "rollback_paused"]
        if let state = service.updateStatus?.state, states.contains(state) { return }
        finishReplacements(occupied, of: service)
        guard !outdated.isEmpty || ["updating", "rollback_started"].contains(service.updateStatus?.state)
        else {
            return
        }
        if service.updateStatus?.state != "updating" && service.updateStatus?.state != "rollback_started" {
            service.updateStatus = UpdateStatus(
                state: "updating", startedAt: now, message: "update in progress")
            draft.put(.service(service))
        }
        let config = isRollback ? service.spec.rollback : service.spec.update
        let started = service.updateStatus?.startedAt ?? now
        let renewed = slots.filter { slot in
            slot.tasks.contains { isRenewed($0, of: service, since: started) }
        }
        if giveUpOnFailures(renewed, &service, config, since: started, isRollback: isRollback) { return }
        let busy = renewed.filter { isBusy($0, of: service, config, since: started) }
        if outdated.isEmpty && busy.isEmpty && !isWatching(renewed, of: service, config, since: started) {
            service.updateStatus?.state = isRollback ? "rollback_completed" : "completed"
            service.updateStatus?.completedAt = now
            service.updateStatus?.message = isRollback ? "rollback completed" : "update completed"
            draft.put(.service(service))
            return
        }
        let room =
            config.parallelism == 0 ? outdated.count : max(0, Int(clamping: config.parallelism) - busy.count)
        for slot in outdated.prefix(room) {
            guard !draft.isFull else { return revisit(at: now) }
            replace(slot, of: service, startFirst: config.isStartFirst)
        }
    }

    /// Whether a task was made from the service's template and endpoint as they are now. Where only its placement has
    /// changed, it stays as long as its node will do.
    func isCurrentVersion(_ task: SwarmTask, of service: Service) -> Bool {
        let template = service.spec.taskTemplate
        guard (task.endpoint?.spec ?? EndpointSpec()) == (service.spec.endpointSpec ?? EndpointSpec()) else {
            return false
        }
        if task.spec == template { return true }
        guard task.spec.placement != template.placement, let node = store.nodes[task.nodeID ?? ""] else { return false }
        var moved = task.spec
        moved.placement = template.placement
        return moved == template && node.satisfies(template.placement)
    }

    private func isRenewed(_ task: SwarmTask, of service: Service, since start: Timestamp) -> Bool {
        task.createdAt >= start && isCurrentVersion(task, of: service)
    }

    private mutating func replace(_ slot: Slot, of service: Service, startFirst: Bool) {
        if startFirst {
            createTask(of: service, in: slot.key, desired: .running)
            return
        }
        for task in slot.current { want(.shutdown, of: task) }
        createTask(of: service, in: slot.key, desired: .ready)
    }

    /// Start-first: the old task goes once the new one runs.
    private mutating func finishReplacements(_ slots: [Slot], of service: Service) {
        for slot in slots {
            let isReplaced = slot.current.contains {
                isCurrentVersion($0, of: service) && $0.status.state == .running
            }
            guard isReplaced else { continue }
            for task in slot.current where !isCurrentVersion(task, of: service) { want(.shutdown, of: task) }
        }
    }

    /// Whether a renewed slot still has to come up, or has not yet been up for the delay between batches.
    ///
    /// The task that the update made decides; what the restart policy made after it failed is not the update's.
    private mutating func isBusy(
        _ slot: Slot, of service: Service, _ config: UpdateConfig, since start: Timestamp
    ) -> Bool {
        guard let task = slot.tasks.first(where: { isRenewed($0, of: service, since: start) }) else {
            return false
        }
        if task.status.state == .running {
            let free = task.status.timestamp + config.effectiveDelay
            guard free > now else { return false }
            revisit(at: free)
            return true
        }
        return task.isCurrent && !task.isStopped
    }

    /// Whether a renewed task has not yet run for the monitoring time: an update ends only when all of them have.
    private mutating func isWatching(
        _ slots: [Slot], of service: Service, _ config: UpdateConfig, since start: Timestamp
    ) -> Bool {
        var isWatching = false
        for slot in slots {
            guard let task = slot.tasks.first(where: { isRenewed($0, of: service, since: start) }),
                task.status.state == .running, let since = task.runningSince
            else { continue }
            let free = since + config.effectiveMonitor
            guard free > now else { continue }
            revisit(at: free)
            isWatching = true
        }
        return isWatching
    }

    /// Counts tasks that failed within the monitoring time and acts as the failure action says.
    private mutating func giveUpOnFailures(
        _ renewed: [Slot], _ service: inout Service, _ config: UpdateConfig, since start: Timestamp,
        isRollback: Bool
    ) -> Bool {
        let failed = renewed.filter { slot in
            slot.tasks.contains { task in
                guard isRenewed(task, of: service, since: start) else { return false }
                guard [.failed, .rejected].contains(task.status.state), task.status.err != SwarmTask.unfitError else {
                    return false
                }
                guard let since = task.runningSince else { return true }
                return task.status.timestamp - since <= config.effectiveMonitor
            }
        }
        guard !failed.isEmpty, config.action != "continue" else { return false }
        let total = max(slots(of: service).count, 1)
        guard Double(failed.count) / Double(total) > config.maxFailureRatio else { return false }
        let culprit = failed[0].tasks.last { $0.status.state >= .failed }
        let reason = "task \(culprit?.id ?? "")"
        if config.action == "rollback" && !isRollback, let previous = service.previousSpec {
            // What has failed is nothing to go back to.
            (service.spec, service.previousSpec) = (previous, nil)
            service.updateStatus = UpdateStatus(
                state: "rollback_started", startedAt: now,
                message: "update rolled back due to failure or early termination of \(reason)")
        } else {
            let what = isRollback ? "rollback" : "update"
            service.updateStatus?.state = isRollback ? "rollback_paused" : "paused"
            service.updateStatus?.message = "\(what) paused due to failure or early termination of \(reason)"
        }
        draft.put(.service(service))
        return true
    }
}
