import GoTemplate
package import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl version`, `info` and `events`.
enum SystemVerbs {
    /// The version of this program; the daemon's is in its answer.
    static let clientVersion = "0.1.0"
    /// The newest version of Docker's API whose words this program speaks.
    static let apiVersion = "1.50"

    static let version = Command("version", "Show the version information", flags: [Inspection.formatFlag]) {
        invocation in
        let client: JSONValue = .object([
            JSONMember("Version", .string(clientVersion)), JSONMember("ApiVersion", .string(apiVersion)),
            JSONMember("APIVersion", .string(apiVersion)), JSONMember("Os", .string("linux")),
            JSONMember("Arch", .string("amd64")),
            JSONMember("Host", .string(invocation.client.host.description)),
        ])
        let format = invocation.flag("format")?.trimmed ?? ""
        let server: JSONValue
        do {
            server = try await invocation.client.json("/version")
        } catch {
            // Even without an engine, the client knows its own version.
            if format.isEmpty { invocation.console.write(SystemText.client(client)) }
            throw error
        }
        guard !format.isEmpty else {
            return invocation.console.write(SystemText.client(client) + "\n" + SystemText.server(server))
        }
        let both: JSONValue = .object([
            JSONMember("Client", client), JSONMember("Server", server),
        ])
        guard format != "json" else { return invocation.console.print(both.compact) }
        invocation.console.print(try OutputTemplate(format).render(both))
    }

    static let info = Command("info", "Display system-wide information", flags: [Inspection.formatFlag]) {
        invocation in
        let info = try await invocation.client.json("/info")
        switch invocation.flag("format")?.trimmed ?? "" {
        case "": invocation.console.write(SystemText.info(info))
        case "json": invocation.console.print(info.compact)
        case let format: invocation.console.print(try OutputTemplate(format).render(info))
        }
    }

    static let events = Command(
        "events", "Get real time events from the server",
        flags: [
            ListFlags.filter, Inspection.formatFlagLong,
            Flag("since", .string, "Show all events created since timestamp"),
            Flag("until", .string, "Stream events until this timestamp"),
        ]
    ) { invocation in
        let now = Timestamp(nanoseconds: WallClock.nanoseconds)
        var query = Query()
        for name in ["since", "until"] {
            if let text = invocation.flag(name) { query.append(name, try TimeArgument.parse(text, now: now)) }
        }
        query.append(filters: invocation.filters)
        let format = invocation.flag("format")?.trimmed ?? ""
        let template = format.isEmpty || format == "json" ? nil : try OutputTemplate(format)
        var splitter = LineSplitter()
        for try await part in try await invocation.client.stream(.get, "/events", query) {
            for line in splitter.lines(adding: part) {
                let event = try JSONValue(parsing: line)
                let text =
                    try template?.render(event, methods: eventMethods)
                    ?? (format == "json" ? event.compact : SystemText.event(event))
                invocation.console.print(text)
            }
            invocation.console.flush()
        }
    }
}

extension SystemVerbs {
    /// What templates call members of events that have other names on the wire.
    private static let eventMethods = Dictionary(
        uniqueKeysWithValues: [
            ("Scope", "scope"), ("Time", "time"), ("TimeNano", "timeNano"), ("Status", "status"), ("ID", "id"),
            ("From", "from"),
        ].map { name, key in
            (
                "." + name,
                Template.Function { arguments throws(TemplateError) in
                    guard case .map(let event)? = arguments.first else { return .null }
                    return event[key] ?? .string("")
                }
            )
        })
}

extension Inspection {
    /// Where `-f` means `--filter`.
    static let formatFlagLong = Flag("format", formatFlag.kind, formatFlag.usage)
}

/// What `version`, `info` and `events` print.
package enum SystemText {
    package static func client(_ client: JSONValue) -> String {
        """
        Client: swarmctl
         Version:           \(client["Version"]?.text ?? "")
         OS/Arch:           \(client["Os"]?.text ?? "")/\(client["Arch"]?.text ?? "")
         Host:              \(client["Host"]?.text ?? "")

        """
    }

    package static func server(_ server: JSONValue) -> String {
        var lines = ["Server: \(server["Platform"]?["Name"]?.text ?? "")"]
        for component in server["Components"]?.elements ?? [] {
            let details = component["Details"]
            func detail(_ key: String) -> String { details?[key]?.text ?? "" }
            lines.append(" \(component["Name"]?.text ?? ""):")
            lines.append("  Version:          \(component["Version"]?.text ?? "")")
            if !detail("ApiVersion").isEmpty {
                lines.append(
                    "  API version:      \(detail("ApiVersion")) (minimum version \(detail("MinAPIVersion")))"
                )
            }
            if !detail("GitCommit").isEmpty { lines.append("  Git commit:       \(detail("GitCommit"))") }
            if !detail("BuildTime").isEmpty { lines.append("  Built:            \(detail("BuildTime"))") }
            if !detail("Os").isEmpty { lines.append("  OS/Arch:          \(detail("Os"))/\(detail("Arch"))") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    package static func info(_ info: JSONValue) -> String {
        func text(_ key: String) -> String {
            switch info[key] {
            case .string(let text): text
            case nil, .null?: ""
            case let other?: other.compact
            }
        }
        func names(_ value: JSONValue?) -> String {
            (value?.elements ?? []).compactMap(\.text).joined(separator: " ")
        }
        var lines = [
            "Client: swarmctl", " Version:    \(SystemVerbs.clientVersion)", "", "Server:",
            " Containers: \(text("Containers"))",
            "  Running: \(text("ContainersRunning"))", "  Paused: \(text("ContainersPaused"))",
            "  Stopped: \(text("ContainersStopped"))", " Images: \(text("Images"))",
            " Server Version: \(text("ServerVersion"))", " Storage Driver: \(text("Driver"))",
            " Logging Driver: \(text("LoggingDriver"))", " Cgroup Driver: \(text("CgroupDriver"))",
            " Cgroup Version: \(text("CgroupVersion"))", " Plugins:",
            "  Volume: \(names(info["Plugins"]?["Volume"]))",
            "  Network: \(names(info["Plugins"]?["Network"]))", "  Log: \(names(info["Plugins"]?["Log"]))",
        ]
        lines += swarm(info["Swarm"])
        lines += [
            " Default Runtime: \(text("DefaultRuntime"))", " Init Binary: \(text("InitBinary"))",
            " Kernel Version: \(text("KernelVersion"))", " Operating System: \(text("OperatingSystem"))",
            " OSType: \(text("OSType"))", " Architecture: \(text("Architecture"))", " CPUs: \(text("NCPU"))",
            " Total Memory: \(Size.humanBinary(info["MemTotal"]?.integer ?? 0))", " Name: \(text("Name"))",
            " ID: \(text("ID"))", " Docker Root Dir: \(text("DockerRootDir"))",
        ]
        let labels = info["Labels"]?.elements.compactMap(\.text) ?? []
        if !labels.isEmpty { lines += [" Labels:"] + labels.map { "  \($0)" } }
        lines.append(" Live Restore Enabled: \(info["LiveRestoreEnabled"]?.isTrue ?? false)")
        let warnings = info["Warnings"]?.elements.compactMap(\.text) ?? []
        return (lines + warnings).joined(separator: "\n") + "\n"
    }

    private static func swarm(_ swarm: JSONValue?) -> [String] {
        let state = swarm?["LocalNodeState"]?.text ?? "inactive"
        var lines = [" Swarm: \(state)"]
        let trouble = swarm?["Error"]?.text ?? ""
        guard let swarm, state != "inactive", state != "locked" else {
            // Docker's client is silent here; why a node is in no swarm any more should be said.
            return trouble.isEmpty ? lines : lines + ["  Error: \(trouble)"]
        }
        lines.append("  NodeID: \(swarm["NodeID"]?.text ?? "")")
        if !trouble.isEmpty { lines.append("  Error: \(trouble)") }
        let isManager = swarm["ControlAvailable"]?.isTrue ?? false
        lines.append("  Is Manager: \(isManager)")
        if isManager, let cluster = swarm["Cluster"], state != "error" {
            lines.append("  ClusterID: \(cluster["ID"]?.text ?? "")")
            lines.append("  Managers: \(swarm["Managers"]?.integer ?? 0)")
            lines.append("  Nodes: \(swarm["Nodes"]?.integer ?? 0)")
            lines += settings(cluster)
        }
        lines.append("  Node Address: \(swarm["NodeAddr"]?.text ?? "")")
        let managers = (swarm["RemoteManagers"]?.elements ?? []).compactMap { $0["Addr"]?.text }.sorted()
        if !managers.isEmpty { lines += ["  Manager Addresses:"] + managers.map { "   \($0)" } }
        return lines
    }

    private static func settings(_ cluster: JSONValue) -> [String] {
        let spec = cluster["Spec"]
        func duration(_ value: JSONValue?) -> String { Age.text(.nanoseconds(value?.integer ?? 0)) }
        let pools = (cluster["DefaultAddrPool"]?.elements ?? []).compactMap(\.text).joined(separator: "  ")
        let addresses =
            pools.isEmpty
            ? [] : ["  Default Address Pool: \(pools)  ", "  SubnetSize: \(cluster["SubnetSize"]?.integer ?? 24)"]
        return addresses + [
            "  Data Path Port: \(cluster["DataPathPort"]?.integer ?? 4789)", "  Orchestration:",
            "   Task History Retention Limit: \(spec?["Orchestration"]?["TaskHistoryRetentionLimit"]?.integer ?? 5)",
            "  Raft:", "   Snapshot Interval: \(spec?["Raft"]?["SnapshotInterval"]?.integer ?? 0)",
            "   Number of Old Snapshots to Retain: \(spec?["Raft"]?["KeepOldSnapshots"]?.integer ?? 0)",
            "   Heartbeat Tick: \(spec?["Raft"]?["HeartbeatTick"]?.integer ?? 0)",
            "   Election Tick: \(spec?["Raft"]?["ElectionTick"]?.integer ?? 0)", "  Dispatcher:",
            "   Heartbeat Period: \(duration(spec?["Dispatcher"]?["HeartbeatPeriod"]))",
            "  CA Configuration:",
            "   Expiry Duration: \(duration(spec?["CAConfig"]?["NodeCertExpiry"]))",
            "   Force Rotate: \(spec?["CAConfig"]?["ForceRotate"]?.integer ?? 0)",
            "  Autolock Managers: \(spec?["EncryptionConfig"]?["AutoLockManagers"]?.isTrue ?? false)",
            "  Root Rotation In Progress: \(cluster["RootRotationInProgress"]?.isTrue ?? false)",
        ]
    }

    /// `TIME TYPE ACTION ID (key=value, …)`.
    package static func event(_ event: JSONValue) -> String {
        var time = ""
        if let nanoseconds = event["timeNano"]?.integer {
            time = Timestamp(nanoseconds: nanoseconds).descriptionWithFixedFraction + " "
        }
        let attributes = (event["Actor"]?["Attributes"]?.members ?? []).sorted { $0.key < $1.key }
            .map { "\($0.key)=\($0.value.text ?? $0.value.compact)" }
        let words = [event["Type"]?.text, event["Action"]?.text, event["Actor"]?["ID"]?.text].compactMap {
            $0
        }
        let suffix = attributes.isEmpty ? "" : " (\(attributes.joined(separator: ", ")))"
        return time + words.joined(separator: " ") + suffix
    }
}
