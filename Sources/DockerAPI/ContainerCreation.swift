import EngineHTTP
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

/// `POST /containers/create`'s body, as far as it is carried out; what is asked for beyond it is refused by name.
struct ContainerBody: Decodable {
    struct Host: Decodable {
        struct Binding: Decodable {
            var HostIp: String?
            var HostPort: String?
        }
        struct Rule: Decodable {
            var Name: String?
            var MaximumRetryCount: Int?
        }
        struct Log: Decodable {
            var driver: String?
            var options: [String: String]?

            enum CodingKeys: String, CodingKey { case driver = "Type", options = "Config" }
        }
        struct Limit: Decodable {
            var Name: String
            var Hard: Int64
            var Soft: Int64
        }
        struct Device: Decodable { var PathOnHost: String? }
        var Binds: [String]?
        var Mounts: [Mount]?
        var Tmpfs: [String: String]?
        var NetworkMode: String?
        var PortBindings: [String: [Binding]?]?
        var PublishAllPorts: Bool?
        var RestartPolicy: Rule?
        var AutoRemove: Bool?
        var LogConfig: Log?
        var CapAdd: [String]?
        var CapDrop: [String]?
        var Dns: [String]?
        var DnsOptions: [String]?
        var DnsSearch: [String]?
        var ExtraHosts: [String]?
        var GroupAdd: [String]?
        var Privileged: Bool?
        var ReadonlyRootfs: Bool?
        var SecurityOpt: [String]?
        var Sysctls: [String: String]?
        var Ulimits: [Limit]?
        var Init: Bool?
        var OomScoreAdj: Int64?
        var Memory: Int64?
        var MemoryReservation: Int64?
        var NanoCpus: Int64?
        var CpuQuota: Int64?
        var CpuPeriod: Int64?
        var PidsLimit: Int64?
        var VolumesFrom: [String]?
        var Devices: [Device]?
        var PidMode: String?
        var IpcMode: String?
        var UTSMode: String?
    }
    struct Networking: Decodable {
        struct Endpoint: Decodable {
            struct Addresses: Decodable { var IPv4Address: String? }
            var Aliases: [String]?
            var IPAMConfig: Addresses?
            var NetworkID: String?
        }
        var EndpointsConfig: [String: Endpoint?]?
    }
    var Image: String?
    var Cmd: [String]?
    var Entrypoint: [String]?
    var Env: [String]?
    var Hostname: String?
    var Domainname: String?
    var User: String?
    var WorkingDir: String?
    var Labels: [String: String]?
    var Tty: Bool?
    var OpenStdin: Bool?
    var StdinOnce: Bool?
    var AttachStdin: Bool?
    var AttachStdout: Bool?
    var AttachStderr: Bool?
    var StopSignal: String?
    var StopTimeout: Int?
    var Healthcheck: HealthConfig?
    var ExposedPorts: [String: EmptyObject]?
    var Volumes: [String: EmptyObject]?
    var HostConfig: Host?
    var NetworkingConfig: Networking?

    var host: Host { HostConfig ?? Host() }
}

/// From what a client asks to what the runtime makes.
struct ContainerCreation {
    var body: ContainerBody
    var id: String
    var name: String
    var image: ImageInfo
    /// Of this node.
    var hostname: String
    var namespaceDirectory: String

