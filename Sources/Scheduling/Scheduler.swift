package import Store
package import SwarmCore
import SwarmModel

/// Gives each pending task a node, or says in words why no node takes it.
package struct Scheduler {
    var draft: StoreDraft
    let now: Timestamp
    private var views: [ObjectID: NodeView] = [:]

    package static func schedule(_ draft: inout StoreDraft, at now: Timestamp) {
        let pending = draft.store.tasks.sorted.filter {
            $0.status.state == .pending && $0.desiredState <= .complete
        }
        guard !pending.isEmpty else { return }
        var scheduler = Scheduler(draft: draft, now: now)
        for node in draft.store.nodes.sorted { scheduler.views[node.id] = NodeView(node, in: draft.store) }
        for task in pending.sorted(by: { ($0.slot ?? 0, $0.id) < ($1.slot ?? 0, $1.id) }) {
            guard scheduler.draft.accepts(.task, task.id) else { break }
            scheduler.place(task)
        }
        draft = scheduler.draft
    }

    private init(draft: StoreDraft, now: Timestamp) { (self.draft, self.now) = (draft, now) }

    private mutating func place(_ task: SwarmTask) {
        let candidates = views.values.filter { task.nodeID == nil || $0.node.id == task.nodeID }
        var refusals: [Refusal: Int] = [:]
        var best: NodeView?
        for view in candidates.sorted(by: { $0.node.id < $1.node.id }) {
            if let refusal = view.refusal(of: task) {
                refusals[refusal, default: 0] += 1
            } else if best.map({ view.isBetter(than: $0, for: task) }) ?? true {
                best = view
            }
        }
        var placed = task
        guard let best else {
            let reason = "no suitable node" + Refusal.explain(refusals)
            guard task.status.err != reason else { return }
            placed.status.timestamp = now
            placed.status.err = reason
            draft.put(.task(placed))
            return
        }
        placed.nodeID = best.node.id
        placed.status.state = .assigned
        placed.status.timestamp = now
        placed.status.message = "scheduler assigned task to node"
        placed.status.err = nil
        views[best.node.id]?.add(placed)
        draft.put(.task(placed))
    }
}

/// Why a node does not take a task, in the order in which Docker checks.
enum Refusal: Int, Hashable, Comparable {
    case notAvailable, resources, plugin, constraints, platform, hostPort, maxReplicas

    static func < (left: Refusal, right: Refusal) -> Bool { left.rawValue < right.rawValue }

    func text(_ count: Int) -> String {
        let nodes = count == 1 ? "1 node" : "\(count) nodes"
        return switch self {
        case .notAvailable: "\(nodes) not available for new tasks"
        case .resources: "insufficient resources on \(nodes)"
        case .plugin: "missing plugin on \(nodes)"
        case .constraints: "scheduling constraints not satisfied on \(nodes)"
        case .platform: "unsupported platform on \(nodes)"
        case .hostPort: "host-mode port already in use on \(nodes)"
        case .maxReplicas: "max replicas per node limit exceed"
        }
    }

    static func explain(_ refusals: [Refusal: Int]) -> String {
        guard !refusals.isEmpty else { return "" }
        let ordered = refusals.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return " (" + ordered.map { $0.key.text($0.value) }.joined(separator: "; ") + ")"
    }
}

/// A node with what is left of it, and how many tasks of each service it has.
struct NodeView {
    let node: Node
    private var freeNanoCPUs: Int64
    private var freeMemory: Int64
    private var hostPorts: Set<PortConfig> = []
    private var tasksByService: [ObjectID: Int] = [:]
    private var total = 0

    init(_ node: Node, in store: ObjectStore) {
        self.node = node
        freeNanoCPUs = node.description.resources.nanoCPUs ?? 0
        freeMemory = node.description.resources.memoryBytes ?? 0
        for task in store.tasks(onNode: node.id)
        where task.desiredState <= .complete && !task.status.state.isTerminal
            && task.status.state >= .assigned
        {
            add(task)
        }
    }

    mutating func add(_ task: SwarmTask) {
        let reserved = task.spec.reservedResources
        freeNanoCPUs -= reserved.nanoCPUs ?? 0
        freeMemory -= reserved.memoryBytes ?? 0
        hostPorts.formUnion(NodeView.hostPorts(of: task))
        tasksByService[task.serviceID ?? "", default: 0] += 1
        total += 1
    }

    func refusal(of task: SwarmTask) -> Refusal? {
        if node.status.state != "ready" || node.spec.availability != "active" { return .notAvailable }
        let reserved = task.spec.reservedResources
        if (reserved.nanoCPUs ?? 0) > max(freeNanoCPUs, 0) || (reserved.memoryBytes ?? 0) > max(freeMemory, 0)
        {
            return .resources
        }
        if !hasPlugins(for: task) { return .plugin }
        for text in task.spec.constraintTexts {
            guard let constraint = try? PlacementConstraint(text), constraint.matches(node) else {
                return .constraints
            }
        }
        if !supports(task.spec.placement?.platforms ?? []) { return .platform }
        if !hostPorts.isDisjoint(with: NodeView.hostPorts(of: task)) { return .hostPort }
        let limit = task.spec.maxReplicasPerNode
        if limit > 0, UInt64(tasksByService[task.serviceID ?? ""] ?? 0) >= limit { return .maxReplicas }
        return nil
    }

    /// Whether the node has the log and volume drivers that the task names.
    private func hasPlugins(for task: SwarmTask) -> Bool {
        let offered = node.description.engine.plugins ?? EnginePlugin.builtIn
        let volumes = (task.spec.containerSpec?.mounts ?? []).compactMap(\.volumeOptions?.driverConfig?.name)
        let needed =
            [task.spec.logDriver?.name].compactMap(\.self).map { EnginePlugin(type: "Log", name: $0) }
            + volumes.map { EnginePlugin(type: "Volume", name: $0) }
        return needed.allSatisfy { $0.name.isEmpty || offered.contains($0) }
    }

    private func supports(_ platforms: [Platform]) -> Bool {
        platforms.isEmpty
            || platforms.contains { platform in
                let own = Platform.normalized(architecture: node.description.platform.architecture ?? "")
                let (os, architecture) = (platform.os ?? "", platform.architecture ?? "")
                return (os.isEmpty || os == node.description.platform.os)
                    && (architecture.isEmpty || Platform.normalized(architecture: architecture) == own)
            }
    }

    /// Spread: fewest tasks of this service first, then fewest tasks at all.
    func isBetter(than other: NodeView, for task: SwarmTask) -> Bool {
        let service = task.serviceID ?? ""
        let (own, theirs) = (tasksByService[service] ?? 0, other.tasksByService[service] ?? 0)
        return (own, total) < (theirs, other.total)
    }

    private static func hostPorts(of task: SwarmTask) -> Set<PortConfig> {
        let ports = task.endpoint?.ports ?? task.endpoint?.spec.ports ?? []
        return Set(
            ports.filter { $0.isHostMode && ($0.publishedPort ?? 0) != 0 }.map {
                PortConfig(proto: $0.effectiveProtocol, publishedPort: $0.publishedPort)
            })
    }
}
