import EngineHTTP
import NIOCore
import NIOHTTP1
import Ports
import Store
import SwarmCore
import SwarmModel
import SwarmNode

extension EngineRoutes {
    func addContainers(_ router: inout Router) {
        addExecs(&router)
        addContainerControl(&router)
        addStandalone(&router)
        addArchives(&router)
        addDiskUsage(&router)
        router.on(.GET, "/containers/json") { request in
            let filters = try request.filters([
                "id", "name", "label", "status", "network", "ancestor", "is-task", "health", "exited",
                "before", "since",
                "volume",
            ])
            try Self.check(filters)
            let limit = request.value("limit").flatMap { Int($0) } ?? 0
            let all = request.flag("all") || filters["status"] != nil || filters["exited"] != nil || limit > 0
            let before = try await self.moment(filters["before"]?.first)
            let since = try await self.moment(filters["since"]?.first)
            let list = try await node.runtime.containers().filter { info -> Bool in
                if let before, info.createdAt >= before { return false }
                if let since, info.createdAt <= since { return false }
                guard Self.passes(info, filters) else { return false }
                return (all || info.state == .running || info.state == .paused)
                    && Lookup.matches(info.labels, filters["label"] ?? [])
                    && (filters["status"] ?? [info.state.rawValue]).contains(info.state.rawValue)
                    && Lookup.hasPrefix(info.id, filters["id"] ?? [])
                    && (filters["name"].map { $0.contains { info.name.contains($0) } } ?? true)
                    && (filters["health"] ?? [info.health.rawValue]).contains(info.health.rawValue)
                    && (filters["is-task"]?.contains("false") != true
                        || info.labels["com.docker.swarm.task.id"] == nil)
                    && (filters["ancestor"].map { $0.contains { Self.isMade(info, from: $0) } } ?? true)
            }
            let newestFirst = list.sorted { $0.createdAt > $1.createdAt }
            let shown = limit > 0 ? Array(newestFirst.prefix(limit)) : newestFirst
            return try Self.json(await documents(shown, sized: request.flag("size")).map(\.summary))
        }
        router.on(.GET, "/containers/{id}/json") { request in
            let info = try await findContainer(request.capture("id"))
            let directory = node.facts.dataDirectory
            let documents = await documents([info], sized: request.flag("size"))
            return try Self.json(documents.map { $0.detail(dataDirectory: directory) }.first)
        }
        router.on(.GET, "/containers/{id}/logs") { request in
            let info = try await findContainer(request.capture("id"))
            guard request.flag("stdout") || request.flag("stderr") else {
                throw SwarmError(.invalidArgument, "Bad parameters: you must choose at least one stream")
            }
            let lines = try await node.runtime.logs(info.id, try LogFormat.options(request))
            let format = LogFormat(request)
            // A terminal's output is not framed: clients print it as it is.
            let isTTY = info.request?.spec.tty == true
            return Response(
                .ok, headers: isTTY ? LogFormat.rawHeaders : format.headers,
                body: .stream { writer in
                    var batch = ByteBuffer()
                    for try await line in lines {
                        var frame = format.frame(line, of: nil)
                        if isTTY { frame.moveReaderIndex(forwardBy: LogFormat.frameHeaderBytes) }
                        batch.writeImmutableBuffer(frame)
                        if line.isFollowedAtOnce && batch.readableBytes < Self.logBatchBytes { continue }
                        try await writer.write(batch)
                        batch = ByteBuffer()
                    }
                })
        }
    }

