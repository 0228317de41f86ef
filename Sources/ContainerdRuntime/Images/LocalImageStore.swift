package import Ports
package import SwarmCore
import SwarmModel

/// Images of this node, as the API lists them.
package struct LocalImageStore: ImageStore {
    let service: ImageService

    package init(_ service: ImageService) { self.service = service }

    private func missing(_ what: String) -> SwarmError {
        SwarmError(.unimplemented, "\(what) is not supported by this release of swarmd")
    }

    private func info(_ image: ResolvedImage) -> ImageInfo {
        let name = ImageReference(image.name)?.familiar ?? image.name
        return ImageInfo(
            id: image.id, repoTags: [name], repoDigests: [], created: image.created, sizeBytes: image.sizeBytes,
            architecture: image.architecture, os: image.os, layers: image.diffIDs,
            configuration: image.configuration)
    }

    package func images() async throws(SwarmError) -> [ImageInfo] { try await service.list().map(info) }
    package func image(_ reference: String) async throws(SwarmError) -> ImageInfo {
        info(try await service.resolve(reference))
    }
    package func pull(_ reference: String, registryAuth: String?) -> AsyncThrowingStream<ImageProgress, any Error> {
        service.pull(reference, registryAuth: registryAuth)
    }
    package func load(_ archive: AsyncThrowingStream<[UInt8], any Error>) async throws(SwarmError) -> [String] {
        throw missing("image load")
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
        let image = try await service.resolve(reference)
        try await service.deleteRecord(image.name)
        return [.untagged(ImageReference(image.name)?.familiar ?? image.name)]
    }
    package func distribution(_ reference: String, registryAuth: String?) async throws(SwarmError) -> DistributionInfo {
        try await service.distribution(reference, registryAuth: registryAuth)
    }
}
