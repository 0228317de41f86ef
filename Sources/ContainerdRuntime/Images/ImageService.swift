import ContainerdAPI
import GRPCCore
import Glibc
package import Logging
package import Ports
package import RegistryClient
package import SwarmCore
import SwarmModel
import SwiftProtobuf

/// An image of this node, ready to be run.
package struct ResolvedImage: Sendable, Equatable {
    /// `sha256:…` of the configuration.
    package var id: String
    /// `docker.io/library/busybox:latest`, `docker.io/library/busybox@sha256:…`, or the id of a nameless image.
    package var name: String
    /// The manifest or, for an image of several platforms, the index.
    package var targetDigest: String
    /// The snapshot of the top layer: the parent of every container's file system.
    package var topChainID: String
    package var configuration: ImageConfiguration
    package var diffIDs: [String]
    package var created: Timestamp
    package var architecture: String
    package var os: String
    /// What the unpacked layers take on the disk.
    package var sizeBytes: Int64
    /// How it was made, oldest step first.
    package var history: [HistoryStep] = []

    package struct HistoryStep: Sendable, Equatable {
        package var created: Timestamp
        package var createdBy: String
        package var comment: String
        package var sizeBytes: Int64
    }
}

/// Images in containerd: names, blobs and unpacked snapshots.
package actor ImageService {
    nonisolated let client: ContainerdClient
    nonisolated let logger: Logger
    nonisolated let settings: RegistrySettings
    static let snapshotter = "overlayfs"

    nonisolated let flights = PullFlights()
    /// One download of a blob at a time, whichever images it belongs to.
    nonisolated let blobTurns = Turnstile(limit: 1)
    nonisolated let downloadTurns = Turnstile(limit: ImageService.downloadsMax)
    /// Layers that are downloaded at the same time, over all pulls.
    static let downloadsMax = 3

    /// Resolved images by canonical name, so that starting a task of a known image asks nobody.
    private var resolved: [String: ResolvedImage] = [:]
    /// What manifests and configurations say, by the digest of the target, which fixes it for ever.
    private var described: [String: ResolvedImage] = [:]
    private var recovery: Task<Void, Never>?

    package init(client: ContainerdClient, logger: Logger, settings: RegistrySettings = .init()) {
        (self.client, self.logger, self.settings) = (client, logger, settings)
    }

    /// - Parameters:
    ///   - insecureRegistries: each `HOST`, `HOST:PORT` or an IPv4 network.
    ///   - certificateDirectories: where private registries' certificates lie, in Docker's `certs.d` layout.
    package static func settings(
        insecureRegistries: [String] = [], certificateDirectories: [String] = TrustStore.defaultDirectories
    ) throws(SwarmError) -> RegistrySettings {
        RegistrySettings(
            insecure: try InsecureRegistries(insecureRegistries),
            trust: TrustStore(directories: certificateDirectories))
    }

    // MARK: Looking up

    /// Finds an image by its name, its id, or a prefix of its id.
    /// - Throws: `.notFound("No such image: x:latest")`.
    package func resolve(_ reference: String) async throws(SwarmError) -> ResolvedImage {
        if let id = Self.imageID(reference), id.count == 71 { return try await find(id, reference) }
        guard let name = try? Self.canonicalName(reference) else {
            return try await find(Self.imageID(reference), reference)
        }
        if let image = resolved[name] { return image }
        guard let record = try await record(named: name) else {
            return try await find(Self.imageID(reference), reference)
        }
        let image = try await describe(record)
        resolved[name] = image
        return image
    }

    private func find(_ id: String?, _ reference: String) async throws(SwarmError) -> ResolvedImage {
        let matches = id == nil ? [] : try await list().filter { $0.id.hasPrefix(id ?? "") }
        guard Set(matches.map(\.id)).count <= 1 else {
            throw SwarmError(.invalidArgument, "image \(reference) is ambiguous: more than one id begins so")
        }
        guard let match = matches.first else {
            let name = id?.count == 71 ? reference : (try? Self.familiarName(reference)) ?? reference
            throw SwarmError(.notFound, "No such image: \(name)")
        }
        return match
    }

    /// `sha256:` and digits for a reference that may be an id or the beginning of one.
    static func imageID(_ reference: String) -> String? {
        let digits = reference.hasPrefix("sha256:") ? reference.dropFirst(7) : reference[...]
        let isHexadecimal = digits.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard (1...64).contains(digits.utf8.count), isHexadecimal else { return nil }
        return "sha256:" + digits
    }

    func record(named name: String) async throws(SwarmError) -> Containerd_Services_Images_V1_Image? {
        for attempt in 1...Self.lookUpsMax {
            do {
                return try await containerd("Images.Get") {
                    try await client.images.get(.with { $0.name = name }, options: ContainerdClient.quick).image
                }
            } catch where error.code == .notFound {
                return nil
            } catch where error.code == .unavailable && attempt < Self.lookUpsMax && !Task.isCancelled {
                // A refusal now and then arrives as a stream that was closed; looking again does no harm.
            }
        }
        return nil
    }

    /// How often a name is looked up when the connection to containerd fails.
    private static let lookUpsMax = 3

    /// One entry for each name.
    package func list() async throws(SwarmError) -> [ResolvedImage] {
        let records = try await containerd("Images.List") {
            try await client.images.list(.init(), options: ContainerdClient.quick).images
        }
        var images: [ResolvedImage] = []
        for record in records.sorted(by: { $0.name < $1.name }) {
            do throws(SwarmError) {
                images.append(try await describe(record))
            } catch {
                // One damaged image must not hide the others.
                logger.warning("cannot read an image", metadata: ["image": "\(record.name)", "error": "\(error)"])
            }
        }
        let present = Set(records.map(\.target.digest))
        described = described.filter { present.contains($0.key) }
        return images
    }

    private func describe(_ record: Containerd_Services_Images_V1_Image) async throws(SwarmError) -> ResolvedImage {
        if var known = described[record.target.digest] {
            known.name = record.name
            return known
        }
        let content = ContentWriter(client: client, lease: "")
        let manifest = try await manifest(of: record.target.digest, record.target.mediaType, record.name, content)
        let file: ImageFile = try Self.decode(try await content.read(manifest.config.digest), "configuration")
        let chain = Self.chainIDs(file.rootfs.diffIDs)
        var sizes: [Int64] = []
        for key in chain { sizes.append(try await snapshotSize(key)) }
        let image = ResolvedImage(
            id: manifest.config.digest, name: record.name, targetDigest: record.target.digest,
            topChainID: chain.last ?? "", configuration: file.config ?? ImageConfiguration(),
            diffIDs: file.rootfs.diffIDs, created: file.created.flatMap { Timestamp($0) } ?? .zero,
            architecture: file.architecture, os: file.os, sizeBytes: sizes.reduce(0, +),
            history: Self.history(file, sizes))
        described[record.target.digest] = image
        return image
    }

    /// The manifest for this machine; an index is looked into.
    func manifest(
        of digest: String, _ mediaType: String, _ name: String, _ content: ContentWriter
    ) async throws(SwarmError) -> ImageManifest {
        let top = try ManifestDocument(parsing: try await content.read(digest), mediaType: mediaType, name: name)
        switch top {
        case .image(let manifest): return manifest
        case .index(let index):
            let chosen = try ImagePlatform.host.choose(from: index, name: name)
            let bytes = try await content.read(chosen.digest)
            guard case .image(let manifest) = try ManifestDocument(
                parsing: bytes, mediaType: chosen.mediaType, name: name)
            else { throw SwarmError(.invalidArgument, "the index of \(name) names another index") }
            return manifest
        }
    }

    private func snapshotSize(_ key: String) async throws(SwarmError) -> Int64 {
        do {
            return try await containerd("Snapshots.Usage") {
                try await client.snapshots.usage(
                    .with {
                        $0.snapshotter = Self.snapshotter
                        $0.key = key
                    }, options: ContainerdClient.quick
                ).size
            }
        } catch where error.code == .notFound {
            return 0
        }
    }

    // MARK: Names

    /// Gives images their names; the last step of whatever made them.
    func putRecords(
        _ names: [String], _ target: BlobDescriptor, source: String? = nil
    ) async throws(SwarmError) {
        for name in names {
            resolved[name] = nil
            let image = Containerd_Services_Images_V1_Image.with {
                $0.name = name
                $0.target.mediaType = target.mediaType
                $0.target.digest = target.digest
                $0.target.size = target.size
            }
            do {
                try await containerd("Images.Create") {
                    _ = try await client.images.create(.with { $0.image = image }, options: ContainerdClient.quick)
                }
            } catch where error.code == .conflict {
                try await containerd("Images.Update") {
                    _ = try await client.images.update(
                        .with {
                            $0.image = image
                            $0.updateMask.paths = ["target"]
                        }, options: ContainerdClient.quick)
                }
            }
        }
    }

    /// Removes one name; blobs and snapshots that nothing else names go with it.
    func deleteRecord(_ name: String) async throws(SwarmError) {
        resolved[name] = nil
        do {
            try await containerdOnce("Images.Delete") {
                _ = try await client.images.delete(
                    .with {
                        $0.name = name
                        $0.sync = true
                    }, options: ContainerdClient.slow)
            }
        } catch where error.code == .notFound {
            // Somebody else was faster.
        }
    }

    package func tag(_ reference: String, as target: String) async throws(SwarmError) {
        let image = try await resolve(reference)
        guard let parsed = ImageReference(target), parsed.digest == nil else {
            throw SwarmError(
                .invalidArgument,
                target.contains("@") ? "refusing to create a tag with a digest reference"
                    : "invalid reference format: \(target)")
        }
        guard let record = try await record(named: image.name) else {
            throw SwarmError(.notFound, "No such image: \(try Self.familiarName(reference))")
        }
        try await putRecords(
            [try Self.canonicalName(target)],
            BlobDescriptor(
                mediaType: record.target.mediaType, digest: record.target.digest, size: record.target.size))
    }

    // MARK: Leases

    /// Runs `body` under a lease, so that the collector leaves half-made images alone until they are named.
    ///
    /// Whatever happens, the lease is dropped at the end, and with it all that no image names.
    func withLease<Value: Sendable>(
        _ body: (String) async throws(SwarmError) -> Value
    ) async throws(SwarmError) -> Value {
        await recover()
        let id = Self.leasePrefix + "\(UInt64.random(in: 0 ... .max))"
        let expiry = Timestamp(nanoseconds: Self.wallClock()) + .seconds(24 * 3600)
        do throws(SwarmError) {
            try await containerdOnce("Leases.Create") {
                _ = try await client.leases.create(
                    .with {
                        $0.id = id
                        $0.labels = ["containerd.io/gc.expire": expiry.description]
                    }, options: ContainerdClient.quick)
            }
            let value = try await body(id)
            await dropLease(id)
            return value
        } catch {
            await dropLease(id)
            throw Self.explain(error)
        }
    }

    private static let leasePrefix = "swarmd-"

    /// Drops the lease even when whoever waited for the image has gone.
    private func dropLease(_ id: String) async {
        await Task {
            // A lease that stays is collected when it expires.
            try? await containerdOnce("Leases.Delete") {
                _ = try await client.leases.delete(
                    .with {
                        $0.id = id
                        $0.sync = true
                    }, options: ContainerdClient.slow)
            }
        }.value
    }

    /// Clears away, once and before anything new begins, what a daemon that was killed in a pull left behind.
    private func recover() async {
        let task = recovery ?? Task { await clearUnfinished() }
        recovery = task
        await task.value
    }

    private nonisolated func clearUnfinished() async {
        do {
            try await containerd("Leases.List") {
                let leases = try await client.leases.list(.init(), options: ContainerdClient.quick).leases
                for lease in leases where lease.id.hasPrefix(Self.leasePrefix) {
                    _ = try await client.leases.delete(.with { $0.id = lease.id }, options: ContainerdClient.slow)
                }
                let ingests = try await client.content.listStatuses(.init(), options: ContainerdClient.quick).statuses
                for ingest in ingests where ingest.ref.hasPrefix("ingest-") {
                    _ = try await client.content.abort(.with { $0.ref = ingest.ref }, options: ContainerdClient.quick)
                }
            }
        } catch {
            // Leases expire by themselves; the next daemon tries again.
            logger.warning("cannot clear away unfinished pulls", metadata: ["error": "\(error)"])
        }
    }

    /// What the operator must do about a disk that takes no more.
    static func explain(_ error: SwarmError) -> SwarmError {
        let text = error.description
        if text.contains("no space left on device") {
            return SwarmError(
                .resourceExhausted,
                "no space left on device: the disk of containerd's data directory is full: free some space, "
                    + "for example with image prune", cause: text)
        }
        if text.contains("read-only file system") {
            return SwarmError(
                .unavailable, "read-only file system: containerd's data directory cannot be written", cause: text)
        }
        return error
    }

    static func wallClock() -> Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
