import Allocation
import ClusterSecurity
import Consensus
import ContainerdRuntime
import DNSServer
import Dispatching
import LibCrypto
import LinuxNetwork
import Logging
import Membership
import Overlay
import Persistence
import Ports
import Store
package import SwarmCore
import SwarmModel
package import SwarmNode
import Transport

/// The parts of one membership in a swarm; made anew when this node joins another.
struct SwarmParts: Sendable {
    var record: NodeRecord
    var identity: NodeIdentity
    /// What the identity is locked with on disk.
    var unlockKey: UnlockKey?
    let log: LogWriter
    let agentState: AgentStateStore
    let peers: PeerTransport
    let gossip: GossipTransport
    let inbox: AsyncStream<NodeEvent>.Continuation
}

/// How this node comes into a swarm and out of it.
extension NodeDriver {
    /// `swarm join` waits so long, as Docker's does.
    static let joinTimeout: Duration = .seconds(20)
    /// Containers' grace periods aside, leaving takes at most so long.
    static let farewellTimeout: Duration = .seconds(5)
    static let leaveTimeout: Duration = .seconds(120)
    /// A leader's silence that starts an election, up to twice this.
    static let electionTimeout: Duration = .milliseconds(700)
    /// A daemon whose machine is there may be away for so long (a restart, an upgrade, a pause) before its tasks are
    /// replaced; they serve meanwhile. A machine that is gone is noticed by gossip, in about a second.
    static let daemonPatience: Duration = .seconds(30)

    /// Goes on where this node was when swarmd stopped.
    func takeUp() async throws(SwarmError) {
        guard let record = try NodeRecord.load(from: paths.record) else { return }
        let store = IdentityStore(directory: paths.certificates)
        guard try store.state() != .locked else {
            isLocked = true
            logger.warning(
                "this manager is locked; its containers go on, and 'swarm unlock' lets it go on too")
            return
        }
        try await takeUp(record, try store.load(), unlockKey: nil)
    }

    func takeUp(_ record: NodeRecord, _ identity: NodeIdentity, unlockKey: UnlockKey?)
        async throws(SwarmError)
    {
        var record = record
        followAddress(&record)
        record.incarnation = max(record.incarnation + 1, UInt64(max(0, SystemClock.timestamp().seconds)))
        try record.save(to: paths.record)
        try await resume(record, identity, unlockKey: unlockKey)
        await renewExpired()
    }

    /// A machine that came back with another address: the node's identity is its key, so it only has to say so.
    private func followAddress(_ record: inout NodeRecord) {
        let interfaces = HostAndPort.interfaces()
        func isHere(_ text: String) -> Bool {
            interfaces.contains { $0.address.description == HostAndPort.host(of: text) }
        }
        // Our own links to networks have link-local addresses (RFC 3927).
        let fallback = interfaces.first { $0.address.value >> 16 != 169 << 8 | 254 }?.address.description
        guard let fallback, !isHere(record.advertiseAddress) else { return }
        let preferred = isHere(facts.defaultAddress) ? facts.defaultAddress : fallback
        let port = (try? HostAndPort.port(of: record.advertiseAddress)) ?? HostAndPort.clusterPort
        logger.warning(
            "this node's address is gone; it goes on with another",
            metadata: ["address.old": "\(record.advertiseAddress)", "address.new": "\(preferred):\(port)"])
        record.advertiseAddress = "\(preferred):\(port)"
        if !isHere(record.dataPathAddress) { record.dataPathAddress = preferred }
    }

