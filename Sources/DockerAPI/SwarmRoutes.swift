import EngineHTTP
import NIOCore
import NIOHTTP1
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// `POST /swarm/init`'s body.
private struct InitBody: Decodable {
    var ListenAddr: String?
    var AdvertiseAddr: String?
    var DataPathAddr: String?
    var DataPathPort: UInt32?
    var ForceNewCluster: Bool?
    var AutoLockManagers: Bool?
    var Availability: String?
    var DefaultAddrPool: [String]?
    var SubnetSize: UInt32?
    var Spec: ClusterSpec?
}

/// `POST /swarm/unlock`'s body.
private struct UnlockBody: Decodable {
    var UnlockKey: String?
}

/// `POST /swarm/join`'s body.
private struct JoinBody: Decodable {
    var ListenAddr: String?
    var AdvertiseAddr: String?
    var DataPathAddr: String?
    var RemoteAddrs: [String]?
    var JoinToken: String?
    var Availability: String?
}

extension EngineRoutes {
    func addSwarm(_ router: inout Router) {
        router.on(.POST, "/swarm/init") { try await initialize($0) }
        router.on(.POST, "/swarm/join") { try await join($0) }
        router.on(.POST, "/swarm/leave") { request in
            _ = try await node.submit(.leaveSwarm(force: request.flag("force")))
            return Response(.ok)
        }
        router.on(.GET, "/swarm") { _ in
            guard let cluster = try await managed().cluster else { return Response(.serviceUnavailable) }
            return try Self.json(Hidden.strip(cluster, showsTokens: true))
        }
        router.on(.POST, "/swarm/update") { request in
            let version = try request.requiredVersion("swarm")
            let spec = try await request.decode(ClusterSpec.self)
            _ = try await node.submit(
                .updateSwarm(
                    version: version, spec,
                    SwarmRotation(
                        workerToken: request.flag("rotateWorkerToken"),
                        managerToken: request.flag("rotateManagerToken"),
                        unlockKey: request.flag("rotateManagerUnlockKey"))))
            return Response(.ok)
        }
        router.on(.GET, "/swarm/unlockkey") { _ in
            try Self.json(["UnlockKey": .string(try await node.unlockKey())] as JSONDocument)
        }
        router.on(.POST, "/swarm/unlock") { request in
            try await node.unlock(try await request.decode(UnlockBody.self).UnlockKey ?? "")
            return Response(.ok)
        }
        router.on(.GET, "/nodes") { request in
            let filters = try request.filters(["id", "name", "label", "node.label", "role", "membership"])
            for (key, known) in [("role", ["manager", "worker"]), ("membership", ["accepted", "pending"])] {
                for text in filters[key] ?? [] where !known.contains(text.lowercased()) {
                    throw SwarmError(.unknown, "Invalid \(key) filter: '\(text)'")
                }
            }
            func asksFor(_ value: String, _ key: String) -> Bool {
                filters[key].map { $0.contains { $0.lowercased() == value } } ?? true
            }
            // Who is listed was let in: nobody waits at the door here.
            let nodes = try await managed().nodes.sorted.filter { node in
                guard asksFor(node.spec.role, "role"), asksFor("accepted", "membership") else { return false }
                return Lookup.hasPrefix(node.id, filters["id"] ?? [])
                    && Lookup.hasPrefix(node.description.hostname ?? "", filters["name"] ?? [])
                    && Lookup.matches(node.spec.labels, filters["node.label"] ?? [])
                    && Lookup.matches(node.description.engine.labels, filters["label"] ?? [])
            }
            return try Self.json(nodes)
        }
        router.on(.GET, "/nodes/{id}") { request in try Self.json(try await findNode(request.capture("id"))) }
        router.on(.POST, "/nodes/{id}/update") { request in
            let found = try await findNode(request.capture("id"))
            let version = try request.requiredVersion("node")
            let spec = try await request.decode(NodeSpec.self)
            _ = try await node.submit(.updateNode(id: found.id, version: version, spec))
            return Response(.ok)
        }
        router.on(.DELETE, "/nodes/{id}") { request in
            let found = try await findNode(request.capture("id"))
            _ = try await node.submit(.removeNode(id: found.id, force: request.flag("force")))
            return Response(.ok)
        }
    }

    private func findNode(_ argument: String) async throws(SwarmError) -> Node {
        let store = try await managed()
        return try Lookup.find(argument, "node", in: store.nodes.sorted) { $0.description.hostname }
    }

    private func initialize(_ request: Request) async throws -> Response {
        let body = try await request.decode(InitBody.self)
        let listen = body.ListenAddr ?? ""
        guard !listen.isEmpty else {
            throw SwarmError(.invalidArgument, "invalid ListenAddr \"\": invalid empty address")
        }
        var advertise = body.AdvertiseAddr ?? ""
        if advertise.isEmpty, body.ForceNewCluster != true { advertise = node.facts.defaultAddress }
        var asked = SwarmInitialization(listenAddress: listen, advertiseAddress: advertise)
        asked.dataPathAddress = body.DataPathAddr ?? ""
        asked.dataPathPort = body.DataPathPort ?? 0
        if asked.dataPathPort != 0 && !(1024...49151).contains(asked.dataPathPort) {
            throw SwarmError(
                .unknown, "Datapath port number is not in valid range (1024-49151) : \(asked.dataPathPort)")
        }
        asked.forceNewCluster = body.ForceNewCluster ?? false
        asked.availability = body.Availability ?? ""
        // As Docker does: an empty list, which its client sends, shows no pool; an absent one shows the default.
        asked.defaultAddressPool = body.DefaultAddrPool ?? ["10.0.0.0/8"]
        for pool in asked.defaultAddressPool where IPv4Subnet(pool) == nil {
            throw SwarmError(.invalidArgument, "invalid CIDR address: \(pool)")
        }
        asked.subnetSize = body.SubnetSize ?? 0
        if asked.subnetSize > 30 {
            throw SwarmError(.unknown, "subnet size is out of range: \(asked.subnetSize)")
        }
        asked.spec = body.Spec ?? ClusterSpec()
        if body.AutoLockManagers == true { asked.spec.encryptionConfig = EncryptionConfig(autoLockManagers: true) }
        guard case .created(let id, _) = try await node.submit(.initializeSwarm(asked)) else {
            return Response(.ok)
        }
        return .json(.ok, JSONText.quoted(id))
    }

    private func join(_ request: Request) async throws -> Response {
        let body = try await request.decode(JoinBody.self)
        let listen = body.ListenAddr ?? ""
        guard !listen.isEmpty else {
            throw SwarmError(.invalidArgument, "invalid ListenAddr \"\": invalid empty address")
        }
        guard let remotes = body.RemoteAddrs, !remotes.isEmpty else {
            throw SwarmError(.invalidArgument, "at least 1 RemoteAddr is required to join")
        }
        let availability = body.Availability ?? ""
        guard ["", "active", "pause", "drain"].contains(availability) else {
            throw SwarmError(.unknown, "invalid Availability: \"\(availability)\"")
        }
        try await node.join(
            SwarmJoining(
                listenAddress: listen, advertiseAddress: body.AdvertiseAddr ?? "",
                dataPathAddress: body.DataPathAddr ?? "", remoteAddresses: remotes,
                joinToken: body.JoinToken ?? "", availability: availability))
        return Response(.ok)
    }
}
