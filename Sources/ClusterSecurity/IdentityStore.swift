import LibCrypto
package import SwarmCore

/// A node's identity on disk: `swarm-node.pem` with key, certificates and storage keys, and `swarm-root-ca.crt`.
///
/// Key and certificate share one file, replaced as a whole, so that no crash leaves a key beside another key's
/// certificate. With autolock its secret half is one sealed block. The roots are written first: a certificate of a
/// new root is useless to a node that does not know it, but not the other way about.
package struct IdentityStore: Sendable {
    package static let nodeFile = "swarm-node.pem"
    package static let rootsFile = "swarm-root-ca.crt"

    static let sealedLabel = "SWARM SEALED KEYS"
    static let storageLabel = "SWARM STORAGE KEY"
    private static let purpose = "node keys"

    package let directory: String

    package init(directory: String) { self.directory = directory }

    private var nodePath: String { "\(directory)/\(Self.nodeFile)" }
    private var rootsPath: String { "\(directory)/\(Self.rootsFile)" }

    /// What ``load(unlockKey:)`` would meet.
    package enum State: Sendable, Equatable { case absent, clear, locked }

    package func state() throws(SwarmError) -> State {
        guard let file = try ProtectedFile.read(nodePath) else { return .absent }
        let blocks = try PEMFile.blocks(file, in: nodePath)
        return blocks.contains { $0.label == Self.sealedLabel } ? .locked : .clear
    }

    /// Replaces what is there; with `unlockKey` the secrets are sealed under it.
    package func save(_ identity: NodeIdentity, unlockKey: UnlockKey? = nil) throws(SwarmError) {
        var secrets = PEMBlock(PEMBlock.privateKey, identity.key.pkcs8).encoded
        for key in identity.storageKeys { secrets += PEMBlock(Self.storageLabel, key.bytes).encoded }
        if let unlockKey {
            secrets = PEMBlock(Self.sealedLabel, try unlockKey.seal(secrets, purpose: Self.purpose)).encoded
        }
        try ProtectedFile.makeDirectory(directory)
        try ProtectedFile.replace(rootsPath, with: identity.trust.pem)
        try ProtectedFile.replace(nodePath, with: identity.chain.flatMap(\.pem) + secrets)
    }

    package func load(unlockKey: UnlockKey? = nil) throws(SwarmError) -> NodeIdentity {
        guard let file = try ProtectedFile.read(nodePath) else {
            throw SwarmError(
                .notFound, "This node is not part of a swarm", cause: "\(nodePath) does not exist")
        }
        guard let roots = try ProtectedFile.read(rootsPath) else {
            throw SwarmError(
                .failedPrecondition,
                "\(rootsPath) is missing beside \(Self.nodeFile): restore it from a backup or from another node"
            )
        }
        var blocks = try PEMFile.blocks(file, in: nodePath)
        let chain = try PEMFile.certificates(blocks, in: nodePath)
        if let sealed = blocks.first(where: { $0.label == Self.sealedLabel }) {
            guard let unlockKey else {
                throw SwarmError(
                    .failedPrecondition,
                    "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"docker swarm "
                        + "unlock\" to unlock it.")
            }
            blocks = try PEMFile.blocks(unlockKey.open(sealed.bytes, purpose: Self.purpose), in: nodePath)
        }
        let key = try PEMFile.privateKey(blocks, in: nodePath)
        var storageKeys: [SealingKey] = []
        for block in blocks where block.label == Self.storageLabel {
            guard let storageKey = SealingKey(bytes: block.bytes) else {
                throw SwarmError(.invalidArgument, "\(nodePath) holds a storage key that is not 32 bytes")
            }
            storageKeys.append(storageKey)
        }
        guard let leaf = chain.first else {
            throw SwarmError(.invalidArgument, "\(nodePath) holds no certificate")
        }
        let clusterID = try NodePrincipal(of: leaf).clusterID
        let trust = try TrustBundle(roots: PEMFile.certificates(roots, in: rootsPath), clusterID: clusterID)
        return try NodeIdentity(key: key, chain: chain, trust: trust, storageKeys: storageKeys)
    }

    /// Forgets the identity, as leaving the swarm does.
    package func remove() throws(SwarmError) {
        try ProtectedFile.remove(nodePath)
        try ProtectedFile.remove(rootsPath)
    }
}
