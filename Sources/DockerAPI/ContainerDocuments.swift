import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

/// A container as `docker ps` and `docker inspect` show it.
struct ContainerDocuments {
    var info: ContainerInfo
    /// The task that it runs, if this node knows it.
    var task: SwarmTask?
    var now: Timestamp

    /// This node's predefined network, where tasks are that join no overlay.
    var bridge: LocalNetwork?
    /// What it has written and what its image has, when that is asked for.
    var sizeBytes: (written: Int64, image: Int64)?

    /// Its restart rule is about to start it again.
    var isRestarting = false

    private var spec: ContainerSpec? { info.request?.spec }
    /// Nil for a task's container.
    private var standalone: StandaloneContainer? { info.request?.standalone }

    // MARK: docker ps

    var summary: JSONDocument {
        var members: JSONMembers = [
            "Id": .string(info.id), "Names": [.string("/" + info.name)], "Image": .string(info.image),
            "ImageID": .string(info.imageID), "Command": .string(commandLine),
            "Created": .integer(info.createdAt.seconds), "Ports": .array(portList),
            "Labels": .labels(info.shownLabels),
            "State": .string(isRestarting ? "restarting" : info.state.rawValue), "Status": .string(status),
            "HostConfig": ["NetworkMode": .string(networkMode)],
            "NetworkSettings": ["Networks": .object(networks)], "Mounts": .array(info.mounts.map(mount)),
        ]
        if let sizeBytes {
            members["SizeRw"] = .integer(sizeBytes.written)
            members["SizeRootFs"] = .integer(sizeBytes.written + sizeBytes.image)
        }
        return .object(members)
    }

    /// Words with spaces in them in quotation marks, as Docker prints a command.
    private var commandLine: String {
        info.arguments.map { $0.contains(" ") ? "'\($0)'" : $0 }.joined(separator: " ")
    }

    private func age(_ time: Timestamp?) -> String {
        let seconds = max(0, (now - (time ?? now)).components.seconds)
        let hours = (seconds + 1800) / 3600
        switch seconds {
        case ..<1: return "Less than a second"
        case 1: return "1 second"
        case ..<60: return "\(seconds) seconds"
        case ..<120: return "About a minute"
        case ..<3600: return "\(seconds / 60) minutes"
        case _ where hours == 1: return "About an hour"
        case _ where hours < 48: return "\(hours) hours"
        case _ where hours < 24 * 14: return "\(hours / 24) days"
        case _ where hours < 24 * 60: return "\(hours / 24 / 7) weeks"
        case _ where hours < 24 * 365 * 2: return "\(hours / 24 / 30) months"
        default: return "\(hours / 24 / 365) years"
        }
    }

    private var status: String {
        if isRestarting { return "Restarting (\(info.exitCode ?? 0)) \(age(info.finishedAt)) ago" }
        switch info.state {
        case .created: return "Created"
        case .paused: return "Up \(age(info.startedAt)) (Paused)"
        case .exited: return "Exited (\(info.exitCode ?? 0)) \(age(info.finishedAt)) ago"
        case .running:
            switch info.health {
            case .none: return "Up \(age(info.startedAt))"
            case .starting: return "Up \(age(info.startedAt)) (health: starting)"
            case .healthy, .unhealthy: return "Up \(age(info.startedAt)) (\(info.health.rawValue))"
            }
        }
    }

    // MARK: docker inspect

    /// - Parameter dataDirectory: swarmd's; the container's own files are under it.
    func detail(dataDirectory: String) -> JSONDocument {
        let files = "\(dataDirectory)/containers/\(info.id)"
        let execs: JSONDocument = info.execIDs.isEmpty ? .null : .strings(info.execIDs)
        var members: JSONMembers = [
            "Id": .string(info.id), "Created": .time(info.createdAt),
            "Path": .string(info.arguments.first ?? ""),
            "Args": .strings(Array(info.arguments.dropFirst())), "State": state,
            "Image": .string(info.imageID), "ResolvConfPath": .string(files + "/resolv.conf"),
            "HostnamePath": .string(files + "/hostname"), "HostsPath": .string(files + "/hosts"),
            "LogPath": .string(files + "/log"), "Name": .string("/" + info.name),
            "RestartCount": .integer(Int64(standalone?.restartCount ?? 0)),
            "Driver": "overlayfs", "Platform": "linux", "MountLabel": "", "ProcessLabel": "",
            "AppArmorProfile": "", "ExecIDs": execs, "HostConfig": hostConfiguration,
            "GraphDriver": ["Data": .null, "Name": "overlayfs"],
        ]
        if let sizeBytes {
            members["SizeRw"] = .integer(sizeBytes.written)
            members["SizeRootFs"] = .integer(sizeBytes.written + sizeBytes.image)
        }
        members["Mounts"] = .array(info.mounts.map(mount))
        members["Config"] = configuration
        members["NetworkSettings"] = networkSettings
        return .object(members)
    }

