import ContainerdAPI
import Logging
package import Ports
import RegistryClient
package import SwarmCore
import SwarmModel

extension ImageService {
    /// The largest image configuration, in bytes.
    static let configurationBytesMax = 8 << 20

    /// Pulls an image, or joins the pull of it that is under way. Whoever stops reading stops waiting for it.
    package nonisolated func pull(
        _ reference: String, registryAuth: String?
    ) -> AsyncThrowingStream<ImageProgress, any Error> {
        do throws(SwarmError) {
            guard let parsed = ImageReference(reference) else {
                throw SwarmError(.invalidArgument, "invalid reference format: \(reference)")
            }
            let repository = try Repository(
                parsed, credentials: try RegistryCredentials(header: registryAuth), settings: settings)
            return flights.join(try Self.canonicalName(reference)) { report throws(SwarmError) in
                try await self.pull(parsed, from: repository, report)
            }
        } catch {
            return AsyncThrowingStream { $0.finish(throwing: error) }
        }
    }

    /// Makes an image present for a task.
    ///
    /// A name that is present is used at once and no registry is asked, so that tasks of local images start while
    /// registries are out of reach; the manager pins by digest what must be new. What is absent is pulled.
    package nonisolated func ensure(_ reference: String, registryAuth: String?) async throws(SwarmError) {
        do {
            _ = try await resolve(reference)
            return
        } catch where error.code == .notFound {
            // Goes on below.
        }
        do {
            for try await _ in pull(reference, registryAuth: registryAuth) {}
        } catch let error as SwarmError where error.code == .notFound {
            logger.info("image not found", metadata: ["image": "\(reference)", "error": "\(error)"])
            throw SwarmError(.notFound, "No such image: \(try Self.familiarName(reference))")
        } catch let error as SwarmError where error.code == .unavailable {
            // Docker's agent says only that the image is missing; why it could not be had is what a person needs.
            let name = try Self.familiarName(reference)
            throw SwarmError(.unavailable, "No such image: \(name): \(error.message)", cause: error.cause)
        } catch let error as SwarmError {
            throw error
        } catch {
            throw SwarmError(.unknown, "cannot pull \(reference)", cause: "\(error)")
        }
        // A stream that is read by a cancelled task ends early and says nothing.
        if Task.isCancelled { throw SwarmError(.unavailable, "the pull of \(reference) was cancelled") }
    }

    /// What a registry says about an image, without fetching it.
    package nonisolated func distribution(
        _ reference: String, registryAuth: String?
    ) async throws(SwarmError) -> DistributionInfo {
        guard let parsed = ImageReference(reference) else {
            throw SwarmError(.invalidArgument, "invalid reference format: \(reference)")
        }
        let repository = try Repository(
            parsed, credentials: try RegistryCredentials(header: registryAuth), settings: settings)
        let top = try await repository.resolve()
        let document = try ManifestDocument(
            parsing: try await repository.manifest(top), mediaType: top.mediaType, name: parsed.familiar)
        let platforms: [ImagePlatform]
        switch document {
        case .index(let index): platforms = index.manifests.compactMap(\.platform).filter { $0.os != "unknown" }
        case .image(let manifest):
            let file: ImageFile = try Self.decode(
                try await repository.fetch(manifest.config, limit: Self.configurationBytesMax), "configuration")
            platforms = [ImagePlatform(os: file.os, architecture: file.architecture, variant: file.variant)]
        }
        return DistributionInfo(
            mediaType: top.mediaType, digest: top.digest, sizeBytes: top.size,
            platforms: platforms.map { Platform(architecture: $0.architecture, os: $0.os) })
    }

    package nonisolated func logIn(_ server: String, _ login: RegistryIdentity) async throws(SwarmError) {
        var credentials = RegistryCredentials(username: login.username, password: login.password)
        credentials.identityToken = login.identityToken
        try await RegistryFront(settings: settings).logIn(server, credentials)
    }

    package nonisolated func search(
        _ term: String, limit: Int, registryAuth: String?
    ) async throws(SwarmError) -> [ImageFinding] {
        let credentials = try RegistryCredentials(header: registryAuth)
        return try await RegistryFront(settings: settings).search(term, limit: limit, credentials).map { found in
            ImageFinding(
                name: found.name, description: found.description ?? "", stars: found.stars ?? 0,
                isOfficial: found.isOfficial ?? false, isAutomated: found.isAutomated ?? false)
        }
    }

    // MARK: One pull

    private nonisolated func pull(
        _ reference: ImageReference, from repository: Repository, _ report: @escaping PullFlights.Report
    ) async throws(SwarmError) {
        let start = reference.digest ?? reference.effectiveTag ?? ImageReference.defaultTag
        await report(ImageProgress(status: "Pulling from \(reference.path)", id: start))
        let top = try await repository.resolve()
        let pinned = "\(reference.repository)@\(top.digest)"
        let names = reference.digest == nil ? [try Self.canonicalName(reference.familiar), pinned] : [pinned]
        let isCurrent = try await holds(names, top.digest)
        if !isCurrent {
            try await withLease { lease throws(SwarmError) in
                let pull = ImagePull(service: self, repository: repository, lease: lease, report: report)
                try await pull.run(top)
                try await self.putRecords(names, top)
            }
        }
        await report(ImageProgress(status: "Digest: \(top.digest)"))
        let name = reference.digest == nil ? reference.familiar : "\(reference.familiarName)@\(top.digest)"
        let status = isCurrent ? "Image is up to date for" : "Downloaded newer image for"
        await report(ImageProgress(status: "Status: \(status) \(name)"))
    }

