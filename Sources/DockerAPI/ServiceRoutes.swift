import EngineHTTP
import LogGathering
import NIOCore
import NIOHTTP1
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

extension EngineRoutes {
    func addServices(_ router: inout Router) {
        router.on(.GET, "/services") { try await listServices($0) }
        router.on(.GET, "/services/{id}") { request in
            var service = try await findService(request.capture("id"))
            if request.flag("insertDefaults") { service.spec = service.spec.withDefaults() }
            return try Self.json(Hidden.strip(service))
        }
        router.on(.POST, "/services/create") { request in
            let spec = try await request.decode(ServiceSpec.self)
            let auth = request.head.headers.first(name: "x-registry-auth")
            guard
                case .created(let id, let warnings) = try await node.submit(
                    .createService(spec, registryAuth: auth))
            else { return Response(.internalServerError) }
            var answer: JSONMembers = ["ID": .string(id)]
            if !warnings.isEmpty { answer["Warnings"] = .strings(warnings) }
            return try Self.json(JSONDocument.object(answer), .created)
        }
        router.on(.POST, "/services/{id}/update") { try await updateService($0) }
        router.on(.DELETE, "/services/{id}") { request in
            let service = try await findService(request.capture("id"))
            _ = try await node.submit(.removeService(id: service.id))
            return Response(.ok)
        }
        router.on(.GET, "/services/{id}/logs") { request in
            let service = try await findService(request.capture("id"))
            let hasTerminal = service.spec.taskTemplate.containerSpec?.tty == true
            return try logs(of: .service(service.id), hasTerminal: hasTerminal, request)
        }
    }

    func addTasks(_ router: inout Router) {
        router.on(.GET, "/tasks") { try await listTasks($0) }
        router.on(.GET, "/tasks/{id}") { request in
            let tasks = try await managed().tasks
            return try Self.json(
                Hidden.strip(try Lookup.find(request.capture("id"), "task", in: tasks) { $0.displayName }))
        }
        router.on(.GET, "/tasks/{id}/logs") { request in
            let tasks = try await managed().tasks
            let task = try Lookup.find(request.capture("id"), "task", in: tasks) { $0.displayName }
            return try logs(of: .task(task.id), hasTerminal: task.spec.containerSpec?.tty == true, request)
        }
    }

    private func findService(_ argument: String) async throws(SwarmError) -> Service {
        let store = try await managed()
        return try Lookup.find(argument, "service", in: store.services) { $0.spec.name }
    }

    private func listServices(_ request: Request) async throws -> Response {
        let filters = try request.filters(["id", "name", "label", "mode", "runtime"])
        let store = try await managed()
        let services = store.services.sorted.filter { service in
            let (kind, runtime) = (service.spec.mode.kind, service.spec.taskTemplate.runtime ?? "container")
            guard (filters["mode"] ?? [kind]).contains(kind), (filters["runtime"] ?? [runtime]).contains(runtime) else {
                return false
            }
            return Lookup.hasPrefix(service.id, filters["id"] ?? [])
                && Lookup.hasPrefix(service.spec.name, filters["name"] ?? [])
                && Lookup.matches(service.spec.labels, filters["label"] ?? [])
        }
        if let text = request.value("status"), !text.isEmpty, !Self.isGoBoolean(text) {
            let reason = "strconv.ParseBool: parsing \"\(text)\": invalid syntax"
            throw SwarmError(.invalidArgument, "invalid value for status: \(text): \(reason)")
        }
        let wantsStatus = request.flag("status")
        return try Self.json(
            services.map { service in
                var service = Hidden.strip(service)
                if wantsStatus { service.serviceStatus = Self.status(of: service, in: store) }
                return service
            })
    }

    static func isGoBoolean(_ text: String) -> Bool {
        ["1", "t", "T", "true", "True", "TRUE", "0", "f", "F", "false", "False", "FALSE"].contains(text)
    }

    private static func status(of service: Service, in store: ObjectStore) -> ServiceStatus {
        let tasks = store.tasks(ofService: service.id)
        let running = tasks.filter { $0.status.state == .running && $0.desiredState <= .complete }.count
        let completed = tasks.filter {
            $0.status.state == .complete && $0.jobIteration == service.jobStatus?.jobIteration
                && service.spec.isJob
        }.count
        var desired = Int(clamping: service.spec.replicas)
        if service.spec.mode.global != nil {
            desired = tasks.filter { $0.desiredState <= .running }.count
        } else if service.spec.mode.globalJob != nil {
            // As Docker counts: what is done is no longer wanted.
            desired = tasks.filter {
                $0.jobIteration == service.jobStatus?.jobIteration && $0.desiredState <= .complete
                    && !$0.status.state.isTerminal
            }.count
        } else if service.spec.isJob {
            desired = Int(clamping: service.spec.maxConcurrent)
        }
        return ServiceStatus(
            runningTasks: UInt64(running), desiredTasks: UInt64(desired), completedTasks: UInt64(completed))
    }

    private func updateService(_ request: Request) async throws -> Response {
        let service = try await findService(request.capture("id"))
        let version = try request.requiredVersion("service")
        var options = ServiceUpdateOptions()
        options.registryAuth = request.head.headers.first(name: "x-registry-auth")
        options.registryAuthFrom = request.value("registryAuthFrom")
        switch request.value("rollback") ?? "" {
        case "": break
        case "previous": options.rollback = true
        case let other: throw SwarmError(.unknown, "unrecognized rollback option \(other)")
        }
        guard ["", "spec", "previous-spec"].contains(options.registryAuthFrom ?? "") else {
            throw SwarmError(.unknown, "unsupported registryAuthFrom value")
        }
        let spec = try await request.decode(ServiceSpec.self)
        _ = try await node.submit(.updateService(id: service.id, version: version, spec, options))
        return try Self.json(["Warnings": nil] as JSONDocument)
    }

