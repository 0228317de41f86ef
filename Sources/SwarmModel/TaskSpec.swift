/// The template of a service's tasks: any change of it replaces the tasks.
package struct TaskSpec: Sendable, Hashable, Codable {
    package var containerSpec: ContainerSpec?
    package var networkAttachmentSpec: NetworkAttachmentSpec?
    package var resources: ResourceRequirements?
    package var restartPolicy: RestartPolicy?
    package var placement: Placement?
    package var networks: [NetworkAttachmentConfig]?
    package var logDriver: Driver?
    package var forceUpdate: UInt64?
    package var runtime: String?

    package init(
        containerSpec: ContainerSpec? = nil, networkAttachmentSpec: NetworkAttachmentSpec? = nil,
        resources: ResourceRequirements? = nil, restartPolicy: RestartPolicy? = nil,
        placement: Placement? = nil, networks: [NetworkAttachmentConfig]? = nil,
        logDriver: Driver? = nil, forceUpdate: UInt64? = nil, runtime: String? = nil
    ) {
        self.containerSpec = containerSpec
        self.networkAttachmentSpec = networkAttachmentSpec
        self.resources = resources
        self.restartPolicy = restartPolicy
        self.placement = placement
        self.networks = networks
        self.logDriver = logDriver
        self.forceUpdate = forceUpdate
        self.runtime = runtime
    }

    enum CodingKeys: String, CodingKey {
        case containerSpec = "ContainerSpec", networkAttachmentSpec = "NetworkAttachmentSpec",
            resources = "Resources", restartPolicy = "RestartPolicy", placement = "Placement",
            networks = "Networks", logDriver = "LogDriver", forceUpdate = "ForceUpdate",
            runtime = "Runtime"
    }
}

/// A task that is only an attachment of a standalone container to a network.
package struct NetworkAttachmentSpec: Sendable, Hashable, Codable {
    package var containerID: String

    package init(containerID: String) {
        self.containerID = containerID
    }

    enum CodingKeys: String, CodingKey {
        case containerID = "ContainerID"
    }
}

/// What a task may use at most and what is set aside for it.
package struct ResourceRequirements: Sendable, Hashable, Codable {
    package var limits: ResourceLimit?
    package var reservations: Resources?

    package init(limits: ResourceLimit? = nil, reservations: Resources? = nil) {
        self.limits = limits
        self.reservations = reservations
    }

    enum CodingKeys: String, CodingKey {
        case limits = "Limits", reservations = "Reservations"
    }
}

/// Upper bounds of one container.
package struct ResourceLimit: Sendable, Hashable, Codable {
    /// Billionths of a CPU.
    package var nanoCPUs: Int64?
    package var memoryBytes: Int64?
    package var pids: Int64?

    package init(nanoCPUs: Int64? = nil, memoryBytes: Int64? = nil, pids: Int64? = nil) {
        self.nanoCPUs = nanoCPUs
        self.memoryBytes = memoryBytes
        self.pids = pids
    }

    enum CodingKeys: String, CodingKey {
        case nanoCPUs = "NanoCPUs", memoryBytes = "MemoryBytes", pids = "Pids"
    }
}

/// What a node has or a task reserves.
package struct Resources: Sendable, Hashable, Codable {
    /// Billionths of a CPU.
    package var nanoCPUs: Int64?
    package var memoryBytes: Int64?
    package var genericResources: [GenericResource]?

    package init(
        nanoCPUs: Int64? = nil, memoryBytes: Int64? = nil, genericResources: [GenericResource]? = nil
    ) {
        self.nanoCPUs = nanoCPUs
        self.memoryBytes = memoryBytes
        self.genericResources = genericResources
    }

    enum CodingKeys: String, CodingKey {
        case nanoCPUs = "NanoCPUs", memoryBytes = "MemoryBytes", genericResources = "GenericResources"
    }
}

/// A user-defined countable or named resource.
package struct GenericResource: Sendable, Hashable, Codable {
    package var named: NamedGenericResource?
    package var discrete: DiscreteGenericResource?

    package init(named: NamedGenericResource? = nil, discrete: DiscreteGenericResource? = nil) {
        self.named = named
        self.discrete = discrete
    }

    enum CodingKeys: String, CodingKey {
        case named = "NamedResourceSpec", discrete = "DiscreteResourceSpec"
    }
}

