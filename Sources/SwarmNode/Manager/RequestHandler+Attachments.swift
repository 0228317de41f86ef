import Store
import SwarmCore
import SwarmModel

/// Standalone containers on the swarm's networks: each is a task that is no more than an address.
extension RequestHandler {
    func attachment(
        _ nodeID: ObjectID, _ request: AttachmentRequest, using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> Outcome {
        switch request {
        case .attach(let containerID, let wish):
            return try attach(containerID, wish, of: nodeID, using: &generator)
        case .detach(let id):
            // Gone already is what was wanted; another node's is none of its business.
            guard let task = store.tasks[id], task.isAttachment, task.nodeID == nodeID else {
                return Outcome(actions: [], response: .done)
            }
            return Outcome(actions: [.remove(.task, id)], response: .done)
        }
    }

    private func attach(
        _ containerID: String, _ wish: AttachmentWish, of nodeID: ObjectID,
        using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> Outcome {
        guard store.nodes[nodeID] != nil else { throw notFound("node", nodeID) }
        guard let network = network(wish.network) else { throw notFound("network", wish.network) }
        guard network.spec.attachable == true, network.spec.ingress != true else {
            throw Self.rpc(.permissionDenied, "network \(network.spec.name) not manually attachable")
        }
        let present = store.tasks(onNode: nodeID).first { task in
            task.attachedContainerID == containerID && task.spec.networks?.first?.target == network.id
                && !task.status.state.isTerminal
        }
        if let present { return Outcome(actions: [], response: .created(present.id)) }
        if let address = wish.address { try check(address, on: network) }
        var task = SwarmTask(id: Identifier.random(using: &generator))
        (task.createdAt, task.updatedAt, task.nodeID) = (time, time, nodeID)
        task.serviceName = wish.containerName
        task.spec.networkAttachmentSpec = NetworkAttachmentSpec(containerID: containerID)
        task.spec.runtime = "attachment"
        task.spec.networks = [
            NetworkAttachmentConfig(
                target: network.id, aliases: wish.aliases,
                driverOpts: wish.address.map { [AttachmentOption.address: $0.description] })
        ]
        task.status = TaskStatus(timestamp: time, state: .new, message: "created")
        task.desiredState = .running
        return Outcome(actions: [.create(.task(task))], response: .created(task.id))
    }

    private func network(_ text: String) -> Network? {
        if let exact = store.networks[text] ?? store.networks.named(text) { return exact }
        let matches = text.isEmpty ? [] : store.networks.sorted.filter { $0.id.hasPrefix(text) }
        return matches.count == 1 ? matches.first : nil
    }

    private func check(_ address: IPv4Address, on network: Network) throws(SwarmError) {
        guard let subnet = network.subnet else { return }
        guard subnet.contains(address) else {
            throw SwarmError(
                .invalidArgument, "no configured subnet or ip-range contain the IP address \(address)")
        }
        let isTaken = store.tasks(onNetwork: network.id).contains { task in
            !task.status.state.isTerminal
                && task.networksAttachments?.contains { $0.addresses?.first?.address == address } == true
        }
        guard !isTaken, address != network.gateway else {
            throw SwarmError(.failedPrecondition, "Address already in use")
        }
    }
}
