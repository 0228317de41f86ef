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
        searches.counts[best] += 1
        nodes.add(task, at: best)
        return true
    }
}

/// Searches of one service, and how many of its tasks each node has.
private struct ServiceSearches {
    var counts: [Int]
    private var searches: [Search] = []

    init(of service: ObjectID, in store: ObjectStore, among nodes: NodeLoads) {
        var counts = Array(repeating: 0, count: nodes.nodes.count)
        store.forEachTask(ofService: service) { task in
            guard task.takesRoom, let position = task.nodeID.flatMap({ nodes.positions[$0] }) else { return }
            counts[position] += 1
        }
        self.counts = counts
    }

    /// The node is given already, as a global service's is.
    func choose(_ node: ObjectID, for task: SwarmTask, among nodes: NodeLoads) -> (Int?, [Refusal: Int]) {
        guard let position = nodes.positions[node] else { return (nil, [:]) }
        guard let refusal = nodes.refusal(of: Wishes(task), at: position, count: counts[position]) else {
            return (position, [:])
        }
        return (nil, [refusal: 1])
    }

    mutating func search(for task: SwarmTask, among nodes: NodeLoads) -> (Int?, [Refusal: Int]) {
        let index: Int
        if let found = searches.firstIndex(where: { $0.isFor(task) }) {
            index = found
        } else {
            index = searches.count
            searches.append(Search(task, among: nodes, counts))
        }
        let best = searches[index].best(among: nodes, counts)
        return (best, best == nil ? searches[index].refusals : [:])
    }
}

/// The nodes that may take tasks of one kind, the emptiest first.
///
/// Within a pass nodes only fill up. So a node that refuses once refuses always, and a rank that was true when it was
/// noted can only have grown: it is set right when its node comes to the top.
private final class Search {
    private struct Rank: Comparable {
        /// Spread: fewest tasks of this service first, then fewest tasks at all, then by identifier.
        var own: Int
        var total: Int
        var position: Int

        static func < (left: Rank, right: Rank) -> Bool {
            (left.own, left.total, left.position) < (right.own, right.total, right.position)
        }
    }
    private let spec: TaskSpec
    private let endpoint: Endpoint?
    private let wishes: Wishes
    private var heap: [Rank] = []
    private(set) var refusals: [Refusal: Int] = [:]

    init(_ task: SwarmTask, among nodes: NodeLoads, _ counts: [Int]) {
        (spec, endpoint, wishes) = (task.spec, task.endpoint, Wishes(task))
        for position in nodes.nodes.indices {
            if let refusal = nodes.refusal(of: wishes, at: position, count: counts[position]) {
                refusals[refusal, default: 0] += 1
            } else {
                heap.append(Rank(own: counts[position], total: nodes.totals[position], position: position))
            }
        }
        // Of a thousand nodes few are ever looked at: a heap is made in linear time, a sorted list is not.
        for parent in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(heap[parent], from: parent) }
    }

    func isFor(_ task: SwarmTask) -> Bool { task.spec == spec && task.endpoint == endpoint }

    func best(among nodes: NodeLoads, _ counts: [Int]) -> Int? {
        while let top = heap.first {
            let position = top.position
            if let refusal = nodes.refusal(ofKnown: wishes, at: position, count: counts[position]) {
                refusals[refusal, default: 0] += 1
                let last = heap.removeLast()
                if !heap.isEmpty { sink(last) }
                continue
            }
            let present = Rank(own: counts[position], total: nodes.totals[position], position: position)
            guard present != top else { return position }
            sink(present)
        }
        return nil
    }

    /// Puts a rank in the place of the first, or of the first of a part.
    private func sink(_ rank: Rank, from place: Int = 0) {
        var parent = place
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < rank else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = rank
    }
}

