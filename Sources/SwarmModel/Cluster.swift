package import SwarmCore

/// How much of the past is kept.
package struct OrchestrationConfig: Sendable, Hashable, Codable {
    package var taskHistoryRetentionLimit: Int64?

    package init(taskHistoryRetentionLimit: Int64? = nil) {
        self.taskHistoryRetentionLimit = taskHistoryRetentionLimit
    }

    enum CodingKeys: String, CodingKey {
        case taskHistoryRetentionLimit = "TaskHistoryRetentionLimit"
    }
}

/// Consensus settings as Docker names them.
package struct RaftConfig: Sendable, Hashable, Codable {
    package var snapshotInterval: UInt64?
    package var keepOldSnapshots: UInt64?
    package var logEntriesForSlowFollowers: UInt64?
    package var electionTick: Int
    package var heartbeatTick: Int

    package init(
        snapshotInterval: UInt64? = nil, keepOldSnapshots: UInt64? = nil,
        logEntriesForSlowFollowers: UInt64? = nil, electionTick: Int = 0, heartbeatTick: Int = 0
    ) {
        self.snapshotInterval = snapshotInterval
        self.keepOldSnapshots = keepOldSnapshots
        self.logEntriesForSlowFollowers = logEntriesForSlowFollowers
        self.electionTick = electionTick
        self.heartbeatTick = heartbeatTick
    }

    enum CodingKeys: String, CodingKey {
        case snapshotInterval = "SnapshotInterval", keepOldSnapshots = "KeepOldSnapshots",
            logEntriesForSlowFollowers = "LogEntriesForSlowFollowers", electionTick = "ElectionTick",
            heartbeatTick = "HeartbeatTick"
    }
}

/// How often agents report.
package struct DispatcherConfig: Sendable, Hashable, Codable {
    /// Nanoseconds; 5 s by default.
    package var heartbeatPeriod: Int64?

    package init(heartbeatPeriod: Int64? = nil) {
        self.heartbeatPeriod = heartbeatPeriod
    }

    enum CodingKeys: String, CodingKey {
        case heartbeatPeriod = "HeartbeatPeriod"
    }
}

/// A certificate authority outside the swarm.
package struct ExternalCA: Sendable, Hashable, Codable {
    package var proto: String?
    package var url: String?
    package var options: [String: String]?
    package var caCert: String?

    package init(
        proto: String? = nil, url: String? = nil, options: [String: String]? = nil, caCert: String? = nil
    ) {
        self.proto = proto
        self.url = url
        self.options = options
        self.caCert = caCert
    }

    enum CodingKeys: String, CodingKey {
        case proto = "Protocol", url = "URL", options = "Options", caCert = "CACert"
    }
}

/// Certificate settings.
package struct CAConfig: Sendable, Hashable, Codable {
    /// Nanoseconds; 90 days by default.
    package var nodeCertExpiry: Int64?
    package var externalCAs: [ExternalCA]?
    package var signingCACert: String?
    package var signingCAKey: String?
    package var forceRotate: UInt64?

    package init(
        nodeCertExpiry: Int64? = nil, externalCAs: [ExternalCA]? = nil, signingCACert: String? = nil,
        signingCAKey: String? = nil, forceRotate: UInt64? = nil
    ) {
        self.nodeCertExpiry = nodeCertExpiry
        self.externalCAs = externalCAs
        self.signingCACert = signingCACert
        self.signingCAKey = signingCAKey
        self.forceRotate = forceRotate
    }

    enum CodingKeys: String, CodingKey {
        case nodeCertExpiry = "NodeCertExpiry", externalCAs = "ExternalCAs",
            signingCACert = "SigningCACert", signingCAKey = "SigningCAKey", forceRotate = "ForceRotate"
    }
}

/// Defaults for tasks that say nothing.
package struct TaskDefaults: Sendable, Hashable, Codable {
    package var logDriver: Driver?

    package init(logDriver: Driver? = nil) {
        self.logDriver = logDriver
    }

    enum CodingKeys: String, CodingKey {
        case logDriver = "LogDriver"
    }
}

/// Whether managers lock their keys.
package struct EncryptionConfig: Sendable, Hashable, Codable {
    package var autoLockManagers: Bool

    package init(autoLockManagers: Bool = false) {
        self.autoLockManagers = autoLockManagers
    }

    enum CodingKeys: String, CodingKey {
        case autoLockManagers = "AutoLockManagers"
    }
}

