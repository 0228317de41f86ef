import ClusterSecurity
import LibCrypto
import SwarmCore
import Testing

@Suite struct RootWishTests {
    private let present: CertificateAuthority
    private let other: CertificateAuthority

    init() throws { (present, other) = (try .create(at: start), try .create(at: start)) }

    private func judge(
        _ certificate: [UInt8], _ key: [UInt8], successor: X509Certificate? = nil, at now: Timestamp = start
    ) throws -> RootWish.Verdict {
        try RootWish(certificate: certificate, key: key).judge(present: present, successor: successor, at: now)
    }

    @Test func `without a root of their own, operators get a fresh one, signed by the present one`() throws {
        guard case .begin(let fresh) = try judge([], []) else { return #expect(Bool(false)) }
        #expect(fresh.root != present.root)
        #expect(fresh.crossSigned?.isSigned(by: present.root) == true)
        guard case .begin(let second) = try judge([], [], successor: fresh.root) else { return #expect(Bool(false)) }
        #expect(second.root != fresh.root)
        // It is signed by the root that all believe, not by the one that is given up.
        #expect(second.crossSigned?.isSigned(by: present.root) == true)
    }

    @Test func `a root of their own begins a rotation, goes on with it, or ends it`() throws {
        guard case .begin(let begun) = try judge(other.root.pem, other.keyPEM) else { return #expect(Bool(false)) }
        #expect(begun.root == other.root)
        guard case .goOn = try judge(other.root.pem, other.keyPEM, successor: other.root) else {
            return #expect(Bool(false))
        }
        guard case .stay = try judge(present.root.pem, present.keyPEM, successor: other.root) else {
            return #expect(Bool(false))
        }
    }

    @Test func `what is no root for a swarm is refused in Docker's words`() throws {
        let words: [(String, [UInt8], [UInt8])] = [
            ("if a signing CA key is provided, the signing CA cert must also be provided", [], other.keyPEM),
            ("could not parse the desired CA certificate", other.keyPEM, other.keyPEM),
            ("is not readable", Array("-----BEGIN CERTIFICATE-----\n?\n".utf8), other.keyPEM),
            ("cannot contain multiple certificates", other.root.pem + present.root.pem, other.keyPEM),
            ("there must be at least one valid, reachable external CA", other.root.pem, []),
            ("does not belong to the CA certificate", other.root.pem, present.keyPEM),
        ]
        for (text, certificate, key) in words {
            let said = message { _ = try judge(certificate, key) }
            #expect(said?.contains(text) == true, "\(text): \(said ?? "nothing")")
        }
        let late = start + days(19 * 365 + 1)
        #expect(message { _ = try judge(other.root.pem, other.keyPEM, at: late) }?.contains("expires too soon") == true)
        // A certificate of a node: valid for 90 days only, and no CA.
        let node = try identity(of: other, worker(), validity: days(800))
        let key = PEMBlock(PEMBlock.privateKey, node.key.pkcs8).encoded
        #expect(message { _ = try judge(node.certificate.pem, key) }?.contains("not a self-signed CA") == true)
    }

    @Test func `another certificate over the present key is refused`() throws {
        // As "openssl req -x509 -key" makes it from the key that the swarm has.
        let key = try #require(PEMBlock.parse(present.keyPEM).first.map { try P256PrivateKey(pkcs8: $0.bytes) })
        let again = try X509Template(
            subject: X509Name(commonName: "again"), publicKey: key.publicKey, serial: X509Template.randomSerial(),
            notBefore: start.seconds, notAfter: (start + days(900)).seconds, usage: .authority(pathLength: nil)
        ).signed(by: key)
        #expect(
            message { _ = try judge(again.pem, present.keyPEM) }?
                .contains("Cannot update to a cert with an identical key") == true)
    }

    @Test func `keys come in both forms that openssl writes`() throws {
        try withDirectory { directory in
            for command in [
                "openssl ecparam -name prime256v1 -genkey -noout -out \(directory)/key",
                "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out \(directory)/key",
            ] {
                shell("rm -f \(directory)/key \(directory)/root")
                shell(command)
                let make = "openssl req -x509 -new -key \(directory)/key -days 900 -subj /CN=mine -out \(directory)/root"
                shell(make)
                let made = try X509Certificate(pem: read("\(directory)/root")).notBefore
                let now = max(start, Timestamp(nanoseconds: made * 1_000_000_000))
                guard case .begin(let begun) = try judge(read("\(directory)/root"), read("\(directory)/key"), at: now)
                else { return #expect(Bool(false)) }
                #expect(begun.root.subject.commonNames == ["mine"])
                // Who knows only the present root believes what is issued from it.
                let leaf = try begun.issue(X509Request.forNode(key: .generate()), to: worker(), at: now)
                #expect(try trust(present).principal(of: leaf, at: now) == worker())
            }
        }
    }
}

extension X509Certificate {
    fileprivate init(pem: [UInt8]) throws {
        let block = try #require(try PEMBlock.parse(pem).first)
        try self.init(der: block.bytes)
    }
}
