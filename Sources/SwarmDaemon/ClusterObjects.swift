import FoundationEssentials
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// The objects that a new swarm begins with: itself, its first node and the routing mesh.
enum FirstObjects {
    static let clusterPort = 2377

    static func make(
        _ asked: SwarmInitialization, _ identity: NodeIdentity, _ facts: NodeFacts,
        using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> [StoreAction] {
        let availability = asked.availability.isEmpty ? "active" : asked.availability
        guard ["active", "pause", "drain"].contains(availability) else {
            throw SwarmError(.unknown, "invalid Availability: \"\(asked.availability)\"")
        }
        var spec = asked.spec
        spec.name = "default"
        try spec.validate()
        var cluster = Cluster(id: Identifier.random(using: &generator))
        cluster.spec = spec.withDefaults()
        cluster.defaultAddrPool = asked.defaultAddressPool.isEmpty ? nil : asked.defaultAddressPool
        cluster.subnetSize = asked.subnetSize == 0 ? 24 : asked.subnetSize
        cluster.dataPathPort = asked.dataPathPort == 0 ? 4789 : asked.dataPathPort
        cluster.joinTokens = JoinToken.pair(using: &generator)
        var node = Node(id: identity.nodeID)
        node.spec = NodeSpec(role: "manager", availability: availability)
        node.description = NodeDescription(
            hostname: facts.hostname, platform: Platform(architecture: facts.architecture, os: "linux"),
            resources: Resources(
                nanoCPUs: Int64(facts.cpuCount) * 1_000_000_000, memoryBytes: facts.memoryBytes),
            engine: EngineDescription(engineVersion: facts.version))
        node.status = NodeStatus(state: "ready", addr: host(of: identity.advertiseAddress))
        node.managerStatus = ManagerStatus(
            leader: true, reachability: "reachable", addr: managerAddress(identity.advertiseAddress))
        var ingress = Network(id: Identifier.random(using: &generator))
        ingress.spec = NetworkSpec(
            name: "ingress", labels: [:], driverConfiguration: Driver(name: "overlay"), ingress: true,
            ipamOptions: IPAM(driver: Driver(name: "default")), scope: "swarm")
        return [.create(.cluster(cluster)), .create(.node(node)), .create(.network(ingress))]
    }

    static func host(of address: String) -> String {
        address.split(separator: ":").first.map(String.init) ?? address
    }
    static func managerAddress(_ address: String) -> String {
        address.contains(":") ? address : "\(address):\(clusterPort)"
    }
}

/// Join tokens in Docker's form: `SWMTKN-1-` digest `-` secret.
enum JoinToken {
    static func pair(using generator: inout some RandomNumberGenerator) -> JoinTokens {
        let digest = Identifier.random(using: &generator) + Identifier.random(using: &generator)
        return JoinTokens(
            worker: "SWMTKN-1-\(digest)-\(Identifier.random(using: &generator))",
            manager: "SWMTKN-1-\(digest)-\(Identifier.random(using: &generator))")
    }
}

/// Directories of state, readable by root only.
enum StateDirectory {
    static func make(_ path: String) throws(SwarmError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch { throw SwarmError(.internal, "directory \(path) cannot be made", cause: "\(error)") }
    }

    static func remove(_ path: String) throws(SwarmError) {
        do { try FileManager.default.removeItem(atPath: path) } catch {
            throw SwarmError(.internal, "directory \(path) cannot be removed", cause: "\(error)")
        }
    }
}
