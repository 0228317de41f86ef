import Allocation
import Consensus
import Membership
import Ports
import Store
package import SwarmCore
import SwarmModel
import SwarmNode

/// Managers whose network and disks take no time: what is left is what the machines themselves cost.
///
/// It keeps no clock; whoever runs it measures. Objects travel by number, not as bytes (``RecordTable``).
package struct WriteBench {
    package enum Request: String, CaseIterable, Sendable {
        /// A new object that nothing depends on, as a key-value store's write is.
        case config
        /// A new label on a service, which the planner looks at.
        case label
    }

    private var machines: [NodeMachine] = []
    private var queue: Queue<(node: Int, event: NodeEvent)> = []
    private var now = Instant(nanoseconds: 1_000_000_000)
    private var time = Timestamp(nanoseconds: 1_800_000_000_000_000_000)
    private let codec = RecordTable()
    private var answered: [UInt64: Result<ControlResponse, SwarmError>] = [:]
    private var nextTicket: UInt64 = 0
    /// One for each client: of several that change one service at once, one only would get through.
    private var services: [ObjectID] = []
    package private(set) var batches = 0
    package private(set) var plans = 0
    package var agreedIndex: UInt64 { machines[0].store.index }

    package init(managers: Int) throws(SwarmError) {
        for index in 0..<managers {
            var setup = ClusterSetup()
            (setup.isFounder, setup.managers) = (index == 0, ["node-0"])
            machines.append(
                NodeMachine(
                    nodeID: "node-\(index)", agentFacts: AgentFacts(hostname: "", namespaceDirectory: "/run/netns"),
                    allocationFacts: AllocationFacts(), codec: codec, seed: UInt64(index + 1), setup: setup))
        }
        try begin()
    }

    private mutating func begin() throws(SwarmError) {
        for index in machines.indices {
            queue.append((index, .recovered(RecoveredState())))
            queue.append((index, .agent(.found([]))))
        }
        var first = Node(id: "node-0")
        first.spec = NodeSpec(role: "manager", availability: "active")
        queue.append((0, .bootstrap(ticket: 0, [.create(.cluster(Cluster(id: "cluster"))), .create(.node(first))])))
        drain()
        for index in machines.indices.dropFirst() {
            _ = try demand(.joinSwarm(NodeJoin(nodeID: "node-\(index)", role: "manager", address: "10.0.0.\(index)")))
        }
        for _ in 0..<2000 where machines[0].voters.count < machines.count {
            now = now + .milliseconds(10)
            time = time + .milliseconds(10)
            for index in machines.indices { queue.append((index, .deadlineReached)) }
            drain()
        }
        guard machines[0].voters.count == machines.count, machines[0].isLeader else {
            throw SwarmError(.internal, "the managers do not come together: \(machines[0].consensusSummary)")
        }
    }

    private mutating func makeServices(_ count: Int) throws(SwarmError) {
        while services.count < count {
            var spec = ServiceSpec(name: "service-\(services.count)")
            spec.taskTemplate.containerSpec = ContainerSpec(image: "busybox")
            spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: 0))
            guard case .created(let id, _) = try demand(.createService(spec, registryAuth: nil)) else { return }
            services.append(id)
        }
    }

    private mutating func demand(_ request: ControlRequest) throws(SwarmError) -> ControlResponse {
        let ticket = ask(request)
        drain()
        guard let result = answered.removeValue(forKey: ticket) else {
            throw SwarmError(.internal, "a request was not answered")
        }
        return try result.get()
    }

    private mutating func ask(_ request: ControlRequest) -> UInt64 {
        nextTicket += 1
        queue.append((0, .request(ticket: nextTicket, request, freshTokens: nil)))
        return nextTicket
    }

    /// So many requests at the leader, from so many clients that each wait for their answer.
    package mutating func run(_ kind: Request, count: Int, clients: Int) throws(SwarmError) {
        if kind == .label { try makeServices(clients) }
        answered = [:]
        var open: [UInt64: Int] = [:]
        var asked = 0
        for client in 0..<min(clients, count) {
            open[ask(try request(kind, of: client))] = client
            asked += 1
        }
        while !open.isEmpty {
            while answered.isEmpty, let next = queue.popFirst() { perform(next.node, next.event) }
            guard !answered.isEmpty else { throw SwarmError(.internal, "\(open.count) requests are not answered") }
            let results = answered
            answered = [:]
            for (ticket, result) in results.sorted(by: { $0.key < $1.key }) {
                _ = try result.get()
                guard let client = open.removeValue(forKey: ticket), asked < count else { continue }
                open[ask(try request(kind, of: client))] = client
                asked += 1
            }
        }
    }

    private func request(_ kind: Request, of client: Int) throws(SwarmError) -> ControlRequest {
        switch kind {
        case .config: return .createConfig(ConfigSpec(name: "config-\(nextTicket)", data: "dmFsdWU="))
        case .label:
            guard let stored = machines[0].store.services[services[client]] else {
                throw SwarmError(.internal, "the service is gone")
            }
            var spec = stored.spec
            spec.labels = ["round": String(nextTicket)]
            return .updateService(id: stored.id, version: stored.version.index, spec, ServiceUpdateOptions())
        }
    }

    private mutating func drain() { while let next = queue.popFirst() { perform(next.node, next.event) } }

    private mutating func perform(_ node: Int, _ event: NodeEvent) {
        now = now + .nanoseconds(100)
        time = time + .nanoseconds(100)
        for effect in machines[node].receive(event, at: now, time: time) {
            switch effect {
            case .persist(let batch):
                if node == 0 { batches += 1 }
                queue.append((node, .persisted(sequence: batch.sequence)))
            case .plan(let store, let facts, let seed):
                plans += 1
                queue.append((node, .planned(Planner.plan(store, at: time, facts: facts, seed: seed))))
            case .saveSnapshot(_, let index, _, _): queue.append((node, .snapshotSaved(index: index)))
            case .respond(let ticket, let result): answered[ticket] = result
            case .send(let message, let route):
                guard let target = Int(route.nodeID.dropFirst(5)) else { continue }
                queue.append((target, .peer(message, from: machines[node].nodeID)))
            case .readable, .committed, .agent, .gossip, .askHost, .eraseLog, .removedFromCluster, .fatal: break
            }
        }
    }
}
