import Allocation
import Consensus
import Dispatching
import Ports
package import Store
package import SwarmCore
import SwarmModel
import SwarmNode

/// One leader and the agents' ends of a thousand sessions, on virtual time: what a big cluster costs its leader.
///
/// Objects are not encoded and the disk takes no time. Processor time is read from `clock`, in seconds, around the
/// leader's steps and the planner's only.
package struct ScaleBench {
    package struct Costs: Sendable {
        package var leader = 0.0
        package var planner = 0.0
        package var slowestStep = 0.0
        package var steps = 0
        package var plans = 0
    }

    /// Keeps nothing: a single leader never reads its own log.
    private struct NoCodec: ObjectCodec {
        func encode(_ transaction: Transaction) -> [UInt8] { [] }
        func decodeTransaction(_ bytes: [UInt8]) throws(SwarmError) -> Transaction {
            throw SwarmError(.internal, "nothing was encoded")
        }
        func encode(_ image: StoreImage) -> [UInt8] { [] }
        func decodeImage(_ bytes: [UInt8]) throws(SwarmError) -> StoreImage {
            throw SwarmError(.internal, "nothing was encoded")
        }
    }

    private struct Agent {
        var session: AgentSession
        var told: [ObjectID: TaskState] = [:]
    }

    private var leader: NodeMachine
    private var agents: [Agent] = []
    private var isSilent: Set<Int> = []
    private var queue: Queue<NodeEvent> = []
    private var letters: Queue<(agent: Int, message: DispatchMessage)> = []
    private var now = Instant(nanoseconds: 1_000_000_000)
    private let clock: () -> Double
    private var nextTicket: UInt64 = 0
    private var failure: SwarmError?
    package private(set) var costs = Costs()
    package private(set) var virtualMilliseconds = 0

    package init(nodes: Int, clock: @escaping () -> Double) {
        self.clock = clock
        var setup = ClusterSetup()
        setup.raft.heartbeatInterval = .seconds(1)
        leader = NodeMachine(
            nodeID: "leader", agentFacts: AgentFacts(hostname: "", namespaceDirectory: "/run/netns"),
            allocationFacts: AllocationFacts(), codec: NoCodec(), seed: 1, setup: setup)
        for index in 0..<nodes {
            agents.append(
                Agent(
                    session: AgentSession(
                        nodeID: "agent-\(index)", epoch: 0, seed: UInt64(index), managers: ["leader"])))
        }
        queue.append(.recovered(RecoveredState()))
        queue.append(.agent(.found([])))
        var first = Node(id: "leader")
        (first.spec, first.status.state) = (NodeSpec(role: "manager", availability: "drain"), "ready")
        queue.append(.bootstrap(ticket: 0, [.create(.cluster(Cluster(id: "cluster"))), .create(.node(first))]))
    }

    package var running: Int {
        leader.store.tasks.count { $0.status.state == .running && $0.desiredState == .running }
    }
    package mutating func resetCosts() { costs = Costs() }

    /// All agents join and are ready.
    package mutating func join() throws(SwarmError) {
        for index in agents.indices {
            var description = NodeDescription()
            description.hostname = "agent-\(index)"
            description.resources = Resources(nanoCPUs: 8_000_000_000, memoryBytes: 32 << 30)
            let address = IPv4Address(10 << 24 + UInt32(index)).description
            ask(.joinSwarm(
                NodeJoin(nodeID: "agent-\(index)", role: "worker", description: description, address: address)))
            drain()
            agents[index].session.start(at: now)
        }
        try advance(seconds: 120) { $0.leader.store.nodes.count { $0.status.state != "ready" } == 0 }
    }

    package mutating func createServices(_ count: Int, replicas: UInt64) throws(SwarmError) {
        for index in 0..<count {
            var spec = ServiceSpec(name: "service-\(index)")
            spec.taskTemplate.containerSpec = ContainerSpec(image: "busybox")
            spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: replicas))
            ask(.createService(spec, registryAuth: nil))
        }
        let wanted = count * Int(replicas)
        try advance(seconds: 600) { $0.running == wanted }
    }

    /// Nothing happens but signs of life.
    package mutating func rest(seconds: Int) throws(SwarmError) {
        let end = now + .seconds(seconds)
        try advance(seconds: seconds + 1) { $0.now >= end }
    }

    /// An agent is heard no more, and its tasks come up elsewhere.
    package mutating func loseNode(_ index: Int) throws(SwarmError) {
        isSilent.insert(index)
        let wanted = running
        let lost: ObjectID = "agent-\(index)"
        try advance(seconds: 120) { world in
            world.leader.store.nodes[lost]?.status.state == "down"
                && world.leader.store.tasks.count {
                    $0.status.state == .running && $0.desiredState == .running && $0.nodeID != lost
                } == wanted
        }
    }

    private mutating func ask(_ request: ControlRequest) {
        nextTicket += 1
        queue.append(.request(ticket: nextTicket, request, freshTokens: nil))
    }

    private mutating func advance(seconds: Int, until isDone: (Self) -> Bool) throws(SwarmError) {
        let end = now + .seconds(seconds)
        while true {
            drain()
            if let failure { throw failure }
            if isDone(self) { return }
            guard now < end else {
                throw SwarmError(.internal, "not done after \(seconds) virtual seconds: \(running) tasks run")
            }
            now = now + .milliseconds(50)
            virtualMilliseconds += 50
            queue.append(.deadlineReached)
            for index in agents.indices where !isSilent.contains(index) {
                guard let due = agents[index].session.nextDeadline, due <= now else { continue }
                follow(index, .deadlineReached)
            }
        }
    }

    private mutating func drain() {
        while true {
            if let event = queue.popFirst() {
                step(event)
            } else if let letter = letters.popFirst() {
                if !isSilent.contains(letter.agent) {
                    follow(letter.agent, .received(letter.message, from: "leader"))
                }
            } else {
                return
            }
        }
    }

    private var time: Timestamp { Timestamp(nanoseconds: 1_800_000_000_000_000_000 + now.nanoseconds) }

    private mutating func step(_ event: NodeEvent) {
        let start = clock()
        let effects = leader.receive(event, at: now, time: time)
        let spent = clock() - start
        costs.leader += spent
        costs.slowestStep = max(costs.slowestStep, spent)
        costs.steps += 1
        for effect in effects {
            switch effect {
            case .persist(let batch): queue.append(.persisted(sequence: batch.sequence))
            case .plan(let store, let facts, let seed):
                let start = clock()
                let plan = Planner.plan(store, at: time, facts: facts, seed: seed)
                costs.planner += clock() - start
                costs.plans += 1
                queue.append(.planned(plan))
            case .saveSnapshot(_, let index, _, _): queue.append(.snapshotSaved(index: index))
            case .respond(_, .failure(let error)): failure = error
            case .send(.toAgent(let message), let route):
                guard let index = Int(route.nodeID.dropFirst(6)) else { continue }
                letters.append((index, message))
            default: break
            }
        }
    }

    /// The agent's end, with containers that start at once.
    private mutating func follow(_ index: Int, _ event: AgentSession.Event) {
        for effect in agents[index].session.receive(event, at: now) {
            switch effect {
            case .send(let message, _):
                queue.append(.peer(.toManager(message), from: agents[index].session.nodeID))
            case .assign(let assignment): run(assignment, on: index)
            case .epochChanged, .removed: break
            }
        }
    }

    private mutating func run(_ assignment: Assignment, on index: Int) {
        var statuses: [ObjectID: TaskStatus] = [:]
        for task in assignment.tasks {
            let known = agents[index].told[task.id]
            let next: TaskState? =
                if task.desiredState > .running {
                    known == .shutdown ? nil : .shutdown
                } else {
                    known == nil ? .preparing : known == .preparing ? .running : nil
                }
            guard let next else { continue }
            agents[index].told[task.id] = next
            statuses[task.id] = TaskStatus(timestamp: time, state: next, message: "\(next)")
        }
        if !statuses.isEmpty { follow(index, .statuses(statuses)) }
    }
}

