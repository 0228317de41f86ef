import SwarmCore
import SwarmModel

/// Whether a slot gets another task after one has ended; derived from the slot's history alone.
enum RestartDecision {
    /// Whether the policy asks for a replacement of a task that ended by itself.
    ///
    /// The window counts back from the task's end, not from now, so that the answer never changes later.
    static func shouldRestart(_ task: SwarmTask, in slot: Slot, spec: ServiceSpec) -> Bool {
        var condition = spec.taskTemplate.restartCondition
        if spec.isJob && condition == "any" { condition = "on-failure" }
        if condition == "none" { return false }
        if condition == "on-failure" && task.status.state == .complete { return false }
        let limit = spec.taskTemplate.restartMaxAttempts
        guard limit > 0 else { return true }
        let start = spec.taskTemplate.restartWindow.map {
            Timestamp(
                nanoseconds: task.status.timestamp.nanoseconds &- $0.wholeNanoseconds)
        }
        let restarts = slot.tasks.filter { other in
            other.startAfter != nil && other.spec == task.spec && start.map { other.createdAt >= $0 } ?? true
        }
        return UInt64(restarts.count) < limit
    }

    /// Whether the slot's last task ended for good: it counts as filled although nothing runs in it.
    static func isRetired(_ slot: Slot, spec: ServiceSpec) -> Bool {
        guard slot.current.isEmpty, let last = slot.newest else { return false }
        guard [.complete, .failed, .rejected].contains(last.status.state) else { return false }
        guard last.spec == spec.taskTemplate else { return false }
        return !shouldRestart(last, in: slot, spec: spec)
    }
}
