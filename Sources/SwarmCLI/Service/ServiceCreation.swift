package import SwarmCore
package import SwarmModel

/// Names that a spec refers to, with the identifiers that the engine knows them by.
package struct ReferenceTable: Sendable {
    package var networks: [String: String] = [:]
    package var secrets: [String: String] = [:]
    package var configs: [String: String] = [:]

    package init(
        networks: [String: String] = [:], secrets: [String: String] = [:], configs: [String: String] = [:]
    ) {
        (self.networks, self.secrets, self.configs) = (networks, secrets, configs)
    }

    func network(_ option: NetworkAttachmentConfig) -> NetworkAttachmentConfig {
        var option = option
        option.target = option.target.map { networks[$0] ?? $0 }
        return option
    }

    func secret(_ option: FileReferenceOption) throws(SwarmError) -> SecretReference {
        guard let id = secrets[option.source] else {
            throw SwarmError(.notFound, "secret not found: \(option.source)")
        }
        return SecretReference(secretID: id, secretName: option.source, file: option.file)
    }

    func config(_ option: FileReferenceOption) throws(SwarmError) -> ConfigReference {
        guard let id = configs[option.source] else {
            throw SwarmError(.notFound, "config not found: \(option.source)")
        }
        return ConfigReference(configID: id, configName: option.source, file: option.file)
    }
}

