import SwarmClient
package import SwarmCore
package import SwarmModel

/// `swarmctl swarm …`.
enum SwarmVerbs {
    static let command = Command(
        "swarm", "Manage Swarm", children: [authority, initialize, join, joinToken, leave, unlock, unlockKey, update])

    private static let listenFlag = Flag(
        "listen-addr", FlagKind("node-addr"), "Listen address (format: \"<ip|interface>[:port]\")",
        default: "0.0.0.0:2377")
    private static let advertiseFlag = Flag(
        "advertise-addr", .string, "Advertised address (format: \"<ip|interface>[:port]\")")
    private static let dataPathFlag = Flag(
        "data-path-addr", .string,
        "Address or interface to use for data path traffic (format: \"<ip|interface>\")")
    private static let availabilityFlag = Flag(
        "availability", .string, "Availability of the node (\"active\", \"pause\", \"drain\")",
        default: "\"active\"")

    /// The flags that set the swarm's own spec.
    static let specFlags: [Flag] = [
        Flag(
            "cert-expiry", .positiveDuration, "Validity period for node certificates (ns|us|ms|s|m|h)",
            default: "2160h0m0s"),
        Flag(
            "dispatcher-heartbeat", .positiveDuration, "Dispatcher heartbeat period (ns|us|ms|s|m|h)",
            default: "5s"),
        Flag(
            "external-ca",
            .list("external-ca") { text throws(SwarmError) in _ = try ExternalCAOption.parse(text) },
            "Specifications of one or more certificate signing endpoints"),
        Flag("max-snapshots", .uint, "Number of additional Raft snapshots to retain"),
        Flag("snapshot-interval", .uint, "Number of log entries between Raft snapshots", default: "10000"),
        Flag("task-history-limit", .int, "Task history retention limit", default: "5"),
    ]

    static let initialize = Command(
        "init", "Initialize a swarm",
        flags: specFlags + [
            listenFlag, advertiseFlag, dataPathFlag, availabilityFlag,
            Flag(
                "autolock", .bool,
                "Enable manager autolocking (requiring an unlock key to start a stopped manager)"),
            Flag(
                "data-path-port", .uint32,
                "Port number to use for data path traffic (1024 - 49151). If no value is set or is set to 0, the "
                    + "default port (4789) is used."),
            Flag(
                "default-addr-pool", .list("ipNetSlice", check: OptionCheck.subnet),
                "default address pool in CIDR format",
                default: "[]"),
            Flag(
                "default-addr-pool-mask-length", .uint32, "default address pool subnet mask length",
                default: "24"),
            Flag("force-new-cluster", .bool, "Force create a new cluster from current state"),
        ]
    ) { invocation in
        let flags = invocation.flags
        var body = SwarmInitBody()
        body.ListenAddr = AddressArgument.listening(flags)
        body.AdvertiseAddr = flags.text("advertise-addr") ?? ""
        body.DataPathAddr = flags.text("data-path-addr") ?? ""
        body.DataPathPort = UInt32(flags.text("data-path-port") ?? "0") ?? 0
        body.ForceNewCluster = flags.isOn("force-new-cluster")
        body.AutoLockManagers = flags.isOn("autolock")
        body.Availability = try availability(flags)
        body.DefaultAddrPool = flags.list("default-addr-pool").flatMap {
            $0.split(separator: ",").map(String.init)
        }
        body.SubnetSize = UInt32(flags.text("default-addr-pool-mask-length") ?? "24") ?? 24
        body.Spec = try ClusterChange.apply(
            flags,
            to: ClusterSpec(
                orchestration: OrchestrationConfig(), raft: RaftConfig(), dispatcher: DispatcherConfig(),
                caConfig: CAConfig(), taskDefaults: TaskDefaults(),
                encryptionConfig: EncryptionConfig(autoLockManagers: flags.isOn("autolock"))))
        let answer = try JSONValue(parsing: try await invocation.client.post("/swarm/init", body: body))
        let id = answer.text ?? ""
        invocation.console.print("Swarm initialized: current node (\(id)) is now a manager.\n")
        try await printJoinCommand(role: "worker", invocation)
        invocation.console.print(
            "To add a manager to this swarm, run 'swarmctl swarm join-token manager' and follow the instructions."
        )
        if flags.isOn("autolock") { printUnlockHint(try await invocation.client.unlockKey(), invocation) }
    }

    private static func availability(_ flags: ParsedFlags) throws(CommandFailure) -> String {
        let text = flags.text("availability") ?? ""
        guard ["", "active", "pause", "drain"].contains(text.lowercased()) else {
            throw CommandFailure("invalid availability \"\(text)\", only active, pause and drain are supported")
        }
        return text.lowercased()
    }

