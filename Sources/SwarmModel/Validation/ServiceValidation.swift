package import SwarmCore

/// What Docker refuses in a service, in its order and words; references to other objects are checked
/// elsewhere.
extension ServiceSpec {
    package func validate() throws(SwarmError) {
        try validateEngineWords()
        try NameRule.checkService(name)
        try taskTemplate.validate()
        for config in [updateConfig, rollbackConfig] { try Self.validate(config) }
        try Self.validate(endpointSpec)
        if isJob && (updateConfig != nil || rollbackConfig != nil) {
            throw Rejection.invalid("Jobs may not have an update config")
        }
        if let count = mode.replicated?.replicas, count > UInt64(Int32.max) {
            throw Rejection.invalid("Number of replicas must be non-negative")
        }
        if let job = mode.replicatedJob,
            max(job.maxConcurrent ?? 0, job.totalCompletions ?? 0) > UInt64(Int32.max)
        {
            throw Rejection.invalid("Maximum concurrent jobs must not be negative")
        }
    }

    /// Enumerated words, which the engine refuses before the control API sees them.
    private func validateEngineWords() throws(SwarmError) {
        let modes = [
            mode.replicated != nil, mode.global != nil, mode.replicatedJob != nil, mode.globalJob != nil,
        ]
        guard modes.filter({ $0 }).count <= 1 else {
            throw Rejection.engine("must specify only one service mode")
        }
        let condition = taskTemplate.restartPolicy?.condition ?? ""
        guard ["", "any", "on-failure", "none"].contains(condition) else {
            throw Rejection.engine("invalid RestartCondition: \"\(condition)\"")
        }
        for (config, actions) in [
            (updateConfig, ["", "pause", "continue", "rollback"]),
            (rollbackConfig, ["", "pause", "continue"]),
        ] {
            let (action, order) = (config?.failureAction ?? "", config?.order ?? "")
            guard actions.contains(action) else {
                throw Rejection.engine("unrecognized update failure action \(action)")
            }
            guard ["", "stop-first", "start-first"].contains(order) else {
                throw Rejection.engine("unrecognized update order \(order)")
            }
        }
        let resolution = endpointSpec?.mode ?? ""
        guard ["", "vip", "dnsrr"].contains(resolution) else {
            throw Rejection.engine("invalid resolution mode: \"\(resolution)\"")
        }
        let runtime = taskTemplate.runtime ?? ""
        guard ["", "container", "attachment"].contains(runtime) else {
            throw Rejection.engine("unsupported runtime")
        }
        guard taskTemplate.containerSpec != nil || taskTemplate.networkAttachmentSpec != nil else {
            throw Rejection.engine("mismatched Runtime and *Spec fields")
        }
    }

    private static func validate(_ config: UpdateConfig?) throws(SwarmError) {
        guard let config else { return }
        if (config.delay ?? 0) < 0 { throw Rejection.invalid("TaskSpec: update-delay cannot be negative") }
        if (config.monitor ?? 0) < 0 {
            throw Rejection.invalid("TaskSpec: update-monitor cannot be negative")
        }
        guard (0...1).contains(config.maxFailureRatio) else {
            throw Rejection.invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
        }
    }

    private static func validate(_ endpoint: EndpointSpec?) throws(SwarmError) {
        let ports = endpoint?.ports ?? []
        if endpoint?.mode == "dnsrr" && ports.contains(where: { !$0.isHostMode }) {
            throw Rejection.invalid(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        }
        var seen: Set<PortConfig> = []
        for port in ports {
            guard ["tcp", "udp", "sctp"].contains(port.effectiveProtocol) else {
                throw Rejection.engine("invalid protocol value \"\(port.effectiveProtocol)\"")
            }
            guard ["", "ingress", "host"].contains(port.publishMode ?? "") else {
                throw Rejection.engine("invalid publish mode \"\(port.publishMode ?? "")\"")
            }
            guard (port.targetPort ?? 0) <= 65535, (port.publishedPort ?? 0) <= 65535 else {
                throw Rejection.invalid("EndpointSpec: port must be between 0 and 65535")
            }
            guard let published = port.publishedPort, published != 0 else { continue }
            let key = PortConfig(
                proto: port.effectiveProtocol, publishedPort: published,
                publishMode: port.isHostMode ? "host" : "ingress")
            guard seen.insert(key).inserted else {
                throw Rejection.invalid("EndpointSpec: duplicate published ports provided")
            }
        }
    }
}

extension TaskSpec {
    /// The least CPU that may be reserved or allowed: a thousandth, in billionths.
    static let minimumNanoCPUs: Int64 = 1_000_000
    /// The least memory that may be reserved or allowed: 4 MiB, in bytes.
    static let minimumMemoryBytes: Int64 = 4 * 1024 * 1024