    /// - Throws: Docker's words for what is wrong, and plain ones for what is not carried out here.
    func request() throws(SwarmError) -> ContainerRequest {
        let host = body.host
        try refuseUnsupported(host)
        var spec = ContainerSpec(image: body.Image)
        spec.command = body.Entrypoint.flatMap { $0 == [""] || $0.isEmpty ? nil : $0 }
        spec.args = body.Cmd.flatMap { $0.isEmpty ? nil : $0 }
        spec.env = body.Env
        // Empty is what clients send for what the image is to say.
        (spec.dir, spec.user) = (Self.given(body.WorkingDir), Self.given(body.User))
        (spec.tty, spec.openStdin) = (body.Tty, body.OpenStdin)
        spec.stopSignal = Self.given(body.StopSignal)
        (spec.healthcheck, spec.labels) = (body.Healthcheck, body.Labels)
        (spec.readOnly, spec.groups, spec.initProcess) = (host.ReadonlyRootfs, host.GroupAdd, host.Init)
        (spec.capabilityAdd, spec.capabilityDrop) = (host.CapAdd, host.CapDrop)
        (spec.sysctls, spec.oomScoreAdj) = (host.Sysctls, host.OomScoreAdj)
        spec.ulimits = host.Ulimits?.map { Ulimit(name: $0.Name, hard: $0.Hard, soft: $0.Soft) }
        spec.dnsConfig = DNSConfig(nameservers: host.Dns, search: host.DnsSearch, options: host.DnsOptions)
        spec.hosts = try (host.ExtraHosts ?? []).map { text throws(SwarmError) in try Self.extraHost(text) }
        try applySecurity(host.SecurityOpt ?? [], &spec)
        spec.mounts = try mounts(host)
        let mode = host.NetworkMode.flatMap { $0.isEmpty ? nil : $0 } ?? "default"
        spec.hostname = body.Hostname.flatMap { $0.isEmpty ? nil : $0 }
        if mode == "host" { spec.hostname = spec.hostname ?? hostname }
        var request = ContainerRequest(
            id: id, name: name, image: body.Image ?? "", spec: spec, labels: labels,
            network: try network(mode))
        request.limits = limits(host)
        if let reserved = host.MemoryReservation, reserved > 0 {
            request.reservations = Resources(memoryBytes: reserved)
        }
        request.logDriver = host.LogConfig?.driver ?? ""
        request.logOptions = host.LogConfig?.options ?? [:]
        if case .namespace = request.network { request.resolvConf = Self.resolverFile(spec.dnsConfig) }
        request.standalone = try standalone(host, mode)
        return request
    }

    private static func given(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }

    private var labels: [String: String] {
        (image.configuration.labels ?? [:]).merging(body.Labels ?? [:]) { $1 }
    }

    private func refuseUnsupported(_ host: ContainerBody.Host) throws(SwarmError) {
        func refuse(_ option: String) -> SwarmError {
            SwarmError(.invalidArgument, "\(option) is not supported by this node: leave it out")
        }
        if let mode = host.PidMode, !mode.isEmpty { throw refuse("--pid \(mode)") }
        if let mode = host.IpcMode, !["", "private", "none", "shareable"].contains(mode) {
            throw refuse("--ipc \(mode)")
        }
        if let mode = host.UTSMode, !mode.isEmpty { throw refuse("--uts \(mode)") }
        if host.VolumesFrom?.isEmpty == false { throw refuse("--volumes-from") }
        if host.Devices?.isEmpty == false, host.Privileged != true { throw refuse("--device") }
        if let signal = body.StopSignal, !signal.isEmpty, signal.contains(" ") {
            throw SwarmError(.invalidArgument, "Invalid signal: \(signal)")
        }
    }

    private func limits(_ host: ContainerBody.Host) -> ResourceLimit? {
        var limit = ResourceLimit()
        limit.memoryBytes = host.Memory.flatMap { $0 > 0 ? $0 : nil }
        limit.nanoCPUs = host.NanoCpus.flatMap { $0 > 0 ? $0 : nil }
        if limit.nanoCPUs == nil, let quota = host.CpuQuota, quota > 0 {
            let period = max(host.CpuPeriod ?? 0, 0)
            limit.nanoCPUs =
                quota.multipliedReportingOverflow(by: 1_000_000_000).overflow
                ? nil : quota * 1_000_000_000 / (period == 0 ? 100_000 : period)
        }
        limit.pids = host.PidsLimit.flatMap { $0 > 0 ? $0 : nil }
        return limit == ResourceLimit() ? nil : limit
    }

