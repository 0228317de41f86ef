import Membership
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// What clients have asked and been told.
struct Clients {
    enum Operation {
        case create(name: String)
        case scale(ObjectID, UInt64)
        case remove(ObjectID)
        case changeNode
        case join(Int)
        case read(floor: UInt64)
    }
    struct Open {
        var node: Int
        var operation: Operation
        /// What had been answered when it was asked.
        var answers: Int
        /// What had been agreed on then.
        var index: UInt64
    }
    struct Replicas {
        var count: UInt64
        var answer: Int
    }

    private(set) var open: [UInt64: Open] = [:]
    /// Services whose creation was acknowledged.
    private(set) var created: [ObjectID] = []
    private(set) var removalAsked: Set<ObjectID> = []
    private(set) var removed: Set<ObjectID> = []
    /// Numbers of replicas that each service may have now.
    private(set) var replicas: [ObjectID: [Replicas]] = [:]
    private var answers = 0
    private(set) var acknowledged = 0
    private(set) var refused = 0
    var readsServed = 0
    private var joined: [UInt64: Int] = [:]
    /// As far as anybody has come.
    var agreedIndex: UInt64 = 0
    /// The versions that changes were asked of.
    private var versions: [UInt64: UInt64] = [:]
    private var nextTicket: UInt64 = 1000
    /// Every index that a client knows to be agreed.
    private(set) var floor: UInt64 = 0

    mutating func begin(_ operation: Operation, at node: Int) -> UInt64 {
        nextTicket += 1
        open[nextTicket] = Open(node: node, operation: operation, answers: answers, index: agreedIndex)
        if case .remove(let id) = operation { removalAsked.insert(id) }
        return nextTicket
    }

    /// A client's node died: nobody will ever answer.
    mutating func lost(_ node: Int) {
        for (ticket, entry) in open where entry.node == node {
            doubt(entry.operation)
            open[ticket] = nil
        }
    }

    /// The outcome is not known.
    private mutating func doubt(_ operation: Operation) {
        if case .scale(let id, let count) = operation { uncertain[id, default: []].insert(count) }
    }

    /// What a service has before anybody scales it.
    mutating func know(_ id: ObjectID, _ count: UInt64) {
        if replicas[id] == nil { replicas[id] = [Replicas(count: count, answer: 0)] }
    }

    mutating func takeRead(_ ticket: UInt64) -> UInt64? {
        guard case .read(let floor)? = open.removeValue(forKey: ticket)?.operation else { return nil }
        return floor
    }
    mutating func takeJoined(_ ticket: UInt64) -> Int? { joined.removeValue(forKey: ticket) }

    mutating func answered(
        _ ticket: UInt64, by node: Int, _ result: Result<ControlResponse, SwarmError>, _ checker: Checker
    ) throws(Violation) {
        guard let entry = open.removeValue(forKey: ticket) else { return }
        answers += 1
        switch result {
        case .success(let response):
            acknowledged += 1
            try succeeded(entry, response, ticket, checker)
        case .failure(let error):
            refused += 1
            try checkRefusal(entry, versions.removeValue(forKey: ticket), error, checker)
            if error.code == .unavailable { doubt(entry.operation) }
            // What was certainly not done leaves no trace in what may be.
            if error.code != .unavailable, case .remove(let id) = entry.operation { removalAsked.remove(id) }
        }
    }

    mutating func note(version: UInt64, of ticket: UInt64) { versions[ticket] = version }

    /// Nobody is refused for what was never agreed on.
    private func checkRefusal(
        _ entry: Open, _ version: UInt64?, _ error: SwarmError, _ checker: Checker
    ) throws(Violation) {
        switch entry.operation {
        case .create(let name):
            guard error.code == .conflict, (checker.names[name] ?? 0) < entry.index else { return }
            throw Violation(text: "a service is refused for the name \(name), which nobody has")
        case .scale(let id, _):
            guard error.code == .outdatedVersion, let version,
                checker.truth.services[id]?.version.index == version
            else { return }
            throw Violation(text: "a change of service \(id) is refused although its version is the last")
        case .remove, .changeNode, .join, .read: return
        }
    }

    private mutating func succeeded(
        _ entry: Open, _ response: ControlResponse, _ ticket: UInt64, _ checker: Checker
    ) throws(Violation) {
        switch entry.operation {
        case .create:
            guard case .created(let id, _) = response else { return }
            guard let index = checker.createdAt[id] else {
                throw Violation(text: "service \(id) was acknowledged before it was agreed")
            }
            floor = max(floor, index)
            created.append(id)
        case .remove(let id): removed.insert(id)
        case .scale(let id, let count):
            // What was answered while this was under way may have been agreed before it or after.
            let overlapping = (replicas[id] ?? []).filter { $0.answer > entry.answers }
            replicas[id] = overlapping + [Replicas(count: count, answer: answers)]
        case .join(let node): joined[ticket] = node
        case .changeNode, .read: break
        }
    }

    /// Scalings whose outcome nobody knows.
    private(set) var uncertain: [ObjectID: Set<UInt64>] = [:]
}

