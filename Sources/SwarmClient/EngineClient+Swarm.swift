package import SwarmCore
package import SwarmModel

/// Swarm objects.
extension EngineClient {
    // MARK: Services

    package func services(
        filters: [(key: String, value: String)] = [], status: Bool = false
    ) async throws(SwarmError) -> [Service] {
        var query = Query()
        query.append(filters: filters)
        if status { query.append("status", "true") }
        return try await get("/services", query)
    }

    package func service(_ argument: String, defaults: Bool = false) async throws(SwarmError) -> Service {
        try await get("/services/" + argument, ["insertDefaults": defaults ? "true" : "false"])
    }

    package func createService(
        _ spec: ServiceSpec, registryAuth: String?
    ) async throws(SwarmError) -> CreatedObject {
        try Self.decode(
            try await post("/services/create", body: spec, headers: Self.authentication(registryAuth)))
    }

    /// Writes a service's spec over the version that the caller has seen, and returns the engine's warnings.
    package func updateService(
        _ service: Service, to spec: ServiceSpec, query: Query = [:], registryAuth: String? = nil
    ) async throws(SwarmError) -> [String] {
        var query = query
        query.append("version", String(service.version.index))
        let answer = try await post(
            "/services/\(service.id)/update", query, body: spec, headers: Self.authentication(registryAuth))
        guard !answer.isEmpty else { return [] }
        return try JSONValue(parsing: answer)["Warnings"]?.elements.compactMap(\.text) ?? []
    }

    private static func authentication(_ value: String?) -> [(String, String)] {
        value.map { [("X-Registry-Auth", $0)] } ?? []
    }

    package func removeService(_ argument: String) async throws(SwarmError) {
        _ = try await bytes(.delete, "/services/" + argument)
    }

    // MARK: Tasks

    package func tasks(filters: [(key: String, value: String)] = []) async throws(SwarmError) -> [SwarmTask] {
        var query = Query()
        query.append(filters: filters)
        return try await get("/tasks", query)
    }

    package func task(_ argument: String) async throws(SwarmError) -> SwarmTask {
        try await get("/tasks/" + argument)
    }

    // MARK: Nodes

    package func nodes(filters: [(key: String, value: String)] = []) async throws(SwarmError) -> [Node] {
        var query = Query()
        query.append(filters: filters)
        return try await get("/nodes", query)
    }

    package func node(_ argument: String) async throws(SwarmError) -> Node {
        try await get("/nodes/" + argument)
    }

    package func updateNode(_ node: Node, to spec: NodeSpec) async throws(SwarmError) {
        try await post("/nodes/\(node.id)/update", ["version": String(node.version.index)], body: spec)
    }

    package func removeNode(_ argument: String, force: Bool) async throws(SwarmError) {
        _ = try await bytes(.delete, "/nodes/" + argument, force ? ["force": "1"] : [:])
    }

    // MARK: The swarm

    package func cluster() async throws(SwarmError) -> Cluster { try await get("/swarm") }

    package func updateCluster(
        _ cluster: Cluster, to spec: ClusterSpec, rotate: ClusterRotation = ClusterRotation()
    ) async throws(SwarmError) {
        let query: Query = [
            "version": String(cluster.version.index), "rotateWorkerToken": String(rotate.workerToken),
            "rotateManagerToken": String(rotate.managerToken),
            "rotateManagerUnlockKey": String(rotate.unlockKey),
        ]
        try await post("/swarm/update", query, body: spec)
    }

    /// The key that unlocks managers; empty when none is set.
    package func unlockKey() async throws(SwarmError) -> String {
        try await json("/swarm/unlockkey")["UnlockKey"]?.text ?? ""
    }

    package func info() async throws(SwarmError) -> EngineInfo { try await get("/info") }

    // MARK: Networks, secrets and configs

    package func networks(
        filters: [(key: String, value: String)] = []
    ) async throws(SwarmError) -> [NetworkSummary] {
        var query = Query()
        query.append(filters: filters)
        return try await get("/networks", query)
    }

    package func network(_ argument: String, scope: String? = nil) async throws(SwarmError) -> NetworkSummary
    {
        try await get("/networks/" + argument, scope.map { ["scope": $0] } ?? [:])
    }

    package func secrets(filters: [(key: String, value: String)] = []) async throws(SwarmError) -> [Secret] {
        var query = Query()
        query.append(filters: filters)
        return try await get("/secrets", query)
    }

    package func configs(filters: [(key: String, value: String)] = []) async throws(SwarmError) -> [Config] {
        var query = Query()
        query.append(filters: filters)
        return try await get("/configs", query)
    }

    /// Whether a secret holds this data, in base 64; our engine's own question.
    package func secret(_ id: String, holds data: String) async throws(SwarmError) -> Bool {
        let answer = try await post("/secrets/\(id)/matches", body: SecretSpec(data: data))
        return try JSONValue(parsing: answer)["Matches"]?.isTrue ?? false
    }

    /// Writes a secret's labels over the version that the caller has seen.
    package func updateSecret(_ secret: Secret, labels: [String: String]?) async throws(SwarmError) {
        let spec = SecretSpec(name: secret.spec.name, labels: labels)
        try await post("/secrets/\(secret.id)/update", ["version": String(secret.version.index)], body: spec)
    }

    /// Writes a config's labels over the version that the caller has seen.
    package func updateConfig(_ config: Config, labels: [String: String]?) async throws(SwarmError) {
        let spec = ConfigSpec(name: config.spec.name, labels: labels, data: config.spec.data)
        try await post("/configs/\(config.id)/update", ["version": String(config.version.index)], body: spec)
    }

    package func remove(_ kind: String, _ id: String) async throws(SwarmError) {
        _ = try await bytes(.delete, "/\(kind)s/\(id)")
    }

    /// What the registry knows of an image.
    package func distribution(
        _ image: String, registryAuth: String?
    ) async throws(SwarmError) -> ImageDistribution {
        try Self.decode(
            try await bytes(.get, "/distribution/\(image)/json", headers: Self.authentication(registryAuth)))
    }

    /// Decodes the answer of a creation.
    package func create(_ path: String, body: some Encodable & Sendable) async throws(SwarmError)
        -> CreatedObject
    {
        try Self.decode(try await post(path, body: body))
    }
}

/// Which secrets of the swarm an update renews.
package struct ClusterRotation: Sendable {
    package var workerToken = false
    package var managerToken = false
    package var unlockKey = false

    package init(workerToken: Bool = false, managerToken: Bool = false, unlockKey: Bool = false) {
        (self.workerToken, self.managerToken, self.unlockKey) = (workerToken, managerToken, unlockKey)
    }
}
