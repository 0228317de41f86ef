import ContainerdAPI
package import Ports
import RegistryClient
package import SwarmCore
import SwarmModel

/// A container that an image must not be taken from.
package struct ImageUser: Sendable, Equatable {
    package var containerID: String
    package var imageID: String
    package var isRunning: Bool

    package init(containerID: String, imageID: String, isRunning: Bool) {
        (self.containerID, self.imageID, self.isRunning) = (containerID, imageID, isRunning)
    }
}

extension ImageService {
    /// Takes a name from an image; with its last name the image itself goes.
    /// - Parameters:
    ///   - reference: a name, or an id, which stands for all names of the image.
    ///   - users: the containers of this node.
    /// - Returns: what was untagged and deleted.
    package func remove(
        _ reference: String, force: Bool, users: [ImageUser]
    ) async throws(SwarmError) -> [ImageRemoval] {
        let found = try await resolve(reference)
        let all = try await list()
        // A name may have moved to another image since it was looked up.
        let image = all.first { $0.name == found.name } ?? found
        let names = all.filter { $0.id == image.id }.map(\.name)
        let inUse = users.filter { $0.imageID == image.id }.sorted { $0.containerID < $1.containerID }
        let isByName = (try? Self.canonicalName(reference)) == image.name
        let doomed: [String]
        if isByName {
            doomed = Self.named(with: image.name, among: names)
            if doomed.count == names.count, !force, let user = inUse.first {
                throw SwarmError(
                    .conflict,
                    "conflict: unable to remove repository reference \"\(reference)\" (must force) - container "
                        + "\(Self.short(user.containerID)) is using its referenced image \(Self.short(image.id))")
            }
        } else {
            try Self.refuse(image, names, inUse, force: force)
            doomed = names
        }
        return try await removeNames(doomed, of: image, leaving: names.count - doomed.count, isUsed: !inUse.isEmpty)
    }

    /// Removes images without a tag, or with `all` every image, unless a container uses it.
    /// - Returns: what was removed, and the bytes that this freed.
    package func prune(
        all: Bool, users: [ImageUser]
    ) async throws(SwarmError) -> (removed: [ImageRemoval], bytes: Int64) {
        let used = Set(users.map(\.imageID))
        var removed: [ImageRemoval] = []
        var bytes: Int64 = 0
        for (id, images) in Dictionary(grouping: try await list(), by: \.id).sorted(by: { $0.key < $1.key }) {
            guard let image = images.first, !used.contains(id) else { continue }
            let isDangling = images.allSatisfy { Self.isNameless($0.name) }
            guard all || isDangling else { continue }
            removed += try await removeNames(images.map(\.name), of: image, leaving: 0, isUsed: false)
            bytes += image.sizeBytes
        }
        return (removed, bytes)
    }

    private func removeNames(
        _ names: [String], of image: ResolvedImage, leaving others: Int, isUsed: Bool
    ) async throws(SwarmError) -> [ImageRemoval] {
        // A container's image stays, nameless, for as long as the container.
        if others == 0, isUsed, let record = try await record(named: image.name), image.name != image.id {
            let target = record.target
            try await putRecords(
                [image.id], BlobDescriptor(mediaType: target.mediaType, digest: target.digest, size: target.size))
        }
        var removed: [ImageRemoval] = []
        for name in names where !(isUsed && name == image.id) {
            try await deleteRecord(name)
            if name != image.id { removed.append(.untagged(ImageReference(name)?.familiar ?? name)) }
        }
        guard others == 0, !isUsed else { return removed }
        removed.append(.deleted(image.id))
        for key in Self.chainIDs(image.diffIDs).reversed() where try await !snapshotExists(key) {
            removed.append(.deleted(key))
        }
        return removed
    }

    /// The name, and with the last tag of its repository the repository's digests.
    private static func named(with name: String, among names: [String]) -> [String] {
        guard let parsed = ImageReference(name), parsed.digest == nil else { return [name] }
        let siblings = names.filter { $0 != name && ImageReference($0)?.repository == parsed.repository }
        let hasOtherTag = siblings.contains { !isNameless($0) }
        return [name] + (hasOtherTag ? [] : siblings)
    }

    private static func refuse(
        _ image: ResolvedImage, _ names: [String], _ users: [ImageUser], force: Bool
    ) throws(SwarmError) {
        let id = short(image.id)
        if let running = users.first(where: \.isRunning) {
            throw SwarmError(
                .conflict,
                "conflict: unable to delete \(id) (cannot be forced) - image is being used by running container "
                    + short(running.containerID))
        }
        guard !force else { return }
        if let stopped = users.first {
            throw SwarmError(
                .conflict,
                "conflict: unable to delete \(id) (must be forced) - image is being used by stopped container "
                    + short(stopped.containerID))
        }
        if names.filter({ !isNameless($0) }).count > 1 {
            throw SwarmError(
                .conflict,
                "conflict: unable to delete \(id) (must be forced) - image is referenced in multiple repositories")
        }
    }

    /// A name that is no tag: a digest or an id.
    static func isNameless(_ name: String) -> Bool { name.contains("@") || name.hasPrefix("sha256:") }

    private static func short(_ id: String) -> String {
        String((id.hasPrefix("sha256:") ? id.dropFirst(7) : id[...]).prefix(12))
    }
}
