import Consensus
import Dispatching
import Membership
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// Whether all is as it should be, once nothing goes wrong any more.
extension World {
    /// The first thing that is not; nil at rest.
    package func unsettled() -> String? {
        let leading = nodes.indices.filter { nodes[$0].machine?.isLeader == true }
        guard leading.count == 1, let leader = nodes[leading[0]].machine else {
            let states = nodes.map { "\($0.id): \($0.machine?.consensusSummary ?? "down")" }
            return "\(leading.count) nodes lead: \(states.joined(separator: "; "))"
        }
        let store = leader.store
        guard clients.open.isEmpty else {
            let open = clients.open.sorted { $0.key < $1.key }.map {
                "\($0.key) at node-\($0.value.node): \($0.value.operation)"
            }
            return "requests are not answered yet: \(open.joined(separator: ", "))"
        }
        if let left = nodes.first(where: { $0.hasLeft && store.nodes[$0.id] != nil }) {
            return "\(left.id) has left and is still known"
        }
        for node in nodes where node.isMember && !node.isRemoved && !node.hasLeft {
            guard let machine = node.machine else { return "\(node.id) is not up" }
            guard let object = store.nodes[node.id] else { return "\(node.id) is not known" }
            guard object.status.state == "ready" else { return "\(node.id) is \(object.status.state)" }
            guard object.spec.availability == "active" else {
                return "\(node.id) is \(object.spec.availability)"
            }
            let dead = machine.deadNodes.filter { id in
                !nodes.contains { ($0.hasLeft || $0.isRemoved) && $0.id == id }
            }
            guard dead.isEmpty else { return "\(node.id) holds \(dead.sorted()) for dead" }
            if let text = strayAddress(in: machine) { return text }
            let isVoter = leader.voters.contains(NodeMachine.memberID(of: node.id))
            guard isVoter == (object.spec.role == "manager") else { return "\(node.id) votes: \(isVoter)" }
            if isVoter, machine.store.index != store.index {
                return "\(node.id) is at \(machine.store.index)"
            }
            guard machine.session.session?.leader.nodeID == leader.nodeID else {
                return "\(node.id) has no session"
            }
            guard machine.session.assignment == Assignment(of: store, node: node.id) else {
                return "\(node.id) holds an old assignment"
            }
        }
        return unsettledServices(store) ?? unsettledContainers(store)
    }

    /// Somebody who is sought where it is no more.
    private func strayAddress(in machine: NodeMachine) -> String? {
        for other in nodes where other.isUp && other.isMember && !other.isRemoved && other.id != machine.nodeID {
            guard let member = machine.gossip?.member(other.id), member.isPresent,
                member.contact.address != address(of: other.index)
            else { continue }
            return "\(machine.nodeID) seeks \(other.id) at \(member.contact.address)"
        }
        return nil
    }

    private func unsettledServices(_ store: ObjectStore) -> String? {
        for service in store.services.sorted {
            let tasks = store.tasks(ofService: service.id)
            let eligible = eligibleNodes(for: service, store)
            // The only nodes that might run it may have left for good: its tasks wait.
            if eligible == 0 {
                if let task = tasks.first(where: { $0.status.state == .running }) {
                    return "task \(task.id) runs against its constraints"
                }
                continue
            }
            if service.spec.isJob {
                let done = tasks.count { $0.status.state == .complete }
                guard done >= Int(service.spec.totalCompletions) else {
                    let states = tasks.map {
                        "\($0.slot ?? 0)@\($0.nodeID ?? "-"):\($0.status.state)->\($0.desiredState) "
                            + "\($0.jobIteration?.index ?? 99) \($0.status.err ?? "")"
                    }
                    return "job \(service.spec.name) has completed \(done) times: \(states)"
                }
            }
            let wanted = wantedTasks(of: service, eligible)
            let running = tasks.filter { $0.status.state == .running && $0.desiredState == .running }
            guard running.count == wanted else {
                let states = tasks.map {
                    "\($0.slot ?? 0)/\($0.id.prefix(4))@\($0.nodeID ?? "-"):"
                        + "\($0.status.state)->\($0.desiredState) \($0.status.err ?? "")"
                }
                return
                    "\(service.spec.name) runs \(running.count) of \(wanted): \(states.joined(separator: ", "))"
            }
            if let busy = tasks.first(where: { $0.isMoving }) {
                let due = busy.startAfter.map { " after \($0)" } ?? ""
                let states = tasks.map { "\($0.slot ?? 0)@\($0.nodeID ?? "-"):\($0.status.state)->\($0.desiredState)" }
                return "task \(busy.id) of \(service.spec.name) on \(busy.nodeID ?? "-") is \(busy.status.state) "
                    + "and should be \(busy.desiredState)\(due): \(states)"
            }
            if service.updateStatus?.state == "updating" { return "\(service.spec.name) is being updated" }
        }
        if let lost = store.tasks.sorted.first(where: { store.services[$0.serviceID ?? ""] == nil }) {
            return
                "task \(lost.id) on \(lost.nodeID ?? "-") has no service: \(lost.status.state)->\(lost.desiredState)"
        }
        return nil
    }

    private func wantedTasks(of service: Service, _ eligible: Int) -> Int {
        service.spec.mode.global != nil ? eligible : Int(service.spec.mode.replicated?.replicas ?? 0)
    }

    private func eligibleNodes(for service: Service, _ store: ObjectStore) -> Int {
        let constraints = (service.spec.taskTemplate.placement?.constraints ?? []).compactMap {
            try? PlacementConstraint($0)
        }
        return store.nodes.count { node in
            node.spec.availability == "active" && constraints.allSatisfy { $0.matches(node) }
        }
    }

    private func unsettledContainers(_ store: ObjectStore) -> String? {
        for node in nodes where node.isMember && !node.isRemoved && !node.hasLeft {
            let running = Set(node.containers.values.filter { $0.info.state == .running }.map(\.task))
            let wanted = Set(
                store.tasks(onNode: node.id).filter {
                    $0.status.state == .running && $0.desiredState == .running
                }
                .map(\.id))
            if running != wanted {
                return "\(node.id) runs \(running.sorted()) instead of \(wanted.sorted())"
            }
        }
        return nil
    }
}

extension SwarmTask {
    /// Whether something about it will still change by itself.
    fileprivate var isMoving: Bool {
        if desiredState == .remove { return true }
        if desiredState == .complete, status.state == .complete { return false }
        return !status.state.isTerminal && (desiredState >= .shutdown || status.state != .running)
            || status.state.isTerminal && desiredState < .shutdown
    }
}

extension ObjectStore {
    /// Which nodes, services and tasks differ from an earlier store's, in words.
    func changes(since before: ObjectStore) -> [String] {
        func difference<Object: SwarmObject & Equatable>(
            _ kind: String, _ old: Table<Object>, _ new: Table<Object>, _ words: (Object) -> String
        ) -> [String] {
            Set(old.ids + new.ids).sorted().filter { old[$0] != new[$0] }.map { id in
                "\(kind) \(id.prefix(6)): \(old[id].map(words) ?? "absent") -> \(new[id].map(words) ?? "absent")"
            }
        }
        return difference("node", before.nodes, nodes) { node in
            "\(node.version.index) \(node.status.state) \(node.status.addr ?? "") \(node.spec.role) "
                + "\(node.managerStatus.map { "\($0)" } ?? "")"
        } + difference("service", before.services, services) { "\($0.version.index)" }
            + difference("task", before.tasks, tasks) {
                "\($0.version.index) \($0.status.state)/\($0.desiredState)@\($0.nodeID ?? "-")"
            }
    }
}