    static let join = Command(
        "join", "Join a swarm as a node and/or manager", usage: "[OPTIONS] HOST:PORT", arguments: .exactly(1),
        flags: [
            listenFlag, advertiseFlag, dataPathFlag, availabilityFlag,
            Flag("token", .string, "Token for entry into the swarm"),
        ]
    ) { invocation in
        let flags = invocation.flags
        var body = SwarmJoinBody()
        body.ListenAddr = AddressArgument.listening(flags)
        body.AdvertiseAddr = flags.text("advertise-addr") ?? ""
        body.DataPathAddr = flags.text("data-path-addr") ?? ""
        body.RemoteAddrs = [AddressArgument.withPort(invocation.arguments[0])]
        body.JoinToken = flags.text("token") ?? ""
        body.Availability = try availability(flags)
        try await invocation.client.post("/swarm/join", body: body)
        let isManager = try await invocation.client.info().swarm?.controlAvailable ?? false
        invocation.console.print("This node joined a swarm as a \(isManager ? "manager" : "worker").")
    }

    static let joinToken = Command(
        "join-token", "Manage join tokens", usage: "[OPTIONS] (worker|manager)", arguments: .exactly(1),
        flags: [
            Flag("quiet", short: "q", .bool, "Only display token"),
            Flag("rotate", .bool, "Rotate join token"),
        ]
    ) { invocation in
        let role = invocation.arguments[0]
        guard ["worker", "manager"].contains(role) else { throw CommandFailure("unknown role \(role)") }
        let isQuiet = invocation.isOn("quiet")
        if invocation.isOn("rotate") {
            let cluster = try await invocation.client.cluster()
            try await invocation.client.updateCluster(
                cluster, to: cluster.spec,
                rotate: ClusterRotation(workerToken: role == "worker", managerToken: role == "manager"))
            if !isQuiet { invocation.console.print("Successfully rotated \(role) join token.\n") }
        }
        guard !isQuiet else {
            let tokens = try await invocation.client.cluster().joinTokens
            return invocation.console.print((role == "worker" ? tokens?.worker : tokens?.manager) ?? "")
        }
        try await printJoinCommand(role: role, invocation)
    }

    private static func printJoinCommand(role: String, _ invocation: Invocation) async throws {
        let client = invocation.client
        let tokens = try await client.cluster().joinTokens
        let node = try await client.node(try await client.info().swarm?.nodeID ?? "")
        guard let token = role == "worker" ? tokens?.worker : tokens?.manager,
            let address = node.managerStatus?.addr
        else {
            return
        }
        invocation.console.print("To add a \(role) to this swarm, run the following command:\n")
        invocation.console.print("    swarmctl swarm join --token \(token) \(address)\n")
    }

    static let leave = Command(
        "leave", "Leave the swarm",
        flags: [Flag("force", short: "f", .bool, "Force this node to leave the swarm, ignoring warnings")]
    ) { invocation in
        _ = try await invocation.client.bytes(
            .post, "/swarm/leave", invocation.isOn("force") ? ["force": "1"] : [:])
        invocation.console.print("Node left the swarm.")
    }

    static let update = Command(
        "update", "Update the swarm",
        flags: specFlags + [Flag("autolock", .bool, "Change manager autolocking setting (true|false)")]
    ) { invocation in
        let names = (specFlags.map(\.name) + ["autolock"])
        guard invocation.flags.isAnySet(names) else {
            throw HelpRequest()
        }
        let cluster = try await invocation.client.cluster()
        let wasLocked = cluster.isAutolocked
        try await invocation.client.updateCluster(
            cluster, to: try ClusterChange.apply(invocation.flags, to: cluster.spec))
        invocation.console.print("Swarm updated.")
        if !wasLocked, invocation.isOn("autolock") {
            printUnlockHint(try await invocation.client.unlockKey(), invocation)
        }
    }

    /// Reads a key of one line; what is typed on a terminal is not shown.
    static let unlock = Command("unlock", "Unlock swarm") { invocation in
        switch try await invocation.client.info().swarm?.state ?? "" {
        case "", "inactive": throw CommandFailure("Error: This node is not part of a swarm")
        case "locked": break
        default: throw CommandFailure("Error: swarm is not locked")
        }
        let key = SecretLine.read("Enter unlock key: ", invocation.console)
        try await invocation.client.post("/swarm/unlock", body: ["UnlockKey": key])
    }

