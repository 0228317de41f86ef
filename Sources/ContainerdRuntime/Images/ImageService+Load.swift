import ContainerdAPI
import RegistryClient
package import SwarmCore
import SwarmModel

/// A file of an archive, in the content store.
private struct StoredFile: Sendable {
    var digest: String
    var size: Int64
    /// `+gzip`, `+zstd` or nothing.
    var compression: String
}

/// All files of an archive of images.
private struct ArchiveContents: Sendable {
    private var files: [String: StoredFile] = [:]
    private var links: [String: String] = [:]
    private(set) var digests: [String: Int64] = [:]

    /// Links that lead to links.
    private static let linksMax = 16

    subscript(path: String) -> StoredFile? {
        var place = path
        for _ in 0..<Self.linksMax {
            if let file = files[place] { return file }
            guard let next = links[place] else { return nil }
            place = next
        }
        return nil
    }

    mutating func add(_ file: StoredFile, at path: String) {
        files[path] = file
        digests[file.digest] = file.size
    }

    mutating func addLink(_ path: String, to target: String) { links[path] = target }
}

/// One image of a docker-archive's `manifest.json`.
private struct ArchivedImage: Codable {
    var config: String
    var repoTags: [String]?
    var layers: [String]

    enum CodingKeys: String, CodingKey { case config = "Config", repoTags = "RepoTags", layers = "Layers" }
}

extension ImageService {
    /// Loads a docker-archive or an OCI archive: every file goes straight to the content store, where it stays if
    /// an image needs it.
    /// - Returns: the names that were loaded; for a nameless image its id.
    package func load(_ archive: AsyncThrowingStream<[UInt8], any Error>) async throws(SwarmError) -> [String]
    {
        try await withLease { lease throws(SwarmError) in
            let writer = ContentWriter(client: self.client, lease: lease)
            let contents = try await self.store(archive, writer)
            if let manifest = contents["manifest.json"] {
                return try await self.loadDockerArchive(contents, manifest, writer)
            }
            if let index = contents["index.json"] {
                return try await self.loadOCIArchive(contents, index, writer)
            }
            throw SwarmError(
                .invalidArgument,
                "the archive holds no images: it has neither a manifest.json (docker save) nor an index.json (OCI)"
            )
        }
    }

    private func store(
        _ archive: AsyncThrowingStream<[UInt8], any Error>, _ writer: ContentWriter
    ) async throws(SwarmError) -> ArchiveContents {
        let reader = TarReader(Inflate.ifCompressed(archive))
        var contents = ArchiveContents()
        do {
            while let entry = try await reader.next() {
                switch entry.kind {
                case .directory, .other, .symbolicLink: continue
                case .link(let target): contents.addLink(entry.path, to: target)
                case .file where entry.size == 0 || Self.isNeedless(entry.path): continue
                case .file: contents.add(try await store(entry, reader, writer), at: entry.path)
                }
            }
        } catch let error as SwarmError {
            throw error
        } catch {
            throw SwarmError(.unavailable, "the archive did not arrive whole", cause: "\(error)")
        }
        return contents
    }

    /// Files that old archives carry along and that say nothing.
    private static func isNeedless(_ path: String) -> Bool {
        ["VERSION", "json", "repositories", "oci-layout"].contains(path.split(separator: "/").last ?? "")
    }

    private func store(
        _ entry: TarEntry, _ reader: TarReader, _ writer: ContentWriter
    ) async throws(SwarmError) -> StoredFile {
        let sniffer = PrefixSniffer()
        let written = try await writer.write(
            total: entry.size, expected: nil, labels: [:]
        ) { sink in
            try await reader.read { try await sink.write($0) }
            await sniffer.keep(await sink.prefix)
        }
        // In an OCI layout the name is a promise.
        let parts = entry.path.split(separator: "/")
        if parts.count == 3, parts[0] == "blobs", parts[1] == "sha256", "sha256:\(parts[2])" != written.digest
        {
            throw SwarmError(
                .invalidArgument, "the archive is damaged: \(entry.path) has the digest \(written.digest)")
        }
        return StoredFile(
            digest: written.digest, size: entry.size, compression: Compressions.suffix(await sniffer.prefix))
    }

