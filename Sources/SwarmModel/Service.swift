package import SwarmCore

/// What a user asked for.
package struct ServiceSpec: Sendable, Hashable, Codable {
    package var name: String
    package var labels: [String: String]?
    package var taskTemplate: TaskSpec
    package var mode: ServiceMode
    package var updateConfig: UpdateConfig?
    package var rollbackConfig: UpdateConfig?
    /// Deprecated in Docker; used when the template names none.
    package var networks: [NetworkAttachmentConfig]?
    package var endpointSpec: EndpointSpec?

    package init(
        name: String = "", labels: [String: String]? = nil, taskTemplate: TaskSpec = TaskSpec(),
        mode: ServiceMode = ServiceMode(), updateConfig: UpdateConfig? = nil,
        rollbackConfig: UpdateConfig? = nil, networks: [NetworkAttachmentConfig]? = nil,
        endpointSpec: EndpointSpec? = nil
    ) {
        self.name = name
        self.labels = labels
        self.taskTemplate = taskTemplate
        self.mode = mode
        self.updateConfig = updateConfig
        self.rollbackConfig = rollbackConfig
        self.networks = networks
        self.endpointSpec = endpointSpec
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", labels = "Labels", taskTemplate = "TaskTemplate", mode = "Mode",
            updateConfig = "UpdateConfig", rollbackConfig = "RollbackConfig", networks = "Networks",
            endpointSpec = "EndpointSpec"
    }
}

/// Exactly one mode; all absent means one replica.
package struct ServiceMode: Sendable, Hashable, Codable {
    package var replicated: ReplicatedMode?
    package var global: GlobalMode?
    package var replicatedJob: ReplicatedJobMode?
    package var globalJob: GlobalMode?

    package init(
        replicated: ReplicatedMode? = nil, global: GlobalMode? = nil,
        replicatedJob: ReplicatedJobMode? = nil, globalJob: GlobalMode? = nil
    ) {
        self.replicated = replicated
        self.global = global
        self.replicatedJob = replicatedJob
        self.globalJob = globalJob
    }

    enum CodingKeys: String, CodingKey {
        case replicated = "Replicated", global = "Global", replicatedJob = "ReplicatedJob",
            globalJob = "GlobalJob"
    }
}

/// A fixed number of tasks.
package struct ReplicatedMode: Sendable, Hashable, Codable {
    /// 1 when absent.
    package var replicas: UInt64?

    package init(replicas: UInt64? = nil) {
        self.replicas = replicas
    }

    enum CodingKeys: String, CodingKey {
        case replicas = "Replicas"
    }
}

/// One task on each eligible node.
package struct GlobalMode: Sendable, Hashable, Codable {
    package init() {}
}

/// Tasks that run to completion.
package struct ReplicatedJobMode: Sendable, Hashable, Codable {
    package var maxConcurrent: UInt64?
    package var totalCompletions: UInt64?

    package init(maxConcurrent: UInt64? = nil, totalCompletions: UInt64? = nil) {
        self.maxConcurrent = maxConcurrent
        self.totalCompletions = totalCompletions
    }

    enum CodingKeys: String, CodingKey {
        case maxConcurrent = "MaxConcurrent", totalCompletions = "TotalCompletions"
    }
}

/// How a rolling update or rollback goes.
package struct UpdateConfig: Sendable, Hashable, Codable {
    /// 0 means all at once.
    package var parallelism: UInt64
    /// Nanoseconds between batches.
    package var delay: Int64?
    /// `pause` (default), `continue`, `rollback`.
    package var failureAction: String?
    /// Nanoseconds; 5 s by default.
    package var monitor: Int64?
    package var maxFailureRatio: Double
    /// `stop-first` (default) or `start-first`.
    package var order: String?

    package init(
        parallelism: UInt64 = 1, delay: Int64? = nil, failureAction: String? = nil,
        monitor: Int64? = nil, maxFailureRatio: Double = 0, order: String? = nil
    ) {
        self.parallelism = parallelism
        self.delay = delay
        self.failureAction = failureAction
        self.monitor = monitor
        self.maxFailureRatio = maxFailureRatio
        self.order = order
    }

    enum CodingKeys: String, CodingKey {
        case parallelism = "Parallelism", delay = "Delay", failureAction = "FailureAction",
            monitor = "Monitor", maxFailureRatio = "MaxFailureRatio", order = "Order"
    }
}

/// How a service is reached.
package struct EndpointSpec: Sendable, Hashable, Codable {
    /// `vip` (default) or `dnsrr`.
    package var mode: String?
    package var ports: [PortConfig]?

    package init(mode: String? = nil, ports: [PortConfig]? = nil) {
        self.mode = mode
        self.ports = ports
    }

    enum CodingKeys: String, CodingKey {
        case mode = "Mode", ports = "Ports"
    }
}

