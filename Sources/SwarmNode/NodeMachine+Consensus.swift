import Consensus
import Dispatching
import Store
import SwarmCore
import SwarmModel

/// The log: what is agreed, by whom, and what becomes of it.
extension NodeMachine {
    mutating func recover(_ state: RecoveredState, at now: Instant, time: Timestamp) -> [NodeEffect] {
        if !state.snapshot.isEmpty {
            do throws(SwarmError) {
                store = try codec.decodeImage(state.snapshot).store
            } catch { return [.fatal(error)] }
        }
        lastSnapshot = state.snapshotIndex
        recoveredIndex = state.entries.last?.index ?? state.snapshotIndex
        let effects = interpret(raft.receive(.recovered(state), at: now), at: now, time)
        session.start(at: now)
        return effects
    }

    mutating func persisted(_ sequence: UInt64, at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        while let first = held.first, first.sequence <= sequence {
            held.removeFirst()
            for message in first.messages { effects += sendRaft(message) }
        }
        return effects + interpret(raft.receive(.persisted(sequence: sequence), at: now), at: now, time)
    }

    private mutating func sendRaft(_ message: RaftMessage) -> [NodeEffect] {
        if nodeIDs[message.to] == nil {
            for node in store.nodes.sorted { nodeIDs[Self.memberID(of: node.id)] = node.id }
        }
        guard let node = nodeIDs[message.to] else { return [] }
        return post(.raft(message, epoch: epoch), to: node)
    }

    mutating func interpret(_ effects: [RaftEffect], at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        var result: [NodeEffect] = []
        for effect in effects {
            switch effect {
            case .send(let message): result += sendRaft(message)
            case .persist(var batch):
                if !batch.sendAfter.isEmpty {
                    if mutations.contains(.sendsBeforePersisting) {
                        for message in batch.sendAfter { result += sendRaft(message) }
                    } else {
                        held.append((batch.sequence, batch.sendAfter))
                    }
                    batch.sendAfter = []
                }
                result.append(.persist(batch))
            case .apply(let entries): result += apply(entries, at: now, time)
            case .leadershipChanged(let change): result += leadershipChanged(change, at: now, time)
            case .rejected(let ticket, let reason): result += rejected(ticket, reason, at: now)
            }
        }
        return result + announceRole(at: now, time: time)
    }

    // MARK: Leadership

