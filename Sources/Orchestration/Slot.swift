import Store
import SwarmCore
import SwarmModel

/// The place of one task of a service: a number for replicated services, a node for global ones.
enum SlotKey: Hashable, Comparable {
    case number(Int)
    case node(ObjectID)

    init(_ task: SwarmTask, isGlobal: Bool) {
        self = isGlobal ? .node(task.nodeID ?? "") : .number(task.slot ?? 0)
    }

    static func < (left: SlotKey, right: SlotKey) -> Bool {
        switch (left, right) {
        case (.number(let left), .number(let right)): left < right
        case (.node(let left), .node(let right)): left < right
        case (.number, .node): true
        case (.node, .number): false
        }
    }
}

/// All tasks of one place, oldest first, without those that are to be removed.
struct Slot {
    var key: SlotKey
    var tasks: [SwarmTask]

    /// Tasks that are meant to run now or soon.
    var current: [SwarmTask] { tasks.filter(\.isCurrent) }
    var newest: SwarmTask? { tasks.last }
    var isRunning: Bool { tasks.contains { $0.isCurrent && $0.status.state == .running } }

    /// A service's tasks by place; removed ones are left out.
    static func group(_ tasks: [SwarmTask], isGlobal: Bool) -> [SlotKey: Slot] {
        var slots: [SlotKey: Slot] = [:]
        // Positions are sorted, not tasks, which are large.
        var order: [(createdAt: Timestamp, id: ObjectID, position: Int)] = []
        order.reserveCapacity(tasks.count)
        for (position, task) in tasks.enumerated() where task.desiredState != .remove {
            order.append((task.createdAt, task.id, position))
        }
        order.sort { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
        for (_, _, position) in order {
            let task = tasks[position]
            let key = SlotKey(task, isGlobal: isGlobal)
            slots[key, default: Slot(key: key, tasks: [])].tasks.append(task)
        }
        return slots
    }
}

extension SwarmTask {
    /// Whether the manager still wants this task to run (or to complete, for jobs).
    var isCurrent: Bool { desiredState <= .complete }
    /// Whether nothing of it runs and nothing will.
    var isStopped: Bool { status.state.isTerminal }
}

extension Node {
    /// Whether tasks may stay on this node: it is not known to be down and is not being drained.
    var mayKeepTasks: Bool { status.state != "down" && spec.availability != "drain" }

    /// Whether the node satisfies where a task may run: constraints that do not parse are satisfied by no node.
    func satisfies(_ placement: Placement?) -> Bool {
        for text in placement?.constraints ?? [] {
            guard let constraint = try? PlacementConstraint(text), constraint.matches(self) else {
                return false
            }
        }
        let platforms = placement?.platforms ?? []
        return platforms.isEmpty || platforms.contains { supports($0) }
    }

    private func supports(_ platform: Platform) -> Bool {
        let (os, architecture) = (platform.os ?? "", platform.architecture ?? "")
        let own = Platform.normalized(architecture: description.platform.architecture ?? "")
        return (os.isEmpty || os.lowercased() == (description.platform.os ?? "").lowercased())
            && (architecture.isEmpty || Platform.normalized(architecture: architecture) == own)
    }
}