    /// Signals, pauses and the like, and what the kernel knows.
    private func addContainerControl(_ router: inout Router) {
        router.on(.GET, "/containers/{id}/top") { request in
            let info = try await findContainer(request.capture("id"))
            let processes = try await node.runtime.processes(info.id)
            await tell("top", info)
            return try Self.json(Self.top(processes))
        }
        router.on(.GET, "/containers/{id}/stats") { try await statistics($0) }
        router.on(.POST, "/containers/{id}/wait") { try await wait($0) }
        for (word, isPause) in [("pause", true), ("unpause", false)] {
            router.on(.POST, "/containers/{id}/\(word)") { request in
                let info = try await findContainer(request.capture("id"))
                if isPause {
                    try await node.runtime.pause(info.id)
                } else {
                    try await node.runtime.unpause(info.id)
                }
                await tell(word, info)
                return Response(.noContent)
            }
        }
        router.on(.POST, "/containers/{id}/stop") { request in
            let info = try await findContainer(request.capture("id"))
            let isRestarting = await node.isRestarting(info.id)
            guard info.state == .running || info.state == .paused || isRestarting else {
                return Response(.notModified)
            }
            try await node.stopContainer(info.id, gracePeriod: try Self.gracePeriod(request))
            return Response(.noContent)
        }
        // A task's container is only stopped: it is never started a second time, its service brings another one.
        router.on(.POST, "/containers/{id}/restart") { request in
            let info = try await findContainer(request.capture("id"))
            try await node.restartContainer(info.id, gracePeriod: try Self.gracePeriod(request))
            return Response(.noContent)
        }
        router.on(.POST, "/containers/{id}/kill") { request in
            let info: ContainerInfo
            do {
                info = try await findContainer(request.capture("id"))
            } catch let error as SwarmError {
                throw SwarmError(
                    error.code, "Cannot kill container: \(request.capture("id")): \(error.message)", cause: error.cause)
            }
            try await node.killContainer(
                info.id, signal: request.value("signal").flatMap { $0.isEmpty ? nil : $0 } ?? "SIGKILL")
            return Response(.noContent)
        }
        router.on(.DELETE, "/containers/{id}") { request in
            let info = try await findContainer(request.capture("id"))
            try await node.removeContainer(
                info.id, force: request.flag("force"), keepsVolumes: !request.flag("v"))
            return Response(.noContent)
        }
    }

    /// When the container of that name or identifier was made; nil for no name.
    private func moment(_ container: String?) async throws -> Timestamp? {
        guard let container else { return nil }
        return try await findContainer(container).createdAt
    }

    private static let states: Set<String> = [
        "created", "restarting", "running", "removing", "paused", "exited", "dead",
    ]
    private static let healths: Set<String> = ["none", "starting", "healthy", "unhealthy"]

    /// Refuses values that no container can have.
    private static func check(_ filters: [String: [String]]) throws(SwarmError) {
        for (key, known) in [("status", states), ("health", healths)] {
            if let strange = filters[key]?.sorted().first(where: { !known.contains($0) }) {
                throw SwarmError(.invalidArgument, "Invalid filter '\(key)=\(strange)'")
            }
        }
        if let strange = filters["exited"]?.sorted().first(where: { Int($0) == nil }) {
            throw SwarmError(.invalidArgument, "strconv.Atoi: parsing \(JSONText.quoted(strange)): invalid syntax")
        }
    }

    private static func passes(_ info: ContainerInfo, _ filters: [String: [String]]) -> Bool {
        if let codes = filters["exited"] {
            guard info.state == .exited, codes.contains(String(info.exitCode ?? 0)) else { return false }
        }
        if let volumes = filters["volume"] {
            guard
                info.mounts.contains(where: { volumes.contains($0.name) || volumes.contains($0.destination) })
            else {
                return false
            }
        }
        // A task's networks are the store's to know; only standalone containers are asked here.
        if let networks = filters["network"], let endpoints = info.request?.standalone?.endpoints {
            return endpoints.contains { networks.contains($0.networkName) || networks.contains($0.networkID) }
        }
        return true
    }

    private static func isMade(_ info: ContainerInfo, from image: String) -> Bool {
        info.image == image || info.image == image + ":latest" || info.imageID == image
            || info.imageID.dropFirst("sha256:".count).hasPrefix(image)
    }

