import Execution
import Glibc
import Ports
import SwarmCore
import SwarmModel

/// The health checks of one container: the machine that decides, and what it has set going.
struct HealthWatch: Sendable {
    var machine: HealthMachine
    var timer: Task<Void, Never>?
    /// The check that runs now.
    var exec: ExecInfo?

    static let outputBytesMax = 4096
}

/// Runs health checks in containers and tells what they find.
extension ContainerdRuntimeService {
    /// Monotonic time, for deadlines.
    static func monotonicTime() -> Instant {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    static func wallTime() -> Timestamp { Timestamp(nanoseconds: ImageService.wallClock()) }

    /// Begins, or begins again, to watch a container that runs.
    func watchHealth(of id: String) {
        guard let record = records[id], states[id]?.state == .running else { return }
        if watches[id] == nil {
            guard let settings = HealthSettings(record.healthcheck) else { return }
            watches[id] = HealthWatch(
                machine: HealthMachine(settings: settings, wasHealthy: record.isHealthy == true))
        }
        let age = Self.wallTime() - (record.startedAt ?? Self.wallTime())
        stepHealth(of: id, .started(age: age))
    }

    func stepHealth(of id: String, _ event: HealthMachine.Event) {
        guard var watch = watches[id] else { return }
        let effects = watch.machine.receive(event, at: Self.monotonicTime())
        watch.timer?.cancel()
        watch.timer = watch.machine.deadline.map { deadline in
            Task {
                try? await Task.sleep(for: max(deadline - Self.monotonicTime(), .zero))
                guard !Task.isCancelled else { return }
                self.stepHealth(of: id, .deadlineReached(Self.wallTime()))
            }
        }
        watches[id] = watch
        for effect in effects { perform(effect, of: id) }
    }

    private func perform(_ effect: HealthMachine.Effect, of id: String) {
        switch effect {
        case .run(let check):
            guard let command = watches[id]?.machine.settings.command else { return }
            Task {
                let result = await self.runCheck(check, command, in: id)
                self.stepHealth(of: id, .finished(check: check, result))
            }
        case .kill:
            guard let exec = watches[id]?.exec else { return }
            Task { await self.killExec(exec) }
        case .report(let status, let output):
            records[id]?.isHealthy = status == .healthy
            // Lost, the status is only found out again after a restart.
            try? records[id]?.write(to: directory(of: id) + "/record.json")
            broadcast(
                .health(
                    containerID: id, status == .healthy ? .healthy : status == .unhealthy ? .unhealthy : .starting,
                    output: output))
        }
    }

    private func runCheck(_ check: Int, _ command: [String], in id: String) async -> HealthResult {
        let start = Self.wallTime()
        var output: [UInt8] = []
        do {
            let execID = try await exec(id, ExecRequest(command: command))
            defer { execs[execID] = nil }
            let streams = try await startExec(execID, ExecStart())
            let info = execs[execID]?.info
            watches[id]?.exec = info
            // Given up while it was being started: there was nothing to kill then.
            if let info, watches[id]?.machine.currentCheck != check { await killExec(info) }
            defer {
                watches[id]?.exec = nil
                streams.detach()
            }
            for try await (_, bytes) in streams.output where output.count < HealthWatch.outputBytesMax {
                output += bytes.prefix(HealthWatch.outputBytesMax - output.count)
            }
            let code = try await streams.wait()
            return HealthResult(
                start: start, end: Self.wallTime(), exitCode: code, output: String(decoding: output, as: UTF8.self))
        } catch {
            let reason = (error as? SwarmError)?.description ?? "\(error)"
            return HealthResult(start: start, end: Self.wallTime(), exitCode: -1, output: reason)
        }
    }

    func forgetHealth(of id: String) {
        stepHealth(of: id, .suspended)
        watches[id]?.timer?.cancel()
        watches[id] = nil
    }

    /// Adds what is known of a container's health to its description.
    func describeHealth(_ info: inout ContainerInfo) {
        guard let machine = watches[info.id]?.machine else {
            // A container that is created but not started has its check ahead of it.
            if HealthSettings(records[info.id]?.healthcheck) != nil { info.health = .starting }
            return
        }
        info.health = HealthStatus(rawValue: machine.status.rawValue) ?? .none
        info.failingStreak = machine.failingStreak
        info.healthChecks = machine.results.map {
            HealthCheck(start: $0.start, end: $0.end, exitCode: $0.exitCode, output: $0.output)
        }
    }
}
