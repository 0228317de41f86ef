import ContainerdAPI
import GRPCCore
import RegistryClient
import SwarmCore
import SwiftProtobuf

extension ImageService {
    /// Applies layers one after another, each on top of the one before; what is there already is left alone.
    ///
    /// The configuration must have been written with ``snapshotLabels(_:)`` before: through them the lease keeps
    /// what is there already.
    func unpack(_ layers: [BlobDescriptor], diffIDs: [String], lease: String) async throws(SwarmError) {
        guard layers.count == diffIDs.count else {
            throw SwarmError(
                .invalidArgument, "the image names \(diffIDs.count) layers but has \(layers.count)")
        }
        for index in layers.indices { try await unpack(layers[index], at: index, diffIDs, lease) }
    }

    /// Applies one layer, whose predecessors are there.
    func unpack(
        _ layer: BlobDescriptor, at index: Int, _ diffIDs: [String], _ lease: String
    ) async throws(SwarmError) {
        let chain = Self.chainIDs(Array(diffIDs[...index]))
        let parent = index > 0 ? chain[index - 1] : ""
        if try await snapshotExists(chain[index]) { return }
        try await extract(layer, diffID: diffIDs[index], parent: parent, chainID: chain[index], lease)
    }

    func snapshotExists(_ key: String) async throws(SwarmError) -> Bool {
        do {
            try await containerd("Snapshots.Stat") {
                _ = try await client.snapshots.stat(
                    .with {
                        $0.snapshotter = Self.snapshotter
                        $0.key = key
                    }, options: ContainerdClient.quick)
            }
            return true
        } catch where error.code == .notFound {
            return false
        }
    }

    private func extract(
        _ layer: BlobDescriptor, diffID: String, parent: String, chainID: String, _ lease: String
    ) async throws(SwarmError) {
        let metadata: Metadata = ["containerd-lease": "\(lease)"]
        let key = "extract-\(UInt64.random(in: 0 ... .max)) \(chainID)"
        do throws(SwarmError) {
            let mounts = try await client.prepareSnapshot(
                .with {
                    $0.snapshotter = Self.snapshotter
                    $0.key = key
                    $0.parent = parent
                    $0.labels = ["containerd.io/snapshot.ref": chainID]
                }, metadata: metadata)
            let applied = try await apply(layer, mounts, metadata)
            guard applied == diffID else {
                throw SwarmError(
                    .unknown,
                    "filesystem layer verification failed: \(layer.digest) unpacks to \(applied), not to \(diffID)")
            }
            try await containerdOnce("Snapshots.Commit") {
                _ = try await client.snapshots.commit(
                    .with {
                        $0.snapshotter = Self.snapshotter
                        $0.name = chainID
                        $0.key = key
                    }, metadata: metadata, options: ContainerdClient.quick)
            }
            // Spares whoever reads the blob again the unpacking.
            try await ContentWriter(client: client, lease: lease).relabel(
                layer.digest, ["containerd.io/uncompressed": diffID])
        } catch {
            await Task { await removeSnapshot(key) }.value
            // Two extractions of one layer may run; the loser finds the winner's snapshot.
            guard error.code == .conflict else { throw error }
        }
    }

    /// - Returns: the digest of the unpacked tar.
    func apply(
        _ layer: BlobDescriptor, _ mounts: [Containerd_Types_Mount], _ metadata: Metadata
    ) async throws(SwarmError) -> String {
        // containerd 1.6 knows zstd by its OCI name only.
        let suffix =
            switch MediaType.compression(ofLayer: layer.mediaType) {
            case .gzip?: "+gzip"
            case .zstd?: "+zstd"
            case .some(.none), nil: ""
            }
        return try await containerd("Diff.Apply") {
            try await client.diff.apply(
                .with {
                    $0.diff.mediaType = MediaType.ociLayer + suffix
                    $0.diff.digest = layer.digest
                    $0.diff.size = layer.size
                    $0.mounts = mounts
                }, metadata: metadata, options: ContainerdClient.within(Self.applyTimeout)
            ).applied.digest
        }
    }

    /// How long one layer may take to unpack.
    private static let applyTimeout = Duration.seconds(3600)

    func removeSnapshot(_ key: String) async {
        // Most often committed, or collected already.
        try? await containerdOnce("Snapshots.Remove") {
            _ = try await client.snapshots.remove(
                .with {
                    $0.snapshotter = Self.snapshotter
                    $0.key = key
                }, options: ContainerdClient.quick)
        }
    }
}
