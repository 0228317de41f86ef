import CLinux
import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
package import Ports
package import SwarmCore
import SwarmModel
import SwiftProtobuf

/// Further processes in running containers.
extension ContainerdRuntimeService {
    static func noSuchExec(_ id: String) -> SwarmError {
        SwarmError(.notFound, "No such exec instance: \(id)")
    }

    package func exec(_ containerID: String, _ request: ExecRequest) async throws(SwarmError) -> String {
        _ = try runningRecord(containerID)
        guard let program = request.command.first, !program.isEmpty else {
            throw SwarmError(.invalidArgument, "No exec command specified")
        }
        var generator = SystemRandomNumberGenerator()
        let id = Identifier.randomHex(using: &generator)
        try execs.add(ExecInfo(id: id, containerID: containerID, request: request, isRunning: false))
        return id
    }

    private func runningRecord(_ containerID: String) throws(SwarmError) -> ContainerRecord {
        guard let record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        switch states[containerID]?.state {
        case .running where !pausing.contains(containerID): return record
        case .running, .paused:
            throw SwarmError(
                .conflict, "Container \(containerID) is paused, unpause the container before exec")
        default: throw SwarmError(.conflict, "container \(containerID) is not running")
        }
    }

    package func inspectExec(_ execID: String) async throws(SwarmError) -> ExecInfo {
        guard let entry = execs[execID] else { throw Self.noSuchExec(execID) }
        return entry.info
    }

    package func resizeExec(_ execID: String, width: Int, height: Int) async throws(SwarmError) {
        guard let entry = execs[execID] else { throw Self.noSuchExec(execID) }
        guard entry.info.isRunning else {
            throw SwarmError(.conflict, "exec process \(execID) is not running")
        }
        try await resize(entry.info.containerID, exec: execID, ConsoleSize(height: height, width: width))
    }

    private func resize(_ containerID: String, exec: String, _ size: ConsoleSize) async throws(SwarmError) {
        try await containerd("Tasks.ResizePty") {
            _ = try await client.tasks.resizePty(
                .with {
                    $0.containerID = containerID
                    $0.execID = exec
                    ($0.width, $0.height) = (UInt32(clamping: size.width), UInt32(clamping: size.height))
                }, options: ContainerdClient.quick)
        }
    }

    package func startExec(
        _ execID: String, _ options: ExecStart
    ) async throws(SwarmError) -> any ProcessStreams {
        guard var entry = execs[execID] else { throw Self.noSuchExec(execID) }
        guard !entry.hasStarted else {
            let word = entry.info.isRunning ? "is already running" : "has already run"
            throw SwarmError(.conflict, "Error: Exec command \(execID) \(word)")
        }
        let record = try runningRecord(entry.info.containerID)
        entry.hasStarted = true
        execs[execID] = entry
        do {
            return try await launch(entry.info, record, options)
        } catch {
            execs[execID]?.session = nil
            execs[execID]?.info.exitCode = Self.exitCode(ofStartFailure: error)
            throw error
        }
    }

    private func launch(
        _ info: ExecInfo, _ record: ContainerRecord, _ options: ExecStart
    ) async throws(SwarmError) -> any ProcessStreams {
        let isDiscarded = options.isDetached && !info.request.tty
        let streams: [LogLine.Stream] = isDiscarded ? [] : info.request.tty ? [.stdout] : [.stdout, .stderr]
        // A container whose own output nobody keeps has none yet.
        try makeDirectory(pipeDirectory(of: info.containerID))
        let base = pipeDirectory(of: info.containerID) + "/exec-" + info.id.prefix(24)
        let wantsInput = info.request.attachStdin && !options.isDetached
        let process = try execProcess(info.request, in: record, hostPID: states[info.containerID]?.pid)
        let session = try ExecSession(base: base, input: wantsInput, outputs: streams, poller: poller)
        execs[info.id]?.session = session
        launches[info.containerID, default: 0] += 1
        defer { launchEnded(in: info.containerID) }
        do {
            try await register(info, process, base: base, streams: streams, hasInput: wantsInput)
            let pid = try await client.startProcess(info.containerID, execID: info.id)
            execs[info.id]?.info.isRunning = true
            execs[info.id]?.info.pid = pid
        } catch {
            await session.discard()
            await deleteProcess(info)
            throw Self.execFailure(error)
        }
        if info.request.tty, let size = options.consoleSize {
            // A wrong size is better than no process.
            try? await resize(info.containerID, exec: info.id, size)
        }
        let exit = Task { await self.superviseExec(info, session) }
        let handle = ExecStreams(session: session, exit: exit) { await self.closeExecInput(info) }
        if options.isDetached { handle.detach() }
        return handle
    }

