import Store
import SwarmCore
import SwarmModel

/// All nodes in the order of their identifiers, with what is left of each: lists of plain numbers, since each is looked
/// at many times.
struct NodeLoads {
    let nodes: [Node]
    let positions: [ObjectID: Int]
    private(set) var totals: [Int]
    private let isAvailable: [Bool]
    private var freeNanoCPUs: [Int64]
    private var freeMemory: [Int64]
    private var freeGeneric: [GenericPool]
    private var hostPorts: [Set<PortConfig>]

    init(of store: ObjectStore) {
        nodes = store.nodes.sorted
        positions = Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($1.id, $0) })
        freeNanoCPUs = nodes.map { $0.description.resources.nanoCPUs ?? 0 }
        freeMemory = nodes.map { $0.description.resources.memoryBytes ?? 0 }
        freeGeneric = nodes.map { GenericPool($0.description.resources) }
        totals = nodes.map { _ in 0 }
        isAvailable = nodes.map { $0.status.state == "ready" && $0.spec.availability == "active" }
        hostPorts = nodes.map { _ in [] }
        for (position, node) in nodes.enumerated() {
            store.forEachTask(onNode: node.id) { if $0.takesRoom { _ = add($0, at: position) } }
        }
    }

    /// - Returns: the generic resources that the task has there.
    mutating func add(_ task: SwarmTask, at position: Int) -> [GenericResource]? {
        var given = task.genericResources
        if let reserved = task.spec.resources?.reservations {
            freeNanoCPUs[position] -= reserved.nanoCPUs ?? 0
            freeMemory[position] -= reserved.memoryBytes ?? 0
            if reserved.genericResources?.isEmpty == false {
                given = task.takeGenericResources(from: &freeGeneric[position])
            }
        }
        if task.endpoint?.ports?.isEmpty == false || task.endpoint?.spec.ports?.isEmpty == false {
            hostPorts[position].formUnion(Wishes(task).hostPorts)
        }
        totals[position] += 1
        return given
    }

    func refusal(of wishes: Wishes, at position: Int, count: Int) -> Refusal? {
        guard isAvailable[position] else { return .notAvailable }
        let known = refusal(ofKnown: wishes, at: position, count: count)
        if known == .resources || wishes.isUndemanding { return known }
        let node = nodes[position]
        let offered = node.description.engine.plugins ?? EnginePlugin.builtIn
        if !wishes.plugins.allSatisfy(offered.contains) { return .plugin }
        guard let constraints = wishes.constraints, constraints.allSatisfy({ $0.matches(node) }) else {
            return .constraints
        }
        return supports(wishes.platforms, node) ? known : .platform
    }

    /// For a node that took a task with these wishes before: only what fills up is looked at.
    func refusal(ofKnown wishes: Wishes, at position: Int, count: Int) -> Refusal? {
        if wishes.nanoCPUs > max(freeNanoCPUs[position], 0) || wishes.memory > max(freeMemory[position], 0) {
            return .resources
        }
        if !wishes.generic.isEmpty, !freeGeneric[position].holds(wishes.generic) { return .resources }
        if !wishes.hostPorts.isEmpty, !hostPorts[position].isDisjoint(with: wishes.hostPorts) { return .hostPort }
        return wishes.replicasMax > 0 && UInt64(count) >= wishes.replicasMax ? .maxReplicas : nil
    }

    private func supports(_ platforms: [Platform], _ node: Node) -> Bool {
        platforms.isEmpty
            || platforms.contains { platform in
                let own = Platform.normalized(architecture: node.description.platform.architecture ?? "")
                let (os, architecture) = (platform.os ?? "", platform.architecture ?? "")
                return (os.isEmpty || os == node.description.platform.os)
                    && (architecture.isEmpty || Platform.normalized(architecture: architecture) == own)
            }
    }
}