/// Settings of the whole swarm.
package struct ClusterSpec: Sendable, Hashable, Codable {
    package var name: String?
    package var labels: [String: String]?
    package var orchestration: OrchestrationConfig?
    package var raft: RaftConfig?
    package var dispatcher: DispatcherConfig?
    package var caConfig: CAConfig?
    package var taskDefaults: TaskDefaults?
    package var encryptionConfig: EncryptionConfig?

    package init(
        name: String? = nil, labels: [String: String]? = nil, orchestration: OrchestrationConfig? = nil,
        raft: RaftConfig? = nil, dispatcher: DispatcherConfig? = nil, caConfig: CAConfig? = nil,
        taskDefaults: TaskDefaults? = nil, encryptionConfig: EncryptionConfig? = nil
    ) {
        self.name = name
        self.labels = labels
        self.orchestration = orchestration
        self.raft = raft
        self.dispatcher = dispatcher
        self.caConfig = caConfig
        self.taskDefaults = taskDefaults
        self.encryptionConfig = encryptionConfig
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", labels = "Labels", orchestration = "Orchestration", raft = "Raft",
            dispatcher = "Dispatcher", caConfig = "CAConfig", taskDefaults = "TaskDefaults",
            encryptionConfig = "EncryptionConfig"
    }
}

/// What a node shows to be let in.
package struct JoinTokens: Sendable, Hashable, Codable {
    package var worker: String
    package var manager: String

    package init(worker: String, manager: String) {
        self.worker = worker
        self.manager = manager
    }

    enum CodingKeys: String, CodingKey {
        case worker = "Worker", manager = "Manager"
    }
}

/// The root that is to take the place of the present one; all of it in PEM, ours, hidden from clients.
package struct RootRotation: Sendable, Hashable, Codable {
    package var certificate: String
    /// The same name and key, signed by the root that goes: for those who know only that one.
    package var crossSigned: String
    package var key: String

    package init(certificate: String, crossSigned: String, key: String) {
        self.certificate = certificate
        self.crossSigned = crossSigned
        self.key = key
    }

    enum CodingKeys: String, CodingKey {
        case certificate = "Certificate", crossSigned = "CrossSigned", key = "Key"
    }
}

/// The one object that describes the swarm itself.
package struct Cluster: Sendable, Codable, Equatable, SwarmObject {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var spec: ClusterSpec
    /// The root that all nodes believe, and the name and key of the one that certificates are issued from.
    package var tlsInfo: TLSInfo
    package var rootRotationInProgress: Bool
    package var defaultAddrPool: [String]?
    package var subnetSize: UInt32
    package var dataPathPort: UInt32
    package var joinTokens: JoinTokens?
    /// PEM; ours, hidden from clients.
    package var rootKey: String?
    /// What managers lock their keys with on disk; nil while they are not locked.
    package var unlockKey: String?
    /// The root; PEM; ours.
    package var rootCertificates: String?
    /// What takes its place, while it does.
    package var rootRotation: RootRotation?
    /// Counts changes of what nodes are to believe and to show; ours, hidden from clients.
    package var rootEpoch: UInt64?
    /// `ForceRotate` of the spec when the root was last changed; ours, hidden from clients.
    package var lastForcedRotation: UInt64?
    /// Keys of the gossip, newest first, base 64; ours, hidden from clients.
    package var gossipKeys: [String]?
    package var gossipKeysChangedAt: Timestamp?

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, spec: ClusterSpec = ClusterSpec(), tlsInfo: TLSInfo = TLSInfo(),
        rootRotationInProgress: Bool = false, defaultAddrPool: [String]? = nil, subnetSize: UInt32 = 24,
        dataPathPort: UInt32 = 4789, joinTokens: JoinTokens? = nil, rootKey: String? = nil
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.spec = spec
        self.tlsInfo = tlsInfo
        self.rootRotationInProgress = rootRotationInProgress
        self.defaultAddrPool = defaultAddrPool
        self.subnetSize = subnetSize
        self.dataPathPort = dataPathPort
        self.joinTokens = joinTokens
        self.rootKey = rootKey
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            spec = "Spec", tlsInfo = "TLSInfo", rootRotationInProgress = "RootRotationInProgress",
            defaultAddrPool = "DefaultAddrPool", subnetSize = "SubnetSize",
            dataPathPort = "DataPathPort", joinTokens = "JoinTokens", rootKey = "RootKey", unlockKey = "UnlockKey",
            rootCertificates = "RootCertificates", rootRotation = "RootRotation", rootEpoch = "RootEpoch",
            lastForcedRotation = "LastForcedRotation", gossipKeys = "GossipKeys",
            gossipKeysChangedAt = "GossipKeysChangedAt"
    }

    package var uniqueName: String? { spec.name }
}
