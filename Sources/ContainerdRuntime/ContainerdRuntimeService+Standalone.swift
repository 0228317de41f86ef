import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
import Logging
package import Ports
package import SwarmCore
import SwarmModel
import SwiftProtobuf

/// Containers that are no tasks: their process is made at the start, which may be often, and clients attach to it.
extension ContainerdRuntimeService {
    /// How long output of an ended container may still be on its way to who is attached; longer only when a child of
    /// it keeps the pipe open, and then Docker gives up after the same time.
    private static let drainTimeout = Duration.seconds(2)
    private static let withdrawalPause = Duration.milliseconds(20)

    /// What a standalone container waits for between its creation and its start, or between two starts: no process.
    func isAtRest(_ id: String) -> Bool {
        records[id]?.standalone != nil && states[id]?.state == .created
    }

    func startStandalone(_ id: String) async throws(SwarmError) -> Int {
        guard records[id] != nil else { throw Self.noSuchContainer(id) }
        if let state = states[id], state.state == .running || state.state == .paused, let pid = state.pid {
            return pid
        }
        guard starting.insert(id).inserted else {
            throw SwarmError(.conflict, "container \(id) is being started already")
        }
        defer {
            starting.remove(id)
            releaseEndedTasks()
        }
        try await withdrawFormerTask(of: id)
        guard let before = records[id] else { throw Self.noSuchContainer(id) }
        var record = before
        (record.finishedAt, record.exitCode, record.oomKilled, record.isHealthy) = (nil, nil, false, nil)
        records[id] = record
        states[id] = LiveState(state: .created)
        forgetHealth(of: id)
        do throws(SwarmError) {
            try await makeTask(of: record)
            let pid = try await startTask(of: id)
            watchHealth(of: id)
            return pid
        } catch {
            heldExits[id] = nil
            await endAttempt(of: id)
            // As if it had not been tried, but for Docker's code of what could not be run.
            guard records[id] != nil else { throw error }
            records[id]?.startedAt = before.startedAt
            records[id]?.finishedAt = before.finishedAt
            records[id]?.exitCode = Self.exitCode(ofStartFailure: error)
            states[id] = LiveState(state: before.startedAt == nil ? .created : .exited)
            // It only says how a start failed; the next one is not kept by it.
            try? records[id]?.write(to: directory(of: id) + "/record.json")
            throw error
        }
    }

    /// containerd knows one task of a container: the last one must be gone before the next is made.
    private func withdrawFormerTask(of id: String) async throws(SwarmError) {
        while withdrawing[id] != nil || endedTasks.contains(id) {
            guard records[id] != nil else { throw Self.noSuchContainer(id) }
            if withdrawing[id] == nil {
                let before = endedTasks.contains(id)
                await releaseTask(of: id)
                if before && endedTasks.contains(id) {
                    throw SwarmError(
                        .unavailable, "containerd does not give up the last run of container \(id); try again"
                    )
                }
            } else {
                try? await Task.sleep(for: Self.withdrawalPause)
            }
        }
    }

    private func makeTask(of record: ContainerRecord) async throws(SwarmError) {
        let id = record.id
        let mounts = try await containerd("Snapshots.Mounts") {
            try await client.snapshots.mounts(
                .with { ($0.snapshotter, $0.key) = (ImageService.snapshotter, id) },
                options: ContainerdClient.quick
            ).mounts
        }
        for mount in record.mounts ?? [] where mount.type == "volume" { try remountVolume(mount.name) }
        try openInput(of: record)
        let hasTerminal = record.spec.tty == true
        // Not the one that the last run has finished.
        logFiles[id] =
            record.isLogged
            ? LogFile(path: directory(of: id) + "/log", options: record.logOptions ?? [:]) : LogFile.nowhere
        let pipes = try openPipes(of: id, hasTerminal: hasTerminal, logOptions: record.logOptions ?? [:])
        let input = inputs[id] == nil ? "" : inputBase(of: id) + "-stdin"
        do {
            try await containerdOnce("Tasks.Create") {
                _ = try await client.tasks.create(
                    .with {
                        $0.containerID = id
                        $0.rootfs = mounts
                        $0.terminal = hasTerminal
                        $0.stdin = input
                        $0.stdout = pipes.stdout
                        $0.stderr = pipes.stderr
                    }, options: ContainerdClient.slow)
            }
            attachPipes(of: id)
        } catch {
            for pipe in pending.removeValue(forKey: id) ?? [] { close(pipe.descriptor) }
            throw Self.dockerStartFailure(error)
        }
    }

    private func startTask(of id: String) async throws(SwarmError) -> Int {
        do throws(SwarmError) {
            return try await startProcess(of: id)
        } catch { throw Self.dockerStartFailure(error) }
    }

    /// runc's words with Docker's in front.
    private static func dockerStartFailure(_ error: SwarmError) -> SwarmError {
        guard let range = error.message.firstRange(of: "OCI runtime") else { return error }
        let words = "failed to create task for container: failed to create shim task: "
        return SwarmError(.invalidArgument, words + error.message[range.lowerBound...])
    }

    private func endAttempt(of id: String) async {
        _ = await isGone(id, "Tasks.Delete") {
            _ = try await client.tasks.delete(.with { $0.containerID = id }, options: ContainerdClient.slow)
        }
        let taps = pump.taps(of: id)
        pump.remove(containerID: id)
        for tap in taps { tap.end() }
        await inputs.removeValue(forKey: id)?.exited()
    }

    // MARK: Standard input

    private func inputBase(of id: String) -> String { pipeDirectory(of: id) + "/main" }

