package import SwarmCore
package import SwarmModel

/// Answers of the engine that are no swarm objects.

/// `{"ID": …}` with warnings, as creations answer.
package struct CreatedObject: Sendable, Decodable {
    package var id: String
    package var warnings: [String]

    enum CodingKeys: String, CodingKey {
        case id = "ID", lowerID = "Id", warnings = "Warnings", warning = "Warning"
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let lower = try container.decodeIfPresent(String.self, forKey: .lowerID)
        id = try container.decodeIfPresent(String.self, forKey: .id) ?? lower ?? ""
        let warning = try container.decodeIfPresent(String.self, forKey: .warning) ?? ""
        warnings = try container.decodeIfPresent([String].self, forKey: .warnings) ?? []
        if !warning.isEmpty { warnings.append(warning) }
    }
}

/// A network as `GET /networks` shows it.
package struct NetworkSummary: Sendable, Decodable {
    package var id: String
    package var name: String
    package var driver: String?
    package var scope: String?
    package var isInternal: Bool?
    package var ingress: Bool?
    package var ipv6: Bool?
    package var ipv4: Bool?
    package var created: Timestamp?
    package var labels: [String: String]?
    package var attachable: Bool?
    package var options: [String: String]?
    package var ipam: Addressing?

    package struct Addressing: Sendable, Decodable {
        package var driver: String?
        package var config: [NetworkCreation.AddressRange]?
        enum CodingKeys: String, CodingKey { case driver = "Driver", config = "Config" }
    }

    enum CodingKeys: String, CodingKey {
        case id = "Id", name = "Name", driver = "Driver", scope = "Scope", isInternal = "Internal", ingress =
            "Ingress",
            ipv6 = "EnableIPv6", ipv4 = "EnableIPv4", created = "Created", labels = "Labels",
            attachable = "Attachable", options = "Options", ipam = "IPAM"
    }
}

/// `POST /networks/create`'s body.
package struct NetworkCreation: Sendable, Encodable {
    package struct AddressRange: Sendable, Codable, Equatable {
        package var Subnet: String?
        package var IPRange: String?
        package var Gateway: String?
        package var AuxiliaryAddresses: [String: String]?

        package init(
            subnet: String? = nil, range: String? = nil, gateway: String? = nil,
            auxiliary: [String: String]? = nil
        ) {
            (Subnet, IPRange, Gateway, AuxiliaryAddresses) = (subnet, range, gateway, auxiliary)
        }
    }
    package struct Addressing: Sendable, Encodable {
        package var Driver: String
        package var Options: [String: String]
        package var Config: [AddressRange]

        package init(driver: String, options: [String: String], ranges: [AddressRange]) {
            (Driver, Options, Config) = (driver, options, ranges)
        }
    }
    package struct Source: Sendable, Encodable {
        package var Network: String
        package init(network: String) { Network = network }
    }
    package var Name: String
    package var Driver: String
    package var Scope = ""
    package var IPAM: Addressing
    package var Internal = false
    package var Attachable = false
    package var Ingress = false
    package var ConfigOnly = false
    package var ConfigFrom: Source?
    package var Options: [String: String] = [:]
    package var Labels: [String: String] = [:]
    package var EnableIPv4: Bool?
    package var EnableIPv6: Bool?

    package init(name: String, driver: String, addressing: Addressing) {
        (Name, Driver, IPAM) = (name, driver, addressing)
    }
}

/// A container as `GET /containers/json` shows it.
package struct ContainerSummary: Sendable, Decodable {
    package struct Port: Sendable, Decodable, Hashable {
        package var address: String?
        package var privatePort: Int
        package var publicPort: Int?
        package var proto: String?

        enum CodingKeys: String, CodingKey {
            case address = "IP", privatePort = "PrivatePort", publicPort = "PublicPort", proto = "Type"
        }
    }
    package struct NetworkSettings: Sendable, Decodable {
        package struct Attachment: Sendable, Decodable {}
        package var networks: [String: Attachment]?
        enum CodingKeys: String, CodingKey { case networks = "Networks" }
    }
    package struct Mount: Sendable, Decodable {
        package var name: String?
        package var source: String?
        enum CodingKeys: String, CodingKey { case name = "Name", source = "Source" }
    }
    package var id: String
    package var names: [String]?
    package var image: String?
    package var command: String?
    package var created: Int64?
    package var ports: [Port]?
    package var labels: [String: String]?
    package var state: String?
    package var status: String?
    package var sizeBytes: Int64?
    package var wholeSizeBytes: Int64?
    package var networkSettings: NetworkSettings?
    package var mounts: [Mount]?

    enum CodingKeys: String, CodingKey {
        case id = "Id", names = "Names", image = "Image", command = "Command", created = "Created", ports =
            "Ports",
            labels = "Labels", state = "State", status = "Status", sizeBytes = "SizeRw", wholeSizeBytes = "SizeRootFs",
            networkSettings = "NetworkSettings", mounts = "Mounts"
    }
}