    func resume(
        _ record: NodeRecord, _ identity: NodeIdentity, unlockKey: UnlockKey? = nil
    ) async throws(SwarmError) {
        generation += 1
        let generation = self.generation
        let (stream, inbox) = AsyncStream.makeStream(
            of: NodeEvent.self, bufferingPolicy: .bufferingOldest(Self.inboxMax))
        let gossipKeys = try GossipKeys.opened(
            record.sealedGossipKeys, with: identity.storageRing(.secret), of: paths.record)
        let log = try LogWriter(
            path: paths.log, identity.storageRing(.raftLog), identity.storageRing(.snapshot)
        ) { report in
            switch report {
            case .persisted(let sequence): inbox.yield(.persisted(sequence: sequence))
            case .full(let error): Task { await self.noteFullDisk(error, of: generation) }
            case .writing: Task { await self.noteFullDisk(nil, of: generation) }
            case .failed(let error): Task { await self.giveUp(error) }
            }
        }
        let recovered = try await log.recover()
        let logger = self.logger
        let agentState = AgentStateStore(path: paths.agent, ring: identity.storageRing(.secret)) { error in
            logger.warning("what this node held cannot be kept or read", metadata: ["error": "\(error)"])
        }
        let held = await agentState.load()
        let now: @Sendable () -> Timestamp = { SystemClock.timestamp() }
        var settings = PeerTransport.Configuration()
        settings.listenHost = HostAndPort.host(of: record.listenAddress)
        settings.listenPort = try HostAndPort.port(of: record.listenAddress)
        settings.strangerCalls = ClusterCall.open
        settings.patientCalls = [ClusterCall.logs]
        let peers = PeerTransport(
            configuration: settings, identity: identity, logger: logger, now: now,
            receive: { message, principal in inbox.yield(.peer(message, from: principal.nodeID)) },
            answer: { call, principal, address in await self.answer(call, from: principal, address) })
        let gossip = GossipTransport(
            listenHost: "0.0.0.0", port: configuration.gossipPort, ring: try GossipKeys.ring(gossipKeys),
            identity: identity, logger: logger, now: now, receive: { inbox.yield(.gossip($0)) })
        do throws(SwarmError) {
            _ = try await peers.start()
            _ = try await gossip.start()
        } catch {
            await peers.shutdown()
            await gossip.shutdown()
            throw error
        }
        swarm = SwarmParts(
            record: record, identity: identity, unlockKey: unlockKey, log: log, agentState: agentState,
            peers: peers,
            gossip: gossip,
            inbox: inbox)
        certificates = CertificateKeeping()
        wasRemoved = false
        machine = makeMachine(record)
        step(.recovered(recovered))
        if let held { step(.restored(held)) }
        step(.agent(.found(try await service.containers().filter { $0.request?.standalone == nil })))
        let seeds = record.peers.compactMap { PeerAddress($0.gossipAddress) }
        step(.gossip(.join(seeds: seeds)))
        Task { for await event in stream { self.take(event, of: generation) } }
    }

    private func makeMachine(_ record: NodeRecord) -> NodeMachine {
        let agentFacts = AgentFacts(
            hostname: facts.hostname, namespaceDirectory: configuration.runDirectory + "/network/netns",
            dataPathAddress: IPv4Address(record.dataPathAddress), dataPathPort: record.dataPathPort)
        var setup = ClusterSetup()
        setup.isFounder = record.isFounder
        setup.epoch = record.epoch
        setup.isForced = record.isForced
        setup.raft.electionTimeout = Self.electionTimeout
        setup.dispatch.silenceMax = Self.daemonPatience
        setup.managers = record.peers.filter(\.isManager).map(\.nodeID)
        let metadata = MemberMetadata(
            role: .worker, addresses: [record.advertiseAddress], dataPathAddress: record.dataPathAddress,
            version: facts.version)
        let contact = Contact(
            address: PeerAddress(
                host: HostAndPort.host(of: record.advertiseAddress), port: configuration.gossipPort),
            metadata: metadata)
        setup.gossip = ClusterSetup.Gossip(
            contact: contact, incarnation: record.incarnation,
            configuration: configuration.gossipProfile.membership)
        var generator = SystemRandomNumberGenerator()
        return NodeMachine(
            nodeID: record.nodeID, agentFacts: agentFacts,
            allocationFacts: AllocationFacts(hostRoutes: network.hostRoutes()), codec: codec,
            seed: generator.next(), setup: setup)
    }