    private func launchEnded(in containerID: String) {
        launches[containerID, default: 1] -= 1
        guard launches[containerID] == 0 else { return }
        launches[containerID] = nil
        for waiter in launchWaiters.removeValue(forKey: containerID) ?? [] { waiter.resume() }
    }

    private func register(
        _ info: ExecInfo, _ process: OCISpecification.Process, base: String, streams: [LogLine.Stream],
        hasInput: Bool
    ) async throws(SwarmError) {
        let bytes = try ImageService.encode(process)
        try await containerdOnce("Tasks.Exec") {
            _ = try await client.tasks.exec(
                .with {
                    ($0.containerID, $0.execID, $0.terminal) = (info.containerID, info.id, info.request.tty)
                    if hasInput { $0.stdin = base + "-stdin" }
                    if streams.contains(.stdout) { $0.stdout = base + "-stdout" }
                    if streams.contains(.stderr) { $0.stderr = base + "-stderr" }
                    $0.spec.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Process"
                    $0.spec.value = Data(bytes)
                }, options: ContainerdClient.quick)
        }
    }

    /// Waits for the process and for its output, and only then tells its exit code.
    private func superviseExec(_ info: ExecInfo, _ session: ExecSession) async -> Int {
        let code = await waitForProcess(info.containerID, exec: info.id)
        await session.exited()
        execs[info.id]?.session = nil
        execs[info.id]?.info.isRunning = false
        execs[info.id]?.info.exitCode = code
        broadcast(.execEnded(containerID: info.containerID, execID: info.id, exitCode: code))
        // Not waited for: containerd takes two seconds when a child of the process still holds a pipe.
        Task {
            await self.deleteProcess(info)
            self.releaseEndedTasks()
        }
        return code
    }

    private func waitForProcess(_ containerID: String, exec: String) async -> Int {
        var backoff = Backoff(initial: .milliseconds(50), maximum: .seconds(1))
        var generator = SystemRandomNumberGenerator()
        while true {
            do {
                return try await containerd("Tasks.Wait") {
                    Int(
                        try await client.tasks.wait(
                            .with { ($0.containerID, $0.execID) = (containerID, exec) }
                        ).exitStatus)
                }
            } catch  where error.code == .unavailable && records[containerID] != nil && !Task.isCancelled {
                // containerd restarts; the process goes on and its shim keeps the exit code.
                try? await Task.sleep(for: backoff.next(using: &generator))
            } catch {
                // Its shim or its container is gone, and the process with them.
                return 137
            }
        }
    }

    private func deleteProcess(_ info: ExecInfo) async {
        // Absent when it never came to be; its container's end removes it otherwise.
        try? await containerdOnce("Tasks.DeleteProcess") {
            _ = try await client.tasks.deleteProcess(
                .with { ($0.containerID, $0.execID) = (info.containerID, info.id) },
                options: ContainerdClient.quick)
        }
    }

    private func closeExecInput(_ info: ExecInfo) async {
        // The shim holds a writing end of its own until it is told; a process that has ended needs no telling.
        try? await containerd("Tasks.CloseIO") {
            _ = try await client.tasks.closeIO(
                .with { ($0.containerID, $0.execID, $0.stdin) = (info.containerID, info.id, true) },
                options: ContainerdClient.quick)
        }
    }