    private mutating func leadershipChanged(
        _ change: Leadership, at now: Instant, _ time: Timestamp
    ) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        if manager != nil && !change.isSelf { effects += stepDown(at: now, time) }
        // Whoever leads now is asked at once.
        if change.leader != nil { readsRetryAt = now }
        guard let leader = change.leader, !change.isSelf, let node = nodeIDs[leader] else { return effects }
        let claim = LeaderClaim(epoch: epoch, term: change.term, nodeID: node)
        return effects + follow(.leaderKnown(claim), at: now, time)
    }

    private mutating func stepDown(at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        guard var former = manager.take() else { return [] }
        if mutations.contains(.keepsLostWrites) { lostStore = former.pipeline.store }
        // Consensus rejects what is under way; if it already has, nobody is left to be told.
        let lost = former.pipeline.dropAll()
        return lose(lost) + follow(.leadershipLost, at: now, time)
    }

    /// A leader acts once an entry of its own term is agreed: only then it knows all that was agreed before.
    private mutating func takeOffice(at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        guard raft.isLeader, manager == nil, raft.log.term(at: raft.commitIndex) == raft.hardState.term else {
            return []
        }
        let claim = LeaderClaim(epoch: epoch, term: raft.hardState.term, nodeID: nodeID)
        let known = mutations.contains(.keepsLostWrites) ? lostStore ?? store : store
        var fresh = ManagerMachine(claim: claim, known, configuration: setup.dispatch, at: now)
        fresh.dispatcher.mutations = dispatchMutations
        manager = fresh
        var effects = follow(.leaderKnown(claim), at: now, time)
        effects += dispatch(AffectedNodes(all: true), at: now)
        return effects
    }

    private mutating func rejected(_ ticket: UInt64, _ reason: RaftRejection, at now: Instant) -> [NodeEffect]
    {
        if let read = reads.removeValue(forKey: ticket) {
            return unanswered(read, at: now)
        }
        if manager?.membershipTicket == ticket {
            manager?.membershipTicket = nil
            manager?.membershipAt = now + ManagerMachine.membershipRetry
            manager?.mustCheckVoters = true
            return []
        }
        guard let lost = manager?.pipeline.drop(from: ticket, agreed: store), !lost.isEmpty else { return [] }
        manager?.settled = SettledServices()
        if planning != nil { manager?.isPlanVoid = true }
        let text: String
        switch reason {
        case .lostLeadership: return lose(lost)
        case .logFull:
            text = "the manager's log is full: free space on its disk, or wait for its next snapshot"
        case .notLeader, .busy, .changeInProgress, .invalidConfiguration, .catchUpTimedOut, .timedOut:
            // Certainly not in the log: another leader, or this one in a moment, may carry it out.
            text = "leadership is being handed over; try again"
        }
        let code: SwarmError.Code = reason == .logFull ? .resourceExhausted : .unavailable
        return lost.flatMap { write in
            manager?.takeBack(write)
            askAgain(write.promises)
            return write.respond.map { answer($0.origin, .failure(SwarmError(code, text))) } ?? []
        }
    }

    /// Nobody here will ever know what became of these writes.
    private mutating func lose(_ writes: [Pipeline.Write]) -> [NodeEffect] {
        writes.flatMap { write in
            askAgain(write.promises)
            return write.respond.map { answer($0.origin, .failure(Self.unknownOutcome)) } ?? []
        }
    }

    /// What was to be answered rested on a write that may never be: whoever leads then judges afresh.
    private mutating func askAgain(_ promises: [Pipeline.Promise]) {
        for case .answer(let pending, _) in promises { waiting.append(pending) }
    }

    private mutating func keep(_ promises: [Pipeline.Promise]) -> [NodeEffect] {
        promises.flatMap { promise -> [NodeEffect] in
            switch promise {
            case .answer(let pending, let result): answer(pending.origin, result)
            case .receipts(let owed): (manager?.dispatcher.committed(owed)).map { post($0) } ?? []
            }
        }
    }

    // MARK: Applying

    private mutating func apply(_ entries: [AppliedEntry], at now: Instant, _ time: Timestamp) -> [NodeEffect]
    {
        var effects: [NodeEffect] = []
        var affected = AffectedNodes()
        for applied in entries {
            switch applied.meaning {
            case .read:
                guard let ticket = applied.ticket, let read = reads.removeValue(forKey: ticket) else {
                    continue
                }
                effects.append(.readable(ticket: read.ticket, .success(store)))
            case .snapshot(let snapshot):
                do throws(SwarmError) {
                    store = try codec.decodeImage(snapshot.image).store
                } catch { return effects + [.fatal(error)] }
                (lastSnapshot, savingSnapshot) = (snapshot.index, nil)
                affected.all = true
            case .entry:
                switch applied.entry.kind {
                case .noop: break
                case .configuration:
                    if let ticket = applied.ticket, ticket == manager?.membershipTicket {
                        manager?.membershipTicket = nil
                    }
                    manager?.nodesToCheck = .all
                    manager?.mustCheckVoters = true
                case .command:
                    do throws(SwarmError) {
                        effects += try apply(applied, &affected)
                    } catch { return effects + [.fatal(error)] }
                }
            }
        }
        effects += takeOffice(at: now, time)
        guard !affected.isEmpty else { return effects }
        return effects + dispatch(affected, at: now)
    }

    private mutating func apply(
        _ applied: AppliedEntry, _ affected: inout AffectedNodes
    ) throws(SwarmError) -> [NodeEffect] {
        let write = manager?.pipeline.takeFirst(ticket: applied.ticket)
        let transaction =
            if let write { write.transaction } else { try codec.decodeTransaction(applied.entry.payload) }
        let commit = store.apply(transaction, at: applied.entry.index)
        for change in commit.changes where (change.after ?? change.before)?.kind == .node {
            if let id = (change.after ?? change.before)?.id { manager?.nodesToCheck.insert(id) }
            manager?.mustCheckVoters = true
        }
        affected.add(commit, store)
        var effects: [NodeEffect] = []
        if let write {
            manager?.pipeline.settle(on: store)
            if let (origin, response) = write.respond {
                let stale = SwarmError(
                    .outdatedVersion, "rpc error: code = Unknown desc = update out of sequence")
                effects += answer(origin, commit.rejected.isEmpty ? .success(response) : .failure(stale))
            }
            if let messages = manager?.settle(write, commit) { effects += post(messages) }
            effects += keep(write.promises)
        } else {
            manager?.pipeline.rebase(on: store)
        }
        // What was in the log at the start is not news.
        if applied.entry.index > recoveredIndex { effects.append(.committed(commit)) }
        return effects
    }

    /// Sends agents what has changed for them.
    private mutating func dispatch(_ affected: AffectedNodes, at now: Instant) -> [NodeEffect] {
        let managers = managerIDs
        if affected.isReshaped { manager?.dispatcher.servicesChanged() }
        let messages = manager?.dispatcher.storeChanged(
            store, managers: managers, nodes: affected.all ? nil : affected.nodes,
            services: affected.services, at: now)
        return messages.map { post($0) } ?? []
    }

    /// Who certainly takes part: a change that is not agreed yet may still come to nothing.
    var managerIDs: [ObjectID] {
        let members = raft.membership(at: raft.commitIndex).members
        let known = members.compactMap { nodeIDs[$0] }
        guard known.count == members.count else {
            return store.nodes.ids.filter { members.contains(Self.memberID(of: $0)) }
        }
        return known.filter { store.nodes[$0] != nil }.sorted()
    }

    /// The cluster was made anew elsewhere, in a later epoch: what this node has agreed on counts no more.
    mutating func abandonLog(for epoch: UInt64, at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        guard epoch > self.epoch else { return [] }
        self.epoch = epoch
        var effects = stepDown(at: now, time)
        for read in reads.sorted(by: { $0.key < $1.key }).map(\.value) + waitingReads {
            effects.append(.readable(ticket: read.ticket, .failure(Self.noLeader)))
        }
        (reads, waitingReads) = ([:], [])
        raft = RaftMachine(
            id: raft.id, voters: [], seed: generator.next(), configuration: setup.raft,
            firstSequence: raft.nextSequence)
        raft.mutations = raftMutations
        (store, held, lastSnapshot, savingSnapshot) = (ObjectStore(), [], 0, nil)
        isForced = false
        effects.append(.eraseLog(epoch: epoch))
        return effects + interpret(raft.receive(.recovered(RecoveredState()), at: now), at: now, time)
    }
}