    // MARK: docker-archive

    private func loadDockerArchive(
        _ contents: ArchiveContents, _ file: StoredFile, _ writer: ContentWriter
    ) async throws(SwarmError) -> [String] {
        let images: [ArchivedImage] = try Self.decode(
            try await writer.read(file.digest, limit: ManifestDocument.bytesMax), "manifest.json")
        var loaded: [String] = []
        for image in images {
            guard let config = contents[Self.plain(image.config)] else { throw Self.lacks(image.config) }
            let bytes = try await writer.read(config.digest, limit: Self.configurationBytesMax)
            let decoded: ImageFile = try Self.decode(bytes, "configuration")
            var layers: [BlobDescriptor] = []
            for path in image.layers {
                guard let layer = contents[Self.plain(path)] else { throw Self.lacks(path) }
                let suffix = layer.compression.replacing("+", with: ".")
                layers.append(
                    BlobDescriptor(
                        mediaType: MediaType.dockerLayer + suffix, digest: layer.digest, size: layer.size))
            }
            let names = try (image.repoTags ?? []).map { (name) throws(SwarmError) in
                try Self.canonicalName(name)
            }
            let target = try await storeManifest(bytes, decoded.rootfs.diffIDs, layers, writer)
            try await unpack(layers, diffIDs: decoded.rootfs.diffIDs, lease: writer.lease)
            try await putRecords(names.isEmpty ? [target.id] : names, target.descriptor)
            loaded += names.isEmpty ? [target.id] : names.map { ImageReference($0)?.familiar ?? $0 }
        }
        return loaded
    }

