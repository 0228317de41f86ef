import SwarmModel

/// A service's own fields.
extension Translation {
    mutating func service(_ entry: Value.Entry) -> StackService {
        let (key, value) = (entry.key, entry.value)
        let deploy = value["deploy"]
        let image = value["image"]?.string ?? ""
        var spec = ServiceSpec(name: scoped(key), labels: labels(deploy?["labels"]))
        spec.labels?[StackSpecs.imageLabel] = image
        spec.mode = mode(key, value)
        spec.updateConfig = update(key, deploy?["update_config"], "update_config")
        spec.rollbackConfig = update(key, deploy?["rollback_config"], "rollback_config")
        spec.endpointSpec = endpoint(value)
        spec.taskTemplate = task(entry, image: image)
        return StackService(key: key, spec: spec, dependencies: dependencies(value["depends_on"]))
    }

    private func dependencies(_ value: Value?) -> [StackService.Dependency] {
        guard let value else { return [] }
        var found: [StackService.Dependency] = []
        for entry in Dependencies.mapping(value).entries ?? [] {
            let condition: StackService.Dependency.Condition =
                switch entry.value["condition"]?.string {
                case "service_healthy": .healthy
                case "service_completed_successfully": .completed
                default: .started
                }
            found.append(
                StackService.Dependency(
                    service: entry.key, condition: condition, restarts: entry.value["restart"]?.bool ?? false,
                    isRequired: entry.value["required"]?.bool ?? true))
        }
        return found.sorted { $0.service < $1.service }
    }

    private mutating func task(_ entry: Value.Entry, image: String) -> TaskSpec {
        let (key, value) = (entry.key, entry.value)
        let deploy = value["deploy"]
        var task = TaskSpec()
        task.containerSpec = container(entry, image: image)
        task.resources = resources(key, value)
        task.restartPolicy = restart(key, value)
        task.placement = placement(key, deploy?["placement"], value["platform"])
        task.networks = attachments(entry)
        if let logging = value["logging"] {
            task.logDriver = driver(logging["driver"], logging["options"]) ?? Driver()
        }
        task.forceUpdate = 0
        return task
    }

    // MARK: Mode and ports

    private mutating func mode(_ key: String, _ value: Value) -> ServiceMode {
        let deploy = value["deploy"]
        let mode = deploy?["mode"]?.string ?? ""
        let count = deploy?["replicas"] ?? value["scale"]
        let replicas = count.flatMap { unsigned(key, $0, "deploy.replicas") }
        switch mode {
        case "", "replicated": return ServiceMode(replicated: ReplicatedMode(replicas: replicas))
        case "replicated-job":
            return ServiceMode(
                replicatedJob: ReplicatedJobMode(maxConcurrent: replicas, totalCompletions: replicas))
        case "global", "global-job":
            if count != nil {
                refuse(
                    key, count, "deploy.replicas",
                    "replicas can only be used with replicated or replicated-job mode")
            }
            return mode == "global" ? ServiceMode(global: GlobalMode()) : ServiceMode(globalJob: GlobalMode())
        default:
            refuse(key, deploy?["mode"], "deploy.mode", "Unknown mode: \(mode)")
            return ServiceMode()
        }
    }

    private mutating func unsigned(_ key: String, _ value: Value, _ path: String) -> UInt64? {
        guard let number = value.integer else { return nil }
        guard let result = UInt64(exactly: number) else {
            refuse(key, value, path, "must not be negative: \(number)")
            return nil
        }
        return result
    }

    private func endpoint(_ value: Value) -> EndpointSpec {
        let mode = value["deploy"]?["endpoint_mode"]?.string?.lowercased()
        var ports: [PortConfig] = (value["ports"]?.list ?? []).map { port in
            PortConfig(
                name: port["name"]?.string, proto: port["protocol"]?.string.flatMap { $0.isEmpty ? nil : $0 },
                targetPort: port["target"]?.integer.flatMap { UInt32(exactly: $0) },
                publishedPort: port["published"]?.integer.flatMap { $0 == 0 ? nil : UInt32(exactly: $0) },
                publishMode: port["mode"]?.string)
        }
        // Stable: ports without a published one keep the file's order.
        ports = ports.enumerated().sorted {
            ($0.element.publishedPort ?? 0, $0.offset) < ($1.element.publishedPort ?? 0, $1.offset)
        }.map(\.element)
        return EndpointSpec(mode: mode, ports: ports.isEmpty ? nil : ports)
    }

