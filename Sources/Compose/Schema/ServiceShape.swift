/// The keys of a service.
enum ServiceShape {
    static let object = ObjectShape(used + unused + newer, extensionsSince: 7)

    /// In the order in which the Docker client prints them, together with `unused`; see `StackWriter`.
    private static let used: [Row] = [
        .key("cap_add", .list(.string, isUnique: true)),
        .key("cap_drop", .list(.string, isUnique: true)),
        .key("command", .words),
        .key("configs", .fileReferences, since: 3),
        .key("credential_spec", credentialSpec, since: 3),
        .key("depends_on", .dependencies),
        .key("deploy", .orNull(.object(DeployShape.object))),
        .key("dns", .strings),
        .key("dns_search", .strings),
        .key("entrypoint", .words),
        .key("environment", .keyValues(nullIsKept: true)),
        .key("env_file", .envFiles),
        .key("extra_hosts", .hosts),
        .key("hostname", .string),
        .key("healthcheck", .object(healthcheck), keepsZero: true),
        .key("image", .string),
        .key("init", .literalBoolean, keepsZero: true, since: 7),
        .key("isolation", .string, since: 5),
        .key("labels", .keyValues(nullIsKept: false)),
        .key("logging", .object(logging), keepsZero: true),
        .key("networks", .attachments),
        .key("ports", .ports),
        .key("read_only", .boolean),
        .key("secrets", .fileReferences, since: 1),
        .key("stdin_open", .boolean),
        .key("stop_grace_period", .duration, keepsZero: true),
        .key("stop_signal", .string),
        .key("sysctls", .keyValues(nullIsKept: false)),
        .key("tty", .boolean),
        .key("ulimits", .ulimits),
        .key("user", .string),
        .key("volumes", .mounts),
        .key("working_dir", .string),
        .key("oom_score_adj", .integer(isCast: true), since: 13),
        Row(key: "tmpfs", shape: .strings, docker: .dropped),
        Row(key: "restart", shape: .string, docker: .ignored),
    ]

    private static let unused: [Row] = [
        .ignored(
            "build", .build, "a swarm runs images from a registry: build and push it first, then name it in image"),
        .ignored(
            "cgroupns_mode", .string, "the node decides the cgroup namespace of a service's containers", since: 9),
        .ignored("cgroup_parent", .string, "the node decides the cgroup of a service's containers"),
        Row(
            key: "container_name", shape: .string,
            docker: .deprecated("Setting the container name is not supported."),
            meaningless: "each task's container has a name of its own; reach the service by its name"),
        .ignored("devices", .list(.string, isUnique: true), "a service's containers cannot be given devices"),
        .ignored("domainname", .string, "put the domain into hostname"),
        Row(
            key: "expose", shape: .expose,
            docker: .deprecated(
                "Exposing ports is unnecessary - services on the same network can access each other's containers on "
                    + "any port."),
            meaningless: "services on the same network reach every port of each other"),
        .ignored("external_links", .list(.string, isUnique: true), "put both services on one network instead"),
        .ignored("ipc", .string, "a task has an IPC namespace of its own"),
        .ignored("links", .list(.string, isUnique: true), "services on one network find each other by name"),
        .ignored("mac_address", .string, "the network decides a task's MAC address"),
        .ignored("network_mode", .string, "name a network in networks instead"),
        .ignored("pid", .orNull(.string), "a task has a PID namespace of its own"),
        .ignored("privileged", .boolean, "a service's containers cannot be privileged; see cap_add"),
        .ignored("security_opt", .list(.string, isUnique: true), "the node decides the security profile"),
        .ignored("shm_size", .text, "mount a tmpfs of the wanted size at /dev/shm in volumes"),
        .ignored("userns_mode", .string, "the node decides the user namespace"),
        forbidden(
            "volume_driver", .string,
            "Instead of setting the volume driver on the service, define a volume using "
                + "the top-level `volumes` option and specify the driver there."),
        forbidden(
            "volumes_from", .list(.string, isUnique: true),
            "To share a volume between services, define it using "
                + "the top-level `volumes` option and reference it from each service that shares it using the "
                + "service-level `volumes` option."),
        forbidden("cpu_quota", .text, resources),
        forbidden("cpu_shares", .text, resources),
        forbidden("cpuset", .string, resources),
        forbidden("memswap_limit", .text, resources),
    ]

    private static let resources = "Set resource limits using deploy.resources"

    private static func forbidden(_ key: String, _ shape: Shape, _ hint: String) -> Row {
        Row(key: key, shape: shape, docker: .forbidden(hint), keepsZero: true, meaningless: hint)
    }

