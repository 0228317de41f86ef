import Dispatching
import Membership
import Overlay
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// What must hold after every step.
struct Checker {
    static let forged = "forged by another node"
    /// A node that nothing has troubled for so long must not be taken for down.
    static let quiet: Int64 = 12_000_000_000

    struct LeadershipKey: Hashable { var epoch, term: UInt64 }
    struct StreamKey: Hashable {
        var session: SessionID
        var version: UInt64
    }

    /// The furthest state that anybody has reached.
    var truth = ObjectStore()
    var epoch: UInt64 = 0
    var states: [UInt64: ObjectStore] = [:]
    var leaders: [LeadershipKey: Int] = [:]
    var createdAt: [ObjectID: UInt64] = [:]
    /// The last index at which a service had the name.
    var names: [String: UInt64] = [:]
    var sent: [StreamKey: Assignment] = [:]
    var indexes: [Int: UInt64] = [:]
    /// Nodes that leave stop whatever runs.
    var leaving: Set<String> = []

    // MARK: Tasks on their nodes

    func checkStop(of task: ObjectID, _ container: String, on node: SimulatedNode, _ now: Int64)
        throws(Violation)
    {
        guard node.containers[container]?.info.state == .running, !leaving.contains(node.id) else { return }
        guard let wanted = truth.tasks[task], wanted.desiredState < .shutdown, !wanted.status.state.isTerminal
        else {
            return
        }
        throw Violation(text: "\(node.id) stops task \(task), which is healthy and wanted")
    }

    // MARK: Clients

    func checkRead(_ floor: UInt64?, _ result: Result<ObjectStore, SwarmError>) throws(Violation) {
        guard let floor, case .success(let store) = result else { return }
        guard store.index >= floor else {
            throw Violation(
                text: "a read saw index \(store.index) after index \(floor) had been acknowledged")
        }
    }

    func checkAcknowledged(_ clients: Clients) throws(Violation) {
        for id in clients.created where truth.services[id] == nil && !clients.removalAsked.contains(id) {
            throw Violation(text: "service \(id) was acknowledged and is lost")
        }
        for id in clients.removed where truth.services[id] != nil {
            throw Violation(text: "the removal of service \(id) was acknowledged and is lost")
        }
        for (id, possible) in clients.replicas {
            guard let service = truth.services[id], let count = service.spec.mode.replicated?.replicas else {
                continue
            }
            var uncertain = clients.uncertain[id] ?? []
            for case .scale(id, let asked) in clients.open.values.map(\.operation) { uncertain.insert(asked) }
            guard possible.contains(where: { $0.count == count }) || uncertain.contains(count) else {
                throw Violation(text: "service \(id) has \(count) replicas, which nobody asked for last")
            }
        }
    }

    // MARK: Stores

    /// Equal states at equal indexes; and when somebody gets further than anybody before, what changed.
    mutating func advance(_ store: ObjectStore, by node: Int, _ world: World) throws(Violation) {
        guard indexes[node] != store.index else { return }
        indexes[node] = store.index
        if let known = states[store.index] {
            guard StoreImage(known) == StoreImage(store) else {
                throw Violation(text: "node-\(node) has another state at index \(store.index)")
            }
        } else {
            states[store.index] = store
            if store.index > 400 { states[store.index - 400] = nil }
        }
        guard store.index > truth.index else { return }
        let before = truth
        truth = store
        for service in before.services.sorted + store.services.sorted { names[service.spec.name] = store.index }
        try compareTasks(before, store)
        for node in store.nodes.sorted
        where node.status.state == "down" && before.nodes[node.id]?.status.state != "down" {
            try world.checkDown(node)
        }
        try checkAddresses(store)
        try checkSlots(store)
    }

    private mutating func compareTasks(_ before: ObjectStore, _ after: ObjectStore) throws(Violation) {
        for service in after.services.sorted where createdAt[service.id] == nil {
            createdAt[service.id] = after.index
        }
        for task in after.tasks.sorted {
            let old = before.tasks[task.id]
            guard old?.version != task.version else { continue }
            if let old, task.status.state < old.status.state || task.desiredState < old.desiredState {
                throw Violation(
                    text: "task \(task.id) goes back from \(old.status.state) to \(task.status.state)")
            }
            if task.status.message == Self.forged {
                throw Violation(text: "the status of task \(task.id) came from a node that does not run it")
            }
            if task.status.state >= .assigned, (old?.status.state ?? .new) < .assigned,
                !task.status.state.isTerminal
            {
                try checkPlacement(task, after)
            }
        }
    }

    private func checkPlacement(_ task: SwarmTask, _ store: ObjectStore) throws(Violation) {
        guard let node = task.nodeID.flatMap({ store.nodes[$0] }) else { return }
        for text in task.spec.placement?.constraints ?? [] {
            guard let constraint = try? PlacementConstraint(text), constraint.matches(node) else {
                throw Violation(text: "task \(task.id) is on \(node.id) against its constraint \(text)")
            }
        }
    }

    private func checkAddresses(_ store: ObjectStore) throws(Violation) {
        var holders: [String: ObjectID] = [:]
        func claim(_ network: ObjectID, _ address: IPv4Address, _ id: ObjectID) throws(Violation) {
            let key = "\(network) \(address)"
            if let other = holders[key], other != id {
                throw Violation(text: "\(address) on \(network) belongs to \(other) and \(id)")
            }
            holders[key] = id
        }
        for service in store.services.sorted {
            for virtual in service.endpoint.virtualIPs ?? [] {
                guard let address = virtual.addr?.address else { continue }
                try claim(virtual.networkID ?? "", address, service.id)
            }
        }
        for task in store.tasks.sorted where !task.status.state.isTerminal {
            for attachment in task.networksAttachments ?? [] {
                guard let address = attachment.addresses?.first?.address else { continue }
                try claim(attachment.network.id, address, task.id)
            }
        }
    }

