package import SwarmCore

/// What a container that is no task is asked to be, beyond its process: who restarts it, what it is connected to and
/// what becomes of it when it ends.
///
/// Kept with the container's record on disk, so that it outlives swarmd and reboots as Docker's does.
package struct StandaloneContainer: Sendable, Equatable, Codable {
    /// As asked for: `default`, `bridge`, `host`, `none`, `container:<id>` or a network's name.
    package var networkMode = "default"
    /// The networks it joins, in order: the first gives it `eth0`.
    package var endpoints: [StandaloneEndpoint] = []
    package var ports: [PortBinding] = []
    /// `80/tcp`; those of the image included.
    package var exposedPorts: [String] = []
    package var restart = RestartRule()
    /// Removed, with its anonymous volumes, as soon as it has ended.
    package var removesItself = false
    package var attachesStdin = false
    package var attachesStdout = false
    package var attachesStderr = false
    /// Standard input ends with the first client that was attached to it.
    package var closesStdinWithClient = false
    package var isPrivileged = false
    /// Seconds; nil leaves it to the daemon (10).
    package var stopTimeout: Int?
    package var domainname = ""
    /// `--volume` as asked for, to be shown.
    package var binds: [String] = []
    /// How often it was started anew by itself.
    package var restartCount = 0
    /// A user stopped it: nobody but a user starts it again.
    package var isStoppedByHand = false
    /// Why the last start failed; empty when it did not.
    package var startFailure = ""

    package init() {}
}

/// What a container sees nothing of, and what it cannot write, unless it is privileged: Docker's lists.
package enum GuardedPaths {
    package static let masked = [
        "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    ]
    package static let readonly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
}

/// When swarmd starts an ended container again.
package struct RestartRule: Sendable, Equatable, Codable {
    package enum Name: String, Sendable, Codable, CaseIterable {
        case no, always
        case onFailure = "on-failure"
        case unlessStopped = "unless-stopped"
    }
    package var name = Name.no
    /// Of `on-failure`: how often in a row; 0 is without limit.
    package var maximumRetries = 0

    package init(_ name: Name = .no, maximumRetries: Int = 0) {
        (self.name, self.maximumRetries) = (name, maximumRetries)
    }
}

/// One network that a standalone container joins.
package struct StandaloneEndpoint: Sendable, Equatable, Codable {
    /// A local network's 64 hexadecimal digits or an overlay's identifier.
    package var networkID: String
    package var networkName: String
    /// Whether managers give the address: the network is the swarm's.
    package var isOverlay: Bool
    package var aliases: [String] = []
    /// `--ip`: the address that it must have.
    package var wantedAddress: IPv4Address?
    /// While it runs: its address, with the subnet's length.
    package var address: IPv4Subnet?
    /// While it runs on one of the swarm's networks: the managers' record of that.
    package var attachmentID: String?
    /// The network has no way out.
    package var isInternal = false

    package init(networkID: String, networkName: String, isOverlay: Bool) {
        (self.networkID, self.networkName, self.isOverlay) = (networkID, networkName, isOverlay)
    }
}

/// `--publish`: a port of this node that leads to a port of the container.
package struct PortBinding: Sendable, Equatable, Codable {
    /// `tcp`, `udp` or `sctp`.
    package var transport: String
    package var containerPort: UInt16
    /// Empty is every address of this node.
    package var hostAddress: String
    /// As asked for; 0 has swarmd choose one at each start.
    package var hostPort: UInt16
    /// While it runs: the port that it has.
    package var assignedPort: UInt16?

    package init(transport: String, containerPort: UInt16, hostAddress: String = "", hostPort: UInt16 = 0) {
        (self.transport, self.containerPort) = (transport, containerPort)
        (self.hostAddress, self.hostPort) = (hostAddress, hostPort)
    }
}

/// A network of this node alone, as `docker network create -d bridge` makes it.
package struct LocalNetwork: Sendable, Equatable, Codable {
    /// 64 hexadecimal digits.
    package var id: String
    package var name: String
    package var subnet: IPv4Subnet
    package var gateway: IPv4Address
    package var isInternal = false
    package var isAttachable = false
    package var labels: [String: String] = [:]
    package var options: [String: String] = [:]
    package var createdAt: Timestamp

    package init(id: String, name: String, subnet: IPv4Subnet, gateway: IPv4Address, createdAt: Timestamp) {
        (self.id, self.name, self.subnet) = (id, name, subnet)
        (self.gateway, self.createdAt) = (gateway, createdAt)
    }
}

/// What `docker cp` must know of a place in a container.
package struct PathStatus: Sendable, Equatable {
    package enum Kind: Sendable { case file, directory, symbolicLink, other }
    package var name: String
    package var size: Int64
    package var kind: Kind
    /// The twelve bits of chmod(2).
    package var permissions: UInt32
    package var modified: Timestamp
    /// Of a symbolic link.
    package var target: String

    package init(
        name: String, size: Int64, kind: Kind, permissions: UInt32, modified: Timestamp, target: String
    ) {
        (self.name, self.size, self.kind) = (name, size, kind)
        (self.permissions, self.modified, self.target) = (permissions, modified, target)
    }
}
