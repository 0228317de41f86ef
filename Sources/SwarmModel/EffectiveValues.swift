/// What holds where a spec says nothing: Docker's defaults in one place.

extension ServiceSpec {
    /// The number of tasks of a replicated service; 0 for the other modes.
    package var replicas: UInt64 {
        guard mode.global == nil, mode.globalJob == nil, mode.replicatedJob == nil else { return 0 }
        return mode.replicated?.replicas ?? 1
    }
    package var isGlobal: Bool { mode.global != nil || mode.globalJob != nil }
    package var isJob: Bool { mode.replicatedJob != nil || mode.globalJob != nil }
    /// How many tasks of a replicated job may be active at once.
    package var maxConcurrent: UInt64 { mode.replicatedJob?.maxConcurrent ?? 1 }
    /// How many tasks of a replicated job must complete.
    package var totalCompletions: UInt64 { mode.replicatedJob?.totalCompletions ?? maxConcurrent }
    /// The networks that tasks join: the template's, or the deprecated ones of the service.
    package var attachments: [NetworkAttachmentConfig] {
        guard let own = taskTemplate.networks, !own.isEmpty else { return networks ?? [] }
        return own
    }
    package var isVirtualIP: Bool { (endpointSpec?.mode ?? "vip") != "dnsrr" }
    package var update: UpdateConfig { updateConfig ?? UpdateConfig() }
    package var rollback: UpdateConfig { rollbackConfig ?? UpdateConfig() }
}

extension UpdateConfig {
    package var effectiveDelay: Duration { .nanoseconds(delay ?? 0) }
    package var action: String { failureAction.flatMap { $0.isEmpty ? nil : $0 } ?? "pause" }
    package var isStartFirst: Bool { order == "start-first" }
    /// How long a new task is watched: 5 s by default, and always longer than the delay between batches.
    package var effectiveMonitor: Duration {
        let monitor: Duration = .nanoseconds(monitor.flatMap { $0 == 0 ? nil : $0 } ?? 5_000_000_000)
        return effectiveDelay >= monitor ? effectiveDelay + .seconds(1) : monitor
    }
}

extension TaskSpec {
    /// 5 s by default.
    package var restartDelay: Duration { .nanoseconds(restartPolicy?.delay ?? 5_000_000_000) }
    /// `any`, `on-failure` or `none`.
    package var restartCondition: String { restartPolicy?.condition.flatMap { $0.isEmpty ? nil : $0 } ?? "any" }
    package var restartMaxAttempts: UInt64 { restartPolicy?.maxAttempts ?? 0 }
    /// nil counts the whole history.
    package var restartWindow: Duration? {
        restartPolicy?.window.flatMap { $0 > 0 ? .nanoseconds($0) : nil }
    }
    package var constraintTexts: [String] { placement?.constraints ?? [] }
    package var maxReplicasPerNode: UInt64 { placement?.maxReplicas ?? 0 }
    package var reservedResources: Resources { resources?.reservations ?? Resources() }
}

extension Resources {
    /// How many of each kind of generic resource, named ones counted; never more than what fits.
    package var genericCounts: [String: Int64] {
        var counts: [String: Int64] = [:]
        func add(_ kind: String, _ count: Int64) {
            let (sum, overflows) = counts[kind, default: 0].addingReportingOverflow(count)
            counts[kind] = overflows ? .max : sum
        }
        for resource in genericResources ?? [] {
            if let discrete = resource.discrete { add(discrete.kind, discrete.value) }
            if let named = resource.named { add(named.kind, 1) }
        }
        return counts
    }
}

extension ContainerSpec {
    /// 10 s by default.
    package var effectiveStopGracePeriod: Duration { .nanoseconds(stopGracePeriod ?? 10_000_000_000) }
}

/// A health check with every number filled in.
package struct EffectiveHealthCheck: Sendable, Equatable {
    /// The command line, first word `CMD` or `CMD-SHELL`.
    package var test: [String]
    package var interval: Duration
    package var timeout: Duration
    package var startPeriod: Duration
    package var startInterval: Duration
    package var retries: Int
}

extension HealthConfig {
    /// The check to run, inheriting from the image's; nil when there is none or it is disabled.
    package func effective(inheriting image: HealthConfig? = nil) -> EffectiveHealthCheck? {
        let own = test ?? []
        let test = own.isEmpty ? image?.test ?? [] : own
        guard let first = test.first, first != "NONE" else { return nil }
        func duration(_ value: Int64?, _ inherited: Int64?, default fallback: Int64) -> Duration {
            .nanoseconds([value, inherited].compactMap { $0 }.first { $0 > 0 } ?? fallback)
        }
        return EffectiveHealthCheck(
            test: test, interval: duration(interval, image?.interval, default: 30_000_000_000),
            timeout: duration(timeout, image?.timeout, default: 30_000_000_000),
            startPeriod: duration(startPeriod, image?.startPeriod, default: 0),
            startInterval: duration(startInterval, image?.startInterval, default: 5_000_000_000),
            retries: [retries, image?.retries].compactMap { $0 }.first { $0 > 0 } ?? 3)
    }
}

extension PortConfig {
    package var effectiveProtocol: String { proto.flatMap { $0.isEmpty ? nil : $0 } ?? "tcp" }
    package var isHostMode: Bool { publishMode == "host" }
}

extension Cluster {
    /// How many old tasks each slot keeps; negative means all.
    package var taskHistoryLimit: Int64 { spec.orchestration?.taskHistoryRetentionLimit ?? 5 }
}