    private static func plain(_ path: String) -> String {
        path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    private static func lacks(_ what: String) -> SwarmError {
        SwarmError(.invalidArgument, "the archive is incomplete: it lacks \(what)")
    }

    // MARK: OCI archive

    private func loadOCIArchive(
        _ contents: ArchiveContents, _ file: StoredFile, _ writer: ContentWriter
    ) async throws(SwarmError) -> [String] {
        let bytes = try await writer.read(file.digest, limit: ManifestDocument.bytesMax)
        guard
            case .index(let index) = try ManifestDocument(parsing: bytes, mediaType: "", name: "the archive")
        else {
            throw SwarmError(.invalidArgument, "the archive's index.json is no index")
        }
        var loaded: [String] = []
        for entry in index.manifests where Self.runsHere(entry) {
            let id = try await loadImage(entry, contents, writer)
            let given =
                entry.annotations?["io.containerd.image.name"]
                ?? entry.annotations?["org.opencontainers.image.ref.name"]
            guard let given, let name = try? Self.canonicalName(given) else {
                try await putRecords([id], entry)
                loaded.append(id)
                continue
            }
            try await putRecords([name], entry)
            loaded.append(ImageReference(name)?.familiar ?? name)
        }
        guard !loaded.isEmpty else {
            throw SwarmError(.notFound, "the archive holds no image for \(ImagePlatform.host)")
        }
        return loaded
    }

    private static func runsHere(_ entry: BlobDescriptor) -> Bool {
        guard entry.platform != nil else { return true }
        let alone = ImageIndex(mediaType: "", manifests: [entry])
        return (try? ImagePlatform.host.choose(from: alone, name: "")) != nil
    }

    /// Binds the blobs of one image together and unpacks it.
    /// - Returns: its id.
    private func loadImage(
        _ top: BlobDescriptor, _ contents: ArchiveContents, _ writer: ContentWriter
    ) async throws(SwarmError) -> String {
        let name = top.annotations?["org.opencontainers.image.ref.name"] ?? top.digest
        guard contents.digests[top.digest] != nil else { throw Self.lacks(top.digest) }
        let document = try ManifestDocument(
            parsing: try await writer.read(top.digest, limit: ManifestDocument.bytesMax),
            mediaType: top.mediaType,
            name: name)
        let manifest: ImageManifest
        switch document {
        case .image(let image):
            manifest = image
            try await writer.relabel(top.digest, Self.manifestLabels(image))
        case .index(let index):
            let chosen = try ImagePlatform.host.choose(from: index, name: name)
            guard contents.digests[chosen.digest] != nil else { throw Self.lacks(chosen.digest) }
            manifest = try await self.manifest(of: chosen.digest, chosen.mediaType, name, writer)
            try await writer.relabel(chosen.digest, Self.manifestLabels(manifest))
            try await writer.relabel(top.digest, ["containerd.io/gc.ref.content.m.0": chosen.digest])
        }
        for blob in [manifest.config] + manifest.layers where contents.digests[blob.digest] != blob.size {
            throw Self.lacks("\(blob.digest) of \(blob.size) bytes")
        }
        let file: ImageFile = try Self.decode(
            try await writer.read(manifest.config.digest, limit: Self.configurationBytesMax), "configuration")
        try await writer.relabel(manifest.config.digest, Self.snapshotLabels(file.rootfs.diffIDs))
        try await unpack(manifest.layers, diffIDs: file.rootfs.diffIDs, lease: writer.lease)
        return manifest.config.digest
    }

    // MARK: Saving

    /// Writes images as an archive that is a docker-archive and an OCI archive at once.
    package func save(
        _ references: [String], to deliver: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws(SwarmError) {
        let content = ContentWriter(client: client, lease: "")
        var blobs: [String: Int64] = [:]
        var archived: [ArchivedImage] = []
        var index = ImageIndex(mediaType: MediaType.ociIndex, manifests: [])
        for reference in references {
            let image = try await resolve(reference)
            guard let record = try await record(named: image.name) else { throw Self.lacks(image.name) }
            var target = BlobDescriptor(
                mediaType: record.target.mediaType, digest: record.target.digest, size: record.target.size)
            let bytes = try await content.read(target.digest)
            if case .index(let list) = try ManifestDocument(
                parsing: bytes, mediaType: target.mediaType, name: image.name)
            {
                target = try ImagePlatform.host.choose(from: list, name: image.name)
            }
            let manifest = try await manifest(of: target.digest, target.mediaType, image.name, content)
            let tag = ImageReference(image.name).flatMap { $0.digest == nil ? $0 : nil }
            if let tag {
                target.annotations = [
                    "io.containerd.image.name": image.name,
                    "org.opencontainers.image.ref.name": tag.effectiveTag ?? "",
                ]
            }
            index.manifests.append(target)
            archived.append(
                ArchivedImage(
                    config: Self.place(manifest.config), repoTags: tag.map { [$0.familiar] },
                    layers: manifest.layers.map(Self.place)))
            for blob in [target, manifest.config] + manifest.layers { blobs[blob.digest] = blob.size }
        }
        do {
            for (digest, size) in blobs.sorted(by: { $0.key < $1.key }) {
                try await deliver(TarWriter.header("blobs/sha256/\(digest.dropFirst(7))", size: size))
                try await content.stream(digest, to: deliver)
                try await deliver(TarWriter.padding(size))
            }
            let files = [
                ("index.json", try Self.encode(index)), ("manifest.json", try Self.encode(archived)),
                ("oci-layout", Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8)),
            ]
            for (name, bytes) in files {
                let size = Int64(bytes.count)
                try await deliver(TarWriter.header(name, size: size) + bytes + TarWriter.padding(size))
            }
            try await deliver(TarWriter.end)
        } catch let error as SwarmError {
            throw error
        } catch {
            throw SwarmError(.unavailable, "the archive could not be sent", cause: "\(error)")
        }
    }

    private static func place(_ blob: BlobDescriptor) -> String { "blobs/sha256/\(blob.digest.dropFirst(7))" }
}
