import Store
import SwarmCore
import SwarmModel

@testable import Scheduling

/// A cluster with pending tasks, and what the scheduler makes of it.
struct Field {
    var nodes: [Node] = []
    var tasks: [SwarmTask] = []

    mutating func addNode(
        _ id: String, labels: [String: String] = [:], engineLabels: [String: String] = [:], isOpen: Bool = true,
        generic: [String] = []
    ) throws {
        var node = Node(id: id)
        node.spec = NodeSpec(labels: labels, availability: isOpen ? "active" : "drain")
        node.description.engine = EngineDescription(labels: engineLabels)
        node.description.resources = Resources(
            nanoCPUs: 64_000_000_000, memoryBytes: 64 << 30, genericResources: try GenericResource.parse(generic))
        node.status.state = "ready"
        nodes.append(node)
    }

    mutating func addTasks(_ count: Int, of service: String = "web", _ spec: TaskSpec) {
        for slot in 1...count {
            var task = SwarmTask(id: "\(service)-\(1000 + slot)", spec: spec)
            (task.serviceID, task.slot, task.status.state) = (service, slot, .pending)
            tasks.append(task)
        }
    }

    /// What the scheduler changed, in its order.
    func schedule() -> [SwarmTask] {
        var store = ObjectStore()
        let actions = nodes.map { StoreAction.create(.node($0)) } + tasks.map { .create(.task($0)) }
        _ = store.apply(Transaction(actions: actions, time: .zero), at: 1)
        var draft = StoreDraft(store, maximumActions: .max)
        Scheduler.schedule(&draft, at: .zero)
        return draft.actions.compactMap { action in
            guard case .update(.task(let task)) = action else { return nil }
            return task
        }
    }

    func node(_ id: ObjectID?) -> Node? { nodes.first { $0.id == id } }

    static func spec(spread: [String] = [], replicasMax: UInt64? = nil, generic: [String: Int64] = [:]) -> TaskSpec {
        var spec = TaskSpec()
        spec.containerSpec = ContainerSpec(image: "busybox")
        spec.placement = Placement(
            preferences: spread.map { PlacementPreference(spread: SpreadOver(spreadDescriptor: $0)) },
            maxReplicas: replicasMax)
        if !generic.isEmpty {
            let claims = generic.map { GenericResource(discrete: DiscreteGenericResource(kind: $0.key, value: $0.value)) }
            spec.resources = ResourceRequirements(reservations: Resources(genericResources: claims))
        }
        return spec
    }
}
