import EngineHTTP
import NIOCore
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

/// Containers that are no tasks: create, start, attach, rename, update, prune.
extension EngineRoutes {
    func addStandalone(_ router: inout Router) {
        router.on(.POST, "/containers/create") { try await createContainer($0) }
        router.on(.POST, "/containers/{id}/start") { request in
            let info = try await findContainer(request.capture("id"))
            if info.state == .paused {
                throw SwarmError(.conflict, "cannot start a paused container, try unpause instead")
            }
            guard info.state != .running else { return Response(.notModified) }
            try await node.startContainer(info.id)
            return Response(.noContent)
        }
        router.on(.POST, "/containers/{id}/attach") { try await attach($0) }
        router.on(.POST, "/containers/{id}/resize") { request in
            let size = try Self.consoleSize(request)
            let info = try await findContainer(request.capture("id"))
            try await node.runtime.resize(info.id, width: size.width, height: size.height)
            return Response(.ok)
        }
        router.on(.POST, "/containers/{id}/rename") { request in
            let name = request.value("name") ?? ""
            let info = try await findContainer(request.capture("id"))
            let plain = name.hasPrefix("/") ? String(name.dropFirst()) : name
            guard !plain.isEmpty else {
                throw SwarmError(.invalidArgument, "Neither old nor new names may be empty")
            }
            try ContainerCreation.checkName(plain)
            try await node.renameContainer(info.id, to: plain)
            return Response(.noContent)
        }
        router.on(.POST, "/containers/{id}/update") { request in
            let body = try await request.decode(ContainerUpdate.self)
            let info = try await findContainer(request.capture("id"))
            if let rule = body.RestartPolicy, rule.Name?.isEmpty == false {
                try await node.setRestartRule(info.id, try ContainerCreation.restartRule(rule))
            }
            await tell("update", info)
            return try Self.json(["Warnings": nil] as JSONDocument)
        }
        router.on(.POST, "/containers/prune") { try await pruneContainers($0) }
    }

    private func createContainer(_ request: Request) async throws -> Response {
        let body = try await request.decode(ContainerBody.self)
        guard let reference = body.Image, !reference.isEmpty else {
            throw SwarmError(.invalidArgument, "Config cannot be empty in order to create a container")
        }
        var generator = SystemRandomNumberGenerator()
        var name = request.value("name") ?? ""
        if name.hasPrefix("/") { name = String(name.dropFirst()) }
        if name.isEmpty { name = try await freeName(using: &generator) }
        try ContainerCreation.checkName(name)
        let image = try await node.images.image(reference)
        var creation = ContainerCreation(
            body: body, id: Identifier.randomHex(using: &generator), name: name, image: image,
            hostname: node.facts.hostname, namespaceDirectory: node.facts.namespaceDirectory)
        if let mode = body.HostConfig?.NetworkMode, mode.hasPrefix("container:") {
            let target = try await findContainer(String(mode.dropFirst("container:".count)))
            creation.body.HostConfig?.NetworkMode = "container:" + target.id
        }
        try await node.createContainer(try creation.request())
        return try Self.json(["Id": .string(creation.id), "Warnings": []] as JSONDocument, .created)
    }

    /// How often a name is drawn before a number is put after it.
    private static let namesMax = 16

    private func freeName(using generator: inout SystemRandomNumberGenerator) async throws -> String {
        let taken = Set(try await node.runtime.containers().map(\.name))
        for _ in 0..<Self.namesMax {
            let name = ContainerCreation.inventName(using: &generator)
            if !taken.contains(name) { return name }
        }
        return ContainerCreation.inventName(using: &generator)
            + String(UInt32.random(in: 0 ... .max, using: &generator))
    }

