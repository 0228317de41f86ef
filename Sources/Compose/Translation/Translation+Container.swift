import SwarmModel

/// The container half of a service's tasks.
extension Translation {
    mutating func container(_ entry: Value.Entry, image: String) -> ContainerSpec {
        let (key, value) = (entry.key, entry.value)
        var spec = ContainerSpec()
        spec.image = self.image(image, entry)
        spec.labels = labels(value["labels"])
        spec.command = words(value["entrypoint"])
        spec.args = words(value["command"])
        spec.hostname = text(value["hostname"])
        spec.env = environment(value["environment"])
        spec.dir = text(value["working_dir"])
        spec.user = text(value["user"])
        spec.groups = words(value["group_add"])
        spec.privileges = Privileges(noNewPrivileges: false)
        spec.initProcess = value["init"]?.bool
        spec.tty = flag(value["tty"])
        spec.openStdin = flag(value["stdin_open"])
        spec.readOnly = flag(value["read_only"])
        spec.stopSignal = text(value["stop_signal"])
        spec.stopGracePeriod = nanoseconds(value["stop_grace_period"])
        spec.healthcheck = healthcheck(key, value["healthcheck"])
        spec.mounts = mounts(key, value)
        spec.hosts = hosts(value["extra_hosts"])
        let dns = DNSConfig(
            nameservers: words(value["dns"]), search: words(value["dns_search"]), options: words(value["dns_opt"]))
        if dns != DNSConfig() { spec.dnsConfig = dns }
        spec.secrets = secrets(value["secrets"])
        spec.configs = configs(value["configs"])
        spec.isolation = text(value["isolation"])
        let sysctls = strings(value["sysctls"])
        if !sysctls.isEmpty { spec.sysctls = sysctls }
        (spec.capabilityAdd, spec.capabilityDrop) = capabilities(value)
        spec.ulimits = ulimits(value["ulimits"])
        // The client reads the key, and forgets it.
        if !isDocker {
            spec.oomScoreAdj = value["oom_score_adj"]?.integer.flatMap { $0 == 0 ? nil : Int64(exactly: $0) }
        }
        addCredentials(key, value["credential_spec"], to: &spec)
        return spec
    }

    private func text(_ value: Value?) -> String? { value?.string.flatMap { $0.isEmpty ? nil : $0 } }
    private func flag(_ value: Value?) -> Bool? { value?.bool == true ? true : nil }

    private func words(_ value: Value?) -> [String]? {
        let words = list(value)
        return words.isEmpty ? nil : words
    }

    private mutating func image(_ text: String, _ entry: Value.Entry) -> String? {
        if let reference = ImageReference(text) { return reference.familiar }
        let reason: String
        if text.isEmpty {
            reason = "no image specified"
        } else if let lower = ImageReference(text.lowercased()) {
            let name =
                lower.domain == ImageReference.defaultDomain && !text.contains("/") ? "library/\(text)" : text
            reason = "invalid reference format: repository name (\(name)) must be lowercase"
        } else {
            reason = "invalid reference format"
        }
        findings.error(
            at: entry.value["image"]?.position ?? entry.keyPosition,
            path: isDocker ? "" : "services.\(entry.key).image",
            "invalid image reference for service \(entry.key): \(reason)")
        return nil
    }

    private func environment(_ value: Value?) -> [String]? {
        let lines = (value?.entries ?? []).sorted { $0.key < $1.key }.map { entry in
            entry.value.string.map { "\(entry.key)=\($0)" } ?? entry.key
        }
        return lines.isEmpty ? nil : lines
    }

    private func hosts(_ value: Value?) -> [String]? {
        let lines = list(value).compactMap { line -> String? in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return "\(line[line.index(after: colon)...]) \(line[..<colon])"
        }
        return lines.isEmpty ? nil : lines
    }

    private mutating func healthcheck(_ key: String, _ value: Value?) -> HealthConfig? {
        guard let value else { return nil }
        var config = HealthConfig(test: words(value["test"]))
        if value["disable"]?.bool == true {
            if config.test != nil && config.test != ["NONE"] {
                refuse(key, value, "healthcheck", "test and disable can't be set at the same time")
            }
            return HealthConfig(test: ["NONE"])
        }
        func duration(_ key: String) -> Int64? { nanoseconds(value[key]).flatMap { $0 == 0 ? nil : $0 } }
        config.interval = duration("interval")
        config.timeout = duration("timeout")
        config.startPeriod = duration("start_period")
        config.startInterval = duration("start_interval")
        config.retries = value["retries"]?.integer.flatMap { $0 == 0 ? nil : Int(exactly: $0) }
        return config
    }