/// What a commit may have changed of nodes' assignments.
private struct AffectedNodes {
    var all: Bool
    var nodes: Set<ObjectID> = []
    /// Services whose endpoints are others now.
    var services: Set<ObjectID> = []
    /// Whether services came, went or changed their networks.
    var isReshaped = false
    private var hasChanges = false

    init(all: Bool = false) { self.all = all }

    var isEmpty: Bool { !all && !hasChanges }

    mutating func add(_ commit: Commit, _ store: ObjectStore) {
        hasChanges = hasChanges || !commit.changes.isEmpty
        for change in commit.changes {
            switch (change.before, change.after) {
            case (.task(let before), .task(let after)): add(before, after)
            case (.task(let task), nil), (nil, .task(let task)): add(task, nil)
            case (.node(let before), .node(let after)): add(before, after, store)
            case (.service(let service), nil), (nil, .service(let service)): add([service], store)
            case (.service(let before), .service(let after)): add([before, after], store)
            case (nil, .node(let node)): nodes.insert(node.id)
            // Tasks that use it come later.
            case (nil, .secret), (nil, .config): break
            default: all = true
            }
        }
    }

    /// Who has a task on one of the service's networks knows it; what it publishes, every node does.
    private mutating func add(_ versions: [Service], _ store: ObjectStore) {
        isReshaped = true
        if versions.contains(where: { $0.endpoint.ports?.isEmpty == false }) { all = true }
        guard !all else { return }
        for network in Set(versions.flatMap(\.spec.attachments).compactMap(\.target)) {
            store.forEachTask(onNetwork: network) { task in if let node = task.nodeID { nodes.insert(node) } }
        }
    }

    private mutating func add(_ task: SwarmTask, _ later: SwarmTask?) {
        nodes.formUnion([task.nodeID, later?.nodeID].compactMap(\.self))
        // A standalone container is to be found by everybody on its network.
        if task.isAttachment { (isReshaped, all) = (true, true) }
        guard let service = task.serviceID else { return }
        let endpoints = [task, later].map { task in task.flatMap { TaskEndpoint(seenFromAfar: $0, on: nil) } }
        if endpoints[0] != endpoints[1] { services.insert(service) }
    }

    private mutating func add(_ before: Node, _ after: Node, _ store: ObjectStore) {
        let isOtherManager =
            before.managerStatus != after.managerStatus || before.spec.role != after.spec.role
        if isOtherManager { all = true }
        // A node that goes down takes its tasks out of every balancer.
        let isDown = [before, after].map { $0.status.state == "down" }
        guard isDown[0] != isDown[1] || before.status.addr != after.status.addr else { return }
        services.formUnion(store.tasks(onNode: after.id).compactMap(\.serviceID))
    }
}