/// Many tasks that wait for a node, for the scheduler alone.
package func storeOfPendingTasks(_ count: Int, services: Int, nodes: Int) -> ObjectStore {
    var actions: [StoreAction] = [.create(.cluster(Cluster(id: "cluster")))]
    for index in 0..<nodes {
        var node = Node(id: "node-\(index)")
        node.description.resources = Resources(nanoCPUs: 64_000_000_000, memoryBytes: 256 << 30)
        (node.spec, node.status.state) = (NodeSpec(role: "worker", availability: "active"), "ready")
        actions.append(.create(.node(node)))
    }
    for index in 0..<services {
        var service = Service(id: "service-\(index)")
        service.spec = ServiceSpec(name: "service-\(index)")
        service.spec.taskTemplate.containerSpec = ContainerSpec(image: "busybox")
        actions.append(.create(.service(service)))
        for slot in 0..<(count / services) {
            var task = SwarmTask(id: "task-\(index)-\(slot)", spec: service.spec.taskTemplate)
            (task.serviceID, task.slot) = (service.id, slot)
            (task.status.state, task.desiredState) = (.pending, .running)
            actions.append(.create(.task(task)))
        }
    }
    var store = ObjectStore()
    _ = store.apply(Transaction(actions: actions, time: .zero), at: 1)
    return store
}

/// - Returns: how many tasks were given a node.
package func placeAll(in store: ObjectStore) -> Int { Planner.schedule(store, at: .zero).count }
