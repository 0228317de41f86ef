import ClusterSecurity
import LibCrypto
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// The objects that a new swarm begins with: itself, its first node and the routing mesh.
enum ClusterObjects {
    static func first(
        _ asked: SwarmInitialization, _ record: NodeRecord, clusterID: String,
        authority: CertificateAuthority,
        tokens: JoinTokenPair, gossipKey: SealingKey, _ facts: NodeFacts,
        using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> [StoreAction] {
        let availability = asked.availability.isEmpty ? "active" : asked.availability
        guard ["active", "pause", "drain"].contains(availability) else {
            throw SwarmError(.unknown, "invalid Availability: \"\(asked.availability)\"")
        }
        var spec = asked.spec
        spec.name = "default"
        try spec.validate()
        var cluster = Cluster(id: clusterID)
        cluster.spec = spec.withDefaults()
        cluster.defaultAddrPool = asked.defaultAddressPool.isEmpty ? nil : asked.defaultAddressPool
        cluster.subnetSize = asked.subnetSize == 0 ? 24 : asked.subnetSize
        cluster.dataPathPort = UInt32(record.dataPathPort)
        cluster.joinTokens = JoinTokens(worker: tokens.worker.text, manager: tokens.manager.text)
        cluster.tlsInfo = TLSInfo(authority.root)
        cluster.rootCertificates = String(decoding: authority.certificatesPEM, as: UTF8.self)
        cluster.rootKey = String(decoding: authority.keyPEM, as: UTF8.self)
        if cluster.spec.encryptionConfig?.autoLockManagers == true { cluster.unlockKey = UnlockKey.generate().text }
        cluster.gossipKeys = [GossipKeys.text(gossipKey)]
        var node = Node(id: record.nodeID)
        node.spec = NodeSpec(role: "manager", availability: availability)
        node.description = facts.description(TLSInfo(authority.root))
        node.status = NodeStatus(state: "ready", addr: HostAndPort.host(of: record.advertiseAddress))
        node.managerStatus = ManagerStatus(
            leader: true, reachability: "reachable", addr: record.advertiseAddress)
        var ingress = Network(id: Identifier.random(using: &generator))
        ingress.spec = NetworkSpec(
            name: "ingress", labels: [:], driverConfiguration: Driver(name: "overlay"), ingress: true,
            ipamOptions: IPAM(driver: Driver(name: "default")), scope: "swarm")
        return [.create(.cluster(cluster)), .create(.node(node)), .create(.network(ingress))]
    }
}

extension NodeFacts {
    /// What this machine says of itself in the store.
    func description(_ tlsInfo: TLSInfo) -> NodeDescription {
        let pairs = labels.map { $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false) }
        let engineLabels = Dictionary(
            pairs.map { (String($0[0]), $0.count == 2 ? String($0[1]) : "") }, uniquingKeysWith: { _, last in last })
        return NodeDescription(
            hostname: hostname, platform: Platform(architecture: architecture, os: "linux"),
            resources: Resources(
                nanoCPUs: Int64(cpuCount) * 1_000_000_000, memoryBytes: memoryBytes,
                genericResources: genericResources.isEmpty ? nil : genericResources),
            engine: EngineDescription(
                engineVersion: version, labels: engineLabels.isEmpty ? nil : engineLabels,
                plugins: EnginePlugin.builtIn), tlsInfo: tlsInfo)
    }
}

extension TLSInfo {
    /// The root that certificates lead to, as `GET /swarm` and `GET /nodes` show it.
    init(_ root: X509Certificate) {
        func text(_ bytes: [UInt8]) -> String { String(decoding: Base64.encode(bytes), as: UTF8.self) }
        self.init(
            trustRoot: String(decoding: root.pem, as: UTF8.self), certIssuerSubject: text(root.subject.der),
            certIssuerPublicKey: text(root.publicKey))
    }
}

/// Keys of the gossip as texts: in the store, in a grant, and sealed on this node's disk.
enum GossipKeys {
    static func text(_ key: SealingKey) -> String {
        String(decoding: Base64.encode(key.bytes), as: UTF8.self)
    }

    static func ring(_ texts: [String]) throws(SwarmError) -> KeyRing {
        let keys = texts.compactMap { Base64.decode(Array($0.utf8)).flatMap(SealingKey.init(bytes:)) }
        guard let first = keys.first, keys.count == texts.count else {
            throw SwarmError(.internal, "the swarm's gossip keys are not readable")
        }
        return KeyRing(purpose: .gossip, primary: first, older: Array(keys.dropFirst()))
    }

    static func sealed(_ texts: [String], with ring: KeyRing) -> [String] {
        texts.map { String(decoding: Base64.encode(ring.seal(Array($0.utf8))), as: UTF8.self) }
    }

    static func opened(_ sealed: [String], with ring: KeyRing, of path: String) throws(SwarmError) -> [String]
    {
        var texts: [String] = []
        for text in sealed {
            do throws(SealError) {
                texts.append(
                    String(decoding: try ring.open(Base64.decode(Array(text.utf8)) ?? []), as: UTF8.self))
            } catch {
                throw SwarmError(
                    .internal,
                    "\(path): the gossip keys do not open with this node's storage key; restore the "
                        + "directory as a whole, or remove it and join again", cause: "\(error)")
            }
        }
        return texts
    }
}