    // MARK: Init

    func initialize(_ asked: SwarmInitialization) async throws(SwarmError) -> ControlResponse {
        try beginChange()
        defer { isChangingSwarm = false }
        guard !isLocked else { throw SwarmError(.unavailable, SwarmText.locked) }
        if machine != nil {
            guard asked.forceNewCluster else { throw SwarmError(.unavailable, SwarmText.alreadyMember) }
            return try await makeAnew(asked)
        }
        var generator = SecureRandom()
        let addresses = try chooseAddresses(
            listen: asked.listenAddress, advertise: asked.advertiseAddress, dataPath: asked.dataPathAddress)
        let nodeID = Identifier.random(using: &generator)
        let clusterID = Identifier.random(using: &generator)
        let time = SystemClock.timestamp()
        let authority = try CertificateAuthority.create(at: time)
        let tokens = JoinTokenPair(root: authority.root, using: &generator)
        let gossipKey = SealingKey.generate()
        let identity = try CertificateKeeping.selfIssued(
            nodeID: nodeID, clusterID: clusterID, by: authority, validity: asked.spec.certificateValidity,
            at: time)
        let port = asked.dataPathPort == 0 ? 4789 : UInt16(clamping: asked.dataPathPort)
        var record = NodeRecord(
            nodeID: nodeID, advertiseAddress: addresses.advertise, listenAddress: addresses.listen,
            dataPathAddress: addresses.dataPath, dataPathPort: port, isFounder: true)
        record.sealedGossipKeys = GossipKeys.sealed(
            [GossipKeys.text(gossipKey)], with: identity.storageRing(.secret))
        record.incarnation = UInt64(max(0, time.seconds))
        let actions = try ClusterObjects.first(
            asked, record, clusterID: clusterID, authority: authority, tokens: tokens, gossipKey: gossipKey,
            facts,
            using: &generator)
        try StateDirectory.make(paths.directory)
        do throws(SwarmError) {
            try await resume(record, identity)
            let response = try await write { .bootstrap(ticket: $0, actions) }
            // Only now: a crash before this leaves a node in no swarm, which is what the client was told.
            let unlockKey = try machine?.store.cluster?.unlockKey.map { text throws(SwarmError) in
                try UnlockKey(text)
            }
            try IdentityStore(directory: paths.certificates).save(identity, unlockKey: unlockKey)
            swarm?.unlockKey = unlockKey
            try record.save(to: paths.record)
            return response
        } catch {
            await forgetSwarm()
            throw error
        }
    }

    private func chooseAddresses(
        listen: String, advertise: String, dataPath: String
    ) throws(SwarmError) -> (listen: String, advertise: String, dataPath: String) {
        let interfaces = HostAndPort.interfaces()
        func resolve(_ text: String, _ what: String) throws(SwarmError) -> String {
            guard let address = HostAndPort.resolve(text, interfaces: interfaces), address.value != 0 else {
                throw SwarmError(
                    .invalidArgument,
                    "\(what) address must be a non-zero IP address or network interface (with optional port number)"
                )
            }
            return address.description
        }
        let listenHost =
            HostAndPort.resolve(listen, interfaces: interfaces)?.description ?? HostAndPort.host(of: listen)
        let listenPort = try HostAndPort.port(of: listen)
        let host = try resolve(advertise, "advertise")
        let port = try HostAndPort.port(of: advertise, default: listenPort)
        let data = dataPath.isEmpty ? host : try resolve(dataPath, "data path")
        return ("\(listenHost):\(listenPort)", "\(host):\(port)", data)
    }