    private var state: JSONDocument {
        let isUp = info.state == .running || info.state == .paused
        var members: JSONMembers = [
            "Status": .string(isRestarting ? "restarting" : info.state.rawValue),
            "Running": .bool(isUp || isRestarting),
            "Paused": .bool(info.state == .paused), "Restarting": .bool(isRestarting),
            "OOMKilled": .bool(info.oomKilled),
            "Dead": false, "Pid": .integer(Int64(isUp ? info.pid ?? 0 : 0)),
            "ExitCode": .integer(Int64(info.exitCode ?? 0)), "Error": .string(standalone?.startFailure ?? ""),
            "StartedAt": .time(info.startedAt),
            "FinishedAt": .time(info.finishedAt),
        ]
        if info.health != .none {
            let log = info.healthChecks.map { check -> JSONDocument in
                [
                    "Start": .time(check.start), "End": .time(check.end),
                    "ExitCode": .integer(Int64(check.exitCode)), "Output": .string(check.output),
                ]
            }
            members["Health"] = [
                "Status": .string(info.health.rawValue), "FailingStreak": .integer(Int64(info.failingStreak)),
                "Log": .array(log),
            ]
        }
        return .object(members)
    }

    private var configuration: JSONDocument {
        var members: JSONMembers = [
            "Hostname": .string(spec?.hostname ?? String(info.id.prefix(12))), "Domainname": "",
            "User": .string(spec?.user ?? ""), "AttachStdin": .bool(standalone?.attachesStdin ?? false),
            "AttachStdout": .bool(standalone?.attachesStdout ?? false),
            "AttachStderr": .bool(standalone?.attachesStderr ?? false),
        ]
        if let ports = standalone?.exposedPorts, !ports.isEmpty {
            members["ExposedPorts"] = .object(JSONMembers(ports.map { ($0, [:] as JSONDocument) }))
        }
        members["Tty"] = .bool(spec?.tty ?? false)
        members["OpenStdin"] = .bool(spec?.openStdin ?? false)
        members["StdinOnce"] = .bool(standalone?.closesStdinWithClient ?? false)
        members["Env"] = .strings(environment)
        members["Cmd"] = .strings(spec?.args ?? info.arguments)
        if let check = spec?.healthcheck { members["Healthcheck"] = .value(check) }
        members["Image"] = .string(info.image)
        members["Volumes"] = .null
        members["WorkingDir"] = .string(info.workingDirectory)
        members["Entrypoint"] = .strings(spec?.command)
        members["OnBuild"] = .null
        members["Labels"] = .labels(info.shownLabels)
        if let signal = spec?.stopSignal, !signal.isEmpty { members["StopSignal"] = .string(signal) }
        if let timeout = standalone?.stopTimeout { members["StopTimeout"] = .integer(Int64(timeout)) }
        return .object(members)
    }

    /// What was asked for and then what the image adds, without what every process is given.
    private var environment: [String] {
        let own = spec?.env ?? []
        let taken = Set(own.map { $0.prefix { $0 != "=" } } + ["HOSTNAME", "TERM"])
        return own + info.environment.filter { !taken.contains($0.prefix { $0 != "=" }) }
    }

    /// `name:address`, as `--add-host` takes them.
    private var extraHosts: [String]? {
        spec?.hosts?.flatMap { entry in
            let words = entry.split(separator: " ")
            return words.dropFirst().map { "\($0):\(words[0])" }
        }
    }

