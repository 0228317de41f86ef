import SwarmCore
import SwarmModel

/// One project on its way to a swarm's objects.
struct Translation {
    let project: Project
    let namespace: String
    let files: any StackFiles
    var findings = Findings()

    init(_ project: Project, stack: String, files: any StackFiles) throws(StackFileErrors) {
        var name = Substring(stack)
        while let first = name.first, " '\"\t\n".contains(first) { name = name.dropFirst() }
        while let last = name.last, " '\"\t\n".contains(last) { name = name.dropLast() }
        guard !name.isEmpty else {
            throw StackFileErrors([Diagnostic(.error, at: nil, "invalid stack name: \"\(stack)\"")])
        }
        (self.project, namespace, self.files) = (project, String(name), files)
    }

    var isDocker: Bool { project.dialect == .docker }

    mutating func run() throws(StackFileErrors) -> StackSpecs {
        var specs = StackSpecs(namespace: namespace)
        if isDocker { References.checkServices(project.document, &findings) }
        addNetworks(to: &specs)
        addSecrets(to: &specs)
        addConfigs(to: &specs)
        for entry in sorted("services") {
            let service = service(entry)
            if !isDocker { checkName(service.spec.name, entry) }
            specs.services.append(service)
        }
        specs.services.sort { $0.spec.name < $1.spec.name }
        specs.warnings = findings.warnings
        try findings.check()
        return specs
    }

    // MARK: Names

    func entries(_ section: String) -> [Value.Entry] { project.document[section]?.entries ?? [] }

    func sorted(_ section: String) -> [Value.Entry] { entries(section).sorted { $0.key < $1.key } }

    /// `STACK_NAME`.
    func scoped(_ name: String) -> String { "\(namespace)_\(name)" }

    /// The name of a top-level object: its own, or the stack's prefix with its key.
    func name(_ object: Value?, key: String) -> String {
        if let own = object?["name"]?.string, !own.isEmpty { return own }
        return scoped(key)
    }

    func isExternal(_ object: Value?) -> Bool { object?["external"]?.bool ?? false }

    /// An object's labels with the stack's.
    func labels(_ value: Value?) -> [String: String] {
        var labels = strings(value)
        labels[StackSpecs.namespaceLabel] = namespace
        return labels
    }

    func strings(_ value: Value?) -> [String: String] {
        Dictionary((value?.entries ?? []).map { ($0.key, $0.value.string ?? "") }) { $1 }
    }

    func list(_ value: Value?) -> [String] { (value?.list ?? []).compactMap(\.string) }

    func driver(_ name: Value?, _ options: Value?) -> Driver? {
        let own = strings(options)
        guard let name = name?.string, !name.isEmpty else { return own.isEmpty ? nil : Driver(options: own) }
        return Driver(name: name, options: own.isEmpty ? nil : own)
    }

    /// Docker says `service NAME: …`; we say the key's path and place.
    mutating func refuse(_ service: String, _ value: Value?, _ path: String, _ message: String) {
        if isDocker {
            findings.error(at: value?.position, "service \(service): \(message)")
        } else {
            findings.error(
                at: value?.position, path: "services.\(service)\(path.isEmpty ? "" : "." + path)", message)
        }
    }

    private mutating func checkName(_ name: String, _ entry: Value.Entry) {
        do throws(SwarmError) {
            try NameRule.checkService(name)
        } catch {
            let reason = error.message.replacing("rpc error: code = InvalidArgument desc = ", with: "")
            findings.error(at: entry.keyPosition, path: "services.\(entry.key)", "\(name): \(reason)")
        }
    }

    // MARK: Networks

    private mutating func addNetworks(to specs: inout StackSpecs) {
        var used: Set<String> = []
        for service in entries("services") {
            let names = (service.value["networks"]?.entries ?? []).map(\.key)
            used.formUnion(names.isEmpty ? ["default"] : names)
        }
        let networks = project.document["networks"]
        for key in used.sorted() {
            let network = networks?[key]
            if network == nil && key != "default" { continue }
            if isExternal(network) {
                specs.externalNetworks.append(name(network, key: key))
            } else {
                specs.networks.append(self.network(network, key: key))
            }
        }
        specs.networks.sort { $0.name < $1.name }
    }

