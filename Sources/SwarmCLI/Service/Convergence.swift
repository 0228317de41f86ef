package import SwarmCore
package import SwarmModel

/// What was read of a service at one moment.
package struct ServiceObservation: Sendable {
    package var service: Service
    /// Only tasks made from the current template.
    package var tasks: [SwarmTask]
    package var nodes: [Node]

    package init(service: Service, tasks: [SwarmTask], nodes: [Node]) {
        (self.service, self.tasks, self.nodes) = (service, tasks, nodes)
    }
}

/// One line of progress; a line of the same key replaces the one before.
package struct ProgressLine: Sendable, Equatable {
    package var key: String
    package var text: String
    package init(_ key: String, _ text: String) { (self.key, self.text) = (key, text) }
}

/// Whether waiting goes on.
package enum ConvergenceOutcome: Sendable, Equatable {
    case waiting
    case converged
    case failed(String)
}

/// How far a service is from what was asked for: observations in, lines and an outcome out.
package struct Convergence: Sendable {
    /// Above this many slots only the header is shown.
    static let barsMax = 20
    /// The longest error beside a bar.
    static let errorColumns = 75
    /// Longest bar, reached by a running task.
    static let barLength = 9
    static let defaultMonitorNanoseconds: Int64 = 5_000_000_000

    private static let ranks: [TaskState: Int] = [
        .new: 1, .pending: 2, .assigned: 3, .accepted: 4, .preparing: 5, .ready: 6, .starting: 7, .running: 9,
    ]

    private var stableSince: Instant?
    private var isRollback = false
    private var saidRollback = false
    /// The update's state when waiting began: an old outcome is no news.
    private var startState: String?
    private var hasStarted = false

    /// What the last line calls the service; its identifier when nil.
    private let name: String?

    package init(name: String? = nil) { self.name = name }

    package mutating func observe(
        _ seen: ServiceObservation, at now: Instant
    ) -> (lines: [ProgressLine], outcome: ConvergenceOutcome) {
        let status = seen.service.updateStatus
        var lines: [ProgressLine] = []
        if !hasStarted {
            hasStarted = true
            startState = status?.state
        }
        switch status?.state {
        case "paused" where startState != "paused":
            return ([], .failed("service update paused: \(status?.message ?? "")"))
        case "rollback_paused" where startState != "rollback_paused":
            return ([], .failed("service rollback paused: \(status?.message ?? "")"))
        case "rollback_started":
            if !saidRollback, let message = status?.message, !message.isEmpty {
                lines.append(ProgressLine("rollback", "rollback: \(message)"))
            }
            (isRollback, saidRollback) = (true, true)
        case "updating": (startState, isRollback) = (status?.state, false)
        default: break
        }
        if seen.service.spec.isJob { return job(seen, lines) }
        let slots = slots(seen)
        let running = slots.filter { $0.task.map { Self.isRunning($0, seen.nodes) } ?? false }.count
        let what = isRollback ? "rolling back update: " : ""
        if slots.isEmpty, seen.service.spec.mode.global != nil {
            return (lines + [ProgressLine("overall", "overall progress: waiting for new tasks")], .waiting)
        }
        lines.append(
            ProgressLine("overall", "overall progress: \(what)\(running) out of \(slots.count) tasks"))
        if slots.count <= Self.barsMax { lines += slots.map { ProgressLine($0.key, $0.line) } }
        let isSettled = !["updating", "rollback_started"].contains(status?.state ?? "")
        if isSettled, let outcome = Self.ending(seen.service, slots) {
            if outcome == .converged {
                lines.append(ProgressLine("verify", "verify: Service \(seen.service.id) completed"))
            }
            return (lines, outcome)
        }
        guard running == slots.count, isSettled else {
            if stableSince != nil { lines.append(ProgressLine("verify", "")) }
            stableSince = nil
            return (lines, .waiting)
        }
        return verify(seen.service, lines, now)
    }

    private mutating func verify(
        _ service: Service, _ lines: [ProgressLine], _ now: Instant
    ) -> (lines: [ProgressLine], outcome: ConvergenceOutcome) {
        let configured = (isRollback ? service.spec.rollbackConfig : service.spec.updateConfig)?.monitor ?? 0
        let monitor = Duration.nanoseconds(configured > 0 ? configured : Self.defaultMonitorNanoseconds)
        let since = stableSince ?? now
        stableSince = since
        let elapsed = now - since
        guard elapsed < monitor else {
            let done = "Service \(name ?? service.id) converged"
            return (lines + [ProgressLine("verify", "verify: \(done)")], .converged)
        }
        let left = (monitor - elapsed).wholeNanoseconds
        let seconds = max(1, (left + 999_999_999) / 1_000_000_000)
        let text = "verify: Waiting \(seconds) seconds to verify that tasks are stable..."
        return (lines + [ProgressLine("verify", text)], .waiting)
    }

    /// What can no longer change: a task that has ended and, by the restart condition, is not started again.
    private static func ending(_ service: Service, _ slots: [Slot]) -> ConvergenceOutcome? {
        let condition = service.spec.taskTemplate.restartCondition
        let tasks = slots.compactMap(\.task).filter { $0.desiredState > .running }
        if condition == "none",
            let failed = tasks.first(where: { [.failed, .rejected].contains($0.status.state) })
        {
            let reason = failed.status.err ?? failed.status.state.name
            return .failed(
                "service \(service.id) did not converge, its restart condition is \"none\": \(reason)")
        }
        let completed = tasks.filter { $0.status.state == .complete }.count
        return condition != "any" && !slots.isEmpty && completed == slots.count ? .converged : nil
    }

    // MARK: Slots

    private struct Slot {
        var key: String
        var label: String
        var task: SwarmTask?
        var error: String

        var line: String {
            guard let task else { return "\(label): \(error)" }
            let rank = Convergence.ranks[task.status.state] ?? 0
            if rank == 0 || !error.isEmpty && task.status.state != .running { return "\(label): \(error)" }
            let name = task.status.state.name
            let bar = String(repeating: "=", count: rank) + (rank == Convergence.barLength ? "" : "")
            let blank = String(repeating: " ", count: Convergence.barLength - rank)
            return "\(label): " + name.padded(10) + "[" + bar + ">" + blank + "]"
        }
    }

    private func slots(_ seen: ServiceObservation) -> [Slot] {
        seen.service.spec.mode.global != nil ? globalSlots(seen) : replicatedSlots(seen)
    }

    private func replicatedSlots(_ seen: ServiceObservation) -> [Slot] {
        let count = Int(clamping: seen.service.spec.replicas)
        let bySlot = Dictionary(grouping: seen.tasks.filter { ($0.slot ?? 0) > 0 }) { $0.slot ?? 0 }
        // Slots need not be 1...n: tasks of lower slots may have been moved away.
        let active = bySlot.filter { $0.value.contains { $0.desiredState <= .running } }.keys.sorted()
        let ended = bySlot.keys.filter { !active.contains($0) }.sorted()
        let numbers = (active + ended).prefix(count).sorted()
        let width = String(count).count
        return (0..<count).map { index in
            let label = "\(String(index + 1).leftPadded(width))/\(count)"
            guard index < numbers.count, let tasks = bySlot[numbers[index]] else {
                return Slot(key: label, label: label, task: nil, error: "")
            }
            return slot(label, label, tasks)
        }
    }

    private func globalSlots(_ seen: ServiceObservation) -> [Slot] {
        let byNode = Dictionary(grouping: seen.tasks) { $0.nodeID ?? "" }
        let eligible = seen.nodes.filter { node in
            guard node.status.state != "down", let tasks = byNode[node.id] else { return false }
            // A drained node's task is to stop; an active node's that has failed is still missing.
            return node.spec.availability == "active" || tasks.contains { $0.desiredState <= .running }
        }
        return eligible.sorted { $0.id < $1.id }.map { node in
            slot(node.id, node.description.hostname ?? node.id, byNode[node.id] ?? [])
        }
    }

    private func slot(_ key: String, _ label: String, _ tasks: [SwarmTask]) -> Slot {
        let newestFirst = tasks.sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
        let current = newestFirst.first { $0.desiredState <= .running } ?? newestFirst.first
        // The reason why the task before failed stays visible until the new one runs.
        let failure = newestFirst.first { !($0.status.err ?? "").isEmpty }?.status.err ?? ""
        let isRunning = current?.status.state == .running
        let error = isRunning ? "" : failure.replacing("\n", with: " ").ellipsis(Self.errorColumns)
        return Slot(key: key, label: label, task: current, error: error)
    }

    private static func isRunning(_ task: SwarmTask, _ nodes: [Node]) -> Bool {
        guard task.status.state == .running, task.desiredState <= .running else { return false }
        return !nodes.contains { $0.id == task.nodeID && $0.status.state == "down" }
    }

    // MARK: Jobs

    private func job(
        _ seen: ServiceObservation, _ lines: [ProgressLine]
    ) -> (lines: [ProgressLine], outcome: ConvergenceOutcome) {
        let iteration = seen.service.jobStatus?.jobIteration
        let tasks = seen.tasks.filter { $0.jobIteration == iteration }
        let complete = tasks.filter { $0.status.state == .complete }.count
        let active = tasks.filter { $0.status.state < .complete && $0.desiredState <= .complete }.count
        let total: Int
        if seen.service.spec.mode.replicatedJob != nil {
            total = Int(clamping: seen.service.spec.totalCompletions)
        } else {
            let nodes = Set(tasks.map { $0.nodeID ?? "" })
            total = max(1, seen.nodes.filter { nodes.contains($0.id) && $0.status.state != "down" }.count)
        }
        let lines =
            lines + [
                ProgressLine("overall", "job progress: \(complete) out of \(total) complete"),
                ProgressLine(
                    "active",
                    "active tasks: \(active) out of \(max(active, min(total - complete, total))) tasks"),
            ]
        guard complete >= total, total > 0 else { return (lines, .waiting) }
        return (lines + [ProgressLine("verify", "job complete")], .converged)
    }
}

extension String {
    func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
    func leftPadded(_ width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}
