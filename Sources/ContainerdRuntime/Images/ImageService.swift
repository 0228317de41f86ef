import ContainerdAPI
import FoundationEssentials
import GRPCCore
package import Logging
package import Ports
package import SwarmCore
import SwarmModel
import SwiftProtobuf

/// An image of this node, ready to be run.
package struct ResolvedImage: Sendable, Equatable {
    /// `sha256:…` of the configuration.
    package var id: String
    package var name: String
    package var targetDigest: String
    /// The snapshot of the top layer: the parent of every container's file system.
    package var topChainID: String
    package var configuration: ImageConfiguration
    package var diffIDs: [String]
    package var created: Timestamp
    package var architecture: String
    package var os: String
    package var sizeBytes: Int64
}

/// Images in containerd: names, blobs and unpacked snapshots.
package actor ImageService {
    let client: ContainerdClient
    let logger: Logger
    static let snapshotter = "overlayfs"
    /// Resolved images by canonical name, so that starting a task of a known image asks nobody.
    private var resolved: [String: ResolvedImage] = [:]

    package init(client: ContainerdClient, logger: Logger) { (self.client, self.logger) = (client, logger) }

    // MARK: Looking up

    /// - Throws: `.notFound("No such image: x:latest")`.
    package func resolve(_ reference: String) async throws(SwarmError) -> ResolvedImage {
        let name = try Self.canonicalName(reference)
        if let image = resolved[name] { return image }
        let record: Containerd_Services_Images_V1_Image
        do {
            record = try await containerd("Images.Get") {
                try await client.images.get(.with { $0.name = name }, options: ContainerdClient.quick).image
            }
        } catch  where error.code == .notFound {
            throw SwarmError(.notFound, "No such image: \(try Self.familiarName(reference))")
        }
        let image = try await describe(record)
        resolved[name] = image
        return image
    }

    private func describe(_ record: Containerd_Services_Images_V1_Image) async throws(SwarmError)
        -> ResolvedImage
    {
        let content = ContentWriter(client: client, lease: "")
        let manifest: ImageManifest = try Self.decode(
            try await content.read(record.target.digest), "manifest")
        let configuration: ImageFile = try Self.decode(
            try await content.read(manifest.config.digest), "configuration")
        return ResolvedImage(
            id: manifest.config.digest, name: record.name, targetDigest: record.target.digest,
            topChainID: Self.chainIDs(configuration.rootfs.diffIDs).last ?? "",
            configuration: configuration.config ?? ImageConfiguration(),
            diffIDs: configuration.rootfs.diffIDs,
            created: configuration.created.flatMap { Timestamp($0) } ?? .zero,
            architecture: configuration.architecture, os: configuration.os,
            sizeBytes: manifest.layers.reduce(0) { $0 + $1.size })
    }

    package func list() async throws(SwarmError) -> [ResolvedImage] {
        let records = try await containerd("Images.List") {
            try await client.images.list(.init(), options: ContainerdClient.quick).images
        }
        var images: [ResolvedImage] = []
        for record in records { images.append(try await describe(record)) }
        return images
    }

    /// Removes one name; blobs and snapshots that nothing else names go with it.
    package func remove(_ reference: String) async throws(SwarmError) {
        let image = try await resolve(reference)
        resolved[image.name] = nil
        try await containerd("Images.Delete") {
            _ = try await client.images.delete(
                .with {
                    $0.name = image.name
                    $0.sync = true
                }, options: ContainerdClient.slow)
        }
    }

    package func tag(_ reference: String, as target: String) async throws(SwarmError) {
        let image = try await resolve(reference)
        let record = try await containerd("Images.Get") {
            try await client.images.get(.with { $0.name = image.name }, options: ContainerdClient.quick).image
        }
        try await putRecord(name: try Self.canonicalName(target), record.target)
    }

    // MARK: Importing

    /// Makes an image of one layer from an uncompressed root file system tar.
    /// - Parameter changes: `CMD`, `ENTRYPOINT`, `ENV`, `WORKDIR`, `USER`, `LABEL`, `EXPOSE` lines of a Dockerfile.
    /// - Returns: the image's id.
    package func importRootFileSystem(
        _ archive: AsyncThrowingStream<[UInt8], any Error>, reference: String, changes: [String]
    ) async throws(SwarmError) -> String {
        let name = try Self.canonicalName(reference)
        let configuration = try DockerfileChanges.apply(changes)
        return try await withLease { lease throws(SwarmError) in
            let writer = ContentWriter(client: self.client, lease: lease)
            let layer = try await writer.write(archive, total: 0, expected: nil, labels: [:])
            // Uncompressed, so that the blob's digest is the layer's diff id.
            let layerType = "application/vnd.docker.image.rootfs.diff.tar"
            try await writer.relabel(layer.digest, ["containerd.io/uncompressed": layer.digest])
            let file = ImageFile(
                created: Timestamp(nanoseconds: Self.wallClock()).description, architecture: "amd64",
                os: "linux",
                config: configuration, rootfs: .init(type: "layers", diffIDs: [layer.digest]))
            let config = try await writer.write(
                try Self.encode(file), mediaType: "application/vnd.docker.container.image.v1+json",
                labels: ["containerd.io/gc.ref.snapshot.\(Self.snapshotter)": layer.digest])
            let manifest = ImageManifest(
                schemaVersion: 2, mediaType: "application/vnd.docker.distribution.manifest.v2+json",
                config: config,
                layers: [BlobDescriptor(mediaType: layerType, digest: layer.digest, size: layer.size)])
            let target = try await writer.write(
                try Self.encode(manifest), mediaType: manifest.mediaType ?? "",
                labels: [
                    "containerd.io/gc.ref.content.config": config.digest,
                    "containerd.io/gc.ref.content.l.0": layer.digest,
                ])
            try await self.unpack(manifest.layers, diffIDs: [layer.digest], lease: lease)
            try await self.putRecord(
                name: name,
                .with {
                    $0.mediaType = target.mediaType
                    $0.digest = target.digest
                    $0.size = target.size
                })
            return config.digest
        }
    }

    /// Applies layers one after another, each on top of the one before; what is there already is left alone.
    func unpack(_ layers: [BlobDescriptor], diffIDs: [String], lease: String) async throws(SwarmError) {
        guard layers.count == diffIDs.count else {
            throw SwarmError(
                .invalidArgument, "the image names \(diffIDs.count) layers but has \(layers.count)")
        }
        var parent = ""
        for (index, chainID) in Self.chainIDs(diffIDs).enumerated() {
            if try await !snapshotExists(chainID) {
                try await extract(
                    layers[index], diffID: diffIDs[index], parent: parent, chainID: chainID, lease)
            }
            parent = chainID
        }
    }

    private func snapshotExists(_ key: String) async throws(SwarmError) -> Bool {
        do {
            try await containerd("Snapshots.Stat") {
                _ = try await client.snapshots.stat(
                    .with {
                        $0.snapshotter = Self.snapshotter
                        $0.key = key
                    }, options: ContainerdClient.quick)
            }
            return true
        } catch  where error.code == .notFound {
            return false
        }
    }

    private func extract(
        _ layer: BlobDescriptor, diffID: String, parent: String, chainID: String, _ lease: String
    ) async throws(SwarmError) {
        let metadata: Metadata = ["containerd-lease": "\(lease)"]
        let key = "extract-\(UInt64.random(in: 0 ... .max)) \(chainID)"
        let mounts = try await containerd("Snapshots.Prepare") {
            try await client.snapshots.prepare(
                .with {
                    $0.snapshotter = Self.snapshotter
                    $0.key = key
                    $0.parent = parent
                    $0.labels = ["containerd.io/snapshot.ref": chainID]
                }, metadata: metadata, options: ContainerdClient.quick
            ).mounts
        }
        do throws(SwarmError) {
            let applied = try await containerd("Diff.Apply") {
                try await client.diff.apply(
                    .with {
                        $0.diff.mediaType = layer.mediaType
                        $0.diff.digest = layer.digest
                        $0.diff.size = layer.size
                        $0.mounts = mounts
                    }, metadata: metadata, options: ContainerdClient.within(.seconds(600))
                ).applied.digest
            }
            guard applied == diffID else {
                throw SwarmError(
                    .invalidArgument, "layer \(layer.digest) unpacks to \(applied), not to \(diffID)")
            }
            try await containerd("Snapshots.Commit") {
                _ = try await client.snapshots.commit(
                    .with {
                        $0.snapshotter = Self.snapshotter
                        $0.name = chainID
                        $0.key = key
                    }, metadata: metadata, options: ContainerdClient.quick)
            }
        } catch {
            try? await containerd("Snapshots.Remove") {
                _ = try await client.snapshots.remove(
                    .with {
                        $0.snapshotter = Self.snapshotter
                        $0.key = key
                    }, options: ContainerdClient.quick)
            }
            // Two extractions of one layer may run; the loser finds the winner's snapshot.
            guard error.code == .conflict else { throw error }
        }
    }

    private func putRecord(name: String, _ target: Containerd_Types_Descriptor) async throws(SwarmError) {
        resolved[name] = nil
        let image = Containerd_Services_Images_V1_Image.with {
            $0.name = name
            $0.target = target
        }
        do {
            try await containerd("Images.Create") {
                _ = try await client.images.create(
                    .with { $0.image = image }, options: ContainerdClient.quick)
            }
        } catch  where error.code == .conflict {
            try await containerd("Images.Update") {
                _ = try await client.images.update(
                    .with {
                        $0.image = image
                        $0.updateMask.paths = ["target"]
                    }, options: ContainerdClient.quick)
            }
        }
    }

    /// Runs `body` under a lease, so that the collector leaves half-made images alone until they are named.
    func withLease<Value: Sendable>(
        _ body: (String) async throws(SwarmError) -> Value
    ) async throws(SwarmError) -> Value {
        let id = "swarmd-\(UInt64.random(in: 0 ... .max))"
        let expiry = Timestamp(nanoseconds: Self.wallClock()) + .seconds(24 * 3600)
        try await containerd("Leases.Create") {
            _ = try await client.leases.create(
                .with {
                    $0.id = id
                    $0.labels = ["containerd.io/gc.expire": expiry.description]
                }, options: ContainerdClient.quick)
        }
        do {
            let value = try await body(id)
            await dropLease(id)
            return value
        } catch {
            await dropLease(id)
            throw error
        }
    }

    private func dropLease(_ id: String) async {
        // A lease that stays is collected when it expires.
        try? await containerd("Leases.Delete") {
            _ = try await client.leases.delete(
                .with {
                    $0.id = id
                    $0.sync = true
                }, options: ContainerdClient.slow)
        }
    }
}
