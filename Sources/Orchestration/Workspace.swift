import Store
import SwarmCore
import SwarmModel

/// What every orchestration step works on: the draft, the time, and the earliest time at which to look again.
struct Workspace<Generator: RandomNumberGenerator> {
    var draft: StoreDraft
    let now: Timestamp
    var generator: Generator
    private(set) var revisitAt: Timestamp?
    /// Tasks for which their nodes no longer offer enough.
    private(set) var unfit: Set<ObjectID> = []
    /// The slots that were asked for last.
    private var known: (service: ObjectID, changes: Int, slots: [SlotKey: Slot])?

    init(draft: StoreDraft, now: Timestamp, generator: Generator) {
        (self.draft, self.now, self.generator) = (draft, now, generator)
    }

    var store: ObjectStore { draft.store }

    mutating func revisit(at time: Timestamp) { revisitAt = revisitAt.map { min($0, time) } ?? time }

    /// - Returns: the earliest time that the work asked to be done again at.
    mutating func collectingRevisit(_ work: (inout Self) -> Void) -> Timestamp? {
        let before = revisitAt
        revisitAt = nil
        work(&self)
        let own = revisitAt
        if let before { revisit(at: before) }
        return own
    }

    /// Makes a task of a service as its spec is now.
    mutating func createTask(
        of service: Service, in key: SlotKey, desired: TaskState, startAfter: Timestamp? = nil
    ) {
        var task = SwarmTask(id: Identifier.random(using: &generator))
        task.createdAt = now
        task.updatedAt = now
        task.spec = service.spec.taskTemplate
        task.serviceID = service.id
        switch key {
        case .number(let number): task.slot = number
        case .node(let id): task.nodeID = id
        }
        task.status = TaskStatus(timestamp: now, state: .new, message: "created")
        task.desiredState = desired
        task.startAfter = startAfter
        task.jobIteration = service.jobStatus?.jobIteration
        task.specVersion = service.specVersion
        task.serviceName = service.spec.name
        task.serviceLabels = service.spec.labels
        task.endpoint = Endpoint(spec: service.spec.endpointSpec ?? EndpointSpec())
        task.registryAuth = service.registryAuth
        draft.put(.task(task))
    }

    /// Moves what is wanted of a task forward; a task that no agent knows of ends at once.
    mutating func want(_ state: TaskState, of task: SwarmTask) {
        var task = draft.store.tasks[task.id] ?? task
        if task.desiredState < state { task.desiredState = state }
        if state >= .shutdown && !task.isStopped {
            if let node = task.nodeID, !store.nodes.contains(node) {
                task.status.state = .orphaned
                task.status.timestamp = now
                task.status.message = "node was removed"
            } else if task.status.state < .assigned {
                task.status.state = .shutdown
                task.status.timestamp = now
                task.status.message = "shutdown"
                task.status.err = nil
            }
        }
        draft.put(.task(task))
    }

    /// A service's tasks by place, as the draft has them; made anew only when it has changed since the last time.
    mutating func slots(of service: Service) -> [SlotKey: Slot] {
        if let known, known.service == service.id, known.changes == draft.changes { return known.slots }
        var tasks: [SwarmTask] = []
        store.forEachTask(ofService: service.id) { tasks.append($0) }
        let slots = Slot.group(tasks, isGlobal: service.spec.isGlobal)
        known = (service.id, draft.changes, slots)
        return slots
    }

    /// Whether a task's node is gone, down or draining, so that the task must go.
    func mustLeaveNode(_ task: SwarmTask) -> Bool {
        guard let id = task.nodeID else { return false }
        return store.nodes[id]?.mayKeepTasks != true
    }

    /// Looks at what nodes offer once after they change: reservations are kept, what was lost goes, newest first.
    mutating func findWhatNoLongerFits() {
        guard !store.areNodesSettled else { return }
        store.nodes.forEach { node in
            let offer = node.description.resources
            // Of a node that has not yet described itself nothing is known.
            guard node.spec.availability == "active", var nanoCPUs = offer.nanoCPUs else { return }
            var memory = offer.memoryBytes ?? 0
            var generic = GenericPool(offer)
            var tasks: [SwarmTask] = []
            store.forEachTask(onNode: node.id) { task in
                guard task.isCurrent, !task.isStopped, task.status.state >= .assigned,
                    task.spec.resources?.reservations != nil
                else { return }
                tasks.append(task)
            }
            for task in tasks.sorted(by: { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }) {
                let reserved = task.spec.reservedResources
                guard nanoCPUs >= reserved.nanoCPUs ?? 0, memory >= reserved.memoryBytes ?? 0,
                    generic.holds(task.genericResources ?? []), generic.holds(reserved.genericCounts)
                else {
                    unfit.insert(task.id)
                    continue
                }
                nanoCPUs -= reserved.nanoCPUs ?? 0
                memory -= reserved.memoryBytes ?? 0
                _ = task.takeGenericResources(from: &generic)
            }
        }
    }

    /// Whether a task no longer fits the node it was given, although nothing about the service changed.
    func violatesPlacement(_ task: SwarmTask, _ service: Service) -> Bool {
        guard let id = task.nodeID, let node = store.nodes[id], node.spec.availability == "active" else {
            return false
        }
        guard task.spec.placement == service.spec.taskTemplate.placement else { return false }
        return !node.satisfies(task.spec.placement)
    }
}