    /// Ends an exec's process by force; used when a health check takes too long.
    func killExec(_ info: ExecInfo) async {
        try? await containerd("Tasks.Kill") {
            _ = try await client.tasks.kill(
                .with { ($0.containerID, $0.execID, $0.signal) = (info.containerID, info.id, 9) },
                options: ContainerdClient.quick)
        }
    }

    // MARK: The process

    /// The container's own process with the request on top.
    func execProcess(
        _ request: ExecRequest, in record: ContainerRecord, hostPID: Int?
    ) throws(SwarmError) -> OCISpecification.Process {
        guard var process = record.process else {
            throw SwarmError(
                .failedPrecondition,
                "container \(record.id) was made by an older swarmd, which did not write down its process")
        }
        process.args = request.command
        process.terminal = request.tty ? true : nil
        if let directory = request.workingDirectory, !directory.isEmpty { process.cwd = directory }
        if request.tty { process.env = merge(["TERM=xterm"], process.env) }
        process.env = merge(process.env, request.environment)
        if let user = request.user, !user.isEmpty {
            let root = hostPID.map { "/proc/\($0)/root" } ?? ""
            process.user = try UserLookup(root: root).resolve(user)
        }
        var capabilities = process.capabilities?.bounding ?? []
        if request.privileged { capabilities = SpecificationBuilder.everyCapability }
        let isRoot = process.user.uid == 0
        process.capabilities = .init(
            bounding: capabilities, effective: isRoot || request.privileged ? capabilities : nil,
            permitted: isRoot || request.privileged ? capabilities : nil)
        return process
    }

    /// A later value replaces an earlier one in its place.
    private func merge(_ first: [String], _ second: [String]) -> [String] {
        var result = first
        for entry in second where entry.contains("=") {
            let name = entry.prefix { $0 != "=" } + "="
            if let index = result.firstIndex(where: { $0.hasPrefix(name) }) {
                result[index] = entry
            } else {
                result.append(entry)
            }
        }
        return result
    }

    /// runc's text without containerd's prefixes, as Docker shows it.
    private static func execFailure(_ error: SwarmError) -> SwarmError {
        guard let range = error.message.firstRange(of: "OCI runtime exec failed") else { return error }
        return SwarmError(.invalidArgument, String(error.message[range.lowerBound...]))
    }

    /// Docker's and the shell's codes: 127 for a program that is not there, 126 for one that cannot be run.
    static func exitCode(ofStartFailure error: SwarmError) -> Int {
        let missing = ["executable file not found", "no such file or directory"]
        return missing.contains { error.message.contains($0) } ? 127 : 126
    }
}

/// The handle on a started exec.
private struct ExecStreams: ProcessStreams {
    let session: ExecSession
    let exit: Task<Int, Never>
    let endOfInput: @Sendable () async -> Void

    init(session: ExecSession, exit: Task<Int, Never>, endOfInput: @escaping @Sendable () async -> Void) {
        (self.session, self.exit, self.endOfInput) = (session, exit, endOfInput)
    }

    var output: AsyncThrowingStream<(LogLine.Stream, [UInt8]), any Error> {
        AsyncThrowingStream { try await session.next() }
    }
    func write(_ bytes: [UInt8]) async throws { try await session.write(bytes) }
    func closeInput() async { if await session.closeInput() { await endOfInput() } }
    func wait() async throws(SwarmError) -> Int { await exit.value }
    func detach() {
        Task {
            await closeInput()
            await session.abandon()
        }
    }
}

extension UserLookup {
    /// By the files of a running container, whatever has been done to them since it was created.
    init(root: String) {
        self.init(passwd: Self.text("etc/passwd", root), group: Self.text("etc/group", root))
    }

    private static let fileBytesMax = 1 << 20

    private static func text(_ path: String, _ root: String) -> String {
        let descriptor = unsafe clinux_open_in_root(root, path)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while bytes.count < fileBytesMax {
            let count = unsafe read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
