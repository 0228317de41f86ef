import ContainerdAPI
import Execution
import FoundationEssentials
import GRPCCore
import Glibc
package import Logging
package import Ports
package import SwarmCore
package import SwarmModel
import SwiftProtobuf

/// Where the runtime keeps things, and under which names.
package struct RuntimeConfiguration: Sendable {
    package var dataDirectory: String
    package var runDirectory: String
    /// A containerd that is there already; nil starts one of our own.
    package var containerdSocket: String?
    /// Containers' cgroup on every hierarchy, such as `/swarm`.
    package var cgroupParent: String
    /// `HOST`, `HOST:PORT` or a network: registries that need no trusted certificate, nor TLS at all.
    package var insecureRegistries: [String] = []

    package init(
        dataDirectory: String, runDirectory: String, containerdSocket: String? = nil,
        cgroupParent: String = "/swarm"
    ) {
        (self.dataDirectory, self.runDirectory) = (dataDirectory, runDirectory)
        (self.containerdSocket, self.cgroupParent) = (containerdSocket, cgroupParent)
    }
}

/// A FIFO that is open for reading and becomes a log source once the container exists.
struct PendingPipe {
    var descriptor: Int32
    var stream: LogLine.Stream
    var file: LogFile
}

/// What a container does now, as far as containerd's answers and events have told.
struct LiveState: Sendable, Equatable {
    var state: ContainerState
    var pid: Int?
}

