/// The long forms of what a service lists.
enum FormShapes {
    static let port = ObjectShape([
        .key("mode", .string), .key("target", .integer(isCast: true)), .key("published", .integer(isCast: true)),
        .key("protocol", .string),
        .newer("name", .string), .newer("host_ip", .string),
        .newer("app_protocol", .string, meaningless: "the routing mesh does not look into connections"),
    ])

    static let mount = ObjectShape(
        [
            .key("type", .string), .key("source", .string), .key("target", .string), .key("read_only", .boolean),
            .key("consistency", .string),
            .key("bind", .object(bind), keepsZero: true), .key("volume", .object(volume), keepsZero: true),
            .key("tmpfs", .object(tmpfs), keepsZero: true, since: 6),
            .newer("image", .object(image)),
        ], required: ["type"])

    private static let bind = ObjectShape(
        [
            .key("propagation", .string),
            Row(key: "create_host_path", shape: .boolean, docker: .dropped),
            Row(
                key: "selinux", shape: .string, docker: .dropped,
                meaningless: "label the directory on the node instead"),
            Row(key: "recursive", shape: .string, docker: .dropped, meaningless: "a bind mount is recursive"),
        ], isOpenInDocker: true)

    private static let volume = ObjectShape(
        [
            .key("nocopy", .boolean), .key("subpath", .string),
            Row(
                key: "labels", shape: .keyValues(nullIsKept: false), docker: .dropped,
                meaningless: "label the volume at the top level"),
        ], isOpenInDocker: true)

    private static let tmpfs = ObjectShape(
        [.key("size", .size), Row(key: "mode", shape: .fileMode, docker: .dropped)], isOpenInDocker: true)

    private static let image = ObjectShape([.newer("subpath", .string)])

    static let fileReference = ObjectShape(
        [
            .key("source", .string), .key("target", .string), .key("uid", .string), .key("gid", .string),
            .key("mode", .fileMode, keepsZero: true),
        ], isOpenInDocker: true)

    static let attachment = ObjectShape([
        .key("aliases", .list(.string, isUnique: true)),
        .key("driver_opts", .options(allowsNull: false)),
        Row(
            key: "ipv4_address", shape: .string, docker: .dropped,
            meaningless: "the network decides a task's address; reach the service by its name"),
        Row(
            key: "ipv6_address", shape: .string, docker: .dropped,
            meaningless: "the network decides a task's address; reach the service by its name"),
        .newer("link_local_ips", .anything, meaningless: "the network decides a task's addresses"),
        .newer("mac_address", .string, meaningless: "the network decides a task's MAC address"),
        .newer("interface_name", .string, meaningless: "interfaces are numbered in the order of attachment"),
        .newer("gw_priority", .number(isCast: true), meaningless: "a task's gateway is on its node"),
        .newer("priority", .number(isCast: true), meaningless: "networks are attached in the order of their names"),
    ])

    static let dependency = ObjectShape([
        .newer("condition", .choice(["service_started", "service_healthy", "service_completed_successfully"])),
        .newer("restart", .boolean), .newer("required", .boolean),
    ])

    static let envFile = ObjectShape(
        [.newer("path", .string), .newer("required", .boolean), .newer("format", .choice(["raw"]))],
        required: ["path"])

    static let ulimit = ObjectShape(
        [.key("soft", .integer(isCast: true)), .key("hard", .integer(isCast: true))], required: ["soft", "hard"])

    static let build = ObjectShape(
        [
            .key("context", .string), .key("dockerfile", .string), .key("args", .keyValues(nullIsKept: true)),
            .key("labels", .keyValues(nullIsKept: false)), .key("cache_from", .list(.string, isUnique: true)),
            .key("extra_hosts", .hosts), .key("network", .string), .key("target", .string),
            Row(key: "shm_size", shape: .text, docker: .dropped),
        ], isOpenInDocker: true)

    static let external = ObjectShape([.key("name", .string)])
    static let fileExternal = ObjectShape([.key("name", .string)], isOpenInDocker: true)

    static let extends = ObjectShape([.newer("service", .string), .newer("file", .string)], required: ["service"])