    /// - Parameter sized: with what they have written, which takes a walk through their files.
    func documents(_ list: [ContainerInfo], sized: Bool = false) async -> [ContainerDocuments] {
        let store = await current()
        let bridge = await node.localNetworks().first
        let images = sized ? (try? await node.images.images()) ?? [] : []
        var result: [ContainerDocuments] = []
        for info in list {
            let task = info.labels["com.docker.swarm.task.id"].flatMap { store.tasks[$0] }
            var documents = ContainerDocuments(info: info, task: task, now: node.now())
            documents.bridge = bridge
            if sized {
                // Removed meanwhile, or containerd is busy: its size is not known.
                let written = (try? await node.runtime.writtenBytes(info.id)) ?? 0
                documents.sizeBytes = (written, images.first { $0.id == info.imageID }?.sizeBytes ?? 0)
            }
            if info.request?.standalone != nil { documents.isRestarting = await node.isRestarting(info.id) }
            result.append(documents)
        }
        return result
    }

    func findContainer(_ argument: String) async throws -> ContainerInfo {
        let all = try await node.runtime.containers()
        let name = argument.hasPrefix("/") ? String(argument.dropFirst()) : argument
        if let exact = all.first(where: { $0.id == name || $0.name == name }) { return exact }
        let matches = name.isEmpty ? [] : all.filter { $0.id.hasPrefix(name) }
        guard let only = matches.first, matches.count == 1 else {
            throw SwarmError(.notFound, "No such container: \(argument)")
        }
        return only
    }

    static func gracePeriod(_ request: Request) throws(SwarmError) -> Duration? {
        guard let text = request.value("t"), !text.isEmpty else { return nil }
        guard let seconds = Int(text) else {
            throw SwarmError(.invalidArgument, "invalid timeout \"\(text)\": must be a number of seconds")
        }
        // Docker: a negative time is for ever.
        return seconds < 0 ? .seconds(Int32.max) : .seconds(seconds)
    }

    private static func top(_ processes: [ProcessInfo]) -> JSONDocument {
        let rows = processes.map { process -> JSONDocument in
            .strings([
                process.uid == 0 ? "root" : String(process.uid), String(process.pid), String(process.ppid),
                String(process.processorShare), process.startTime, process.tty, process.cpuTime,
                process.command,
            ])
        }
        return [
            "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"], "Processes": .array(rows),
        ]
    }

    /// Log lines that are at hand together go out in writes of about this size.
    private static let logBatchBytes = 32 * 1024

    /// Between two readings; clients calculate shares from the difference.
    private static let readingInterval = Duration.seconds(1)

    private func statistics(_ request: Request) async throws -> Response {
        let info = try await findContainer(request.capture("id"))
        let runtime = node.runtime
        let streams = request.value("stream").map { _ in request.flag("stream") } ?? true
        guard streams else {
            let isOneShot = request.flag("one-shot") || info.state != .running
            let before = isOneShot ? nil : try await runtime.statistics(info.id)
            if !isOneShot { try await Task.sleep(for: Self.readingInterval) }
            let now = try await runtime.statistics(info.id)
            return try Self.json(ContainerStatisticsDocument(info: info, now: now, before: before).document)
        }
        let headers: HTTPHeaders = ["Content-Type": "application/json"]
        return Response(
            .ok, headers: headers,
            body: .stream { writer in
                var before: ContainerStatistics?
                while !Task.isCancelled {
                    guard let now = try? await runtime.statistics(info.id) else { return }
                    let document = ContainerStatisticsDocument(info: info, now: now, before: before).document
                    guard case .bytes(let line) = try Self.json(document).body else { return }
                    try await writer.write(line)
                    before = now
                    try await Task.sleep(for: Self.readingInterval)
                }
            })
    }

    private func wait(_ request: Request) async throws -> Response {
        let info = try await findContainer(request.capture("id"))
        let word = request.value("condition") ?? ""
        guard let condition = WaitCondition(rawValue: word.isEmpty ? "not-running" : word) else {
            throw SwarmError(.invalidArgument, "invalid condition: \"\(word)\"")
        }
        let runtime = node.runtime
        // The head goes out at once: clients start what they wait for only when they know that we listen.
        return Response(
            .ok, headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                let code = try await runtime.wait(info.id, for: condition)
                guard
                    case .bytes(let line) = try Self.json(
                        ["StatusCode": .integer(Int64(code))] as JSONDocument
                    ).body
                else { return }
                try await writer.write(line)
            })
    }
}