    private func checkSlots(_ store: ObjectStore) throws(Violation) {
        for service in store.services.sorted where service.spec.mode.replicated != nil {
            var wanted: [Int: ObjectID] = [:]
            for task in store.tasks(ofService: service.id)
            where task.desiredState == .running && !task.status.state.isTerminal {
                if let other = wanted[task.slot ?? 0] {
                    let tasks = store.tasks(ofService: service.id).filter { $0.slot == task.slot }.map {
                        "\($0.id.prefix(5))@\($0.nodeID ?? "-") \($0.status.state)->\($0.desiredState) "
                            + "made \($0.createdAt) changed at \($0.version.index)"
                    }
                    throw Violation(
                        text:
                            "slot \(task.slot ?? 0) of \(service.spec.name) has \(other) and \(task.id): \(tasks)"
                    )
                }
                wanted[task.slot ?? 0] = task.id
            }
        }
    }
}

extension World {
    /// After a step of one node: what it says, sends and holds.
    mutating func observe(_ node: Int, _ events: [NodeEvent], _ effects: [NodeEffect]) throws(Violation) {
        guard let machine = nodes[node].machine else { return }
        if machine.epoch > checker.epoch, machine.isLeader {
            // A cluster made anew begins another history.
            (checker.epoch, checker.truth, checker.states) = (machine.epoch, ObjectStore(), [:])
            checker.indexes = [:]
        }
        if machine.isLeader {
            let key = Checker.LeadershipKey(epoch: machine.epoch, term: machine.term)
            if let other = checker.leaders[key], other != node {
                throw Violation(text: "node-\(other) and node-\(node) both led in term \(machine.term)")
            }
            if checker.leaders[key] == nil { note("\(nodes[node].id) leads in term \(machine.term)") }
            checker.leaders[key] = node
        }
        if machine.epoch == checker.epoch, machine.store.index != (checker.indexes[node] ?? 0),
            machine.store.index > 0
        {
            var checker = checker
            let world = self
            try checker.advance(machine.store, by: node, world)
            self.checker = checker
            clients.agreedIndex = checker.truth.index
        }
        if let ahead = machine.ahead, ahead.writes == 0, ahead.store.index != machine.store.index {
            throw Violation(text: "\(machine.nodeID) goes on from writes that nobody agreed on")
        }
        try observeStreams(machine, events, effects)
        if !machine.deadNodes.isEmpty { try checkEndpoints(machine, node, effects) }
    }

    /// An agent holds at each version of its stream what the leader meant.
    private mutating func observeStreams(
        _ machine: NodeMachine, _ events: [NodeEvent], _ effects: [NodeEffect]
    ) throws(Violation) {
        var updates: [ObjectID: AssignmentUpdate] = [:]
        for case .send(.toAgent(.update(let update)), let route) in effects { updates[route.nodeID] = update }
        for (id, update) in updates {
            let key = Checker.StreamKey(session: update.session, version: update.version)
            checker.sent[key] = Assignment(of: machine.store, node: id)
        }
        let isUpdated = events.contains { if case .peer(.toAgent, _) = $0 { true } else { false } }
        guard isUpdated, let session = machine.session.session else { return }
        let key = Checker.StreamKey(session: session, version: machine.session.version)
        guard let meant = checker.sent[key], let held = machine.session.assignment, meant != held else {
            return
        }
        throw Violation(
            text: "\(machine.nodeID) holds another assignment than its leader sent as version \(key.version)")
    }

    /// Nobody sends traffic to a node that it holds for dead.
    private func checkEndpoints(_ machine: NodeMachine, _ node: Int, _ effects: [NodeEffect])
        throws(Violation)
    {
        guard let assignment = machine.session.assignment else { return }
        var networking = nodes[node].networking
        for case .agent(.applyNetworking(let wanted, _, _)) in effects { networking = wanted }
        let backends = Set(networking.networks.values.flatMap(\.services).flatMap(\.backends))
        var alive: Set<IPv4Address> = []
        for endpoint in assignment.services.flatMap(\.endpoints)
        where !machine.deadNodes.contains(endpoint.nodeID) {
            alive.formUnion(endpoint.addresses.values)
        }
        for endpoint in assignment.services.flatMap(\.endpoints)
        where machine.deadNodes.contains(endpoint.nodeID) {
            for address in endpoint.addresses.values
            where backends.contains(address) && !alive.contains(address) {
                throw Violation(
                    text:
                        "\(machine.nodeID) balances to \(address) of \(endpoint.nodeID), which it holds for dead"
                )
            }
        }
    }

    /// Nobody who is well is taken for down.
    func checkDown(_ node: Node) throws(Violation) {
        guard let index = index(of: node.id), nodes.indices.contains(index) else { return }
        let leader = nodes.indices.first { nodes[$0].machine?.isLeader == true } ?? index
        for involved in [index, leader] {
            guard nodes[involved].isUp, now - nodes[involved].troubledAt > Checker.quiet else { return }
        }
        guard !network.hasTrouble, !checker.leaving.contains(node.id) else { return }
        throw Violation(text: "\(node.id) is taken for down although nothing is wrong with it")
    }
}
