import SwarmModel

/// The registry that an image's login is kept under.
struct ImageReferenceParts {
    /// Docker's own registry is kept under its old address.
    static let defaultServer = "https://index.docker.io/v1/"
    var server: String

    init?(_ image: String) {
        guard let reference = ImageReference(image) else { return nil }
        server = reference.domain == ImageReference.defaultDomain ? Self.defaultServer : reference.domain
    }
}
