package import LogGathering
package import Ports
package import Store
package import SwarmCore
package import SwarmModel

/// A change that a client asks for. The manager validates it, gives ids and times, and agrees on it.
package enum ControlRequest: Sendable, Equatable {
    case initializeSwarm(SwarmInitialization)
    case leaveSwarm(force: Bool)
    case updateSwarm(version: UInt64, ClusterSpec, SwarmRotation)
    case createService(ServiceSpec, registryAuth: String?)
    case updateService(id: ObjectID, version: UInt64, ServiceSpec, ServiceUpdateOptions)
    case removeService(id: ObjectID)
    case createNetwork(NetworkSpec)
    case removeNetwork(id: ObjectID)
    case createSecret(SecretSpec)
    case updateSecret(id: ObjectID, version: UInt64, SecretSpec)
    case removeSecret(id: ObjectID)
    case createConfig(ConfigSpec)
    case updateConfig(id: ObjectID, version: UInt64, ConfigSpec)
    case removeConfig(id: ObjectID)
    case updateNode(id: ObjectID, version: UInt64, NodeSpec)
    case removeNode(id: ObjectID, force: Bool)
    /// A node whose join token has been checked; asking twice changes nothing.
    case joinSwarm(NodeJoin)
    /// For a standalone container of that node; asking twice changes nothing.
    case attachment(nodeID: ObjectID, AttachmentRequest)
}

/// What a node asks for its own standalone containers; any node may, and for no other.
package enum AttachmentRequest: Sendable, Equatable {
    /// Answered with the attachment's identifier; the address comes with the node's assignment.
    case attach(containerID: String, AttachmentWish)
    case detach(attachment: ObjectID)
}

/// What a joining node says of itself, and the role that its token gives it.
package struct NodeJoin: Sendable, Equatable {
    package var nodeID: ObjectID
    package var role: String
    package var availability: String
    package var description: NodeDescription
    package var address: String

    package init(
        nodeID: ObjectID, role: String, availability: String = "active",
        description: NodeDescription = NodeDescription(), address: String
    ) {
        (self.nodeID, self.role, self.availability) = (nodeID, role, availability)
        (self.description, self.address) = (description, address)
    }
}

package struct ServiceUpdateOptions: Sendable, Equatable {
    /// `X-Registry-Auth` of the request, verbatim; nil keeps the one of `registryAuthFrom`.
    package var registryAuth: String?
    /// `spec` (default) or `previous-spec`.
    package var registryAuthFrom: String?
    /// `rollback=previous`: the spec in the request is ignored.
    package var rollback = false

    package init() {}
}

package struct SwarmInitialization: Sendable, Equatable {
    package var listenAddress: String
    package var advertiseAddress: String
    package var dataPathAddress: String = ""
    package var dataPathPort: UInt32 = 0
    package var forceNewCluster = false
    package var availability: String = ""
    package var defaultAddressPool: [String] = []
    package var subnetSize: UInt32 = 0
    package var spec = ClusterSpec()

    package init(listenAddress: String, advertiseAddress: String) {
        (self.listenAddress, self.advertiseAddress) = (listenAddress, advertiseAddress)
    }
}

/// `swarm join`: where to knock, with what, and how this node wants to be reached.
package struct SwarmJoining: Sendable, Equatable {
    package var listenAddress: String
    /// Empty: the address that the manager sees.
    package var advertiseAddress: String
    package var dataPathAddress: String
    package var remoteAddresses: [String]
    package var joinToken: String
    /// `active`, `pause` or `drain`; empty means active.
    package var availability: String

    package init(
        listenAddress: String, advertiseAddress: String = "", dataPathAddress: String = "",
        remoteAddresses: [String], joinToken: String, availability: String = ""
    ) {
        (self.listenAddress, self.advertiseAddress) = (listenAddress, advertiseAddress)
        (self.dataPathAddress, self.remoteAddresses) = (dataPathAddress, remoteAddresses)
        (self.joinToken, self.availability) = (joinToken, availability)
    }
}

package enum ControlResponse: Sendable, Equatable {
    /// The id of what was created (for `initializeSwarm`: the node's).
    case created(ObjectID, warnings: [String] = [])
    case done
}

/// Whether this node is part of a swarm; the `Swarm` object of `GET /info` and the `_ping` header come from it.
/// Which secrets of the swarm an update replaces.
package struct SwarmRotation: Sendable, Equatable {
    package var workerToken: Bool
    package var managerToken: Bool
    package var unlockKey: Bool
    /// The key that managers lock with when there is none or another is asked for; drawn by the node that was asked.
    package var freshUnlockKey: String
    /// What becomes of the root; nil when nothing was asked of it.
    package var root: RootChange?

    package init(
        workerToken: Bool = false, managerToken: Bool = false, unlockKey: Bool = false,
        freshUnlockKey: String = "", root: RootChange? = nil
    ) {
        (self.workerToken, self.managerToken) = (workerToken, managerToken)
        (self.unlockKey, self.freshUnlockKey, self.root) = (unlockKey, freshUnlockKey, root)
    }
}

/// What an update makes of the swarm's root; made by the node that was asked, for the version of the swarm that the
/// update names: it has the keys, and the machine neither clock nor randomness.
package struct RootChange: Sendable, Equatable, Codable {
    /// The root that takes the place of the present one; nil lets that one stay, whatever was to replace it.
    package var rotation: RootRotation?
    package var tlsInfo: TLSInfo

    package init(rotation: RootRotation?, tlsInfo: TLSInfo) { (self.rotation, self.tlsInfo) = (rotation, tlsInfo) }
}

