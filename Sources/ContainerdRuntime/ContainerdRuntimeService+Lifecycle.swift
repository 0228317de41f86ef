import CLinux
import ContainerdAPI
import Execution
import FoundationEssentials
import GRPCCore
import Glibc
import Logging
package import Ports
package import SwarmCore
import SwarmModel
import SwiftProtobuf

/// Creating, starting, stopping and removing one container.
extension ContainerdRuntimeService {
    package func create(_ request: ContainerRequest) async throws(SwarmError) {
        if records[request.id] != nil || unstartable[request.id] != nil { return }
        guard creating.insert(request.id).inserted else {
            throw SwarmError(.conflict, "container \(request.id) is being created already")
        }
        volumesOfUnmade[request.id] = (request.spec.mounts ?? []).compactMap(\.source)
        defer {
            creating.remove(request.id)
            volumesOfUnmade[request.id] = nil
        }
        do throws(SwarmError) {
            try RequestCheck.check(request, processors: sysconf(Int32(_SC_NPROCESSORS_ONLN)))
            try await make(request)
        } catch {
            guard RequestCheck.isStartFailure(error) else { throw error }
            guard request.standalone == nil else {
                let words = String(error.message.dropFirst(RequestCheck.startFailurePrefix.count))
                throw SwarmError(.invalidArgument, words, cause: error.cause)
            }
            // There would be a container, and starting it would tell.
            unstartable[request.id] = error
        }
    }

    private func make(_ request: ContainerRequest) async throws(SwarmError) {
        let image = try await images.resolve(request.image)
        let directory = directory(of: request.id)
        let healthcheck = HealthConfig.merged(
            task: request.spec.healthcheck, image: image.configuration.healthcheck)
        if HealthSettings(healthcheck) != nil {
            broadcast(.health(containerID: request.id, .starting, output: ""))
        }
        var anonymous: [String] = []
        do throws(SwarmError) {
            try await makeFiles(for: request, in: directory)
            let mounts = try await prepareSnapshot(request.id, parent: image.topChainID)
            let user: OCISpecification.User
            do throws(SwarmError) {
                user = try UserLookup(image: image, lowerDirectories: mounts.lowerDirectories)
                    .resolve(
                        request.spec.user ?? image.configuration.user ?? "", groups: request.spec.groups ?? []
                    )
            } catch { throw RequestCheck.startFailure(error.message) }
            let (resolved, made) = try taskMounts(
                of: request, image.configuration, lower: mounts.lowerDirectories)
            anonymous = made
            let specification = try SpecificationBuilder(
                request: request, image: image.configuration, user: user,
                cgroupParent: configuration.cgroupParent,
                directory: directory, usesCgroupV2: Self.usesCgroupV2,
                taskMounts: resolved.map(\.specification),
                limitsSwap: ControlGroupSupport.countsSwap
            ).build()
            var record = ContainerRecord(
                id: request.id, name: request.name, image: request.image, imageID: image.id,
                labels: request.labels,
                arguments: SpecificationBuilder.command(of: specification.process.args),
                environment: specification.process.env,
                stopSignal: request.spec.stopSignal ?? image.configuration.stopSignal ?? "SIGTERM",
                createdAt: Timestamp(nanoseconds: ImageService.wallClock()), spec: request.spec)
            record.anonymousVolumes = anonymous
            record.process = specification.process
            (record.logDriver, record.logOptions) = (request.logDriver, request.logOptions)
            record.mounts = resolved.compactMap(\.description)
            record.healthcheck = healthcheck
            (record.limits, record.reservations) = (request.limits, request.reservations)
            record.networkNamespace = Self.namespacePath(request.network)
            record.standalone = request.standalone
            try await createContainer(request.id, image: image, specification)
            if request.standalone == nil {
                try await createTask(request, mounts: mounts.proto)
            } else if record.isLogged {
                logFiles[request.id] = LogFile(path: directory + "/log", options: request.logOptions)
            }
            try makeDirectory(privateDirectory(of: request.id))
            try record.writePrivate(to: privateFile(of: request.id))
            try record.write(to: directory + "/record.json")
            records[request.id] = record
            states[request.id] = LiveState(state: .created)
        } catch {
            await discard(request.id)
            // No record names them yet.
            releaseVolumes((request.spec.mounts ?? []).compactMap(\.source), of: request.id)
            removeVolumes(anonymous)
            throw error
        }
    }

    private static func namespacePath(_ network: ContainerRequest.NetworkMode) -> String? {
        switch network {
        case .namespace(let path): path
        case .host: ""
        case .none: nil
        }
    }

