package import SwarmCore

/// What a user decides about a node.
package struct NodeSpec: Sendable, Hashable, Codable {
    package var name: String?
    package var labels: [String: String]
    package var role: String
    package var availability: String

    package init(
        name: String? = nil, labels: [String: String] = [:], role: String = "worker",
        availability: String = "active"
    ) {
        self.name = name
        self.labels = labels
        self.role = role
        self.availability = availability
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", labels = "Labels", role = "Role", availability = "Availability"
    }
}

/// A driver that a node offers.
package struct EnginePlugin: Sendable, Hashable, Codable {
    package var type: String
    package var name: String

    package init(type: String, name: String) {
        self.type = type
        self.name = name
    }

    /// What every node of ours offers.
    package static let builtIn = [
        ("Log", "json-file"), ("Log", "local"), ("Log", "none"), ("Network", "bridge"), ("Network", "host"),
        ("Network", "null"), ("Network", "overlay"), ("Volume", "local"),
    ].map { EnginePlugin(type: $0, name: $1) }

    enum CodingKeys: String, CodingKey {
        case type = "Type", name = "Name"
    }
}

/// The engine on a node.
package struct EngineDescription: Sendable, Hashable, Codable {
    package var engineVersion: String?
    package var labels: [String: String]?
    package var plugins: [EnginePlugin]?

    package init(
        engineVersion: String? = nil, labels: [String: String]? = nil, plugins: [EnginePlugin]? = nil
    ) {
        self.engineVersion = engineVersion
        self.labels = labels
        self.plugins = plugins
    }

    enum CodingKeys: String, CodingKey {
        case engineVersion = "EngineVersion", labels = "Labels", plugins = "Plugins"
    }
}

/// The certificate authority that a node trusts.
package struct TLSInfo: Sendable, Hashable, Codable {
    /// PEM.
    package var trustRoot: String?
    /// DER, base 64.
    package var certIssuerSubject: String?
    /// DER, base 64.
    package var certIssuerPublicKey: String?

    package init(
        trustRoot: String? = nil, certIssuerSubject: String? = nil, certIssuerPublicKey: String? = nil
    ) {
        self.trustRoot = trustRoot
        self.certIssuerSubject = certIssuerSubject
        self.certIssuerPublicKey = certIssuerPublicKey
    }

    enum CodingKeys: String, CodingKey {
        case trustRoot = "TrustRoot", certIssuerSubject = "CertIssuerSubject",
            certIssuerPublicKey = "CertIssuerPublicKey"
    }
}

/// What a node says about itself.
package struct NodeDescription: Sendable, Hashable, Codable {
    package var hostname: String?
    package var platform: Platform
    package var resources: Resources
    package var engine: EngineDescription
    package var tlsInfo: TLSInfo

    package init(
        hostname: String? = nil, platform: Platform = Platform(), resources: Resources = Resources(),
        engine: EngineDescription = EngineDescription(), tlsInfo: TLSInfo = TLSInfo()
    ) {
        self.hostname = hostname
        self.platform = platform
        self.resources = resources
        self.engine = engine
        self.tlsInfo = tlsInfo
    }

    enum CodingKeys: String, CodingKey {
        case hostname = "Hostname", platform = "Platform", resources = "Resources", engine = "Engine",
            tlsInfo = "TLSInfo"
    }
}

/// Whether a node is there.
package struct NodeStatus: Sendable, Hashable, Codable {
    /// unknown, down, ready, disconnected.
    package var state: String
    package var message: String?
    package var addr: String?

    package init(state: String = "unknown", message: String? = nil, addr: String? = nil) {
        self.state = state
        self.message = message
        self.addr = addr
    }

    enum CodingKeys: String, CodingKey {
        case state = "State", message = "Message", addr = "Addr"
    }
}

/// A manager's part in consensus.
package struct ManagerStatus: Sendable, Hashable, Codable {
    package var leader: Bool?
    package var reachability: String
    package var addr: String

    package init(leader: Bool? = nil, reachability: String = "unknown", addr: String = "") {
        self.leader = leader
        self.reachability = reachability
        self.addr = addr
    }

    enum CodingKeys: String, CodingKey {
        case leader = "Leader", reachability = "Reachability", addr = "Addr"
    }
}

/// A machine of the swarm.
package struct Node: Sendable, Codable, Equatable, SwarmObject {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var spec: NodeSpec
    package var description: NodeDescription
    package var status: NodeStatus
    package var managerStatus: ManagerStatus?

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, spec: NodeSpec = NodeSpec(),
        description: NodeDescription = NodeDescription(), status: NodeStatus = NodeStatus(),
        managerStatus: ManagerStatus? = nil
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.spec = spec
        self.description = description
        self.status = status
        self.managerStatus = managerStatus
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            spec = "Spec", description = "Description", status = "Status",
            managerStatus = "ManagerStatus"
    }

    package var uniqueName: String? { nil }
}
