/// What to run in each task's container; the container half of a task's template.
package struct ContainerSpec: Sendable, Hashable, Codable {
    package var image: String?
    package var labels: [String: String]?
    /// Docker's entrypoint.
    package var command: [String]?
    /// Docker's command.
    package var args: [String]?
    package var hostname: String?
    /// `NAME=value` each; the later of two equal names wins.
    package var env: [String]?
    package var dir: String?
    /// `user[:group]`, by name or number.
    package var user: String?
    package var groups: [String]?
    package var privileges: Privileges?
    package var initProcess: Bool?
    package var tty: Bool?
    package var openStdin: Bool?
    package var readOnly: Bool?
    package var stopSignal: String?
    /// Nanoseconds; 10 s when absent.
    package var stopGracePeriod: Int64?
    package var healthcheck: HealthConfig?
    package var mounts: [Mount]?
    /// `address name` each, for /etc/hosts.
    package var hosts: [String]?
    package var dnsConfig: DNSConfig?
    package var secrets: [SecretReference]?
    package var configs: [ConfigReference]?
    package var isolation: String?
    package var sysctls: [String: String]?
    package var capabilityAdd: [String]?
    package var capabilityDrop: [String]?
    package var ulimits: [Ulimit]?
    package var oomScoreAdj: Int64?

    package init(
        image: String? = nil, labels: [String: String]? = nil, command: [String]? = nil,
        args: [String]? = nil, hostname: String? = nil, env: [String]? = nil, dir: String? = nil,
        user: String? = nil, groups: [String]? = nil, privileges: Privileges? = nil,
        initProcess: Bool? = nil, tty: Bool? = nil, openStdin: Bool? = nil, readOnly: Bool? = nil,
        stopSignal: String? = nil, stopGracePeriod: Int64? = nil, healthcheck: HealthConfig? = nil,
        mounts: [Mount]? = nil, hosts: [String]? = nil, dnsConfig: DNSConfig? = nil,
        secrets: [SecretReference]? = nil, configs: [ConfigReference]? = nil, isolation: String? = nil,
        sysctls: [String: String]? = nil, capabilityAdd: [String]? = nil,
        capabilityDrop: [String]? = nil, ulimits: [Ulimit]? = nil, oomScoreAdj: Int64? = nil
    ) {
        self.image = image
        self.labels = labels
        self.command = command
        self.args = args
        self.hostname = hostname
        self.env = env
        self.dir = dir
        self.user = user
        self.groups = groups
        self.privileges = privileges
        self.initProcess = initProcess
        self.tty = tty
        self.openStdin = openStdin
        self.readOnly = readOnly
        self.stopSignal = stopSignal
        self.stopGracePeriod = stopGracePeriod
        self.healthcheck = healthcheck
        self.mounts = mounts
        self.hosts = hosts
        self.dnsConfig = dnsConfig
        self.secrets = secrets
        self.configs = configs
        self.isolation = isolation
        self.sysctls = sysctls
        self.capabilityAdd = capabilityAdd
        self.capabilityDrop = capabilityDrop
        self.ulimits = ulimits
        self.oomScoreAdj = oomScoreAdj
    }

    enum CodingKeys: String, CodingKey {
        case image = "Image", labels = "Labels", command = "Command", args = "Args",
            hostname = "Hostname", env = "Env", dir = "Dir", user = "User", groups = "Groups",
            privileges = "Privileges", initProcess = "Init", stopSignal = "StopSignal", tty = "TTY",
            openStdin = "OpenStdin", readOnly = "ReadOnly", mounts = "Mounts",
            stopGracePeriod = "StopGracePeriod", healthcheck = "Healthcheck", hosts = "Hosts", dnsConfig = "DNSConfig",
            secrets = "Secrets", configs = "Configs", isolation = "Isolation", sysctls = "Sysctls",
            capabilityAdd = "CapabilityAdd", capabilityDrop = "CapabilityDrop", ulimits = "Ulimits",
            oomScoreAdj = "OomScoreAdj"
    }
}

/// Security options beyond capabilities; settable by the API only, as in Docker.
package struct Privileges: Sendable, Hashable, Codable {
    package var credentialSpec: CredentialSpec?
    package var seLinuxContext: SELinuxContext?
    package var seccomp: SecurityProfile?
    package var appArmor: SecurityProfile?
    package var noNewPrivileges: Bool?

    package init(
        credentialSpec: CredentialSpec? = nil, seLinuxContext: SELinuxContext? = nil,
        seccomp: SecurityProfile? = nil, appArmor: SecurityProfile? = nil, noNewPrivileges: Bool? = nil
    ) {
        self.credentialSpec = credentialSpec
        self.seLinuxContext = seLinuxContext
        self.seccomp = seccomp
        self.appArmor = appArmor
        self.noNewPrivileges = noNewPrivileges
    }

    enum CodingKeys: String, CodingKey {
        case credentialSpec = "CredentialSpec", seLinuxContext = "SELinuxContext", seccomp = "Seccomp",
            appArmor = "AppArmor", noNewPrivileges = "NoNewPrivileges"
    }
}