    private func pruneContainers(_ request: Request) async throws -> Response {
        let filters = try request.filters(["until", "label", "label!"])
        let until = filters["until"]?.first.flatMap(Self.time)
        var removed: [JSONDocument] = []
        for info in try await node.runtime.containers() {
            guard info.request?.standalone != nil, info.state == .exited || info.state == .created,
                Lookup.matches(info.labels, filters["label"] ?? []),
                !(filters["label!"] ?? []).contains(where: { Lookup.matches(info.labels, [$0]) }),
                until.map({ info.createdAt < $0 }) ?? true
            else { continue }
            try await node.removeContainer(info.id, force: false, keepsVolumes: true)
            removed.append(.string(info.id))
        }
        return try Self.json(
            [
                "ContainersDeleted": removed.isEmpty ? nil : .array(removed), "SpaceReclaimed": 0,
            ] as JSONDocument)
    }

    // MARK: Attach

    private func attach(_ request: Request) async throws -> Response {
        let info = try await findContainer(request.capture("id"))
        let wantsInput = request.flag("stdin")
        let isTTY = info.request?.spec.tty == true
        var headers = ExecFraming.headers(request, isTTY: isTTY)
        let asksForUpgrade = request.head.headers.contains(name: "upgrade")
        if asksForUpgrade {
            headers.add(name: "Connection", value: "Upgrade")
            headers.add(name: "Upgrade", value: "tcp")
        }
        // Before the head goes out: the client starts the container when it has it.
        var streams: (any ProcessStreams)?
        if request.flag("stream") {
            streams = try await node.runtime.attach(info.id, input: wantsInput)
            await tell("attach", info)
        }
        let attachment = AttachedClient(streams)
        let wanted = (stdout: request.flag("stdout"), stderr: request.flag("stderr"))
        let (showsLogs, runtime) = (request.flag("logs"), node.runtime)
        return Response(
            asksForUpgrade ? .custom(code: 101, reasonPhrase: "UPGRADED") : .ok, headers: headers,
            body: .hijack { raw in
                if showsLogs, let lines = try? await runtime.logs(info.id, LogOptions()) {
                    for try await line in lines {
                        let isWanted = line.stream == .stderr ? wanted.stderr : wanted.stdout
                        guard isWanted || isTTY else { continue }
                        let text = line.isPartial ? line.text : line.text + [UInt8(ascii: "\n")]
                        try await raw.output.write(ExecFraming.frame(line.stream, text, isTTY: isTTY))
                    }
                }
                guard let streams = attachment.streams else { return }
                try await Self.relay(raw, streams, wantsInput: wantsInput, wanted, isTTY: isTTY)
                attachment.end()
            })
    }

    /// Moves bytes both ways until the container's output ends; a client that only stops sending ends its input.
    private static func relay(
        _ raw: RawConnection, _ streams: any ProcessStreams, wantsInput: Bool,
        _ wanted: (stdout: Bool, stderr: Bool),
        isTTY: Bool
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            if wantsInput {
                group.addTask {
                    // Input that the container no longer takes is not the connection's failure.
                    try? await Self.feed(raw.input, to: streams, ends: !isTTY)
                }
            }
            for try await (stream, bytes) in streams.output {
                let isWanted = stream == .stderr ? wanted.stderr : wanted.stdout
                guard isWanted || (isTTY && wanted.stderr) else { continue }
                try await raw.output.write(ExecFraming.frame(stream, bytes, isTTY: isTTY))
            }
            group.cancelAll()
        }
    }

    /// - Parameter ends: whether the container's input ends with the client's; a terminal's goes on for the next.
    private static func feed(_ input: RequestBody, to streams: any ProcessStreams, ends: Bool) async throws {
        for try await part in input { try await streams.write(Array(part.readableBytesView)) }
        guard !Task.isCancelled, ends else { return }
        await streams.closeInput()
    }
}

/// Lets the container go on without the client in any case, even when nobody ever took up the connection.
private final class AttachedClient: Sendable {
    let streams: (any ProcessStreams)?

    init(_ streams: (any ProcessStreams)?) { self.streams = streams }
    func end() { streams?.detach() }
    deinit { streams?.detach() }
}

/// `POST /containers/{id}/update`'s body.
private struct ContainerUpdate: Decodable {
    var RestartPolicy: ContainerBody.Host.Rule?
}
