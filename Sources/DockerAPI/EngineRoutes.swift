package import EngineHTTP
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Ports
import Store
import SwarmCore
import SwarmModel
package import SwarmNode
import Synchronization

/// Docker's routes over one node.
package struct EngineRoutes: Sendable {
    package static let minimumVersion = APIVersion(1, 24)
    package static let maximumVersion = APIVersion(1, 50)
    let node: any ControlPlane
    private let eventLines = EventLines()

    package static func router(_ node: any ControlPlane) -> Router {
        var router = Router(versions: minimumVersion...maximumVersion, describe: StatusMapping.describe)
        let routes = EngineRoutes(node: node)
        routes.addSystem(&router)
        routes.addSwarm(&router)
        routes.addServices(&router)
        routes.addTasks(&router)
        routes.addNetworks(&router)
        routes.addFiles(&router)
        routes.addContainers(&router)
        routes.addImages(&router)
        routes.addVolumes(&router)
        return router
    }

    static func json(_ value: some Encodable, _ status: HTTPResponseStatus = .ok) throws -> Response {
        .json(status, bytes: try OrderedJSON.encode(value))
    }

    /// All objects as they are now, or a refusal when this node is no manager.
    func managed() async throws(SwarmError) -> ObjectStore { try await node.read() }

    /// As ``managed()``, and where that is refused what this node has: nothing on a worker, and what was agreed last on
    /// a manager without a quorum.
    func current() async -> ObjectStore {
        do { return try await node.read() } catch { return await node.snapshot() }
    }

    // MARK: System

    private func addSystem(_ router: inout Router) {
        for method in [HTTPMethod.GET, .HEAD] {
            router.on(method, "/_ping") { _ in
                let state = await node.localState()
                let swarm =
                    state.state == .active
                    ? (state.isManager ? "active/manager" : "active/worker") : state.state.rawValue
                let headers: HTTPHeaders = [
                    "Content-Type": "text/plain; charset=utf-8",
                    "Cache-Control": "no-cache, no-store, must-revalidate",
                    "Pragma": "no-cache", "Builder-Version": "2", "Swarm": swarm,
                ]
                return Response(
                    .ok, headers: headers, body: .bytes(ByteBuffer(string: method == .HEAD ? "" : "OK")))
            }
        }
        router.on(.GET, "/version") { _ in try Self.json(version()) }
        router.on(.GET, "/info") { _ in try Self.json(await info()) }
        router.on(.GET, "/events") { try await events($0) }
        router.on(.GET, "/plugins") { _ in try Self.json([String]()) }
    }

    private func version() -> JSONDocument {
        let facts = node.facts
        let details: JSONDocument = [
            "ApiVersion": .string(Self.maximumVersion.description), "Arch": "amd64",
            "BuildTime": .string(facts.buildTime),
            "Experimental": "false", "GitCommit": .string(facts.gitCommit), "GoVersion": "",
            "KernelVersion": .string(facts.kernelVersion),
            "MinAPIVersion": .string(Self.minimumVersion.description),
            "Os": "linux",
        ]
        return [
            "Platform": ["Name": "swarmd"],
            "Components": [["Name": "Engine", "Version": .string(facts.version), "Details": details]],
            "Version": .string(facts.version), "ApiVersion": .string(Self.maximumVersion.description),
            "MinAPIVersion": .string(Self.minimumVersion.description), "GitCommit": .string(facts.gitCommit),
            "GoVersion": "", "Os": "linux", "Arch": "amd64", "KernelVersion": .string(facts.kernelVersion),
            "BuildTime": .string(facts.buildTime),
        ]
    }

    private func info() async throws -> JSONDocument {
        let facts = node.facts
        let containers = (try? await node.runtime.containers()) ?? []
        let images = (try? await node.images.images().count) ?? 0
        func count(_ state: ContainerState) -> JSONDocument {
            .integer(Int64(containers.filter { $0.state == state }.count))
        }
        let registry: JSONDocument = [
            "InsecureRegistryCIDRs": ["127.0.0.0/8"], "Mirrors": [],
            "IndexConfigs": [
                "docker.io": ["Name": "docker.io", "Mirrors": [], "Secure": true, "Official": true]
            ],
        ]
        let answer: JSONMembers = [
            "ID": .string((await node.localState()).nodeID), "Name": .string(facts.hostname),
            "Containers": .integer(Int64(containers.count)), "ContainersRunning": count(.running),
            "ContainersPaused": count(.paused), "ContainersStopped": count(.exited),
            "Images": .integer(Int64(images)), "Driver": "overlayfs", "DriverStatus": [],
            "Plugins": [
                "Volume": ["local"], "Network": ["bridge", "host", "null", "overlay"], "Authorization": nil,
                "Log": ["json-file"],
            ],
            "SystemTime": .time(node.now()), "LoggingDriver": "json-file", "CgroupDriver": "cgroupfs",
            "CgroupVersion": .string(facts.cgroupVersion), "KernelVersion": .string(facts.kernelVersion),
            "OperatingSystem": .string(facts.operatingSystem), "OSVersion": .string(facts.osVersion),
            "OSType": "linux",
            "Architecture": .string(facts.architecture), "IndexServerAddress": "https://index.docker.io/v1/",
            "RegistryConfig": registry, "NCPU": .integer(Int64(facts.cpuCount)),
            "MemTotal": .integer(facts.memoryBytes),
            "DockerRootDir": .string(facts.dataDirectory), "Labels": .strings(facts.labels),
            "ExperimentalBuild": false,
            "ServerVersion": .string(facts.version), "Runtimes": ["runc": ["path": "runc"]],
            "DefaultRuntime": "runc",
            "GenericResources": facts.genericResources.isEmpty ? nil : .value(facts.genericResources),
            "InitBinary": "tini", "SecurityOptions": ["name=seccomp,profile=builtin"], "Warnings": nil,
            "LiveRestoreEnabled": true, "Isolation": "", "Swarm": await swarmInfo(),
        ]
        return .object(answer)
    }

    private func swarmInfo() async -> JSONDocument {
        let state = await node.localState()
        let store = await node.snapshot()
        var swarm: JSONMembers = [
            "NodeID": .string(state.nodeID), "NodeAddr": .string(state.nodeAddress),
            "LocalNodeState": .string(state.state.rawValue), "ControlAvailable": .bool(state.isManager),
            "Error": .string(state.error), "RemoteManagers": nil,
        ]
        if state.state != .inactive {
            swarm["RemoteManagers"] = .array(
                state.remoteManagers.map { ["NodeID": .string($0.nodeID), "Addr": .string($0.address)] })
        }
        guard let cluster = store.cluster else { return .object(swarm) }
        swarm["Nodes"] = .integer(Int64(store.nodes.count))
        swarm["Managers"] = .integer(Int64(store.nodes.sorted.filter { $0.spec.role == "manager" }.count))
        swarm["Cluster"] = .value(Hidden.strip(cluster, showsTokens: false))
        return .object(swarm)
    }

    private func events(_ request: Request) async throws -> Response {
        let known: Set<String> = [
            "type", "event", "service", "node", "network", "container", "label", "scope", "image", "secret",
            "config", "volume", "daemon", "plugin",
        ]
        let filters = try request.filters(known)
        let (since, until) = (try Self.time("since", of: request), try Self.time("until", of: request))
        if let since, let until, since > until {
            let (from, to) = (request.value("since") ?? "", request.value("until") ?? "")
            throw SwarmError(.invalidArgument, "`since` time (\(from)) cannot be after `until` time (\(to))")
        }
        let stream = await node.events(since: since)
        let lines = eventLines
        return Response(
            .ok, headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for await event in stream where Self.matches(event, filters) {
                            if let until, event.time > until { return }
                            try await writer.write(lines.line(event))
                        }
                    }
                    // The stream ends with the time asked for, whether or not anything happens after it; what was
                    // kept from before is written first, as it waits in the stream already.
                    if let until {
                        group.addTask {
                            let rest = until - node.now()
                            try await Task.sleep(for: min(max(rest, .milliseconds(50)), Self.longestWait))
                        }
                    }
                    try await group.next()
                    group.cancelAll()
                }
            })
    }

    /// No client waits longer for an end that it names.
    private static let longestWait = Duration.seconds(365 * 24 * 3600)

    private static func matches(_ event: SwarmEvent, _ filters: [String: [String]]) -> Bool {
        for (key, values) in filters {
            switch key {
            case "type": if !values.contains(event.type) { return false }
            case "event":
                // `exec_create` also means `exec_create: sh -c …`.
                guard values.contains(where: { event.action == $0 || event.action.hasPrefix($0 + ":") }) else {
                    return false
                }
            case "scope": if !values.contains(event.scope) { return false }
            case "label": if !Lookup.matches(event.attributes, values) { return false }
            default:
                let name = event.attributes["name"] ?? ""
                let isMeant = event.type == key && values.contains { $0 == event.actorID || $0 == name }
                if !isMeant { return false }
            }
        }
        return true
    }

    /// A time as clients give it: seconds since 1970 or RFC 3339; nil for what is neither.
    static func time(_ text: String) -> Timestamp? {
        exactTime(text) ?? Double(text).flatMap { Timestamp(seconds: $0) } ?? Timestamp(text)
    }

    /// Seconds since 1970 with up to nine digits of fraction, which a floating-point number would round.
    private static func exactTime(_ text: String) -> Timestamp? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, (1...9).contains(parts[1].utf8.count),
            parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }), let seconds = Int64(parts[0]),
            let fraction = Int64(parts[1] + String(repeating: "0", count: 9 - parts[1].utf8.count))
        else { return nil }
        let (whole, isTooLarge) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return isTooLarge ? nil : Timestamp(nanoseconds: whole) + .nanoseconds(fraction)
    }

    private static func time(_ name: String, of request: Request) throws -> Timestamp? {
        guard let text = request.value(name), !text.isEmpty else { return nil }
        guard let time = time(text) else {
            throw SwarmError(.invalidArgument, "could not parse \(name) timestamp: \(text)")
        }
        return time
    }
}