    /// Full names in order; a capability that is added is not dropped.
    private func capabilities(_ value: Value) -> (add: [String]?, drop: [String]?) {
        func normalized(_ names: Value?) -> Set<String> {
            let full = list(names).map { name in
                let upper = name.uppercased()
                return upper == "ALL" || upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
            }
            return full.contains("ALL") ? ["ALL"] : Set(full)
        }
        let add = normalized(value["cap_add"])
        let drop = normalized(value["cap_drop"]).subtracting(add)
        return (add.isEmpty ? nil : add.sorted(), drop.isEmpty ? nil : drop.sorted())
    }

    private func ulimits(_ value: Value?) -> [Ulimit]? {
        let limits = (value?.entries ?? []).map { entry -> Ulimit in
            func number(_ value: Value?) -> Int64 { value?.integer.flatMap { Int64(exactly: $0) } ?? 0 }
            if entry.value.entries != nil {
                return Ulimit(name: entry.key, hard: number(entry.value["hard"]), soft: number(entry.value["soft"]))
            }
            return Ulimit(name: entry.key, hard: number(entry.value), soft: number(entry.value))
        }.sorted { $0.name < $1.name }
        return limits.isEmpty ? nil : limits
    }

    private mutating func addCredentials(_ key: String, _ value: Value?, to spec: inout ContainerSpec) {
        guard let value else { return }
        let (config, file, registry) = (text(value["config"]), text(value["file"]), text(value["registry"]))
        let named = [("Config", config), ("File", file), ("Registry", registry)].filter { $0.1 != nil }.map(\.0)
        guard !named.isEmpty else { return }
        guard named.count == 1 else {
            let list = named.map { "\"\($0)\"" }
            let words = list.count == 2 ? "both \(list[0]) and \(list[1])" : list.joined(separator: ", ")
            return refuse(key, value, "credential_spec", "invalid credential spec: cannot specify \(words)")
        }
        var credentials = CredentialSpec(file: file, registry: registry)
        if let config {
            guard let object = project.document["configs"]?[config] else {
                return refuse(key, value["config"], "credential_spec.config", "undefined config \"\(config)\"")
            }
            // The engine wants the config's identifier, which a deployment puts in by this name.
            let name = name(object, key: config)
            credentials.config = name
            spec.configs =
                (spec.configs ?? []) + [
                    ConfigReference(configID: "", configName: name, runtime: ConfigRuntimeTarget())
                ]
        }
        spec.privileges?.credentialSpec = credentials
    }

    // MARK: Secrets, configs, networks

    private func file(_ item: Value) -> ReferencedFile {
        ReferencedFile(
            name: text(item["target"]) ?? item["source"]?.string ?? "", uid: text(item["uid"]) ?? "0",
            gid: text(item["gid"]) ?? "0",
            mode: item["mode"]?.integer.flatMap { UInt32(exactly: $0) } ?? 0o444)
    }

    private func secrets(_ value: Value?) -> [SecretReference]? {
        let references = (value?.list ?? []).map { item in
            let source = item["source"]?.string ?? ""
            return SecretReference(
                secretID: "", secretName: name(project.document["secrets"]?[source], key: source), file: file(item))
        }
        return references.isEmpty ? nil : stablySorted(references, by: \.secretName)
    }

    private func configs(_ value: Value?) -> [ConfigReference]? {
        let references = (value?.list ?? []).map { item in
            let source = item["source"]?.string ?? ""
            return ConfigReference(
                configID: "", configName: name(project.document["configs"]?[source], key: source), file: file(item))
        }
        return references.isEmpty ? nil : stablySorted(references, by: \.configName)
    }

    private func stablySorted<Item>(_ items: [Item], by key: (Item) -> String) -> [Item] {
        items.enumerated().sorted { (key($0.element), $0.offset) < (key($1.element), $1.offset) }.map(\.element)
    }

    func attachments(_ entry: Value.Entry) -> [NetworkAttachmentConfig] {
        let named = entry.value["networks"]?.entries ?? []
        let networks = project.document["networks"]
        guard !named.isEmpty else {
            return [
                NetworkAttachmentConfig(target: name(networks?["default"], key: "default"), aliases: [entry.key])
            ]
        }
        let attachments = named.map { attachment in
            let target = name(networks?[attachment.key], key: attachment.key)
            var aliases = list(attachment.value["aliases"])
            // Names that mean networks of each node rather than the swarm's have no names resolved in them.
            if !["host", "bridge", "none", "default"].contains(target) { aliases.append(entry.key) }
            let options = strings(attachment.value["driver_opts"])
            return NetworkAttachmentConfig(
                target: target, aliases: aliases.isEmpty ? nil : aliases,
                driverOpts: options.isEmpty ? nil : options)
        }
        return stablySorted(attachments) { $0.target ?? "" }
    }
}
