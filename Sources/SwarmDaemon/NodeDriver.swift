import Allocation
import CLinux
import Consensus
import ContainerdRuntime
import DNSServer
import Execution
import LinuxNetwork
import Logging
import Overlay
import Ports
package import Store
import SwarmCore
package import SwarmModel
package import SwarmNode

/// Interprets the node machine's effects: disk, planner, runtime, kernel, names. It decides nothing itself.
package actor NodeDriver {
    /// Container operations at once; starts beyond it wait their turn.
    private static let operationsMax = 16

    let configuration: DaemonConfiguration
    package nonisolated let facts: NodeFacts
    nonisolated let service: ContainerdRuntimeService
    nonisolated let hub = EventHub()
    nonisolated let logger: Logger
    private let network: KernelNetwork
    private let names: NameServer
    private let codec = JSONObjectCodec()
    private var machine: NodeMachine?
    private var storage: LogWriter?
    private var batches: AsyncStream<LogBatch>.Continuation?
    /// Counts swarms: answers to effects of a former one are ignored.
    private var epoch = 0
    private var timer: Task<Void, Never>?
    private var waiters: [UInt64: CheckedContinuation<Result<ControlResponse, SwarmError>, Never>] = [:]
    private var nextTicket: UInt64 = 0
    private(set) var identity: NodeIdentity?
    private var operations: [@Sendable () async -> Void] = []
    private var runningOperations = 0
    private var wantedNetwork: (DesiredNetworking, NameSpaceView, version: UInt64)?
    private var isApplyingNetwork = false
    private var emptied: [CheckedContinuation<Void, Never>] = []

    init(
        configuration: DaemonConfiguration, facts: NodeFacts, service: ContainerdRuntimeService,
        network: KernelNetwork, names: NameServer, logger: Logger
    ) {
        (self.configuration, self.facts, self.service) = (configuration, facts, service)
        (self.network, self.names, self.logger) = (network, names, logger)
    }

    private nonisolated var stateDirectory: String { configuration.dataDirectory + "/swarm" }
    private nonisolated var identityPath: String { stateDirectory + "/node.json" }

    /// Takes up the swarm that this node was part of, if any, and follows its containers.
    func start() async throws(SwarmError) {
        // Listens before it looks: what happens in between is not lost, and what is told twice changes nothing.
        let events = await service.events()
        if let identity = try NodeIdentity.load(from: identityPath) { try await resume(identity) }
        Task { for await event in events { self.observe(event) } }
        Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(30))
                _ = await self.network.repair()
                clinux_trim_heap()
            }
        }
    }

    private func observe(_ event: ContainerEvent) {
        publishContainer(event)
        step(.agent(.container(event)))
    }

    private func resume(_ identity: NodeIdentity) async throws(SwarmError) {
        let storage = try LogWriter(path: stateDirectory + "/raft.db")
        let recovered = try await storage.recover()
        epoch += 1
        (self.storage, self.identity) = (storage, identity)
        startWriter(storage)
        var agentFacts = AgentFacts(
            hostname: facts.hostname, namespaceDirectory: configuration.runDirectory + "/network/netns")
        agentFacts.mtu = 1450
        var generator = SystemRandomNumberGenerator()
        machine = NodeMachine(
            nodeID: identity.nodeID, agentFacts: agentFacts,
            allocationFacts: AllocationFacts(hostRoutes: network.hostRoutes()), codec: codec,
            seed: generator.next())
        step(.recovered(recovered))
        step(.agent(.found(try await service.containers())))
    }

    private func startWriter(_ storage: LogWriter) {
        let (stream, continuation) = AsyncStream.makeStream(of: LogBatch.self)
        batches = continuation
        let epoch = self.epoch
        Task {
            for await batch in stream {
                do throws(SwarmError) {
                    try await storage.persist(batch)
                    self.step(.persisted(sequence: batch.sequence), of: epoch)
                } catch { self.giveUp(error) }
            }
        }
    }

    /// The log can no longer be trusted to keep what was acknowledged: stopping is the only safe thing.
    private func giveUp(_ error: SwarmError) {
        logger.critical("the log cannot be written or read; swarmd stops", metadata: ["error": "\(error)"])
        DaemonProcess.exit(code: 1)
    }

    // MARK: Stepping

    func step(_ event: NodeEvent, of epoch: Int) {
        guard epoch == self.epoch else { return }
        step(event)
    }

    func step(_ event: NodeEvent) {
        guard var machine else { return }
        // The only reference, so that the machine's tables are changed in place.
        self.machine = nil
        let effects = machine.receive(event, at: SystemClock.now(), time: SystemClock.timestamp())
        let deadline = machine.nextDeadline(now: SystemClock.now(), time: SystemClock.timestamp())
        let isEmpty = machine.agent.isEmpty
        self.machine = machine
        for effect in effects { perform(effect) }
        if isEmpty {
            for waiter in emptied { waiter.resume() }
            emptied = []
        }
        timer?.cancel()
        guard let deadline else { return }
        let epoch = self.epoch
        timer = Task {
            try? await Task.sleep(for: max(deadline, .milliseconds(1)))
            guard !Task.isCancelled else { return }
            self.step(.deadlineReached, of: epoch)
        }
    }

    private func perform(_ effect: NodeEffect) {
        let epoch = self.epoch
        switch effect {
        case .persist(let batch): batches?.yield(batch)
        case .plan(let store, let facts, let seed):
            Task.detached {
                let plan = Planner.plan(store, at: SystemClock.timestamp(), facts: facts, seed: seed)
                await self.step(.planned(plan), of: epoch)
            }
        case .saveSnapshot(let store, let index, let term, _):
            guard let storage else { return }
            Task.detached {
                let image = JSONObjectCodec().encode(StoreImage(store))
                do throws(SwarmError) {
                    try await storage.saveSnapshot(index: index, term: term, image: image)
                    await self.step(.snapshotSaved(index: index, image: image), of: epoch)
                } catch { await self.giveUp(error) }
            }
        case .respond(let ticket, let result): waiters.removeValue(forKey: ticket)?.resume(returning: result)
        case .committed(let commit): publish(commit)
        // A node alone has nobody to send to and reads what it has.
        case .readable, .send, .gossip, .eraseLog, .removedFromCluster: break
        case .fatal(let error): giveUp(error)
        case .agent(let effect): perform(effect)
        }
    }

    private func perform(_ effect: AgentEffect) {
        let service = self.service
        switch effect {
        case .ensureImage(let task, let image, let auth):
            run(task, .ensureImage, .imageReady) { () throws(SwarmError) in
                try await service.ensureImage(image, registryAuth: auth)
            }
        case .createContainer(let task, let request):
            run(task, .createContainer, .created) { () throws(SwarmError) in try await service.create(request)
            }
        case .startContainer(let task, let id):
            let epoch = self.epoch
            enqueue {
                do throws(SwarmError) {
                    let pid = try await service.start(id)
                    await self.step(.agent(.task(task, .started(pid: pid))), of: epoch)
                } catch {
                    await self.step(
                        .agent(.task(task, .failed(.startContainer, error.description))), of: epoch)
                }
            }
        case .stopContainer(let task, let id, let grace):
            // Not queued: a grace period must not hold up others' starts.
            let epoch = self.epoch
            Task {
                do throws(SwarmError) {
                    try await service.stop(id, gracePeriod: grace)
                    self.step(.agent(.task(task, .stopped)), of: epoch)
                } catch {
                    self.step(.agent(.task(task, .failed(.stopContainer, error.description))), of: epoch)
                }
            }
        case .removeContainer(let task, let id):
            run(task, .removeContainer, .removed) { () throws(SwarmError) in
                try await service.remove(id, force: true)
            }
        case .applyNetworking(let networking, let view, let version):
            wantedNetwork = (networking, view, version)
            if !isApplyingNetwork { applyNetwork() }
        case .report: break
        }
    }

    private func run(
        _ task: ObjectID, _ operation: TaskOperation, _ answer: TaskEvent,
        _ body: @escaping @Sendable () async throws(SwarmError) -> Void
    ) {
        let epoch = self.epoch
        enqueue {
            do throws(SwarmError) {
                try await body()
                await self.step(.agent(.task(task, answer)), of: epoch)
            } catch {
                await self.step(.agent(.task(task, .failed(operation, error.description))), of: epoch)
            }
        }
    }

    private func enqueue(_ operation: @escaping @Sendable () async -> Void) {
        operations.append(operation)
        startOperations()
    }

    private func startOperations() {
        while runningOperations < Self.operationsMax, !operations.isEmpty {
            let operation = operations.removeFirst()
            runningOperations += 1
            Task {
                await operation()
                self.runningOperations -= 1
                self.startOperations()
            }
        }
    }

    /// One change of the kernel at a time; what piled up meanwhile goes together, next.
    private func applyNetwork() {
        guard let (networking, view, version) = wantedNetwork else { return }
        wantedNetwork = nil
        isApplyingNetwork = true
        let epoch = self.epoch
        Task {
            await self.names.prepare(view)
            let report = await self.network.apply(networking)
            var failures = report.sandboxes
            for (id, reason) in report.networks {
                for (container, sandbox) in networking.sandboxes
                where sandbox.interfaces.contains(where: { $0.networkID == id }) {
                    failures[container] = failures[container] ?? reason
                }
            }
            let refused = await self.names.apply(view)
            failures.merge(refused) { first, _ in first }
            self.isApplyingNetwork = false
            self.step(
                .agent(.networkApplied(version: version, failures: failures, ports: report.ports)), of: epoch)
            if !self.isApplyingNetwork { self.applyNetwork() }
        }
    }

    // MARK: Membership of a swarm

    func initialize(_ asked: SwarmInitialization) async throws(SwarmError) -> ControlResponse {
        guard machine == nil else {
            throw SwarmError(
                .unavailable,
                "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join "
                    + "another one.")
        }
        var generator = SystemRandomNumberGenerator()
        let identity = NodeIdentity(
            nodeID: Identifier.random(using: &generator), advertiseAddress: asked.advertiseAddress,
            listenAddress: asked.listenAddress)
        try StateDirectory.make(stateDirectory)
        try await resume(identity)
        let actions = try FirstObjects.make(asked, identity, facts, using: &generator)
        let response = try await write { .bootstrap(ticket: $0, actions) }
        // Only now: a crash before this leaves a node in no swarm, which is what the client was told.
        try identity.save(to: identityPath)
        return response
    }

    func leave(force: Bool) async throws(SwarmError) -> ControlResponse {
        guard machine != nil else {
            throw SwarmError(.unavailable, "This node is not part of a swarm")
        }
        guard force else {
            throw SwarmError(
                .unavailable,
                "You are attempting to leave the swarm on a node that is participating as a manager. Removing the "
                    + "last manager erases all current state of the swarm. Use `--force` to ignore this message. "
            )
        }
        step(.agent(.leave))
        if machine?.agent.isEmpty == false { await withCheckedContinuation { emptied.append($0) } }
        epoch += 1
        timer?.cancel()
        batches?.finish()
        for waiter in waiters.values {
            waiter.resume(returning: .failure(SwarmError(.unavailable, "this node has left the swarm")))
        }
        (machine, storage, identity, batches, waiters) = (nil, nil, nil, nil, [:])
        _ = await names.apply(NameSpaceView())
        _ = await network.apply(DesiredNetworking())
        try StateDirectory.remove(stateDirectory)
        return .done
    }

    func write(_ event: (UInt64) -> NodeEvent) async throws(SwarmError) -> ControlResponse {
        guard machine != nil else { throw SwarmError(.unavailable, SwarmText.notManager) }
        nextTicket += 1
        let ticket = nextTicket
        let made = event(ticket)
        let result = await withCheckedContinuation { continuation in
            waiters[ticket] = continuation
            step(made)
        }
        return try result.get()
    }

    package func snapshot() -> ObjectStore { machine?.store ?? ObjectStore() }
    package func containerID(ofTask taskID: ObjectID) -> String? {
        machine?.agent.containerID(ofTask: taskID)
    }
}

enum SwarmText {
    static let notManager =
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node "
        + "to swarm and try again."
}
