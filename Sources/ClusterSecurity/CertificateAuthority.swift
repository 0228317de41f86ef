package import LibCrypto
package import SwarmCore

/// The cluster's root: a self-signed certificate over P-256 and the key that signs node certificates.
///
/// While the root is being replaced it also holds its own certificate signed by the root before it, so that nodes
/// which know only the old root believe certificates of the new one.
package struct CertificateAuthority: Sendable {
    package static let commonName = "swarm-ca"
    /// 20 years of 365 days.
    package static let rootValidity = Duration.seconds(20 * 365 * 86_400)
    package static let nodeValidity = Duration.seconds(90 * 86_400)
    package static let nodeValidityMin = Duration.seconds(3600)
    /// An imported root must live at least this long, or it would be replaced again at once.
    package static let importedValidityMin = Duration.seconds(365 * 86_400)
    /// Certificates begin this long before they are made, so that clocks may differ that much.
    package static let backdate = Duration.seconds(3600)

    package let root: X509Certificate
    /// The root's name and key, signed by the root that it replaces.
    package let crossSigned: X509Certificate?
    private let key: P256PrivateKey

    private init(root: X509Certificate, crossSigned: X509Certificate?, key: P256PrivateKey) {
        (self.root, self.crossSigned, self.key) = (root, crossSigned, key)
    }

    /// Makes a new root.
    package static func create(at now: Timestamp) throws(SwarmError) -> CertificateAuthority {
        let key = P256PrivateKey.generate()
        let root = try signing("the root certificate") { () throws(CryptoError) in
            try X509Template(
                subject: X509Name(commonName: commonName), publicKey: key.publicKey,
                serial: X509Template.randomSerial(), notBefore: now.seconds - backdate.components.seconds,
                notAfter: (now + rootValidity).seconds, usage: .authority(pathLength: nil)
            ).signed(by: key)
        }
        return CertificateAuthority(root: root, crossSigned: nil, key: key)
    }

    /// Reads back what ``certificatesPEM`` and ``keyPEM`` gave.
    package init(certificatesPEM: [UInt8], keyPEM: [UInt8]) throws(SwarmError) {
        let certificates = try PEMFile.certificates(certificatesPEM, in: "the CA certificate")
        let key = try PEMFile.privateKey(keyPEM, in: "the CA key")
        guard let root = certificates.first, certificates.count <= 2 else {
            throw SwarmError(.invalidArgument, "the CA certificate must be one certificate in PEM")
        }
        guard root.publicKey == key.publicKey.subjectPublicKeyInfo else {
            throw SwarmError(.invalidArgument, "the CA key does not belong to the CA certificate")
        }
        guard root.isAuthority, root.isSelfIssued, root.isSigned(by: root) else {
            throw SwarmError(
                .invalidArgument, "certificate \(root.subject) is not a self-signed CA: make it with CA:TRUE")
        }
        let cross = certificates.dropFirst().first
        guard cross.map({ $0.publicKey == root.publicKey && $0.subject.der == root.subject.der }) ?? true
        else {
            throw SwarmError(
                .invalidArgument, "the second certificate beside the CA's is not of the same key and name")
        }
        self.init(root: root, crossSigned: cross, key: key)
    }

    /// An operator's own root, for `swarm ca --rotate --ca-cert --ca-key`.
    package static func imported(
        certificatePEM: [UInt8], keyPEM: [UInt8], at now: Timestamp
    ) throws(SwarmError) -> CertificateAuthority {
        let authority = try CertificateAuthority(certificatesPEM: certificatePEM, keyPEM: keyPEM)
        guard authority.crossSigned == nil else {
            throw SwarmError(.invalidArgument, "the CA certificate must be one certificate in PEM")
        }
        guard authority.root.validFrom <= now else {
            throw SwarmError(
                .invalidArgument, "the CA certificate is only valid from \(authority.root.validFrom)")
        }
        guard authority.root.validUntil >= now + importedValidityMin else {
            throw SwarmError(
                .invalidArgument,
                "the CA certificate expires at \(authority.root.validUntil): it must be valid for at least one year"
            )
        }
        return authority
    }

    /// The root, and after it the cross-signed certificate while there is one.
    package var certificatesPEM: [UInt8] { root.pem + (crossSigned?.pem ?? []) }
    /// The secret; stored sealed only.
    package var keyPEM: [UInt8] { PEMBlock(PEMBlock.privateKey, key.pkcs8).encoded }

    /// Signs a node's certificate; the chain that the node shall present, leaf first.
    ///
    /// The request gives the key and the proof of owning it; all names come from the caller. `names` are further DNS
    /// names, as the host's.
    package func issue(
        _ request: X509Request, to node: NodePrincipal, names: [String] = [],
        validity: Duration = CertificateAuthority.nodeValidity, at now: Timestamp
    ) throws(SwarmError) -> [X509Certificate] {
        guard NodePrincipal.isName(node.nodeID), NodePrincipal.isName(node.clusterID) else {
            throw SwarmError(
                .invalidArgument,
                "node \"\(node.nodeID)\" of cluster \"\(node.clusterID)\" cannot be certified: "
                    + "identifiers have 1 to 64 letters, digits, '.', '_' or '-'")
        }
        guard validity >= Self.nodeValidityMin else {
            throw SwarmError(
                .invalidArgument, "certificate expiry must be at least 1h0m0s, not \(validity.inWords)")
        }
        guard now < root.validUntil else {
            throw SwarmError(
                .failedPrecondition,
                "the cluster's CA certificate expired at \(root.validUntil): make a new one with \"docker swarm ca "
                    + "--rotate\"")
        }
        var dnsNames = [node.nodeID, node.role.rawValue]
        if node.role == .manager { dnsNames.append(Self.commonName) }
        for name in names where NodePrincipal.isName(name) && !dnsNames.contains(name) {
            dnsNames.append(name)
        }
        let leaf = try Self.signing("the certificate of node \(node.nodeID)") { () throws(CryptoError) in
            try X509Template(
                subject: X509Name(
                    commonName: node.nodeID, organizationalUnit: node.role.rawValue,
                    organization: node.clusterID),
                publicKey: request.publicKey, serial: X509Template.randomSerial(),
                notBefore: now.seconds - Self.backdate.components.seconds,
                notAfter: min((now + validity).seconds, root.notAfter), usage: .peer, dnsNames: dnsNames
            ).signed(by: key, issuer: root)
        }
        return [leaf] + (crossSigned.map { [$0] } ?? [])
    }

    /// Begins a rotation: `successor`, holding its certificate signed by this root.
    package func crossSigning(
        _ successor: CertificateAuthority, at now: Timestamp
    ) throws(SwarmError) -> CertificateAuthority {
        guard successor.root.publicKey != root.publicKey else {
            throw SwarmError(
                .invalidArgument, "the new CA has the key of the old one: rotation needs a new key")
        }
        guard now < root.validUntil else {
            throw SwarmError(
                .failedPrecondition,
                "the CA certificate expired at \(root.validUntil) and can vouch for no other: nodes must join again"
            )
        }
        let cross = try Self.signing("the cross-signed root") { () throws(CryptoError) in
            var template = X509Template(
                subject: successor.root.subject, publicKey: successor.key.publicKey,
                serial: X509Template.randomSerial(),
                notBefore: now.seconds - Self.backdate.components.seconds,
                notAfter: min(root.notAfter, successor.root.notAfter), usage: .authority(pathLength: 0))
            // Certificates name their issuer by it, and other tools make it of the key in other ways.
            template.subjectKeyIdentifier = successor.root.subjectKeyIdentifier
            return try template.signed(by: key, issuer: root)
        }
        return CertificateAuthority(root: successor.root, crossSigned: cross, key: successor.key)
    }

    /// Ends a rotation: no certificate issued from now on leads to the old root.
    package var settled: CertificateAuthority { CertificateAuthority(root: root, crossSigned: nil, key: key) }

    private static func signing<Value>(
        _ what: String, _ body: () throws(CryptoError) -> Value
    ) throws(SwarmError) -> Value {
        do throws(CryptoError) { return try body() } catch {
            throw SwarmError(.internal, "\(what) could not be signed", cause: error.description)
        }
    }
}

extension X509Request {
    /// A node's request for a certificate over `key`; the subject is left for the authority to say.
    package static func forNode(key: P256PrivateKey) throws(SwarmError) -> X509Request {
        do throws(CryptoError) {
            return try X509Request(subject: X509Name(commonName: "swarm-node"), key: key)
        } catch {
            throw SwarmError(
                .internal, "the certificate request could not be signed", cause: error.description)
        }
    }

    /// Reads what a stranger sent: DER, signed by the key in it.
    package static func received(_ bytes: [UInt8]) throws(SwarmError) -> X509Request {
        do throws(CryptoError) { return try X509Request(der: bytes) } catch {
            let reason =
                error == .authenticationFailed
                ? "it is not signed by the key that it holds" : error.description
            throw SwarmError(.invalidArgument, "certificate request refused: \(reason)")
        }
    }
}