    static let include = ObjectShape(
        [.newer("path", .strings), .newer("project_directory", .string), .newer("env_file", .strings)],
        required: ["path"])
}

/// The top level and what it names.
enum TopShape {
    static let object = ObjectShape(
        [
            .newer("name", .string),
            .key("version", .string),
            .key("services", .map(.object(ServiceShape.object), .name)),
            .key("networks", .map(.orNull(.object(network)), .any)),
            .key("volumes", .map(.orNull(.object(volume)), .name)),
            .key("secrets", .map(.object(secret), .name), since: 1),
            .key("configs", .map(.object(config), .name), since: 3),
            .newer("include", .includes),
            .newer("models", .anything, meaningless: "a swarm has no model runner"),
        ], extensionsSince: 4)

    static let network = ObjectShape(
        [
            .key("name", .string, since: 5), .key("driver", .string),
            .key("driver_opts", .options(allowsNull: false)),
            .key("ipam", .object(ipam)), .key("external", .external), .key("internal", .boolean),
            .key("attachable", .boolean, since: 2), .key("labels", .keyValues(nullIsKept: false)),
            .newer("enable_ipv6", .boolean),
            .newer("enable_ipv4", .boolean, meaningless: "a swarm's network always has IPv4 addresses"),
        ], extensionsSince: 7)

    private static let ipam = ObjectShape([
        .key("driver", .string), .key("config", .list(.object(pool), isUnique: false)),
        .newer("options", .options(allowsNull: false)),
    ])

    private static let pool = ObjectShape([
        .key("subnet", .string), .newer("gateway", .string), .newer("ip_range", .string),
        .newer("aux_addresses", .options(allowsNull: false)),
    ])

    static let volume = ObjectShape(
        [
            .key("name", .string, since: 4), .key("driver", .string),
            .key("driver_opts", .options(allowsNull: false)),
            .key("external", .external), .key("labels", .keyValues(nullIsKept: false)),
            .key("x-cluster-spec", .object(clusterVolume), keepsZero: true, since: 10),
        ], extensionsSince: 7)

    private static let clusterVolume = ObjectShape(
        [
            .key("group", .string), .key("access_mode", .object(accessMode)),
            .key("accessibility_requirements", .object(topology)), .key("capacity_range", .object(capacity)),
            .key("availability", .string),
        ], isOpenInDocker: true)

    private static let accessMode = ObjectShape(
        [
            .key("scope", .string), .key("sharing", .string),
            .key("mount_volume", .object(mountVolume), keepsZero: true),
            .key("block_volume", .object(ObjectShape([], isOpenInDocker: true)), keepsZero: true),
        ], isOpenInDocker: true)

    private static let mountVolume = ObjectShape(
        [.key("fs_type", .string), .key("mount_flags", .list(.string, isUnique: false))], isOpenInDocker: true)

    private static let topology = ObjectShape(
        [
            .key("requisite", .list(.object(segments), isUnique: false)),
            .key("preferred", .list(.object(segments), isUnique: false)),
        ], isOpenInDocker: true)

    private static let segments = ObjectShape(
        [.key("segments", .keyValues(nullIsKept: false))], isOpenInDocker: true)

    private static let capacity = ObjectShape(
        [.key("required_bytes", .size), .key("limit_bytes", .size)], isOpenInDocker: true)

    static let secret = ObjectShape(
        [
            .key("name", .string, since: 5), .key("file", .string), .newer("environment", .string),
            .newer("content", .string),
            .key("external", .external), .key("labels", .keyValues(nullIsKept: false)),
            .key("driver", .string, since: 8),
            .key("driver_opts", .options(allowsNull: false), since: 8), .key("template_driver", .string, since: 8),
        ], extensionsSince: 7)

    static let config = ObjectShape(
        [
            .key("name", .string, since: 5), .key("file", .string), .newer("environment", .string),
            .newer("content", .string),
            .key("external", .external), .key("labels", .keyValues(nullIsKept: false)),
            .key("template_driver", .string, since: 8),
        ], extensionsSince: 7)
}
