package import SwarmCore
package import SwarmModel

/// Keeps images. Implemented on containerd's content store and snapshotter by `ContainerdRuntime`.
package protocol ImageStore: Sendable {
    func images() async throws(SwarmError) -> [ImageInfo]
    func image(_ reference: String) async throws(SwarmError) -> ImageInfo
    /// Pulls, reporting progress as it goes; the stream ends when the image is unpacked or throws the cause.
    func pull(_ reference: String, registryAuth: String?) -> AsyncThrowingStream<ImageProgress, any Error>
    /// Loads a docker-archive or OCI-archive tar.
    /// - Returns: the references that were loaded.
    func load(_ archive: AsyncThrowingStream<[UInt8], any Error>) async throws(SwarmError) -> [String]
    /// Makes an image of one layer from a root file system tar. `changes` are Dockerfile lines (CMD, ENV, …).
    func importRootFileSystem(
        _ archive: AsyncThrowingStream<[UInt8], any Error>, reference: String?, changes: [String]
    ) async throws(SwarmError) -> String
    func tag(_ reference: String, as target: String) async throws(SwarmError)
    /// - Returns: Docker's lines of what was untagged and deleted.
    func removeImage(_ reference: String, force: Bool) async throws(SwarmError) -> [ImageRemoval]
    /// Removes images without a tag, or with `all` every image, unless a container uses it.
    /// - Returns: what was removed, and the bytes that this freed.
    func prune(all: Bool) async throws(SwarmError) -> (removed: [ImageRemoval], bytes: Int64)
    /// How the image was made, newest step first.
    func history(_ reference: String) async throws(SwarmError) -> [ImageHistoryStep]
    /// Writes images as one archive that ``load(_:)`` reads.
    func save(
        _ references: [String], to deliver: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws(SwarmError)
    /// The descriptor of an image in its registry, for digest pinning.
    func distribution(_ reference: String, registryAuth: String?) async throws(SwarmError) -> DistributionInfo
    /// Whether a registry knows someone.
    /// - Throws: `.unauthenticated` when it does not; otherwise why it could not be asked.
    func logIn(_ server: String, _ login: RegistryIdentity) async throws(SwarmError)
    /// What an index of images finds, Docker Hub's unless the term begins with another's host.
    /// - Parameter registryAuth: the header of that name.
    func search(_ term: String, limit: Int, registryAuth: String?) async throws(SwarmError) -> [ImageFinding]
}

package struct ImageInfo: Sendable, Equatable {
    /// `sha256:…` of the configuration.
    package var id: String
    package var repoTags: [String]
    package var repoDigests: [String]
    package var created: Timestamp
    package var sizeBytes: Int64
    package var architecture: String
    package var os: String
    package var layers: [String]
    /// The image configuration (`config` of the OCI image specification).
    package var configuration: ImageConfiguration

    package init(
        id: String, repoTags: [String], repoDigests: [String], created: Timestamp, sizeBytes: Int64,
        architecture: String, os: String, layers: [String], configuration: ImageConfiguration
    ) {
        (self.id, self.repoTags, self.repoDigests, self.created) = (id, repoTags, repoDigests, created)
        (self.sizeBytes, self.architecture, self.os, self.layers) = (sizeBytes, architecture, os, layers)
        self.configuration = configuration
    }
}

/// The `config` object of an OCI image, with Docker's health check.
package struct ImageConfiguration: Sendable, Codable, Equatable {
    package var user: String?
    package var exposedPorts: [String: EmptyObject]?
    package var env: [String]?
    package var entrypoint: [String]?
    package var cmd: [String]?
    package var volumes: [String: EmptyObject]?
    package var workingDir: String?
    package var labels: [String: String]?
    package var stopSignal: String?
    package var healthcheck: HealthConfig?

    package init() {}

    enum CodingKeys: String, CodingKey {
        case user = "User", exposedPorts = "ExposedPorts", env = "Env", entrypoint = "Entrypoint", cmd = "Cmd"
        case volumes = "Volumes", workingDir = "WorkingDir", labels = "Labels", stopSignal = "StopSignal"
        case healthcheck = "Healthcheck"
    }
}

package struct EmptyObject: Sendable, Codable, Equatable {
    package init() {}
}

package struct ImageProgress: Sendable, Equatable {
    /// Docker's words: `Pulling fs layer`, `Downloading`, `Download complete`, `Extracting`, `Pull
    /// complete`, …
    package var status: String
    /// The short layer id, or the tag; nil for a plain line.
    package var id: String?
    package var current: Int64?
    package var total: Int64?

    package init(status: String, id: String? = nil, current: Int64? = nil, total: Int64? = nil) {
        (self.status, self.id, self.current, self.total) = (status, id, current, total)
    }
}

/// One step of `docker history`.
package struct ImageHistoryStep: Sendable, Equatable {
    package var id: String
    package var created: Timestamp
    package var createdBy: String
    package var comment: String
    package var sizeBytes: Int64
    package var tags: [String]

    package init(
        id: String, created: Timestamp, createdBy: String, comment: String, sizeBytes: Int64, tags: [String]
    ) {
        (self.id, self.created, self.createdBy, self.comment) = (id, created, createdBy, comment)
        (self.sizeBytes, self.tags) = (sizeBytes, tags)
    }
}

package enum ImageRemoval: Sendable, Equatable { case untagged(String), deleted(String) }

package struct DistributionInfo: Sendable, Equatable {
    package var mediaType: String
    package var digest: String
    package var sizeBytes: Int64
    package var platforms: [Platform]

    package init(mediaType: String, digest: String, sizeBytes: Int64, platforms: [Platform]) {
        (self.mediaType, self.digest, self.sizeBytes, self.platforms) = (
            mediaType, digest, sizeBytes, platforms
        )
    }
}

/// What someone proves their identity with at a registry.
package struct RegistryIdentity: Sendable, Equatable {
    package var username: String
    package var password: String
    /// A refresh token, instead of the password.
    package var identityToken: String

    package init(username: String, password: String, identityToken: String = "") {
        (self.username, self.password, self.identityToken) = (username, password, identityToken)
    }
}

/// One image that an index found.
package struct ImageFinding: Sendable, Equatable {
    package var name: String
    package var description: String
    package var stars: Int
    package var isOfficial: Bool
    package var isAutomated: Bool

    package init(name: String, description: String, stars: Int, isOfficial: Bool, isAutomated: Bool) {
        (self.name, self.description, self.stars) = (name, description, stars)
        (self.isOfficial, self.isAutomated) = (isOfficial, isAutomated)
    }
}