    /// In Docker's order, which clients print.
    private var hostConfiguration: JSONDocument {
        let limits = info.request?.limits
        let reservations = info.request?.reservations
        let memory = limits?.memoryBytes ?? 0
        let ulimits = (spec?.ulimits ?? []).map { limit -> JSONDocument in
            ["Name": .string(limit.name), "Hard": .integer(limit.hard), "Soft": .integer(limit.soft)]
        }
        let isPrivileged = standalone?.isPrivileged ?? false
        var members: JSONMembers = [
            "Binds": binds, "ContainerIDFile": "", "LogConfig": logConfiguration,
            "NetworkMode": .string(networkMode), "PortBindings": .object(portBindings),
            "RestartPolicy": restartPolicy, "AutoRemove": .bool(standalone?.removesItself ?? false),
            "VolumeDriver": "", "VolumesFrom": .null, "CapAdd": .strings(spec?.capabilityAdd),
            "CapDrop": .strings(spec?.capabilityDrop), "CgroupnsMode": "host",
            "Dns": .strings(spec?.dnsConfig?.nameservers), "DnsOptions": .strings(spec?.dnsConfig?.options),
            "DnsSearch": .strings(spec?.dnsConfig?.search), "ExtraHosts": .strings(extraHosts),
            "GroupAdd": .strings(spec?.groups), "IpcMode": "private", "Cgroup": "", "Links": .null,
            "OomScoreAdj": .integer(spec?.oomScoreAdj ?? 0), "PidMode": "", "Privileged": .bool(isPrivileged),
            "PublishAllPorts": false, "ReadonlyRootfs": .bool(spec?.readOnly ?? false), "SecurityOpt": .null,
            "UTSMode": "", "UsernsMode": "", "ShmSize": 67_108_864,
        ]
        if let sysctls = spec?.sysctls, !sysctls.isEmpty { members["Sysctls"] = .labels(sysctls) }
        members["Runtime"] = "runc"
        members["ConsoleSize"] = [0, 0]
        members["Isolation"] = .string(spec?.isolation ?? "default")
        let resources: [(String, JSONDocument)] = [
            ("CpuShares", 0), ("Memory", .integer(memory)), ("NanoCpus", .integer(limits?.nanoCPUs ?? 0)),
            ("CgroupParent", ""), ("BlkioWeight", 0), ("BlkioWeightDevice", .null),
            ("BlkioDeviceReadBps", .null), ("BlkioDeviceWriteBps", .null), ("BlkioDeviceReadIOps", .null),
            ("BlkioDeviceWriteIOps", .null), ("CpuPeriod", 0), ("CpuQuota", 0), ("CpuRealtimePeriod", 0),
            ("CpuRealtimeRuntime", 0), ("CpusetCpus", ""), ("CpusetMems", ""), ("Devices", .null),
            ("DeviceCgroupRules", .null), ("DeviceRequests", .null),
            ("MemoryReservation", .integer(reservations?.memoryBytes ?? 0)),
            ("MemorySwap", .integer(memory > 0 ? memory * 2 : 0)), ("MemorySwappiness", .null),
            ("OomKillDisable", false),
            ("PidsLimit", limits?.pids.flatMap { $0 > 0 ? .integer($0) : nil } ?? .null),
            ("Ulimits", .array(ulimits)), ("CpuCount", 0), ("CpuPercent", 0), ("IOMaximumIOps", 0),
            ("IOMaximumBandwidth", 0),
        ]
        for (name, value) in resources { members[name] = value }
        if standalone == nil, let mounts = spec?.mounts, !mounts.isEmpty {
            members["Mounts"] = .array(mounts.map { .value($0) })
        }
        members["MaskedPaths"] = isPrivileged ? .null : .strings(GuardedPaths.masked)
        members["ReadonlyPaths"] = isPrivileged ? .null : .strings(GuardedPaths.readonly)
        members["Init"] = .bool(spec?.initProcess ?? false)
        return .object(members)
    }

    private func mount(_ mount: ContainerMount) -> JSONDocument {
        let isVolume = mount.type == "volume"
        var members: JSONMembers = ["Type": .string(mount.type)]
        if isVolume { members["Name"] = .string(mount.name) }
        members["Source"] = .string(mount.source)
        members["Destination"] = .string(mount.destination)
        if isVolume { members["Driver"] = "local" }
        members["Mode"] = .string(isVolume ? "z" : "")
        members["RW"] = .bool(mount.isWritable)
        members["Propagation"] = .string(mount.propagation)
        return .object(members)
    }