    func openInput(of record: ContainerRecord) throws(SwarmError) {
        guard record.spec.openStdin == true, record.standalone != nil, inputs[record.id] == nil else {
            return
        }
        try makeDirectory(pipeDirectory(of: record.id))
        inputs[record.id] = try ExecSession(
            base: inputBase(of: record.id), input: true, outputs: [], poller: poller)
    }

    private func closeInput(of id: String) async {
        guard let session = inputs[id], await session.closeInput() else { return }
        // The shim holds a writing end of its own until it is told; a process that has ended needs no telling.
        try? await containerd("Tasks.CloseIO") {
            _ = try await client.tasks.closeIO(
                .with { ($0.containerID, $0.stdin) = (id, true) }, options: ContainerdClient.quick)
        }
    }

    // MARK: Attached clients

    package func attach(_ containerID: String, input: Bool) async throws(SwarmError) -> any ProcessStreams {
        guard let record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        guard states[containerID]?.state != .paused else {
            throw SwarmError(
                .conflict, "container \(containerID) is paused, unpause the container before attach")
        }
        let takesInput = input && record.spec.openStdin == true && record.standalone != nil
        let closes = takesInput && record.standalone?.closesStdinWithClient == true && record.spec.tty != true
        return ContainerStreams(
            runtime: self, tap: pump.attach(containerID: containerID), pump: pump,
            takesInput: takesInput, closesInput: closes)
    }

    func write(_ bytes: [UInt8], toInputOf id: String) async throws {
        if inputs[id] == nil, let record = records[id], states[id]?.state != .exited {
            try openInput(of: record)
        }
        guard let session = inputs[id] else {
            throw SwarmError(.conflict, "the standard input of container \(id) is closed")
        }
        try await session.write(bytes)
    }

    func clientEndedInput(of id: String) async {
        // Kept in the pipe by a container that is not started yet: its end comes when the process is there.
        let deadline = ContinuousClock.now + Self.startPatience
        while isAtRest(id) || starting.contains(id), ContinuousClock.now < deadline, !Task.isCancelled {
            try? await Task.sleep(for: Self.withdrawalPause)
        }
        await closeInput(of: id)
    }

    /// A client attaches, ends its input and only then starts the container; it does so at once.
    private static let startPatience = Duration.seconds(60)

    /// The container has ended; so do, once its pipes are empty, those who are attached.
    func endAttachments(of id: String) {
        let taps = pump.taps(of: id)
        let session = inputs.removeValue(forKey: id)
        Task {
            await session?.exited()
            guard !taps.isEmpty else { return }
            try? await Task.sleep(for: Self.drainTimeout)
            for tap in taps { self.pump.detach(tap) }
        }
    }

    package func resize(_ containerID: String, width: Int, height: Int) async throws(SwarmError) {
        guard records[containerID] != nil else { throw Self.noSuchContainer(containerID) }
        guard let state = states[containerID]?.state, state == .running || state == .paused else {
            throw SwarmError(.conflict, "Container \(containerID) is not running")
        }
        try await containerd("Tasks.ResizePty") {
            _ = try await client.tasks.resizePty(
                .with {
                    $0.containerID = containerID
                    ($0.width, $0.height) = (UInt32(clamping: width), UInt32(clamping: height))
                }, options: ContainerdClient.quick)
        }
    }

    // MARK: What changes over its life

    package func rename(_ containerID: String, to name: String) async throws(SwarmError) {
        guard var record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        record.name = name
        try record.write(to: directory(of: containerID) + "/record.json")
        records[containerID]?.name = name
    }

    package func update(_ containerID: String, _ standalone: StandaloneContainer) async throws(SwarmError) {
        guard var record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        guard record.standalone != standalone else { return }
        record.standalone = standalone
        try record.write(to: directory(of: containerID) + "/record.json")
        records[containerID]?.standalone = standalone
    }

    package func setHosts(_ containerID: String, _ hosts: [String]) async throws(SwarmError) {
        guard records[containerID] != nil else { throw Self.noSuchContainer(containerID) }
        try writeHosts(hosts, in: directory(of: containerID))
    }

    package func remove(_ containerID: String, force: Bool, keepsVolumes: Bool) async throws(SwarmError) {
        guard keepsVolumes else { return try await remove(containerID, force: force) }
        let kept = records[containerID]?.anonymousVolumes ?? []
        records[containerID]?.anonymousVolumes = []
        do throws(SwarmError) {
            try await remove(containerID, force: force)
        } catch {
            records[containerID]?.anonymousVolumes = kept
            throw error
        }
    }
}

extension LogFile {
    /// Output that nobody keeps; clients can still be attached to it.
    static var nowhere: LogFile { LogFile(path: "/dev/null", bytesMax: .max, filesMax: 1) }
}

/// The handle of one attached client.
private struct ContainerStreams: ProcessStreams {
    let runtime: ContainerdRuntimeService
    let tap: OutputTap
    let pump: LogPump
    let takesInput: Bool
    let closesInput: Bool

    var output: AsyncThrowingStream<(LogLine.Stream, [UInt8]), any Error> {
        AsyncThrowingStream {
            let chunk = await tap.next()
            pump.resume(containerID: tap.containerID)
            return chunk
        }
    }
    func write(_ bytes: [UInt8]) async throws {
        guard takesInput else { return }
        try await runtime.write(bytes, toInputOf: tap.containerID)
    }
    func closeInput() async {
        guard closesInput else { return }
        await runtime.clientEndedInput(of: tap.containerID)
    }
    func wait() async throws(SwarmError) -> Int { try await runtime.wait(tap.containerID, for: .notRunning) }
    func detach() { pump.detach(tap) }
}