    private static let newer: [Row] = [
        Row(
            key: "extends", shape: .extends, docker: .forbidden("Support for `extends` is not implemented yet."),
            keepsZero: true),
        Row(key: "mem_limit", shape: .size, docker: .forbidden(resources), keepsZero: true),
        .newer("mem_reservation", .size), .newer("cpus", .cpus), .newer("pids_limit", .integer(isCast: true)),
        .newer("scale", .integer(isCast: true)), .newer("profiles", .list(.string, isUnique: true)),
        .newer("platform", .string), .newer("dns_opt", .strings), .newer("group_add", .list(.text, isUnique: true)),
        .newer("label_file", .strings),
        .newer("annotations", .keyValues(nullIsKept: false), meaningless: "use labels"),
        .newer("attach", .boolean, meaningless: "a stack's services run in the background"),
        .newer("blkio_config", .anything, meaningless: "use deploy.resources"),
        .newer("cgroup", .string, meaningless: "the node decides the cgroup namespace"),
        .newer("cpu_count", .anything, meaningless: resources),
        .newer("cpu_percent", .anything, meaningless: resources),
        .newer("cpu_period", .anything, meaningless: resources),
        .newer("cpu_rt_period", .anything, meaningless: resources),
        .newer("cpu_rt_runtime", .anything, meaningless: resources),
        .newer("develop", .anything, meaningless: "it is for development on one machine"),
        .newer("device_cgroup_rules", .anything, meaningless: "a service's containers cannot be given devices"),
        .newer("gpus", .anything, meaningless: "use deploy.resources.reservations.generic_resources"),
        .newer("mem_swappiness", .anything, meaningless: "the node decides its swapping"),
        .newer("models", .anything, meaningless: "a swarm has no model runner"),
        .newer("oom_kill_disable", .boolean, meaningless: "the node decides; see oom_score_adj"),
        .newer("post_start", .anything, meaningless: "put it into the image's entrypoint"),
        .newer("pre_stop", .anything, meaningless: "handle stop_signal in the container"),
        .newer("provider", .anything, meaningless: "a swarm runs containers only"),
        .newer("pull_policy", .string, meaningless: "an image is pulled by the digest found out when deploying"),
        .newer("pull_refresh_after", .string, meaningless: "an image is pulled by its digest"),
        .newer("runtime", .string, meaningless: "the node decides the runtime"),
        .newer("storage_opt", .anything, meaningless: "the node decides how images are stored"),
        .newer("use_api_socket", .boolean, meaningless: "mount the socket in volumes"),
        .newer("uts", .string, meaningless: "a task has a UTS namespace of its own"),
    ]

    private static let credentialSpec = Shape.object(
        ObjectShape([
            .key("config", .string, since: 8), .key("file", .string), .key("registry", .string),
        ]))

    private static let healthcheck = ObjectShape([
        .key("test", .test),
        .key("timeout", .duration, keepsZero: true),
        .key("interval", .duration, keepsZero: true),
        .key("retries", .truncated(isCast: true), keepsZero: true),
        .key("start_period", .duration, keepsZero: true, since: 4),
        .key("start_interval", .duration, keepsZero: true, since: 12),
        .key("disable", .boolean),
    ])

    private static let logging = ObjectShape([
        .key("driver", .string), .key("options", .options(allowsNull: true)),
    ])
}

/// The keys of `deploy`.
enum DeployShape {
    static let object = ObjectShape([
        .key("mode", .string),
        .key("replicas", .integer(isCast: true), keepsZero: true),
        .key("labels", .keyValues(nullIsKept: false)),
        .key("update_config", .object(update), keepsZero: true),
        .key("rollback_config", .object(update), keepsZero: true, since: 7),
        .key("resources", .object(resources)),
        .key("restart_policy", .object(restart), keepsZero: true),
        .key("placement", .object(placement)),
        .key("endpoint_mode", .string, since: 2),
    ])

    private static let update = ObjectShape([
        .key("parallelism", .integer(isCast: true), keepsZero: true),
        .key("delay", .duration),
        .key("failure_action", .string),
        .key("monitor", .duration),
        .key("max_failure_ratio", .number(isCast: true)),
        .key("order", .choice(["start-first", "stop-first"]), since: 4),
    ])

    private static let resources = ObjectShape([
        .key("limits", .object(limits), keepsZero: true),
        .key("reservations", .object(reservations), keepsZero: true),
    ])

    private static let limits = ObjectShape([
        .key("cpus", .cpus), .key("memory", .size), .key("pids", .integer(isCast: false), since: 9),
    ])

    private static let reservations = ObjectShape([
        .key("cpus", .cpus), .key("memory", .size),
        .key("generic_resources", .list(.object(genericResource), isUnique: false), since: 2),
        .newer("devices", .anything, meaningless: "use generic_resources"),
    ])

    private static let genericResource = ObjectShape([
        .key("discrete_resource_spec", .object(discreteResource), keepsZero: true)
    ])

    /// The one object that the client prints whole.
    static let discreteResource = ObjectShape([
        .key("kind", .string, keepsZero: true), .key("value", .truncated(isCast: false), keepsZero: true),
    ])

    private static let restart = ObjectShape([
        .key("condition", .string),
        .key("delay", .duration, keepsZero: true),
        .key("max_attempts", .integer(isCast: true), keepsZero: true),
        .key("window", .duration, keepsZero: true),
    ])

    private static let placement = ObjectShape([
        .key("constraints", .list(.string, isUnique: false)),
        .key("preferences", .list(.object(preference), isUnique: false), since: 3),
        .key("max_replicas_per_node", .integer(isCast: true), since: 8),
    ])

    private static let preference = ObjectShape([.key("spread", .string)])
}