    // MARK: Network

    private var logConfiguration: JSONDocument {
        let driver = info.request?.logDriver ?? ""
        return [
            "Type": .string(driver.isEmpty ? "json-file" : driver),
            "Config": .labels(info.request?.logOptions),
        ]
    }

    private var restartPolicy: JSONDocument {
        let rule = standalone?.restart
        return [
            "Name": .string(rule?.name.rawValue ?? ""),
            "MaximumRetryCount": .integer(Int64(rule?.maximumRetries ?? 0)),
        ]
    }

    private var binds: JSONDocument {
        guard let binds = standalone?.binds, !binds.isEmpty else { return .null }
        return .strings(binds)
    }

    private var portBindings: JSONMembers {
        var members = JSONMembers()
        let ports = standalone?.ports ?? []
        for key in Set(ports.map(\.name)).sorted() {
            members[key] = .array(
                ports.filter { $0.name == key }.map { port in
                    [
                        "HostIp": .string(port.hostAddress),
                        "HostPort": .string(port.hostPort == 0 ? "" : String(port.hostPort)),
                    ]
                })
        }
        return members
    }

    private var networkMode: String {
        if let standalone { return standalone.networkMode }
        return switch info.request?.network {
        case .host: "host"
        case .some(.none): "none"
        case .namespace, nil: "default"
        }
    }

    private var networks: JSONMembers {
        var result: JSONMembers = JSONMembers()
        if let standalone {
            if case .host? = info.request?.network {
                result["host"] = Self.endpoint(nil, name: "host", of: info)
            }
            if case .some(.none) = info.request?.network {
                result["none"] = Self.endpoint(nil, name: "none", of: info)
            }
            for endpoint in standalone.endpoints {
                result[endpoint.networkName] = Self.endpoint(endpoint, name: endpoint.networkName, of: info)
            }
        }
        if standalone == nil, info.localAddress != nil {
            result["bridge"] = Self.endpoint(nil, name: "bridge", of: info, at: taskAddress)
        }
        let isUp = info.state == .running || info.state == .paused
        for attachment in task?.networksAttachments ?? [] {
            guard let address = attachment.addresses?.first else { continue }
            result[attachment.network.spec.name] = [
                "IPAMConfig": ["IPv4Address": .string(address.address.description)], "Links": .null,
                "Aliases": .strings(attachment.aliases), "NetworkID": .string(attachment.network.id),
                "EndpointID": .string(isUp ? info.id : ""), "Gateway": "",
                "IPAddress": .string(address.address.description),
                "IPPrefixLen": .integer(Int64(address.prefixLength)), "IPv6Gateway": "",
                "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
                "MacAddress": .string(MACAddress(derivedFrom: address.address).description),
                "DriverOpts": .null,
            ]
        }
        return result
    }

    /// A task's address on the node-local network, which it has when it joins no other.
    private var taskAddress: IPv4Subnet? {
        guard let bridge, info.state == .running || info.state == .paused else { return nil }
        return info.localAddress.map { IPv4Subnet($0, prefixLength: bridge.subnet.prefixLength) }
    }

    private static func endpoint(
        _ endpoint: StandaloneEndpoint?, name: String, of info: ContainerInfo, at given: IPv4Subnet? = nil
    ) -> JSONDocument {
        let isUp = info.state == .running || info.state == .paused
        let address = isUp ? given ?? endpoint?.address : nil
        var aliases: [String]?
        if let endpoint, endpoint.networkName != "bridge" {
            aliases = [String(info.id.prefix(12))] + endpoint.aliases
        }
        var members: JSONMembers = ["IPAMConfig": .null, "Links": .null, "Aliases": .strings(aliases)]
        if let wanted = endpoint?.wantedAddress {
            members["IPAMConfig"] = ["IPv4Address": .string(wanted.description)]
        }
        members["MacAddress"] = .string(address.map { MACAddress(derivedFrom: $0.address).description } ?? "")
        members["DriverOpts"] = .null
        members["NetworkID"] = .string(endpoint?.networkID ?? PredefinedNetwork.identifier(of: name))
        members["EndpointID"] = .string(isUp ? info.id : "")
        members["Gateway"] = .string(address.map { $0.network.advanced(by: 1).description } ?? "")
        members["IPAddress"] = .string(address?.address.description ?? "")
        members["IPPrefixLen"] = .integer(Int64(address?.prefixLength ?? 0))
        members["IPv6Gateway"] = ""
        members["GlobalIPv6Address"] = ""
        members["GlobalIPv6PrefixLen"] = 0
        members["DNSNames"] = .strings(aliases.map { [info.name] + $0 })
        return .object(members)
    }

