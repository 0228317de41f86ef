import Ports
import Store
import SwarmCore
import SwarmModel

/// A container as `docker ps` and `docker inspect` show it.
struct ContainerDocuments {
    var info: ContainerInfo
    /// The task that it runs, if this node knows it.
    var task: SwarmTask?
    var now: Timestamp

    private var spec: ContainerSpec? { info.request?.spec }

    // MARK: docker ps

    var summary: JSONDocument {
        [
            "Id": .string(info.id), "Names": [.string("/" + info.name)], "Image": .string(info.image),
            "ImageID": .string(info.imageID), "Command": .string(commandLine),
            "Created": .integer(info.createdAt.seconds), "Ports": .array(portList),
            "Labels": .labels(info.labels), "State": .string(info.state.rawValue), "Status": .string(status),
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
            "LogPath": .string(files + "/log"), "Name": .string("/" + info.name), "RestartCount": 0,
            "Driver": "overlayfs", "Platform": "linux", "MountLabel": "", "ProcessLabel": "",
            "AppArmorProfile": "", "ExecIDs": execs, "HostConfig": hostConfiguration,
            "GraphDriver": ["Name": "overlayfs", "Data": .null], "Mounts": .array(info.mounts.map(mount)),
            "Config": configuration, "NetworkSettings": networkSettings,
        ]
    }

    private var state: JSONDocument {
        let isUp = info.state == .running || info.state == .paused
        var members: JSONMembers = [
            "Status": .string(info.state.rawValue), "Running": .bool(isUp),
            "Paused": .bool(info.state == .paused), "Restarting": false, "OOMKilled": .bool(info.oomKilled),
            "Dead": false, "Pid": .integer(Int64(isUp ? info.pid ?? 0 : 0)),
            "ExitCode": .integer(Int64(info.exitCode ?? 0)), "Error": "", "StartedAt": .time(info.startedAt),
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
            "User": .string(spec?.user ?? ""), "AttachStdin": false, "AttachStdout": false,
            "AttachStderr": false, "Tty": .bool(spec?.tty ?? false),
            "OpenStdin": .bool(spec?.openStdin ?? false), "StdinOnce": false,
            "Env": .strings(info.environment), "Cmd": .strings(spec?.args ?? info.arguments),
            "Image": .string(info.image), "Volumes": .null, "WorkingDir": .string(info.workingDirectory),
            "Entrypoint": .strings(spec?.command), "OnBuild": .null, "Labels": .labels(info.labels),
        ]
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
            "NetworkMode": .string(networkMode), "LogConfig": ["Type": "json-file", "Config": [:]],
            "RestartPolicy": ["Name": "", "MaximumRetryCount": 0], "AutoRemove": false, "Binds": .null,
            "PortBindings": [:], "CapAdd": .strings(spec?.capabilityAdd),
            "CapDrop": .strings(spec?.capabilityDrop), "CgroupnsMode": "host",
            "Dns": .strings(spec?.dnsConfig?.nameservers), "DnsOptions": .strings(spec?.dnsConfig?.options),
            "DnsSearch": .strings(spec?.dnsConfig?.search), "ExtraHosts": .strings(spec?.hosts),
            "GroupAdd": .strings(spec?.groups), "IpcMode": "private", "PidMode": "", "UTSMode": "",
            "OomScoreAdj": .integer(spec?.oomScoreAdj ?? 0), "Privileged": false, "PublishAllPorts": false,
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

    private var networkMode: String {
        switch info.request?.network {
        case .host: "host"
        case .some(.none): "none"
        case .namespace, nil: "default"
        }
    }

    private var networks: JSONMembers {
        var result: JSONMembers = JSONMembers()
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

    private var networkSettings: JSONDocument {
        var ports = JSONMembers()
        for port in hostPorts {
            ports["\(port.targetPort ?? 0)/\(port.effectiveProtocol)"] = [
                ["HostIp": "0.0.0.0", "HostPort": .string(String(port.publishedPort ?? 0))]
            ]
        }
        var path = ""
        if case .namespace(let namespace)? = info.request?.network { path = namespace }
        return [
            "Bridge": "", "SandboxID": "", "HairpinMode": false, "Ports": .object(ports),
            "SandboxKey": .string(path), "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0,
            "MacAddress": "", "Networks": .object(networks),
        ]
    }

    /// Ports that belong to this container alone; those of the routing mesh belong to the service.
    private var hostPorts: [PortConfig] {
        guard info.state == .running else { return [] }
        return (task?.endpoint?.ports ?? []).filter { $0.publishMode == "host" && $0.publishedPort != nil }
    }

    private var portList: [JSONDocument] {
        hostPorts.map { port in
            [
                "IP": "0.0.0.0", "PrivatePort": .integer(Int64(port.targetPort ?? 0)),
                "PublicPort": .integer(Int64(port.publishedPort ?? 0)), "Type": .string(port.effectiveProtocol),
            ]
        }
    }
}