/// Clients at work, through any node.
extension World {
    mutating func clientActs() throws(Violation) {
        guard !isCalm else { return }
        schedule(.client, after: milliseconds(100...700))
        let members = nodes.indices.filter {
            nodes[$0].isMember && nodes[$0].isUp && nodes[$0].pausedUntil <= now
        }
        guard !members.isEmpty else { return }
        let leader = members.first { nodes[$0].machine?.isLeader == true }
        if plan.isVaried, below(4) == 0, let leader {
            // All at once, so that each is judged by what the one before it may have done.
            for _ in 0..<4 where nodes[leader].isUp { try clientActs(through: leader) }
        } else {
            try clientActs(through: members[below(members.count)])
        }
    }

    private mutating func clientActs(through node: Int) throws(Violation) {
        let services = checker.truth.services.sorted.filter { !clients.removalAsked.contains($0.id) }
        switch below(10) {
        case 0, 1, 2:
            guard services.count < 5 else { fallthrough }
            let spec = makeSpec()
            try ask(node, .create(name: spec.name), .createService(spec, registryAuth: nil))
        case 3, 4:
            let services = services.filter { $0.spec.mode.replicated != nil }
            guard !services.isEmpty else { return }
            let service = services[below(services.count)]
            var spec = service.spec
            let count = UInt64(1 + below(4))
            spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: count))
            if below(4) == 0 { spec.taskTemplate.forceUpdate = (spec.taskTemplate.forceUpdate ?? 0) + 1 }
            clients.know(service.id, service.spec.mode.replicated?.replicas ?? 0)
            note("scale \(service.id) to \(count)")
            let ticket = clients.begin(.scale(service.id, count), at: node)
            clients.note(version: service.version.index, of: ticket)
            let request = ControlRequest.updateService(
                id: service.id, version: service.version.index, spec, ServiceUpdateOptions())
            try step(node, .request(ticket: ticket, request, freshTokens: nil))
        case 5:
            guard services.count > 2 else { return }
            let service = services[below(services.count)]
            try ask(node, .remove(service.id), .removeService(id: service.id))
        case 6: try changeNode(through: node)
        default:
            let ticket = clients.begin(.read(floor: clients.floor), at: node)
            try step(node, .read(ticket: ticket))
        }
    }

    mutating func ask(
        _ node: Int, _ operation: Clients.Operation, _ request: ControlRequest
    ) throws(Violation) {
        let ticket = clients.begin(operation, at: node)
        try step(node, .request(ticket: ticket, request, freshTokens: nil))
    }

    private mutating func makeSpec() -> ServiceSpec {
        var spec = ServiceSpec(name: "service-\(now / 1_000_000)")
        spec.taskTemplate.containerSpec = ContainerSpec(image: "busybox")
        spec.taskTemplate.networks = [NetworkAttachmentConfig(target: "front")]
        spec.taskTemplate.restartPolicy = RestartPolicy(condition: "any", delay: 500_000_000)
        spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: UInt64(1 + below(3))))
        if below(3) == 0, nodes.count > 1 {
            spec.taskTemplate.placement = Placement(constraints: ["node.hostname!=\(nodes[0].id)"])
        }
        if below(3) == 0 { spec.endpointSpec = EndpointSpec(ports: [PortConfig(targetPort: 80)]) }
        vary(&spec)
        return spec
    }

    /// Drains, wakes, promotes or demotes a node.
    private mutating func changeNode(through node: Int) throws(Violation) {
        // Nobody promotes or demotes who is on its way out: a quorum of those that are gone is lost.
        let known = checker.truth.nodes.sorted.filter { !checker.leaving.contains($0.id) }
        guard !known.isEmpty else { return }
        let target = known[below(known.count)]
        var spec = target.spec
        if below(2) == 0 {
            let drained = known.filter { $0.spec.availability == "drain" }
            spec.availability = spec.availability == "drain" ? "active" : drained.isEmpty ? "drain" : "active"
        } else {
            spec.role = spec.role == "manager" ? "worker" : "manager"
        }
        try ask(node, .changeNode, .updateNode(id: target.id, version: target.version.index, spec))
    }

    /// Asks the first node to take another one in; asked again until it is.
    mutating func join(_ node: Int) {
        guard !nodes[node].isMember else { return }
        schedule(.join(node: node), after: 1_000_000_000)
        let through = nodes.indices.first { nodes[$0].isMember && nodes[$0].isUp }
        guard let through else { return }
        let ticket = clients.begin(.join(node), at: through)
        let role = node < plan.managers ? "manager" : "worker"
        let join = NodeJoin(
            nodeID: nodes[node].id, role: role, description: description(of: node),
            address: address(of: node).host)
        schedule(
            .event(
                node: through, boot: nodes[through].boot,
                .request(ticket: ticket, .joinSwarm(join), freshTokens: nil)),
            after: 0)
    }

    /// At rest every node takes tasks again.
    mutating func wakeDrainedNodes() throws(Violation) {
        guard let leader = nodes.indices.first(where: { nodes[$0].machine?.isLeader == true }),
            let store = nodes[leader].machine?.store
        else { return }
        try removeLeavers(store, through: leader)
        for node in store.nodes.sorted where node.spec.availability != "active" {
            var spec = node.spec
            spec.availability = "active"
            try ask(leader, .changeNode, .updateNode(id: node.id, version: node.version.index, spec))
        }
    }
}