/// What a task asks of its node, read once for many nodes.
private struct Wishes {
    let service: ObjectID
    let nanoCPUs: Int64
    let memory: Int64
    /// How many of each kind of generic resource.
    let generic: [String: Int64]
    /// Nil when one of them cannot be read: no node satisfies it.
    let constraints: [PlacementConstraint]?
    let platforms: [Platform]
    /// The log and volume drivers that the task names.
    let plugins: [EnginePlugin]
    let hostPorts: Set<PortConfig>
    let replicasMax: UInt64

    /// Whether any node will do that has room.
    var isUndemanding: Bool { plugins.isEmpty && platforms.isEmpty && constraints?.isEmpty == true }

    init(_ task: SwarmTask) {
        service = task.serviceID ?? ""
        let reserved = task.spec.reservedResources
        (nanoCPUs, memory) = (reserved.nanoCPUs ?? 0, reserved.memoryBytes ?? 0)
        generic = reserved.genericCounts
        let parsed = task.spec.constraintTexts.map { try? PlacementConstraint($0) }
        constraints = parsed.contains { $0 == nil } ? nil : parsed.compactMap { $0 }
        platforms = task.spec.placement?.platforms ?? []
        let volumes = (task.spec.containerSpec?.mounts ?? []).compactMap(\.volumeOptions?.driverConfig?.name)
        plugins =
            ([task.spec.logDriver?.name].compactMap(\.self).map { EnginePlugin(type: "Log", name: $0) }
            + volumes.map { EnginePlugin(type: "Volume", name: $0) }).filter { !$0.name.isEmpty }
        let ports = task.endpoint?.ports ?? task.endpoint?.spec.ports ?? []
        hostPorts = Set(
            ports.filter { $0.isHostMode && ($0.publishedPort ?? 0) != 0 }.map {
                PortConfig(proto: $0.effectiveProtocol, publishedPort: $0.publishedPort)
            })
        replicasMax = task.spec.maxReplicasPerNode
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

/// All nodes in the order of their identifiers, with what is left of each: lists of plain numbers, since each is looked
/// at many times.
private struct NodeLoads {
    let nodes: [Node]
    let positions: [ObjectID: Int]
    private(set) var totals: [Int]
    private let isAvailable: [Bool]
    private var freeNanoCPUs: [Int64]
    private var freeMemory: [Int64]
    private var freeGeneric: [[String: Int64]]
    private var hostPorts: [Set<PortConfig>]

    init(of store: ObjectStore) {
        nodes = store.nodes.sorted
        positions = Dictionary(uniqueKeysWithValues: nodes.enumerated().map { ($1.id, $0) })
        freeNanoCPUs = nodes.map { $0.description.resources.nanoCPUs ?? 0 }
        freeMemory = nodes.map { $0.description.resources.memoryBytes ?? 0 }
        freeGeneric = nodes.map(\.description.resources.genericCounts)
        totals = nodes.map { _ in 0 }
        isAvailable = nodes.map { $0.status.state == "ready" && $0.spec.availability == "active" }
        hostPorts = nodes.map { _ in [] }
        for (position, node) in nodes.enumerated() {
            store.forEachTask(onNode: node.id) { if $0.takesRoom { add($0, at: position) } }
        }
    }

    mutating func add(_ task: SwarmTask, at position: Int) {
        if let reserved = task.spec.resources?.reservations {
            freeNanoCPUs[position] -= reserved.nanoCPUs ?? 0
            freeMemory[position] -= reserved.memoryBytes ?? 0
            for (kind, count) in reserved.genericCounts { freeGeneric[position][kind, default: 0] -= count }
        }
        if task.endpoint?.ports?.isEmpty == false || task.endpoint?.spec.ports?.isEmpty == false {
            hostPorts[position].formUnion(Wishes(task).hostPorts)
        }
        totals[position] += 1
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
        if !wishes.generic.allSatisfy({ (freeGeneric[position][$0.key] ?? 0) >= $0.value }) { return .resources }
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

extension SwarmTask {
    /// Whether it counts for the node that it was given to.
    fileprivate var takesRoom: Bool {
        desiredState <= .complete && !status.state.isTerminal && status.state >= .assigned
    }
}
