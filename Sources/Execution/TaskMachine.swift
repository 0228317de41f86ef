package import SwarmCore
package import SwarmModel

/// What the agent must do next for one task; every operation is answered by one ``TaskEvent``.
package enum TaskOperation: Sendable, Equatable {
    case ensureImage
    case attachNetwork
    case createContainer
    case startContainer
    /// Take the task out of names and balancers, then answer; only then is the process told to stop.
    case withdraw
    case stopContainer
    case detachNetwork
    case removeContainer
}

/// What happened to one task on its node.
package enum TaskEvent: Sendable, Equatable {
    case begin
    case desired(TaskState)
    case imageReady
    case networkAttached
    case created
    case started(pid: Int)
    case withdrawn
    case stopped
    case detached
    case removed
    case failed(TaskOperation, String)
    /// The image brings a health check of its own; comes before `created`.
    case healthCheckFound
    case exited(code: Int, oomKilled: Bool)
    case health(isHealthy: Bool, output: String)
    /// The agent came back and found the container in this state.
    case adopted(AdoptedContainer)
}

package enum AdoptedContainer: Sendable, Equatable {
    case created
    case running(pid: Int, isHealthy: Bool)
    case exited(code: Int)
    case missing
}

/// One task's life on its node: observed state × desired state → the next operations.
///
/// States only move forward (`design/task_model` of swarmkit, restated): an error before `starting` is
/// `rejected`, at or after it `failed`. The machine never retries: a failed task is replaced by its manager.
package struct TaskMachine: Sendable, Equatable {
    package let taskID: ObjectID
    package let containerID: String
    package private(set) var hasHealthCheck: Bool
    package private(set) var status: TaskStatus
    package private(set) var desired: TaskState
    private var step: Step = .idle
    private var hasImage = false
    private var hasNetwork = false
    private var hasContainer = false
    private var isAttached = false
    private var removalRequested = false
    private var unhealthyOutput: String?
    private let hostModePorts: [PortConfig]
    /// A check can end before the start's own answer is here.
    private var isHealthyEarly = false

    private enum Step: Sendable, Equatable {
        case idle, preparing, creating, created, starting, running, withdrawing, stopping, ended, removing, gone
    }

    package init(task: SwarmTask, containerID: String, hasHealthCheck: Bool) {
        taskID = task.id
        self.containerID = containerID
        self.hasHealthCheck = hasHealthCheck
        hostModePorts = task.hostModePorts
        status = task.status
        desired = task.desiredState
    }

    /// Whether names and balancers may send traffic to the task.
    package var isServing: Bool { step == .running && status.state == .running && desired <= .running }
    /// Whether the task's network namespace must exist.
    package var needsNetwork: Bool { isAttached }
    /// Whether the container is gone and the machine can be forgotten.
    package var isGone: Bool { step == .gone }
    package var hasEnded: Bool { step == .ended || step == .removing || step == .gone }

    /// The manager no longer lists the task: everything of it must go.
    package mutating func remove(at time: Timestamp) -> [TaskOperation] {
        removalRequested = true
        desired = max(desired, .shutdown)
        return proceed(at: time)
    }

    package mutating func receive(_ event: TaskEvent, at time: Timestamp) -> [TaskOperation] {
        switch event {
        case .begin: return begin(at: time)
        case .desired(let state):
            desired = max(desired, state)
            return proceed(at: time)
        case .imageReady:
            hasImage = true
            return proceed(at: time)
        case .networkAttached:
            hasNetwork = true
            return proceed(at: time)
        case .created:
            guard step == .creating else { return [] }
            hasContainer = true
            step = .created
            report(.ready, "prepared", at: time)
            return proceed(at: time)
        case .healthCheckFound:
            hasHealthCheck = true
            return []
        case .started(let pid): return started(pid, at: time)
        case .withdrawn:
            guard step == .withdrawing else { return [] }
            step = .stopping
            return [.stopContainer]
        case .stopped: return []
        case .detached: return proceed(at: time)
        case .removed:
            hasContainer = false
            step = .gone
            return []
        case .failed(let operation, let reason): return failed(operation, reason, at: time)
        case .exited(let code, let oomKilled): return exited(code, oomKilled: oomKilled, at: time)
        case .health(let isHealthy, let output): return health(isHealthy, output, at: time)
        case .adopted(let container): return adopt(container, at: time)
        }
    }

    private mutating func begin(at time: Timestamp) -> [TaskOperation] {
        guard step == .idle else { return [] }
        report(.accepted, "accepted", at: time)
        guard desired <= .running || desired == .complete else { return end(.shutdown, "shutdown", at: time) }
        step = .preparing
        isAttached = true
        report(.preparing, "preparing", at: time)
        return [.ensureImage, .attachNetwork]
    }

    private mutating func started(_ pid: Int, at time: Timestamp) -> [TaskOperation] {
        guard step == .starting else { return [] }
        status.containerStatus = ContainerStatus(containerID: containerID, pid: pid, exitCode: 0)
        if !hostModePorts.isEmpty { status.portStatus = PortStatus(ports: hostModePorts) }
        step = .running
        if !hasHealthCheck || isHealthyEarly { report(.running, "started", at: time) }
        // Found unhealthy before the agent was restarted: that verdict stands.
        if status.isWithdrawn { return withdrawUnhealthy("") }
        return proceed(at: time)
    }

    private mutating func health(_ isHealthy: Bool, _ output: String, at time: Timestamp) -> [TaskOperation] {
        if step == .starting { isHealthyEarly = isHealthy }
        guard step == .running else { return [] }
        if isHealthy {
            if status.state < .running { report(.running, "started", at: time) }
            return []
        }
        // Other nodes must not send it anything for as long as its end may take.
        if status.state == .running {
            (status.message, status.err) = ("unhealthy", TaskStatus.unhealthy)
            status.timestamp = time
        }
        return withdrawUnhealthy(output)
    }

    private mutating func withdrawUnhealthy(_ output: String) -> [TaskOperation] {
        unhealthyOutput = output
        step = .withdrawing
        return [.withdraw]
    }

    private mutating func failed(
        _ operation: TaskOperation, _ reason: String, at time: Timestamp
    ) -> [TaskOperation] {
        switch operation {
        case .ensureImage, .attachNetwork, .createContainer:
            guard step == .preparing || step == .creating else { return [] }
            // Something may have been half made: removal is idempotent.
            hasContainer = hasContainer || operation == .createContainer
            return end(.rejected, "preparing", error: reason, at: time)
        case .startContainer:
            guard step == .starting else { return [] }
            return end(.failed, "starting", error: reason, at: time)
        case .withdraw: return receive(.withdrawn, at: time)
        case .stopContainer, .detachNetwork: return []
        case .removeContainer:
            // The slow beat of the agent removes containers that no task wants.
            step = .gone
            return []
        }
    }

    private mutating func exited(_ code: Int, oomKilled: Bool, at time: Timestamp) -> [TaskOperation] {
        switch step {
        case .starting, .running, .withdrawing, .stopping: break
        case .idle, .preparing, .creating, .created, .ended, .removing, .gone: return []
        }
        status.containerStatus = ContainerStatus(
            containerID: containerID, pid: status.containerStatus?.pid, exitCode: code)
        if let output = unhealthyOutput {
            let detail = output.isEmpty ? "" : " (\(output.prefix(200)))"
            let reason = "task: non-zero exit (\(code)): dockerexec: unhealthy container\(detail)"
            return end(.failed, "started", error: reason, at: time)
        }
        if desired > .running && desired != .complete { return end(.shutdown, "shutdown", at: time) }
        if code == 0 { return end(.complete, "finished", at: time) }
        let reason = "task: non-zero exit (\(code))" + (oomKilled ? ": out of memory" : "")
        return end(.failed, "started", error: reason, at: time)
    }

    private mutating func adopt(_ container: AdoptedContainer, at time: Timestamp) -> [TaskOperation] {
        guard step == .idle else { return [] }
        (hasImage, hasNetwork, hasContainer) = (true, true, true)
        switch container {
        case .created:
            (step, isAttached, hasNetwork) = (.creating, true, false)
            return [.attachNetwork] + receive(.created, at: time)
        case .running(let pid, let isHealthy):
            isAttached = true
            step = .starting
            var operations = receive(.started(pid: pid), at: time)
            if hasHealthCheck && isHealthy { operations += receive(.health(isHealthy: true, output: ""), at: time) }
            return operations
        case .exited(let code):
            if status.state.isTerminal {
                step = .ended
                return proceed(at: time)
            }
            step = .running
            return receive(.exited(code: code, oomKilled: false), at: time)
        case .missing:
            hasContainer = false
            if status.state.isTerminal {
                step = .ended
                return proceed(at: time)
            }
            guard status.state > .preparing else { return begin(at: time) }
            return end(.failed, "started", error: "the container was lost while the node was down", at: time)
        }
    }

    /// Takes the next step that both what is there and what is wanted allow.
    private mutating func proceed(at time: Timestamp) -> [TaskOperation] {
        let wantsRun = desired <= .running || desired == .complete
        switch step {
        case .preparing:
            guard wantsRun else { return end(.shutdown, "shutdown", at: time) }
            guard hasImage && hasNetwork else { return [] }
            step = .creating
            return [.createContainer]
        case .created:
            guard wantsRun else { return end(.shutdown, "shutdown", at: time) }
            guard desired >= .running && hasNetwork else { return [] }
            step = .starting
            report(.starting, "starting", at: time)
            return [.startContainer]
        case .running:
            guard !wantsRun else { return [] }
            step = .withdrawing
            return [.withdraw]
        case .ended:
            guard removalRequested else { return [] }
            guard hasContainer else {
                step = .gone
                return []
            }
            step = .removing
            return [.removeContainer]
        case .idle:
            guard !wantsRun else { return [] }
            return end(.shutdown, "shutdown", at: time)
        case .creating, .starting, .withdrawing, .stopping, .removing, .gone: return []
        }
    }

    private mutating func end(
        _ state: TaskState, _ message: String, error: String? = nil, at time: Timestamp
    ) -> [TaskOperation] {
        report(state, message, error: error, at: time)
        step = .ended
        let wasAttached = isAttached
        isAttached = false
        return (wasAttached ? [.detachNetwork] : []) + proceed(at: time)
    }

    private mutating func report(_ state: TaskState, _ message: String, error: String? = nil, at time: Timestamp) {
        guard state > status.state else { return }
        (status.state, status.message, status.err, status.timestamp) = (state, message, error, time)
    }
}