/// Builds the spec that `service create` sends.
package struct ServiceCreation: Sendable {
    package var flags: ParsedFlags
    /// The image, then the command line.
    package var arguments: [String]
    package var references: ReferenceTable
    /// The caller's own environment, for `-e NAME`.
    package var environment: [String: String]
    /// The lines of every `--env-file`, in order.
    package var fileEntries: [String]

    package init(
        flags: ParsedFlags, arguments: [String], references: ReferenceTable = ReferenceTable(),
        environment: [String: String] = [:], fileEntries: [String] = []
    ) {
        self.flags = flags
        self.arguments = arguments
        self.references = references
        self.environment = environment
        self.fileEntries = fileEntries
    }

    package func spec() throws(SwarmError) -> ServiceSpec {
        let mode = try mode()
        var spec = ServiceSpec(
            name: flags.text("name") ?? "", labels: Self.pairs(flags.list("label")), mode: mode)
        spec.taskTemplate = try taskTemplate()
        let isJob = spec.isJob
        let rollout = ServiceEdit.rolloutNames("update") + ServiceEdit.rolloutNames("rollback")
        guard !isJob || !flags.isAnySet(rollout) else {
            throw SwarmError(.invalidArgument, "update and rollback configuration is not supported for jobs")
        }
        spec.updateConfig = try ServiceEdit.updateConfig(flags, "update", from: nil)
        spec.rollbackConfig = try ServiceEdit.updateConfig(flags, "rollback", from: nil)
        var ports: [PortConfig] = []
        for text in flags.list("publish") { ports += try PublishOption.parse(text) }
        spec.endpointSpec = EndpointSpec(
            mode: (flags.text("endpoint-mode") ?? "vip").lowercased(), ports: ports.isEmpty ? nil : ports)
        return spec
    }

    private func mode() throws(SwarmError) -> ServiceMode {
        let name = flags.text("mode") ?? "replicated"
        let replicas = try flags.text("replicas").map { text throws(SwarmError) in try GoNumber.uint(text) }
        let concurrent = try flags.text("max-concurrent").map { text throws(SwarmError) in
            try GoNumber.uint(text)
        }
        if name != "replicated-job", concurrent != nil {
            throw SwarmError(.invalidArgument, "max-concurrent can only be used with replicated-job mode")
        }
        if name == "global" || name == "global-job" {
            if replicas != nil {
                throw SwarmError(
                    .invalidArgument, "replicas can only be used with replicated or replicated-job mode")
            }
            if flags.isSet("replicas-max-per-node") {
                throw SwarmError(
                    .invalidArgument,
                    "replicas-max-per-node can only be used with replicated or replicated-job mode")
            }
        }
        switch name {
        case "replicated": return ServiceMode(replicated: ReplicatedMode(replicas: replicas))
        case "global": return ServiceMode(global: GlobalMode())
        case "global-job": return ServiceMode(globalJob: GlobalMode())
        case "replicated-job":
            return ServiceMode(
                replicatedJob: ReplicatedJobMode(
                    maxConcurrent: concurrent ?? replicas ?? 1, totalCompletions: replicas ?? concurrent ?? 1)
            )
        default:
            throw SwarmError(
                .invalidArgument,
                "Unknown mode: \(name), only replicated and global supported")
        }
    }

    private func taskTemplate() throws(SwarmError) -> TaskSpec {
        var task = TaskSpec(forceUpdate: 0)
        task.containerSpec = try containerSpec()
        var resources = ResourceRequirements(limits: ResourceLimit(), reservations: Resources())
        try ServiceEdit.applyResources(flags, to: &resources)
        let generic = try flags.list("generic-resource").map { text throws(SwarmError) in
            GenericResource(discrete: try GenericResourceOption.parse(text))
        }
        if !generic.isEmpty { resources.reservations?.genericResources = generic }
        task.resources = resources
        task.restartPolicy = try ServiceEdit.restartPolicy(flags, from: nil)
        var placement = Placement()
        if flags.isSet("constraint") { placement.constraints = flags.list("constraint") }
        let preferences = try flags.list("placement-pref").map { text throws(SwarmError) in
            try PlacementPreferenceOption.parse(text)
        }
        if !preferences.isEmpty { placement.preferences = preferences }
        if let text = flags.text("replicas-max-per-node") { placement.maxReplicas = try GoNumber.uint(text) }
        task.placement = placement
        var networks: [NetworkAttachmentConfig] = []
        for text in flags.list("network") { networks.append(references.network(try NetworkOption.parse(text))) }
        if !networks.isEmpty { task.networks = networks.sorted { ($0.target ?? "") < ($1.target ?? "") } }
        if let driver = flags.text("log-driver") {
            task.logDriver = Driver(name: driver, options: Self.pairs(flags.list("log-opt")))
        }
        return task
    }

    private func containerSpec() throws(SwarmError) -> ContainerSpec {
        var container = ContainerSpec(image: arguments.first)
        if arguments.count > 1 { container.args = Array(arguments.dropFirst()) }
        if let text = flags.text("entrypoint") { container.command = try ShellWords.split(text) }
        let labels = Self.pairs(flags.list("container-label"))
        if !labels.isEmpty { container.labels = labels }
        let env = EnvironmentFile.resolve(flags.list("env"), files: fileEntries, from: environment)
        if !env.isEmpty { container.env = env }
        container.initProcess = flags.isOn("init")
        try ServiceEdit.applyScalars(flags, to: &container)
        if flags.isSet("group") { container.groups = flags.list("group") }
        let hosts = try flags.list("host").map { text throws(SwarmError) in try OptionCheck.host(text) }
        if !hosts.isEmpty { container.hosts = hosts }
        func listOrNil(_ name: String) -> [String]? { flags.isSet(name) ? flags.list(name) : nil }
        container.dnsConfig = DNSConfig(
            nameservers: listOrNil("dns"), search: listOrNil("dns-search"), options: listOrNil("dns-option"))
        let mounts = try flags.list("mount").map { text throws(SwarmError) in try MountOption.parse(text) }
        if !mounts.isEmpty { container.mounts = mounts }
        let secrets = try flags.list("secret").map { text throws(SwarmError) in
            try references.secret(try FileReferenceOption.parse(text))
        }
        try Self.refuseSharedTargets("secret", secrets.map { ($0.secretName, $0.file?.name ?? "") })
        if !secrets.isEmpty { container.secrets = secrets }
        let configs = try flags.list("config").map { text throws(SwarmError) in
            try references.config(try FileReferenceOption.parse(text))
        }
        try Self.refuseSharedTargets("config", configs.map { ($0.configName, $0.file?.name ?? "") })
        if !configs.isEmpty { container.configs = configs }
        let sysctls = Self.pairs(flags.list("sysctl"))
        if !sysctls.isEmpty { container.sysctls = sysctls }
        let ulimits = try flags.list("ulimit").map { text throws(SwarmError) in try UlimitOption.parse(text) }
        if !ulimits.isEmpty { container.ulimits = ulimits.sorted { $0.name < $1.name } }
        let capabilities = Capabilities.effective(
            adding: flags.list("cap-add"), dropping: flags.list("cap-drop"))
        container.capabilityAdd = capabilities.add.isEmpty ? nil : capabilities.add
        container.capabilityDrop = capabilities.drop.isEmpty ? nil : capabilities.drop
        container.healthcheck = try ServiceEdit.healthcheck(flags, from: nil)
        return container
    }

    private static func refuseSharedTargets(
        _ kind: String, _ references: [(name: String, target: String)]
    ) throws(SwarmError) {
        var targets: Set<String> = []
        for (name, target) in references where !targets.insert(target).inserted {
            throw SwarmError(.invalidArgument, "duplicate \(kind) target for \(name) not allowed")
        }
    }

    /// `key=value` texts as a dictionary; the later of two equal keys counts.
    static func pairs(_ texts: [String]) -> [String: String] {
        var pairs: [String: String] = [:]
        for text in texts {
            let (key, value) = text.keyAndValue
            pairs[key] = value ?? ""
        }
        return pairs
    }
}

/// Linux capabilities as the spec lists them.
enum Capabilities {
    static let all = "ALL"
    static let reset = "RESET"

    /// `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are the same.
    static func normalized(_ name: String) -> String {
        let upper = name.trimmed.uppercased()
        return upper == all || upper == reset || upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
    }

    /// Sorted, each once; what is added is not dropped.
    static func effective(adding: [String], dropping: [String]) -> (add: [String], drop: [String]) {
        let add = Set(adding.map(normalized)).subtracting([reset])
        let drop = Set(dropping.map(normalized)).subtracting([reset]).subtracting(add)
        func reduced(_ names: Set<String>) -> [String] { names.contains(all) ? [all] : names.sorted() }
        return (reduced(add), reduced(drop))
    }
}
