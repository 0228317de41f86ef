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

    /// Its restart rule is about to start it again.
    var isRestarting = false

    private var spec: ContainerSpec? { info.request?.spec }
    /// Nil for a task's container.
    private var standalone: StandaloneContainer? { info.request?.standalone }

    // MARK: docker ps

    var summary: JSONDocument {
        [
            "Id": .string(info.id), "Names": [.string("/" + info.name)], "Image": .string(info.image),
            "ImageID": .string(info.imageID), "Command": .string(commandLine),
            "Created": .integer(info.createdAt.seconds), "Ports": .array(portList),
            "Labels": .labels(info.labels),
            "State": .string(isRestarting ? "restarting" : info.state.rawValue), "Status": .string(status),
            "HostConfig": ["NetworkMode": .string(networkMode)],
            "NetworkSettings": ["Networks": .object(networks)], "Mounts": .array(info.mounts.map(mount)),
        ]
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
        return [
            "Id": .string(info.id), "Created": .time(info.createdAt),
            "Path": .string(info.arguments.first ?? ""),
            "Args": .strings(Array(info.arguments.dropFirst())), "State": state,
            "Image": .string(info.imageID), "ResolvConfPath": .string(files + "/resolv.conf"),
            "HostnamePath": .string(files + "/hostname"), "HostsPath": .string(files + "/hosts"),
            "LogPath": .string(files + "/log"), "Name": .string("/" + info.name),
            "RestartCount": .integer(Int64(standalone?.restartCount ?? 0)),
            "Driver": "overlayfs", "Platform": "linux", "MountLabel": "", "ProcessLabel": "",
            "AppArmorProfile": "", "ExecIDs": execs, "HostConfig": hostConfiguration,
            "GraphDriver": ["Name": "overlayfs", "Data": .null], "Mounts": .array(info.mounts.map(mount)),
            "Config": configuration, "NetworkSettings": networkSettings,
        ]
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
            "AttachStderr": .bool(standalone?.attachesStderr ?? false), "Tty": .bool(spec?.tty ?? false),
            "OpenStdin": .bool(spec?.openStdin ?? false),
            "StdinOnce": .bool(standalone?.closesStdinWithClient ?? false),
            "Env": .strings(info.environment), "Cmd": .strings(spec?.args ?? info.arguments),
            "Image": .string(info.image), "Volumes": .null, "WorkingDir": .string(info.workingDirectory),
            "Entrypoint": .strings(spec?.command), "OnBuild": .null, "Labels": .labels(info.labels),
        ]
        if let ports = standalone?.exposedPorts, !ports.isEmpty {
            members["ExposedPorts"] = .object(JSONMembers(ports.map { ($0, [:] as JSONDocument) }))
        }
        if let timeout = standalone?.stopTimeout { members["StopTimeout"] = .integer(Int64(timeout)) }
        if let check = spec?.healthcheck { members["Healthcheck"] = .value(check) }
        if let signal = spec?.stopSignal, !signal.isEmpty { members["StopSignal"] = .string(signal) }
        return .object(members)
    }

    private var hostConfiguration: JSONDocument {
        let limits = info.request?.limits
        let reservations = info.request?.reservations
        let memory = limits?.memoryBytes ?? 0
        let ulimits = (spec?.ulimits ?? []).map { limit -> JSONDocument in
            ["Name": .string(limit.name), "Hard": .integer(limit.hard), "Soft": .integer(limit.soft)]
        }
        return [
            "NetworkMode": .string(networkMode),
            "LogConfig": logConfiguration, "RestartPolicy": restartPolicy,
            "AutoRemove": .bool(standalone?.removesItself ?? false), "Binds": binds,
            "PortBindings": .object(portBindings), "CapAdd": .strings(spec?.capabilityAdd),
            "CapDrop": .strings(spec?.capabilityDrop), "CgroupnsMode": "host",
            "Dns": .strings(spec?.dnsConfig?.nameservers), "DnsOptions": .strings(spec?.dnsConfig?.options),
            "DnsSearch": .strings(spec?.dnsConfig?.search), "ExtraHosts": .strings(spec?.hosts),
            "GroupAdd": .strings(spec?.groups), "IpcMode": "private", "PidMode": "", "UTSMode": "",
            "OomScoreAdj": .integer(spec?.oomScoreAdj ?? 0),
            "Privileged": .bool(standalone?.isPrivileged ?? false), "PublishAllPorts": false,
            "ReadonlyRootfs": .bool(spec?.readOnly ?? false), "SecurityOpt": .null, "ShmSize": 67_108_864,
            "Runtime": "runc", "Isolation": .string(spec?.isolation ?? "default"), "CpuShares": 0,
            "Memory": .integer(memory), "MemorySwap": .integer(memory > 0 ? memory * 2 : 0),
            "MemoryReservation": .integer(reservations?.memoryBytes ?? 0),
            "NanoCpus": .integer(limits?.nanoCPUs ?? 0), "CpuPeriod": 0, "CpuQuota": 0,
            "PidsLimit": limits?.pids.flatMap { $0 > 0 ? .integer($0) : nil } ?? .null,
            "Ulimits": .array(ulimits), "Sysctls": spec?.sysctls.map { .labels($0) } ?? .null,
            "Init": .bool(spec?.initProcess ?? false), "OomKillDisable": false, "Devices": .null,
        ]
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
        for attachment in task?.networksAttachments ?? [] {
            guard let address = attachment.addresses?.first else { continue }
            result[attachment.network.spec.name] = [
                "IPAMConfig": ["IPv4Address": .string(address.address.description)], "Links": .null,
                "Aliases": .strings(attachment.aliases), "NetworkID": .string(attachment.network.id),
                "EndpointID": "", "Gateway": "", "IPAddress": .string(address.address.description),
                "IPPrefixLen": .integer(Int64(address.prefixLength)), "IPv6Gateway": "",
                "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
                "MacAddress": .string(MACAddress(derivedFrom: address.address).description),
                "DriverOpts": .null,
            ]
        }
        return result
    }

    private static func endpoint(
        _ endpoint: StandaloneEndpoint?, name: String, of info: ContainerInfo
    ) -> JSONDocument {
        let isUp = info.state == .running || info.state == .paused
        let address = isUp ? endpoint?.address : nil
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
        return [
            "Bridge": "", "SandboxID": "", "HairpinMode": false, "Ports": .object(ports),
            "SandboxKey": .string(path), "EndpointID": "", "Gateway": .string(gateway ?? ""),
            "IPAddress": .string(address?.description ?? ""),
            "IPPrefixLen": .integer(Int64(bridge?.prefixLength ?? 0)), "MacAddress": .string(mac ?? ""),
            "Networks": .object(networks),
        ]
    }

    /// Its address on the predefined network `bridge`, which older clients look for in its own fields.
    private var onBridge: IPv4Subnet? {
        guard info.state == .running || info.state == .paused else { return nil }
        return standalone?.endpoints.first { $0.networkName == "bridge" }?.address
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
