package import Store
package import SwarmCore
import SwarmModel

/// Decides which tasks should exist; everything is derived from the store and the time, so a new leader goes on
/// where the old one stopped.
package enum Reconciler {
    /// The longest wait for a replaced task to stop before its successor starts regardless.
    package static let maximumStopWait: Duration = .seconds(60)
    /// Time allowed beyond the stop grace period, when that is longer than ``maximumStopWait``.
    package static let stopWaitMargin: Duration = .seconds(30)
    /// After a node has been down for this long its tasks are given up, which frees their addresses.
    package static let orphanAfter: Duration = .seconds(24 * 3600)

    /// Changes the draft towards what the services ask for.
    /// - Returns: when to plan again although nothing changes; nil when only a change matters.
    package static func reconcile(
        _ draft: inout StoreDraft, at now: Timestamp, using generator: inout some RandomNumberGenerator
    ) -> Timestamp? {
        var work = Workspace(draft: draft, now: now, generator: generator)
        work.giveUpLostTasks()
        work.findWhatNoLongerFits()
        for id in work.store.services.ids {
            guard !work.draft.isFull else {
                work.revisit(at: now)
                break
            }
            if let revisit = work.store.settledUntil(id, at: now) {
                if let revisit { work.revisit(at: revisit) }
            } else if let service = work.store.services[id] {
                work.consider(service)
            }
        }
        if !work.draft.isFull { work.draft.settleNodes() }
        work.reap()
        (draft, generator) = (work.draft, work.generator)
        return work.revisitAt
    }
}

extension Workspace {
    /// Reconciles one service, and remembers when there was nothing to do.
    mutating func consider(_ service: Service) {
        let before = draft.changes
        let revisit = collectingRevisit { work in
            if service.spec.isJob { work.reconcileJob(service) } else { work.reconcileService(service) }
            work.cutHistory(of: service)
        }
        if draft.changes == before, !draft.isFull {
            draft.settle(service.id, until: revisit)
        } else {
            draft.unsettle(service.id)
        }
    }

    mutating func reconcileService(_ service: Service) {
        evict(service)
        restart(service)
        updateProgress(service)
        guard let service = store.services[service.id] else { return }
        if service.spec.isGlobal { fillNodes(service) } else { scale(service) }
        promote(service, to: .running)
    }

    /// Replaces tasks whose node is lost, draining or no longer fits; a global service's are only stopped.
    mutating func evict(_ service: Service) {
        for (_, slot) in slots(of: service).sorted(by: { $0.key < $1.key }) {
            for task in slot.current where !task.isStopped {
                let isUnfit = violatesPlacement(task, service) || unfit.contains(task.id)
                guard mustLeaveNode(task) || isUnfit else { continue }
                guard !draft.isFull else { return revisit(at: now) }
                if isUnfit, !service.spec.isGlobal { draft.put(.task(task.noLongerMeetingConstraints)) }
                want(.shutdown, of: task)
                let hasSuccessor = slot.current.contains {
                    $0.id != task.id && $0.createdAt >= task.createdAt
                }
                if !service.spec.isGlobal && !hasSuccessor {
                    createTask(of: service, in: slot.key, desired: .ready)
                }
            }
        }
    }

    /// Replaces tasks that ended by themselves, as the restart policy says.
    mutating func restart(_ service: Service) {
        for (_, slot) in slots(of: service).sorted(by: { $0.key < $1.key }) {
            for task in slot.current where task.isStopped {
                guard !draft.isFull else { return revisit(at: now) }
                // A task that failed while it was being prepared still owes the delay before it was due.
                if let due = task.startAfter, due > now {
                    revisit(at: due)
                    continue
                }
                want(.shutdown, of: task)
                let hasSuccessor = slot.current.contains { $0.id != task.id && !$0.isStopped }
                guard !hasSuccessor, RestartDecision.shouldRestart(task, in: slot, spec: service.spec),
                    !mustLeaveNode(task) || !service.spec.isGlobal
                else { continue }
                // A lost task is replaced without the policy's delay: nothing is gained by waiting.
                let delay = mustLeaveNode(task) ? .zero : service.spec.taskTemplate.restartDelay
                createTask(of: service, in: slot.key, desired: .ready, startAfter: now + delay)
            }
        }
    }