    /// `name:address`, as a line of /etc/hosts.
    private static func extraHost(_ text: String) throws(SwarmError) -> String {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
            throw SwarmError(.invalidArgument, "bad format for add-host: \"\(text)\"")
        }
        return "\(parts[1]) \(parts[0])"
    }

    private func applySecurity(_ options: [String], _ spec: inout ContainerSpec) throws(SwarmError) {
        for option in options {
            var privileges = spec.privileges ?? Privileges()
            switch option {
            case "no-new-privileges", "no-new-privileges:true", "no-new-privileges=true":
                privileges.noNewPrivileges = true
            case "seccomp=unconfined", "seccomp:unconfined":
                privileges.seccomp = SecurityProfile(mode: "unconfined")
            case "seccomp=builtin", "apparmor=unconfined", "apparmor:unconfined", "label=disable": break
            default:
                throw SwarmError(
                    .invalidArgument, "--security-opt \(option) is not supported by this node: leave it out")
            }
            spec.privileges = privileges
        }
    }

    // MARK: Mounts

    private func mounts(_ host: ContainerBody.Host) throws(SwarmError) -> [Mount] {
        var mounts: [Mount] = []
        for text in host.Binds ?? [] { mounts.append(try Self.bind(text)) }
        mounts += host.Mounts ?? []
        for (target, options) in (host.Tmpfs ?? [:]).sorted(by: { $0.key < $1.key }) {
            var mount = Mount(type: "tmpfs", target: target)
            let words = options.split(separator: ",").map {
                $0.split(separator: "=", maxSplits: 1).map(String.init)
            }
            mount.tmpfsOptions = TmpfsOptions(options: words.isEmpty ? nil : words)
            mounts.append(mount)
        }
        let taken = Set(mounts.compactMap(\.target))
        for target in (body.Volumes ?? [:]).keys.sorted() where !taken.contains(target) {
            mounts.append(Mount(type: "volume", target: target))
        }
        var seen: Set<String> = []
        for mount in mounts {
            let target = mount.target ?? ""
            guard target.hasPrefix("/"), target != "/" else {
                throw SwarmError(
                    .invalidArgument,
                    "invalid mount config: invalid mount path: '\(target)' mount path must be absolute")
            }
            guard seen.insert(target).inserted else {
                throw SwarmError(.invalidArgument, "Duplicate mount point: \(target)")
            }
        }
        return mounts
    }

    /// `source:target[:options]`: a source with a slash in front is a directory, another a volume.
    private static func bind(_ text: String) throws(SwarmError) -> Mount {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), !parts[0].isEmpty, !parts[1].isEmpty else {
            throw SwarmError(.invalidArgument, "invalid volume specification: '\(text)'")
        }
        let options = parts.count == 3 ? parts[2].split(separator: ",").map(String.init) : []
        let isDirectory = parts[0].hasPrefix("/")
        var mount = Mount(type: isDirectory ? "bind" : "volume", source: parts[0], target: parts[1])
        if isDirectory { mount.bindOptions = BindOptions(createMountpoint: true) }
        for option in options {
            switch option {
            case "ro": mount.readOnly = true
            case "rw", "z", "Z", "cached", "delegated", "consistent": break
            case "nocopy" where !isDirectory: mount.volumeOptions = VolumeOptions(noCopy: true)
            case "shared", "rshared", "slave", "rslave", "private", "rprivate":
                mount.bindOptions?.propagation = option
            default:
                throw SwarmError(
                    .invalidArgument, "invalid volume specification: '\(text)': invalid mode: \(parts[2])")
            }
        }
        return mount
    }

    // MARK: Networks

    private func network(_ mode: String) throws(SwarmError) -> ContainerRequest.NetworkMode {
        switch mode {
        case "host": return .host
        case "none": return .none
        case _ where mode.hasPrefix("container:"):
            return .namespace(path: namespaceDirectory + "/" + mode.dropFirst("container:".count))
        default: return .namespace(path: namespaceDirectory + "/" + id)
        }
    }

    private static func resolverFile(_ dns: DNSConfig?) -> String {
        let asked = (dns?.options ?? []).filter { !$0.isEmpty }
        let options = (asked.contains { $0.hasPrefix("ndots:") } ? [] : ["ndots:0"]) + asked
        var lines = ["nameserver 127.0.0.11"]
        if let search = dns?.search, !search.isEmpty {
            lines.append("search " + search.joined(separator: " "))
        }
        return (lines + ["options " + options.joined(separator: " ")]).joined(separator: "\n") + "\n"
    }

    private func standalone(_ host: ContainerBody.Host, _ mode: String) throws(SwarmError)
        -> StandaloneContainer
    {
        var wishes = StandaloneContainer()
        wishes.networkMode = mode
        wishes.endpoints = try endpoints(mode)
        wishes.exposedPorts = Set(
            Array((body.ExposedPorts ?? [:]).keys) + Array((image.configuration.exposedPorts ?? [:]).keys)
                + Array((host.PortBindings ?? [:]).keys)
        ).map { $0.contains("/") ? $0 : $0 + "/tcp" }.sorted()
        wishes.ports = try ports(host, wishes.exposedPorts)
        if !wishes.ports.isEmpty, mode == "none" || mode == "host" { wishes.ports = [] }
        guard !(mode.hasPrefix("container:") && !wishes.ports.isEmpty) else {
            throw SwarmError(
                .invalidArgument, "conflicting options: port publishing and the container type network mode")
        }
        wishes.restart = try Self.restartRule(host.RestartPolicy)
        wishes.removesItself = host.AutoRemove ?? false
        guard !(wishes.removesItself && wishes.restart.name != .no) else {
            throw SwarmError(.invalidArgument, "can't create 'AutoRemove' container with restart policy")
        }
        (wishes.attachesStdin, wishes.attachesStdout) = (
            body.AttachStdin ?? false, body.AttachStdout ?? false
        )
        (wishes.attachesStderr, wishes.closesStdinWithClient) = (
            body.AttachStderr ?? false, body.StdinOnce ?? false
        )
        (wishes.isPrivileged, wishes.stopTimeout) = (host.Privileged ?? false, body.StopTimeout)
        (wishes.domainname, wishes.binds) = (body.Domainname ?? "", host.Binds ?? [])
        return wishes
    }

    static func restartRule(_ asked: ContainerBody.Host.Rule?) throws(SwarmError) -> RestartRule {
        let text = asked?.Name.flatMap { $0.isEmpty ? nil : $0 } ?? "no"
        guard let name = RestartRule.Name(rawValue: text) else {
            throw SwarmError(
                .invalidArgument,
                "invalid restart policy: unknown policy '\(text)'; use one of 'no', 'always', 'on-failure', or "
                    + "'unless-stopped'")
        }
        let retries = asked?.MaximumRetryCount ?? 0
        guard retries >= 0 else {
            throw SwarmError(
                .invalidArgument, "invalid restart policy: maximum retry count cannot be negative")
        }
        guard retries == 0 || name == .onFailure else {
            throw SwarmError(
                .invalidArgument,
                "invalid restart policy: maximum retry count can only be used with 'on-failure'")
        }
        return RestartRule(name, maximumRetries: retries)
    }

    /// The network of `--network` first, then whatever else the client names.
    private func endpoints(_ mode: String) throws(SwarmError) -> [StandaloneEndpoint] {
        guard mode != "host", mode != "none", !mode.hasPrefix("container:") else { return [] }
        let main = mode == "default" ? "bridge" : mode
        let asked = body.NetworkingConfig?.EndpointsConfig ?? [:]
        var result: [StandaloneEndpoint] = []
        for name in [main] + asked.keys.sorted().filter({ $0 != main && $0 != mode }) {
            let settings = (asked[name] ?? nil) ?? (name == main ? (asked[mode] ?? nil) : nil)
            result.append(try Self.endpoint(name, settings))
        }
        return result
    }

    static func endpoint(
        _ name: String, _ settings: ContainerBody.Networking.Endpoint?
    ) throws(SwarmError) -> StandaloneEndpoint {
        var endpoint = StandaloneEndpoint(networkID: "", networkName: name, isOverlay: false)
        endpoint.aliases = settings?.Aliases ?? []
        if let text = settings?.IPAMConfig?.IPv4Address, !text.isEmpty {
            guard let address = IPv4Address(text) else {
                throw SwarmError(.invalidArgument, "invalid IPv4 address: \(text)")
            }
            guard name != "bridge" else {
                throw SwarmError(
                    .invalidArgument,
                    "invalid config for network bridge: invalid endpoint settings: user specified IP address is "
                        + "supported on user defined networks only")
            }
            endpoint.wantedAddress = address
        }
        if name == "bridge", !endpoint.aliases.isEmpty {
            throw SwarmError(
                .invalidArgument,
                "invalid config for network bridge: invalid endpoint settings: network-scoped aliases are only "
                    + "supported for user-defined networks")
        }
        return endpoint
    }

    // MARK: Ports

    private func ports(_ host: ContainerBody.Host, _ exposed: [String]) throws(SwarmError) -> [PortBinding] {
        var ports: [PortBinding] = []
        for (text, bindings) in (host.PortBindings ?? [:]).sorted(by: { $0.key < $1.key }) {
            let (number, transport) = try Self.port(text)
            for binding in bindings ?? [] {
                let asked = binding.HostPort ?? ""
                guard asked.isEmpty || UInt16(asked) != nil else {
                    throw SwarmError(.invalidArgument, "invalid port specification: \"\(asked)\"")
                }
                let address = binding.HostIp ?? ""
                guard address.isEmpty || address == "::" || IPv4Address(address) != nil else {
                    throw SwarmError(
                        .invalidArgument, "invalid host address \"\(address)\": use an IPv4 address")
                }
                // Every address of this node is one binding here, whichever family names it.
                if address == "::" { continue }
                ports.append(
                    PortBinding(
                        transport: transport, containerPort: number, hostAddress: address,
                        hostPort: UInt16(asked) ?? 0))
            }
        }
        guard host.PublishAllPorts == true else { return ports }
        for text in exposed {
            let (number, transport) = try Self.port(text)
            guard !ports.contains(where: { $0.containerPort == number && $0.transport == transport }) else {
                continue
            }
            ports.append(PortBinding(transport: transport, containerPort: number))
        }
        return ports
    }

    private static func port(_ text: String) throws(SwarmError) -> (UInt16, String) {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        let transport = parts.count > 1 ? parts[1] : "tcp"
        guard let number = parts.first.flatMap({ UInt16($0) }), number > 0,
            ["tcp", "udp", "sctp"].contains(transport)
        else { throw SwarmError(.invalidArgument, "invalid port specification: \"\(text)\"") }
        return (number, transport)
    }

    // MARK: Names

    /// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
    static func checkName(_ name: String) throws(SwarmError) {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        }
        let bytes = Array(name.utf8)
        let isValid =
            bytes.count >= 2 && isAlphanumeric(bytes[0])
            && bytes.dropFirst().allSatisfy { isAlphanumeric($0) || [45, 46, 95].contains($0) }
        guard isValid else {
            throw SwarmError(
                .invalidArgument,
                "Invalid container name (\(name)), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        }
    }

    /// A name for a container whose client gives none: two words, as in Docker.
    static func inventName(using generator: inout some RandomNumberGenerator) -> String {
        let first = [
            "amber", "ancient", "brisk", "bright", "calm", "clever", "cosy", "distant", "early", "fair",
            "gentle",
            "golden", "humble", "idle", "jolly", "keen", "late", "lucid", "mellow", "merry", "nimble",
            "patient",
            "plain", "quiet", "rapid", "rosy", "silent", "silver", "sober", "steady", "sunny", "swift",
            "tidy", "vivid",
            "warm", "wise",
        ]
        let second = [
            "acorn", "anchor", "badger", "beacon", "birch", "brook", "canyon", "cedar", "comet", "coral",
            "cricket",
            "delta", "ember", "falcon", "fern", "fjord", "garnet", "harbour", "heron", "island", "juniper",
            "lagoon",
            "lantern", "maple", "meadow", "otter", "pebble", "plover", "quartz", "raven", "reef", "river",
            "sparrow",
            "thistle", "tulip", "willow",
        ]
        let words = [first, second].map { $0.randomElement(using: &generator) ?? "plain" }
        return words.joined(separator: "_")
    }
}
