package import Ports
package import SwarmCore
import SwarmModel

/// Images of this node, as the API lists them.
package struct LocalImageStore: ImageStore {
    private let service: ImageService
    private let runtime: ContainerdRuntimeService

    package init(_ runtime: ContainerdRuntimeService) {
        (service, self.runtime) = (runtime.images, runtime)
    }

    // MARK: Looking

    package func images() async throws(SwarmError) -> [ImageInfo] {
        let byID = Dictionary(grouping: try await service.list(), by: \.id)
        return byID.sorted { $0.key < $1.key }.compactMap { Self.info($0.value) }
    }

    package func image(_ reference: String) async throws(SwarmError) -> ImageInfo {
        let image = try await service.resolve(reference)
        let names = try await service.list().filter { $0.id == image.id }
        return Self.info(names.isEmpty ? [image] : names) ?? Self.describe(image)
    }

    package func history(_ reference: String) async throws(SwarmError) -> [ImageHistoryStep] {
        let image = try await service.resolve(reference)
        let tags = try await self.image(reference).repoTags
        return image.history.enumerated().reversed().map { index, step in
            let isTop = index == image.history.count - 1
            return ImageHistoryStep(
                id: isTop ? image.id : "<missing>", created: step.created, createdBy: step.createdBy,
                comment: step.comment, sizeBytes: step.sizeBytes, tags: isTop ? tags : [])
        }
    }

    /// One entry for all names of one image.
    private static func info(_ images: [ResolvedImage]) -> ImageInfo? {
        guard let first = images.first else { return nil }
        var info = describe(first)
        for image in images {
            guard let parsed = ImageReference(image.name) else { continue }
            if let digest = parsed.digest {
                info.repoDigests.append("\(parsed.familiarName)@\(digest)")
            } else {
                info.repoTags.append(parsed.familiar)
            }
        }
        return info
    }

    private static func describe(_ image: ResolvedImage) -> ImageInfo {
        ImageInfo(
            id: image.id, repoTags: [], repoDigests: [], created: image.created, sizeBytes: image.sizeBytes,
            architecture: image.architecture, os: image.os, layers: image.diffIDs,
            configuration: image.configuration)
    }

    // MARK: Coming and going

    package func pull(_ reference: String, registryAuth: String?) -> AsyncThrowingStream<ImageProgress, any Error> {
        service.pull(reference, registryAuth: registryAuth)
    }

    package func load(_ archive: AsyncThrowingStream<[UInt8], any Error>) async throws(SwarmError) -> [String] {
        try await service.load(archive)
    }

    package func save(
        _ references: [String], to deliver: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws(SwarmError) {
        try await service.save(references, to: deliver)
    }

    package func importRootFileSystem(
        _ archive: AsyncThrowingStream<[UInt8], any Error>, reference: String?, changes: [String]
    ) async throws(SwarmError) -> String {
        try await service.importRootFileSystem(archive, reference: reference, changes: changes)
    }

    package func tag(_ reference: String, as target: String) async throws(SwarmError) {
        try await service.tag(reference, as: target)
    }

    package func removeImage(_ reference: String, force: Bool) async throws(SwarmError) -> [ImageRemoval] {
        try await service.remove(reference, force: force, users: try await users())
    }

    package func prune(all: Bool) async throws(SwarmError) -> (removed: [ImageRemoval], bytes: Int64) {
        try await service.prune(all: all, users: try await users())
    }

    private func users() async throws(SwarmError) -> [ImageUser] {
        try await runtime.containers().map {
            ImageUser(
                containerID: $0.id, imageID: $0.imageID, isRunning: $0.state == .running || $0.state == .paused)
        }
    }

    package func distribution(_ reference: String, registryAuth: String?) async throws(SwarmError) -> DistributionInfo {
        try await service.distribution(reference, registryAuth: registryAuth)
    }

    package func logIn(_ server: String, _ login: RegistryIdentity) async throws(SwarmError) {
        try await service.logIn(server, login)
    }

    package func search(_ term: String, limit: Int, registryAuth: String?) async throws(SwarmError) -> [ImageFinding] {
        try await service.search(term, limit: limit, registryAuth: registryAuth)
    }
}
