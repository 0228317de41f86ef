package import LibCrypto
package import SwarmCore

/// The roots that a node believes, and the cluster whose nodes it talks to.
///
/// One root, or two while the root is being replaced. All times come from the caller.
package struct TrustBundle: Sendable, Hashable {
    package static let rootsMax = 4

    package private(set) var roots: [X509Certificate]
    package let clusterID: String

    package init(roots: [X509Certificate], clusterID: String) throws(SwarmError) {
        guard (1...Self.rootsMax).contains(roots.count) else {
            throw SwarmError(
                .invalidArgument, "a trust bundle holds 1 to \(Self.rootsMax) roots, not \(roots.count)")
        }
        if let root = roots.first(where: { !$0.isAuthority || !$0.isSelfIssued || !$0.isSigned(by: $0) }) {
            throw SwarmError(
                .invalidArgument, "certificate \(root.subject) is not a self-signed CA and no root")
        }
        (self.roots, self.clusterID) = (roots, clusterID)
    }

    package init(pem: [UInt8], clusterID: String) throws(SwarmError) {
        try self.init(roots: PEMFile.certificates(pem, in: "the trust bundle"), clusterID: clusterID)
    }

    package var pem: [UInt8] { roots.flatMap(\.pem) }

    /// During a rotation: both roots are believed.
    package func rotating(to root: X509Certificate) throws(SwarmError) -> TrustBundle {
        try TrustBundle(roots: [root] + roots.filter { $0 != root }, clusterID: clusterID)
    }

    /// After a rotation: certificates of any other root are refused.
    package func settled(on root: X509Certificate) throws(SwarmError) -> TrustBundle {
        try TrustBundle(roots: [root], clusterID: clusterID)
    }

    /// Who presents `chain`, leaf first, when it is believed at `now`.
    package func principal(
        of chain: [X509Certificate], at now: Timestamp
    ) throws(SwarmError) -> NodePrincipal {
        guard let leaf = chain.first else {
            throw SwarmError(
                .unauthenticated, "the peer presented no certificate: only nodes of this cluster may call")
        }
        do throws(X509Distrust) {
            try X509Verification.verify(chain, roots: roots, at: now.seconds)
        } catch {
            throw explain(error, leaf: leaf, now: now)
        }
        let principal = try NodePrincipal(of: leaf)
        guard principal.clusterID == clusterID else { throw foreign(leaf) }
        return principal
    }

    /// The believed certificate that signed `leaf`, whose name and key `TLSInfo` shows.
    package func issuer(of leaf: X509Certificate) -> X509Certificate? {
        roots.first { leaf.isSigned(by: $0) }
    }

    private func explain(_ distrust: X509Distrust, leaf: X509Certificate, now: Timestamp) -> SwarmError {
        let culprit = distrust.certificate ?? leaf
        let whose =
            culprit == leaf
            ? "certificate of node \(leaf.subject.commonNames.first ?? "without a name")"
            : "CA certificate \(culprit.subject)"
        switch distrust.reason {
        case .expired:
            return SwarmError(
                .unauthenticated,
                "\(whose) expired at \(culprit.validUntil), \((now - culprit.validUntil).inWords) before this node's "
                    + "clock (\(now)): if the clock is right, the node must enrol again")
        case .notYetValid:
            let ahead = (culprit.validFrom - now).inWords
            return SwarmError(
                .unauthenticated,
                "\(whose) is valid only from \(culprit.validFrom), \(ahead) after this node's clock (\(now)): is this "
                    + "node's clock off by \(ahead) or more? Synchronise the clocks of all nodes")
        case .unknownIssuer: return foreign(leaf)
        case .badSignature:
            return SwarmError(
                .unauthenticated,
                "\(whose) has a signature that is not its issuer's: it was changed or forged")
        case .notAuthority:
            return SwarmError(
                .unauthenticated, "\(whose) was signed by a certificate that may sign none: it is forged")
        case .other(let reason):
            return SwarmError(.unauthenticated, "\(whose) is refused: \(reason)")
        }
    }

    private func foreign(_ leaf: X509Certificate) -> SwarmError {
        let name = leaf.subject.commonNames.first ?? "without a name"
        guard let other = leaf.subject.organizations.only, other != clusterID else {
            return SwarmError(
                .unauthenticated,
                "certificate of node \(name) was not issued by a CA that this cluster (\(clusterID)) believes: "
                    + "the node missed a rotation of the CA, or is of another cluster; let it leave and join again")
        }
        return SwarmError(
            .unauthenticated,
            "certificate of node \(name) is of another cluster (\(other), this is \(clusterID)): let the node leave it "
                + "and join this one")
    }
}