package struct LocalSwarmState: Sendable, Equatable {
    package enum State: String, Sendable { case inactive, pending, active, error, locked }
    package var state: State = .inactive
    package var nodeID: ObjectID = ""
    package var nodeAddress: String = ""
    package var isManager = false
    package var error: String = ""
    /// `host:port` of each known manager by node id.
    package var remoteManagers: [(nodeID: ObjectID, address: String)] = []

    package init() {}

    package static func == (left: LocalSwarmState, right: LocalSwarmState) -> Bool {
        left.state == right.state && left.nodeID == right.nodeID && left.nodeAddress == right.nodeAddress
            && left.isManager == right.isManager && left.error == right.error
            && left.remoteManagers.elementsEqual(right.remoteManagers, by: ==)
    }
}

/// What a `GET /events` line is made from.
package struct SwarmEvent: Sendable, Equatable {
    package var type: String
    package var action: String
    package var actorID: String
    package var attributes: [String: String]
    /// `swarm` or `local`.
    package var scope: String
    package var time: Timestamp

    package init(
        type: String, action: String, actorID: String, attributes: [String: String], scope: String,
        time: Timestamp
    ) {
        (self.type, self.action, self.actorID) = (type, action, actorID)
        (self.attributes, self.scope, self.time) = (attributes, scope, time)
    }
}

/// Facts about this machine and daemon that do not change while it runs.
package struct NodeFacts: Sendable, Equatable {
    package var hostname = ""
    /// The address that other nodes would reach this one at, when none is asked for.
    package var defaultAddress = ""
    package var version = ""
    package var gitCommit = ""
    package var buildTime = ""
    package var kernelVersion = ""
    package var operatingSystem = ""
    package var osVersion = ""
    package var architecture = "x86_64"
    package var cpuCount = 0
    package var memoryBytes: Int64 = 0
    package var dataDirectory = ""
    /// Where containers' network namespaces are, each under its container's identifier.
    package var namespaceDirectory = ""
    package var cgroupVersion = "1"
    package var containerdVersion = ""
    package var runcVersion = ""
    /// `key=value`.
    package var labels: [String] = []
    package var genericResources: [GenericResource] = []
    package var insecureRegistries: [String] = []

    package init() {}
}

/// What the HTTP API needs of the node; implemented by `SwarmDaemon`.
package protocol ControlPlane: Sendable {
    /// All replicated objects that this node has now; empty when it is no manager. O(1).
    func snapshot() async -> ObjectStore
    /// All replicated objects at a moment not before this call, or why this node cannot tell.
    func read() async throws(SwarmError) -> ObjectStore
    /// Returns once this node has its part in the swarm.
    func join(_ joining: SwarmJoining) async throws(SwarmError)
    /// Opens the keys of a manager that was locked when it stopped.
    func unlock(_ key: String) async throws(SwarmError)
    /// What a manager is locked with; empty when managers are not locked.
    func unlockKey() async throws(SwarmError) -> String
    func submit(_ request: ControlRequest) async throws(SwarmError) -> ControlResponse
    func localState() async -> LocalSwarmState
    /// Events from now on, after those of the bounded history that are not older than `since`.
    func events(since: Timestamp?) async -> AsyncStream<SwarmEvent>
    var facts: NodeFacts { get }
    var runtime: any ContainerRuntime { get }
    var images: any ImageStore { get }
    var volumes: any VolumeStore { get }
    func now() -> Timestamp
    /// Tells local observers (`GET /events`) of something that happened on this node.
    func publish(_ event: SwarmEvent) async
    /// Hands on the lines of every task of a service, or of one task, wherever it runs; with `options.follow` until
    /// nothing more can come. `options.tail` counts for each task. What cannot be had costs a line that says so.
    /// - Throws: what `deliver` throws.
    func gatherLogs(
        _ scope: LogScope, _ options: LogOptions,
        to deliver: @escaping @Sendable ([GatheredLine]) async throws -> Void
    ) async throws

    // MARK: Containers that are no tasks, and networks of this node alone

    /// - Throws: `.conflict` when the name is taken; whatever the runtime refuses.
    func createContainer(_ request: ContainerRequest) async throws(SwarmError)
    /// Returns once it runs, with its networks.
    func startContainer(_ id: String) async throws(SwarmError)
    /// Returns once it has ended; its restart rule does not count until it is started again.
    func stopContainer(_ id: String, gracePeriod: Duration?) async throws(SwarmError)
    func restartContainer(_ id: String, gracePeriod: Duration?) async throws(SwarmError)
    func killContainer(_ id: String, signal: String) async throws(SwarmError)
    func removeContainer(_ id: String, force: Bool, keepsVolumes: Bool) async throws(SwarmError)
    func renameContainer(_ id: String, to name: String) async throws(SwarmError)
    func setRestartRule(_ id: String, _ rule: RestartRule) async throws(SwarmError)
    func connectContainer(_ id: String, _ endpoint: StandaloneEndpoint) async throws(SwarmError)
    func disconnectContainer(_ id: String, network: String, force: Bool) async throws(SwarmError)
    /// Those of this node alone, the predefined `bridge` first.
    func localNetworks() async -> [LocalNetwork]
    /// - Parameter asked: its subnet and gateway count only where `hasSubnet` says so.
    func createLocalNetwork(_ asked: LocalNetwork, hasSubnet: Bool) async throws(SwarmError) -> String
    /// - Throws: `.permissionDenied` while a container is on it.
    func removeLocalNetwork(_ id: String) async throws(SwarmError)
    /// Whether it waits for its restart rule to start it again.
    func isRestarting(_ id: String) async -> Bool
}