    /// `--force-new-cluster`: what this manager knows goes on, with itself as the only manager.
    private func makeAnew(_ asked: SwarmInitialization) async throws(SwarmError) -> ControlResponse {
        guard let swarm, let machine, machine.store.cluster != nil else {
            throw SwarmError(
                .failedPrecondition,
                "This node is a worker and holds no swarm state: run --force-new-cluster on a surviving manager"
            )
        }
        var record = swarm.record
        if !asked.advertiseAddress.isEmpty {
            let chosen = try chooseAddresses(
                listen: asked.listenAddress, advertise: asked.advertiseAddress,
                dataPath: asked.dataPathAddress)
            (record.listenAddress, record.advertiseAddress) = (chosen.listen, chosen.advertise)
        }
        await suspendSwarm()
        let log = try LogWriter(
            path: paths.log, swarm.identity.storageRing(.raftLog), swarm.identity.storageRing(.snapshot)
        ) { _ in }
        try await log.forceNewCluster(of: NodeMachine.memberID(of: record.nodeID))
        await log.shutdown()
        record.epoch += 1
        (record.isForced, record.isFounder) = (true, true)
        record.incarnation = max(record.incarnation + 1, UInt64(max(0, SystemClock.timestamp().seconds)))
        try record.save(to: paths.record)
        try await resume(record, swarm.identity, unlockKey: swarm.unlockKey)
        guard await wait(upTo: Self.joinTimeout, until: \.isLeader) else {
            throw SwarmError(
                .unavailable, "the new swarm of this node has no leader yet; look at swarmd's log")
        }
        await renewExpired()
        return .created(record.nodeID)
    }

    // MARK: Join

    package func join(_ asked: SwarmJoining) async throws(SwarmError) {
        try beginChange()
        defer { isChangingSwarm = false }
        guard !isLocked else { throw SwarmError(.unavailable, SwarmText.locked) }
        guard machine == nil else { throw SwarmError(.unavailable, SwarmText.alreadyMember) }
        let token: JoinToken
        do throws(SwarmError) {
            token = try JoinToken(asked.joinToken)
        } catch { throw SwarmError(.unknown, error.message) }
        let key = P256PrivateKey.generate()
        let grant = try await enrol(asked, token, key)
        let advertise = asked.advertiseAddress.isEmpty ? grant.grant.seenAddress : asked.advertiseAddress
        let addresses = try chooseAddresses(
            listen: asked.listenAddress, advertise: advertise, dataPath: asked.dataPathAddress)
        let identity = try NodeIdentity(
            key: key, chain: CertificateKeeping.certificates(grant.grant.chain), trust: grant.trust,
            storageKeys: [.generate()])
        var record = NodeRecord(
            nodeID: grant.grant.nodeID, advertiseAddress: addresses.advertise,
            listenAddress: addresses.listen,
            dataPathAddress: addresses.dataPath, dataPathPort: grant.grant.dataPathPort, isFounder: false)
        record.epoch = grant.grant.epoch
        record.rootEpoch = grant.grant.rootEpoch
        record.incarnation = UInt64(max(0, SystemClock.timestamp().seconds))
        record.peers = grant.grant.peers
        record.sealedGossipKeys = GossipKeys.sealed(
            grant.grant.gossipKeys, with: identity.storageRing(.secret))
        try StateDirectory.make(paths.directory)
        do throws(SwarmError) {
            try IdentityStore(directory: paths.certificates).save(identity)
            try record.save(to: paths.record)
            try await resume(record, identity)
        } catch {
            await forgetSwarm()
            throw error
        }
        let isManager = grant.grant.isManager
        let hasJoined = await wait(upTo: Self.joinTimeout) { machine in
            machine.session.session != nil && (!isManager || machine.isManager)
        }
        guard hasJoined else { throw SwarmError(.unavailable, SwarmText.joinTimeout) }
    }

    func beginChange() throws(SwarmError) {
        guard !isChangingSwarm else {
            throw SwarmError(.unavailable, "this node is joining or leaving a swarm just now; try again")
        }
        isChangingSwarm = true
    }