/// What is used of a container's inspection.
package struct ContainerInspection: Sendable, Decodable {
    package struct State: Sendable, Decodable {
        package var running: Bool?
        package var pid: Int?
        package var status: String?
        enum CodingKeys: String, CodingKey { case running = "Running", pid = "Pid", status = "Status" }
    }
    package struct Configuration: Sendable, Decodable {
        package var tty: Bool?
        enum CodingKeys: String, CodingKey { case tty = "Tty" }
    }
    package var id: String
    package var state: State?
    package var config: Configuration?

    enum CodingKeys: String, CodingKey { case id = "Id", state = "State", config = "Config" }
}

/// An image as `GET /images/json` shows it.
package struct ImageSummary: Sendable, Decodable {
    package var id: String
    package var repoTags: [String]?
    package var repoDigests: [String]?
    package var created: Int64?
    package var sizeBytes: Int64?
    package var labels: [String: String]?

    enum CodingKeys: String, CodingKey {
        case id = "Id", repoTags = "RepoTags", repoDigests = "RepoDigests", created = "Created", sizeBytes =
            "Size",
            labels = "Labels"
    }
}

/// What a registry knows of an image.
package struct ImageDistribution: Sendable, Decodable {
    package struct Descriptor: Sendable, Decodable {
        package var digest: String?
    }
    package struct PlatformEntry: Sendable, Decodable {
        package var architecture: String?
        package var os: String?
    }
    package var descriptor: Descriptor
    package var platforms: [PlatformEntry]?

    enum CodingKeys: String, CodingKey { case descriptor = "Descriptor", platforms = "Platforms" }
}

/// The part of `GET /info` that commands decide by.
package struct EngineInfo: Sendable, Decodable {
    package struct RemoteManager: Sendable, Decodable {
        package var nodeID: String
        package var address: String
        enum CodingKeys: String, CodingKey { case nodeID = "NodeID", address = "Addr" }
    }
    package struct Swarm: Sendable, Decodable {
        package var nodeID: String?
        package var state: String?
        package var controlAvailable: Bool?
        package var remoteManagers: [RemoteManager]?
        enum CodingKeys: String, CodingKey {
            case nodeID = "NodeID", state = "LocalNodeState", controlAvailable = "ControlAvailable",
                remoteManagers = "RemoteManagers"
        }
    }
    package var name: String?
    package var swarm: Swarm?

    enum CodingKeys: String, CodingKey { case name = "Name", swarm = "Swarm" }
}

/// `POST /swarm/init`'s body.
package struct SwarmInitBody: Sendable, Encodable {
    package var ListenAddr = "0.0.0.0:2377"
    package var AdvertiseAddr = ""
    package var DataPathAddr = ""
    package var DataPathPort: UInt32 = 0
    package var ForceNewCluster = false
    package var AutoLockManagers = false
    package var Availability = ""
    package var DefaultAddrPool: [String] = []
    package var SubnetSize: UInt32 = 24
    package var Spec = ClusterSpec()

    package init() {}
}

/// `POST /swarm/join`'s body.
package struct SwarmJoinBody: Sendable, Encodable {
    package var ListenAddr = "0.0.0.0:2377"
    package var AdvertiseAddr = ""
    package var DataPathAddr = ""
    package var RemoteAddrs: [String] = []
    package var JoinToken = ""
    package var Availability = ""

    package init() {}
}

/// `POST /containers/{id}/exec`'s body.
package struct ExecCreation: Sendable, Encodable {
    package var User = ""
    package var Privileged = false
    package var Tty = false
    package var AttachStdin = false
    package var AttachStdout = false
    package var AttachStderr = false
    package var Detach = false
    package var DetachKeys = ""
    package var Env: [String] = []
    package var WorkingDir = ""
    package var Cmd: [String] = []
    package var ConsoleSize: [Int]?

    package init() {}
}

/// `POST /exec/{id}/start`'s body.
package struct ExecStart: Sendable, Encodable {
    package var Detach: Bool
    package var Tty: Bool
    package var ConsoleSize: [Int]?

    package init(detach: Bool, tty: Bool, consoleSize: [Int]?) {
        (Detach, Tty, ConsoleSize) = (detach, tty, consoleSize)
    }
}

/// `GET /exec/{id}/json`'s answer.
package struct ExecInspection: Sendable, Decodable {
    package var exitCode: Int?
    package var running: Bool?
    enum CodingKeys: String, CodingKey { case exitCode = "ExitCode", running = "Running" }
}

extension Cluster {
    /// Whether an unlock key is needed to start a manager.
    package var isAutolocked: Bool { spec.encryptionConfig?.autoLockManagers ?? false }
}
