import Store
import SwarmCore
import SwarmModel

/// Nodes come, change their roles, and go.
extension RequestHandler {
    func removeNode(_ id: ObjectID, force: Bool) throws(SwarmError) -> Outcome {
        guard let node = store.nodes[id] else { throw notFound("node", id) }
        if node.spec.role == "manager" {
            let text =
                "node \(id) is a cluster manager and is a member of the raft cluster. "
                + "It must be demoted to worker before removal"
            throw Self.rpc(.failedPrecondition, text)
        }
        if node.status.state == "ready" && !force {
            throw Self.rpc(.failedPrecondition, "node \(id) is not down and can't be removed")
        }
        return Outcome(actions: [.remove(.node, id)], response: .done)
    }

    func joinSwarm(_ join: NodeJoin) throws(SwarmError) -> Outcome {
        guard store.cluster != nil else { throw SwarmError(.unavailable, "This node is not part of a swarm") }
        guard ["worker", "manager"].contains(join.role),
            ["active", "pause", "drain"].contains(join.availability)
        else {
            throw SwarmError(.invalidArgument, "invalid role or availability of a joining node")
        }
        if var known = store.nodes[join.nodeID] {
            (known.description, known.status.addr) = (join.description, join.address)
            let actions: [StoreAction] = known == store.nodes[join.nodeID] ? [] : [.update(.node(known))]
            return Outcome(actions: actions, response: .created(join.nodeID))
        }
        var node = Node(id: join.nodeID)
        node.spec = NodeSpec(role: join.role, availability: join.availability)
        node.description = join.description
        node.status = NodeStatus(state: "unknown", addr: join.address)
        return Outcome(actions: [.create(.node(node))], response: .created(node.id))
    }

    /// Refuses a change of role that could not be carried out or would leave the managers without a majority.
    func checkRoleChange(of node: Node, to role: String, _ managers: [Node]) throws(SwarmError) {
        guard role != node.spec.role else { return }
        let isGone = node.status.state == "down" || unreachable.contains(node.id)
        if role == "manager", isGone {
            throw Self.rpc(
                .failedPrecondition,
                "node \(node.id) is down and can't be promoted: bring it back, or promote another node")
        }
        guard role == "worker" else { return }
        // Who was promoted and does not vote yet may never come to it.
        let others = managers.filter { $0.id != node.id && voters?.contains($0.id) != false }
        let reachable = others.filter { $0.status.state != "down" && !unreachable.contains($0.id) }
        if reachable.count <= others.count / 2 {
            let advice =
                others.isEmpty
                ? "the other managers do not vote yet; wait a few seconds until they do"
                : "bring the other managers back first, or promote more nodes"
            throw Self.rpc(
                .failedPrecondition,
                "can't remove member from the raft: this would result in a loss of quorum; \(advice)")
        }
    }
}
