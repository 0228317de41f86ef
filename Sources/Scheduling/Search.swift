import Store
import SwarmCore
import SwarmModel

/// Searches of one service, and how many of its tasks each node has.
struct ServiceSearches {
    private(set) var counts: [Int]
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

    /// A task of the service was given to a node.
    mutating func add(at position: Int) {
        counts[position] += 1
        for search in searches { search.add(at: position) }
    }
}

/// The nodes that may take tasks of one kind, in the groups that its placement preferences ask for.
///
/// Within a pass nodes only fill up. So a node that refuses once refuses always, and a rank that was true when it was
/// noted can only have grown: it is set right when its node or group comes to the top.
private final class Search {
    private let spec: TaskSpec
    private let endpoint: Endpoint?
    private let wishes: Wishes
    /// All nodes first; a group that is divided holds groups, any other holds nodes.
    private var groups = [Group()]
    /// The group of each node; empty when there is but one.
    private var homes: [Int] = []
    private(set) var refusals: [Refusal: Int] = [:]

    init(_ task: SwarmTask, among nodes: NodeLoads, _ counts: [Int]) {
        (spec, endpoint, wishes) = (task.spec, task.endpoint, Wishes(task))
        let labels = (task.spec.placement?.preferences ?? []).compactMap(SpreadLabel.init)
        if !labels.isEmpty { divide(nodes, by: labels, counts) }
        for position in nodes.nodes.indices {
            if let refusal = nodes.refusal(of: wishes, at: position, count: counts[position]) {
                refusals[refusal, default: 0] += 1
            } else {
                let rank = Rank(own: counts[position], total: nodes.totals[position], position: position)
                groups[homes.isEmpty ? 0 : homes[position]].members.append(rank)
                enter(rank, from: homes.isEmpty ? nil : homes[position])
            }
        }
        for index in groups.indices { groups[index].members.order() }
        // Groups that lie deeper have higher numbers: each is complete before the one that it lies in.
        for index in groups.indices.reversed() where groups[index].nodes > 0 {
            guard let parent = groups[index].parent else { continue }
            groups[parent].members.append(groups[index].rank(at: index))
        }
        for index in groups.indices where groups[index].isDivided { groups[index].members.order() }
    }

    func isFor(_ task: SwarmTask) -> Bool { task.spec == spec && task.endpoint == endpoint }

    /// Makes the groups, and counts in each what its nodes have of the service, whether they take more or not.
    private func divide(_ nodes: NodeLoads, by labels: [SpreadLabel], _ counts: [Int]) {
        var parts: [[String: Int]] = [[:]]
        homes.reserveCapacity(nodes.nodes.count)
        for (position, node) in nodes.nodes.enumerated() {
            var group = 0
            for label in labels {
                let value = label.value(of: node)
                if let known = parts[group][value] {
                    group = known
                } else {
                    parts[group][value] = groups.count
                    groups[group].isDivided = true
                    groups.append(Group(parent: group))
                    parts.append([:])
                    group = groups.count - 1
                }
            }
            homes.append(group)
            climb(from: group) { $0.own += counts[position] }
        }
    }

    private func climb(from group: Int, _ change: (inout Group) -> Void) {
        var next: Int? = group
        while let group = next {
            change(&groups[group])
            next = groups[group].parent
        }
    }

    private func enter(_ rank: Rank, from group: Int?) {
        guard let group else { return }
        climb(from: group) {
            $0.nodes += 1
            $0.total += rank.total
        }
    }

    func add(at position: Int) {
        guard !homes.isEmpty else { return }
        climb(from: homes[position]) {
            $0.own += 1
            $0.total += 1
        }
    }

    func best(among nodes: NodeLoads, _ counts: [Int]) -> Int? { best(in: 0, among: nodes, counts) }

