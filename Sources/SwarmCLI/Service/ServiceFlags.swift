import SwarmCore

/// The flags of `service create` and `service update`.
package enum ServiceFlags {
    static let networks = FlagKind.list("network") { text throws(SwarmError) in
        _ = try NetworkOption.parse(text)
    }
    static let mounts = FlagKind.list("mount") { text throws(SwarmError) in _ = try MountOption.parse(text) }
    static let ports = FlagKind.list("port") { text throws(SwarmError) in _ = try PublishOption.parse(text) }
    static let ulimits = FlagKind.list("ulimit") { text throws(SwarmError) in _ = try UlimitOption.parse(text)
    }
    static let preferences = FlagKind.list("pref") { text throws(SwarmError) in
        _ = try PlacementPreferenceOption.parse(text)
    }
    static let labels = FlagKind.list(check: OptionCheck.label)
    static let environment = FlagKind.list(check: OptionCheck.environment)
    static let credentials = FlagKind("credential-spec") { text throws(SwarmError) in
        _ = try ServiceEdit.credentialSpec(text)
    }
    static let hosts = FlagKind.list { text throws(SwarmError) in _ = try OptionCheck.host(text) }
    static let addresses = FlagKind.list(check: OptionCheck.address)
    static let sysctls = FlagKind.list(check: OptionCheck.sysctl)
    static func files(_ typeName: String) -> FlagKind {
        .list(typeName) { text throws(SwarmError) in _ = try FileReferenceOption.parse(text) }
    }

    static let detach = Flag(
        "detach", short: "d", .bool, "Exit immediately instead of waiting for the service to converge")
    static let quiet = Flag("quiet", short: "q", .bool, "Suppress progress output")

    package static let create: [Flag] =
        shared(isCreate: true) + [
            Flag("name", .string, "Service name"),
            Flag(
                "mode", .string,
                "Service mode (\"replicated\", \"global\", \"replicated-job\", \"global-job\")",
                default: "\"replicated\""),
            Flag("env", short: "e", environment, "Set environment variables"),
            Flag("env-file", .list(), "Read in a file of environment variables").offering(.files),
            Flag("label", short: "l", labels, "Service labels"),
            Flag("container-label", labels, "Container labels"),
            Flag("config", files("config"), "Specify configurations to expose to the service"),
            Flag("secret", files("secret"), "Specify secrets to expose to the service"),
            Flag("constraint", .list(), "Placement constraints"),
            Flag("dns", addresses, "Set custom DNS servers"),
            Flag("dns-option", .list(), "Set DNS options"),
            Flag("dns-search", .list(check: OptionCheck.domain), "Set custom DNS search domains"),
            Flag("generic-resource", .list(check: GenericResourceOption.check), "User defined resources"),
            Flag("group", .list(), "Set one or more supplementary user groups for the container"),
            Flag("host", hosts, "Set one or more custom host-to-IP mappings (host:ip)"),
            Flag("mount", mounts, "Attach a filesystem mount to the service"),
            Flag("network", networks, "Network attachments"),
            Flag("placement-pref", preferences, "Add a placement preference"),
            Flag("publish", short: "p", ports, "Publish a port as a node port"),
            Flag("sysctl", sysctls, "Sysctl options"),
            Flag("ulimit", ulimits, "Ulimit options", default: "[]"),
        ]

    package static let update: [Flag] =
        shared(isCreate: false) + [
            Flag("image", .string, "Service image tag").offering(.names(.image)),
            Flag("args", .command, "Service command args"),
            Flag("force", .bool, "Force update even if no changes require it"),
            Flag("rollback", .bool, "Rollback to previous specification"),
            Flag("env-add", environment, "Add or update an environment variable"),
            Flag("env-rm", .list(), "Remove an environment variable"),
            Flag("label-add", labels, "Add or update a service label"),
            Flag("label-rm", .list(), "Remove a label by its key"),
            Flag("container-label-add", labels, "Add or update a container label"),
            Flag("container-label-rm", .list(), "Remove a container label by its key"),
            Flag("config-add", files("config"), "Add or update a config file on a service"),
            Flag("config-rm", .list(), "Remove a configuration file").offering(.names(.config)),
            Flag("secret-add", files("secret"), "Add or update a secret on a service"),
            Flag("secret-rm", .list(), "Remove a secret").offering(.names(.secret)),
            Flag("constraint-add", .list(), "Add or update a placement constraint"),
            Flag("constraint-rm", .list(), "Remove a constraint"),
            Flag("dns-add", addresses, "Add or update a custom DNS server"),
            Flag("dns-rm", .list(), "Remove a custom DNS server"),
            Flag("dns-option-add", .list(), "Add or update a DNS option"),
            Flag("dns-option-rm", .list(), "Remove a DNS option"),
            Flag(
                "dns-search-add", .list(check: OptionCheck.domain), "Add or update a custom DNS search domain"
            ),
            Flag("dns-search-rm", .list(), "Remove a DNS search domain"),
            Flag("generic-resource-add", .list(check: GenericResourceOption.check), "Add a Generic resource"),
            Flag("generic-resource-rm", .list(), "Remove a Generic resource"),
            Flag("group-add", .list(), "Add an additional supplementary user group to the container"),
            Flag(
                "group-rm", .list(), "Remove a previously added supplementary user group from the container"),
            Flag("host-add", hosts, "Add a custom host-to-IP mapping (\"host:ip\")"),
            Flag("host-rm", .list(), "Remove a custom host-to-IP mapping (\"host:ip\")"),
            Flag("mount-add", mounts, "Add or update a mount on a service"),
            Flag("mount-rm", .list(), "Remove a mount by its target path"),
            Flag("network-add", networks, "Add a network"),
            Flag("network-rm", .list(), "Remove a network").offering(.names(.network)),
            Flag("placement-pref-add", preferences, "Add a placement preference"),
            Flag("placement-pref-rm", preferences, "Remove a placement preference"),
            Flag("publish-add", ports, "Add or update a published port"),
            Flag(
                "publish-rm", .list("port") { text throws(SwarmError) in _ = try PublishedPortKey(text) },
                "Remove a published port by its target port"),
            Flag("sysctl-add", sysctls, "Add or update a Sysctl option"),
            Flag("sysctl-rm", .list(), "Remove a Sysctl option"),
            Flag("ulimit-add", ulimits, "Add or update a ulimit option", default: "[]"),
            Flag("ulimit-rm", .list(), "Remove a ulimit option"),
        ]

    /// The flags that both verbs have; only creation shows what holds without them.
    private static func shared(isCreate: Bool) -> [Flag] {
        func shown(_ text: String) -> String? { isCreate ? text : nil }
        return container(shown) + health + resources + restart(shown) + [
            detach, quiet,
            Flag("endpoint-mode", .string, "Endpoint mode (vip or dnsrr)", default: shown("\"vip\""))
                .offering(.words(["vip", "dnsrr"])),
            Flag("log-driver", .string, "Logging driver for service"),
            Flag("log-opt", .list(), "Logging driver options"),
            Flag(
                "no-resolve-image", .bool,
                "Do not query the registry to resolve image digest and supported platforms"),
            Flag("with-registry-auth", .bool, "Send registry authentication details to swarm agents"),
        ] + rollout("update", "update", shown) + rollout("rollback", "rollback", shown)
    }

    private static func container(_ shown: (String) -> String?) -> [Flag] {
        [
            Flag("cap-add", .list(), "Add Linux capabilities"),
            Flag("cap-drop", .list(), "Drop Linux capabilities"),
            Flag(
                "credential-spec", credentials,
                "Credential spec for managed service account (Windows only)"),
            Flag("entrypoint", .command, "Overwrite the default ENTRYPOINT of the image"),
            Flag("hostname", .string, "Container hostname"),
            Flag(
                "init", .bool,
                "Use an init inside each service container to forward signals and reap processes"),
            Flag("isolation", .string, "Service container isolation mode"),
            Flag("oom-score-adj", .int, "Tune host's OOM preferences (-1000 to 1000)"),
            Flag("read-only", .bool, "Mount the container's root filesystem as read only"),
            Flag(
                "stop-grace-period", .duration,
                "Time to wait before force killing a container (ns|us|ms|s|m|h)",
                default: shown("10s")),
            Flag("stop-signal", .string, "Signal to stop the container"),
            Flag("tty", short: "t", .bool, "Allocate a pseudo-TTY"),
            Flag("user", short: "u", .string, "Username or UID (format: <name|uid>[:<group|gid>])"),
            Flag("workdir", short: "w", .string, "Working directory inside the container"),
        ]
    }

    private static let health: [Flag] = [
        Flag("health-cmd", .string, "Command to run to check health"),
        Flag("health-interval", .positiveDuration, "Time between running the check (ms|s|m|h)"),
        Flag("health-retries", .int, "Consecutive failures needed to report unhealthy"),
        Flag(
            "health-start-interval", .positiveDuration,
            "Time between running the check during the start period (ms|s|m|h)"),
        Flag(
            "health-start-period", .positiveDuration,
            "Start period for the container to initialize before counting retries towards unstable (ms|s|m|h)"
        ),
        Flag("health-timeout", .positiveDuration, "Maximum time to allow one check to run (ms|s|m|h)"),
        Flag("no-healthcheck", .bool, "Disable any container-specified HEALTHCHECK"),
    ]

    private static let resources: [Flag] = [
        Flag("limit-cpu", .cpus, "Limit CPUs"),
        Flag("limit-memory", .bytes, "Limit Memory"),
        Flag("limit-pids", .int, "Limit maximum number of processes (default 0 = unlimited)"),
        Flag("reserve-cpu", .cpus, "Reserve CPUs"),
        Flag("reserve-memory", .bytes, "Reserve Memory"),
        Flag("replicas", .uint, "Number of tasks"),
        Flag(
            "max-concurrent", .uint, "Number of job tasks to run concurrently (default equal to --replicas)"),
        Flag("replicas-max-per-node", .uint, "Maximum number of tasks per node (default 0 = unlimited)"),
    ]

    private static func restart(_ shown: (String) -> String?) -> [Flag] {
        [
            Flag(
                "restart-condition", .string,
                "Restart when condition is met (\"none\", \"on-failure\", \"any\")",
                default: shown("\"any\"")),
            Flag(
                "restart-delay", .duration, "Delay between restart attempts (ns|us|ms|s|m|h)",
                default: shown("5s")),
            Flag("restart-max-attempts", .uint, "Maximum number of restarts before giving up"),
            Flag(
                "restart-window", .duration,
                "Window used to evaluate the restart policy (ns|us|ms|s|m|h)"),
        ]
    }

    private static func rollout(_ prefix: String, _ what: String, _ shown: (String) -> String?) -> [Flag] {
        let isUpdate = prefix == "update"
        let actions = isUpdate ? "\"pause\", \"continue\", \"rollback\"" : "\"pause\", \"continue\""
        let verb = isUpdate ? "updated" : "rolled back"
        let title = isUpdate ? "Update" : "Rollback"
        return [
            Flag(
                "\(prefix)-delay", .duration,
                "Delay between \(isUpdate ? "updates" : "task rollbacks") (ns|us|ms|s|m|h)",
                default: shown("0s")),
            Flag(
                "\(prefix)-failure-action", .string, "Action on \(what) failure (\(actions))",
                default: shown("\"pause\"")),
            Flag(
                "\(prefix)-max-failure-ratio", .float,
                "Failure rate to tolerate during \(isUpdate ? "an update" : "a rollback")",
                default: shown("0")),
            Flag(
                "\(prefix)-monitor", .duration,
                "Duration after each task \(what) to monitor for failure (ns|us|ms|s|m|h)",
                default: shown("5s")),
            Flag(
                "\(prefix)-order", .string, "\(title) order (\"start-first\", \"stop-first\")",
                default: shown("\"stop-first\"")),
            Flag(
                "\(prefix)-parallelism", .uint,
                "Maximum number of tasks \(verb) simultaneously "
                    + "(0 to \(isUpdate ? "update" : "roll back") all at once)",
                default: shown("1")),
        ]
    }
}
