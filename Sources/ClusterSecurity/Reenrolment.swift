package import LibCrypto
package import SwarmCore

/// How a node whose certificate expired while it was off gets a new one: it proves that it holds the old key.
///
/// The node signs, with the old key, a challenge that the manager made for this call together with its new request.
/// A request that is replayed asks for a certificate over a key that the replayer does not have.
package struct Reenrolment: Sendable {
    package static let challengeBytes = 32

    /// The expired certificate and what it was presented with, in DER, leaf first.
    package var chain: [[UInt8]]
    /// A certificate request over the new key, in DER.
    package var request: [UInt8]
    /// ECDSA by the old key.
    package var proof: [UInt8]

    package init(chain: [[UInt8]], request: [UInt8], proof: [UInt8]) {
        (self.chain, self.request, self.proof) = (chain, request, proof)
    }

    package static func freshChallenge() -> [UInt8] { SecureRandom.bytes(challengeBytes) }

    /// The node's side.
    package init(
        of identity: NodeIdentity, newKey: P256PrivateKey, challenge: [UInt8]
    ) throws(SwarmError) {
        let request = try X509Request.forNode(key: newKey)
        let statement = Self.statement(challenge: challenge, request: request.der)
        do throws(CryptoError) { proof = try identity.key.signature(over: statement) } catch {
            throw SwarmError(
                .internal, "the proof of the old key could not be signed", cause: error.description)
        }
        (chain, self.request) = (identity.chain.map(\.der), request.der)
    }

    /// The manager's side: who asks, and the request to issue upon.
    ///
    /// The old certificate is judged at the last moment of its own life. The caller must still look whether the node
    /// is in the cluster (one that was removed has no way back), and gives it the role that the cluster's state says,
    /// not that of the old certificate.
    package func verify(
        challenge: [UInt8], trust: TrustBundle, at now: Timestamp
    ) throws(SwarmError) -> (node: NodePrincipal, request: X509Request) {
        guard challenge.count == Self.challengeBytes else {
            throw SwarmError(.invalidArgument, "re-enrolment refused: the challenge must have 32 bytes")
        }
        guard let first = chain.first, let leaf = try? X509Certificate(der: first) else {
            throw SwarmError(
                .unauthenticated, "re-enrolment refused: the old certificate is missing or damaged")
        }
        guard leaf.validFrom <= now else {
            throw SwarmError(
                .unauthenticated,
                "re-enrolment refused: the certificate is valid only from \(leaf.validFrom), after this manager's "
                    + "clock (\(now)): synchronise the clocks of all nodes")
        }
        let node = try PeerVerifier(trust: trust).verify(chain: chain, at: min(now, leaf.lastMoment))
        let received = try X509Request.received(request)
        let statement = Self.statement(challenge: challenge, request: request)
        guard let key = try? P256PublicKey(subjectPublicKeyInfo: leaf.publicKey),
            key.accepts(proof, over: statement)
        else {
            throw SwarmError(
                .unauthenticated,
                "re-enrolment refused: node \(node.nodeID) did not prove that it holds the key of its certificate"
            )
        }
        guard received.publicKey.subjectPublicKeyInfo != leaf.publicKey else {
            throw SwarmError(.invalidArgument, "re-enrolment refused: the new certificate needs a new key")
        }
        return (node, received)
    }

    /// The challenge has a fixed length, so no two pairs give one statement.
    private static func statement(challenge: [UInt8], request: [UInt8]) -> [UInt8] {
        Array("swarm re-enrolment 1\n".utf8) + challenge + request
    }
}
