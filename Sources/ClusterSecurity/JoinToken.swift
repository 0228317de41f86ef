package import LibCrypto
package import SwarmCore

/// `SWMTKN-1-` digest of the root `-` secret: lets a stranger recognise the cluster, and the cluster the stranger.
package struct JoinToken: Sendable, CustomStringConvertible {
    static let prefix = "SWMTKN-1-"
    static let digestDigits = 50

    /// SHA-256 of the root certificate's DER, in base 36.
    package let digest: String
    private let secret: String

    private init(digest: String, secret: String) { (self.digest, self.secret) = (digest, secret) }

    /// A fresh secret for the cluster of `root`; `generator` must be unpredictable outside tests.
    package init(root: X509Certificate, using generator: inout some RandomNumberGenerator) {
        self.init(digest: Self.digest(of: root), secret: Identifier.random(using: &generator))
    }

    /// Reads a token as a person typed it.
    package init(_ text: String) throws(SwarmError) {
        let bytes = Array(text.utf8)
        let start = Self.prefix.utf8.count
        guard bytes.count == start + Self.digestDigits + 1 + Identifier.length,
            bytes.starts(with: Self.prefix.utf8),
            bytes[start + Self.digestDigits] == UInt8(ascii: "-"),
            let digest = Base36.text(bytes[start..<start + Self.digestDigits]),
            let secret = Base36.text(bytes.suffix(Identifier.length))
        else { throw SwarmError(.invalidArgument, "invalid join token") }
        self.init(digest: digest, secret: secret)
    }

    package var text: String { "\(Self.prefix)\(digest)-\(secret)" }

    /// Without the secret, so that no log line can hold it.
    package var description: String { "\(Self.prefix)\(digest)-…" }

    package static func digest(of root: X509Certificate) -> String {
        let hasher = SHA256()
        hasher.update(root.der)
        return Base36.encode(hasher.finish(), digits: digestDigits)
    }

    /// The root that the token vouches for among those a remote manager offered to a node that trusts nothing yet.
    ///
    /// Only this one may be believed; further roots come over a connection that it secured.
    package func trustedRoot(among offered: [X509Certificate]) throws(SwarmError) -> X509Certificate {
        guard let root = offered.first(where: { Self.digest(of: $0) == digest }) else {
            throw SwarmError(
                .failedPrecondition,
                "remote CA does not match fingerprint. Expected: \(digest): the token is of another cluster, or from "
                    + "before its CA was rotated; take a new one from \"docker swarm join-token\" on a manager"
            )
        }
        return root
    }

    /// What a joining node may believe from now on: the token's root, in the cluster that the certificate of the
    /// manager names which it reached.
    ///
    /// `chain` is what the manager presented in TLS, in DER; nothing of the token was sent yet.
    package func trust(
        inManager chain: [[UInt8]], offering roots: [X509Certificate], at now: Timestamp
    ) throws(SwarmError) -> TrustBundle {
        let root = try trustedRoot(among: roots)
        let certificates = try PeerVerifier.read(chain)
        guard let leaf = certificates.first else {
            throw SwarmError(
                .unauthenticated, "the manager presented no certificate: is it a node of a swarm?")
        }
        let claimed = try NodePrincipal(of: leaf)
        let bundle = try TrustBundle(roots: [root], clusterID: claimed.clusterID)
        try bundle.principal(of: certificates, at: now).require(.manager)
        return bundle
    }

    fileprivate func hasSecret(of other: JoinToken) -> Bool {
        ConstantTime.areEqual(Array(secret.utf8), Array(other.secret.utf8))
    }
}

/// The two tokens that a cluster accepts at a time.
package struct JoinTokenPair: Sendable {
    package private(set) var worker: JoinToken
    package private(set) var manager: JoinToken

    package init(root: X509Certificate, using generator: inout some RandomNumberGenerator) {
        worker = JoinToken(root: root, using: &generator)
        manager = JoinToken(root: root, using: &generator)
    }

    package init(worker: String, manager: String) throws(SwarmError) {
        self.worker = try JoinToken(worker)
        self.manager = try JoinToken(manager)
    }

    /// Replaces the token of `role`; nodes that joined with the old one stay.
    package mutating func rotate(
        _ role: CertificateRole, root: X509Certificate, using generator: inout some RandomNumberGenerator
    ) {
        switch role {
        case .worker: worker = JoinToken(root: root, using: &generator)
        case .manager: manager = JoinToken(root: root, using: &generator)
        }
    }

    /// What a node that shows `text` may become. Both tokens are compared whatever the first says.
    package func role(of text: String) throws(SwarmError) -> CertificateRole {
        let shown = try JoinToken(text)
        let isManager = shown.hasSecret(of: manager)
        let isWorker = shown.hasSecret(of: worker)
        let need = "A valid join token is necessary to join this cluster"
        guard shown.digest == worker.digest || shown.digest == manager.digest else {
            throw SwarmError(
                .invalidArgument,
                "\(need): the one given is of another cluster, or from before this cluster's CA was rotated")
        }
        guard isManager || isWorker else {
            throw SwarmError(
                .invalidArgument,
                "\(need): the one given was rotated or mistyped; print the current one with \"docker swarm "
                    + "join-token worker\" or \"… manager\"")
        }
        return isManager ? .manager : .worker
    }
}

/// Base 36 with digits before lower-case letters.
enum Base36 {
    private static let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)

    /// A big-endian number, left-padded with zeros to `digits`; `digits` must suffice.
    static func encode(_ bytes: [UInt8], digits: Int) -> String {
        var number = bytes
        var text = [UInt8](repeating: alphabet[0], count: digits)
        for position in text.indices.reversed() {
            var remainder = 0
            for index in number.indices {
                let value = remainder << 8 | Int(number[index])
                number[index] = UInt8(value / 36)
                remainder = value % 36
            }
            text[position] = alphabet[remainder]
        }
        precondition(number.allSatisfy { $0 == 0 }, "the number does not fit in \(digits) digits of base 36")
        return String(decoding: text, as: UTF8.self)
    }

    /// The characters, when all are digits of base 36.
    static func text(_ bytes: ArraySlice<UInt8>) -> String? {
        bytes.allSatisfy(alphabet.contains) ? String(decoding: bytes, as: UTF8.self) : nil
    }
}
