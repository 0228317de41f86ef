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
            return await withCheckedContinuation { removalWaiters[containerID, default: []].append($0) }
        }
        let state = states[containerID]?.state
        if condition == .notRunning && (state == .exited || state == .created) { return record.exitCode ?? 0 }
        for await event in events {
            if case .exited(containerID, let exitCode, _, _) = event { return exitCode }
        }
        throw SwarmError(.unavailable, "the wait for container \(containerID) was cut short: swarmd stops")
    }
}