    // MARK: Leave

    func leave(force: Bool) async throws(SwarmError) -> ControlResponse {
        if isLocked {
            guard force else { throw SwarmError(.unavailable, SwarmText.locked) }
            return try await leaveLocked()
        }
        guard let machine else { throw SwarmError(.unavailable, SwarmText.notMember) }
        if !force, machine.isManager { throw Self.refusalToLeave(machine) }
        try beginChange()
        defer { isChangingSwarm = false }
        step(.leave)
        _ = await wait(upTo: Self.leaveTimeout) { $0.agent.isEmpty }
        if machine.gossip?.members.contains(where: { $0.isPresent && $0.id != machine.nodeID }) == true {
            _ = await wait(upTo: Self.farewellTimeout) { $0.mayGo }
        }
        await forgetSwarm()
        return .done
    }

    private static func refusalToLeave(_ machine: NodeMachine) -> SwarmError {
        let managers = machine.store.nodes.sorted.filter { $0.spec.role == "manager" }
        let reachable = managers.filter {
            $0.id == machine.nodeID || ($0.status.state != "down" && !machine.deadNodes.contains($0.id))
        }
        var text = "You are attempting to leave the swarm on a node that is participating as a manager. "
        if managers.count <= 1 {
            text +=
                "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this "
            return SwarmError(.unavailable, text + "message. ")
        }
        if reachable.count - 1 <= (managers.count - 1) / 2 || managers.count == 2 {
            text +=
                "Removing this node leaves \(reachable.count - 1) managers out of \(managers.count). Without a "
            text += "Raft quorum your swarm will be inaccessible. "
        }
        text += "The only way to restore a swarm that has lost consensus is to reinitialize it with "
        return SwarmError(
            .unavailable, text + "`--force-new-cluster`. Use `--force` to suppress this message.")
    }

    /// Ends this membership's traffic; containers, kernel and disk stay as they are.
    func suspendSwarm() async {
        guard let swarm else { return }
        generation += 1
        (machine, self.swarm) = (nil, nil)
        // Its version would be taken for one of the next swarm's.
        wantedAgentVersion = nil
        failWaiters()
        swarm.inbox.finish()
        await swarm.gossip.shutdown()
        await swarm.peers.shutdown()
        await swarm.log.shutdown()
        await swarm.agentState.shutdown()
    }

    /// Leaves nothing of the swarm behind.
    func forgetSwarm() async {
        await suspendSwarm()
        isLocked = false
        // Standalone containers stay, with the networks of this node alone.
        agentNetwork = (DesiredNetworking(), NameSpaceView())
        followAttachments()
        let (networking, view) = standalone.networking.merged(into: DesiredNetworking(), NameSpaceView())
        _ = await names.apply(view)
        _ = await network.apply(networking)
        do throws(SwarmError) { try StateDirectory.remove(paths.directory) } catch {
            logger.error("the swarm's state is left behind", metadata: ["error": "\(error)"])
        }
    }

    /// On SIGTERM: leadership is handed over, so that nobody waits for an election.
    func handOver() async {
        guard let machine, machine.isLeader, machine.voters.count > 1 else { return }
        step(.standDown)
        _ = await wait(upTo: .seconds(1)) { !$0.isLeader }
    }
}

extension PeerAddress {
    init?(_ text: String) {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1]) else { return nil }
        self.init(host: String(parts[0]), port: port)
    }
}

extension ClusterSpec {
    /// How long a node's certificate lasts.
    var certificateValidity: Duration {
        (caConfig?.nodeCertExpiry).flatMap { $0 > 0 ? Duration.nanoseconds($0) : nil }
            ?? CertificateAuthority.nodeValidity
    }
}

extension GossipProfile {
    var membership: MembershipConfiguration {
        switch self {
        case .lan: .lan
        case .wan: .wan
        case .local: .local
        }
    }
}
