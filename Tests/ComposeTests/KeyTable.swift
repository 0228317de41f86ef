/// Every key that a stack file may have, with a value that is taken and one that is not.
///
/// A row is `path | taken | refused`. The path names a service `a`, a network `n`, a volume `v`, a secret `s`, a config
/// `c` and the first item of a list `0`. A path that begins with `!` is of a key that is taken with a warning, since it
/// means nothing in a swarm or is deprecated. `strict` as refused value: anything is taken, and Docker's rules refuse the key as such.
enum KeyTable {
    struct Row {
        var path: String
        var taken: String
        var refused: String
        var isWarned: Bool
    }

    static let rows: [Row] = text.split(separator: "\n").map { line in
        let parts = line.split(separator: " | ").map(String.init)
        let isWarned = parts[0].hasPrefix("!")
        return Row(
            path: String(parts[0].drop { $0 == "!" }), taken: parts[1], refused: parts[2], isWarned: isWarned)
    }

    /// What stands beside a key, since the file would be refused without it.
    static let siblings: [(path: String, text: String)] = [
        ("services.a", "image: x"), ("services.a.ports.0", "target: 80"),
        ("services.a.volumes.0", "type: volume"), ("services.a.volumes.0", "target: /t"),
        ("services.a.secrets.0", "source: s"), ("services.a.configs.0", "source: c"),
        ("services.a.ulimits.nofile", "soft: 1"), ("services.a.ulimits.nofile", "hard: 2"),
        ("services.a.env_file.0", "path: a.env"), ("services.a.extends", "service: b"),
        ("services.a.depends_on.b", "condition: service_started"), ("services.a.build", "context: ."),
        ("include.0", "path: b.yml"), ("secrets.s", "content: hush"), ("configs.c", "content: text"),
    ]

    /// Keys that say of what kind an object is, and stand for the sibling of that kind.
    static let replaced: [String: [String]] = [
        "secrets.s": ["file", "environment", "external", "driver", "content"],
        "configs.c": ["file", "environment", "external", "content"],
    ]