    /// While it runs: the ports that it has on this node.
    private var standalonePorts: [PortBinding] {
        guard info.state == .running || info.state == .paused else { return [] }
        return (standalone?.ports ?? []).filter { $0.assignedPort != nil }
    }

    private var networkSettings: JSONDocument {
        var ports = JSONMembers()
        if info.state == .running || info.state == .paused {
            for name in standalone?.exposedPorts ?? [] { ports[name] = .null }
        }
        for key in Set(standalonePorts.map(\.name)).sorted() {
            ports[key] = .array(
                standalonePorts.filter { $0.name == key }.map { port in
                    [
                        "HostIp": .string(port.hostAddress.isEmpty ? "0.0.0.0" : port.hostAddress),
                        "HostPort": .string(String(port.assignedPort ?? 0)),
                    ]
                })
        }
        for port in hostPorts {
            ports["\(port.targetPort ?? 0)/\(port.effectiveProtocol)"] = [
                ["HostIp": "0.0.0.0", "HostPort": .string(String(port.publishedPort ?? 0))]
            ]
        }
        var path = ""
        if case .namespace(let namespace)? = info.request?.network { path = namespace }
        let bridge = onBridge
        let (gateway, address) = (bridge?.network.advanced(by: 1).description, bridge?.address)
        let mac = address.map { MACAddress(derivedFrom: $0).description }
        let isUp = info.state == .running || info.state == .paused
        return [
            "Bridge": "", "SandboxID": .string(isUp ? info.id : ""), "HairpinMode": false,
            "LinkLocalIPv6Address": "", "LinkLocalIPv6PrefixLen": 0, "Ports": .object(ports),
            "SandboxKey": .string(path), "SecondaryIPAddresses": .null, "SecondaryIPv6Addresses": .null,
            "EndpointID": .string(bridge == nil ? "" : info.id), "Gateway": .string(gateway ?? ""),
            "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPAddress": .string(address?.description ?? ""),
            "IPPrefixLen": .integer(Int64(bridge?.prefixLength ?? 0)), "IPv6Gateway": "",
            "MacAddress": .string(mac ?? ""), "Networks": .object(networks),
        ]
    }

    /// Its address on the predefined network `bridge`, which older clients look for in its own fields.
    private var onBridge: IPv4Subnet? {
        guard info.state == .running || info.state == .paused else { return nil }
        return standalone?.endpoints.first { $0.networkName == "bridge" }?.address ?? taskAddress
    }

    /// Ports that belong to this container alone; those of the routing mesh belong to the service.
    private var hostPorts: [PortConfig] {
        guard info.state == .running else { return [] }
        return (task?.endpoint?.ports ?? []).filter { $0.publishMode == "host" && $0.publishedPort != nil }
    }

    private var portList: [JSONDocument] {
        if standalone != nil {
            return standalonePorts.map { port in
                [
                    "IP": .string(port.hostAddress.isEmpty ? "0.0.0.0" : port.hostAddress),
                    "PrivatePort": .integer(Int64(port.containerPort)),
                    "PublicPort": .integer(Int64(port.assignedPort ?? 0)), "Type": .string(port.transport),
                ]
            }
        }
        return hostPorts.map { port in
            [
                "IP": "0.0.0.0", "PrivatePort": .integer(Int64(port.targetPort ?? 0)),
                "PublicPort": .integer(Int64(port.publishedPort ?? 0)),
                "Type": .string(port.effectiveProtocol),
            ]
        }
    }
}

extension PortBinding {
    /// `80/tcp`.
    fileprivate var name: String { "\(containerPort)/\(transport)" }
}
