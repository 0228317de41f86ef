import EngineHTTP
import NIOCore
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

extension EngineRoutes {
    func addContainers(_ router: inout Router) {
        addExecs(&router)
        router.on(.GET, "/containers/json") { request in
            let filters = try request.filters([
                "id", "name", "label", "status", "network", "ancestor", "is-task", "health",
            ])
            let all = request.flag("all") || filters["status"] != nil
            let list = try await node.runtime.containers().filter { info in
                (all || info.state == .running) && Lookup.matches(info.labels, filters["label"] ?? [])
                    && (filters["status"] ?? [info.state.rawValue]).contains(info.state.rawValue)
                    && Lookup.hasPrefix(info.id, filters["id"] ?? [])
                    && (filters["name"].map { $0.contains { info.name.contains($0) } } ?? true)
            }
            return try Self.json(list.sorted { $0.createdAt > $1.createdAt }.map(summary))
        }
        router.on(.GET, "/containers/{id}/json") { request in
            try Self.json(detail(try await findContainer(request.capture("id"))))
        }
        router.on(.GET, "/containers/{id}/logs") { request in
            let info = try await findContainer(request.capture("id"))
            guard request.flag("stdout") || request.flag("stderr") else {
                throw SwarmError(.invalidArgument, "Bad parameters: you must choose at least one stream")
            }
            let lines = try await node.runtime.logs(info.id, try LogFormat.options(request))
            let format = LogFormat(request)
            return Response(
                .ok, headers: format.headers,
                body: .stream { writer in
                    for try await line in lines { try await writer.write(format.frame(line, of: nil)) }
                })
        }
        router.on(.POST, "/containers/{id}/kill") { request in
            let info = try await findContainer(request.capture("id"))
            try await node.runtime.kill(info.id, signal: request.value("signal") ?? "SIGKILL")
            return Response(.noContent)
        }
        router.on(.POST, "/containers/{id}/stop") { request in
            let info = try await findContainer(request.capture("id"))
            let grace = request.value("t").flatMap { Int($0) }.map { Duration.seconds($0) }
            try await node.runtime.stop(info.id, gracePeriod: grace)
            return Response(.noContent)
        }
        router.on(.DELETE, "/containers/{id}") { request in
            let info = try await findContainer(request.capture("id"))
            if info.state == .running && !request.flag("force") {
                throw SwarmError(
                    .conflict,
                    "You cannot remove a running container \(info.id). Stop the container before attempting removal "
                        + "or force remove")
            }
            try await node.runtime.remove(info.id, force: request.flag("force"))
            return Response(.noContent)
        }
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

    private func summary(_ info: ContainerInfo) -> JSONDocument {
        let command = info.arguments.joined(separator: " ")
        return [
            "Id": .string(info.id), "Names": [.string("/" + info.name)], "Image": .string(info.image),
            "ImageID": .string(info.imageID), "Command": .string(command),
            "Created": .integer(info.createdAt.seconds),
            "Ports": [], "Labels": .labels(info.labels), "State": .string(info.state.rawValue),
            "Status": .string(status(of: info)), "HostConfig": ["NetworkMode": "default"],
            "NetworkSettings": ["Networks": [:]], "Mounts": [],
        ]
    }

    private func status(of info: ContainerInfo) -> String {
        func age(_ time: Timestamp?) -> String {
            let seconds = max(0, (node.now() - (time ?? node.now())).components.seconds)
            switch seconds {
            case ..<1: return "Less than a second"
            case 1: return "1 second"
            case ..<60: return "\(seconds) seconds"
            case ..<120: return "About a minute"
            case ..<3600: return "\(seconds / 60) minutes"
            case ..<7200: return "About an hour"
            case ..<172_800: return "\(seconds / 3600) hours"
            default: return "\(seconds / 86_400) days"
            }
        }
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

    private func detail(_ info: ContainerInfo) -> JSONDocument {
        let spec = info.request?.spec
        let state: JSONDocument = [
            "Status": .string(info.state.rawValue), "Running": .bool(info.state == .running),
            "Paused": .bool(info.state == .paused), "Restarting": false, "OOMKilled": .bool(info.oomKilled),
            "Dead": false, "Pid": .integer(Int64(info.state == .running ? info.pid ?? 0 : 0)),
            "ExitCode": .integer(Int64(info.exitCode ?? 0)), "Error": "", "StartedAt": .time(info.startedAt),
            "FinishedAt": .time(info.finishedAt),
        ]
        let config: JSONDocument = [
            "Hostname": .string(spec?.hostname ?? String(info.id.prefix(12))),
            "User": .string(spec?.user ?? ""),
            "Env": .strings(info.environment), "Cmd": .strings(info.arguments), "Image": .string(info.image),
            "WorkingDir": .string(spec?.dir ?? ""), "Labels": .labels(info.labels),
            "Tty": .bool(spec?.tty ?? false),
            "OpenStdin": false, "AttachStdin": false, "AttachStdout": false, "AttachStderr": false,
        ]
        return [
            "Id": .string(info.id), "Created": .time(info.createdAt),
            "Path": .string(info.arguments.first ?? ""),
            "Args": .strings(Array(info.arguments.dropFirst())), "State": state,
            "Image": .string(info.imageID),
            "Name": .string("/" + info.name), "RestartCount": 0, "Driver": "overlayfs", "Platform": "linux",
            "HostConfig": ["NetworkMode": "default", "LogConfig": ["Type": "json-file", "Config": [:]]],
            "Mounts": [], "Config": config, "NetworkSettings": ["Networks": [:], "Ports": [:]],
        ]
    }
}
