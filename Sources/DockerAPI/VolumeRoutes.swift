import EngineHTTP
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

extension EngineRoutes {
    func addVolumes(_ router: inout Router) {
        router.on(.GET, "/volumes") { request in
            let filters = try request.filters(["name", "driver", "label", "dangling"])
            let found = try await matching(filters)
            return try Self.json(
                ["Volumes": .array(found.map(Self.document)), "Warnings": nil] as JSONDocument)
        }
        router.on(.GET, "/volumes/{name}") { request in
            try Self.json(Self.document(try await node.volumes.volume(request.capture("name"))))
        }
        router.on(.POST, "/volumes/create") { request in
            let body = try await request.decode(VolumeBody.self)
            let driver = Driver(name: body.Driver ?? "local", options: body.DriverOpts)
            let volume = try await node.volumes.createVolume(body.Name, driver: driver, labels: body.Labels ?? [:])
            await publish("create", volume.name)
            return try Self.json(Self.document(volume), .created)
        }
        router.on(.POST, "/volumes/prune") { try await pruneVolumes($0) }
        router.on(.DELETE, "/volumes/{name}") { request in
            let name = request.capture("name")
            try await node.volumes.removeVolume(name, force: request.flag("force"))
            await publish("destroy", name)
            return Response(.noContent)
        }
    }

    private func matching(_ filters: [String: [String]]) async throws -> [VolumeInfo] {
        var found: [VolumeInfo] = []
        let dangling = filters["dangling"]?.first.map { ["1", "true"].contains($0.lowercased()) }
        for volume in try await node.volumes.volumes() {
            guard filters["name"]?.contains(where: { volume.name.contains($0) }) ?? true,
                filters["driver"]?.contains(volume.driver) ?? true,
                Lookup.matches(volume.labels, filters["label"] ?? [])
            else { continue }
            if let dangling, dangling != (await node.volumes.volumeUsers(volume.name).isEmpty) { continue }
            found.append(volume)
        }
        return found
    }

    /// Without `all`, only volumes that nobody named, as of API 1.42.
    private func pruneVolumes(_ request: Request) async throws -> Response {
        var filters = try request.filters(["label", "label!", "all"])
        let isOld = request.version.map { $0 < APIVersion(1, 42) } ?? false
        let all = isOld || (filters["all"]?.first.map { ["1", "true"].contains($0.lowercased()) } ?? false)
        let kept = filters.removeValue(forKey: "label!") ?? []
        filters["all"] = nil
        if !all { filters["label", default: []].append("com.docker.volume.anonymous") }
        var removed: [String] = []
        for volume in try await matching(filters) {
            guard kept.isEmpty || !Lookup.matches(volume.labels, kept) else { continue }
            // One that a container got meanwhile is used.
            guard (try? await node.volumes.removeVolume(volume.name, force: false)) != nil else { continue }
            await publish("destroy", volume.name)
            removed.append(volume.name)
        }
        return try Self.json(
            ["VolumesDeleted": removed.isEmpty ? nil : .strings(removed), "SpaceReclaimed": 0] as JSONDocument)
    }

    private func publish(_ action: String, _ name: String) async {
        await node.publish(
            SwarmEvent(
                type: "volume", action: action, actorID: name, attributes: ["driver": "local"], scope: "local",
                time: node.now()))
    }

    private static func document(_ volume: VolumeInfo) -> JSONDocument {
        [
            "CreatedAt": .time(volume.createdAt), "Driver": .string(volume.driver),
            "Labels": volume.labels.isEmpty ? nil : .labels(volume.labels),
            "Mountpoint": .string(volume.mountpoint), "Name": .string(volume.name),
            "Options": volume.options.isEmpty ? nil : .labels(volume.options), "Scope": "local",
        ]
    }
}

private struct VolumeBody: Decodable {
    var Name: String?
    var Driver: String?
    var DriverOpts: [String: String]?
    var Labels: [String: String]?
}