/// The lines of the latest events: a thousand clients are told the same, which is put into words once.
private final class EventLines: Sendable {
    private static let keptMax = 16
    private let kept = Mutex<[(event: SwarmEvent, line: ByteBuffer)]>([])

    func line(_ event: SwarmEvent) throws -> ByteBuffer {
        if let known = kept.withLock({ $0.last { $0.event == event }?.line }) { return known }
        let line = try Self.encode(event)
        kept.withLock { kept in
            if kept.count == Self.keptMax { kept.removeFirst() }
            kept.append((event, line))
        }
        return line
    }

    private static func encode(_ event: SwarmEvent) throws -> ByteBuffer {
        var members: JSONMembers = [
            "Type": .string(event.type), "Action": .string(event.action),
            "Actor": ["ID": .string(event.actorID), "Attributes": .labels(event.attributes)],
            "scope": .string(event.scope),
            "time": .integer(event.time.seconds), "timeNano": .integer(event.time.nanoseconds),
        ]
        if event.type == "container" {
            members["status"] = .string(event.action)
            members["id"] = .string(event.actorID)
            members["from"] = .string(event.attributes["image"] ?? "")
        }
        return ByteBuffer(bytes: try OrderedJSON.encode(members) + [UInt8(ascii: "\n")])
    }
}

