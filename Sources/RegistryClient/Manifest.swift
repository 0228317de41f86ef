package import SwarmCore
import FoundationEssentials

/// What a blob is, as manifests and indexes name it (OCI image specification, descriptor.md).
package struct BlobDescriptor: Sendable, Equatable, Codable {
    package var mediaType: String
    package var digest: String
    package var size: Int64
    /// Given in indexes only.
    package var platform: ImagePlatform?
    package var annotations: [String: String]?

    package init(
        mediaType: String, digest: String, size: Int64, platform: ImagePlatform? = nil,
        annotations: [String: String]? = nil
    ) {
        (self.mediaType, self.digest, self.size) = (mediaType, digest, size)
        (self.platform, self.annotations) = (platform, annotations)
    }
}

/// A manifest of the Docker or OCI image format.
package struct ImageManifest: Sendable, Equatable, Codable {
    package var schemaVersion: Int
    package var mediaType: String?
    package var config: BlobDescriptor
    package var layers: [BlobDescriptor]

    package init(mediaType: String, config: BlobDescriptor, layers: [BlobDescriptor]) {
        (self.schemaVersion, self.mediaType, self.config, self.layers) = (2, mediaType, config, layers)
    }
}

/// A manifest list (Docker) or image index (OCI): one image for several platforms.
package struct ImageIndex: Sendable, Equatable, Codable {
    package var schemaVersion: Int
    package var mediaType: String?
    package var manifests: [BlobDescriptor]

    package init(mediaType: String, manifests: [BlobDescriptor]) {
        (self.schemaVersion, self.mediaType, self.manifests) = (2, mediaType, manifests)
    }
}

/// The names of the formats (OCI image specification, media-types.md; Docker's image manifest V2, schema 2).
package enum MediaType {
    package static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    package static let dockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json"
    package static let dockerConfiguration = "application/vnd.docker.container.image.v1+json"
    package static let dockerLayer = "application/vnd.docker.image.rootfs.diff.tar"
    package static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
    package static let ociIndex = "application/vnd.oci.image.index.v1+json"
    package static let ociConfiguration = "application/vnd.oci.image.config.v1+json"
    package static let ociLayer = "application/vnd.oci.image.layer.v1.tar"

    /// All that a pull understands, as an Accept header names it.
    package static let manifests = [dockerManifest, dockerIndex, ociManifest, ociIndex]

    static func isIndex(_ type: String) -> Bool { type == dockerIndex || type == ociIndex }

    /// What unpacks a layer: nothing, gzip or zstd; nil for what is no file system layer.
    package enum Compression: String, Sendable { case none, gzip, zstd }

    package static func compression(ofLayer type: String) -> Compression? {
        let bases = [
            dockerLayer, ociLayer, "application/vnd.docker.image.rootfs.foreign.diff.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
        ]
        guard let base = bases.first(where: { type.hasPrefix($0) }) else { return nil }
        switch type.dropFirst(base.count) {
        case "": return Compression.none
        case ".gzip", "+gzip": return .gzip
        case ".zstd", "+zstd": return .zstd
        default: return nil
        }
    }
}

/// A manifest or an index, checked, so that what follows need not doubt its digests and sizes.
package enum ManifestDocument: Sendable, Equatable {
    case image(ImageManifest)
    case index(ImageIndex)

    /// The largest manifest that is read, in bytes; registries themselves refuse larger ones.
    package static let bytesMax = 4 << 20
    /// The most layers an image, and the most manifests an index, may have.
    static let entriesMax = 1024
    /// The largest blob, in bytes: 1 TiB.
    static let blobBytesMax: Int64 = 1 << 40

    private struct Shape: Decodable {
        var schemaVersion: Int?
        var mediaType: String?
        var config: Present?
        var layers: Present?
        var manifests: Present?
        var fsLayers: Present?

        struct Present: Decodable { init(from decoder: any Decoder) throws {} }
    }

    /// - Parameters:
    ///   - mediaType: what the registry or the index said it is; empty when nobody said.
    ///   - name: the image, for messages.
    package init(parsing bytes: [UInt8], mediaType: String, name: String) throws(SwarmError) {
        let shape: Shape = try Self.decode(bytes, name)
        if shape.fsLayers != nil || shape.schemaVersion == 1 {
            throw SwarmError(
                .invalidArgument,
                "\(name) has a manifest of schema version 1, which is no longer supported: build and push the image "
                    + "again with a current client")
        }
        // A document that can be read both ways could pass for one image here and for another elsewhere.
        guard shape.manifests == nil || (shape.layers == nil && shape.config == nil) else {
            throw SwarmError(.invalidArgument, "the manifest of \(name) is an image and an index at once")
        }
        let stated = shape.mediaType ?? mediaType
        if shape.manifests != nil {
            guard stated.isEmpty || MediaType.isIndex(stated) || !MediaType.manifests.contains(stated) else {
                throw SwarmError(.invalidArgument, "the manifest of \(name) is an index but calls itself \(stated)")
            }
            self = .index(try Self.decode(bytes, name))
        } else {
            guard !MediaType.isIndex(stated) else {
                throw SwarmError(.invalidArgument, "the index of \(name) lists no manifests")
            }
            self = .image(try Self.decode(bytes, name))
        }
        try check(name)
    }

    private static func decode<Value: Decodable>(_ bytes: [UInt8], _ name: String) throws(SwarmError) -> Value {
        guard bytes.count <= bytesMax else {
            throw SwarmError(.resourceExhausted, "the manifest of \(name) is larger than \(bytesMax) bytes")
        }
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch {
            let cause = (error as? DecodingError)?.words(of: "it") ?? "\(error)"
            throw SwarmError(.invalidArgument, "the manifest of \(name) is not valid", cause: cause)
        }
    }

    private func check(_ name: String) throws(SwarmError) {
        let entries: [BlobDescriptor]
        switch self {
        case .index(let index): entries = index.manifests
        case .image(let image):
            let types = [MediaType.dockerConfiguration, MediaType.ociConfiguration, "application/octet-stream"]
            guard types.contains(image.config.mediaType) else {
                throw SwarmError(
                    .invalidArgument,
                    "\(name) is not a container image: its configuration is of type \(image.config.mediaType)")
            }
            for layer in image.layers where MediaType.compression(ofLayer: layer.mediaType) == nil {
                throw SwarmError(
                    .invalidArgument, "\(name) has a layer of a type that cannot be unpacked: \(layer.mediaType)")
            }
            entries = [image.config] + image.layers
        }
        guard entries.count <= Self.entriesMax else {
            throw SwarmError(.invalidArgument, "the manifest of \(name) names more than \(Self.entriesMax) blobs")
        }
        for entry in entries {
            guard Self.isDigest(entry.digest) else {
                throw SwarmError(.invalidArgument, "the manifest of \(name) has an invalid digest: \(entry.digest)")
            }
            guard (0...Self.blobBytesMax).contains(entry.size) else {
                throw SwarmError(.invalidArgument, "the manifest of \(name) has an impossible size: \(entry.size)")
            }
        }
    }

    /// `sha256:` and 64 lower-case hexadecimal digits; nothing else is ever put into a path.
    package static func isDigest(_ text: String) -> Bool {
        guard text.hasPrefix("sha256:"), text.utf8.count == 71 else { return false }
        return text.utf8.dropFirst(7).allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}
