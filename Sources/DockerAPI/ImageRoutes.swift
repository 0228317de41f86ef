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
        router.on(.GET, "/images/json") { try await listImages($0) }
        router.on(.GET, "/images/get") { request in
            let names = request.query.filter { $0.name == "names" }.map(\.value)
            return try await saveImages(names)
        }
        router.on(.GET, "/images/{name...}/get") { try await saveImages([$0.capture("name")]) }
        router.on(.GET, "/images/{name...}/history") { request in
            let steps = try await node.images.history(request.capture("name"))
            return try Self.json(steps.map(Self.step))
        }
        router.on(.GET, "/images/{name...}/json") { request in
            let image = try await Self.naming(request) { name throws(SwarmError) in
                try await node.images.image(name)
            }
            let last = try? await node.images.history(request.capture("name")).first
            return try Self.json(Self.detail(image, comment: last?.comment ?? ""))
        }
        router.on(.POST, "/images/create") { request in
            if request.value("fromSrc") == "-" { return try await importImage(request) }
            return try pull(request)
        }
        addRegistries(&router)
        router.on(.POST, "/images/load") { try await loadImages($0) }
        router.on(.POST, "/images/prune") { try await pruneImages($0) }
        router.on(.POST, "/images/{name...}/tag") { request in
            let tag = request.value("tag").flatMap { $0.isEmpty ? nil : ":" + $0 } ?? ""
            let target = (request.value("repo") ?? "") + tag
            try await node.images.tag(request.capture("name"), as: target)
            let familiar = ImageReference(target)?.familiar ?? target
            await tell("tag", image: try await node.images.image(target).id, name: familiar)
            return Response(.created)
        }
        router.on(.DELETE, "/images/{name...}") { request in
            let name = request.capture("name")
            let id = (try? await node.images.image(name).id) ?? name
            let removed = try await node.images.removeImage(name, force: request.flag("force"))
            for removal in removed {
                switch removal {
                case .untagged: await tell("untag", image: id, name: id)
                case .deleted(let deleted) where deleted == id: await tell("delete", image: id, name: id)
                case .deleted: break
                }
            }
            return try Self.json(removed.map(Self.removal))
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

    /// Looks an image up by the name in the path; Docker repeats the name before the refusal.
    private static func naming<Value>(
        _ request: Request, _ body: (String) async throws(SwarmError) -> Value
    ) async throws(SwarmError) -> Value {
        let name = request.capture("name")
        do {
            return try await body(name)
        } catch  where error.code == .notFound {
            throw SwarmError(.notFound, "no such image: \(name): \(error.message)")
        }
    }

    static func bytes(of body: RequestBody) -> AsyncThrowingStream<[UInt8], any Error> {
        let source = BodySource(body)
        return AsyncThrowingStream { try await source.next() }
    }

    // MARK: Listing

    private func listImages(_ request: Request) async throws -> Response {
        let filters = try request.filters(["reference", "dangling", "label"])
        let dangling = filters["dangling"]?.first.map { ["1", "true"].contains($0.lowercased()) }
        let images = try await node.images.images().filter { image in
            (dangling.map { $0 == image.repoTags.isEmpty } ?? true)
                && Lookup.matches(image.configuration.labels, filters["label"] ?? [])
                && (filters["reference"].map { ImageFilter.matches(image, $0) } ?? true)
        }
        let isOld = request.version.map { $0 < APIVersion(1, 44) } ?? false
        return try Self.json(
            images.sorted { ($1.created, $0.id) < ($0.created, $1.id) }.map { Self.summary($0, isOld: isOld) }
        )
    }

    private static func summary(_ image: ImageInfo, isOld: Bool) -> JSONDocument {
        var members: JSONMembers = [
            "Containers": -1, "Created": .integer(image.created.seconds), "Id": .string(image.id),
            "Labels": .labels(image.configuration.labels), "ParentId": "",
            "RepoDigests": .strings(image.repoDigests), "RepoTags": .strings(image.repoTags),
            "SharedSize": -1,
            "Size": .integer(image.sizeBytes),
        ]
        if isOld { members["VirtualSize"] = .integer(image.sizeBytes) }
        return .object(members)
    }

    /// - Parameter comment: of its last step.
    private static func detail(_ image: ImageInfo, comment: String) -> JSONDocument {
        [
            "Id": .string(image.id), "RepoTags": .strings(image.repoTags),
            "RepoDigests": .strings(image.repoDigests),
            "Parent": "", "Comment": .string(comment), "Created": .time(image.created), "DockerVersion": "",
            "Author": "", "Config": configuration(of: image), "Architecture": .string(image.architecture),
            "Os": .string(image.os),
            "Size": .integer(image.sizeBytes), "GraphDriver": ["Data": .null, "Name": "overlayfs"],
            "RootFS": ["Type": "layers", "Layers": .strings(image.layers)],
            // When an image was tagged is not kept.
            "Metadata": ["LastTagTime": .time(nil)],
        ]
    }

    /// With the members of a container's configuration, which clients expect in an image's, too.
    private static func configuration(of image: ImageInfo) -> JSONDocument {
        let found = image.configuration
        func object(_ keys: [String: EmptyObject]?) -> JSONDocument {
            keys.map { .object(JSONMembers(sorted: $0.mapValues { _ in [:] })) } ?? .null
        }
        var members: JSONMembers = [
            "Hostname": "", "Domainname": "", "User": .string(found.user ?? ""), "AttachStdin": false,
            "AttachStdout": false, "AttachStderr": false,
        ]
        if let ports = found.exposedPorts, !ports.isEmpty { members["ExposedPorts"] = object(ports) }
        members["Tty"] = false
        members["OpenStdin"] = false
        members["StdinOnce"] = false
        members["Env"] = .strings(found.env)
        members["Cmd"] = .strings(found.cmd)
        if let check = found.healthcheck { members["Healthcheck"] = .value(check) }
        members["Image"] = ""
        members["Volumes"] = object(found.volumes)
        members["WorkingDir"] = .string(found.workingDir ?? "")
        members["Entrypoint"] = .strings(found.entrypoint)
        members["OnBuild"] = .null
        members["Labels"] = found.labels.map { .labels($0) } ?? .null
        if let signal = found.stopSignal, !signal.isEmpty { members["StopSignal"] = .string(signal) }
        return .object(members)
    }

    private static func step(_ step: ImageHistoryStep) -> JSONDocument {
        [
            "Id": .string(step.id), "Created": .integer(step.created.seconds),
            "CreatedBy": .string(step.createdBy),
            "Tags": step.tags.isEmpty ? nil : .strings(step.tags), "Size": .integer(step.sizeBytes),
            "Comment": .string(step.comment),
        ]
    }

    private static func removal(_ removal: ImageRemoval) -> JSONDocument {
        switch removal {
        case .untagged(let name): ["Untagged": .string(name)]
        case .deleted(let id): ["Deleted": .string(id)]
        }
    }

    private func pruneImages(_ request: Request) async throws -> Response {
        let filters = try request.filters(["dangling"])
        let all = filters["dangling"]?.first.map { ["0", "false"].contains($0.lowercased()) } ?? false
        let (removed, bytes) = try await node.images.prune(all: all)
        return try Self.json(
            [
                "ImagesDeleted": removed.isEmpty ? nil : .array(removed.map(Self.removal)),
                "SpaceReclaimed": .integer(bytes),
            ] as JSONDocument)
    }

    // MARK: Archives

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

    private func loadImages(_ request: Request) async throws -> Response {
        let names = try await node.images.load(Self.bytes(of: request.body))
        let lines = names.map { name in
            let kind = name.hasPrefix("sha256:") ? "Loaded image ID" : "Loaded image"
            return "{\"stream\":\(JSONText.quoted("\(kind): \(name)\n"))}\r\n"
        }
        return Response(
            .ok, headers: ["Content-Type": "application/json"],
            body: .bytes(ByteBuffer(string: lines.joined())))
    }

    private func saveImages(_ names: [String]) async throws -> Response {
        guard !names.isEmpty else { throw SwarmError(.invalidArgument, "no image names given") }
        // What is missing must be said before the archive begins.
        for name in names { _ = try await node.images.image(name) }
        return Response(
            .ok, headers: ["Content-Type": "application/x-tar"],
            body: .stream { writer in
                try await node.images.save(names) { try await writer.write(ByteBuffer(bytes: $0)) }
            })
    }

    // MARK: Pulling

    private func pull(_ request: Request) throws -> Response {
        let image = request.value("fromImage") ?? ""
        let tag = request.value("tag") ?? ""
        guard let platform = request.value("platform"), !platform.isEmpty else {
            return pull(image, tag, request.head.headers.first(name: "x-registry-auth"))
        }
        throw SwarmError(
            .unimplemented,
            "images for another platform than the node's own are not pulled: leave --platform out")
    }

    private func pull(_ image: String, _ tag: String, _ auth: String?) -> Response {
        let separator = tag.hasPrefix("sha256:") ? "@" : ":"
        let reference = tag.isEmpty ? image : image + separator + tag
        let progress = node.images.pull(reference, registryAuth: auth)
        let familiar = ImageReference(reference)?.familiar ?? reference
        return Response(
            .ok, headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                do {
                    for try await step in progress { try await writer.write(Self.line(step)) }
                    await tell("pull", image: familiar, name: ImageReference(familiar)?.familiarName ?? familiar)
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
}

/// `docker images --filter reference=PATTERN`: a name or `name:tag`, with `*` and `?` within one component.
enum ImageFilter {
    static func matches(_ image: ImageInfo, _ patterns: [String]) -> Bool {
        let names = image.repoTags + image.repoDigests
        return patterns.contains { pattern in
            names.contains { name in
                let bare = name.prefix { $0 != "@" }
                let colon = bare.lastIndex(of: ":").flatMap { bare[$0...].contains("/") ? nil : $0 }
                let repository = bare[..<(colon ?? bare.endIndex)]
                return matches(Array(name.utf8)[...], Array(pattern.utf8)[...])
                    || matches(Array(repository.utf8)[...], Array(pattern.utf8)[...])
            }
        }
    }

    private static func matches(_ text: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
        var (text, pattern) = (text, pattern)
        // Where to go on when a star must take one byte more.
        var retry: (text: ArraySlice<UInt8>, pattern: ArraySlice<UInt8>)?
        while true {
            if pattern.first == UInt8(ascii: "*") {
                pattern = pattern.dropFirst()
                retry = (text, pattern)
            } else if let byte = text.first, let wanted = pattern.first,
                byte == wanted || (wanted == UInt8(ascii: "?") && byte != UInt8(ascii: "/"))
            {
                (text, pattern) = (text.dropFirst(), pattern.dropFirst())
            } else if text.isEmpty && pattern.isEmpty {
                return true
            } else {
                guard let last = retry, let taken = last.text.first, taken != UInt8(ascii: "/") else {
                    return false
                }
                (text, pattern) = (last.text.dropFirst(), last.pattern)
                retry = (text, pattern)
            }
        }
    }
}

/// Hands a request's body on, part by part, as fast as it is asked for.
private actor BodySource {
    private var iterator: RequestBody.AsyncIterator
    init(_ body: RequestBody) { iterator = body.makeAsyncIterator() }

    func next() async throws -> [UInt8]? {
        let iterator = self.iterator
        do {
            return try await iterator.next().map { Array($0.readableBytesView) }
        } catch let error as APIError {
            // Who reads archives knows nothing of HTTP, and would take it for a failure of ours.
            throw SwarmError(.invalidArgument, error.message)
        }
    }
}
