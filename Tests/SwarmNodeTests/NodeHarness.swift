import Allocation
import Consensus
import Dispatching
import Execution
import Overlay
import Ports
import Store
import SwarmCore
import SwarmModel

@testable import SwarmNode

/// Keeps transactions by number instead of encoding them.
final class TableCodec: ObjectCodec, @unchecked Sendable {
    // One test, one thread.
    private var transactions: [Transaction] = []
    private var images: [StoreImage] = []
    /// Bytes that each transaction seems to have beside its number.
    var padding = 0

    private func bytes(_ number: Int) -> [UInt8] {
        [UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)]
    }
    private func number(_ bytes: [UInt8]) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    func encode(_ transaction: Transaction) -> [UInt8] {
        transactions.append(transaction)
        return bytes(transactions.count - 1) + [UInt8](repeating: 0, count: padding)
    }
    func decodeTransaction(_ bytes: [UInt8]) throws(SwarmError) -> Transaction {
        transactions[number(Array(bytes.prefix(3)))]
    }
    func encode(_ image: StoreImage) -> [UInt8] {
        images.append(image)
        return bytes(images.count - 1)
    }
    func decodeImage(_ bytes: [UInt8]) throws(SwarmError) -> StoreImage { images[number(bytes)] }
}

/// A node with a disk, a runtime and a kernel of its own, all in memory and on virtual time.
struct NodeHarness {
    var machine: NodeMachine
    let codec = TableCodec()
    var time = Timestamp(nanoseconds: 1_800_000_000_000_000_000)
    var now = Instant(nanoseconds: 1_000_000_000)
    /// The durable log.
    var disk = RecoveredState()
    /// Containers by id: their task and whether they run.
    var containers: [String: (info: ContainerInfo, isRunning: Bool)] = [:]
    /// What each container was made from.
    var requests: [String: ContainerRequest] = [:]
    var responses: [UInt64: Result<ControlResponse, SwarmError>] = [:]
    var networking = DesiredNetworking()
    var names = NameSpaceView()
    /// Images that cannot be had, with the reason.
    var missingImages: [String: String] = [:]
    var startFailures: [String: String] = [:]
    var writes = 0
    /// What went to other nodes.
    var sent: [(message: PeerMessage, node: ObjectID)] = []
    /// The agent's own file.
    var held: HeldAssignment?
    private var queue: [NodeEvent] = []
    private var ticket: UInt64 = 100

    static let freshTokens = JoinTokens(worker: "SWMTKN-1-fresh-w2", manager: "SWMTKN-1-fresh-m2")
    static let facts = AgentFacts(hostname: "node-1", namespaceDirectory: "/run/netns")

    init(seed: UInt64 = 1) { machine = NodeHarness.makeMachine(codec, seed) }

    private static func makeMachine(_ codec: TableCodec, _ seed: UInt64) -> NodeMachine {
        NodeMachine(
            nodeID: "n1", agentFacts: facts, allocationFacts: AllocationFacts(), codec: codec, seed: seed)
    }

    /// Comes up on what the disk holds; `initialize` makes the swarm.
    mutating func start(initialize: Bool = true) {
        send(.recovered(disk))
        guard initialize else {
            send(.agent(.found(containers.values.map(\.info))))
            return
        }
        send(.agent(.found([])))
        var node = Node(id: "n1")
        node.spec = NodeSpec(role: "manager", availability: "active")
        node.description.platform = Platform(architecture: "x86_64", os: "linux")
        node.description.resources = Resources(nanoCPUs: 2_000_000_000, memoryBytes: 8 << 30)
        node.status = NodeStatus(state: "ready", addr: "198.18.0.11")
        var ingress = Network(id: "ingress")
        ingress.spec = NetworkSpec(name: "ingress", ingress: true)
        var cluster = Cluster(id: "c1")
        cluster.joinTokens = JoinTokens(worker: "SWMTKN-1-digest-w1", manager: "SWMTKN-1-digest-m1")
        send(
            .bootstrap(
                ticket: 1,
                [.create(.cluster(cluster)), .create(.node(node)), .create(.network(ingress))]))
    }

    /// swarmd is killed and comes back; containers go on.
    mutating func restart(seed: UInt64 = 2) {
        queue = []
        machine = NodeHarness.makeMachine(codec, seed)
        start(initialize: false)
    }

    /// As `restart`, but what the managers know is out of reach: nothing but the agent's own file is there.
    mutating func restartAlone() {
        queue = []
        var setup = ClusterSetup()
        setup.isFounder = false
        machine = NodeMachine(
            nodeID: "n1", agentFacts: NodeHarness.facts, allocationFacts: AllocationFacts(), codec: codec, seed: 3,
            setup: setup)
        (networking, names) = (DesiredNetworking(), NameSpaceView())
        send(.recovered(RecoveredState()))
        if let held { send(.restored(held)) }
        send(.agent(.found(containers.keys.sorted().compactMap { containers[$0]?.info })))
    }

