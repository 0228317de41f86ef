package import SwarmCore

extension SecretSpec {
    /// Largest secret, in bytes.
    package static let maximumDataBytes = 512_000

    /// Refuses bad names and data that is absent or too large; a secret with a driver has no data of its own.
    package func validate() throws(SwarmError) {
        try NameRule.checkFile(name)
        if let name = driver?.name, !name.isEmpty {
            // Secrets come from drivers only where a plugin brings one, and this engine has no plugins.
            throw Rejection.unknown("plugin \"\(name)\" not found")
        }
        guard (1..<Self.maximumDataBytes).contains(Base64.decodedCount(data ?? "")) else {
            throw Rejection.invalid("secret data must be larger than 0 and less than 512000 bytes")
        }
    }
}

extension ConfigSpec {
    /// Largest config, in bytes.
    package static let maximumDataBytes = 1_024_000

    package func validate() throws(SwarmError) {
        try NameRule.checkFile(name)
        guard (1..<Self.maximumDataBytes).contains(Base64.decodedCount(data ?? "")) else {
            throw Rejection.invalid("config data must be larger than 0 and less than 1024000 bytes")
        }
    }
}

extension NodeSpec {
    package func validate() throws(SwarmError) {
        guard ["worker", "manager"].contains(role) else { throw Rejection.engine("invalid Role: \"\(role)\"") }
        guard ["active", "pause", "drain"].contains(availability) else {
            throw Rejection.engine("invalid Availability: \"\(availability)\"")
        }
    }
}

extension NetworkSpec {
    /// Refuses bad names and address ranges that do not parse or do not hold their own gateway.
    package func validate() throws(SwarmError) {
        try NameRule.checkService(name)
        for config in ipamOptions?.configs ?? [] {
            guard let text = config.subnet, !text.isEmpty else {
                if config.gateway?.isEmpty == false || config.range?.isEmpty == false {
                    throw Rejection.invalid("ipam configuration: if there's a gateway or range, subnet must be given")
                }
                continue
            }
            guard let subnet = IPv4Subnet(text) else {
                throw Rejection.invalid("ipam configuration: invalid subnet \(text)")
            }
            if let text = config.range, !text.isEmpty {
                guard let range = IPv4Subnet(text) else {
                    throw Rejection.invalid("ipam configuration: invalid range \(text)")
                }
                guard subnet.contains(range.network) && range.prefixLength >= subnet.prefixLength else {
                    throw Rejection.invalid("ipam configuration: subnet \(subnet) does not contain range \(text)")
                }
            }
            if let text = config.gateway, !text.isEmpty {
                guard let gateway = IPv4Address(text) else {
                    throw Rejection.invalid("ipam configuration: invalid gateway \(text)")
                }
                guard subnet.contains(gateway) else {
                    throw Rejection.invalid("ipam configuration: subnet \(subnet) does not contain gateway \(text)")
                }
            }
        }
    }
}

extension ClusterSpec {
    /// The shortest life of a node certificate: one hour, in nanoseconds.
    package static let minimumCertificateExpiry: Int64 = 3_600_000_000_000

    package func validate() throws(SwarmError) {
        if let name, !name.isEmpty, name != "default" {
            throw Rejection.engine("swarm spec must be named \"default\"")
        }
        if let expiry = caConfig?.nodeCertExpiry, expiry != 0, expiry < Self.minimumCertificateExpiry {
            throw Rejection.invalid("minimum certificate expiry time is: 1h0m0s")
        }
        if let period = dispatcher?.heartbeatPeriod, period < 0 {
            throw Rejection.invalid("heartbeat time period cannot be a negative duration")
        }
    }

    /// The spec with Docker's defaults where it says nothing; what `GET /swarm` shows.
    package func withDefaults() -> ClusterSpec {
        var spec = self
        spec.name = "default"
        spec.labels = spec.labels ?? [:]
        if spec.orchestration?.taskHistoryRetentionLimit == nil {
            spec.orchestration = OrchestrationConfig(taskHistoryRetentionLimit: 5)
        }
        var raft = spec.raft ?? RaftConfig()
        raft.snapshotInterval = raft.snapshotInterval ?? 10_000
        raft.keepOldSnapshots = raft.keepOldSnapshots ?? 0
        raft.logEntriesForSlowFollowers = raft.logEntriesForSlowFollowers ?? 500
        if raft.electionTick == 0 { raft.electionTick = 10 }
        if raft.heartbeatTick == 0 { raft.heartbeatTick = 1 }
        spec.raft = raft
        if (spec.dispatcher?.heartbeatPeriod ?? 0) == 0 {
            spec.dispatcher = DispatcherConfig(heartbeatPeriod: 5_000_000_000)
        }
        var authority = spec.caConfig ?? CAConfig()
        if (authority.nodeCertExpiry ?? 0) == 0 { authority.nodeCertExpiry = 90 * 24 * 3_600_000_000_000 }
        spec.caConfig = authority
        spec.taskDefaults = spec.taskDefaults ?? TaskDefaults()
        spec.encryptionConfig = spec.encryptionConfig ?? EncryptionConfig()
        return spec
    }
}

/// Sizes of base 64 text, without decoding it.
enum Base64 {
    /// How many bytes the text stands for; 0 when it is not base 64.
    static func decodedCount(_ text: String) -> Int {
        let bytes = text.utf8.filter { $0 != 0x0a && $0 != 0x0d }
        let padding = bytes.reversed().prefix { $0 == 0x3d }.count
        let body = bytes.dropLast(padding)
        let others: Set<UInt8> = [0x2b, 0x2f, 0x2d, 0x5f]
        guard padding <= 2, body.count % 4 != 1,
            body.allSatisfy({ NameRule.isAlphanumeric($0) || others.contains($0) })
        else { return 0 }
        return body.count * 3 / 4
    }
}
