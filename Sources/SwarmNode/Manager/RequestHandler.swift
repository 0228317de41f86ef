package import Store
package import SwarmCore
package import SwarmModel

/// Turns one client request into store actions, or refuses it in Docker's words; nothing is half applied.
package struct RequestHandler {
    package var store: ObjectStore
    package var time: Timestamp
    /// This node's id.
    package var nodeID: ObjectID
    /// Fresh join-token secrets, drawn at the edge from the system's generator.
    package var freshTokens: JoinTokens?

    /// Nodes that gossip holds for dead.
    package var unreachable: Set<ObjectID> = []
    /// Managers that vote in consensus, whatever comes of a change under way; nil when all of them are taken to.
    package var voters: Set<ObjectID>?

    package init(store: ObjectStore, time: Timestamp, nodeID: ObjectID, freshTokens: JoinTokens? = nil) {
        (self.store, self.time, self.nodeID, self.freshTokens) = (store, time, nodeID, freshTokens)
    }

    package struct Outcome: Sendable {
        package var actions: [StoreAction]
        package var response: ControlResponse
    }

    package func handle(
        _ request: ControlRequest, using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> Outcome {
        switch request {
        case .initializeSwarm, .leaveSwarm:
            throw SwarmError(.internal, "swarm init and leave are carried out by the node itself")
        case .updateSwarm(let version, let spec, let rotation):
            return try updateSwarm(version, spec, rotation)
        case .createService(let spec, let auth): return try createService(spec, auth, using: &generator)
        case .updateService(let id, let version, let spec, let options):
            return try updateService(id, version, spec, options)
        case .removeService(let id):
            guard store.services[id] != nil else { throw notFound("service", id) }
            return Outcome(actions: [.remove(.service, id)], response: .done)
        case .createNetwork(let spec): return try createNetwork(spec, using: &generator)
        case .removeNetwork(let id): return try removeNetwork(id)
        case .createSecret, .updateSecret, .removeSecret: return try secretRequest(request, using: &generator)
        case .createConfig, .updateConfig, .removeConfig: return try configRequest(request, using: &generator)
        case .updateNode(let id, let version, let spec): return try updateNode(id, version, spec)
        case .removeNode(let id, let force): return try removeNode(id, force: force)
        case .joinSwarm(let join): return try joinSwarm(join)
        case .attachment(let nodeID, let request): return try attachment(nodeID, request, using: &generator)
        }
    }

    func notFound(_ kind: String, _ id: String) -> SwarmError {
        SwarmError(.notFound, "\(kind) \(id) not found")
    }

    static func rpc(_ code: SwarmError.Code, _ text: String) -> SwarmError {
        let names: [SwarmError.Code: String] = [
            .invalidArgument: "InvalidArgument", .failedPrecondition: "FailedPrecondition",
            .conflict: "AlreadyExists", .unimplemented: "Unimplemented", .notFound: "NotFound",
            .permissionDenied: "PermissionDenied",
        ]
        return SwarmError(code, "rpc error: code = \(names[code] ?? "Unknown") desc = \(text)")
    }

    func requireVersion(_ asked: UInt64, _ stored: ObjectVersion) throws(SwarmError) {
        guard asked == stored.index else { throw Self.rpc(.outdatedVersion, "update out of sequence") }
    }

    // MARK: Swarm and nodes

    private func updateSwarm(
        _ version: UInt64, _ spec: ClusterSpec, _ rotation: SwarmRotation
    ) throws(SwarmError) -> Outcome {
        guard var cluster = store.cluster else { throw notFound("cluster", "default") }
        try requireVersion(version, cluster.version)
        try spec.validate()
        let asked = spec.caConfig ?? CAConfig()
        if let change = rotation.root {
            cluster.change(root: change)
        } else if asked.asksForAnotherRoot(after: cluster.lastForcedRotation ?? 0) {
            throw SwarmError(.internal, "the manager that was asked to rotate the CA made no new one; try again")
        }
        cluster.spec = spec.withDefaults()
        // Keys are kept once, and not shown; what was asked for by number is not asked for again.
        cluster.spec.caConfig?.signingCACert = nil
        cluster.spec.caConfig?.signingCAKey = nil
        let forced = max(asked.forceRotate ?? 0, cluster.lastForcedRotation ?? 0)
        if forced > 0 {
            cluster.spec.caConfig?.forceRotate = forced
            cluster.lastForcedRotation = forced
        }
        if let fresh = freshTokens, let current = cluster.joinTokens {
            cluster.joinTokens = JoinTokens(
                worker: rotation.workerToken ? Self.rotated(current.worker, fresh.worker) : current.worker,
                manager: rotation.managerToken
                    ? Self.rotated(current.manager, fresh.manager) : current.manager)
        }
        if spec.encryptionConfig?.autoLockManagers == true {
            if cluster.unlockKey == nil || rotation.unlockKey { cluster.unlockKey = rotation.freshUnlockKey }
        } else {
            cluster.unlockKey = nil
        }
        return Outcome(actions: [.update(.cluster(cluster))], response: .done)
    }

    /// The old token with the fresh one's secret: the digest in front of it names the cluster, which stays the same.
    private static func rotated(_ token: String, _ fresh: String) -> String {
        var parts = token.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard let secret = fresh.split(separator: "-").last, parts.count > 1 else { return fresh }
        parts[parts.count - 1] = String(secret)
        return parts.joined(separator: "-")
    }

    private func updateNode(_ id: ObjectID, _ version: UInt64, _ spec: NodeSpec) throws(SwarmError) -> Outcome
    {
        guard var node = store.nodes[id] else { throw notFound("node", id) }
        try requireVersion(version, node.version)
        guard ["worker", "manager"].contains(spec.role) else {
            throw SwarmError(.invalidArgument, "invalid Role: \"\(spec.role)\"")
        }
        guard ["active", "pause", "drain"].contains(spec.availability) else {
            throw SwarmError(.invalidArgument, "invalid Availability: \"\(spec.availability)\"")
        }
        let managers = store.nodes.sorted.filter { $0.spec.role == "manager" }
        if node.spec.role == "manager" && spec.role == "worker" && managers.count == 1 {
            throw Self.rpc(.failedPrecondition, "attempting to demote the last manager of the swarm")
        }
        try checkRoleChange(of: node, to: spec.role, managers)
        node.spec = spec
        return Outcome(actions: [.update(.node(node))], response: .done)
    }

    // MARK: Networks

    private func createNetwork(
        _ spec: NetworkSpec, using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> Outcome {
        try spec.validate()
        guard store.networks.named(spec.name) == nil else {
            throw SwarmError(.conflict, "network with name \(spec.name) already exists")
        }
        if spec.driverConfiguration?.options?["encrypted"] != nil {
            // Clear text where somebody asked for a seal would be worse than no network.
            throw Self.rpc(
                .failedPrecondition,
                "network \(spec.name) cannot be encrypted: the nodes of this swarm cannot seal overlay traffic; "
                    + "create it without --opt encrypted, or encrypt in the application")
        }
        if spec.ingress == true, spec.attachable == true {
            throw Self.rpc(.invalidArgument, "ingress network cannot be attachable")
        }
        if spec.ingress == true, let present = store.networks.sorted.first(where: { $0.spec.ingress == true })
        {
            throw Self.rpc(.conflict, "ingress network (\(present.id)) is already present")
        }
        try spec.validateOptions()
        if let number = spec.askedVNI, let other = store.networks.sorted.first(where: { $0.vni == number }) {
            throw SwarmError(
                .failedPrecondition,
                "VXLAN identifier \(number) is taken by network \(other.spec.name); choose another")
        }
        for configuration in spec.ipamOptions?.configs ?? [] {
            guard let text = configuration.subnet, let subnet = IPv4Subnet(text) else { continue }
            for other in store.networks.sorted {
                guard let taken = other.subnet, taken.overlaps(subnet) else { continue }
                let words = "Pool overlaps with other one on this address space"
                throw SwarmError(
                    .invalidArgument,
                    "invalid pool request: \(words): \(text) and network \(other.spec.name) (\(taken))")
            }
        }
        var network = Network(id: Identifier.random(using: &generator))
        network.spec = spec
        return Outcome(actions: [.create(.network(network))], response: .created(network.id))
    }

    private func removeNetwork(_ id: ObjectID) throws(SwarmError) -> Outcome {
        guard let network = store.networks[id] else { throw notFound("network", id) }
        for service in store.services.sorted {
            if network.spec.ingress == true && service.usesIngress {
                let text = "ingress network cannot be removed because service \(service.id) depends on it"
                throw Self.rpc(.failedPrecondition, text)
            }
            if service.networkTargets.contains(id) {
                throw Self.rpc(.failedPrecondition, "network \(id) is in use by service \(service.id)")
            }
        }
        for task in store.tasks.sorted where !task.status.state.isTerminal {
            guard task.networksAttachments?.contains(where: { $0.network.id == id }) == true else { continue }
            throw Self.rpc(.failedPrecondition, "network \(id) is in use by task \(task.id)")
        }
        return Outcome(actions: [.remove(.network, id)], response: .done)
    }
}

extension Service {
    /// Whether any port is published on the routing mesh.
    package var usesIngress: Bool {
        (spec.endpointSpec?.ports ?? []).contains { ($0.publishMode ?? "ingress") == "ingress" }
    }

    /// The networks that the service's tasks join, by identifier.
    package var networkTargets: [ObjectID] {
        (spec.taskTemplate.networks ?? spec.networks ?? []).compactMap(\.target)
    }
}