    func validate() throws(SwarmError) {
        try validate(resources?.limits?.nanoCPUs, resources?.limits?.memoryBytes)
        try validate(resources?.reservations?.nanoCPUs, resources?.reservations?.memoryBytes)
        if (restartPolicy?.delay ?? 0) < 0 {
            throw Rejection.invalid("TaskSpec: restart-delay cannot be negative")
        }
        if (restartPolicy?.window ?? 0) < 0 {
            throw Rejection.invalid("TaskSpec: restart-window cannot be negative")
        }
        for text in constraintTexts { _ = try PlacementConstraint(text) }
        try containerSpec?.validate()
    }

    private func validate(_ nanoCPUs: Int64?, _ memory: Int64?) throws(SwarmError) {
        if let nanoCPUs, nanoCPUs != 0, nanoCPUs < Self.minimumNanoCPUs {
            let text = Self.shortest(Double(nanoCPUs) / 1e9)
            throw Rejection.invalid("invalid cpu value \(text): Must be at least 0.001")
        }
        if let memory, memory != 0, memory < Self.minimumMemoryBytes {
            throw Rejection.invalid("invalid memory value \(memory): Must be at least 4MiB")
        }
    }

    /// Go's `%g`: an exponent has at least two digits.
    private static func shortest(_ value: Double) -> String {
        let text = "\(value)"
        guard let mark = text.firstIndex(of: "e"), text.distance(from: mark, to: text.endIndex) == 3 else {
            return text
        }
        let exponent = text[text.index(after: mark)...]
        return text[...mark] + exponent.prefix(1) + "0" + exponent.dropFirst()
    }
}

extension ContainerSpec {
    /// The shortest time a health check may name, in nanoseconds.
    static let minimumHealthDuration: Int64 = 1_000_000

    func validate() throws(SwarmError) {
        guard let image, !image.isEmpty else {
            throw Rejection.invalid("ContainerSpec: image reference must be provided")
        }
        guard ImageReference(image) != nil else {
            throw Rejection.invalid("ContainerSpec: \"\(image)\" is not a valid repository/tag")
        }
        var targets: Set<String> = []
        for mount in mounts ?? [] {
            let target = mount.target ?? ""
            guard targets.insert(target).inserted else {
                throw Rejection.invalid("ContainerSpec: duplicate mount point: \(target)")
            }
            try mount.validate()
        }
        let durations: [(String, Int64?)] = [
            ("Interval", healthcheck?.interval), ("Timeout", healthcheck?.timeout),
            ("StartPeriod", healthcheck?.startPeriod), ("StartInterval", healthcheck?.startInterval),
        ]
        for case (let name, let value?) in durations where value != 0 && value < Self.minimumHealthDuration {
            throw Rejection.invalid("ContainerSpec: \(name) in HealthConfig cannot be less than 1ms")
        }
        if (healthcheck?.retries ?? 0) < 0 {
            throw Rejection.invalid("ContainerSpec: Retries in HealthConfig cannot be negative")
        }
        if (stopGracePeriod ?? 0) < 0 {
            throw Rejection.invalid("ContainerSpec: stop-grace-period cannot be negative")
        }
        try refuseSharedTargets("secret", (secrets ?? []).map { ($0.secretName, $0.file?.name) })
        try refuseSharedTargets("config", (configs ?? []).map { ($0.configName, $0.file?.name) })
    }

    private func refuseSharedTargets(
        _ kind: String, _ references: [(name: String, target: String?)]
    ) throws(SwarmError) {
        var holders: [String: String] = [:]
        for case (let name, let target?) in references {
            if let other = holders[target] {
                throw Rejection.invalid(
                    "\(kind) references '\(other)' and '\(name)' have a conflicting target: '\(target)'")
            }
            holders[target] = name
        }
    }
}