    private func best(in group: Int, among nodes: NodeLoads, _ counts: [Int]) -> Int? {
        while let top = groups[group].members.first {
            if groups[group].isDivided {
                let present = groups[top.position].rank(at: top.position)
                if present != top {
                    groups[group].members.replaceFirst(by: present)
                } else if let found = best(in: top.position, among: nodes, counts) {
                    return found
                } else {
                    // Preferences never keep a task waiting: the next group takes it.
                    groups[group].members.removeFirst()
                }
                continue
            }
            let position = top.position
            if let refusal = nodes.refusal(ofKnown: wishes, at: position, count: counts[position]) {
                refusals[refusal, default: 0] += 1
                groups[group].members.removeFirst()
                continue
            }
            let present = Rank(own: counts[position], total: nodes.totals[position], position: position)
            guard present != top else { return position }
            groups[group].members.replaceFirst(by: present)
        }
        return nil
    }
}

/// Nodes that have one value of a label in common.
private struct Group {
    var parent: Int?
    var isDivided = false
    /// Tasks of the service on its nodes.
    var own = 0
    /// All tasks on those of its nodes that take part.
    var total = 0
    var nodes = 0
    var members = RankHeap()

    init(parent: Int? = nil) { self.parent = parent }

    /// Fewest tasks of this service first, then fewest tasks at all for a node, in 1024ths.
    func rank(at index: Int) -> Rank { Rank(own: own, total: total << 10 / max(nodes, 1), position: index) }
}

/// What a placement preference spreads over: a label of the cluster's, or of the engine's.
private enum SpreadLabel {
    case node(String)
    case engine(String)

    /// Nil for a preference of another kind, which Docker passes over.
    init?(_ preference: PlacementPreference) {
        let descriptor = preference.spread?.spreadDescriptor ?? ""
        func name(after prefix: String) -> String? {
            guard descriptor.count > prefix.count, descriptor.prefix(prefix.count).lowercased() == prefix else {
                return nil
            }
            return String(descriptor.dropFirst(prefix.count))
        }
        if let label = name(after: "node.labels.") {
            self = .node(label)
        } else if let label = name(after: "engine.labels.") {
            self = .engine(label)
        } else {
            return nil
        }
    }

    /// Nodes without the label are one group.
    func value(of node: Node) -> String {
        switch self {
        case .node(let label): node.spec.labels[label] ?? ""
        case .engine(let label): node.description.engine.labels?[label] ?? ""
        }
    }
}

/// The place of a node or a group among its like.
private struct Rank: Comparable {
    /// Spread: fewest tasks of this service first, then fewest tasks at all, then by identifier.
    var own: Int
    var total: Int
    var position: Int

    static func < (left: Rank, right: Rank) -> Bool {
        (left.own, left.total, left.position) < (right.own, right.total, right.position)
    }
}

/// The lowest rank first. Of a thousand nodes few are ever looked at: a heap is made in linear time, a sorted list is
/// not.
private struct RankHeap {
    private var ranks: [Rank] = []

    var first: Rank? { ranks.first }

    /// ``order()`` must follow.
    mutating func append(_ rank: Rank) { ranks.append(rank) }

    mutating func order() {
        for parent in stride(from: ranks.count / 2 - 1, through: 0, by: -1) { sink(ranks[parent], from: parent) }
    }

    mutating func replaceFirst(by rank: Rank) { sink(rank, from: 0) }

    mutating func removeFirst() {
        let last = ranks.removeLast()
        if !ranks.isEmpty { sink(last, from: 0) }
    }

    /// Puts a rank in the place of the first of a part.
    private mutating func sink(_ rank: Rank, from place: Int) {
        var parent = place
        while true {
            var child = 2 * parent + 1
            guard child < ranks.count else { break }
            if child + 1 < ranks.count, ranks[child + 1] < ranks[child] { child += 1 }
            guard ranks[child] < rank else { break }
            ranks[parent] = ranks[child]
            parent = child
        }
        ranks[parent] = rank
    }
}
