import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
import Logging
import SwarmCore
import SwiftProtobuf

/// Finding what crashes left behind: things of containers that nobody knows any more.
extension ContainerdRuntimeService {
    /// Removes containers, tasks, snapshots, pipes, mounts and directories that have no record.
    ///
    /// Containers that are being created have none yet and are left alone.
    func sweep() async {
        var orphans: Set<String> = []
        for id in await containerdIdentifiers() where isOrphan(id) { orphans.insert(id) }
        for base in containerDirectories {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? []
            for name in names where isOrphan(name) { orphans.insert(name) }
        }
        for id in orphans.sorted() where isOrphan(id) {
            logger.info("removing what is left of an unknown container", metadata: ["container.id": "\(id)"])
            await discard(id)
        }
        await endOrphanedShims()
    }

    /// Has containerd delete the files of removed snapshots.
    ///
    /// Its own collector passes over what is removed while it works (containerd 1.6 takes the end of a collection
    /// for its beginning), and those files would stay until something else is removed.
    func collectGarbage() async {
        // A lease's end is the one call that waits for a collection; what fails is called for again.
        do throws(SwarmError) { try await images.withLease { _ in } } catch { hasGarbage = true }
    }

    /// One directory of each container under each of these.
    private var containerDirectories: [String] {
        [
            configuration.dataDirectory + "/containers", configuration.runDirectory + "/io",
            configuration.runDirectory + "/secrets", privateDirectory,
        ]
    }

    private func isOrphan(_ id: String) -> Bool {
        Self.isContainerIdentifier(id) && records[id] == nil && !creating.contains(id)
    }

    static func isContainerIdentifier(_ text: String) -> Bool {
        text.utf8.count == 64 && text.allSatisfy { $0.isHexDigit }
    }

    /// Everything in containerd's namespace that bears a container's identifier.
    private func containerdIdentifiers() async -> [String] {
        var ids: [String] = []
        // What cannot be asked now is asked again on the next beat.
        try? await containerd("Tasks.List") {
            ids += try await client.tasks.list(.init(), options: ContainerdClient.slow).tasks.map(\.id)
        }
        // A container's snapshot comes before its record in containerd and goes after it.
        return ids + (await snapshotKeys())
    }

    private func snapshotKeys() async -> [String] {
        var keys: [String] = []
        try? await containerd("Snapshots.List") {
            keys = try await client.snapshots.list(
                .with { $0.snapshotter = ImageService.snapshotter }, options: ContainerdClient.slow
            ) { response in
                var names: [String] = []
                for try await part in response.messages { names += part.info.map(\.name) }
                return names
            }
        }
        return keys
    }

    /// The namespace in a containerd that others use too: this daemon's own, and the same after a restart.
    static func ownNamespace(dataDirectory: String) -> String {
        "swarm-" + ContentWriter.digest(of: Array(dataDirectory.utf8)).dropFirst("sha256:".count).prefix(12)
    }
}
