import Ports
import SwarmCore
import SwarmModel

/// Docker's default container, with what the task asks for on top; pure, so that it can be compared as a
/// value.
struct SpecificationBuilder {
    var request: ContainerRequest
    var image: ImageConfiguration
    var user: OCISpecification.User
    /// Under this cgroup, on every hierarchy.
    var cgroupParent: String
    /// Directory of the container's own `hosts`, `hostname` and `resolv.conf`.
    var directory: String
    var usesCgroupV2: Bool
    /// Mounts the task asked for, sources resolved to paths of this node.
    var taskMounts: [OCISpecification.Mount]
    /// This node's program that reaps orphans, for `--init`.
    var initProgram = InitProgram.path
    /// Whether the kernel counts swap; a limit on what it does not count would fail the container.
    var limitsSwap = true

    static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    static let defaultCapabilities = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]
    private static let initTarget = "/sbin/docker-init"

    private var spec: ContainerSpec { request.spec }
    private var hasOwnNetwork: Bool { request.network != .host }
    /// Docker's rule: the task's host name, or the short container id.
    var hostname: String { spec.hostname ?? String(request.id.prefix(12)) }

    func build() throws(SwarmError) -> OCISpecification {
        let arguments = try arguments()
        if let mode = spec.privileges?.seccomp?.mode, !["", "default", "unconfined"].contains(mode) {
            throw SwarmError(
                .invalidArgument,
                "seccomp mode \"\(mode)\" is not supported on this node: use default or unconfined")
        }
        let isPrivileged = request.standalone?.isPrivileged == true
        let capabilities = isPrivileged ? Self.everyCapability : capabilitySet()
        // Docker gives a user other than root an empty effective set.
        let isRoot = user.uid == 0
        let process = OCISpecification.Process(
            terminal: spec.tty == true ? true : nil, user: user, args: arguments, env: environment(),
            cwd: workingDirectory,
            capabilities: .init(
                bounding: capabilities, effective: isRoot ? capabilities : nil,
                permitted: isRoot ? capabilities : nil),
            rlimits: resourceLimits(), noNewPrivileges: spec.privileges?.noNewPrivileges,
            oomScoreAdj: spec.oomScoreAdj ?? 0)
        return OCISpecification(
            process: process, root: .init(readonly: spec.readOnly == true ? true : nil), hostname: hostname,
            mounts: mounts(), linux: linux())
    }

    /// The image's entrypoint and command, overridden by the task's: an entrypoint of its own drops the
    /// image's command.
    func arguments() throws(SwarmError) -> [String] {
        let entrypoint = spec.command ?? image.entrypoint ?? []
        let command = spec.args ?? (spec.command == nil ? image.cmd ?? [] : [])
        let arguments = entrypoint + command
        guard !arguments.isEmpty else {
            throw SwarmError(
                .invalidArgument, "No command specified: the image has none, give one with the service")
        }
        guard spec.initProcess == true else { return arguments }
        guard initProgram != nil else { throw InitProgram.missing }
        return Self.initCommand + arguments
    }

    /// What runs before the command with `--init`.
    private static let initCommand = [initTarget, "--"]

    /// A process's command as its author gave it.
    static func command(of arguments: [String]) -> [String] {
        Array(arguments.dropFirst(arguments.starts(with: initCommand) ? initCommand.count : 0))
    }

    var workingDirectory: String {
        let directory = spec.dir ?? image.workingDir ?? ""
        return directory.isEmpty ? "/" : directory
    }

    /// PATH, HOSTNAME and TERM, then the task's variables, then those of the image that the task leaves alone.
    func environment() -> [String] {
        var names: [String] = []
        var values: [String: String] = [:]
        func set(_ entry: String) {
            let name = String(entry.prefix { $0 != "=" })
            if values[name] == nil { names.append(name) }
            values[name] = entry
        }
        set("PATH=" + Self.defaultPath)
        set("HOSTNAME=" + hostname)
        if spec.tty == true { set("TERM=xterm") }
        let own = (spec.env ?? []).filter { $0.contains("=") }
        for entry in own { set(entry) }
        let taken = Set(own.map { $0.prefix { $0 != "=" } })
        for entry in image.env ?? [] where entry.contains("=") && !taken.contains(entry.prefix { $0 != "=" })
        {
            set(entry)
        }
        return names.compactMap { values[$0] }
    }

    static func normalizedCapability(_ name: String) -> String {
        let upper = name.uppercased()
        return upper == "ALL" || upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
    }

    func capabilitySet() -> [String] {
        let added = (spec.capabilityAdd ?? []).map(Self.normalizedCapability)
        let dropped = Set((spec.capabilityDrop ?? []).map(Self.normalizedCapability))
        var result = dropped.contains("ALL") ? [] : Self.defaultCapabilities.filter { !dropped.contains($0) }
        if added.contains("ALL") { result = Self.everyCapability }
        for name in added where name != "ALL" && !result.contains(name) { result.append(name) }
        return result
    }

    /// What a privileged process gets: everything that this machine lets swarmd itself have.
    static var everyCapability: [String] {
        (defaultCapabilities + otherCapabilities).filter(BoundingSet.current.contains)
    }

    private static let otherCapabilities = [
        "CAP_DAC_READ_SEARCH", "CAP_LINUX_IMMUTABLE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_IPC_LOCK",
        "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_LEASE",
        "CAP_AUDIT_CONTROL", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
        "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
    ]

    private func resourceLimits() -> [OCISpecification.ResourceLimit]? {
        let limits = (spec.ulimits ?? []).map { limit in
            OCISpecification.ResourceLimit(
                type: "RLIMIT_" + limit.name.uppercased(),
                hard: limit.hard < 0 ? .max : UInt64(limit.hard),
                soft: limit.soft < 0 ? .max : UInt64(limit.soft))
        }
        return limits.isEmpty ? nil : limits
    }

    // MARK: Mounts

    func mounts() -> [OCISpecification.Mount] {
        let access = request.standalone?.isPrivileged == true ? "rw" : "ro"
        var mounts: [OCISpecification.Mount] = [
            .init(
                destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
            .init(
                destination: "/dev", type: "tmpfs", source: "tmpfs",
                options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            .init(
                destination: "/dev/pts", type: "devpts", source: "devpts",
                options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            .init(
                destination: "/sys", type: "sysfs", source: "sysfs",
                options: ["nosuid", "noexec", "nodev", access]),
            .init(
                destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
                options: [access, "nosuid", "noexec", "nodev"]),
            .init(
                destination: "/dev/mqueue", type: "mqueue", source: "mqueue",
                options: ["nosuid", "noexec", "nodev"]),
            .init(
                destination: "/dev/shm", type: "tmpfs", source: "shm",
                options: ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
        ]
        let own = spec.readOnly == true ? ["rbind", "rprivate", "ro"] : ["rbind", "rprivate"]
        let replaced = Set(taskMounts.map(\.destination))
        for name in ["resolv.conf", "hostname", "hosts"] where !replaced.contains("/etc/" + name) {
            let isOwn = request.network == .host || request.standalone != nil
            if name == "resolv.conf" && request.resolvConf == nil && !isOwn { continue }
            mounts.append(
                .init(destination: "/etc/" + name, type: "bind", source: "\(directory)/\(name)", options: own)
            )
        }
        if spec.initProcess == true, let initProgram {
            mounts.append(
                .init(
                    destination: Self.initTarget, type: "bind", source: initProgram, options: ["bind", "ro"]))
        }
        // A mount inside another one must come after it.
        let depth = { (mount: OCISpecification.Mount) in mount.destination.split(separator: "/").count }
        return mounts + taskMounts.sorted { (depth($0), $0.destination) < (depth($1), $1.destination) }
    }

    // MARK: Linux

    private func linux() -> OCISpecification.Linux {
        var namespaces: [OCISpecification.Namespace] = [
            .init(type: "mount"), .init(type: "uts"), .init(type: "pid"), .init(type: "ipc"),
        ]
        switch request.network {
        case .namespace(let path): namespaces.append(.init(type: "network", path: path))
        case .none: namespaces.append(.init(type: "network"))
        case .host: break
        }
        if usesCgroupV2 { namespaces.append(.init(type: "cgroup")) }
        var sysctls = spec.sysctls ?? [:]
        if hasOwnNetwork {
            sysctls["net.ipv4.ip_unprivileged_port_start"] =
                sysctls["net.ipv4.ip_unprivileged_port_start"] ?? "0"
            sysctls["net.ipv4.ping_group_range"] = sysctls["net.ipv4.ping_group_range"] ?? "0 2147483647"
        }
        let isPrivileged = request.standalone?.isPrivileged == true
        let isUnconfined = spec.privileges?.seccomp?.mode == "unconfined"
        return OCISpecification.Linux(
            namespaces: namespaces, sysctl: sysctls.isEmpty ? nil : sysctls, resources: resources(),
            cgroupsPath: "\(cgroupParent)/\(request.id)", maskedPaths: isPrivileged ? [] : GuardedPaths.masked,
            readonlyPaths: isPrivileged ? [] : GuardedPaths.readonly,
            seccomp: isUnconfined || isPrivileged ? nil : SeccompProfile.standard(for: capabilitySet()))
    }

    func resources() -> OCISpecification.Resources {
        var rules = [OCISpecification.DeviceRule(allow: false, access: "rwm")]
        for (major, minor) in [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)] as [(Int64, Int64)] {
            rules.append(.init(allow: true, type: "c", major: major, minor: minor, access: "rwm"))
        }
        rules.append(.init(allow: false, type: "c", major: 10, minor: 229, access: "rwm"))
        if request.standalone?.isPrivileged == true { rules = [.init(allow: true, access: "rwm")] }
        var resources = OCISpecification.Resources(devices: rules)
        let limit = request.limits?.memoryBytes.flatMap { $0 > 0 ? $0 : nil }
        let reservation = request.reservations?.memoryBytes.flatMap { $0 > 0 ? $0 : nil }
        if limit != nil || reservation != nil {
            // Docker's default: as much swap again as memory.
            let swap = limitsSwap ? limit.map { $0 * 2 } : nil
            resources.memory = .init(limit: limit, reservation: reservation, swap: swap)
        }
        if let cpus = request.limits?.nanoCPUs, cpus > 0 {
            resources.cpu = .init(quota: cpus / 10_000, period: 100_000)
        }
        if let pids = request.limits?.pids, pids > 0 { resources.pids = .init(limit: pids) }
        return resources
    }
}
