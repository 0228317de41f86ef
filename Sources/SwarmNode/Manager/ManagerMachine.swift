import Consensus
import Dispatching
import Store
import SwarmCore
import SwarmModel

/// What only a leader does. It is made anew with every leadership, so that nothing decided in an earlier one
/// survives into a later.
struct ManagerMachine: Sendable {
    /// A change of managers that did not work is tried again after so long.
    static let membershipRetry: Duration = .seconds(2)
    /// What comes so much later than it was due comes late because this process did not run.
    static let ownPauseMin: Duration = .seconds(1)

    let claim: LeaderClaim
    var dispatcher: Dispatcher
    var pipeline: Pipeline
    var statuses: [ObjectID: TaskStatus] = [:]
    var receipts: [Dispatcher.Receipt] = []
    var plan: [StoreAction] = []
    /// The snapshot that the planner works on or has worked on.
    var planBase = ObjectStore()
    var needsPlan = true
    /// What the last plan found out, for the next one.
    var settled = SettledServices()
    /// The plan in the making rests on writes that will not be.
    var isPlanVoid = false
    /// The last plan came too late in part: agents' reports wait until the next one is in the log.
    var holdsStatuses = false
    var revisitAt: Timestamp?
    /// Which nodes to look at at once, and when to look at all of them anyway.
    var nodesToCheck = NodeSelection.all
    /// Whether the managers in consensus may be others than the store asks for.
    var mustCheckVoters = true
    var checkNodesAt: Instant?
    /// The last event of this leadership.
    private var steppedAt: Instant
    var membershipTicket: UInt64?
    var membershipAt: Instant

    init(claim: LeaderClaim, _ store: ObjectStore, configuration: DispatchConfiguration, at now: Instant) {
        self.claim = claim
        pipeline = Pipeline(on: store)
        dispatcher = Dispatcher(claim: claim, configuration: configuration, at: now)
        (membershipAt, steppedAt) = (now, now)
    }

    /// Must come before anything is made of an event: a leader that was stopped for a while would else take everybody
    /// for silent before it has read what they sent meanwhile.
    mutating func noticeOwnPause(at now: Instant) {
        let due = checkNodesAt.map { max($0, steppedAt) }
        steppedAt = now
        guard let due, now - due > Self.ownPauseMin else { return }
        dispatcher.forgive(now - due)
    }

    func nextDeadline(now: Instant, time: Timestamp) -> Duration? {
        let planning = revisitAt.map { max(.zero, $0 - time) }
        // Without room for a write, what is under way is waited for first.
        let nodes = pipeline.hasRoom ? checkNodesAt.map { max(.zero, $0 - now) } : nil
        guard let planning, let nodes else { return planning ?? nodes }
        return min(planning, nodes)
    }

    mutating func report(_ outcome: Dispatcher.Outcome) {
        statuses.merge(outcome.statuses) { _, new in new }
        if let receipt = outcome.receipt { receipts.append(receipt) }
    }

    /// A node was heard; most of them are known to be well.
    mutating func heard(_ node: ObjectID, _ store: ObjectStore) {
        guard store.nodes[node]?.status.state != "ready" else { return }
        nodesToCheck.insert(node)
        mustCheckVoters = true
    }

    /// What agents have reported, as one write; receipts for what was in the log already come back beside it.
    mutating func nextStatuses(time: Timestamp) -> (Pipeline.Write?, [Dispatcher.Receipt]) {
        guard !statuses.isEmpty || !receipts.isEmpty else { return (nil, []) }
        let updates = statuses.sorted { $0.key < $1.key }.map { (taskID: $0.key, status: $0.value) }
        let (reported, owed) = (statuses, receipts)
        (statuses, receipts) = ([:], [])
        let actions = StatusUpdate.statusActions(pipeline.store, updates: updates)
        guard !actions.isEmpty else { return (nil, owed) }
        let write = Pipeline.Write(
            transaction: Transaction(actions: actions, time: time), statuses: reported, receipts: owed)
        return (write, [])
    }

    /// The plan as far as it still holds, service by service.
    ///
    /// What is decided for one service belongs together: to end a task and to make its successor, or neither.
    mutating func takePlan() -> [StoreAction] {
        let store = pipeline.store
        var stale: Set<ObjectID> = []
        var touched: Set<ObjectID> = []
        for action in plan {
            let service = Self.service(of: action, planBase)
            touched.insert(service)
            if !Self.holds(action, store) { stale.insert(service) }
        }
        for service in touched where planBase.services[service]?.version != store.services[service]?.version {
            stale.insert(service)
        }
        // What is no service's, such as a network's subnet, everything else may build on.
        let isHopeless = stale.contains("") && !planBase.services.isEmpty
        let kept = isHopeless ? [] : plan.filter { !stale.contains(Self.service(of: $0, planBase)) }
        plan = []
        holdsStatuses = !stale.isEmpty
        if !stale.isEmpty { needsPlan = true }
        return kept
    }

    private static func service(of action: StoreAction, _ base: ObjectStore) -> ObjectID {
        switch action {
        case .create(.task(let task)), .update(.task(let task)): task.serviceID ?? ""
        case .create(.service(let service)), .update(.service(let service)): service.id
        case .remove(.task, let id): base.tasks[id]?.serviceID ?? ""
        case .create, .update, .remove: ""
        }
    }

    private static func holds(_ action: StoreAction, _ store: ObjectStore) -> Bool {
        switch action {
        case .create(let object): store.object(object.kind, object.id) == nil
        case .update(let object): store.object(object.kind, object.id)?.version == object.version
        case .remove(let kind, let id): store.object(kind, id) != nil
        }
    }

    /// A write did not go into the log, but may be tried again.
    mutating func takeBack(_ write: Pipeline.Write) {
        statuses.merge(write.statuses) { newer, _ in newer }
        receipts = write.receipts + receipts
        if write.isPlan { needsPlan = true }
        nodesToCheck = .all
    }

    /// A write is in the log; what it was refused for a newer version of the same task is tried again.
    mutating func settle(_ write: Pipeline.Write, _ commit: Commit) -> [Dispatcher.Outgoing] {
        var isComplete = true
        for case .update(.task(let task)) in commit.rejected {
            guard let status = write.statuses[task.id], statuses[task.id] == nil else { continue }
            statuses[task.id] = status
            isComplete = false
        }
        guard isComplete else {
            receipts = write.receipts + receipts
            return []
        }
        return dispatcher.committed(write.receipts)
    }
}

/// Who waits for an answer.
enum RequestOrigin: Sendable {
    case client(ticket: UInt64)
    case peer(ObjectID, number: UInt64)
}

/// Some nodes, or all there are.
enum NodeSelection: Sendable {
    case some(Set<ObjectID>), all

    static let none = NodeSelection.some([])

    var isEmpty: Bool {
        switch self {
        case .some(let ids): ids.isEmpty
        case .all: false
        }
    }

    mutating func insert(_ id: ObjectID) {
        guard case .some(var ids) = self else { return }
        self = .none
        ids.insert(id)
        self = .some(ids)
    }

    /// By identifier.
    func nodes(in store: ObjectStore) -> [Node] {
        switch self {
        case .some(let ids): ids.sorted().compactMap { store.nodes[$0] }
        case .all: store.nodes.sorted
        }
    }
}