    static let unlockKey = Command(
        "unlock-key", "Manage the unlock key",
        flags: [
            Flag("quiet", short: "q", .bool, "Only display token"),
            Flag("rotate", .bool, "Rotate unlock key"),
        ]
    ) { invocation in
        let isQuiet = invocation.isOn("quiet")
        if invocation.isOn("rotate") {
            let cluster = try await invocation.client.cluster()
            guard cluster.isAutolocked else {
                throw CommandFailure("cannot rotate because autolock is not turned on")
            }
            try await invocation.client.updateCluster(
                cluster, to: cluster.spec, rotate: ClusterRotation(unlockKey: true))
            if !isQuiet { invocation.console.print("Successfully rotated manager unlock key.") }
        }
        let key: String
        do {
            key = try await invocation.client.unlockKey()
        } catch let error as SwarmError {
            throw CommandFailure("could not fetch unlock key: \(error.description)")
        }
        guard !key.isEmpty else { throw CommandFailure("no unlock key is set") }
        if isQuiet { invocation.console.print(key) } else { printUnlockHint(key, invocation) }
    }

    private static func printUnlockHint(_ key: String, _ invocation: Invocation) {
        invocation.console.print(
            """
            To unlock a swarm manager after it restarts, run the `docker swarm unlock`
            command and provide the following key:

                \(key)

            Remember to store this key in a password manager, since without it you
            will not be able to restart the manager.
            """)
    }
}

/// Addresses as `swarm` verbs take them.
package enum AddressArgument {
    static let defaultPort = 2377

    /// `--listen-addr`, where nothing is as good as the default.
    static func listening(_ flags: ParsedFlags) -> String {
        let text = flags.text("listen-addr") ?? ""
        return withPort(text.isEmpty ? "0.0.0.0:\(defaultPort)" : text)
    }

    /// With the default port where none is written.
    package static func withPort(_ text: String) -> String {
        text.contains(":") ? text : "\(text):\(defaultPort)"
    }
}

/// What `swarm init` and `swarm update` set.
package enum ClusterChange {
    package static func apply(_ flags: ParsedFlags, to old: ClusterSpec) throws(SwarmError) -> ClusterSpec {
        var spec = old
        if let text = flags.text("task-history-limit") {
            spec.orchestration = OrchestrationConfig(taskHistoryRetentionLimit: try GoNumber.int(text))
        }
        if flags.isAnySet(["snapshot-interval", "max-snapshots"]) {
            var raft = spec.raft ?? RaftConfig()
            if let text = flags.text("snapshot-interval") { raft.snapshotInterval = try GoNumber.uint(text) }
            if let text = flags.text("max-snapshots") { raft.keepOldSnapshots = try GoNumber.uint(text) }
            spec.raft = raft
        }
        if let text = flags.text("dispatcher-heartbeat") {
            spec.dispatcher = DispatcherConfig(heartbeatPeriod: try GoDuration.parse(text))
        }
        if flags.isAnySet(["cert-expiry", "external-ca"]) {
            var certificates = spec.caConfig ?? CAConfig()
            if let text = flags.text("cert-expiry") {
                certificates.nodeCertExpiry = try GoDuration.parse(text)
            }
            if flags.isSet("external-ca") {
                certificates.externalCAs = try flags.list("external-ca").map { text throws(SwarmError) in
                    try ExternalCAOption.parse(text)
                }
            }
            spec.caConfig = certificates
        }
        if flags.isSet("autolock") {
            spec.encryptionConfig = EncryptionConfig(autoLockManagers: flags.isOn("autolock"))
        }
        return spec
    }
}

/// `--external-ca protocol=cfssl,url=…[,cacert=FILE]`.
enum ExternalCAOption {
    static func parse(_ text: String) throws(SwarmError) -> ExternalCA {
        var authority = ExternalCA(options: [:])
        for field in try CommaFields.parse(text) {
            let (key, value) = field.keyAndValue
            guard let value else {
                throw SwarmError(.invalidArgument, "invalid field '\(field)' must be a key=value pair")
            }
            switch key.lowercased() {
            case "protocol":
                guard value.lowercased() == "cfssl" else {
                    throw SwarmError(.invalidArgument, "unrecognized external CA protocol \(value)")
                }
                authority.proto = "cfssl"
            case "url": authority.url = value
            case "cacert": authority.caCert = try TextFile.read(value)
            default: authority.options = (authority.options ?? [:]).merging([key: value]) { $1 }
            }
        }
        guard authority.proto != nil else {
            throw SwarmError(.invalidArgument, "the external-ca option needs a protocol= parameter")
        }
        guard authority.url != nil else {
            throw SwarmError(.invalidArgument, "the external-ca option needs a url= parameter")
        }
        return authority
    }
}