    @discardableResult
    mutating func request(_ request: ControlRequest) -> Result<ControlResponse, SwarmError>? {
        ticket += 1
        send(.request(ticket: ticket, request, freshTokens: NodeHarness.freshTokens))
        return responses[ticket]
    }

    /// A request that must succeed.
    mutating func demand(_ asked: ControlRequest) throws { _ = try request(asked)?.get() }

    mutating func createService(_ spec: ServiceSpec) throws -> ObjectID {
        guard case .created(let id, _)? = try request(.createService(spec, registryAuth: nil))?.get() else {
            return ""
        }
        return id
    }

    mutating func send(_ event: NodeEvent) {
        queue.append(event)
        drain()
    }

    private mutating func drain() {
        while !queue.isEmpty {
            let next = queue.removeFirst()
            for effect in machine.receive(next, at: now, time: time) { perform(effect) }
            held = machine.takeAssignment() ?? held
        }
    }

    /// Lets virtual time pass, waking the machine whenever it asked for it.
    mutating func advance(_ duration: Duration) {
        let end = time + duration
        for _ in 0..<10_000 {
            guard let next = machine.nextDeadline(now: now, time: time), time + next <= end else { break }
            let step = max(next, .milliseconds(1))
            time = time + step
            now = now + step
            send(.deadlineReached)
        }
        now = now + (end - time)
        time = max(time, end)
    }

    private mutating func perform(_ effect: NodeEffect) {
        switch effect {
        case .persist(let batch):
            writes += 1
            if let state = batch.hardState { disk.hardState = state }
            disk.entries += batch.entries
            queue.append(.persisted(sequence: batch.sequence))
        case .plan(let store, let facts, let seed):
            queue.append(.planned(Planner.plan(store, at: time, facts: facts, seed: seed)))
        case .saveSnapshot(let store, let index, let term, _):
            (disk.snapshot, disk.snapshotIndex, disk.snapshotTerm) = (
                codec.encode(StoreImage(store)), index, term
            )
            disk.entries.removeAll { $0.index <= index }
            queue.append(.snapshotSaved(index: index))
        case .respond(let ticket, let result): responses[ticket] = result
        case .send(let message, let route): sent.append((message, route.nodeID))
        case .committed, .readable, .gossip, .askHost, .eraseLog, .removedFromCluster: break
        case .fatal(let error): preconditionFailure("\(error)")
        case .agent(let effect): perform(effect)
        }
    }

    private mutating func perform(_ effect: AgentEffect) {
        func answer(_ task: ObjectID, _ event: TaskEvent) { queue.append(.agent(.task(task, event))) }
        switch effect {
        case .ensureImage(let task, let image, _):
            answer(task, missingImages[image].map { .failed(.ensureImage, $0) } ?? .imageReady)
        case .createContainer(let task, let request):
            let info = ContainerInfo(
                id: request.id, name: request.name, image: request.image, imageID: "", labels: request.labels,
                state: .created, createdAt: time)
            requests[request.id] = request
            containers[request.id] = (info, false)
            answer(task, .created)
        case .startContainer(let task, let id):
            if let reason = startFailures[containers[id]?.info.image ?? ""] {
                return answer(task, .failed(.startContainer, reason))
            }
            containers[id]?.isRunning = true
            containers[id]?.info.state = .running
            containers[id]?.info.pid = 4711
            answer(task, .started(pid: 4711))
        case .stopContainer(_, let id, _): end(id, code: 143)
        case .removeContainer(let task, let id):
            containers[id] = nil
            answer(task, .removed)
        case .applyNetworking(let networking, let names, let version):
            (self.networking, self.names) = (networking, names)
            queue.append(.agent(.networkApplied(version: version, failures: [:], ports: [:])))
        case .report: break
        }
    }

    /// A container's process ends by itself.
    mutating func exit(_ id: String, code: Int) {
        end(id, code: code)
        drain()
    }

    private mutating func end(_ id: String, code: Int) {
        guard containers[id]?.isRunning == true else { return }
        containers[id]?.isRunning = false
        containers[id]?.info.state = .exited
        containers[id]?.info.exitCode = code
        queue.append(.agent(.container(.exited(containerID: id, exitCode: code, oomKilled: false, at: time))))
    }

    // MARK: Looking

    var store: ObjectStore { machine.store }
    func tasks(_ service: ObjectID) -> [SwarmTask] {
        store.tasks(ofService: service).sorted { ($0.slot ?? 0, $0.createdAt) < ($1.slot ?? 0, $1.createdAt) }
    }
    func running(_ service: ObjectID) -> [SwarmTask] {
        tasks(service).filter { $0.status.state == .running && $0.desiredState <= .running }
    }

    static func spec(_ name: String, replicas: UInt64 = 1, networks: [String] = [], image: String = "busybox")
        -> ServiceSpec
    {
        var spec = ServiceSpec(name: name)
        spec.taskTemplate.containerSpec = ContainerSpec(image: image)
        spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: replicas))
        if !networks.isEmpty {
            spec.taskTemplate.networks = networks.map { NetworkAttachmentConfig(target: $0) }
        }
        return spec
    }
}