    private func network(_ network: Value?, key: String) -> NetworkSpec {
        let driverName = network?["driver"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? "overlay"
        let options = strings(network?["driver_opts"])
        var spec = NetworkSpec(name: name(network, key: key), labels: labels(network?["labels"]))
        spec.driverConfiguration = Driver(name: driverName, options: options.isEmpty ? nil : options)
        spec.isInternal = network?["internal"]?.bool ?? false
        spec.attachable = network?["attachable"]?.bool ?? false
        spec.ipv6Enabled = network?["enable_ipv6"]?.bool
        if let ipam = network?["ipam"], !(ipam.entries ?? []).isEmpty {
            let pools = (ipam["config"]?.list ?? []).map { pool in
                let addresses = strings(pool["aux_addresses"])
                return IPAMConfig(
                    subnet: pool["subnet"]?.string, range: pool["ip_range"]?.string,
                    gateway: pool["gateway"]?.string,
                    auxiliaryAddresses: addresses.isEmpty ? nil : addresses)
            }
            let options = strings(ipam["options"])
            let name = ipam["driver"]?.string ?? ""
            let driver =
                name.isEmpty && options.isEmpty ? nil : Driver(name: name, options: options.isEmpty ? nil : options)
            if driver != nil || !pools.isEmpty {
                spec.ipamOptions = IPAM(driver: driver, configs: pools.isEmpty ? nil : pools)
            }
        }
        return spec
    }

    // MARK: Secrets and configs

    private mutating func addSecrets(to specs: inout StackSpecs) {
        for entry in sorted("secrets") {
            if isExternal(entry.value) {
                specs.externalSecrets.append(name(entry.value, key: entry.key))
                continue
            }
            var spec = SecretSpec(name: name(entry.value, key: entry.key), labels: labels(entry.value["labels"]))
            spec.driver = driver(entry.value["driver"], entry.value["driver_opts"])
            spec.templating = driver(entry.value["template_driver"], nil)
            if spec.driver == nil {
                spec.data = content(entry, "secrets", limit: StackLimits.secretBytesMax)
            }
            specs.secrets.append(spec)
        }
        specs.secrets.sort { $0.name < $1.name }
        specs.externalSecrets.sort()
    }

    private mutating func addConfigs(to specs: inout StackSpecs) {
        for entry in sorted("configs") {
            if isExternal(entry.value) {
                specs.externalConfigs.append(name(entry.value, key: entry.key))
                continue
            }
            var spec = ConfigSpec(name: name(entry.value, key: entry.key), labels: labels(entry.value["labels"]))
            spec.templating = driver(entry.value["template_driver"], nil)
            spec.data = content(entry, "configs", limit: StackLimits.configBytesMax)
            specs.configs.append(spec)
        }
        specs.configs.sort { $0.name < $1.name }
        specs.externalConfigs.sort()
    }

    /// What a secret or config holds, in base 64.
    private mutating func content(_ entry: Value.Entry, _ section: String, limit: Int) -> String? {
        let path = "\(section).\(entry.key)"
        let bytes: [UInt8]
        let source: Value
        if let text = entry.value["content"] {
            (bytes, source) = (Array((text.string ?? "").utf8), text)
        } else if let variable = entry.value["environment"] {
            guard let value = project.variables[variable.string ?? ""] else {
                findings.error(
                    at: variable.position, path: "\(path).environment",
                    "the variable \(variable.string ?? "") is not set")
                return nil
            }
            (bytes, source) = (Array(value.utf8), variable)
        } else {
            let file = entry.value["file"] ?? entry.value
            do throws(SwarmError) {
                (bytes, source) = (try files.read(file.string ?? "", atMost: limit), file)
            } catch {
                findings.error(at: file.position, path: isDocker ? "" : "\(path).file", error.description)
                return nil
            }
        }
        guard bytes.count <= limit else {
            findings.error(at: source.position, path: path, "holds more than \(limit) bytes, which is the most")
            return nil
        }
        if bytes.isEmpty && !isDocker {
            findings.warn(at: source.position, path: path, "is empty, which the engine refuses")
        }
        return Base64.encode(bytes)
    }
}