    /// Lets prepared tasks start once their delay is over and the tasks before them have stopped.
    mutating func promote(_ service: Service, to state: TaskState) {
        for slot in slots(of: service).values {
            for task in slot.tasks where task.desiredState == .ready && !task.isStopped {
                let start = max(task.startAfter ?? .zero, .zero)
                if start > now {
                    revisit(at: start)
                    continue
                }
                let grace = task.spec.containerSpec?.effectiveStopGracePeriod ?? .zero
                let wait = max(Reconciler.maximumStopWait, grace + Reconciler.stopWaitMargin)
                let deadline = max(start, task.createdAt) + wait
                let isBlocked = slot.tasks.contains { other in
                    !other.isCurrent && !other.isStopped
                        && store.nodes[other.nodeID ?? ""]?.status.state != "down"
                }
                if isBlocked && deadline > now {
                    revisit(at: deadline)
                    continue
                }
                guard draft.accepts(.task, task.id) else { return revisit(at: now) }
                want(state, of: task)
            }
        }
    }

    /// Brings the number of a replicated service's slots to what is asked for.
    mutating func scale(_ service: Service) {
        let all = slots(of: service)
        let filled = all.values.filter {
            !$0.current.isEmpty || RestartDecision.isRetired($0, spec: service.spec)
        }
        let wanted = Int(clamping: service.spec.replicas)
        if filled.count < wanted {
            let taken = Set(filled.map(\.key))
            var (number, missing) = (1, wanted - filled.count)
            while missing > 0 {
                guard !draft.isFull else { return revisit(at: now) }
                if !taken.contains(.number(number)) {
                    createTask(of: service, in: .number(number), desired: .ready)
                    missing -= 1
                }
                number += 1
            }
        }
        for victim in victims(among: filled, keeping: wanted) {
            for task in victim.tasks {
                guard draft.accepts(.task, task.id) else { return revisit(at: now) }
                want(.remove, of: task)
            }
        }
    }

    /// Docker's order of who goes: each slot is numbered as the n-th copy on its node, running ones and low slot
    /// numbers first, and those with the highest numbers go; slots without a node go before all others.
    private func victims(among slots: [Slot], keeping wanted: Int) -> [Slot] {
        guard slots.count > wanted else { return [] }
        let ordered = slots.sorted { left, right in
            (left.isRunning ? 0 : 1, left.key) < (right.isRunning ? 0 : 1, right.key)
        }
        var copies: [ObjectID: Int] = [:]
        var ranked: [(rank: Int, position: Int, slot: Slot)] = []
        for (position, slot) in ordered.enumerated() {
            let nodes = Set(slot.current.map { $0.nodeID ?? "" })
            guard let node = nodes.first, nodes.count == 1, !node.isEmpty else {
                ranked.append((Int.max, position, slot))
                continue
            }
            copies[node, default: 0] += 1
            ranked.append((copies[node, default: 0], position, slot))
        }
        ranked.sort { ($0.rank, $0.position) < ($1.rank, $1.position) }
        return ranked.dropFirst(max(wanted, 0)).map(\.slot)
    }

    /// Gives each eligible node its task of a global service.
    mutating func fillNodes(_ service: Service) {
        let all = slots(of: service)
        for node in store.nodes.sorted where node.mayKeepTasks && node.spec.availability == "active" {
            guard node.satisfies(service.spec.taskTemplate.placement) else { continue }
            if let slot = all[.node(node.id)] {
                guard slot.current.isEmpty, !RestartDecision.isRetired(slot, spec: service.spec) else {
                    continue
                }
            }
            guard !draft.isFull else { return revisit(at: now) }
            createTask(of: service, in: .node(node.id), desired: .ready)
        }
    }
}
