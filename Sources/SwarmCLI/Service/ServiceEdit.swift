package import SwarmCore
import SwarmModel

/// Steps that building and changing a spec share: a value changes only where its flag is given.
enum ServiceEdit {
    private static let second: Int64 = 1_000_000_000

    // MARK: The container

    static func applyScalars(_ flags: ParsedFlags, to container: inout ContainerSpec) throws(SwarmError) {
        if let text = flags.text("workdir") { container.dir = text }
        if let text = flags.text("user") { container.user = text }
        if let text = flags.text("hostname") { container.hostname = text }
        if let text = flags.text("stop-signal") { container.stopSignal = text }
        if let text = flags.text("isolation") { container.isolation = text }
        if flags.isSet("tty") { container.tty = flags.isOn("tty") ? true : nil }
        if flags.isSet("read-only") { container.readOnly = flags.isOn("read-only") ? true : nil }
        if let text = flags.text("stop-grace-period") {
            container.stopGracePeriod = try GoDuration.parse(text)
        }
        if let text = flags.text("oom-score-adj") {
            let value = try GoNumber.int(text)
            container.oomScoreAdj = value == 0 ? nil : value
        }
        if let text = flags.text("credential-spec") {
            var privileges = container.privileges ?? Privileges()
            privileges.credentialSpec = try credentialSpec(text)
            container.privileges = privileges
        }
    }

    static func credentialSpec(_ text: String) throws(SwarmError) -> CredentialSpec {
        let end = text.firstRange(of: "://")
        let value = end.map { String(text[$0.upperBound...]) } ?? ""
        switch end.map({ text[..<$0.lowerBound] }) ?? "" {
        case "file": return CredentialSpec(file: value)
        case "registry": return CredentialSpec(registry: value)
        case "config": return CredentialSpec(config: value)
        default:
            throw SwarmError(
                .invalidArgument,
                "invalid credential spec: value must be prefixed with \"config://\", \"file://\", or \"registry://\""
            )
        }
    }

    static let healthNames = [
        "health-cmd", "health-interval", "health-retries", "health-timeout", "health-start-period",
        "health-start-interval",
    ]

    static func healthcheck(_ flags: ParsedFlags, from old: HealthConfig?) throws(SwarmError) -> HealthConfig?
    {
        if flags.isOn("no-healthcheck") {
            guard !flags.isAnySet(healthNames) else {
                throw SwarmError(.invalidArgument, "--no-healthcheck conflicts with --health-* options")
            }
            return HealthConfig(test: ["NONE"])
        }
        guard flags.isAnySet(healthNames) else { return old }
        var health = old ?? HealthConfig()
        // Settings of a check switch a disabled one on again.
        if health.test == ["NONE"] { health.test = nil }
        if let text = flags.text("health-cmd") { health.test = text.isEmpty ? nil : ["CMD-SHELL", text] }
        if let text = flags.text("health-interval") { health.interval = try GoDuration.parse(text) }
        if let text = flags.text("health-timeout") { health.timeout = try GoDuration.parse(text) }
        if let text = flags.text("health-start-period") { health.startPeriod = try GoDuration.parse(text) }
        if let text = flags.text("health-start-interval") {
            health.startInterval = try GoDuration.parse(text)
        }
        if let text = flags.text("health-retries") {
            let retries = try GoNumber.int(text)
            guard retries >= 0 else {
                throw SwarmError(.invalidArgument, "--health-retries cannot be negative")
            }
            health.retries = Int(retries)
        }
        return health
    }

    // MARK: The task

    static func applyResources(_ flags: ParsedFlags, to resources: inout ResourceRequirements)
        throws(SwarmError)
    {
        func set<Root>(
            _ name: String, _ parse: (String) throws(SwarmError) -> Int64, _ root: inout Root?, _ empty: Root,
            _ path: WritableKeyPath<Root, Int64?>
        ) throws(SwarmError) {
            guard let text = flags.text(name) else { return }
            let value = try parse(text)
            var changed = root ?? empty
            changed[keyPath: path] = value == 0 ? nil : value
            root = changed
        }
        try set("limit-cpu", Size.nanoCPUs, &resources.limits, ResourceLimit(), \.nanoCPUs)
        try set("limit-memory", Size.bytes, &resources.limits, ResourceLimit(), \.memoryBytes)
        try set("limit-pids", GoNumber.int, &resources.limits, ResourceLimit(), \.pids)
        try set("reserve-cpu", Size.nanoCPUs, &resources.reservations, Resources(), \.nanoCPUs)
        try set("reserve-memory", Size.bytes, &resources.reservations, Resources(), \.memoryBytes)
    }

    static func restartPolicy(_ flags: ParsedFlags, from old: RestartPolicy?) throws(SwarmError)
        -> RestartPolicy?
    {
        let names = ["restart-condition", "restart-delay", "restart-max-attempts", "restart-window"]
        guard flags.isAnySet(names) else { return old }
        var policy = old ?? RestartPolicy(condition: "any", delay: 5 * second, maxAttempts: 0)
        if let text = flags.text("restart-condition") { policy.condition = text }
        if let text = flags.text("restart-delay") { policy.delay = try GoDuration.parse(text) }
        if let text = flags.text("restart-max-attempts") { policy.maxAttempts = try GoNumber.uint(text) }
        if let text = flags.text("restart-window") { policy.window = try GoDuration.parse(text) }
        return policy
    }

    // MARK: Updates

    static func rolloutNames(_ prefix: String) -> [String] {
        ["parallelism", "delay", "monitor", "failure-action", "max-failure-ratio", "order"].map {
            "\(prefix)-\($0)"
        }
    }

    static func updateConfig(
        _ flags: ParsedFlags, _ prefix: String, from old: UpdateConfig?
    ) throws(SwarmError) -> UpdateConfig? {
        guard flags.isAnySet(rolloutNames(prefix)) else { return old }
        var config = old ?? UpdateConfig(failureAction: "pause", monitor: 5 * second, order: "stop-first")
        if let text = flags.text("\(prefix)-parallelism") { config.parallelism = try GoNumber.uint(text) }
        if let text = flags.text("\(prefix)-delay") { config.delay = try GoDuration.parse(text) }
        if let text = flags.text("\(prefix)-monitor") { config.monitor = try GoDuration.parse(text) }
        if let text = flags.text("\(prefix)-failure-action") { config.failureAction = text }
        if let text = flags.text("\(prefix)-max-failure-ratio") {
            config.maxFailureRatio = try GoNumber.float(text)
        }
        if let text = flags.text("\(prefix)-order") { config.order = text }
        return config
    }
}

/// `--publish-rm TGT[/proto]`.
package struct PublishedPortKey: Sendable, Equatable {
    package var target: UInt32
    package var proto: String

    package init(_ text: String) throws(SwarmError) {
        let ports = try PublishOption.parse(text)
        guard let port = ports.first, ports.count == 1, !text.contains(":") else {
            throw SwarmError(
                .invalidArgument, "invalid published port \(text): write the target port, TARGET[/PROTOCOL]")
        }
        (target, proto) = (port.targetPort ?? 0, port.effectiveProtocol)
    }

    func matches(_ port: PortConfig) -> Bool { port.targetPort == target && port.effectiveProtocol == proto }
}