    private func createContainer(
        _ id: String, image: ResolvedImage, _ specification: OCISpecification
    ) async throws(SwarmError) {
        let bytes = try ImageService.encode(specification)
        let options = Containerd_Services_Events_V1_RuncOptions.with {
            $0.root = configuration.runDirectory + "/runc"
        }
        try await containerdOnce("Containers.Create") {
            let encoded: [UInt8] = try options.serializedBytes()
            _ = try await client.containers.create(
                .with {
                    $0.container.id = id
                    $0.container.image = image.name
                    $0.container.snapshotter = ImageService.snapshotter
                    $0.container.snapshotKey = id
                    $0.container.runtime.name = "io.containerd.runc.v2"
                    // containerd 1.6 wants bare type names, not SwiftProtobuf's prefixed ones.
                    $0.container.runtime.options.typeURL = "containerd.runc.v1.Options"
                    $0.container.runtime.options.value = Data(encoded)
                    $0.container.spec.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
                    $0.container.spec.value = Data(bytes)
                }, options: ContainerdClient.quick)
        }
    }

    private func createTask(
        _ request: ContainerRequest, mounts: [Containerd_Types_Mount]
    ) async throws(SwarmError) {
        let (id, hasTerminal) = (request.id, request.spec.tty == true)
        let isLogged = request.logDriver != "none" || hasTerminal
        let pipes =
            isLogged
            ? try openPipes(of: id, hasTerminal: hasTerminal, logOptions: request.logOptions)
            : (stdout: "", stderr: "")
        do {
            try await containerdOnce("Tasks.Create") {
                _ = try await client.tasks.create(
                    .with {
                        $0.containerID = id
                        $0.rootfs = mounts
                        $0.terminal = hasTerminal
                        $0.stdout = pipes.stdout
                        $0.stderr = pipes.stderr
                    }, options: ContainerdClient.slow)
            }
            attachPipes(of: id)
        } catch {
            for pipe in pending.removeValue(forKey: id) ?? [] { close(pipe.descriptor) }
            throw Self.startFailure(error)
        }
    }

    /// runc refuses at creation what Docker meets at the start.
    static func startFailure(_ error: SwarmError) -> SwarmError {
        error.message.contains("OCI runtime") ? RequestCheck.startFailure(error.message) : error
    }

    package func start(_ containerID: String) async throws(SwarmError) -> Int {
        if let failure = unstartable[containerID] { throw failure }
        if records[containerID]?.standalone != nil { return try await startStandalone(containerID) }
        guard let record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        guard record.finishedAt == nil else {
            throw SwarmError(
                .failedPrecondition,
                "container \(containerID) has ended and cannot be started again; create another one")
        }
        // Its task stays until containerd has answered, however short its process lives.
        starting.insert(containerID)
        defer {
            starting.remove(containerID)
            releaseEndedTasks()
        }
        let pid = try await startProcess(of: containerID)
        watchHealth(of: containerID)
        return pid
    }

    /// Starts the process of a task that containerd has, and notes it.
    func startProcess(of containerID: String) async throws(SwarmError) -> Int {
        let pid = try await client.startProcess(containerID)
        guard var record = records[containerID] else { throw Self.noSuchContainer(containerID) }
        record.startedAt = Timestamp(nanoseconds: ImageService.wallClock())
        records[containerID] = record
        // It may have ended already: what the exit recorded is kept.
        if record.finishedAt == nil { states[containerID] = LiveState(state: .running, pid: pid) }
        try record.write(to: directory(of: containerID) + "/record.json")
        broadcast(.started(containerID: containerID, pid: pid))
        if let exit = heldExits.removeValue(forKey: containerID) { broadcast(exit) }
        return pid
    }

    package func kill(_ containerID: String, signal: String) async throws(SwarmError) {
        guard records[containerID] != nil else { throw Self.noSuchContainer(containerID) }
        let number = try SignalName.number(signal)
        do {
            try await containerdOnce("Tasks.Kill") {
                _ = try await client.tasks.kill(
                    .with {
                        $0.containerID = containerID
                        $0.signal = number
                    }, options: ContainerdClient.slow)
            }
        } catch  where error.code == .notFound {
            throw SwarmError(.conflict, "Container \(containerID) is not running")
        }
        broadcast(.signalled(containerID: containerID, signal: Int(number)))
    }

    package func stop(_ containerID: String, gracePeriod: Duration?) async throws(SwarmError) {
        guard let record = records[containerID] else { return }
        do throws(SwarmError) {
            try await kill(containerID, signal: record.stopSignal)
            return try await waitForExit(containerID, within: gracePeriod ?? .seconds(10))
        } catch {
            if error.code == .conflict { return }
            guard error.code == .deadlineExceeded else { throw error }
        }
        do throws(SwarmError) {
            try await kill(containerID, signal: "SIGKILL")
            try await waitForExit(containerID, within: .seconds(30))
        } catch {
            // It ended between the two.
            guard error.code == .conflict else { throw error }
        }
    }

