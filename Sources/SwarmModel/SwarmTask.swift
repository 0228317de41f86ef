package import SwarmCore

/// The container behind a task.
package struct ContainerStatus: Sendable, Hashable, Codable {
    package var containerID: String?
    package var pid: Int?
    package var exitCode: Int?

    package init(containerID: String? = nil, pid: Int? = nil, exitCode: Int? = nil) {
        self.containerID = containerID
        self.pid = pid
        self.exitCode = exitCode
    }

    enum CodingKeys: String, CodingKey {
        case containerID = "ContainerID", pid = "PID", exitCode = "ExitCode"
    }
}

/// Host-mode ports of a task.
package struct PortStatus: Sendable, Hashable, Codable {
    package var ports: [PortConfig]?

    package init(ports: [PortConfig]? = nil) {
        self.ports = ports
    }

    enum CodingKeys: String, CodingKey {
        case ports = "Ports"
    }
}

/// What was last observed of a task; written by its agent once assigned.
package struct TaskStatus: Sendable, Hashable, Codable {
    package var timestamp: Timestamp
    package var state: TaskState
    package var message: String?
    package var err: String?
    package var containerStatus: ContainerStatus?
    package var portStatus: PortStatus

    package init(
        timestamp: Timestamp = .zero, state: TaskState = .new, message: String? = nil,
        err: String? = nil, containerStatus: ContainerStatus? = nil,
        portStatus: PortStatus = PortStatus()
    ) {
        self.timestamp = timestamp
        self.state = state
        self.message = message
        self.err = err
        self.containerStatus = containerStatus
        self.portStatus = portStatus
    }

    /// What ``err`` says of a task that still runs although its health check has failed.
    package static let unhealthy = "unhealthy container"
    /// Whether the task runs, but only until its container has stopped.
    package var isWithdrawn: Bool { state == .running && err == Self.unhealthy }

    enum CodingKeys: String, CodingKey {
        case timestamp = "Timestamp", state = "State", message = "Message", err = "Err",
            containerStatus = "ContainerStatus", portStatus = "PortStatus"
    }
}

/// The part of a network that a task's attachment shows.
package struct AttachedNetwork: Sendable, Hashable, Codable {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var spec: NetworkSpec
    package var driverState: Driver?
    package var ipamOptions: IPAM?

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, spec: NetworkSpec = NetworkSpec(), driverState: Driver? = nil,
        ipamOptions: IPAM? = nil
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.spec = spec
        self.driverState = driverState
        self.ipamOptions = ipamOptions
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            spec = "Spec", driverState = "DriverState", ipamOptions = "IPAMOptions"
    }
}

/// A task's address on one network.
package struct NetworkAttachment: Sendable, Hashable, Codable {
    package var network: AttachedNetwork
    package var addresses: [IPv4Subnet]?
    package var aliases: [String]?

    package init(network: AttachedNetwork, addresses: [IPv4Subnet]? = nil, aliases: [String]? = nil) {
        self.network = network
        self.addresses = addresses
        self.aliases = aliases
    }

    enum CodingKeys: String, CodingKey {
        case network = "Network", addresses = "Addresses", aliases = "Aliases"
    }
}

/// One attempt to run a service's container; never restarted, only replaced.
package struct SwarmTask: Sendable, Codable, Equatable, SwarmObject {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var name: String?
    package var labels: [String: String]
    package var spec: TaskSpec
    package var serviceID: ObjectID?
    package var slot: Int?
    package var nodeID: ObjectID?
    package var status: TaskStatus
    package var desiredState: TaskState
    package var networksAttachments: [NetworkAttachment]?
    package var genericResources: [GenericResource]?
    package var jobIteration: ObjectVersion?
    /// The service's template version this task was made from; ours, hidden from clients.
    package var specVersion: ObjectVersion?
    /// The service's name when the task was made; ours.
    package var serviceName: String?
    /// The service's labels when the task was made; ours.
    package var serviceLabels: [String: String]?
    /// The service's endpoint when the task was made; ours.
    package var endpoint: Endpoint?
    /// A delayed restart: desired state turns running then; ours.
    package var startAfter: Timestamp?
    /// When its agent first told that it runs; ours, hidden from clients. Updates watch new tasks from here.
    package var runningSince: Timestamp?
    /// The registry credential of the service when the task was made; ours, hidden from clients.
    package var registryAuth: String?

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, name: String? = nil, labels: [String: String] = [:],
        spec: TaskSpec = TaskSpec(), serviceID: ObjectID? = nil, slot: Int? = nil,
        nodeID: ObjectID? = nil, status: TaskStatus = TaskStatus(), desiredState: TaskState = .running,
        networksAttachments: [NetworkAttachment]? = nil, genericResources: [GenericResource]? = nil,
        jobIteration: ObjectVersion? = nil, specVersion: ObjectVersion? = nil,
        serviceName: String? = nil, serviceLabels: [String: String]? = nil, endpoint: Endpoint? = nil,
        startAfter: Timestamp? = nil, registryAuth: String? = nil
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.name = name
        self.labels = labels
        self.spec = spec
        self.serviceID = serviceID
        self.slot = slot
        self.nodeID = nodeID
        self.status = status
        self.desiredState = desiredState
        self.networksAttachments = networksAttachments
        self.genericResources = genericResources
        self.jobIteration = jobIteration
        self.specVersion = specVersion
        self.serviceName = serviceName
        self.serviceLabels = serviceLabels
        self.endpoint = endpoint
        self.startAfter = startAfter
        self.registryAuth = registryAuth
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            name = "Name", labels = "Labels", spec = "Spec", serviceID = "ServiceID", slot = "Slot",
            nodeID = "NodeID", status = "Status", desiredState = "DesiredState",
            networksAttachments = "NetworksAttachments", genericResources = "GenericResources",
            jobIteration = "JobIteration", specVersion = "SpecVersion", serviceName = "ServiceName",
            serviceLabels = "ServiceLabels", endpoint = "Endpoint", startAfter = "StartAfter",
            runningSince = "RunningSince", registryAuth =
            "RegistryAuth"
    }

    package var uniqueName: String? { nil }
}

extension SwarmTask {
    /// What its node is or offers no longer is what the task asks for.
    package static let unfitError = "assigned node no longer meets constraints"

    /// With Docker's words for one that is taken from a node that no longer suits it.
    package var noLongerMeetingConstraints: SwarmTask {
        var task = self
        task.status.message = "task rejected by constraint enforcer"
        task.status.err = Self.unfitError
        return task
    }

    /// `web.1`, or `web.<node id>` for a global service.
    package var displayName: String {
        // Slots of jobs count from 0.
        let service = serviceName ?? serviceID ?? "task"
        if isAttachment { return service }
        if let slot, slot > 0 || jobIteration != nil { return "\(service).\(slot)" }
        return "\(service).\(nodeID ?? "")"
    }
    /// `web.1.<task id>`.
    package var containerName: String { isAttachment ? displayName : "\(displayName).\(id)" }
}

/// What an attachment's options say.
package enum AttachmentOption {
    /// `--ip`: the address that it must have.
    package static let address = "com.swarmd.address"
}

extension SwarmTask {
    /// Whether it is no more than the address of a standalone container on one network.
    package var isAttachment: Bool { spec.networkAttachmentSpec != nil }
    package var attachedContainerID: String? { spec.networkAttachmentSpec?.containerID }
}

extension SwarmTask {
    /// The ports that the task publishes on its own node.
    package var hostModePorts: [PortConfig] {
        (endpoint?.ports ?? endpoint?.spec.ports ?? []).filter { $0.publishMode == "host" }
    }
}