/// One individually named resource, such as a particular GPU.
package struct NamedGenericResource: Sendable, Hashable, Codable {
    package var kind: String
    package var value: String

    package init(kind: String, value: String) {
        self.kind = kind
        self.value = value
    }

    enum CodingKeys: String, CodingKey {
        case kind = "Kind", value = "Value"
    }
}

/// A count of interchangeable resources.
package struct DiscreteGenericResource: Sendable, Hashable, Codable {
    package var kind: String
    package var value: Int64

    package init(kind: String, value: Int64) {
        self.kind = kind
        self.value = value
    }

    enum CodingKeys: String, CodingKey {
        case kind = "Kind", value = "Value"
    }
}

/// When and how often a slot's task is started anew.
package struct RestartPolicy: Sendable, Hashable, Codable {
    /// `any` (default), `on-failure`, `none`.
    package var condition: String?
    /// Nanoseconds; 5 s by default.
    package var delay: Int64?
    /// 0 means without limit.
    package var maxAttempts: UInt64?
    /// Nanoseconds; 0 counts the whole history.
    package var window: Int64?

    package init(
        condition: String? = nil, delay: Int64? = nil, maxAttempts: UInt64? = nil, window: Int64? = nil
    ) {
        self.condition = condition
        self.delay = delay
        self.maxAttempts = maxAttempts
        self.window = window
    }

    enum CodingKeys: String, CodingKey {
        case condition = "Condition", delay = "Delay", maxAttempts = "MaxAttempts", window = "Window"
    }
}

/// Where tasks may run.
package struct Placement: Sendable, Hashable, Codable {
    package var constraints: [String]?
    package var preferences: [PlacementPreference]?
    /// Per node; 0 means without limit.
    package var maxReplicas: UInt64?
    package var platforms: [Platform]?

    package init(
        constraints: [String]? = nil, preferences: [PlacementPreference]? = nil,
        maxReplicas: UInt64? = nil, platforms: [Platform]? = nil
    ) {
        self.constraints = constraints
        self.preferences = preferences
        self.maxReplicas = maxReplicas
        self.platforms = platforms
    }

    enum CodingKeys: String, CodingKey {
        case constraints = "Constraints", preferences = "Preferences", maxReplicas = "MaxReplicas",
            platforms = "Platforms"
    }
}

/// A soft wish; only `spread` exists.
package struct PlacementPreference: Sendable, Hashable, Codable {
    package var spread: SpreadOver?

    package init(spread: SpreadOver? = nil) {
        self.spread = spread
    }

    enum CodingKeys: String, CodingKey {
        case spread = "Spread"
    }
}

/// Spreads tasks evenly over the values of a node's label.
package struct SpreadOver: Sendable, Hashable, Codable {
    package var spreadDescriptor: String

    package init(spreadDescriptor: String) {
        self.spreadDescriptor = spreadDescriptor
    }

    enum CodingKeys: String, CodingKey {
        case spreadDescriptor = "SpreadDescriptor"
    }
}

/// An architecture and operating system.
package struct Platform: Sendable, Hashable, Codable {
    package var architecture: String?
    package var os: String?

    package init(architecture: String? = nil, os: String? = nil) {
        self.architecture = architecture
        self.os = os
    }

    enum CodingKeys: String, CodingKey {
        case architecture = "Architecture", os = "OS"
    }
}

/// A network that a task joins.
package struct NetworkAttachmentConfig: Sendable, Hashable, Codable {
    /// A network's identifier once stored.
    package var target: String?
    package var aliases: [String]?
    package var driverOpts: [String: String]?

    package init(target: String? = nil, aliases: [String]? = nil, driverOpts: [String: String]? = nil) {
        self.target = target
        self.aliases = aliases
        self.driverOpts = driverOpts
    }

    enum CodingKeys: String, CodingKey {
        case target = "Target", aliases = "Aliases", driverOpts = "DriverOpts"
    }
}
