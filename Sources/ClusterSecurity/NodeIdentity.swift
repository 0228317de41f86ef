package import LibCrypto
package import SwarmCore

/// A node's key, the certificate over it, the roots it believes and the keys its own storage is sealed with.
package struct NodeIdentity: Sendable {
    package let principal: NodePrincipal
    package let key: P256PrivateKey
    /// Leaf first, as presented to peers.
    package let chain: [X509Certificate]
    package let trust: TrustBundle
    /// For the Raft log and snapshots on this disk; newest first. Each node has its own.
    package let storageKeys: [SealingKey]

    /// Refuses a key and a certificate that do not belong together.
    ///
    /// Times are not looked at: a node must be able to load an expired certificate in order to enrol again.
    package init(
        key: P256PrivateKey, chain: [X509Certificate], trust: TrustBundle, storageKeys: [SealingKey]
    ) throws(SwarmError) {
        guard let leaf = chain.first, chain.count <= X509Verification.chainMax else {
            throw SwarmError(
                .invalidArgument,
                "a node's identity holds 1 to \(X509Verification.chainMax) certificates, not \(chain.count)")
        }
        guard leaf.publicKey == key.publicKey.subjectPublicKeyInfo else {
            throw SwarmError(
                .failedPrecondition,
                "the node's private key does not belong to its certificate (\(leaf.subject)): restore both from one "
                    + "backup, or leave the swarm and join again")
        }
        guard (1...KeyRing.keysMax).contains(storageKeys.count) else {
            throw SwarmError(
                .invalidArgument,
                "a node's identity holds 1 to \(KeyRing.keysMax) storage keys, not \(storageKeys.count)")
        }
        principal = try trust.principal(of: chain, at: leaf.lastMoment)
        (self.key, self.chain, self.trust, self.storageKeys) = (key, chain, trust, storageKeys)
    }

    package var certificate: X509Certificate { chain[0] }

    package func storageRing(_ purpose: SealPurpose) -> KeyRing {
        KeyRing(purpose: purpose, primary: storageKeys[0], older: Array(storageKeys.dropFirst()))
    }

    /// With the certificate that a renewal gave for `key`.
    package func renewed(
        key: P256PrivateKey, chain: [X509Certificate], trust: TrustBundle
    ) throws(SwarmError) -> NodeIdentity {
        let renewed = try NodeIdentity(key: key, chain: chain, trust: trust, storageKeys: storageKeys)
        guard renewed.principal.nodeID == principal.nodeID else {
            throw SwarmError(
                .unauthenticated,
                "the renewed certificate is for node \(renewed.principal.nodeID), this is node \(principal.nodeID)"
            )
        }
        return renewed
    }

    package func trusting(_ trust: TrustBundle) throws(SwarmError) -> NodeIdentity {
        try NodeIdentity(key: key, chain: chain, trust: trust, storageKeys: storageKeys)
    }

    /// With a fresh key for its storage; the older ones, as many as a ring holds, still open.
    package func withFreshStorageKey() throws(SwarmError) -> NodeIdentity {
        let keys = [SealingKey.generate()] + storageKeys.prefix(KeyRing.keysMax - 1)
        return try NodeIdentity(key: key, chain: chain, trust: trust, storageKeys: keys)
    }
}
