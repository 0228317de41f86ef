import ContainerdAPI
import GRPCCore
import Ports
import RegistryClient
package import SwarmCore
import SwarmModel
import SwiftProtobuf

extension ImageService {
    /// Makes an image of one layer from a root file system tar, plain or compressed with gzip or zstd.
    /// - Parameters:
    ///   - reference: its name; nil for an image that is known by its id only.
    ///   - changes: `CMD`, `ENTRYPOINT`, `ENV`, `WORKDIR`, `USER`, `LABEL`, `EXPOSE` lines of a Dockerfile.
    /// - Returns: the image's id.
    package func importRootFileSystem(
        _ archive: AsyncThrowingStream<[UInt8], any Error>, reference: String?, changes: [String]
    ) async throws(SwarmError) -> String {
        var name: String?
        if let reference { name = try Self.canonicalName(reference) }
        let configuration = try DockerfileChanges.apply(changes)
        return try await withLease { lease throws(SwarmError) in
            let writer = ContentWriter(client: self.client, lease: lease)
            let layer = try await self.storeLayer(archive, writer)
            let diffID = try await self.measure(layer, lease)
            let now = Timestamp(nanoseconds: Self.wallClock()).description
            var file = ImageFile(
                created: now, architecture: ImagePlatform.host.architecture, os: "linux",
                config: configuration, rootfs: .init(type: "layers", diffIDs: [diffID]))
            file.history = [.init(created: now, comment: "Imported from -")]
            let target = try await self.storeManifest(file, [layer], writer)
            try await self.unpack([layer], diffIDs: [diffID], lease: lease)
            try await self.putRecords([name ?? target.id], target.descriptor)
            return target.id
        }
    }

    private func storeLayer(
        _ archive: AsyncThrowingStream<[UInt8], any Error>, _ writer: ContentWriter
    ) async throws(SwarmError) -> BlobDescriptor {
        let sniffer = PrefixSniffer()
        let written = try await writer.write(total: 0, expected: nil, labels: [:]) { sink in
            for try await piece in archive { try await sink.write(piece) }
            await sniffer.keep(await sink.prefix)
        }
        let type = MediaType.ociLayer + Compressions.suffix(await sniffer.prefix)
        return BlobDescriptor(mediaType: type, digest: written.digest, size: written.size)
    }

    /// The digest of a layer's unpacked tar; a compressed one is unpacked to find out.
    func measure(_ layer: BlobDescriptor, _ lease: String) async throws(SwarmError) -> String {
        guard MediaType.compression(ofLayer: layer.mediaType) != MediaType.Compression.none else {
            return layer.digest
        }
        let metadata: Metadata = ["containerd-lease": "\(lease)"]
        let key = "measure-\(UInt64.random(in: 0 ... .max))"
        do throws(SwarmError) {
            let mounts = try await client.prepareSnapshot(
                .with {
                    $0.snapshotter = Self.snapshotter
                    $0.key = key
                }, metadata: metadata)
            let digest = try await apply(layer, mounts, metadata)
            await removeSnapshot(key)
            return digest
        } catch {
            await Task { await removeSnapshot(key) }.value
            throw error
        }
    }

    /// Stores a configuration and the manifest that binds it to its layers.
    func storeManifest(
        _ file: ImageFile, _ layers: [BlobDescriptor], _ writer: ContentWriter
    ) async throws(SwarmError) -> (id: String, descriptor: BlobDescriptor) {
        let bytes = try Self.encode(file)
        return try await storeManifest(bytes, file.rootfs.diffIDs, layers, writer)
    }

    func storeManifest(
        _ configuration: [UInt8], _ diffIDs: [String], _ layers: [BlobDescriptor], _ writer: ContentWriter
    ) async throws(SwarmError) -> (id: String, descriptor: BlobDescriptor) {
        let config = try await writer.write(
            configuration, mediaType: MediaType.dockerConfiguration, labels: Self.snapshotLabels(diffIDs))
        let manifest = ImageManifest(mediaType: MediaType.dockerManifest, config: config, layers: layers)
        let target = try await writer.write(
            try Self.encode(manifest), mediaType: MediaType.dockerManifest, labels: Self.manifestLabels(manifest))
        return (config.digest, target)
    }

    /// What keeps an image's unpacked layers for as long as its configuration is kept.
    static func snapshotLabels(_ diffIDs: [String]) -> [String: String] {
        var labels: [String: String] = [:]
        // Each by itself: the lower ones are there before the top one, which would keep them, is.
        for (index, key) in chainIDs(diffIDs).enumerated() {
            labels["containerd.io/gc.ref.snapshot.\(snapshotter)/\(index)"] = key
        }
        return labels
    }

    /// What keeps an image's blobs for as long as its manifest is kept.
    static func manifestLabels(_ manifest: ImageManifest) -> [String: String] {
        var labels = ["containerd.io/gc.ref.content.config": manifest.config.digest]
        for (index, layer) in manifest.layers.enumerated() {
            labels["containerd.io/gc.ref.content.l.\(index)"] = layer.digest
        }
        return labels
    }
}

/// Keeps the first bytes of a stream.
actor PrefixSniffer {
    private(set) var prefix: [UInt8] = []
    func keep(_ bytes: [UInt8]) { prefix = bytes }
}

/// Compressed formats by their first bytes (RFC 1952 §2.3.1, RFC 8878 §3.1.1).
enum Compressions {
    static func suffix(_ prefix: [UInt8]) -> String {
        if prefix.starts(with: [0x1f, 0x8b]) { return "+gzip" }
        if prefix.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) { return "+zstd" }
        return ""
    }
}
