package import SwarmCore
package import SwarmModel

/// `service inspect --pretty`.
package struct ServiceDescription: Sendable {
    package var service: Service
    /// Networks by identifier.
    package var networkNames: [String: String]

    private var now: Timestamp

    package init(service: Service, networkNames: [String: String], now: Timestamp) {
        (self.service, self.networkNames, self.now) = (service, networkNames, now)
    }

    private var spec: ServiceSpec { service.spec }
    private var container: ContainerSpec { spec.taskTemplate.containerSpec ?? ContainerSpec() }

    package var text: String {
        var lines = ["", "ID:\t\t\(service.id)", "Name:\t\t\(spec.name)"]
        if let labels = spec.labels, !labels.isEmpty {
            lines.append("Labels:")
            lines += labels.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
        }
        lines += mode + updateStatus + placement
        if let config = spec.updateConfig { lines += rollout("UpdateConfig", "On update failure", config) }
        if let config = spec.rollbackConfig {
            lines += rollout("RollbackConfig", "On rollback failure", config)
        }
        lines += containerLines + mounts + files + resources + networks + endpoint + health
        return lines.joined(separator: "\n") + "\n\n"
    }

    private var mode: [String] {
        switch ServiceListing.mode(spec.mode) {
        case "global": return ["Service Mode:\tGlobal"]
        case "global job": return ["Service Mode:\tGlobal Job"]
        case "replicated job":
            return [
                "Service Mode:\tReplicated Job", " Max concurrent:\t\(spec.maxConcurrent)",
                " Total completions:\t\(spec.totalCompletions)",
            ]
        default: return ["Service Mode:\tReplicated", " Replicas:\t\(spec.replicas)"]
        }
    }

    private var updateStatus: [String] {
        guard let status = service.updateStatus, let state = status.state, !state.isEmpty else { return [] }
        var lines = ["UpdateStatus:", " State:\t\t\(state)"]
        if let time = status.startedAt { lines.append(" Started:\t\(Age.text(now - time)) ago") }
        if state == "completed", let time = status.completedAt {
            lines.append(" Completed:\t\(Age.text(now - time)) ago")
        }
        lines.append(" Message:\t\(status.message ?? "")")
        return lines
    }

    private var placement: [String] {
        let placement = spec.taskTemplate.placement ?? Placement()
        var lines = ["Placement:"]
        if let constraints = placement.constraints, !constraints.isEmpty {
            lines.append(" Constraints:\t[\(constraints.joined(separator: " "))]")
        }
        let preferences = (placement.preferences ?? []).compactMap { $0.spread?.spreadDescriptor }
        if !preferences.isEmpty {
            lines.append(" Preferences:   [\(preferences.map { "spread=\($0)" }.joined(separator: " "))]")
        }
        if let limit = placement.maxReplicas, limit > 0 { lines.append(" Max Replicas Per Node:   \(limit)") }
        return lines
    }

    private func rollout(_ title: String, _ onFailure: String, _ config: UpdateConfig) -> [String] {
        var lines = ["\(title):", " Parallelism:\t\(config.parallelism)"]
        if let delay = config.delay, delay != 0 { lines.append(" Delay:\t\t\(GoDuration.format(delay))") }
        lines.append(" On failure:\t\(config.action)")
        if let monitor = config.monitor, monitor != 0 {
            lines.append(" Monitoring Period: \(GoDuration.format(monitor))")
        }
        lines.append(" Max failure ratio: \(Size.shortest(config.maxFailureRatio, digits: 6))")
        lines.append(
            " \(title == "UpdateConfig" ? "Update order:     " : "Rollback order:   ") \(config.order ?? "stop-first")"
        )
        return lines
    }

    /// With the stock client's spaces, whose scripts may look for them.
    private var containerLines: [String] {
        var lines = ["ContainerSpec:", " Image:\t\t\(container.image ?? "")"]
        if let args = container.args, !args.isEmpty { lines.append(" Args:\t\t\(args.joined(separator: " ")) ") }
        if let env = container.env, !env.isEmpty { lines.append(" Env:\t\t\(env.joined(separator: " ")) ") }
        if let dir = container.dir, !dir.isEmpty { lines.append(" Dir:\t\t\(dir)") }
        if let initProcess = container.initProcess { lines.append(" Init:\t\t\(initProcess)") }
        if let user = container.user, !user.isEmpty { lines.append(" User: \(user)") }
        let added = container.capabilityAdd ?? [], dropped = container.capabilityDrop ?? []
        if !added.isEmpty || !dropped.isEmpty { lines.append("Capabilities:") }
        if !added.isEmpty { lines.append(" Add: \(added.joined(separator: ", "))") }
        if !dropped.isEmpty { lines.append(" Drop: \(dropped.joined(separator: ", "))") }
        if let sysctls = container.sysctls, !sysctls.isEmpty {
            lines.append("SysCtls:")
            lines += sysctls.sorted { $0.key < $1.key }.map { " \($0.key): \($0.value)" }
        }
        if let ulimits = container.ulimits, !ulimits.isEmpty {
            lines.append("Ulimits:")
            lines += ulimits.map { " \($0.name): \($0.soft):\($0.hard)" }
        }
        return lines
    }

    private var mounts: [String] {
        guard let mounts = container.mounts, !mounts.isEmpty else { return [] }
        return ["Mounts:"]
            + mounts.flatMap { mount in
                [
                    " Target:\t\(mount.target ?? "")", "  Source:\t\(mount.source ?? "")",
                    "  ReadOnly:\t\(mount.readOnly ?? false)", "  Type:\t\t\(mount.type ?? "volume")",
                ]
            }
    }

    private var files: [String] {
        var lines: [String] = []
        if let configs = container.configs, !configs.isEmpty {
            lines.append("Configs:")
            for config in configs {
                lines += [" Target:\t\(config.file?.name ?? "")", "  Source:\t\(config.configName)"]
            }
        }
        if let secrets = container.secrets, !secrets.isEmpty {
            lines.append("Secrets:")
            for secret in secrets {
                lines += [" Target:\t\(secret.file?.name ?? "")", "  Source:\t\(secret.secretName)"]
            }
        }
        if let driver = spec.taskTemplate.logDriver {
            lines += ["Log Driver:", " Name:\t\t\(driver.name ?? "")"]
            let options = (driver.options ?? [:]).sorted { $0.key < $1.key }
            if !options.isEmpty {
                lines.append(" LogOpts:")
                lines += options.map { "  \($0.key):       \($0.value)" }
            }
            lines.append("")
        }
        return lines
    }

    private var resources: [String] {
        var lines = ["Resources:"]
        func add(_ title: String, _ cpus: Int64?, _ memory: Int64?, _ pids: Int64?) {
            guard (cpus ?? 0) + (memory ?? 0) + (pids ?? 0) > 0 else { return }
            lines.append(" \(title):")
            if let cpus, cpus > 0 { lines.append("  CPU:\t\t\(Size.cpus(cpus))") }
            if let memory, memory > 0 { lines.append("  Memory:\t\(Size.humanBinary(memory))") }
            if let pids, pids > 0 { lines.append("  PIDs:\t\t\(pids)") }
        }
        let requirements = spec.taskTemplate.resources
        add(
            "Reservations", requirements?.reservations?.nanoCPUs, requirements?.reservations?.memoryBytes, nil
        )
        add(
            "Limits", requirements?.limits?.nanoCPUs, requirements?.limits?.memoryBytes,
            requirements?.limits?.pids)
        return lines
    }

    private var networks: [String] {
        let names = spec.attachments.compactMap(\.target).map { networkNames[$0] ?? $0 }
        return names.isEmpty ? [] : ["Networks: \(names.joined(separator: " ")) "]
    }

    private var endpoint: [String] {
        var lines = ["Endpoint Mode:\t\(service.endpoint.spec.mode ?? spec.endpointSpec?.mode ?? "vip")"]
        let ports = service.endpoint.ports ?? []
        if !ports.isEmpty {
            lines.append("Ports:")
            for port in ports {
                lines += [
                    " PublishedPort = \(port.publishedPort ?? 0)", "  Protocol = \(port.effectiveProtocol)",
                    "  TargetPort = \(port.targetPort ?? 0)",
                    "  PublishMode = \(port.publishMode ?? "ingress")",
                ]
            }
            lines[lines.count - 1] += " "
        }
        return lines
    }

    private var health: [String] {
        guard let health = container.healthcheck else { return [] }
        return [
            " Healthcheck:", "  Interval = \(GoDuration.format(health.interval ?? 0))",
            "  Retries = \(health.retries ?? 0)",
            "  StartPeriod =\t\(GoDuration.format(health.startPeriod ?? 0))",
            "  Timeout =\t\(GoDuration.format(health.timeout ?? 0))", "  Tests:",
        ] + [(health.test ?? []).map { "\t Test = \($0)" }.joined(separator: "\n") + " "]
    }
}