    private func listTasks(_ request: Request) async throws -> Response {
        let known: Set<String> = [
            "id", "name", "label", "service", "node", "desired-state", "_up-to-date", "runtime",
        ]
        let filters = try request.filters(known)
        let store = try await managed()
        var services: Set<ObjectID>?
        if let wanted = filters["service"] {
            var ids: Set<ObjectID> = []
            for argument in wanted {
                ids.insert(
                    try Lookup.find(argument, "service", in: store.services) { $0.spec.name }.id)
            }
            services = ids
        }
        var nodes: Set<ObjectID>?
        if let wanted = filters["node"] {
            var ids: Set<ObjectID> = []
            for argument in wanted {
                let own = argument == "self" ? await node.localState().nodeID : argument
                ids.insert(
                    try Lookup.find(own, "node", in: store.nodes.sorted) { $0.description.hostname }.id)
            }
            nodes = ids
        }
        for state in filters["desired-state"] ?? []
        where !["running", "shutdown", "accepted"].contains(state) {
            throw SwarmError(.unknown, "Invalid desired-state filter: '\(state)'")
        }
        let onlyCurrent = filters["_up-to-date"]?.contains("true") == true
        let tasks = Self.candidates(store, services).filter { task in
            // Standalone containers' addresses are shown only to those who ask for them.
            guard !task.isAttachment || filters["runtime"]?.contains("attachment") == true else {
                return false
            }
            if let nodes, !nodes.contains(task.nodeID ?? "") { return false }
            if let states = filters["desired-state"] {
                let meant =
                    task.desiredState <= .running
                    ? "running" : task.desiredState <= .complete ? "accepted" : "shutdown"
                guard states.contains(meant) else { return false }
            }
            if onlyCurrent, let service = task.serviceID.flatMap({ store.services[$0] }),
                task.spec != service.spec.taskTemplate
            {
                // A task that may stay where it is in spite of a new placement is as new as it gets.
                var moved = task.spec
                moved.placement = service.spec.taskTemplate.placement
                guard moved == service.spec.taskTemplate else { return false }
            }
            return Lookup.hasPrefix(task.id, filters["id"] ?? [])
                && (filters["name"].map { Lookup.hasPrefix(task.displayName, $0) } ?? true)
                && Lookup.matches(task.serviceLabels, filters["label"] ?? [])
        }
        return try Self.json(tasks.map { Hidden.strip($0) })
    }

    /// All tasks, or those of the services, in the order of their identifiers.
    private static func candidates(_ store: ObjectStore, _ services: Set<ObjectID>?) -> [SwarmTask] {
        guard let services else { return store.tasks.sorted }
        let tasks = services.sorted().flatMap { store.tasks(ofService: $0) }
        return services.count > 1 ? tasks.sorted { $0.id < $1.id } : tasks
    }

    /// Every task's lines on one stream, wherever it runs; those of one task in order.
    private func logs(of scope: LogScope, hasTerminal: Bool, _ request: Request) throws -> Response {
        guard request.flag("stdout") || request.flag("stderr") else {
            throw SwarmError(.unknown, "Bad parameters: you must choose at least one stream")
        }
        let options = try LogFormat.options(request)
        let format = LogFormat(request)
        let node = self.node
        // A terminal's output is not framed: clients print it as it is.
        return Response(
            .ok, headers: hasTerminal ? LogFormat.rawHeaders : format.headers,
            body: .stream { writer in
                try await node.gatherLogs(scope, options) { lines in
                    var frames = ByteBuffer()
                    for line in lines {
                        var frame = format.frame(line.line, of: line)
                        if hasTerminal { frame.moveReaderIndex(forwardBy: LogFormat.frameHeaderBytes) }
                        frames.writeBuffer(&frame)
                    }
                    try await writer.write(frames)
                }
            })
    }
}

extension ServiceSpec {
    /// What `insertDefaults` shows where the spec says nothing.
    func withDefaults() -> ServiceSpec {
        var spec = self
        let second: Int64 = 1_000_000_000
        if spec.taskTemplate.containerSpec?.stopGracePeriod == nil {
            spec.taskTemplate.containerSpec?.stopGracePeriod = 10 * second
        }
        if spec.taskTemplate.containerSpec?.dnsConfig == nil {
            spec.taskTemplate.containerSpec?.dnsConfig = DNSConfig()
        }
        var restart = spec.taskTemplate.restartPolicy ?? RestartPolicy()
        if (restart.condition ?? "").isEmpty { restart.condition = "any" }
        if restart.delay == nil { restart.delay = 5 * second }
        if restart.maxAttempts == nil { restart.maxAttempts = 0 }
        spec.taskTemplate.restartPolicy = restart
        guard !isJob else { return spec }
        for path in [\ServiceSpec.updateConfig, \.rollbackConfig] {
            var config = spec[keyPath: path] ?? UpdateConfig()
            if (config.failureAction ?? "").isEmpty { config.failureAction = "pause" }
            if (config.monitor ?? 0) == 0 { config.monitor = 5 * second }
            if (config.order ?? "").isEmpty { config.order = "stop-first" }
            spec[keyPath: path] = config
        }
        return spec
    }
}
