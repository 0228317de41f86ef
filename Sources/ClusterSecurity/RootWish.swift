package import LibCrypto
package import SwarmCore

/// The root that an operator asks for: one of their own, or any other when both are empty.
package struct RootWish: Sendable, Equatable {
    /// PEM.
    package var certificate: [UInt8]
    package var key: [UInt8]

    package init(certificate: [UInt8] = [], key: [UInt8] = []) { (self.certificate, self.key) = (certificate, key) }

    package enum Verdict: Sendable {
        /// The present root stays, whatever was to replace it.
        case stay
        /// What is under way already is what is asked for.
        case goOn
        /// Signed by the present root, too.
        case begin(CertificateAuthority)
    }

    /// Checks in Docker's order and words.
    /// - Parameters:
    ///   - present: the root that all nodes believe, whether another is to replace it or not: what a rotation that is
    ///     given up signed is believed through this one.
    ///   - successor: the root that is to replace it already.
    package func judge(
        present: CertificateAuthority, successor: X509Certificate?, at now: Timestamp
    ) throws(SwarmError) -> Verdict {
        if certificate.isEmpty {
            guard key.isEmpty else {
                throw SwarmError(
                    .invalidArgument, "if a signing CA key is provided, the signing CA cert must also be provided")
            }
            return .begin(try present.crossSigning(try .create(at: now), at: now))
        }
        let wanted = try PEMFile.certificates(certificate, in: "the desired CA certificate")
        guard let root = wanted.first else {
            throw SwarmError(.invalidArgument, "could not parse the desired CA certificate")
        }
        guard wanted.count == 1 else {
            throw SwarmError(.invalidArgument, "the desired CA certificate cannot contain multiple certificates")
        }
        guard root.validUntil >= now + CertificateAuthority.importedValidityMin else {
            throw SwarmError(
                .invalidArgument,
                "CA certificate expires too soon: at \(root.validUntil); it must be valid for at least one year")
        }
        guard !key.isEmpty else {
            throw SwarmError(
                .invalidArgument,
                "there must be at least one valid, reachable external CA corresponding to the desired CA certificate: "
                    + "swarmd signs with no external CA; give the key of the certificate as well")
        }
        let authority = try CertificateAuthority.imported(certificatePEM: certificate, keyPEM: key, at: now)
        if root == present.root { return .stay }
        guard root.publicKey != present.root.publicKey else {
            throw SwarmError(.invalidArgument, "Cannot update to a cert with an identical key")
        }
        if root == successor { return .goOn }
        return .begin(try present.crossSigning(authority, at: now))
    }
}
