import LibCrypto
package import SwarmCore

/// What one end of a TLS connection needs, as bytes for whichever TLS library: 1.3 only, both ends certified.
package struct TLSMaterial: Sendable {
    package enum Version: Sendable, Equatable { case tls13 }

    /// Own certificate first, then the cross-signed root while the root is being replaced.
    package var certificateChainPEM: [UInt8]
    package var privateKeyPEM: [UInt8]
    package var trustRootsPEM: [UInt8]
    package var versionMin = Version.tls13
    package var versionMax = Version.tls13
    package var requiresPeerCertificate = true

    package init(identity: NodeIdentity) {
        certificateChainPEM = identity.chain.flatMap(\.pem)
        privateKeyPEM = PEMBlock(PEMBlock.privateKey, identity.key.pkcs8).encoded
        trustRootsPEM = identity.trust.pem
    }
}

/// The verdict on a peer, for a TLS library's verification callback: bytes in, a principal or an error out.
package struct PeerVerifier: Sendable {
    /// Whom the caller expects at the other end.
    package enum Expectation: Sendable, Equatable {
        case anyNode
        case role(CertificateRole)
        /// This node, whatever address it was reached at.
        case node(String)
    }

    package var trust: TrustBundle
    package var expectation: Expectation

    package init(trust: TrustBundle, expecting expectation: Expectation = .anyNode) {
        (self.trust, self.expectation) = (trust, expectation)
    }

    /// `chain` is what the peer presented, in DER, leaf first.
    package func verify(chain: [[UInt8]], at now: Timestamp) throws(SwarmError) -> NodePrincipal {
        let certificates = try Self.read(chain)
        let principal = try trust.principal(of: certificates, at: now)
        switch expectation {
        case .anyNode: break
        case .role(let role): try principal.require(role)
        case .node(let nodeID):
            guard principal.nodeID == nodeID else {
                throw SwarmError(
                    .unauthenticated, "node \(principal.nodeID) answers where node \(nodeID) was expected")
            }
        }
        return principal
    }

    /// The moment from which a chain that is believed now must be judged again: the first of its certificates ends.
    package static func expiry(of chain: [[UInt8]]) -> Timestamp? {
        (try? read(chain))?.map(\.validUntil).min()
    }

    static func read(_ chain: [[UInt8]]) throws(SwarmError) -> [X509Certificate] {
        guard chain.count <= X509Verification.chainMax else {
            throw SwarmError(
                .unauthenticated,
                "the peer presented \(chain.count) certificates: at most \(X509Verification.chainMax) are read"
            )
        }
        var certificates: [X509Certificate] = []
        for bytes in chain {
            do throws(CryptoError) { certificates.append(try X509Certificate(der: bytes)) } catch {
                throw SwarmError(.unauthenticated, "the peer presented a damaged certificate: \(error)")
            }
        }
        return certificates
    }
}

extension NodePrincipal {
    /// Refuses a call that only nodes of `role` may make.
    package func require(_ role: CertificateRole) throws(SwarmError) {
        guard self.role == role else {
            throw SwarmError(
                .permissionDenied,
                "node \(nodeID) is a \(self.role.rawValue); only a \(role.rawValue) may do this")
        }
    }
}
