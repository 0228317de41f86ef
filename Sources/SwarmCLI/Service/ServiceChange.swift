package import SwarmCore
package import SwarmModel

/// Changes a spec as `service update` asks.
///
/// Lists are stored sorted, so that the same flags twice change nothing and restart no task.
package struct ServiceChange: Sendable {
    package var flags: ParsedFlags
    package var references: ReferenceTable
    package var environment: [String: String]

    package init(
        flags: ParsedFlags, references: ReferenceTable = ReferenceTable(), environment: [String: String] = [:]
    ) {
        (self.flags, self.references, self.environment) = (flags, references, environment)
    }

    package func apply(to old: ServiceSpec) throws(SwarmError) -> ServiceSpec {
        var spec = old
        spec.labels = changedPairs(spec.labels, "label")
        try applyMode(to: &spec)
        var container = spec.taskTemplate.containerSpec ?? ContainerSpec()
        try apply(to: &container)
        spec.taskTemplate.containerSpec = container
        try applyTask(to: &spec.taskTemplate, old: old)
        spec.updateConfig = try ServiceEdit.updateConfig(flags, "update", from: spec.updateConfig)
        spec.rollbackConfig = try ServiceEdit.updateConfig(flags, "rollback", from: spec.rollbackConfig)
        try applyEndpoint(to: &spec)
        if flags.isOn("force") { spec.taskTemplate.forceUpdate = (spec.taskTemplate.forceUpdate ?? 0) + 1 }
        return spec
    }

    // MARK: Mode and endpoint

    private func applyMode(to spec: inout ServiceSpec) throws(SwarmError) {
        if let text = flags.text("replicas") {
            let replicas = try GoNumber.uint(text)
            if spec.isJob || spec.isGlobal {
                throw SwarmError(.invalidArgument, "replicas can only be used with replicated mode")
            } else {
                spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: replicas))
            }
        }
        if let text = flags.text("max-concurrent") {
            guard spec.mode.replicatedJob != nil else {
                throw SwarmError(.invalidArgument, "max-concurrent can only be used with replicated-job mode")
            }
            spec.mode.replicatedJob?.maxConcurrent = try GoNumber.uint(text)
        }
    }

    private func applyEndpoint(to spec: inout ServiceSpec) throws(SwarmError) {
        guard flags.isAnySet(["endpoint-mode", "publish-add", "publish-rm"]) else { return }
        var endpoint = spec.endpointSpec ?? EndpointSpec()
        if let mode = flags.text("endpoint-mode") { endpoint.mode = mode.lowercased() }
        if flags.isAnySet(["publish-add", "publish-rm"]) {
            var ports = endpoint.ports ?? []
            for text in flags.list("publish-rm") {
                let key = try PublishedPortKey(text)
                ports.removeAll(where: key.matches)
            }
            for text in flags.list("publish-add") {
                for port in try PublishOption.parse(text) {
                    ports.removeAll { Self.slot($0) == Self.slot(port) }
                    ports.append(port)
                }
            }
            ports.sort { Self.order($0) < Self.order($1) }
            endpoint.ports = ports.isEmpty ? nil : ports
        }
        spec.endpointSpec = endpoint
    }

    /// What two ports of one service must not share.
    private static func slot(_ port: PortConfig) -> [String] {
        [
            String(port.targetPort ?? 0), port.effectiveProtocol, port.publishMode ?? "ingress",
            String(port.publishedPort ?? 0),
        ]
    }

    private static func order(_ port: PortConfig) -> (UInt32, UInt32, String, String) {
        (port.publishedPort ?? 0, port.targetPort ?? 0, port.effectiveProtocol, port.publishMode ?? "")
    }

    // MARK: The task

    private func applyTask(to task: inout TaskSpec, old: ServiceSpec) throws(SwarmError) {
        var resources = task.resources ?? ResourceRequirements()
        try ServiceEdit.applyResources(flags, to: &resources)
        try applyGenericResources(to: &resources)
        if resources != ResourceRequirements() || task.resources != nil { task.resources = resources }
        task.restartPolicy = try ServiceEdit.restartPolicy(flags, from: task.restartPolicy)
        try applyPlacement(to: &task)
        if flags.isAnySet(["network-add", "network-rm"]) {
            let networks = try changedNetworks(old.attachments)
            task.networks = networks.isEmpty ? nil : networks
        }
        if let driver = flags.text("log-driver") {
            let options = ServiceCreation.pairs(flags.list("log-opt"))
            task.logDriver =
                driver.isEmpty ? nil : Driver(name: driver, options: options.isEmpty ? nil : options)
        }
    }

    private func applyGenericResources(to resources: inout ResourceRequirements) throws(SwarmError) {
        guard flags.isAnySet(["generic-resource-add", "generic-resource-rm"]) else { return }
        var counts: [String: Int64] = [:]
        for resource in resources.reservations?.genericResources ?? [] {
            if let discrete = resource.discrete { counts[discrete.kind] = discrete.value }
        }
        for kind in flags.list("generic-resource-rm") {
            guard counts.removeValue(forKey: kind) != nil else {
                throw SwarmError(.invalidArgument, "could not find generic-resource `\(kind)` to remove it")
            }
        }
        for text in flags.list("generic-resource-add") {
            let resource = try GenericResourceOption.parse(text)
            counts[resource.kind] = resource.value
        }
        var reservations = resources.reservations ?? Resources()
        reservations.genericResources =
            counts.isEmpty
            ? nil
            : counts.sorted { $0.key < $1.key }.map {
                GenericResource(discrete: DiscreteGenericResource(kind: $0.key, value: $0.value))
            }
        resources.reservations = reservations
    }

    private func applyPlacement(to task: inout TaskSpec) throws(SwarmError) {
        var placement = task.placement ?? Placement()
        placement.constraints = changedList(placement.constraints, "constraint")
        if flags.isAnySet(["placement-pref-add", "placement-pref-rm"]) {
            var preferences = placement.preferences ?? []
            for text in flags.list("placement-pref-rm") {
                let removed = try PlacementPreferenceOption.parse(text)
                preferences.removeAll { $0 == removed }
            }
            for text in flags.list("placement-pref-add") {
                preferences.append(try PlacementPreferenceOption.parse(text))
            }
            placement.preferences = preferences.isEmpty ? nil : preferences
        }
        if let text = flags.text("replicas-max-per-node") { placement.maxReplicas = try GoNumber.uint(text) }
        if task.placement != nil || placement != Placement() { task.placement = placement }
    }

    private func changedNetworks(
        _ old: [NetworkAttachmentConfig]
    ) throws(SwarmError) -> [NetworkAttachmentConfig] {
        let removed = Set(flags.list("network-rm").map { references.networks[$0] ?? $0 })
        var networks = old.filter { !removed.contains($0.target ?? "") }
        for text in flags.list("network-add") {
            let option = try NetworkOption.parse(text)
            let network = references.network(option)
            guard !networks.contains(where: { $0.target == network.target }) else {
                throw SwarmError(
                    .invalidArgument, "service is already attached to network \(option.target ?? text)")
            }
            networks.append(network)
        }
        return networks.sorted { ($0.target ?? "") < ($1.target ?? "") }
    }

    // MARK: The container

    private func apply(to container: inout ContainerSpec) throws(SwarmError) {
        try ServiceEdit.applyScalars(flags, to: &container)
        if let image = flags.text("image") { container.image = image }
        if let text = flags.text("args") { container.args = try ShellWords.split(text) }
        if let text = flags.text("entrypoint") { container.command = try ShellWords.split(text) }
        if flags.isSet("init") { container.initProcess = flags.isOn("init") }
        container.labels = changedPairs(container.labels, "container-label")
        applyEnvironment(to: &container)
        container.groups = changedList(container.groups, "group")
        applyNames(to: &container)
        try applyHosts(to: &container)
        try applyMounts(to: &container)
        try applyFiles(to: &container)
        container.sysctls = changedPairs(container.sysctls, "sysctl")
        try applyUlimits(to: &container)
        applyCapabilities(to: &container)
        container.healthcheck = try ServiceEdit.healthcheck(flags, from: container.healthcheck)
    }

    private func applyEnvironment(to container: inout ContainerSpec) {
        guard flags.isAnySet(["env-add", "env-rm"]) else { return }
        let removed = Set(flags.list("env-rm").map { $0.keyAndValue.key })
        let kept = (container.env ?? []).filter { !removed.contains($0.keyAndValue.key) }
        var values: [String: String] = [:]
        for entry in kept + EnvironmentFile.resolve(flags.list("env-add"), from: environment) {
            values[entry.keyAndValue.key] = entry
        }
        let sorted = values.sorted { $0.key < $1.key }.map(\.value)
        container.env = sorted.isEmpty ? nil : sorted
    }

    private func applyNames(to container: inout ContainerSpec) {
        guard flags.isAnySet(["dns", "dns-option", "dns-search"].flatMap { ["\($0)-add", "\($0)-rm"] }) else {
            return
        }
        var names = container.dnsConfig ?? DNSConfig()
        names.nameservers = changedList(names.nameservers, "dns")
        names.search = changedList(names.search, "dns-search")
        names.options = changedList(names.options, "dns-option")
        container.dnsConfig = names
    }

    private func applyHosts(to container: inout ContainerSpec) throws(SwarmError) {
        guard flags.isAnySet(["host-add", "host-rm"]) else { return }
        var hosts = container.hosts ?? []
        for text in flags.list("host-rm") {
            // `name` alone removes the name wherever it points.
            if let entry = try? OptionCheck.host(text) {
                hosts.removeAll { $0 == entry }
            } else {
                hosts.removeAll { $0.split(separator: " ").dropFirst().contains { $0 == text } }
            }
        }
        for text in flags.list("host-add") {
            let entry = try OptionCheck.host(text)
            if !hosts.contains(entry) { hosts.append(entry) }
        }
        container.hosts = hosts.isEmpty ? nil : hosts
    }

    private func applyMounts(to container: inout ContainerSpec) throws(SwarmError) {
        guard flags.isAnySet(["mount-add", "mount-rm"]) else { return }
        let removed = Set(flags.list("mount-rm"))
        var mounts = (container.mounts ?? []).filter { !removed.contains($0.target ?? "") }
        var added: Set<String> = []
        for text in flags.list("mount-add") {
            let mount = try MountOption.parse(text)
            let target = mount.target ?? ""
            guard added.insert(target).inserted else {
                throw SwarmError(.invalidArgument, "duplicate mount target")
            }
            mounts.removeAll { $0.target == target }
            mounts.append(mount)
        }
        mounts.sort { ($0.source ?? "", $0.target ?? "") < ($1.source ?? "", $1.target ?? "") }
        container.mounts = mounts.isEmpty ? nil : mounts
    }

    private func applyFiles(to container: inout ContainerSpec) throws(SwarmError) {
        if flags.isAnySet(["secret-add", "secret-rm"]) {
            let removed = Set(flags.list("secret-rm"))
            var secrets = (container.secrets ?? []).filter { !removed.contains($0.secretName) }
            for text in flags.list("secret-add") {
                let secret = try references.secret(try FileReferenceOption.parse(text))
                secrets.removeAll { $0.secretName == secret.secretName && $0.file?.name == secret.file?.name }
                secrets.append(secret)
            }
            container.secrets = secrets.isEmpty ? nil : secrets
        }
        if flags.isAnySet(["config-add", "config-rm"]) {
            let removed = Set(flags.list("config-rm"))
            var configs = (container.configs ?? []).filter { !removed.contains($0.configName) }
            for text in flags.list("config-add") {
                let config = try references.config(try FileReferenceOption.parse(text))
                configs.removeAll { $0.configName == config.configName && $0.file?.name == config.file?.name }
                configs.append(config)
            }
            container.configs = configs.isEmpty ? nil : configs
        }
    }

    private func applyUlimits(to container: inout ContainerSpec) throws(SwarmError) {
        guard flags.isAnySet(["ulimit-add", "ulimit-rm"]) else { return }
        let removed = Set(flags.list("ulimit-rm"))
        var limits = (container.ulimits ?? []).filter { !removed.contains($0.name) }
        for text in flags.list("ulimit-add") {
            let limit = try UlimitOption.parse(text)
            limits.removeAll { $0.name == limit.name }
            limits.append(limit)
        }
        container.ulimits = limits.isEmpty ? nil : limits.sorted { $0.name < $1.name }
    }

    private func applyCapabilities(to container: inout ContainerSpec) {
        guard flags.isAnySet(["cap-add", "cap-drop"]) else { return }
        let (adding, dropping) = (
            flags.list("cap-add").map(Capabilities.normalized),
            flags.list("cap-drop").map(Capabilities.normalized)
        )
        // A capability is added, dropped or left alone: adding one that was dropped only ends the dropping.
        var add = Set(adding.contains(Capabilities.reset) ? [] : container.capabilityAdd ?? [])
        var drop = Set(dropping.contains(Capabilities.reset) ? [] : container.capabilityDrop ?? [])
        for name in dropping where name != Capabilities.reset {
            if add.remove(name) == nil { drop.insert(name) }
        }
        for name in adding where name != Capabilities.reset {
            if drop.remove(name) == nil || dropping.contains(name) { add.insert(name) }
        }
        let result = Capabilities.effective(adding: Array(add), dropping: Array(drop))
        container.capabilityAdd = result.add.isEmpty ? nil : result.add
        container.capabilityDrop = result.drop.isEmpty ? nil : result.drop
    }

    // MARK: Lists

    /// `--X-rm`, then `--X-add`, sorted and each once.
    private func changedList(_ old: [String]?, _ name: String) -> [String]? {
        guard flags.isAnySet(["\(name)-add", "\(name)-rm"]) else { return old }
        let kept = Set(old ?? []).subtracting(flags.list("\(name)-rm"))
        let changed = kept.union(flags.list("\(name)-add"))
        return changed.isEmpty ? nil : changed.sorted()
    }

    private func changedPairs(_ old: [String: String]?, _ name: String) -> [String: String]? {
        guard flags.isAnySet(["\(name)-add", "\(name)-rm"]) else { return old }
        var changed = old ?? [:]
        for key in flags.list("\(name)-rm") { changed[key] = nil }
        changed.merge(ServiceCreation.pairs(flags.list("\(name)-add"))) { $1 }
        // A service always has labels, if none; what belongs to its containers is left out instead.
        return changed.isEmpty && name != "label" ? nil : changed
    }
}