    // MARK: Updates and restarts

    private mutating func update(_ key: String, _ value: Value?, _ name: String) -> UpdateConfig? {
        guard let value else { return nil }
        let path = "deploy.\(name)"
        var config = UpdateConfig()
        if let parallelism = value["parallelism"] {
            config.parallelism = unsigned(key, parallelism, "\(path).parallelism") ?? 1
        }
        config.delay = nanoseconds(value["delay"]).flatMap { $0 == 0 ? nil : $0 }
        config.monitor = nanoseconds(value["monitor"]).flatMap { $0 == 0 ? nil : $0 }
        config.failureAction = value["failure_action"]?.string
        config.maxFailureRatio = value["max_failure_ratio"]?.number ?? 0
        config.order = value["order"]?.string
        return config
    }

    func nanoseconds(_ value: Value?) -> Int64? { value?.string.flatMap { GoDuration.parse($0) } }

    private mutating func restart(_ key: String, _ value: Value) -> RestartPolicy? {
        if let policy = value["deploy"]?["restart_policy"] {
            return RestartPolicy(
                condition: policy["condition"]?.string.flatMap { $0.isEmpty ? nil : $0 },
                delay: nanoseconds(policy["delay"]),
                maxAttempts: policy["max_attempts"].flatMap {
                    unsigned(key, $0, "deploy.restart_policy.max_attempts")
                },
                window: nanoseconds(policy["window"]))
        }
        guard let text = value["restart"]?.string, !text.isEmpty else { return nil }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        var attempts: UInt64 = 0
        if parts.count == 2 {
            guard let number = UInt64(parts[1]) else {
                refuse(
                    key, value["restart"], "restart",
                    "invalid restart policy format: maximum retry count must be an integer")
                return nil
            }
            attempts = number
        }
        switch parts[0] {
        // Docker sends nothing here, and the engine then restarts always; the specification means never.
        case "no": return isDocker ? nil : RestartPolicy(condition: "none")
        case "always", "unless-stopped": return RestartPolicy(condition: "any")
        case "on-failure": return RestartPolicy(condition: "on-failure", maxAttempts: attempts)
        default:
            refuse(key, value["restart"], "restart", "unknown restart policy: \(text)")
            return nil
        }
    }

    // MARK: Resources and placement

    private mutating func resources(_ key: String, _ value: Value) -> ResourceRequirements {
        let deploy = value["deploy"]?["resources"]
        var result = ResourceRequirements()
        let limits = deploy?["limits"]
        let (cpus, memory) = (limits?["cpus"] ?? value["cpus"], limits?["memory"] ?? value["mem_limit"])
        let pids = limits?["pids"] ?? value["pids_limit"]
        if limits != nil || cpus != nil || memory != nil || pids != nil {
            result.limits = ResourceLimit(
                nanoCPUs: nanoCPUs(key, cpus, "deploy.resources.limits.cpus"), memoryBytes: bytes(memory),
                pids: pids?.integer.flatMap { $0 == 0 ? nil : Int64(exactly: $0) })
        }
        let reservations = deploy?["reservations"]
        let reserved = reservations?["memory"] ?? value["mem_reservation"]
        if reservations != nil || reserved != nil {
            let generic = (reservations?["generic_resources"]?.list ?? []).compactMap { item -> GenericResource? in
                guard let discrete = item["discrete_resource_spec"] else { return nil }
                return GenericResource(
                    discrete: DiscreteGenericResource(
                        kind: discrete["kind"]?.string ?? "",
                        value: discrete["value"]?.integer.flatMap { Int64(exactly: $0) } ?? 0))
            }
            result.reservations = Resources(
                nanoCPUs: nanoCPUs(key, reservations?["cpus"], "deploy.resources.reservations.cpus"),
                memoryBytes: bytes(reserved), genericResources: generic.isEmpty ? nil : generic)
        }
        return result
    }

