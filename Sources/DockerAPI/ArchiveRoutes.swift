import EngineHTTP
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

/// `docker cp`: what is at a place in a container, and archives out of it and into it.
extension EngineRoutes {
    func addArchives(_ router: inout Router) {
        router.on(.HEAD, "/containers/{id}/archive") { request in
            let (info, path) = try await archivePlace(request)
            let status = try await Self.naming(request, info) { () throws(SwarmError) in
                try await node.runtime.pathStatus(info.id, path)
            }
            return Response(.ok, headers: [Self.statusHeader: try Self.encoded(status)])
        }
        router.on(.GET, "/containers/{id}/archive") { request in
            let (info, path) = try await archivePlace(request)
            let status = try await Self.naming(request, info) { () throws(SwarmError) in
                try await node.runtime.pathStatus(info.id, path)
            }
            await tell("archive-path", info)
            let runtime = node.runtime
            let headers: HTTPHeaders = [
                "Content-Type": "application/x-tar", Self.statusHeader: try Self.encoded(status),
            ]
            return Response(
                .ok, headers: headers,
                body: .stream { writer in
                    try await runtime.readArchive(info.id, path) { bytes in
                        try await writer.write(ByteBuffer(bytes: bytes))
                    }
                })
        }
        router.on(.PUT, "/containers/{id}/archive") { request in
            let (info, path) = try await archivePlace(request)
            try await Self.naming(request, info) { () throws(SwarmError) in
                try await node.runtime.writeArchive(
                    info.id, path, keepsKinds: request.flag("noOverwriteDirNonDir"), Self.bytes(of: request.body))
            }
            await tell("extract-to-dir", info)
            return Response(.ok)
        }
    }

    /// Refusals name the container as the client did.
    private static func naming<Value>(
        _ request: Request, _ info: ContainerInfo, _ body: () async throws(SwarmError) -> Value
    ) async throws(SwarmError) -> Value {
        do {
            return try await body()
        } catch {
            let words = error.message.replacing(info.id, with: request.capture("id"))
            throw SwarmError(error.code, words, cause: error.cause)
        }
    }

    private static let statusHeader = "X-Docker-Container-Path-Stat"

    private func archivePlace(_ request: Request) async throws -> (ContainerInfo, String) {
        guard let path = request.value("path"), !path.isEmpty else {
            throw SwarmError(.invalidArgument, "bad parameter: 'path' cannot be empty")
        }
        return (try await findContainer(request.capture("id")), path.hasPrefix("/") ? path : "/" + path)
    }

    /// Base 64 of JSON, with the mode as Go's `os.FileMode` has it.
    private static func encoded(_ status: PathStatus) throws -> String {
        var mode = status.permissions & 0o777
        for (bit, flag) in [(0o4000, 23), (0o2000, 22), (0o1000, 20)] as [(UInt32, UInt32)]
        where status.permissions & bit != 0 { mode |= 1 << flag }
        switch status.kind {
        case .file: break
        case .directory: mode |= 1 << 31
        case .symbolicLink: mode |= 1 << 27
        case .other: mode |= 1 << 26
        }
        let document: JSONDocument = [
            "name": .string(status.name), "size": .integer(status.size), "mode": .integer(Int64(mode)),
            "mtime": .time(status.modified), "linkTarget": .string(status.target),
        ]
        return Data(try OrderedJSON.encode(document)).base64EncodedString()
    }

    // MARK: Disk

    func addDiskUsage(_ router: inout Router) {
        router.on(.GET, "/system/df") { request in
            let types = request.query.filter { $0.name == "type" }.map(\.value)
            func wants(_ type: String) -> Bool { types.isEmpty || types.contains(type) }
            let containers = try await node.runtime.containers()
            var answer: JSONMembers = [:]
            if wants("image") {
                let images = try await node.images.images()
                answer["LayersSize"] = .integer(
                    Set(images.map(\.id)).reduce(0) { total, id in
                        total + (images.first { $0.id == id }?.sizeBytes ?? 0)
                    })
                answer["Images"] = .array(images.map { image in Self.usage(of: image, by: containers) })
            }
            if wants("container") { answer["Containers"] = .array(await usage(of: containers)) }
            if wants("volume") { answer["Volumes"] = .array(try await volumeUsage()) }
            if wants("build-cache") { answer["BuildCache"] = [] }
            return try Self.json(answer)
        }
    }

    private static func usage(of image: ImageInfo, by containers: [ContainerInfo]) -> JSONDocument {
        [
            "Id": .string(image.id), "ParentId": "", "RepoTags": .strings(image.repoTags),
            "RepoDigests": .strings(image.repoDigests), "Created": .integer(image.created.seconds),
            "Size": .integer(image.sizeBytes), "SharedSize": 0, "VirtualSize": .integer(image.sizeBytes),
            "Labels": image.configuration.labels.map { .labels($0) } ?? .null,
            "Containers": .integer(Int64(containers.filter { $0.imageID == image.id }.count)),
        ]
    }

    private func usage(of containers: [ContainerInfo]) async -> [JSONDocument] {
        await documents(containers, sized: true).map(\.summary)
    }

    private func volumeUsage() async throws -> [JSONDocument] {
        var result: [JSONDocument] = []
        for volume in try await node.volumes.volumes() {
            let users = await node.volumes.volumeUsers(volume.name)
            result.append([
                "CreatedAt": .time(volume.createdAt), "Driver": .string(volume.driver),
                "Labels": .labels(volume.labels), "Mountpoint": .string(volume.mountpoint),
                "Name": .string(volume.name), "Options": .labels(volume.options), "Scope": "local",
                "UsageData": [
                    "RefCount": .integer(Int64(users.count)),
                    "Size": .integer(Self.bytes(under: volume.mountpoint)),
                ],
            ])
        }
        return result
    }

    /// What the files below a directory hold, links not followed.
    private static func bytes(under path: String) -> Int64 {
        var total: Int64 = 0
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
            let child = path + "/" + name
            guard let about = try? FileManager.default.attributesOfItem(atPath: child) else { continue }
            if about[.type] as? FileAttributeType == .typeDirectory {
                total += bytes(under: child)
            } else if about[.type] as? FileAttributeType == .typeRegular {
                total += Int64(
                    clamping: (about[.size] as? any BinaryInteger).map { UInt64(clamping: $0) } ?? 0)
            }
        }
        return total
    }
}
