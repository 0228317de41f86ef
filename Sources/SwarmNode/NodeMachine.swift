package import Allocation
package import Consensus
package import Store
package import SwarmCore
package import SwarmModel

/// Turns transactions and store images into bytes and back; the machine does not know the format.
package protocol ObjectCodec: Sendable {
    func encode(_ transaction: Transaction) -> [UInt8]
    func decodeTransaction(_ bytes: [UInt8]) throws(SwarmError) -> Transaction
    func encode(_ image: StoreImage) -> [UInt8]
    func decodeImage(_ bytes: [UInt8]) throws(SwarmError) -> StoreImage
}

package enum NodeEvent: Sendable {
    /// Always first: what storage holds.
    case recovered(RecoveredState)
    case persisted(sequence: UInt64)
    case deadlineReached
    case request(ticket: UInt64, ControlRequest, freshTokens: JoinTokens?)
    /// Actions that the node itself needs agreed on, such as a swarm's first objects.
    case bootstrap(ticket: UInt64, [StoreAction])
    case planned(Plan)
    case snapshotSaved(index: LogIndex)
    case agent(AgentEvent)
}

package enum NodeEffect: Sendable {
    case persist(LogBatch)
    /// Run the planner on this snapshot, answer with `.planned`.
    case plan(ObjectStore, AllocationFacts, seed: UInt64)
    case saveSnapshot(ObjectStore, index: LogIndex, term: Term)
    case respond(ticket: UInt64, Result<ControlResponse, SwarmError>)
    case committed(Commit)
    case agent(AgentEffect)
    /// What storage holds cannot be understood: the node must not go on.
    case fatal(SwarmError)
}