/// Takes what is ours out of objects before clients see them.
enum Hidden {
    static func strip(_ service: Service) -> Service {
        var service = service
        (service.specVersion, service.previousSpecVersion, service.registryAuth) = (nil, nil, nil)
        // Docker fills in what was allocated, and nothing was for a service without ports and virtual addresses.
        if service.endpoint.ports == nil, service.endpoint.virtualIPs == nil {
            service.endpoint.spec = EndpointSpec()
        }
        return service
    }

    static func strip(_ task: SwarmTask) -> SwarmTask {
        var task = task
        (task.specVersion, task.serviceName, task.serviceLabels) = (nil, nil, nil)
        (task.endpoint, task.startAfter, task.runningSince, task.registryAuth) = (nil, nil, nil, nil)
        if task.spec.runtime == "container" { task.spec.runtime = nil }
        if let container = task.status.containerStatus {
            task.status.containerStatus?.pid = container.pid ?? 0
            task.status.containerStatus?.exitCode = container.exitCode ?? 0
        }
        return task
    }

    static func strip(_ cluster: Cluster, showsTokens: Bool) -> Cluster {
        var cluster = cluster
        (cluster.rootKey, cluster.rootCertificates, cluster.unlockKey) = (nil, nil, nil)
        (cluster.rootRotation, cluster.rootEpoch, cluster.lastForcedRotation) = (nil, nil, nil)
        (cluster.gossipKeys, cluster.gossipKeysChangedAt) = (nil, nil)
        if !showsTokens { cluster.joinTokens = nil }
        return cluster
    }
}
