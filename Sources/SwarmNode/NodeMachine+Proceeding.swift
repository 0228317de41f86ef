import Consensus
import Dispatching
import Membership
import Store
import SwarmCore
import SwarmModel

/// What comes next, after every event.
extension NodeMachine {
    mutating func proceed(at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects = forwardWaiting(at: now)
        if manager != nil { effects += lead(at: now, time: time) }
        if !isSavingSnapshot, isManager, store.index >= lastSnapshot + setup.snapshotInterval || lacksImage,
            let term = raft.log.term(at: store.index)
        {
            isSavingSnapshot = true
            effects.append(
                .saveSnapshot(store, index: store.index, term: term, raft.membership(at: store.index)))
        }
        return effects
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
        while manager != nil, manager?.inFlight == nil, let write = nextWrite(at: now, time, &effects) {
            effects += propose(write, at: now, time)
        }
        guard manager != nil else { return effects }
        effects += changeManagers(at: now, time)
        if let revisit = manager?.revisitAt, revisit <= time {
            manager?.revisitAt = nil
            manager?.needsPlan = true
        }
        if let manager, manager.needsPlan, planning == nil, manager.inFlight == nil, manager.plan.isEmpty,
            store.cluster != nil
        {
            self.manager?.needsPlan = false
            self.manager?.planBase = store
            planning = manager.claim
            effects.append(.plan(store, facts, seed: generator.next()))
        }
        return effects
    }

    private mutating func propose(
        _ prepared: ManagerMachine.InFlight, at now: Instant, _ time: Timestamp
    ) -> [NodeEffect] {
        var write = prepared
        nextTicket += 1
        write.ticket = nextTicket
        var early: [NodeEffect] = []
        if mutations.contains(.answersBeforeAgreement), let (origin, response) = write.respond {
            early = answer(origin, .success(response))
            write.respond = nil
        }
        manager?.inFlight = write
        let payload = codec.encode(write.transaction)
        let effects = raft.receive(.propose(payload: payload, ticket: nextTicket), at: now)
        return early + interpret(effects, at: now, time)
    }

    /// A plan that came too late must not come too late again.
    private var isHoldingStatuses: Bool {
        guard let manager, manager.holdsStatuses else { return false }
        return planning != nil || !manager.plan.isEmpty
    }

    private var view: ClusterView {
        ClusterView(
            nodeID: nodeID, dead: deadNodes, left: leftNodes, configuration: raft.membership,
            isForced: isForced, managerAddresses: managerAddresses)
    }

    /// Where members of gossip serve their peers; what the store says of an address may be old.
    private var managerAddresses: [ObjectID: String] {
        var addresses: [ObjectID: String] = [:]
        for member in gossip?.members ?? [] where member.contact.metadata.role == .manager {
            addresses[member.id] = member.contact.metadata.addresses.first
        }
        return addresses
    }

    /// Requests first, then what agents reported, then the nodes' status, then the plan.
    private mutating func nextWrite(
        at now: Instant, _ time: Timestamp, _ effects: inout [NodeEffect]
    ) -> ManagerMachine.InFlight? {
        while !waiting.isEmpty {
            let pending = waiting.removeFirst()
            switch pending.body {
            case .bootstrap(let actions):
                return ManagerMachine.InFlight(
                    transaction: Transaction(actions: actions, time: time),
                    respond: (pending.origin, .created(nodeID, warnings: [])))
            case .request(let request, let tokens):
                var handler = RequestHandler(store: store, time: time, nodeID: nodeID, freshTokens: tokens)
                handler.unreachable = deadNodes
                do throws(SwarmError) {
                    let outcome = try handler.handle(request, using: &generator)
                    guard !outcome.actions.isEmpty else {
                        effects += answer(pending.origin, .success(outcome.response))
                        continue
                    }
                    return ManagerMachine.InFlight(
                        transaction: Transaction(actions: outcome.actions, time: time),
                        respond: (pending.origin, outcome.response))
                } catch { effects += answer(pending.origin, .failure(error)) }
            }
        }
        if !isHoldingStatuses, let (write, messages) = manager?.nextStatuses(store, time: time) {
            effects += post(messages)
            if let write { return write }
        }
        let view = self.view
        if manager?.mustCheckNodes == true || (manager?.checkNodesAt.map { $0 <= now } ?? false),
            let actions = manager?.nodeActions(store, view, at: now)
        {
            isForced = isForced && store.nodes.isEmpty
            if !actions.isEmpty {
                return ManagerMachine.InFlight(transaction: Transaction(actions: actions, time: time))
            }
        }
        if mutations.contains(.appliesPlansInPart), let plan = manager?.plan, !plan.isEmpty {
            manager?.plan = []
            return ManagerMachine.InFlight(transaction: Transaction(actions: plan, time: time), isPlan: true)
        }
        guard manager?.plan.isEmpty == false, let plan = manager?.takePlan(store), !plan.isEmpty else {
            return nil
        }
        return ManagerMachine.InFlight(transaction: Transaction(actions: plan, time: time), isPlan: true)
    }

    /// Makes consensus follow the roles in the store, one change at a time.
    private mutating func changeManagers(at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        guard let manager, manager.membershipTicket == nil, manager.membershipAt <= now,
            let voters = manager.wantedVoters(store, view)
        else { return [] }
        nextTicket += 1
        self.manager?.membershipTicket = nextTicket
        self.manager?.membershipAt = now + ManagerMachine.membershipRetry
        let change = RaftEvent.reconfigure(voters: voters, learners: [], ticket: nextTicket)
        return interpret(raft.receive(change, at: now), at: now, time)
    }
}