/// A Windows credential specification; kept so that it is read back as it was sent.
package struct CredentialSpec: Sendable, Hashable, Codable {
    package var config: String?
    package var file: String?
    package var registry: String?

    package init(config: String? = nil, file: String? = nil, registry: String? = nil) {
        self.config = config
        self.file = file
        self.registry = registry
    }

    enum CodingKeys: String, CodingKey {
        case config = "Config", file = "File", registry = "Registry"
    }
}

/// An SELinux label.
package struct SELinuxContext: Sendable, Hashable, Codable {
    package var disable: Bool?
    package var user: String?
    package var role: String?
    package var type: String?
    package var level: String?

    package init(
        disable: Bool? = nil, user: String? = nil, role: String? = nil, type: String? = nil,
        level: String? = nil
    ) {
        self.disable = disable
        self.user = user
        self.role = role
        self.type = type
        self.level = level
    }

    enum CodingKeys: String, CodingKey {
        case disable = "Disable", user = "User", role = "Role", type = "Type", level = "Level"
    }
}

/// A seccomp or AppArmor choice: `default`, `unconfined`, `disabled` or `custom` with a profile.
package struct SecurityProfile: Sendable, Hashable, Codable {
    package var mode: String?
    /// Base 64.
    package var profile: String?

    package init(mode: String? = nil, profile: String? = nil) {
        self.mode = mode
        self.profile = profile
    }

    enum CodingKeys: String, CodingKey {
        case mode = "Mode", profile = "Profile"
    }
}

/// How a container's health is found out; zero or absent values inherit the image's, then Docker's defaults.
package struct HealthConfig: Sendable, Hashable, Codable {
    /// `[]` inherits, `["NONE"]` disables, `["CMD", …]`, `["CMD-SHELL", script]`.
    package var test: [String]?
    /// Nanoseconds; 30 s by default.
    package var interval: Int64?
    /// Nanoseconds; 30 s by default.
    package var timeout: Int64?
    /// Nanoseconds; 0 by default.
    package var startPeriod: Int64?
    /// Nanoseconds; 5 s by default.
    package var startInterval: Int64?
    /// 3 by default.
    package var retries: Int?

    package init(
        test: [String]? = nil, interval: Int64? = nil, timeout: Int64? = nil, startPeriod: Int64? = nil,
        startInterval: Int64? = nil, retries: Int? = nil
    ) {
        self.test = test
        self.interval = interval
        self.timeout = timeout
        self.startPeriod = startPeriod
        self.startInterval = startInterval
        self.retries = retries
    }

    enum CodingKeys: String, CodingKey {
        case test = "Test", interval = "Interval", timeout = "Timeout", startPeriod = "StartPeriod",
            startInterval = "StartInterval", retries = "Retries"
    }
}

/// A container's own resolver settings.
package struct DNSConfig: Sendable, Hashable, Codable {
    package var nameservers: [String]?
    package var search: [String]?
    package var options: [String]?

    package init(nameservers: [String]? = nil, search: [String]? = nil, options: [String]? = nil) {
        self.nameservers = nameservers
        self.search = search
        self.options = options
    }

    enum CodingKeys: String, CodingKey {
        case nameservers = "Nameservers", search = "Search", options = "Options"
    }
}

/// A POSIX resource limit.
package struct Ulimit: Sendable, Hashable, Codable {
    package var name: String
    package var hard: Int64
    package var soft: Int64

    package init(name: String, hard: Int64, soft: Int64) {
        self.name = name
        self.hard = hard
        self.soft = soft
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", hard = "Hard", soft = "Soft"
    }
}

/// Where a secret or config appears in the container.
package struct ReferencedFile: Sendable, Hashable, Codable {
    package var name: String
    package var uid: String
    package var gid: String
    package var mode: UInt32

    package init(name: String, uid: String = "0", gid: String = "0", mode: UInt32 = 0o444) {
        self.name = name
        self.uid = uid
        self.gid = gid
        self.mode = mode
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name", uid = "UID", gid = "GID", mode = "Mode"
    }
}

/// A secret that a container needs.
package struct SecretReference: Sendable, Hashable, Codable {
    package var secretID: ObjectID
    package var secretName: String
    package var file: ReferencedFile?

    package init(secretID: ObjectID, secretName: String, file: ReferencedFile? = nil) {
        self.secretID = secretID
        self.secretName = secretName
        self.file = file
    }

    enum CodingKeys: String, CodingKey {
        case file = "File", secretID = "SecretID", secretName = "SecretName"
    }
}

/// Marks a config that the runtime itself consumes.
package struct ConfigRuntimeTarget: Sendable, Hashable, Codable {
    package init() {}
}

/// A config that a container needs.
package struct ConfigReference: Sendable, Hashable, Codable {
    package var configID: ObjectID
    package var configName: String
    package var file: ReferencedFile?
    package var runtime: ConfigRuntimeTarget?

    package init(
        configID: ObjectID, configName: String, file: ReferencedFile? = nil,
        runtime: ConfigRuntimeTarget? = nil
    ) {
        self.configID = configID
        self.configName = configName
        self.file = file
        self.runtime = runtime
    }

    enum CodingKeys: String, CodingKey {
        case file = "File", runtime = "Runtime", configID = "ConfigID", configName = "ConfigName"
    }
}