/// Containers on containerd and runc.
package actor ContainerdRuntimeService {
    let configuration: RuntimeConfiguration
    let logger: Logger
    let supervisor: ContainerdSupervisor?
    package nonisolated let client: ContainerdClient
    package nonisolated let images: ImageService
    let pump = LogPump()
    let poller = DescriptorPoller()
    var records: [String: ContainerRecord] = [:]
    /// Kept up by events, so that looking at a container asks nobody.
    var states: [String: LiveState] = [:]
    var execs = ExecTable()
    var watches: [String: HealthWatch] = [:]
    /// Containers that are being made and have no record yet.
    var creating: Set<String> = []
    /// The volumes they are given, by container.
    var volumesOfUnmade: [String: [String]] = [:]
    /// Containers that are being started.
    var starting: Set<String> = []
    /// Containers whose task containerd is being asked to delete, and by how many.
    var withdrawing: [String: Int] = [:]
    /// Containers that have ended and whose task containerd still has: its shim, its mount and its control group.
    var endedTasks: Set<String> = []
    /// Containers whose exit could not be written down yet.
    var unwrittenExits: Set<String> = []
    var isReleasing = false
    /// A removal left something in containerd.
    var hasLeftovers = false
    /// A snapshot was removed since containerd's collector was last called.
    var hasGarbage = false
    /// Containers that were asked for and are not made, since their start would fail.
    var unstartable: [String: SwarmError] = [:]
    /// Who waits for a container's removal; each gets its exit code.
    var removalWaiters: [String: [Int: AsyncStream<Int>.Continuation]] = [:]
    var removalWaiterCount = 0
    /// Containers that are about to be frozen: nothing is started in them.
    var pausing: Set<String> = []
    /// Starts of processes that are under way, by container, and who waits for their end.
    var launches: [String: Int] = [:]
    var launchWaiters: [String: [CheckedContinuation<Void, Never>]] = [:]
    var logFiles: [String: LogFile] = [:]
    var pending: [String: [PendingPipe]] = [:]
    /// Standard input of standalone containers that take any.
    var inputs: [String: ExecSession] = [:]
    /// Ends of standalone containers whose start is not told yet.
    var heldExits: [String: ContainerEvent] = [:]
    private var subscribers: [Int: AsyncStream<ContainerEvent>.Continuation] = [:]
    private var nextSubscriber = 0
    private var listener: Task<Void, Never>?
    private var outOfMemory: Set<String> = []

    /// Events that a slow subscriber may have outstanding.
    private static let eventsMax = 10_000

    package init(configuration: RuntimeConfiguration, logger: Logger) throws(SwarmError) {
        self.configuration = configuration
        self.logger = logger
        let supervisor: ContainerdSupervisor? =
            configuration.containerdSocket == nil
            ? ContainerdSupervisor(
                dataDirectory: configuration.dataDirectory, runDirectory: configuration.runDirectory,
                logger: logger)
            : nil
        self.supervisor = supervisor
        if let socket = configuration.containerdSocket {
            client = try ContainerdClient(
                socket: socket, namespace: Self.ownNamespace(dataDirectory: configuration.dataDirectory))
        } else {
            client = try ContainerdClient(socket: supervisor?.socket ?? "")
        }
        images = ImageService(
            client: client, logger: logger,
            settings: try ImageService.settings(insecureRegistries: configuration.insecureRegistries))
    }

    /// The kernel's cgroup layout, as runc sees it.
    static let usesCgroupV2 = FileManager.default.fileExists(atPath: "/sys/fs/cgroup/cgroup.controllers")

    /// Brings containerd up, listens, and takes over the containers that a former daemon left.
    package func start() async throws(SwarmError) {
        for path in [
            configuration.dataDirectory + "/containers", volumeDirectory, configuration.runDirectory + "/io",
        ] {
            try makeDirectory(path)
        }
        try preparePrivateDirectory()
        removeTrees()
        if let supervisor { try await supervisor.start() }
        if let socket = configuration.containerdSocket { try await checkForeign(socket) }
        listener = Task { await self.listen() }
        try await adopt()
        await sweep()
    }

    /// A containerd that is not ours is not started by us: without it nothing works, and the user should know at once.
    private func checkForeign(_ socket: String) async throws(SwarmError) {
        do {
            try await containerd("Version") {
                _ = try await client.version.version(.init(), options: ContainerdClient.quick)
            }
        } catch {
            throw SwarmError(
                .unavailable, "no containerd answers on \(socket), which --containerd names",
                cause: error.description)
        }
    }

    /// Containers stay; `everything` removes them and ends containerd.
    package func shutdown(everything: Bool) async {
        if everything { for id in records.keys.sorted() { await discard(id) } }
        listener?.cancel()
        for (_, subscriber) in subscribers { subscriber.finish() }
        client.shutdown()
        await supervisor?.stop(everything: everything)
        if everything {
            removeControlGroups()
            removePrivateDirectory()
        }
    }

    /// runc removes a container's own control group but not the one above it.
    private func removeControlGroups() {
        let base = "/sys/fs/cgroup"
        let hierarchies = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        for hierarchy in [""] + hierarchies.map({ "/" + $0 }) {
            // Fails, as it must, where somebody else's containers are still in it.
            _ = unsafe rmdir(base + hierarchy + configuration.cgroupParent)
        }
    }

    static func noSuchContainer(_ id: String) -> SwarmError {
        SwarmError(.notFound, "No such container: \(id)")
    }

    // MARK: After a restart

    private func adopt() async throws(SwarmError) {
        let base = configuration.dataDirectory + "/containers"
        let ids = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
        let running = try await processes()
        for id in ids.sorted() {
            guard let record = readRecord(of: id) else {
                await discard(id)
                continue
            }
            records[id] = record
            if record.isLogged {
                logFiles[id] = LogFile(path: base + "/\(id)/log", options: record.logOptions ?? [:])
            } else if record.standalone != nil {
                logFiles[id] = .nowhere
            }
            states[id] = Self.state(running[id])
            let isEarly = states[id]?.state == .exited && record.startedAt == nil
            if record.standalone != nil, states[id]?.state == .created || isEarly {
                try await adoptAtRest(id, hasTask: running[id] != nil)
            } else if states[id]?.state == .exited {
                try settle(id, exit: running[id])
                if running[id] != nil { endedTasks.insert(id) }
                logFiles[id]?.finish()
            } else {
                if record.isLogged || record.standalone != nil { try reopenPipes(of: id) }
                try openInput(of: record)
                watchHealth(of: id)
            }
        }
        for id in running.keys.sorted() where records[id] == nil { await discard(id) }
        releaseEndedTasks()
    }

    /// A standalone container whose start was cut short has no process that is worth anything.
    private func adoptAtRest(_ id: String, hasTask: Bool) async throws(SwarmError) {
        if hasTask {
            // Its init waits for a start that will not come.
            try? await containerdOnce("Tasks.Kill") {
                _ = try await client.tasks.kill(
                    .with { ($0.containerID, $0.signal, $0.all) = (id, 9, true) },
                    options: ContainerdClient.slow)
                _ = try await client.tasks.wait(.with { $0.containerID = id }, options: ContainerdClient.slow)
            }
            _ = await isGone(id, "Tasks.Delete") {
                _ = try await client.tasks.delete(
                    .with { $0.containerID = id }, options: ContainerdClient.slow)
            }
        }
        let hasRun = records[id]?.startedAt != nil
        states[id] = LiveState(state: hasRun ? .exited : .created)
        if hasRun {
            try settle(id, exit: nil)
            logFiles[id]?.finish()
        }
    }

    func processes() async throws(SwarmError) -> [String: Containerd_Services_Tasks_V1_Process] {
        var list: [Containerd_Services_Tasks_V1_Process] = []
        for attempt in 1...Self.unknownStatesMax {
            list = try await containerd("Tasks.List") {
                try await client.tasks.list(.init(), options: ContainerdClient.slow).tasks
            }
            guard attempt < Self.unknownStatesMax, list.contains(where: { $0.status == .unknown }) else {
                break
            }
            try? await Task.sleep(for: .milliseconds(200))
        }
        return Dictionary(list.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private static func state(_ process: Containerd_Services_Tasks_V1_Process?) -> LiveState {
        guard let process else { return LiveState(state: .exited) }
        return switch process.status {
        case .running, .pausing: LiveState(state: .running, pid: Int(process.pid))
        case .paused: LiveState(state: .paused, pid: Int(process.pid))
        case .created: LiveState(state: .created)
        default: LiveState(state: .exited)
        }
    }

    private func reopenPipes(of id: String) throws(SwarmError) {
        let record = records[id]
        _ = try openPipes(
            of: id, hasTerminal: record?.spec.tty == true, logOptions: record?.logOptions ?? [:])
        attachPipes(of: id)
    }

    func attachPipes(of id: String) {
        for pipe in pending.removeValue(forKey: id) ?? [] {
            pump.add(pipe.descriptor, containerID: id, stream: pipe.stream, to: pipe.file)
        }
    }

    /// Writes down how a container ended while nobody watched.
    private func settle(_ id: String, exit process: Containerd_Services_Tasks_V1_Process?) throws(SwarmError)
    {
        guard var record = records[id], record.finishedAt == nil else { return }
        record.exitCode = process.map { Int($0.exitStatus) } ?? 137
        record.finishedAt = Timestamp(nanoseconds: ImageService.wallClock())
        records[id] = record
        try record.write(to: directory(of: id) + "/record.json")
    }

    // MARK: Events

    package func events() async -> AsyncStream<ContainerEvent> {
        let (stream, continuation) = AsyncStream<ContainerEvent>.makeStream(
            bufferingPolicy: .bufferingNewest(Self.eventsMax))
        let number = nextSubscriber
        nextSubscriber += 1
        subscribers[number] = continuation
        continuation.onTermination = { _ in Task { await self.unsubscribe(number) } }
        return stream
    }

    private func unsubscribe(_ number: Int) { subscribers[number] = nil }

    func broadcast(_ event: ContainerEvent) {
        for (_, subscriber) in subscribers { subscriber.yield(event) }
    }

    /// Follows containerd's events for as long as the runtime lives; after a loss, states are read again.
    private func listen() async {
        var backoff = Backoff(initial: .milliseconds(50), maximum: .seconds(1))
        var generator = SystemRandomNumberGenerator()
        while !Task.isCancelled {
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.follow() }
                    group.addTask { try await self.beat() }
                    // The stream's end, or its failure, ends the beat too.
                    try await group.next()
                    group.cancelAll()
                }
            } catch {
                logger.debug("containerd's event stream ended", metadata: ["error": "\(error)"])
            }
            guard !Task.isCancelled else { return }
            try? await Task.sleep(for: backoff.next(using: &generator))
            await resynchronize()
            broadcast(.runtimeRestarted)
        }
    }

    private func observe(_ envelope: Containerd_Services_Events_V1_Envelope) {
        let bytes = [UInt8](envelope.event.value)
        switch envelope.topic {
        case "/tasks/oom":
            guard let event = try? Containerd_Services_Events_V1_TaskOOM(serializedBytes: bytes) else {
                return
            }
            outOfMemory.insert(event.containerID)
        case "/tasks/exit":
            guard let event = try? Containerd_Services_Events_V1_TaskExit(serializedBytes: bytes),
                event.id == event.containerID
            else { return }
            ended(event.containerID, code: Int(event.exitStatus), seconds: event.exitedAt)
        default: break
        }
    }

    func ended(_ id: String, code: Int, seconds: Google_Protobuf_Timestamp) {
        guard var record = records[id], record.finishedAt == nil else { return }
        // Its start fails, and says so.
        guard record.standalone == nil || record.startedAt != nil || starting.contains(id) else { return }
        // Nobody knows when a process ended whose shim is gone.
        let time =
            seconds.seconds > 0
            ? Timestamp(nanoseconds: seconds.seconds * 1_000_000_000 + Int64(seconds.nanos)) : Self.wallTime()
        record.exitCode = code
        record.finishedAt = time
        record.oomKilled = outOfMemory.remove(id) != nil
        records[id] = record
        states[id] = LiveState(state: .exited)
        stepHealth(of: id, .suspended)
        do throws(SwarmError) {
            try record.write(to: directory(of: id) + "/record.json")
        } catch {
            // Until it can be written, the task that is left in containerd keeps the exit code.
            unwrittenExits.insert(id)
            logger.warning("a container's exit is not on disk yet", metadata: ["error": "\(error)"])
        }
        endedTasks.insert(id)
        logFiles[id]?.finish()
        endAttachments(of: id)
        let exit = ContainerEvent.exited(
            containerID: id, exitCode: code, oomKilled: record.oomKilled, at: time)
        // Nobody is told of an end before the start, however short a process lives.
        if record.standalone != nil && starting.contains(id) { heldExits[id] = exit } else { broadcast(exit) }
        releaseEndedTasks()
    }

    /// Finds the exits whose events were lost.
    private func resynchronize() async {
        // Taken first: a container that is made while containerd answers is not in the answer.
        let known = records.values.filter { $0.finishedAt == nil && !isAtRest($0.id) }.map(\.id).sorted()
        guard let running = try? await processes() else { return }
        for id in known where records[id] != nil {
            let process = running[id]
            guard process == nil || process?.status == .stopped else { continue }
            ended(id, code: process.map { Int($0.exitStatus) } ?? 137, seconds: process?.exitedAt ?? .init())
        }
    }

    /// containerd does not say when a subscription is in force, and replays nothing: an exit in between is
    /// found here.
    private func beat() async throws {
        for pause in [Duration.milliseconds(500), .seconds(2)] {
            try await Task.sleep(for: pause)
            await resynchronize()
            // What a killed daemon had begun, containerd gives up only now.
            await endOrphanedShims()
        }
        var beats = 0
        while true {
            try await Task.sleep(for: Self.slowBeat)
            await resynchronize()
            releaseEndedTasks()
            beats += 1
            if hasLeftovers || beats % Self.sweepBeats == 0 {
                hasLeftovers = false
                await sweep()
            }
            if hasGarbage {
                hasGarbage = false
                await collectGarbage()
            }
        }
    }

    /// How often tasks are asked for when a shim does not tell its state in time: it is not dead, the machine is busy.
    private static let unknownStatesMax = 5
    private static let slowBeat = Duration.seconds(10)
    /// Every so many slow beats, and after a removal that failed, orphans are looked for.
    private static let sweepBeats = 6

    private func follow() async throws {
        let filter = "namespace==\"\(client.namespace)\",topic~=^/tasks/(exit|oom)"
        var options = CallOptions.defaults
        options.waitForReady = true
        try await client.events.subscribe(.with { $0.filters = [filter] }, options: options) { response in
            for try await envelope in response.messages { await self.observe(envelope) }
        }
    }

    // MARK: Looking

    package func containers() async throws(SwarmError) -> [ContainerInfo] {
        records.values.sorted { $0.id < $1.id }.map(describe)
    }

    package func inspect(_ containerID: String) async throws(SwarmError) -> ContainerInfo {
        guard let record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        return describe(record)
    }

    private func describe(_ record: ContainerRecord) -> ContainerInfo {
        let live = states[record.id] ?? LiveState(state: .exited)
        var info = record.info(state: live.state, pid: live.pid)
        info.execIDs = execs.identifiers(of: record.id)
        describeHealth(&info)
        return info
    }

    package func ensureImage(_ reference: String, registryAuth: String?) async throws(SwarmError) {
        try await images.ensure(reference, registryAuth: registryAuth)
    }

    package func logs(
        _ containerID: String, _ options: LogOptions
    ) async throws(SwarmError) -> AsyncThrowingStream<LogLine, any Error> {
        guard let record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        guard record.isLogged, let file = logFiles[containerID] else {
            throw SwarmError(.unimplemented, "configured logging driver does not support reading")
        }
        return file.lines(options)
    }

    package func readLog(
        _ containerID: String, ofTask task: ObjectID, _ options: LogOptions, from position: LogPosition, bytesMax: Int
    ) async throws(SwarmError) -> LogPiece {
        guard let record = records[containerID], record.labels["com.docker.swarm.task.id"] == task else {
            throw Self.noSuchContainer(containerID)
        }
        guard record.isLogged, let file = logFiles[containerID] else {
            throw SwarmError(.unimplemented, "configured logging driver does not support reading")
        }
        // Not here: others are not to wait for the disk.
        return await Self.piece(of: file, options, position, bytesMax)
    }

    private static func piece(
        of file: LogFile, _ options: LogOptions, _ position: LogPosition, _ bytesMax: Int
    ) async -> LogPiece {
        file.piece(options, from: position, bytesMax: bytesMax)
    }

    package func waitForLog(_ containerID: String, beyond position: LogPosition) async {
        guard let file = logFiles[containerID] else { return }
        await file.wait(beyond: position)
    }
}