    private func holds(_ names: [String], _ digest: String) async throws(SwarmError) -> Bool {
        for name in names {
            guard let record = try await record(named: name), record.target.digest == digest else { return false }
        }
        return true
    }
}

/// The steps from a registry's manifest to unpacked layers, for one image under one lease.
struct ImagePull: Sendable {
    let service: ImageService
    let repository: Repository
    let lease: String
    let report: PullFlights.Report

    private var name: String { repository.reference.familiar }
    private var writer: ContentWriter { ContentWriter(client: service.client, lease: lease) }

    func run(_ top: BlobDescriptor) async throws(SwarmError) {
        let bytes = try await repository.manifest(top)
        switch try ManifestDocument(parsing: bytes, mediaType: top.mediaType, name: name) {
        case .image(let manifest): try await image(manifest, bytes, top)
        case .index(let index):
            let chosen = try ImagePlatform.host.choose(from: index, name: name)
            let inner = try await repository.manifest(chosen)
            guard case .image(let manifest) = try ManifestDocument(
                parsing: inner, mediaType: chosen.mediaType, name: name)
            else { throw SwarmError(.invalidArgument, "the index of \(name) names another index") }
            try await image(manifest, inner, chosen)
            _ = try await writer.write(
                bytes, mediaType: top.mediaType, labels: ["containerd.io/gc.ref.content.m.0": chosen.digest])
        }
    }

    private func image(
        _ manifest: ImageManifest, _ bytes: [UInt8], _ descriptor: BlobDescriptor
    ) async throws(SwarmError) {
        let configuration = try await repository.fetch(
            manifest.config, limit: ImageService.configurationBytesMax)
        let file: ImageFile = try ImageService.decode(configuration, "configuration")
        let diffIDs = file.rootfs.diffIDs
        guard diffIDs.count == manifest.layers.count, diffIDs.allSatisfy(ManifestDocument.isDigest) else {
            throw SwarmError(
                .invalidArgument, "\(name) names \(diffIDs.count) layers but has \(manifest.layers.count)")
        }
        let platform = ImagePlatform(os: file.os, architecture: file.architecture, variant: file.variant)
        let alone = ImageIndex(
            mediaType: "", manifests: [BlobDescriptor(mediaType: "", digest: "", size: 0, platform: platform)])
        guard (try? ImagePlatform.host.choose(from: alone, name: name)) != nil else {
            throw SwarmError(
                .failedPrecondition, "\(name) is an image for \(platform); this node is \(ImagePlatform.host)")
        }
        _ = try await writer.write(
            configuration, mediaType: manifest.config.mediaType, labels: ImageService.snapshotLabels(diffIDs))
        try await layers(manifest.layers, diffIDs)
        _ = try await writer.write(
            bytes, mediaType: descriptor.mediaType, labels: ImageService.manifestLabels(manifest))
    }

    /// Downloads in parallel; each layer is unpacked as soon as it and those below it are there.
    private func layers(_ layers: [BlobDescriptor], _ diffIDs: [String]) async throws(SwarmError) {
        for layer in layers { await report(ImageProgress(status: "Pulling fs layer", id: layer.shortID)) }
        do {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for (index, layer) in layers.enumerated() {
                    group.addTask {
                        try await download(layer)
                        return index
                    }
                }
                var present: Set<Int> = []
                var next = 0
                while let index = try await group.next() {
                    present.insert(index)
                    while present.contains(next) {
                        try await unpack(layers[next], at: next, diffIDs)
                        next += 1
                    }
                }
            }
        } catch let error as SwarmError {
            throw error
        } catch {
            throw SwarmError(.unavailable, "the pull of \(name) was cancelled", cause: "\(error)")
        }
    }

    private func unpack(_ layer: BlobDescriptor, at index: Int, _ diffIDs: [String]) async throws(SwarmError) {
        await report(ImageProgress(status: "Extracting", id: layer.shortID, current: layer.size, total: layer.size))
        try await service.unpack(layer, at: index, diffIDs, lease)
        await report(ImageProgress(status: "Pull complete", id: layer.shortID))
    }

    private func download(_ layer: BlobDescriptor) async throws(SwarmError) {
        try await service.blobTurns.pass(layer.digest) { () async throws(SwarmError) in
            try await service.downloadTurns.pass("") { () async throws(SwarmError) in
                let meter = ProgressMeter(layer: layer, report: report)
                let source = "containerd.io/distribution.source.\(repository.reference.domain)"
                let written = try await writer.write(
                    total: layer.size, expected: layer.digest, labels: [source: repository.reference.path]
                ) { sink in
                    try await repository.download(layer) { bytes in
                        try await sink.write(bytes)
                        await meter.advance(bytes.count)
                    }
                    await report(ImageProgress(status: "Verifying Checksum", id: layer.shortID))
                }
                await report(
                    ImageProgress(
                        status: written.existed ? "Already exists" : "Download complete", id: layer.shortID))
            }
        }
    }
}

/// Reports how far a download has come, not more often than anyone can read.
private actor ProgressMeter {
    private let layer: BlobDescriptor
    private let report: PullFlights.Report
    private var received: Int64 = 0
    private var last = ContinuousClock.now - interval

    private static let interval = Duration.milliseconds(100)

    init(layer: BlobDescriptor, report: @escaping PullFlights.Report) {
        (self.layer, self.report) = (layer, report)
    }

    func advance(_ count: Int) async {
        received += Int64(count)
        let now = ContinuousClock.now
        guard now - last >= Self.interval else { return }
        last = now
        await report(
            ImageProgress(status: "Downloading", id: layer.shortID, current: received, total: layer.size))
    }
}

extension BlobDescriptor {
    /// The first twelve digits, as people see it.
    var shortID: String { String(digest.dropFirst("sha256:".count).prefix(12)) }
}
