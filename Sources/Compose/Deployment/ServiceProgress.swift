package import SwarmModel

/// How far a service is from what was asked for, as a stack's deployment needs to know it.
package struct ServiceProgress: Sendable, Equatable {
    /// Tasks of the current spec that run; a task with a health check runs only once it is healthy.
    package var running = 0
    package var completed = 0
    package var wanted = 0
    /// Whether all that is wanted runs from the current spec.
    package var isRunning = false
    /// Whether all that is wanted has run to its end with success.
    package var isCompleted = false
    /// As asked for; nothing is on its way any more.
    package var isSettled = false
    /// Why it will not become so by itself.
    package var failure: String?

    package init() {}

    /// - Parameters:
    ///   - service: as it is now.
    ///   - tasks: all of the service's.
    ///   - current: those of them that were made from the current spec, by identifier.
    ///   - lost: identifiers of nodes that are down.
    package init(_ service: Service, tasks: [SwarmTask], current: Set<String>, lost: Set<String>) {
        let own = tasks.filter { current.contains($0.id) }
        guard !service.spec.isJob else {
            job(service, own, lost)
            return
        }
        let live = own.filter { $0.desiredState <= .running && !lost.contains($0.nodeID ?? "") }
        running = live.filter { $0.status.state == .running }.count
        completed = own.filter { $0.status.state == .complete }.count
        // A global service wants as many as the planner made, which is one for each node that fits.
        let isGlobal = service.spec.mode.global != nil
        wanted =
            isGlobal
            ? tasks.filter { $0.desiredState <= .running && !lost.contains($0.nodeID ?? "") }.count
            : Int(clamping: service.spec.replicas)
        let state = service.updateStatus?.state ?? ""
        let isUpdating = ["updating", "rollback_started"].contains(state)
        if ["paused", "rollback_paused", "rollback_completed"].contains(state) {
            let message = service.updateStatus?.message ?? ""
            failure =
                "its update is \(state.replacing("_", with: " "))" + (message.isEmpty ? "" : ": \(message)")
        }
        let condition = service.spec.taskTemplate.restartCondition
        if condition != "any" && wanted > 0 && completed >= wanted && live.isEmpty {
            (isCompleted, isSettled) = (true, !isUpdating)
        }
        if condition == "none",
            let ended = own.first(where: { [.failed, .rejected].contains($0.status.state) })
        {
            failure = failure ?? "a task has failed and is not started again: \(Self.reason(ended))"
        }
        isRunning = running >= wanted && (wanted > 0 || !isGlobal) && !isUpdating
        isSettled = failure == nil && (isSettled || isRunning)
    }

    private mutating func job(_ service: Service, _ tasks: [SwarmTask], _ lost: Set<String>) {
        let own = tasks.filter { $0.jobIteration == service.jobStatus?.jobIteration }
        completed = own.filter { $0.status.state == .complete }.count
        let live = own.filter { !$0.status.state.isTerminal && !lost.contains($0.nodeID ?? "") }
        running = live.filter { $0.status.state == .running }.count
        wanted =
            service.spec.mode.replicatedJob != nil
            ? Int(clamping: service.spec.totalCompletions)
            : Set(own.compactMap(\.nodeID)).subtracting(lost).count
        isCompleted =
            wanted > 0 && completed >= wanted || wanted == 0 && service.spec.mode.replicatedJob != nil
        isRunning = isCompleted || running > 0
        isSettled = isCompleted
        let policy = service.spec.taskTemplate.restartPolicy
        let failed = own.filter { [.failed, .rejected].contains($0.status.state) }
        guard !isCompleted, live.isEmpty, let last = failed.max(by: { $0.createdAt < $1.createdAt }) else {
            return
        }
        let attempts = Int(clamping: policy?.maxAttempts ?? 0)
        let isFinal = policy?.condition == "none" || attempts > 0 && failed.count > attempts
        if isFinal { failure = "the job has failed and is not tried again: \(Self.reason(last))" }
    }

    private static func reason(_ task: SwarmTask) -> String {
        let error = task.status.err ?? ""
        return error.isEmpty ? task.status.state.name : error
    }

    /// `2/3 running`, `1/1 completed`.
    package var words: String {
        isCompleted ? "\(completed)/\(wanted) completed" : "\(running)/\(wanted) running"
    }
}
