import Consensus
import Dispatching
import Membership
import Store
import SwarmCore
import SwarmModel

/// What comes next, after every event.
extension NodeMachine {
    mutating func proceed(at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects = forwardWaiting(at: now) + askWaitingReads(at: now, time)
        if manager != nil { effects += lead(at: now, time: time) }
        if savingSnapshot == nil, isManager, isLogLong || lacksImage,
            let term = raft.log.term(at: store.index)
        {
            savingSnapshot = store.index
            effects.append(
                .saveSnapshot(store, index: store.index, term: term, raft.membership(at: store.index)))
        }
        return effects
    }

    /// A snapshot costs as much as the store is large: it must be earned by as much log, so that writes to a large
    /// store cost no more than those to a small one.
    private var isLogLong: Bool {
        store.index >= lastSnapshot + max(setup.snapshotInterval, LogIndex(store.count))
            || store.index > lastSnapshot
                && raft.log.bytes - bytesAtSnapshot >= max(setup.snapshotBytes, raft.snapshot?.image.count ?? 0)
    }

    /// A new manager needs what is no longer in the log, and there is no image to give to it.
    private var lacksImage: Bool {
        raft.isLeader && raft.membership.members.count > 1 && raft.snapshot == nil
            && raft.log.snapshotIndex > 0
            && store.index > lastSnapshot
    }

    private mutating func lead(at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        // Interpreting a write may end this leadership.
        while manager?.pipeline.hasRoom == true {
            let batch = nextBatch(at: now, time, &effects)
            guard !batch.isEmpty else { break }
            let end = raft.log.lastIndex + LogIndex(batch.count)
            let proposed = raft.receive(.proposeAll(batch), at: now)
            // What was refused is tried again after the next event.
            let isTaken = raft.log.lastIndex == end
            effects += interpret(proposed, at: now, time)
            guard isTaken else { break }
        }
        guard manager != nil else { return effects }
        effects += changeManagers(at: now, time)
        if let revisit = manager?.revisitAt, revisit <= time {
            manager?.revisitAt = nil
            manager?.needsPlan = true
        }
        if let manager, manager.needsPlan, planning == nil, manager.plan.isEmpty,
            manager.pipeline.store.cluster != nil
        {
            var base = manager.pipeline.store
            base.settled = manager.settled
            self.manager?.needsPlan = false
            self.manager?.planBase = base
            planning = manager.claim
            effects.append(.plan(base, facts, seed: generator.next()))
        }
        return effects
    }

    /// A plan that came too late must not come too late again.
    private var isHoldingStatuses: Bool {
        guard let manager, manager.holdsStatuses else { return false }
        return planning != nil || !manager.plan.isEmpty
    }

    private var view: ClusterView {
        ClusterView(
            nodeID: nodeID, dead: deadNodes, left: leftNodes, configuration: raft.membership,
            isForced: isForced, managerAddresses: managerAddresses, absent: absentNodes)
    }

    /// Where members of gossip serve their peers; what the store says of an address may be old.
    private var managerAddresses: [ObjectID: String] {
        var addresses: [ObjectID: String] = [:]
        for member in gossip?.members ?? [] where member.contact.metadata.role == .manager {
            addresses[member.id] = member.contact.metadata.addresses.first
        }
        return addresses
    }

    /// Requests first, then what agents reported, then the nodes' status, then the plan; each from the store that the
    /// one before it leaves behind.
    private mutating func nextBatch(
        at now: Instant, _ time: Timestamp, _ effects: inout [NodeEffect]
    ) -> [Proposal] {
        var batch: [Proposal] = []
        var bytes = 0
        while batch.count < Pipeline.writesPerBatchMax, bytes < Pipeline.batchBytesMax,
            manager?.pipeline.hasRoom == true, let pending = waiting.popFirst()
        {
            guard let write = prepare(pending, time, &effects) else { continue }
            effects += append(write, to: &batch)
            bytes += batch.last?.payload.count ?? 0
        }
        if !isHoldingStatuses, let (write, owed) = manager?.nextStatuses(time: time) {
            if let write { effects += append(write, to: &batch) }
            if manager?.pipeline.isEmpty == false, !owed.isEmpty {
                manager?.pipeline.hold(.receipts(owed))
            } else if let messages = manager?.dispatcher.committed(owed) {
                effects += post(messages)
            }
        }
        let view = self.view
        if manager?.nodesToCheck.isEmpty == false || (manager?.checkNodesAt.map { $0 <= now } ?? false),
            let actions = manager?.nodeActions(view, at: now)
        {
            isForced = isForced && store.nodes.isEmpty
            if !actions.isEmpty {
                effects += append(
                    Pipeline.Write(transaction: Transaction(actions: actions, time: time)), to: &batch)
            }
        }
        let plan = nextPlan()
        if !plan.isEmpty {
            let transaction = Transaction(actions: plan, time: time)
            effects += append(Pipeline.Write(transaction: transaction, isPlan: true), to: &batch)
        }
        if !batch.isEmpty { manager?.pipeline.endBatch() }
        return batch
    }

