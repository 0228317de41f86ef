import Consensus
import Dispatching
import Store
import SwarmCore
import SwarmModel

/// What a leader sees of the cluster around it.
struct ClusterView: Sendable {
    var nodeID: ObjectID
    /// Nodes that gossip holds for dead or gone.
    var dead: Set<ObjectID>
    /// Those of them that said farewell.
    var left: Set<ObjectID>
    var configuration: ClusterConfiguration
    var isForced: Bool
    /// `host:port` of managers, as they say themselves.
    var managerAddresses: [ObjectID: String] = [:]
    /// Nodes whose machine is there and whose daemon is not.
    var absent: Set<ObjectID> = []
}

extension ManagerMachine {
    /// Brings the nodes' status, and the roles of those that left, to what sessions and gossip say.
    mutating func nodeActions(_ view: ClusterView, at now: Instant) -> [StoreAction] {
        let store = pipeline.store
        if let due = checkNodesAt, due <= now { nodesToCheck = .all }
        if case .all = nodesToCheck { checkNodesAt = nil }
        let nodes = nodesToCheck.nodes(in: store)
        nodesToCheck = .none
        var actions: [StoreAction] = []
        for node in nodes {
            var wanted = node
            let isDead = view.dead.contains(node.id)
            if node.id == view.nodeID {
                // Also when it went down in the log of a leader that was given up since.
                if node.status.state != "ready" { (wanted.status.state, wanted.status.message) = ("ready", nil) }
            } else {
                let presence = dispatcher.presence(
                    of: node.id, isHeldForDead: isDead, isAbsent: view.absent.contains(node.id), at: now)
                let due = dispatcher.nextChange(of: node.id, isHeldForDead: isDead, at: now)
                if due > now { checkNodesAt = checkNodesAt.map { min($0, due) } ?? due }
                if view.left.contains(node.id) {
                    (wanted.status.state, wanted.status.message) = ("down", "the node left the swarm")
                    if node.spec.role == "manager", keepsQuorum(without: node.id, store, view) {
                        wanted.spec.role = "worker"
                    }
                } else {
                    switch presence {
                    case .present: (wanted.status.state, wanted.status.message) = ("ready", nil)
                    case .doubted where node.status.state == "ready":
                        wanted.status.state = "unknown"
                        wanted.status.message =
                            isDead ? "the node does not answer" : "no heartbeat for a few seconds"
                    case .silent where node.status.state != "down":
                        wanted.status.state = "down"
                        wanted.status.message = isDead ? "the node does not answer" : "heartbeat failure"
                    case .silent, .doubted, .unknown: break
                    }
                }
            }
            if view.isForced, node.id != view.nodeID, node.spec.role == "manager" {
                wanted.spec.role = "worker"
            }
            wanted.managerStatus = managerStatus(
                of: wanted, view, isDead: isDead || view.absent.contains(node.id))
            if wanted != node { actions.append(.update(.node(wanted))) }
        }
        return actions
    }

    private func managerStatus(of node: Node, _ view: ClusterView, isDead: Bool) -> ManagerStatus? {
        guard view.configuration.isVoter(NodeMachine.memberID(of: node.id)) else { return nil }
        guard view.configuration.members.count > 1 || node.managerStatus != nil else { return nil }
        let address =
            view.managerAddresses[node.id] ?? node.managerStatus?.addr
            ?? (node.status.addr.map { "\($0):2377" } ?? "")
        let isSelf = node.id == view.nodeID
        return ManagerStatus(
            leader: isSelf ? true : nil, reachability: isDead && !isSelf ? "unreachable" : "reachable",
            addr: address)
    }

    private func keepsQuorum(without id: ObjectID, _ store: ObjectStore, _ view: ClusterView) -> Bool {
        let others = view.configuration.voters.subtracting([NodeMachine.memberID(of: id)])
        let dead = Set(view.dead.map { NodeMachine.memberID(of: $0) })
        return !others.isEmpty && others.subtracting(dead).count > others.count / 2
    }

    /// The managers that the store asks for, as far as they can be had now; nil when consensus has them already.
    func wantedVoters(_ store: ObjectStore, _ view: ClusterView) -> Set<MemberID>? {
        guard store.cluster != nil, !view.configuration.isJoint else { return nil }
        var voters = view.configuration.voters
        var known: Set<MemberID> = []
        for node in store.nodes.sorted {
            let id = NodeMachine.memberID(of: node.id)
            known.insert(id)
            if node.spec.role == "manager" {
                // Nobody waits for a new manager that is not there.
                guard !voters.contains(id), !view.dead.contains(node.id), dispatcher.hasSession(node.id),
                    voters.count < ClusterConfiguration.votersMax
                else { continue }
                voters.insert(id)
            } else {
                voters.remove(id)
            }
        }
        voters.formIntersection(known)
        guard !voters.isEmpty, voters != view.configuration.voters || !view.configuration.learners.isEmpty
        else {
            return nil
        }
        let dead = Set(view.dead.map { NodeMachine.memberID(of: $0) })
        guard voters.subtracting(dead).count > voters.count / 2 else { return nil }
        return voters
    }
}
