package import SwarmCore

/// One address range of a network.
package struct IPAMConfig: Sendable, Hashable, Codable {
    package var subnet: String?
    package var range: String?
    package var gateway: String?
    package var auxiliaryAddresses: [String: String]?

    package init(
        subnet: String? = nil, range: String? = nil, gateway: String? = nil,
        auxiliaryAddresses: [String: String]? = nil
    ) {
        self.subnet = subnet
        self.range = range
        self.gateway = gateway
        self.auxiliaryAddresses = auxiliaryAddresses
    }

    enum CodingKeys: String, CodingKey {
        case subnet = "Subnet", range = "Range", gateway = "Gateway",
            auxiliaryAddresses = "AuxiliaryAddresses"
    }
}

/// How a network's addresses are given out.
package struct IPAM: Sendable, Hashable, Codable {
    package var driver: Driver?
    package var configs: [IPAMConfig]?

    package init(driver: Driver? = nil, configs: [IPAMConfig]? = nil) {
        self.driver = driver
        self.configs = configs
    }

    enum CodingKeys: String, CodingKey {
        case driver = "Driver", configs = "Configs"
    }
}

/// The network whose configuration another one copies.
package struct ConfigReferenceNetwork: Sendable, Hashable, Codable {
    package var network: String

    package init(network: String = "") {
        self.network = network
    }

    enum CodingKeys: String, CodingKey {
        case network = "Network"
    }
}

/// What a user asked for.
package struct NetworkSpec: Sendable, Hashable, Codable {
    package var name: String
    package var labels: [String: String]?
    package var driverConfiguration: Driver?
    package var ipv6Enabled: Bool?
    package var isInternal: Bool?
    package var attachable: Bool?
    package var ingress: Bool?
    package var ipamOptions: IPAM?
    package var configFrom: ConfigReferenceNetwork?
    package var scope: String?

    package init(
        name: String = "", labels: [String: String]? = nil, driverConfiguration: Driver? = nil,
        ipv6Enabled: Bool? = nil, isInternal: Bool? = nil, attachable: Bool? = nil, ingress: Bool? = nil,
        ipamOptions: IPAM? = nil, configFrom: ConfigReferenceNetwork? = nil, scope: String? = nil
    ) {
        self.name = name
        self.labels = labels
        self.driverConfiguration = driverConfiguration
        self.ipv6Enabled = ipv6Enabled
        self.isInternal = isInternal
        self.attachable = attachable
        self.ingress = ingress
        self.ipamOptions = ipamOptions
        self.configFrom = configFrom
        self.scope = scope
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", labels = "Labels", driverConfiguration = "DriverConfiguration",
            ipv6Enabled = "IPv6Enabled", isInternal = "Internal", attachable = "Attachable",
            ingress = "Ingress", ipamOptions = "IPAMOptions", configFrom = "ConfigFrom", scope = "Scope"
    }
}

/// A network of the swarm, with what was allocated for it.
package struct Network: Sendable, Codable, Equatable, SwarmObject {
    package var id: ObjectID
    package var version: ObjectVersion
    package var createdAt: Timestamp
    package var updatedAt: Timestamp
    package var spec: NetworkSpec
    /// The VXLAN identifier, as Docker shows it.
    package var driverState: Driver?
    /// Subnets and gateways as allocated.
    package var ipam: IPAM?
    /// The first subnet, parsed; nil until allocated.
    package var subnet: IPv4Subnet?
    package var gateway: IPv4Address?
    package var vni: UInt32?

    package init(
        id: ObjectID, version: ObjectVersion = ObjectVersion(), createdAt: Timestamp = .zero,
        updatedAt: Timestamp = .zero, spec: NetworkSpec = NetworkSpec(), driverState: Driver? = nil,
        ipam: IPAM? = nil, subnet: IPv4Subnet? = nil, gateway: IPv4Address? = nil, vni: UInt32? = nil
    ) {
        self.id = id
        self.version = version
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.spec = spec
        self.driverState = driverState
        self.ipam = ipam
        self.subnet = subnet
        self.gateway = gateway
        self.vni = vni
    }

    enum CodingKeys: String, CodingKey {
        case id = "ID", version = "Version", createdAt = "CreatedAt", updatedAt = "UpdatedAt",
            spec = "Spec", driverState = "DriverState", ipam = "IPAM", subnet = "AllocatedSubnet",
            gateway = "AllocatedGateway", vni = "VNI"
    }

    package var uniqueName: String? { spec.name }
}
