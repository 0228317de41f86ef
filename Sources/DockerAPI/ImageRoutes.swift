import EngineHTTP
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

extension EngineRoutes {
    func addImages(_ router: inout Router) {
        router.on(.GET, "/images/json") { _ in try Self.json(try await node.images.images().map(Self.summary))
        }
        router.on(.GET, "/images/{name...}/json") { request in
            try Self.json(Self.detail(try await node.images.image(request.capture("name"))))
        }
        router.on(.POST, "/images/create") { request in
            if request.value("fromSrc") == "-" { return try await importImage(request) }
            return pull(request)
        }
        router.on(.POST, "/images/load") { request in
            let names = try await node.images.load(Self.bytes(of: request.body))
            let lines = names.map { "{\"stream\":\(JSONText.quoted("Loaded image: \($0)\n"))}\n" }
            return Response(
                .ok, headers: ["Content-Type": "application/json"],
                body: .bytes(ByteBuffer(string: lines.joined())))
        }
        router.on(.POST, "/images/{name...}/tag") { request in
            let tag = request.value("tag").flatMap { $0.isEmpty ? nil : ":" + $0 } ?? ""
            try await node.images.tag(request.capture("name"), as: (request.value("repo") ?? "") + tag)
            return Response(.created)
        }
        router.on(.DELETE, "/images/{name...}") { request in
            let removed = try await node.images.removeImage(
                request.capture("name"), force: request.flag("force"))
            return try Self.json(
                removed.map { removal -> JSONDocument in
                    switch removal {
                    case .untagged(let name): ["Untagged": .string(name)]
                    case .deleted(let id): ["Deleted": .string(id)]
                    }
                })
        }
        router.on(.GET, "/distribution/{name...}/json") { request in
            let auth = request.head.headers.first(name: "x-registry-auth")
            let found = try await node.images.distribution(request.capture("name"), registryAuth: auth)
            let platforms = found.platforms.map { platform -> JSONDocument in
                ["architecture": .string(platform.architecture ?? ""), "os": .string(platform.os ?? "")]
            }
            return try Self.json(
                [
                    "Descriptor": [
                        "mediaType": .string(found.mediaType), "digest": .string(found.digest),
                        "size": .integer(found.sizeBytes),
                    ], "Platforms": .array(platforms),
                ] as JSONDocument)
        }
    }

    private static func bytes(of body: RequestBody) -> AsyncThrowingStream<[UInt8], any Error> {
        let source = BodySource(body)
        return AsyncThrowingStream { try await source.next() }
    }

    private func importImage(_ request: Request) async throws -> Response {
        let tag = request.value("tag").flatMap { $0.isEmpty ? nil : ":" + $0 } ?? ""
        let name = request.value("repo").flatMap { $0.isEmpty ? nil : $0 + tag }
        let changes = request.query.filter { $0.name == "changes" }.map(\.value)
        let id = try await node.images.importRootFileSystem(
            Self.bytes(of: request.body), reference: name, changes: changes)
        return Response(
            .ok, headers: ["Content-Type": "application/json"],
            body: .bytes(ByteBuffer(string: "{\"status\":\(JSONText.quoted(id))}\r\n")))
    }

    private func pull(_ request: Request) -> Response {
        let image = request.value("fromImage") ?? ""
        let tag = request.value("tag") ?? ""
        let separator = tag.hasPrefix("sha256:") ? "@" : ":"
        let reference = tag.isEmpty ? image : image + separator + tag
        let progress = node.images.pull(
            reference, registryAuth: request.head.headers.first(name: "x-registry-auth"))
        return Response(
            .ok, headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                do {
                    for try await step in progress { try await writer.write(Self.line(step)) }
                } catch {
                    let text = JSONText.quoted((error as? SwarmError)?.description ?? "\(error)")
                    try await writer.write("{\"errorDetail\":{\"message\":\(text)},\"error\":\(text)}\r\n")
                }
            })
    }

    private static func line(_ step: ImageProgress) -> String {
        var text = "{\"status\":\(JSONText.quoted(step.status))"
        if let current = step.current {
            let total = step.total.map { ",\"total\":\($0)" } ?? ""
            text += ",\"progressDetail\":{\"current\":\(current)\(total)}"
        }
        if let id = step.id { text += ",\"id\":\(JSONText.quoted(id))" }
        return text + "}\r\n"
    }

    private static func summary(_ image: ImageInfo) -> JSONDocument {
        [
            "Id": .string(image.id), "ParentId": "", "RepoTags": .strings(image.repoTags),
            "RepoDigests": .strings(image.repoDigests), "Created": .integer(image.created.seconds),
            "Size": .integer(image.sizeBytes), "SharedSize": -1, "Containers": -1,
            "Labels": .labels(image.configuration.labels),
        ]
    }

    private static func detail(_ image: ImageInfo) -> JSONDocument {
        [
            "Id": .string(image.id), "RepoTags": .strings(image.repoTags),
            "RepoDigests": .strings(image.repoDigests),
            "Parent": "", "Comment": "", "Created": .time(image.created), "Author": "",
            "Config": .value(image.configuration), "Architecture": .string(image.architecture),
            "Os": .string(image.os),
            "Size": .integer(image.sizeBytes),
            "RootFS": ["Type": "layers", "Layers": .strings(image.layers)],
        ]
    }
}

/// Hands a request's body on, part by part, as fast as it is asked for.
private actor BodySource {
    private var iterator: RequestBody.AsyncIterator
    init(_ body: RequestBody) { iterator = body.makeAsyncIterator() }

    func next() async throws -> [UInt8]? {
        let iterator = self.iterator
        return try await iterator.next().map { Array($0.readableBytesView) }
    }
}
