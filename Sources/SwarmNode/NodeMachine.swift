package import Allocation
package import Consensus
package import Dispatching
package import Membership
package import Store
package import SwarmCore
package import SwarmModel

/// A node as one value: gossip, consensus, store, planner, dispatcher and agent in one place, no input or output.
///
/// Every node has all parts. A worker's consensus has no voters and listens: when the leader makes the node a
/// manager, the log simply begins to arrive. What only a leader does lives in ``manager`` for one leadership.
///
/// A leader's writes follow one another into the log without waiting (``Pipeline``): each is made from the store that
/// the one before it leaves behind, so that no request is refused for a change that it could not have seen.
package struct NodeMachine: Sendable {
    /// Requests that wait for their turn; more are refused as unavailable.
    package static let maximumWaitingRequests = 1024
    /// A snapshot is taken, and the log cut, after so many entries, or as many as there are objects.
    package static let snapshotInterval: LogIndex = 5000
    /// And after so many bytes of entries, or as many as the last snapshot has; they stay in memory until then.
    package static let snapshotBytes = 4 << 20
    /// A request finds a leader in this time or fails.
    package static let requestTimeout: Duration = .seconds(10)
    /// A read finds a leader in this time or fails: longer than an election, shorter than a user's patience.
    package static let readPatience: Duration = .seconds(4)
    /// A leader that would not answer a read is asked again after this.
    package static let readRetry: Duration = .milliseconds(50)
    /// After a change of leader an answer of the former one is waited for so long.
    package static let answerPatience: Duration = .milliseconds(200)
    /// A leader that refuses a request is asked so often.
    package static let forwardsMax = 5
    /// Messages that wait for their batch to be on disk.
    static let heldBatchesMax = 4096

    package let nodeID: ObjectID
    package let setup: ClusterSetup
    package internal(set) var store = ObjectStore()
    package internal(set) var agent: AgentMachine
    package internal(set) var gossip: MembershipMachine?
    package internal(set) var session: AgentSession
    package internal(set) var epoch: UInt64
    package var mutations: NodeMutations = []
    package var dispatchMutations: DispatchMutations = [] { didSet { session.mutations = dispatchMutations } }
    package var raftMutations: RaftMutations = [] { didSet { raft.mutations = raftMutations } }
    package var gossipMutations: MembershipMutations = [] { didSet { gossip?.mutations = gossipMutations } }
    var raft: RaftMachine
    let codec: any ObjectCodec
    var facts: AllocationFacts
    var generator: SeededGenerator
    var manager: ManagerMachine?

    // Requests
    var waiting: Queue<PendingRequest> = []
    var forwarded: [UInt64: ForwardedRequest] = [:]
    var nextForward: UInt64 = 1
    /// With consensus, by its ticket.
    var reads: [UInt64: PendingRead] = [:]
    /// Wait for a leader, or for ``readsRetryAt``.
    var waitingReads: [PendingRead] = []
    var readsRetryAt = Instant.zero
    var nextTicket: UInt64 = 1

    // Consensus
    /// What may leave once its batch is on disk.
    var held: [(sequence: UInt64, messages: [RaftMessage])] = []
    var nodeIDs: [MemberID: ObjectID] = [:]
    /// The leadership for which the planner works; it is waited for even when that has passed.
    var planning: LeaderClaim?
    /// Only ever set by a planted fault.
    var lostStore: ObjectStore?
    var lastSnapshot: LogIndex = 0
    /// What the log kept at the last snapshot, for members that lag behind.
    var bytesAtSnapshot = 0
    var recoveredIndex: LogIndex = 0
    /// The index of the snapshot that storage is writing; forgotten when another one replaces it or the log goes.
    var savingSnapshot: LogIndex?
    var isForced: Bool
    var wasMember = false
    /// Its leader says that this node is not a manager, though its own log does not.
    var isDismissed = false

    // Gossip
    package internal(set) var deadNodes: Set<ObjectID> = []
    var leftNodes: Set<ObjectID> = []
    /// Members whose daemon is silent, until it is known what became of their machine.
    var hosts: [ObjectID: HostWatch] = [:]
    /// Whether the others were told that this node leaves.
    package internal(set) var hasSaidFarewell = false
    private var isLeaving = false
    private var mustStoreAssignment = false
    /// What this node has to tell itself.
    var mailbox: [PeerMessage] = []

    /// A manager's number in consensus, from its identifier; 63 bits, since SQLite has no more.
    package static func memberID(of node: ObjectID) -> MemberID {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in node.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return max((hash ^ hash >> 32) & UInt64(Int64.max), 1)
    }

    package init(
        nodeID: ObjectID, agentFacts: AgentFacts, allocationFacts: AllocationFacts, codec: any ObjectCodec,
        seed: UInt64, setup: ClusterSetup = ClusterSetup()
    ) {
        self.nodeID = nodeID
        self.codec = codec
        self.setup = setup
        facts = allocationFacts
        (epoch, isForced) = (setup.epoch, setup.isForced)
        generator = SeededGenerator(seed: seed)
        agent = AgentMachine(facts: agentFacts, seed: generator.next())
        let id = Self.memberID(of: nodeID)
        raft = RaftMachine(
            id: id, voters: setup.isFounder ? [id] : [], seed: generator.next(), configuration: setup.raft)
        session = AgentSession(
            nodeID: nodeID, epoch: setup.epoch, seed: generator.next(), configuration: setup.dispatch,
            managers: setup.managers)
        nodeIDs[id] = nodeID
        gossip = setup.gossip.map {
            MembershipMachine(
                id: nodeID, contact: $0.contact, incarnation: $0.incarnation, seed: generator.next(),
                configuration: $0.configuration)
        }
    }

    // MARK: Queries

    package var isLeader: Bool { manager != nil }
    /// Whether a node that leaves may stop: everybody was told, and no quorum waits for its vote. A manager that cannot
    /// be spared never may, so that whoever waits for this needs a bound.
    package var mayGo: Bool { hasSaidFarewell && !isLeader && !isManager }
    /// Whether this node takes part in consensus, as far as it knows.
    package var isManager: Bool { raft.membership.members.contains(raft.id) && !isDismissed }
    package var term: Term { raft.hardState.term }
    package var commitIndex: LogIndex { raft.commitIndex }
    package var voters: Set<MemberID> { raft.membership.voters }
    /// By node, statuses of others' tasks that this leader refused.
    package var refusedStatuses: [ObjectID: Int] { manager?.dispatcher.refusedStatuses ?? [:] }
    /// Writes of this leader that are not agreed on yet, and the store that its next one would be made from.
    package var ahead: (writes: Int, store: ObjectStore)? {
        manager.map { ($0.pipeline.count, $0.pipeline.store) }
    }
    /// The state of consensus in a line, for transcripts.
    package var consensusSummary: String {
        let members = raft.membership
        func names(_ set: Set<MemberID>) -> String {
            set.map { nodeIDs[$0] ?? String($0) }.sorted().joined(separator: " ")
        }
        return "term \(raft.hardState.term) last \(raft.log.lastIndex) commit \(raft.commitIndex) "
            + "voters [\(names(members.voters))] before [\(names(members.outgoing))] "
            + "learners [\(names(members.learners))]\(isDismissed ? " dismissed" : "")"
    }

    /// Whether consensus needs to be woken: a single leader has nobody to send heartbeats to, and who was dismissed
    /// does not campaign. A leader that removes itself leads until that is agreed.
    private var keepsTime: Bool {
        // Reads that nobody answers must end, whatever this node is by then.
        !reads.isEmpty
            || (isManager || raft.isLeader || raft.mayCampaign && !isDismissed)
                && (!raft.isLeader || !raft.membership.members.subtracting([raft.id]).isEmpty)
    }
    /// The node that leads, as far as this one knows.
    package var leaderID: ObjectID? { manager?.claim.nodeID ?? knownLeader?.nodeID }

    /// When to send `.deadlineReached`, relative to now; nil when only an event matters.
    package func nextDeadline(now: Instant, time: Timestamp) -> Duration? {
        var next = manager?.nextDeadline(now: now, time: time)
        func consider(_ instant: Instant?) {
            guard let instant else { return }
            let wait = max(.zero, instant - now)
            next = next.map { min($0, wait) } ?? wait
        }
        if keepsTime { consider(raft.nextDeadline) }
        consider(gossip?.nextDeadline)
        consider(nextHostDeadline)
        consider(session.nextDeadline)
        if manager == nil { consider(waiting.map(\.failsAt).min()) }
        if !waitingReads.isEmpty {
            consider(waitingReads.map(\.failsAt).min())
            if raft.leader != nil { consider(readsRetryAt) }
        }
        consider(forwarded.values.map(\.failsAt).min())
        if let manager, manager.membershipTicket == nil, manager.membershipAt > now {
            consider(manager.membershipAt)
        }
        return next
    }

    // MARK: Events

    package mutating func receive(_ event: NodeEvent, at now: Instant, time: Timestamp) -> [NodeEffect] {
        receive(CollectionOfOne(event), at: now, time: time)
    }

    /// Events that came together: what follows from all of them follows once, so that writes asked for at the same
    /// time share a batch.
    package mutating func receive(
        _ events: some Collection<NodeEvent>, at now: Instant, time: Timestamp
    ) -> [NodeEffect] {
        manager?.noticeOwnPause(at: now)
        var effects: [NodeEffect] = []
        for event in events { effects += handle(event, at: now, time: time) }
        return effects + settle(at: now, time: time)
    }

    private mutating func handle(_ event: NodeEvent, at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        switch event {
        case .recovered(let state): effects += recover(state, at: now, time: time)
        case .restored(let held):
            session.restore(held, at: now)
            effects += absorb(agent.receive(.restored(held.assignment), at: time), at: now, time)
        case .persisted(let sequence): effects += persisted(sequence, at: now, time: time)
        case .deadlineReached: effects += deadline(at: now, time: time)
        case .request(let ticket, let request, let tokens):
            effects += enqueue(.client(ticket: ticket), .request(request, tokens), at: now)
        case .bootstrap(let ticket, let actions):
            effects += enqueue(.client(ticket: ticket), .bootstrap(actions), at: now)
        case .read(let ticket): effects += read(ticket, at: now, time: time)
        case .planned(let result): accept(result)
        case .snapshotSaved(let index, let image):
            guard index == savingSnapshot else { break }
            (savingSnapshot, lastSnapshot) = (nil, index)
            let saved: RaftEvent =
                image.isEmpty ? .compacted(upTo: index) : .snapshotSaved(index: index, image: image)
            effects += interpret(raft.receive(saved, at: now), at: now, time)
            bytesAtSnapshot = raft.log.bytes
        case .agent(let event): effects += absorb(agent.receive(event, at: time), at: now, time)
        case .peer(let message, let source): effects += receive(message, from: source, at: now, time: time)
        case .gossip(let event): effects += hear(event, at: now, time: time)
        case .hostAnswered(let id): hostAnswered(id, at: now)
        case .leave: effects += leave(at: now, time: time)
        case .standDown:
            guard raft.isLeader else { break }
            effects += interpret(raft.receive(.transferLeadership(to: nil), at: now), at: now, time)
        }
        return effects
    }

    /// The assignment to be stored, once after each change; a newer one replaces what is not written yet.
    ///
    /// Asked for after every event and not an effect, since only the newest counts: nobody has to write the others.
    /// What a crash loses of it the next session brings.
    package mutating func takeAssignment() -> HeldAssignment? {
        guard mustStoreAssignment else { return nil }
        mustStoreAssignment = false
        return session.held
    }

    private mutating func deadline(at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        if let due = raft.nextDeadline, due <= now, keepsTime {
            effects += interpret(raft.receive(.deadlineReached, at: now), at: now, time)
        }
        if let due = gossip?.nextDeadline, due <= now {
            effects += hear(.deadlineReached, at: now, time: time)
        }
        if let due = nextHostDeadline, due <= now { effects += watchHosts(at: now, time: time) }
        if let due = session.nextDeadline, due <= now { effects += follow(.deadlineReached, at: now, time) }
        effects += failOverdue(at: now)
        return effects
    }

    private mutating func leave(at now: Instant, time: Timestamp) -> [NodeEffect] {
        isLeaving = true
        var effects = absorb(agent.receive(.leave, at: time), at: now, time)
        effects += hear(.leave, at: now, time: time)
        if raft.isLeader {
            effects += interpret(raft.receive(.transferLeadership(to: nil), at: now), at: now, time)
        }
        return effects
    }

    private mutating func accept(_ result: Plan) {
        let isCurrent = planning == manager?.claim
        planning = nil
        guard manager != nil else { return }
        let isVoid = manager?.isPlanVoid == true
        manager?.isPlanVoid = false
        guard isCurrent && !isVoid || mutations.contains(.appliesStalePlans) else {
            manager?.needsPlan = true
            return
        }
        if !isCurrent { manager?.planBase = store }
        manager?.plan = result.actions
        manager?.revisitAt = result.revisitAt
        manager?.settled = result.settled
    }

    /// After every event: letters to itself, then whatever may come next, until nothing is left.
    private mutating func settle(at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        repeat {
            while !mailbox.isEmpty {
                effects += receive(mailbox.removeFirst(), from: nodeID, at: now, time: time)
            }
            effects += proceed(at: now, time: time)
        } while !mailbox.isEmpty
        return effects
    }

    // MARK: Peers

    private mutating func receive(
        _ message: PeerMessage, from source: ObjectID, at now: Instant, time: Timestamp
    ) -> [NodeEffect] {
        switch message {
        case .raft(let message, let epoch):
            // Nobody speaks for another member, and nobody from before the cluster was made anew.
            guard epoch == self.epoch, message.from == Self.memberID(of: source) else { return [] }
            // Promoted on its way out: a leader that has not heard the farewell would soon wait for this node's vote.
            guard isManager || !isLeaving else { return [] }
            nodeIDs[message.from] = source
            if case .append = message.body { isDismissed = false }
            return interpret(raft.receive(.received(message), at: now), at: now, time)
        case .toManager(let message): return serve(message, of: source, at: now)
        case .toAgent(let message): return follow(.received(message, from: source), at: now, time)
        case .request(let number, let request, let tokens, let claim):
            guard let manager, manager.claim == claim, waiting.count < Self.maximumWaitingRequests else {
                return post(.refused(number: number), to: source)
            }
            return enqueue(.peer(source, number: number), .request(request, tokens), at: now)
        case .ask(let number, let request, let claim):
            guard let manager, manager.claim == claim, waiting.count < Self.maximumWaitingRequests,
                store.nodes[source] != nil
            else { return post(.refused(number: number), to: source) }
            let own = ControlRequest.attachment(nodeID: source, request)
            return enqueue(.peer(source, number: number), .request(own, nil), at: now)
        case .answer(let number, let result): return answered(number, result, by: source)
        case .refused(let number): return refused(number, by: source, at: now)
        }
    }

    /// To itself by the mailbox, to others by the transport.
    mutating func post(_ message: PeerMessage, to node: ObjectID) -> [NodeEffect] {
        guard node != nodeID else {
            mailbox.append(message)
            return []
        }
        return [.send(message, to: route(to: node))]
    }

    /// Where a node was last known to be.
    package func route(to node: ObjectID) -> PeerRoute {
        let contact = gossip?.member(node)?.contact
        let known = contact.map { $0.metadata.addresses + [$0.address.host] } ?? []
        let addresses = known.isEmpty ? [store.nodes[node]?.status.addr].compactMap { $0 } : known
        return PeerRoute(nodeID: node, addresses: addresses)
    }

    mutating func post(_ messages: [Dispatcher.Outgoing]) -> [NodeEffect] {
        messages.flatMap { post(.toAgent($0.message), to: $0.node) }
    }

    /// An agent speaks to this node as its manager.
    private mutating func serve(_ message: AgentMessage, of node: ObjectID, at now: Instant) -> [NodeEffect] {
        guard manager != nil else {
            guard case .open = message else { return [] }
            return post(.toAgent(.notLeader(knownLeader)), to: node)
        }
        let managers = managerIDs
        guard
            let outcome = manager?.dispatcher.receive(message, from: node, store, managers: managers, at: now)
        else {
            return []
        }
        manager?.report(outcome)
        manager?.heard(node, store)
        if case .open = message {
            manager?.nodesToCheck.insert(node)
            manager?.mustCheckVoters = true
        }
        return post(outcome.messages)
    }

    // MARK: The agent's stream

    mutating func follow(_ event: AgentSession.Event, at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        let before = session.leader
        for effect in session.receive(event, at: now) {
            switch effect {
            case .send(let message, let node): effects += post(.toManager(message), to: node)
            case .assign(let assignment):
                mustStoreAssignment = true
                effects += absorb(agent.receive(.assigned(assignment), at: time), at: now, time)
                noticeDismissal()
            case .epochChanged(let epoch): effects += abandonLog(for: epoch, at: now, time)
            case .removed:
                // Whatever its log says, nobody waits for its vote.
                isDismissed = true
                effects.append(.removedFromCluster)
            }
        }
        if session.leader != before { expectNoMoreAnswers(at: now) }
        if before != nil, session.leader != before, mutations.contains(.restartsTasksOnLeaderChange) {
            effects += absorb(agent.receive(.assigned(Assignment(nodeID: nodeID)), at: time), at: now, time)
        }
        return effects
    }

    mutating func absorb(_ effects: [AgentEffect], at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        effects.flatMap { effect -> [NodeEffect] in
            guard case .report(let changed) = effect else { return [.agent(effect)] }
            return follow(.statuses(changed), at: now, time)
        }
    }

    /// A node that missed its own removal from consensus would campaign for ever.
    private mutating func noticeDismissal() {
        guard raft.mayCampaign, !raft.isLeader, let leader = session.session?.leader,
            leader.term >= raft.hardState.term, !session.managers.isEmpty
        else { return }
        isDismissed = !session.managers.contains(nodeID)
    }
}