    private mutating func nextPlan() -> [StoreAction] {
        guard let plan = manager?.plan, !plan.isEmpty else { return [] }
        guard mutations.contains(.appliesPlansInPart) else { return manager?.takePlan() ?? [] }
        manager?.plan = []
        return plan
    }

    /// A request as a write; nil when it changes nothing, or must be refused.
    private mutating func prepare(
        _ pending: PendingRequest, _ time: Timestamp, _ effects: inout [NodeEffect]
    ) -> Pipeline.Write? {
        guard let ahead = manager?.pipeline.store else { return nil }
        let result: Result<ControlResponse, SwarmError>
        switch pending.body {
        case .bootstrap(let actions):
            return Pipeline.Write(
                transaction: Transaction(actions: actions, time: time),
                respond: (pending.origin, .created(nodeID, warnings: [])))
        case .request(let request, let tokens):
            var handler = RequestHandler(store: ahead, time: time, nodeID: nodeID, freshTokens: tokens)
            handler.unreachable = deadNodes
            if case .updateNode = request { handler.voters = certainVoters(ahead) }
            do throws(SwarmError) {
                let outcome = try handler.handle(request, using: &generator)
                guard outcome.actions.isEmpty else {
                    return Pipeline.Write(
                        transaction: Transaction(actions: outcome.actions, time: time),
                        respond: (pending.origin, outcome.response))
                }
                result = .success(outcome.response)
            } catch { result = .failure(error) }
        }
        if manager?.pipeline.isEmpty == true || mutations.contains(.answersFromSpeculation) {
            effects += answer(pending.origin, result)
        } else {
            manager?.pipeline.hold(.answer(pending, result))
        }
        return nil
    }

    /// Who votes now and will after a change that is under way.
    private func certainVoters(_ store: ObjectStore) -> Set<ObjectID> {
        let members = raft.membership
        let certain = members.isJoint ? members.voters.intersection(members.outgoing) : members.voters
        return Set(store.nodes.ids.filter { certain.contains(Self.memberID(of: $0)) })
    }

    private mutating func append(_ prepared: Pipeline.Write, to batch: inout [Proposal]) -> [NodeEffect] {
        var write = prepared
        nextTicket += 1
        (write.ticket, write.index) = (nextTicket, raft.log.lastIndex + LogIndex(batch.count) + 1)
        var early: [NodeEffect] = []
        if mutations.contains(.answersBeforeAgreement), let (origin, response) = write.respond {
            early = answer(origin, .success(response))
            write.respond = nil
        }
        batch.append(Proposal(payload: codec.encode(write.transaction), ticket: nextTicket))
        if let commit = manager?.pipeline.add(write), commit.concernsPlanner { manager?.needsPlan = true }
        return early
    }

    /// Makes consensus follow the roles in the store, one change at a time.
    private mutating func changeManagers(at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        guard let manager, manager.mustCheckVoters, manager.membershipTicket == nil, manager.membershipAt <= now
        else { return [] }
        guard let voters = manager.wantedVoters(store, view) else {
            self.manager?.mustCheckVoters = false
            return []
        }
        nextTicket += 1
        self.manager?.membershipTicket = nextTicket
        self.manager?.membershipAt = now + ManagerMachine.membershipRetry
        let change = RaftEvent.reconfigure(voters: voters, learners: [], ticket: nextTicket)
        return interpret(raft.receive(change, at: now), at: now, time)
    }
}

extension Commit {
    /// Whether any of it may lead to another plan; secrets and configs never do.
    fileprivate var concernsPlanner: Bool {
        changes.contains { change in
            switch change.after?.kind ?? change.before?.kind {
            case .secret, .config, nil: false
            case .task: !change.isProgress
            case .cluster, .node, .service, .network: true
            }
        }
    }
}

extension StoreChange {
    /// A task on its way up, between having its node and running, is of no interest to the planner.
    fileprivate var isProgress: Bool {
        guard case .task(let old)? = before, case .task(let new)? = after else { return false }
        return old.desiredState == new.desiredState && old.nodeID == new.nodeID
            && old.status.state >= .assigned && new.status.state < .running
    }
}