    private func waitForExit(_ containerID: String, within timeout: Duration) async throws(SwarmError) {
        // One deadline for however many connections the call is lost with.
        let deadline = ContinuousClock.now + timeout
        do throws(SwarmError) {
            let exit = try await containerd("Tasks.Wait") {
                try await client.tasks.wait(
                    .with { $0.containerID = containerID },
                    options: ContainerdClient.within(max(.zero, ContinuousClock.now.duration(to: deadline))))
            }
            // Whoever stopped it may start it at once: its end is not left to an event that comes later.
            if records[containerID]?.standalone != nil {
                ended(containerID, code: Int(exit.exitStatus), seconds: exit.exitedAt)
            }
        } catch {
            // Its shim may go between its end and the answer.
            if error.code == .notFound || states[containerID]?.state == .exited { return }
            throw error
        }
    }

    package func remove(_ containerID: String, force: Bool) async throws(SwarmError) {
        if !force, try await isRunning(containerID) {
            let text = "You cannot remove a running container \(containerID). "
            throw SwarmError(.conflict, text + "Stop the container before attempting removal or force remove")
        }
        await discard(containerID)
    }

    private func isRunning(_ id: String) async throws(SwarmError) -> Bool {
        do {
            return try await containerd("Tasks.Get") {
                try await client.tasks.get(.with { $0.containerID = id }, options: ContainerdClient.quick)
                    .process
            }.status == .running
        } catch  where error.code == .notFound {
            return false
        }
    }

    /// Whether something of a container is gone from containerd, as it also is when it was never there.
    func isGone(
        _ id: String, _ call: String, _ body: nonisolated(nonsending) () async throws -> Void
    ) async -> Bool {
        do throws(SwarmError) {
            try await containerdOnce(call, body)
            return true
        } catch {
            if error.code == .notFound { return true }
            logger.warning(
                "container not wholly removed, to be tried again",
                metadata: ["container.id": "\(id)", "error": "\(error)"])
            return false
        }
    }

    /// Takes away everything of a container, whatever of it is there; what containerd keeps goes with the next beat.
    func discard(_ id: String) async {
        withdrawing[id, default: 0] += 1
        defer { endWithdrawal(of: id) }
        // Fails where the process is dead, and where it is not so does what follows.
        try? await containerdOnce("Tasks.Kill") {
            _ = try await client.tasks.kill(
                .with {
                    $0.containerID = id
                    $0.signal = 9
                    $0.all = true
                }, options: ContainerdClient.slow)
            _ = try await client.tasks.wait(.with { $0.containerID = id }, options: ContainerdClient.slow)
        }
        let taskIsGone = await isGone(id, "Tasks.Delete") {
            _ = try await client.tasks.delete(.with { $0.containerID = id }, options: ContainerdClient.slow)
        }
        let recordIsGone = await isGone(id, "Containers.Delete") {
            _ = try await client.containers.delete(.with { $0.id = id }, options: ContainerdClient.quick)
        }
        let snapshotIsGone = await isGone(id, "Snapshots.Remove") {
            _ = try await client.snapshots.remove(
                .with {
                    $0.snapshotter = ImageService.snapshotter
                    $0.key = id
                }, options: ContainerdClient.quick)
        }
        hasGarbage = true
        if !(taskIsGone && recordIsGone && snapshotIsGone) { hasLeftovers = true }
        forgetHealth(of: id)
        for session in execs.removeAll(of: id) { await session.discard() }
        pump.remove(containerID: id)
        await inputs.removeValue(forKey: id)?.exited()
        logFiles.removeValue(forKey: id)?.finish()
        releaseVolumes((records[id]?.mounts ?? []).map(\.name), of: id)
        removeVolumes(records[id]?.anonymousVolumes ?? [])
        for waiter in (removalWaiters.removeValue(forKey: id) ?? [:]).values {
            waiter.yield(records[id]?.exitCode ?? 137)
            waiter.finish()
        }
        records[id] = nil
        states[id] = nil
        unstartable[id] = nil
        endedTasks.remove(id)
        unwrittenExits.remove(id)
        unsafe umount2(secretDirectory(of: id), Int32(MNT_DETACH))
        for path in [
            directory(of: id), pipeDirectory(of: id), secretDirectory(of: id), privateDirectory(of: id),
        ] {
            // Absence is what is wanted.
            try? FileManager.default.removeItem(atPath: path)
        }
    }
}
