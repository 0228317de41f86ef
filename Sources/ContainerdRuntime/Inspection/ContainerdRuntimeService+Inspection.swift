import Execution
package import Ports
package import SwarmCore

/// What the kernel knows of running containers, and stopping them in their tracks.
extension ContainerdRuntimeService {
    private func hostProcess(of containerID: String) throws(SwarmError) -> Int {
        guard records[containerID] != nil else { throw Self.noSuchContainer(containerID) }
        guard let pid = states[containerID]?.pid else {
            throw SwarmError(.conflict, "container \(containerID) is not running")
        }
        return pid
    }

    package func processes(_ containerID: String) async throws(SwarmError) -> [ProcessInfo] {
        let pid = try hostProcess(of: containerID)
        return (ControlGroup(process: pid)?.processes() ?? []).compactMap { ProcessTable.describe($0) }
    }

    package func statistics(_ containerID: String) async throws(SwarmError) -> ContainerStatistics {
        guard records[containerID] != nil else { throw Self.noSuchContainer(containerID) }
        var statistics = ContainerStatistics(readAt: Self.wallTime())
        // Docker answers for a stopped container with zeros.
        guard let pid = states[containerID]?.pid, let group = ControlGroup(process: pid) else {
            return statistics
        }
        group.fill(&statistics)
        statistics.memoryLimitBytes = min(statistics.memoryLimitBytes, MachineClock.memoryBytes)
        let machine = MachineClock.processors()
        (statistics.machineNanoseconds, statistics.processors) = (machine.nanoseconds, machine.count)
        statistics.interfaces = NetworkCounters.read(process: pid)
        return statistics
    }

    package func pause(_ containerID: String) async throws(SwarmError) {
        switch states[containerID]?.state {
        case .running: break
        case .paused: throw SwarmError(.conflict, "Container \(containerID) is already paused")
        case nil: throw Self.noSuchContainer(containerID)
        default: throw SwarmError(.conflict, "Container \(containerID) is not running")
        }
        guard pausing.insert(containerID).inserted else {
            throw SwarmError(.conflict, "Container \(containerID) is already paused")
        }
        defer { pausing.remove(containerID) }
        // A process that is started in a frozen group holds the shim, and the thaw would wait for it in vain.
        while launches[containerID, default: 0] > 0 {
            await withCheckedContinuation { launchWaiters[containerID, default: []].append($0) }
        }
        guard states[containerID]?.state == .running else {
            throw SwarmError(.conflict, "Container \(containerID) is not running")
        }
        try await containerd("Tasks.Pause") { try await client.pause(containerID) }
        states[containerID]?.state = .paused
        stepHealth(of: containerID, .suspended)
    }

    package func unpause(_ containerID: String) async throws(SwarmError) {
        guard let state = states[containerID] else { throw Self.noSuchContainer(containerID) }
        guard state.state == .paused else {
            throw SwarmError(.conflict, "Container \(containerID) is not paused")
        }
        try await containerd("Tasks.Resume") { try await client.resume(containerID) }
        states[containerID]?.state = .running
        watchHealth(of: containerID)
    }

    package func wait(
        _ containerID: String, for condition: WaitCondition
    ) async throws(SwarmError) -> Int {
        let events = await events()
        guard let record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        if condition == .removed {
            return try await waitForRemoval(of: containerID)
        }
        let state = states[containerID]?.state
        if condition == .notRunning && (state == .exited || state == .created) { return record.exitCode ?? 0 }
        for await event in events {
            if case .exited(containerID, let exitCode, _, _) = event { return exitCode }
        }
        throw Self.cutShort(containerID)
    }

    private static func cutShort(_ containerID: String) -> SwarmError {
        SwarmError(.unavailable, "the wait for container \(containerID) was cut short: swarmd stops")
    }

    /// Ends early with the client that waits: a container may live for ever.
    private func waitForRemoval(of containerID: String) async throws(SwarmError) -> Int {
        let (codes, continuation) = AsyncStream.makeStream(of: Int.self)
        removalWaiterCount += 1
        let key = removalWaiterCount
        removalWaiters[containerID, default: [:]][key] = continuation
        defer { removalWaiters[containerID]?[key] = nil }
        for await code in codes { return code }
        throw Self.cutShort(containerID)
    }
}