/// A node as one value: consensus, store, planner and agent in one place, no input or output.
///
/// At most one write is on its way to the log: each is made from the store that the one before it left, so that
/// no request is refused for a change that it could not have seen.
package struct NodeMachine: Sendable {
    /// Requests that wait for their turn; more are refused as unavailable.
    package static let maximumWaitingRequests = 1024
    /// A snapshot is taken, and the log cut, after so many entries.
    package static let snapshotInterval: LogIndex = 5000

    package let nodeID: ObjectID
    package private(set) var store = ObjectStore()
    package private(set) var agent: AgentMachine
    var raft: RaftMachine
    let codec: any ObjectCodec
    var facts: AllocationFacts
    private var generator: SeededGenerator

    private enum Write: Sendable {
        case request(ticket: UInt64, ControlRequest, JoinTokens?)
        case bootstrap(ticket: UInt64, [StoreAction])
    }
    private struct InFlight: Sendable {
        var transaction: Transaction
        var respond: (ticket: UInt64, response: ControlResponse)?
        var statuses: [ObjectID: TaskStatus] = [:]
        var isPlan = false
    }
    private var waiting: BoundedQueue<Write>
    private var statuses: [ObjectID: TaskStatus] = [:]
    private var plan: [StoreAction] = []
    private var inFlight: InFlight?
    private var nextTicket: UInt64 = 1
    private var isPlanning = false
    private var needsPlan = false
    private var revisitAt: Timestamp?
    private var lastSnapshot: LogIndex = 0
    private var isSavingSnapshot = false

    package init(
        nodeID: ObjectID, agentFacts: AgentFacts, allocationFacts: AllocationFacts, codec: any ObjectCodec,
        seed: UInt64
    ) {
        self.nodeID = nodeID
        self.codec = codec
        facts = allocationFacts
        generator = SeededGenerator(seed: seed)
        agent = AgentMachine(facts: agentFacts, seed: generator.next())
        raft = RaftMachine(id: 1, voters: [1], seed: generator.next())
        waiting = BoundedQueue(capacity: Self.maximumWaitingRequests)
    }

    /// When to send `.deadlineReached`, relative to now; nil when only an event matters.
    package func nextDeadline(now: Instant, time: Timestamp) -> Duration? {
        let planning = revisitAt.map { max(.zero, $0 - time) }
        // A single member has nobody to send heartbeats to.
        guard raft.voters.count > 1, let deadline = raft.nextDeadline else { return planning }
        let consensus = max(.zero, deadline - now)
        return planning.map { min($0, consensus) } ?? consensus
    }

    package mutating func receive(_ event: NodeEvent, at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        switch event {
        case .recovered(let state): effects += recover(state, at: now, time: time)
        case .persisted(let sequence):
            effects += interpret(raft.receive(.persisted(sequence: sequence), at: now), time)
        case .deadlineReached: effects += interpret(raft.receive(.deadlineReached, at: now), time)
        case .request(let ticket, let request, let tokens):
            if !waiting.append(.request(ticket: ticket, request, tokens)) { effects.append(busy(ticket)) }
        case .bootstrap(let ticket, let actions):
            if !waiting.append(.bootstrap(ticket: ticket, actions)) { effects.append(busy(ticket)) }
        case .planned(let result):
            isPlanning = false
            plan = result.actions
            revisitAt = result.revisitAt
        case .snapshotSaved(let index):
            (isSavingSnapshot, lastSnapshot) = (false, index)
            effects += interpret(raft.receive(.compacted(upTo: index), at: now), time)
        case .agent(let event): effects += absorb(agent.receive(event, at: time))
        }
        effects += proceed(at: now, time: time)
        return effects
    }

    private func busy(_ ticket: UInt64) -> NodeEffect {
        .respond(
            ticket: ticket,
            .failure(SwarmError(.unavailable, "too many requests are waiting for this manager; try again")))
    }

    private mutating func recover(_ state: RecoveredState, at now: Instant, time: Timestamp) -> [NodeEffect] {
        if !state.snapshot.isEmpty {
            do throws(SwarmError) {
                store = try codec.decodeImage(state.snapshot).store
            } catch { return [.fatal(error)] }
        }
        lastSnapshot = state.snapshotIndex
        return interpret(raft.receive(.recovered(state), at: now), time)
    }

    // MARK: Agreement

    private mutating func interpret(_ effects: [RaftEffect], _ time: Timestamp) -> [NodeEffect] {
        var result: [NodeEffect] = []
        for effect in effects {
            switch effect {
            case .persist(let batch): result.append(.persist(batch))
            case .apply(let entries): result += apply(entries, time)
            case .leadershipChanged: needsPlan = true
            case .rejected:
                if let respond = inFlight?.respond {
                    let error = SwarmError(.unavailable, "the manager could not write to its log; try again")
                    result.append(.respond(ticket: respond.ticket, .failure(error)))
                }
                inFlight = nil
            case .send: break
            }
        }
        return result
    }

    private mutating func apply(_ entries: [AppliedEntry], _ time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        var hasChanges = false
        for applied in entries where applied.entry.kind == .command {
            let isOwn = applied.ticket != nil
            let transaction: Transaction
            if isOwn, let inFlight {
                transaction = inFlight.transaction
            } else {
                do throws(SwarmError) {
                    transaction = try codec.decodeTransaction(applied.entry.payload)
                } catch { return effects + [.fatal(error)] }
            }
            let commit = store.apply(transaction, at: applied.entry.index)
            hasChanges = hasChanges || !commit.changes.isEmpty
            if isOwn {
                effects += settle(commit)
                effects.append(.committed(commit))
            }
        }
        guard hasChanges else { return effects }
        needsPlan = true
        effects += absorb(agent.receive(.assigned(Assignment(of: store, node: nodeID)), at: time))
        return effects
    }

    /// Answers who waited for a write, and keeps what was refused because something else came first.
    private mutating func settle(_ commit: Commit) -> [NodeEffect] {
        guard let write = inFlight else { return [] }
        inFlight = nil
        for case .update(.task(let task)) in commit.rejected {
            guard let status = write.statuses[task.id], statuses[task.id] == nil else { continue }
            statuses[task.id] = status
        }
        guard let (ticket, response) = write.respond else { return [] }
        if commit.rejected.isEmpty { return [.respond(ticket: ticket, .success(response))] }
        let error = SwarmError(.outdatedVersion, "rpc error: code = Unknown desc = update out of sequence")
        return [.respond(ticket: ticket, .failure(error))]
    }

    // MARK: What comes next

    private mutating func absorb(_ effects: [AgentEffect]) -> [NodeEffect] {
        effects.compactMap { effect in
            guard case .report(let changed) = effect else { return .agent(effect) }
            statuses.merge(changed) { _, new in new }
            return nil
        }
    }

    private mutating func proceed(at now: Instant, time: Timestamp) -> [NodeEffect] {
        guard raft.isLeader else { return [] }
        var effects: [NodeEffect] = []
        while inFlight == nil, let write = nextWrite(time, &effects) {
            inFlight = write
            let payload = codec.encode(write.transaction)
            nextTicket += 1
            effects += interpret(raft.receive(.propose(payload: payload, ticket: nextTicket), at: now), time)
        }
        if let revisit = revisitAt, revisit <= time {
            revisitAt = nil
            needsPlan = true
        }
        if needsPlan && !isPlanning && inFlight == nil && plan.isEmpty && store.cluster != nil {
            (needsPlan, isPlanning) = (false, true)
            effects.append(.plan(store, facts, seed: generator.next()))
        }
        if !isSavingSnapshot, store.index >= lastSnapshot + Self.snapshotInterval,
            let term = raft.log.term(at: store.index)
        {
            isSavingSnapshot = true
            effects.append(.saveSnapshot(store, index: store.index, term: term))
        }
        return effects
    }

    /// Requests first, then what agents reported, then the plan.
    private mutating func nextWrite(_ time: Timestamp, _ effects: inout [NodeEffect]) -> InFlight? {
        while let write = waiting.popFirst() {
            switch write {
            case .bootstrap(let ticket, let actions):
                return InFlight(
                    transaction: Transaction(actions: actions, time: time),
                    respond: (ticket, .created(nodeID, warnings: [])))
            case .request(let ticket, let request, let tokens):
                let handler = RequestHandler(store: store, time: time, nodeID: nodeID, freshTokens: tokens)
                do throws(SwarmError) {
                    let outcome = try handler.handle(request, using: &generator)
                    guard !outcome.actions.isEmpty else {
                        effects.append(.respond(ticket: ticket, .success(outcome.response)))
                        continue
                    }
                    return InFlight(
                        transaction: Transaction(actions: outcome.actions, time: time),
                        respond: (ticket, outcome.response))
                } catch { effects.append(.respond(ticket: ticket, .failure(error))) }
            }
        }
        if !statuses.isEmpty {
            let updates = statuses.sorted { $0.key < $1.key }.map { (taskID: $0.key, status: $0.value) }
            let reported = statuses
            statuses = [:]
            let actions = StatusUpdate.statusActions(store, updates: updates)
            if !actions.isEmpty {
                return InFlight(transaction: Transaction(actions: actions, time: time), statuses: reported)
            }
        }
        guard !plan.isEmpty else { return nil }
        defer { plan = [] }
        return InFlight(transaction: Transaction(actions: plan, time: time), isPlan: true)
    }
}
