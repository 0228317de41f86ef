import Consensus
import Overlay
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// What a test does to a world by hand.
extension World {
    package var leader: Int? { nodes.indices.first { nodes[$0].machine?.isLeader == true } }

    package mutating func advance(by nanoseconds: Int64) throws(Violation) {
        try advance(to: now + nanoseconds)
    }
    package mutating func kill(_ node: Int) { crash(node) }
    package var readsServed: Int { clients.readsServed }
    package mutating func read(at node: Int) throws(Violation) {
        try step(node, .read(ticket: clients.begin(.read(floor: clients.floor), at: node)))
    }
    /// A node that is down will have another address when it comes back.
    package mutating func move(_ node: Int) { nodes[node].moves += 1 }
    package mutating func revive(_ node: Int) { schedule(.restart(node: node), after: 0) }

    /// The other managers are given up: one goes on alone with what its disk holds.
    package mutating func forceNewCluster(_ node: Int) {
        // In memory the value is the disk; a real one writes the batch that comes back.
        _ = nodes[node].disk.forceNewCluster(of: NodeMachine.memberID(of: nodes[node].id))
        nodes[node].epoch += 1
        nodes[node].isForced = true
        revive(node)
    }

    /// A leader hands over to another manager.
    package mutating func standDown(_ node: Int) throws(Violation) { try step(node, .standDown) }

    /// Somebody gives a node up, whatever it is doing.
    package mutating func removeNode(_ node: Int) throws(Violation) {
        guard let leader else { return }
        try ask(leader, .changeNode, .removeNode(id: nodes[node].id, force: true))
    }
    /// Whether the node knows that it is of the cluster no more.
    package func knowsOfItsRemoval(_ node: Int) -> Bool { nodes[node].isRemoved }

    package mutating func createService(replicas: UInt64) throws(Violation) {
        var spec = ServiceSpec(name: "scene")
        spec.taskTemplate.containerSpec = ContainerSpec(image: "busybox")
        spec.taskTemplate.networks = [NetworkAttachmentConfig(target: "front")]
        spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: replicas))
        let ticket = clients.begin(.create(name: "scene"), at: 0)
        try step(0, .request(ticket: ticket, .createService(spec, registryAuth: nil), freshTokens: nil))
    }

    package mutating func scaleService(to replicas: UInt64) throws(Violation) {
        guard let leader, let service = checker.truth.services.named("scene") else { return }
        var spec = service.spec
        spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: replicas))
        let request = ControlRequest.updateService(
            id: service.id, version: service.version.index, spec, ServiceUpdateOptions())
        try ask(leader, .scale(service.id, replicas), request)
    }

    /// The containers that run on all nodes but one.
    package func runningContainers(of node: Int) -> Set<String> {
        runningContainers(except: -1).intersection(nodes[node].containers.keys)
    }

    /// What runs there and is under the agent's care, with its own part of the network.
    package func adoptedContainers(of node: Int) -> Set<String> {
        let known = nodes[node].containers.filter { container, content in
            nodes[node].machine?.agent.containerID(ofTask: content.task) == container
                && nodes[node].networking.sandboxes[container] != nil
        }
        return Set(known.keys)
    }

    package func runningContainers(except node: Int) -> Set<String> {
        Set(
            nodes.filter { $0.index != node }.flatMap { machine in
                machine.containers.filter { $0.value.info.state == .running }.map(\.key)
            })
    }
}