    private func bytes(_ value: Value?) -> Int64? {
        value?.string.flatMap { Int64($0) }.flatMap { $0 == 0 ? nil : $0 }
    }

    private mutating func nanoCPUs(_ key: String, _ value: Value?, _ path: String) -> Int64? {
        guard let text = value?.string, !text.isEmpty else { return nil }
        do throws(Rational.Problem) {
            let nano = try Rational.billionths(text)
            return nano == 0 ? nil : nano
        } catch {
            refuse(key, value, path, error.message)
            return nil
        }
    }

    private mutating func placement(_ key: String, _ value: Value?, _ platform: Value?) -> Placement {
        let constraints = list(value?["constraints"])
        if !isDocker { check(constraints, key, value) }
        let preferences = (value?["preferences"]?.list ?? []).map {
            PlacementPreference(spread: SpreadOver(spreadDescriptor: $0["spread"]?.string ?? ""))
        }
        var placement = Placement(
            constraints: constraints.isEmpty ? nil : constraints,
            preferences: preferences.isEmpty ? nil : preferences)
        placement.maxReplicas = value?["max_replicas_per_node"].flatMap {
            unsigned(key, $0, "deploy.placement.max_replicas_per_node")
        }.flatMap { $0 == 0 ? nil : $0 }
        if let platform, let text = platform.string {
            let parts = text.split(separator: "/").map(String.init)
            if parts.count == 1 {
                placement.platforms = [Platform(os: parts[0])]
            } else if parts.count == 2 || parts.count == 3 {
                placement.platforms = [Platform(architecture: parts[1], os: parts[0])]
            } else {
                refuse(key, platform, "platform", "is no platform such as linux/amd64: \(text)")
            }
        }
        return placement
    }

    private mutating func check(_ constraints: [String], _ key: String, _ value: Value?) {
        for (index, text) in constraints.enumerated() where (try? PlacementConstraint(text)) == nil {
            let place = value?["constraints"]?.list.flatMap { index < $0.count ? $0[index] : nil }
            refuse(
                key, place ?? value, "deploy.placement.constraints.\(index)",
                "is no constraint such as node.labels.disk==ssd: \(text)")
        }
    }
}

/// Amounts of CPU.
enum Rational {
    struct Problem: Error { var message: String }

    private static let digitsMax = 20

    /// Exact billionths of `0.5`, `1e-3`, `1/2`.
    static func billionths(_ text: String) throws(Problem) -> Int64 {
        let billion: Int128 = 1_000_000_000
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let (top, topScale) = decimal(parts[0]), parts.count == 1 || !parts[1].isEmpty,
            let (bottom, bottomScale) = parts.count == 2 ? decimal(parts[1]) : (1, 0), bottom != 0,
            abs(topScale) <= digitsMax, bottomScale == 0
        else { throw Problem(message: "failed to parse \(text) as a rational number") }
        var (numerator, denominator) = (top * billion, bottom)
        for _ in 0..<abs(topScale) {
            let (product, overflow) = (topScale > 0 ? numerator : denominator).multipliedReportingOverflow(by: 10)
            guard !overflow else { throw Problem(message: "value is too precise") }
            if topScale > 0 { numerator = product } else { denominator = product }
        }
        let (quotient, rest) = numerator.quotientAndRemainder(dividingBy: denominator)
        guard rest == 0, let result = Int64(exactly: quotient) else {
            throw Problem(message: "value is too precise")
        }
        return result
    }

    /// Digits without a point, and the power of ten that they are worth.
    private static func decimal(_ text: Substring) -> (digits: Int128, scale: Int)? {
        let halves = text.lowercased().split(separator: "e", omittingEmptySubsequences: false)
        guard halves.count <= 2, let mantissa = halves.first else { return nil }
        guard let power = halves.count == 2 ? Int(halves[1]) : 0, abs(power) <= digitsMax else { return nil }
        let parts = mantissa.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { return nil }
        let digits = parts.joined()
        guard digits.count <= digitsMax, !digits.isEmpty, let number = Int128(digits),
            parts.count == 1 || parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return (number, power - (parts.count == 2 ? parts[1].count : 0))
    }
}