    static let text = """
        name | shop | [1]
        version | "3.8" | [1]
        services | {a: {image: x}} | 1
        networks | {n: } | 1
        volumes | {v: } | 1
        secrets | {s: {content: hush}} | 1
        configs | {c: {content: text}} | 1
        include | [b.yml] | 1
        !models | {m: {model: x}} | strict
        services.a.image | busybox | [1]
        services.a.cap_add | [NET_ADMIN] | 1
        services.a.cap_drop | [ALL] | 1
        services.a.command | sleep 1 | {a: 1}
        services.a.configs | [c] | 1
        services.a.configs.0.source | c | [1]
        services.a.configs.0.target | /t | [1]
        services.a.configs.0.uid | "1" | [1]
        services.a.configs.0.gid | "1" | [1]
        services.a.configs.0.mode | 0440 | [1]
        services.a.credential_spec | {file: f} | 1
        services.a.credential_spec.config | c | [1]
        services.a.credential_spec.file | f | [1]
        services.a.credential_spec.registry | r | [1]
        services.a.depends_on | [b] | 1
        services.a.depends_on.b.condition | service_healthy | sometimes
        services.a.depends_on.b.restart | true | maybe
        services.a.depends_on.b.required | false | maybe
        services.a.deploy | {replicas: 2} | 1
        services.a.deploy.mode | global | [1]
        services.a.deploy.replicas | 2 | many
        services.a.deploy.endpoint_mode | dnsrr | [1]
        services.a.deploy.labels | {l: m} | 1
        services.a.deploy.update_config | {parallelism: 1} | 1
        services.a.deploy.update_config.parallelism | 1 | many
        services.a.deploy.update_config.delay | 5s | soon
        services.a.deploy.update_config.monitor | 5s | soon
        services.a.deploy.update_config.failure_action | pause | [1]
        services.a.deploy.update_config.max_failure_ratio | 0.5 | some
        services.a.deploy.update_config.order | start-first | sideways
        services.a.deploy.rollback_config | {parallelism: 1} | 1
        services.a.deploy.rollback_config.parallelism | 1 | many
        services.a.deploy.rollback_config.delay | 5s | soon
        services.a.deploy.rollback_config.monitor | 5s | soon
        services.a.deploy.rollback_config.failure_action | pause | [1]
        services.a.deploy.rollback_config.max_failure_ratio | 0.5 | some
        services.a.deploy.rollback_config.order | stop-first | sideways
        services.a.deploy.resources | {limits: {pids: 5}} | 1
        services.a.deploy.resources.limits | {pids: 5} | 1
        services.a.deploy.resources.limits.cpus | "0.5" | [1]
        services.a.deploy.resources.limits.memory | 64M | lots
        services.a.deploy.resources.limits.pids | 5 | many
        services.a.deploy.resources.reservations | {cpus: "1"} | 1
        services.a.deploy.resources.reservations.cpus | "0.5" | [1]
        services.a.deploy.resources.reservations.memory | 64M | lots
        services.a.deploy.resources.reservations.generic_resources | [{discrete_resource_spec: {kind: gpu, value: 1}}] | 1
        services.a.deploy.resources.reservations.generic_resources.0.discrete_resource_spec | {kind: gpu, value: 1} | 1
        services.a.deploy.resources.reservations.generic_resources.0.discrete_resource_spec.kind | gpu | [1]
        services.a.deploy.resources.reservations.generic_resources.0.discrete_resource_spec.value | 1 | many
        !services.a.deploy.resources.reservations.devices | [{capabilities: [gpu]}] | strict
        services.a.deploy.restart_policy | {condition: any} | 1
        services.a.deploy.restart_policy.condition | any | [1]
        services.a.deploy.restart_policy.delay | 5s | soon
        services.a.deploy.restart_policy.max_attempts | 3 | many
        services.a.deploy.restart_policy.window | 5s | soon
        services.a.deploy.placement | {max_replicas_per_node: 1} | 1
        services.a.deploy.placement.constraints | [node.role == worker] | 1
        services.a.deploy.placement.preferences | [{spread: node.labels.zone}] | 1
        services.a.deploy.placement.preferences.0.spread | node.labels.zone | [1]
        services.a.deploy.placement.max_replicas_per_node | 1 | many
        services.a.dns | 10.0.0.1 | {a: 1}
        services.a.dns_search | example.org | {a: 1}
        services.a.dns_opt | [ndots:2] | {a: 1}
        services.a.entrypoint | /bin/x | {a: 1}
        services.a.environment | {E: 1} | 1
        services.a.env_file | a.env | {a: 1}
        services.a.env_file.0.path | a.env | [1]
        services.a.env_file.0.required | false | maybe
        services.a.env_file.0.format | raw | cooked
        services.a.extra_hosts | ["h:10.0.0.1"] | 1
        services.a.hostname | h | [1]
        services.a.healthcheck | {test: x} | 1
        services.a.healthcheck.test | x | {a: 1}
        services.a.healthcheck.timeout | 5s | soon
        services.a.healthcheck.interval | 5s | soon
        services.a.healthcheck.retries | 3 | many
        services.a.healthcheck.start_period | 5s | soon
        services.a.healthcheck.start_interval | 5s | soon
        services.a.healthcheck.disable | true | maybe
        services.a.init | true | maybe
        services.a.isolation | default | [1]
        services.a.labels | {l: m} | 1
        services.a.label_file | a.env | {a: 1}
        services.a.logging | {driver: json-file} | 1
        services.a.logging.driver | json-file | [1]
        services.a.logging.options | {max-size: 1m} | 1
        services.a.networks | [n] | 1
        services.a.networks.n.aliases | [x] | 1
        services.a.networks.n.driver_opts | {o: p} | 1
        !services.a.networks.n.ipv4_address | 10.0.0.5 | [1]
        !services.a.networks.n.ipv6_address | "fd00::5" | [1]
        !services.a.networks.n.link_local_ips | [169.254.1.1] | strict
        !services.a.networks.n.mac_address | 02:42:ac:11:65:43 | [1]
        !services.a.networks.n.interface_name | eth7 | [1]
        !services.a.networks.n.gw_priority | 1 | many
        !services.a.networks.n.priority | 1 | many
        services.a.ports | ["8080:80"] | 1
        services.a.ports.0.mode | host | [1]
        services.a.ports.0.target | 80 | many
        services.a.ports.0.published | 8080 | many
        services.a.ports.0.protocol | udp | [1]
        services.a.ports.0.name | web | [1]
        !services.a.ports.0.host_ip | 0.0.0.0 | [1]
        !services.a.ports.0.app_protocol | http | [1]
        services.a.read_only | true | maybe
        services.a.secrets | [s] | 1
        services.a.secrets.0.source | s | [1]
        services.a.secrets.0.target | t | [1]
        services.a.secrets.0.uid | "1" | [1]
        services.a.secrets.0.gid | "1" | [1]
        services.a.secrets.0.mode | 0440 | [1]
        services.a.stdin_open | true | maybe
        services.a.stop_grace_period | 5s | soon
        services.a.stop_signal | SIGINT | [1]
        services.a.sysctls | {net.core.somaxconn: 5} | 1
        services.a.tty | true | maybe
        services.a.ulimits | {nofile: 5} | 1
        services.a.ulimits.nofile.soft | 1 | many
        services.a.ulimits.nofile.hard | 2 | many
        services.a.user | root | [1]
        services.a.volumes | [/v] | 1
        services.a.volumes.0.type | volume | [1]
        services.a.volumes.0.source | v | [1]
        services.a.volumes.0.target | /t | [1]
        services.a.volumes.0.read_only | true | maybe
        services.a.volumes.0.consistency | cached | [1]
        services.a.volumes.0.bind | {} | 1
        services.a.volumes.0.bind.propagation | rshared | [1]
        services.a.volumes.0.bind.create_host_path | true | maybe
        !services.a.volumes.0.bind.selinux | z | [1]
        !services.a.volumes.0.bind.recursive | enabled | [1]
        services.a.volumes.0.volume | {nocopy: true} | 1
        services.a.volumes.0.volume.nocopy | true | maybe
        services.a.volumes.0.volume.subpath | d | [1]
        !services.a.volumes.0.volume.labels | {l: m} | 1
        services.a.volumes.0.tmpfs | {} | 1
        services.a.volumes.0.tmpfs.size | 1000 | lots
        services.a.volumes.0.tmpfs.mode | 0700 | [1]
        services.a.volumes.0.image | {} | 1
        services.a.volumes.0.image.subpath | d | [1]
        services.a.working_dir | /w | [1]
        services.a.oom_score_adj | 5 | many
        services.a.tmpfs | /run | {a: 1}
        services.a.restart | always | [1]
        services.a.extends | {service: b} | 1
        services.a.extends.service | b | [1]
        services.a.extends.file | b.yml | [1]
        services.a.mem_limit | 64m | lots
        services.a.mem_reservation | 64m | lots
        services.a.cpus | 0.5 | [1]
        services.a.pids_limit | 5 | many
        services.a.scale | 2 | many
        services.a.profiles | [] | 1
        services.a.platform | linux/amd64 | [1]
        services.a.group_add | [wheel] | 1
        !services.a.build | . | [1]
        !services.a.build.context | . | [1]
        !services.a.build.dockerfile | d | [1]
        !services.a.build.args | {a: b} | 1
        !services.a.build.labels | {l: m} | 1
        !services.a.build.cache_from | [c] | 1
        !services.a.build.extra_hosts | ["h:10.0.0.1"] | 1
        !services.a.build.network | host | [1]
        !services.a.build.target | t | [1]
        !services.a.build.shm_size | 1m | [1]
        !services.a.cgroupns_mode | host | [1]
        !services.a.cgroup_parent | p | [1]
        !services.a.container_name | c | [1]
        !services.a.devices | [/dev/x] | 1
        !services.a.domainname | d | [1]
        !services.a.expose | ["80"] | 1
        !services.a.external_links | [e] | 1
        !services.a.ipc | host | [1]
        !services.a.links | [l] | 1
        !services.a.mac_address | 02:42:ac:11:65:43 | [1]
        !services.a.network_mode | host | [1]
        !services.a.pid | host | [1]
        !services.a.privileged | true | maybe
        !services.a.security_opt | [o] | 1
        !services.a.shm_size | 1m | [1]
        !services.a.userns_mode | host | [1]
        !services.a.volume_driver | d | [1]
        !services.a.volumes_from | [b] | 1
        !services.a.cpu_quota | 5 | [1]
        !services.a.cpu_shares | 5 | [1]
        !services.a.cpuset | "0" | [1]
        !services.a.memswap_limit | 1g | [1]
        !services.a.annotations | {a: b} | 1
        !services.a.attach | false | maybe
        !services.a.blkio_config | {weight: 5} | strict
        !services.a.cgroup | host | [1]
        !services.a.cpu_count | 1 | strict
        !services.a.cpu_percent | 1 | strict
        !services.a.cpu_period | 1 | strict
        !services.a.cpu_rt_period | 1 | strict
        !services.a.cpu_rt_runtime | 1 | strict
        !services.a.develop | {watch: []} | strict
        !services.a.device_cgroup_rules | [c 1:3 mr] | strict
        !services.a.gpus | all | strict
        !services.a.mem_swappiness | 5 | strict
        !services.a.models | [m] | strict
        !services.a.oom_kill_disable | true | maybe
        !services.a.post_start | [{command: x}] | strict
        !services.a.pre_stop | [{command: x}] | strict
        !services.a.provider | {type: x} | strict
        !services.a.pull_policy | always | [1]
        !services.a.pull_refresh_after | 1d | [1]
        !services.a.runtime | runc | [1]
        !services.a.storage_opt | {size: 1G} | strict
        !services.a.use_api_socket | true | maybe
        !services.a.uts | host | [1]
        networks.n.name | x | [1]
        networks.n.driver | overlay | [1]
        networks.n.driver_opts | {o: p} | 1
        networks.n.ipam | {driver: default} | 1
        networks.n.ipam.driver | default | [1]
        networks.n.ipam.config | [{subnet: 10.1.0.0/16}] | 1
        networks.n.ipam.config.0.subnet | 10.1.0.0/16 | [1]
        networks.n.ipam.config.0.gateway | 10.1.0.1 | [1]
        networks.n.ipam.config.0.ip_range | 10.1.5.0/24 | [1]
        networks.n.ipam.config.0.aux_addresses | {h: 10.1.0.2} | 1
        networks.n.ipam.options | {o: p} | 1
        networks.n.external | true | maybe
        !networks.n.external.name | x | [1]
        networks.n.internal | true | maybe
        networks.n.attachable | true | maybe
        networks.n.labels | {l: m} | 1
        networks.n.enable_ipv6 | true | maybe
        !networks.n.enable_ipv4 | true | maybe
        volumes.v.name | x | [1]
        volumes.v.driver | local | [1]
        volumes.v.driver_opts | {o: p} | 1
        volumes.v.external | true | maybe
        !volumes.v.external.name | x | [1]
        volumes.v.labels | {l: m} | 1
        volumes.v.x-cluster-spec | {group: g} | 1
        volumes.v.x-cluster-spec.group | g | [1]
        volumes.v.x-cluster-spec.access_mode | {scope: single} | 1
        volumes.v.x-cluster-spec.access_mode.scope | single | [1]
        volumes.v.x-cluster-spec.access_mode.sharing | none | [1]
        volumes.v.x-cluster-spec.access_mode.mount_volume | {} | 1
        volumes.v.x-cluster-spec.access_mode.mount_volume.fs_type | ext4 | [1]
        volumes.v.x-cluster-spec.access_mode.mount_volume.mount_flags | [f] | 1
        volumes.v.x-cluster-spec.access_mode.block_volume | {} | 1
        volumes.v.x-cluster-spec.accessibility_requirements | {} | 1
        volumes.v.x-cluster-spec.accessibility_requirements.requisite | [{segments: {a: b}}] | 1
        volumes.v.x-cluster-spec.accessibility_requirements.requisite.0.segments | {a: b} | 1
        volumes.v.x-cluster-spec.accessibility_requirements.preferred | [{segments: {a: b}}] | 1
        volumes.v.x-cluster-spec.accessibility_requirements.preferred.0.segments | {a: b} | 1
        volumes.v.x-cluster-spec.capacity_range | {} | 1
        volumes.v.x-cluster-spec.capacity_range.required_bytes | 1G | lots
        volumes.v.x-cluster-spec.capacity_range.limit_bytes | 1G | lots
        volumes.v.x-cluster-spec.availability | active | [1]
        secrets.s.name | x | [1]
        secrets.s.file | f | [1]
        secrets.s.environment | V | [1]
        secrets.s.content | hush | [1]
        secrets.s.external | true | maybe
        !secrets.s.external.name | x | [1]
        secrets.s.labels | {l: m} | 1
        secrets.s.driver | d | [1]
        secrets.s.driver_opts | {o: p} | 1
        secrets.s.template_driver | golang | [1]
        configs.c.name | x | [1]
        configs.c.file | f | [1]
        configs.c.environment | V | [1]
        configs.c.content | text | [1]
        configs.c.external | true | maybe
        !configs.c.external.name | x | [1]
        configs.c.labels | {l: m} | 1
        configs.c.template_driver | golang | [1]
        include.0.path | b.yml | {a: 1}
        include.0.project_directory | . | [1]
        include.0.env_file | a.env | {a: 1}
        """
}
