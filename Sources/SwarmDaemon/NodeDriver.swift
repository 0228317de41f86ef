import CLinux
import ClusterSecurity
import Consensus
import ContainerdRuntime
import DNSServer
import LinuxNetwork
import Logging
import Membership
import Overlay
import Persistence
import Ports
package import Store
package import SwarmCore
import SwarmModel
package import SwarmNode
import Transport

/// Interprets the node machine's effects: disk, wire, planner, runtime, kernel, names. It decides nothing itself.
package actor NodeDriver {
    /// Container operations at once; starts beyond it wait their turn.
    static let operationsMax = 16
    /// Between two attempts to stop a container, and the grace of those after the first.
    static let stopRetryPause: Duration = .seconds(1)
    /// Events of one step at the most.
    private static let eventsPerStepMax = 256
    /// Messages of peers that wait for their turn; the newest beyond it are dropped, as a network may.
    static let inboxMax = 8192
    /// Between two looks at what changes slowly: certificates, known peers.
    static let housekeepingInterval: Duration = .seconds(2)
    static let repairInterval: Duration = .seconds(30)

    let configuration: DaemonConfiguration
    package nonisolated let facts: NodeFacts
    nonisolated let service: ContainerdRuntimeService
    nonisolated let hub = EventHub()
    nonisolated let logger: Logger
    let network: KernelNetwork
    let names: NameServer
    nonisolated let codec = PackedObjectCodec()
    var machine: NodeMachine?
    var swarm: SwarmParts?
    /// Counts memberships: answers to effects of a former one are ignored.
    var generation = 0
    private var timer: Task<Void, Never>?
    /// When the timer fires, if there is one, and what the machine waits for.
    private var timerAt: Instant?
    private var deadline: Instant?
    /// What came since the last step; the next one takes all of it.
    private var arrived: [NodeEvent] = []
    private var isStepDue = false
    var waiters: [UInt64: CheckedContinuation<Result<ControlResponse, SwarmError>, Never>] = [:]
    private var readers: [UInt64: CheckedContinuation<Result<ObjectStore, SwarmError>, Never>] = [:]
    private var nextTicket: UInt64 = 0
    /// Who waits for the machine to come to a state.
    private var watchers: [Int: (until: @Sendable (NodeMachine) -> Bool, CheckedContinuation<Bool, Never>)] =
        [:]
    private var nextWatcher = 0
    /// Set while this node joins or leaves: one at a time.
    var isChangingSwarm = false
    /// Whether the last swarm has removed this node: said until it is part of another one.
    var wasRemoved = false
    var certificates = CertificateKeeping()
    /// Statuses of others' tasks that were refused, as far as they are logged.
    /// Whether this node's keys wait for `swarm unlock`.
    var isLocked = false
    var loggedRefusals: [ObjectID: Int] = [:]
    var loggedUnreadableQueries = 0
    var loggedRefusedQueries = 0
    /// Why the log cannot be written at present.
    var diskTrouble: SwarmError?
    /// What nodes with expired certificates are to sign, by the moment it was made.
    var challenges: [[UInt8]: Instant] = [:]

    var operations: [@Sendable () async -> Void] = []
    var runningOperations = 0
    /// What the agent last wanted, and which version of it is not in the kernel yet. Nil until a swarm's agent knows
    /// what it wants: until then the kernel stays as it was found.
    var agentNetwork: (networking: DesiredNetworking, view: NameSpaceView)?
    var wantedAgentVersion: UInt64?
    var wantedStandaloneVersion: UInt64?
    var isApplyingNetwork = false

    // Logs
    /// Who gathers the logs of a service or task is told when its tasks change.
    var logWatchers: [ObjectID: [Int: AsyncStream<Void>.Continuation]] = [:]
    var nextLogWatcher = 0
    /// Reads under way at other nodes, and those that wait for their turn.
    var logReads: [ObjectID: LogReads] = [:]

    // Containers that are no tasks
    var standalone = StandaloneMachine(subnet: AgentFacts.defaultLocalSubnet)
    var standaloneTimer: Task<Void, Never>?
    var standaloneWaiters: [UInt64: CheckedContinuation<SwarmError?, Never>] = [:]
    var nextStandaloneTicket: UInt64 = 0
    /// Names of containers that are being created.
    var reservedNames: Set<String> = []
    /// What is to be written to containers' records, the newest alone.
    var pendingSaves: [String: StandaloneContainer] = [:]
    /// Ends when every event of containers so far has been told.
    var lastPublished: Task<Void, Never>?
    var isSaving = false
    var knownAttachments: [ContainerAttachment]?
    var servingAttachments: Set<ObjectID> = []

    init(
        configuration: DaemonConfiguration, facts: NodeFacts, service: ContainerdRuntimeService,
        network: KernelNetwork, names: NameServer, logger: Logger
    ) {
        (self.configuration, self.facts, self.service) = (configuration, facts, service)
        (self.network, self.names, self.logger) = (network, names, logger)
    }

    nonisolated var paths: StatePaths { StatePaths(directory: configuration.dataDirectory + "/swarm") }

    /// Takes up the swarm that this node was part of, if any, and follows its containers.
    func start() async throws(SwarmError) {
        // Listens before it looks: what happens in between is not lost, and what is told twice changes nothing.
        let events = await service.events()
        try await takeUp()
        // In no swarm there is no agent to wait for; a locked one's tasks go on as they are.
        if machine == nil && !isLocked { agentNetwork = (DesiredNetworking(), NameSpaceView()) }
        try await takeUpContainers()
        Task { for await event in events { self.observe(event) } }
        Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.housekeepingInterval)
                self.keepHouse()
            }
        }
        Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.repairInterval)
                _ = await self.network.repair()
                clinux_trim_heap()
                clinux_trim_code()
            }
        }
    }

    private func observe(_ event: ContainerEvent) {
        let published = publishContainer(event)
        step(.agent(.container(event)))
        guard case .exited(let id, let code, _, let time) = event else { return }
        Task {
            // One that removes itself has no name any more afterwards.
            await published.value
            self.stepContainers(.exited(containerID: id, code: code, at: time))
        }
    }

    /// The log can no longer be trusted to keep what was acknowledged: stopping is the only safe thing.
    func giveUp(_ error: SwarmError) {
        logger.critical("the log cannot be written or read; swarmd stops", metadata: ["error": "\(error)"])
        DaemonProcess.exit(code: 1)
    }

    // MARK: Stepping

    func step(_ event: NodeEvent, of generation: Int) {
        guard generation == self.generation else { return }
        step(event)
    }

    func step(_ event: NodeEvent) {
        arrived.append(event)
        stepAll()
    }

    /// Steps once those who wait for this actor had their turn: under load many events share a step, and their writes
    /// a batch; without load nobody waits.
    func stepSoon(_ event: NodeEvent) {
        arrived.append(event)
        if arrived.count >= Self.eventsPerStepMax { return stepAll() }
        guard !isStepDue else { return }
        isStepDue = true
        Task { self.stepAll() }
    }

    private func stepAll() {
        isStepDue = false
        guard !arrived.isEmpty else { return }
        let events = arrived
        arrived.removeAll(keepingCapacity: true)
        // In place: the machine is large, and its tables are shared with nobody.
        let now = SystemClock.now()
        guard let effects = machine?.receive(events, at: now, time: SystemClock.timestamp()) else { return }
        let deadline = machine?.nextDeadline(now: now, time: SystemClock.timestamp()) ?? nil
        // A node that agrees with itself alone has all of it in its log.
        let keepsAssignment = machine.map { $0.voters.count > 1 || !$0.isManager } ?? false
        let held = keepsAssignment ? machine?.takeAssignment() : nil
        for effect in effects { perform(effect) }
        if let held { swarm?.agentState.save(held) }
        noticeRole()
        followAttachments()
        if !watchers.isEmpty { tellWatchers() }
        setTimer(deadline.map { now + $0 })
    }

    private func tellWatchers() {
        guard let machine else { return }
        for (key, watcher) in watchers where watcher.until(machine) {
            watchers[key] = nil
            watcher.1.resume(returning: true)
        }
    }

    /// A timer that comes before the deadline stays: it looks again then. Most events move the deadline a little, and
    /// a new timer for each of them costs more than the machine's own work.
    private func setTimer(_ deadline: Instant?) {
        self.deadline = deadline
        guard let deadline else { return }
        if let timerAt, timerAt <= deadline { return }
        timer?.cancel()
        let generation = self.generation
        timerAt = deadline
        timer = Task {
            try? await Task.sleep(for: max(deadline - SystemClock.now(), .milliseconds(1)))
            guard !Task.isCancelled else { return }
            self.timerFired(of: generation)
        }
    }

    private func timerFired(of generation: Int) {
        guard generation == self.generation else { return }
        timerAt = nil
        guard let deadline else { return }
        if deadline <= SystemClock.now() { step(.deadlineReached) } else { setTimer(deadline) }
    }

    /// Waits until the machine is as wanted; false when it was not in that time, or this node left its swarm.
    func wait(
        upTo limit: Duration, until isWanted: @escaping @Sendable (NodeMachine) -> Bool
    ) async -> Bool {
        guard let machine else { return false }
        if isWanted(machine) { return true }
        nextWatcher += 1
        let key = nextWatcher
        let timeout = Task {
            try? await Task.sleep(for: limit)
            self.giveUpWatching(key)
        }
        let isReached = await withCheckedContinuation { watchers[key] = (isWanted, $0) }
        timeout.cancel()
        return isReached
    }

    private func giveUpWatching(_ key: Int) { watchers.removeValue(forKey: key)?.1.resume(returning: false) }

    private func perform(_ effect: NodeEffect) {
        let generation = self.generation
        switch effect {
        case .persist(let batch): swarm?.log.append(batch)
        case .plan(let store, let facts, let seed):
            Task.detached {
                let plan = Planner.plan(store, at: SystemClock.timestamp(), facts: facts, seed: seed)
                await self.step(.planned(plan), of: generation)
            }
        case .saveSnapshot(let store, let index, let term, let configuration):
            guard let log = swarm?.log else { return }
            let logGeneration = log.generation
            Task.detached {
                let image = self.codec.encode(StoreImage(store))
                do throws(SwarmError) {
                    let isSaved = try await log.saveSnapshot(
                        index: index, term: term, configuration: configuration, image: image,
                        generation: logGeneration)
                    guard isSaved else { return }
                    await self.step(.snapshotSaved(index: index, image: image), of: generation)
                } catch { await self.snapshotFailed(error, of: generation) }
            }
        case .respond(let ticket, let result): waiters.removeValue(forKey: ticket)?.resume(returning: result)
        case .readable(let ticket, let result): readers.removeValue(forKey: ticket)?.resume(returning: result)
        case .committed(let commit): publish(commit)
        case .send(let message, let route): transmit(message, to: route)
        case .gossip(let effect): gossip(effect)
        case .askHost(let id, let address):
            Task {
                guard await HostProbe.isThere(address) else { return }
                self.step(.hostAnswered(id), of: generation)
            }
        case .eraseLog(let epoch): eraseLog(epoch)
        case .removedFromCluster:
            // Told again and again until it is gone.
            guard !isChangingSwarm else { break }
            logger.warning("this node was removed from the swarm; it leaves")
            wasRemoved = true
            Task {
                do throws(SwarmError) { _ = try await self.leave(force: true) } catch {
                    self.logger.error(
                        "this node could not leave; run 'swarm leave --force' on it",
                        metadata: ["error": "\(error)"])
                }
            }
        case .fatal(let error): giveUp(error)
        case .agent(let effect): perform(effect)
        }
    }

    // MARK: Asking the machine

    /// Changes through this node; a follower hands them to the leader.
    func write(_ event: (UInt64) -> NodeEvent) async throws(SwarmError) -> ControlResponse {
        guard machine != nil else {
            throw SwarmError(.unavailable, isLocked ? SwarmText.locked : SwarmText.notManager)
        }
        if let diskTrouble {
            throw SwarmError(
                .resourceExhausted,
                "this manager cannot write its log and accepts no changes; free space on its disk",
                cause: diskTrouble.message)
        }
        nextTicket += 1
        let ticket = nextTicket
        let made = event(ticket)
        let result = await withCheckedContinuation { continuation in
            waiters[ticket] = continuation
            stepSoon(made)
        }
        return try result.get()
    }

    func requireManager() throws(SwarmError) {
        guard let isManager = machine?.isManager else {
            throw SwarmError(.unavailable, isLocked ? SwarmText.locked : SwarmText.notManager)
        }
        guard !isManager else { return }
        let isPromised = machine.map { $0.store.nodes[$0.nodeID]?.spec.role == "manager" } ?? false
        let isCertified = swarm?.identity.principal.role == .manager
        throw SwarmError(.unavailable, isPromised || isCertified ? SwarmText.preparing : SwarmText.worker)
    }

    /// All objects at a moment not before this call.
    package func read() async throws(SwarmError) -> ObjectStore {
        try requireManager()
        nextTicket += 1
        let ticket = nextTicket
        let result = await withCheckedContinuation { continuation in
            readers[ticket] = continuation
            stepSoon(.read(ticket: ticket))
        }
        return try result.get()
    }

    /// Everybody who waits for this membership is told that it ended.
    func failWaiters() {
        let ended = SwarmError(.unavailable, "this node has left the swarm")
        let (waiters, readers, watchers) = (waiters, readers, watchers)
        arrived = []
        (self.waiters, self.readers, self.watchers) = ([:], [:], [:])
        for waiter in waiters.values { waiter.resume(returning: .failure(ended)) }
        for reader in readers.values { reader.resume(returning: .failure(ended)) }
        for watcher in watchers.values { watcher.1.resume(returning: false) }
        timer?.cancel()
        (timerAt, deadline) = (nil, nil)
        diskTrouble = nil
    }

    package func snapshot() -> ObjectStore { machine?.store ?? ObjectStore() }
}

enum SwarmText {
    static let notManager =
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node "
        + "to swarm and try again."
    static let worker =
        "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run "
        + "this command on a manager node or promote the current node to a manager."
    static let preparing =
        "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster."
    static let alreadyMember =
        "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one."
    static let notMember = "This node is not part of a swarm"
    static let removed =
        "this node was removed from its swarm by a manager; use \"swarm join\" to join one again"
    static let locked =
        "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm unlock\" to "
        + "unlock it."
    static let joinTimeout =
        "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use "
        + "the \"docker info\" command to see the current swarm status of your node."
}