/// A published port.
package struct PortConfig: Sendable, Hashable, Codable {
    package var name: String?
    /// `tcp` (default), `udp`, `sctp`.
    package var proto: String?
    package var targetPort: UInt32?
    /// 0 or absent: chosen from 30000-32767.
    package var publishedPort: UInt32?
    /// `ingress` (default) or `host`.
    package var publishMode: String?

    package init(
        name: String? = nil, proto: String? = nil, targetPort: UInt32? = nil,
        publishedPort: UInt32? = nil, publishMode: String? = nil
    ) {
        self.name = name
        self.proto = proto
        self.targetPort = targetPort
        self.publishedPort = publishedPort
        self.publishMode = publishMode
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", proto = "Protocol", targetPort = "TargetPort",
            publishedPort = "PublishedPort", publishMode = "PublishMode"
    }
}

/// A service's address on one network.
package struct EndpointVirtualIP: Sendable, Hashable, Codable {
    package var networkID: ObjectID?
    /// With the network's prefix length.
    package var addr: IPv4Subnet?

    package init(networkID: ObjectID? = nil, addr: IPv4Subnet? = nil) {
        self.networkID = networkID
        self.addr = addr
    }

    enum CodingKeys: String, CodingKey {
        case networkID = "NetworkID", addr = "Addr"
    }
}

/// How a service is reached, as allocated.
package struct Endpoint: Sendable, Hashable, Codable {
    package var spec: EndpointSpec
    package var ports: [PortConfig]?
    package var virtualIPs: [EndpointVirtualIP]?

    package init(
        spec: EndpointSpec = EndpointSpec(), ports: [PortConfig]? = nil,
        virtualIPs: [EndpointVirtualIP]? = nil
    ) {
        self.spec = spec
        self.ports = ports
        self.virtualIPs = virtualIPs
    }

    enum CodingKeys: String, CodingKey {
        case spec = "Spec", ports = "Ports", virtualIPs = "VirtualIPs"
    }
}

/// How far the latest update or rollback got.
package struct UpdateStatus: Sendable, Hashable, Codable {
    /// updating, paused, completed, rollback_started, rollback_paused, rollback_completed.
    package var state: String?
    package var startedAt: Timestamp?
    package var completedAt: Timestamp?
    package var message: String?

    package init(
        state: String? = nil, startedAt: Timestamp? = nil, completedAt: Timestamp? = nil,
        message: String? = nil
    ) {
        self.state = state
        self.startedAt = startedAt
        self.completedAt = completedAt
        self.message = message
    }

    enum CodingKeys: String, CodingKey {
        case state = "State", startedAt = "StartedAt", completedAt = "CompletedAt", message = "Message"
    }
}

/// Counts that lists show; computed when asked for, never stored.
package struct ServiceStatus: Sendable, Hashable, Codable {
    package var runningTasks: UInt64
    package var desiredTasks: UInt64
    package var completedTasks: UInt64

    package init(runningTasks: UInt64, desiredTasks: UInt64, completedTasks: UInt64) {
        self.runningTasks = runningTasks
        self.desiredTasks = desiredTasks
        self.completedTasks = completedTasks
    }

    enum CodingKeys: String, CodingKey {
        case runningTasks = "RunningTasks", desiredTasks = "DesiredTasks",
            completedTasks = "CompletedTasks"
    }
}

/// Which round of a job this is.
package struct JobStatus: Sendable, Hashable, Codable {
    package var jobIteration: ObjectVersion
    package var lastExecution: Timestamp?

    package init(jobIteration: ObjectVersion, lastExecution: Timestamp? = nil) {
        self.jobIteration = jobIteration
        self.lastExecution = lastExecution
    }

    enum CodingKeys: String, CodingKey {
        case jobIteration = "JobIteration", lastExecution = "LastExecution"
    }
}

/// A service: the unit of deployment.
package struct Service: Sendable, Codable, Equatable, SwarmObject {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var spec: ServiceSpec
    package var previousSpec: ServiceSpec?
    package var endpoint: Endpoint
    package var updateStatus: UpdateStatus?
    package var serviceStatus: ServiceStatus?
    package var jobStatus: JobStatus?
    /// The version that last changed the task template; ours, hidden from clients.
    package var specVersion: ObjectVersion?
    package var previousSpecVersion: ObjectVersion?
    /// The registry credential for the image, as `X-Registry-Auth` carried it; ours, hidden from clients.
    package var registryAuth: String?

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, spec: ServiceSpec = ServiceSpec(),
        previousSpec: ServiceSpec? = nil, endpoint: Endpoint = Endpoint(),
        updateStatus: UpdateStatus? = nil, serviceStatus: ServiceStatus? = nil,
        jobStatus: JobStatus? = nil, specVersion: ObjectVersion? = nil,
        previousSpecVersion: ObjectVersion? = nil, registryAuth: String? = nil
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.spec = spec
        self.previousSpec = previousSpec
        self.endpoint = endpoint
        self.updateStatus = updateStatus
        self.serviceStatus = serviceStatus
        self.jobStatus = jobStatus
        self.specVersion = specVersion
        self.previousSpecVersion = previousSpecVersion
        self.registryAuth = registryAuth
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            spec = "Spec", previousSpec = "PreviousSpec", endpoint = "Endpoint",
            updateStatus = "UpdateStatus", serviceStatus = "ServiceStatus", jobStatus = "JobStatus",
            specVersion = "SpecVersion", previousSpecVersion = "PreviousSpecVersion", registryAuth = "RegistryAuth"
    }

    package var uniqueName: String? { spec.name }
}
