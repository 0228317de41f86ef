import ClusterSecurity
import Glibc
import LibCrypto
import SwarmCore
import Testing

@Suite struct CertificateTests {
    @Test func `a node's certificate is worded as Docker's and lives as asked`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let key = P256PrivateKey.generate()
        let chain = try authority.issue(
            X509Request.forNode(key: key), to: manager(), names: ["host-1", "bad name"], at: start)
        let leaf = try #require(chain.first)
        #expect(chain.count == 1)
        #expect(leaf.subject.commonNames == [manager().nodeID])
        #expect(leaf.subject.organizationalUnits == ["swarm-manager"])
        #expect(leaf.subject.organizations == [clusterID])
        #expect(leaf.dnsNames == [manager().nodeID, "swarm-manager", "swarm-ca", "host-1"])
        #expect(leaf.notBefore == start.seconds - 3600)
        #expect(leaf.notAfter == start.seconds + 90 * 86_400)
        #expect(leaf.publicKey == key.publicKey.subjectPublicKeyInfo)
        #expect(authority.root.subject.commonNames == ["swarm-ca"])
        #expect(authority.root.notAfter == start.seconds + 20 * 365 * 86_400)
        #expect(try trust(authority).principal(of: chain, at: start) == manager())
        #expect(try trust(authority).issuer(of: leaf) == authority.root)
    }

    @Test func `serial numbers have 128 bits and do not repeat`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let request = try X509Request.forNode(key: .generate())
        let serials = try (0..<200).map { _ in try authority.issue(request, to: worker(), at: start)[0].serial
        }
        #expect(Set(serials).count == 200)
        #expect(serials.allSatisfy { $0.count <= 16 })
        #expect(serials.contains { $0.count == 16 && $0[0] >= 0x80 })
    }

    @Test func `the program openssl believes the cluster's certificates`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let next = try authority.crossSigning(CertificateAuthority.create(at: start), at: start)
        let node = try identity(of: authority, worker())
        let key = P256PrivateKey.generate()
        let chain = try next.issue(X509Request.forNode(key: key), to: worker(), at: start)
        try withDirectory { folder in
            try write(authority.root.pem, to: "\(folder)/old.pem")
            try write(next.root.pem, to: "\(folder)/new.pem")
            try write(next.crossSigned?.pem ?? [], to: "\(folder)/cross.pem")
            try write(node.certificate.pem, to: "\(folder)/a.pem")
            try write(chain[0].pem, to: "\(folder)/b.pem")
            let verify = "cd \(folder); openssl verify -x509_strict -attime \(start.seconds)"
            #expect(shell("\(verify) -CAfile old.pem -purpose sslserver a.pem") == "a.pem: OK\n")
            #expect(shell("\(verify) -CAfile new.pem -purpose sslclient b.pem") == "b.pem: OK\n")
            #expect(shell("\(verify) -CAfile old.pem -untrusted cross.pem b.pem") == "b.pem: OK\n")
            #expect(shell("\(verify) -CAfile old.pem b.pem").contains("verification failed"))
        }
    }

    @Test func `a request made by the program openssl is certified under the name that the cluster gives`()
        throws
    {
        let made = try withDirectory { folder in
            shell(
                "cd \(folder); openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out r "
                    + "-subj /O=evil/OU=swarm-manager/CN=evil 2>/dev/null; cat r")
        }
        let request = try X509Request.received(PEMBlock.parse(Array(made.utf8))[0].bytes)
        let authority = try CertificateAuthority.create(at: start)
        let chain = try authority.issue(request, to: worker(), at: start)
        #expect(try trust(authority).principal(of: chain, at: start) == worker())
    }

    @Test func `an operator's own root is taken when it can serve, and else the reason is told`() throws {
        func root(_ extra: String) throws -> (certificate: [UInt8], key: [UInt8], now: Timestamp) {
            try withDirectory { folder in
                shell(
                    "cd \(folder); openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k "
                        + "-out c -subj /CN=ours \(extra)")
                let certificate = try read("\(folder)/c")
                let from = try X509Certificate(der: PEMBlock.parse(certificate)[0].bytes).notBefore
                return try (
                    certificate, read("\(folder)/k"), Timestamp(nanoseconds: (from + 5) * 1_000_000_000)
                )
            }
        }
        let good = try root("-days 400")
        let authority = try CertificateAuthority.imported(
            certificatePEM: good.certificate, keyPEM: good.key, at: good.now)
        let node = try identity(of: authority, worker(), at: good.now)
        #expect(try trust(authority).principal(of: node.chain, at: good.now) == worker())
        let short = try root("-days 30")
        #expect(
            message {
                _ = try CertificateAuthority.imported(
                    certificatePEM: short.certificate, keyPEM: short.key, at: short.now)
            }?
            .hasSuffix("it must be valid for at least one year") == true)
        #expect(
            message {
                _ = try CertificateAuthority.imported(
                    certificatePEM: good.certificate, keyPEM: short.key, at: good.now)
            }
                == "the CA key does not belong to the CA certificate")
        let plain = try root("-days 400 -addext basicConstraints=critical,CA:FALSE")
        #expect(
            message {
                _ = try CertificateAuthority.imported(
                    certificatePEM: plain.certificate, keyPEM: plain.key, at: plain.now)
            }?
            .contains("is not a self-signed CA") == true)
    }

    @Test func `the authority comes back from its PEM, also in the middle of a rotation`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let again = try CertificateAuthority(
            certificatesPEM: authority.certificatesPEM, keyPEM: authority.keyPEM)
        #expect(again.root == authority.root)
        let next = try again.crossSigning(CertificateAuthority.create(at: start), at: start)
        let back = try CertificateAuthority(certificatesPEM: next.certificatesPEM, keyPEM: next.keyPEM)
        #expect((back.root, back.crossSigned) == (next.root, next.crossSigned))
        #expect(throws: SwarmError.self) {
            try CertificateAuthority(certificatesPEM: next.certificatesPEM, keyPEM: authority.keyPEM)
        }
    }

    @Test func `what cannot be certified is refused with its reason`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let request = try X509Request.forNode(key: .generate())
        #expect(
            message {
                _ = try authority.issue(request, to: worker(), validity: hours(1) - .seconds(1), at: start)
            }
                == "certificate expiry must be at least 1h0m0s, not 59m")
        for name in ["", "a,DNS:b", "a b", "ä", String(repeating: "a", count: 65)] {
            #expect(
                message { _ = try authority.issue(request, to: worker(name), at: start) }?.contains(
                    "cannot be certified") == true)
        }
        let late = start + CertificateAuthority.rootValidity
        #expect(
            message { _ = try authority.issue(request, to: worker(), at: late) }?.contains(
                "docker swarm ca --rotate") == true)
        // Near its own end the root gives no more than it has.
        let last = try authority.issue(request, to: worker(), at: late + days(-2))[0]
        #expect(last.notAfter == authority.root.notAfter)
        var damaged = request.der
        damaged[damaged.count - 1] ^= 1
        #expect(
            message { _ = try X509Request.received(damaged) }
                == "certificate request refused: it is not signed by the key that it holds")
    }
}

@Suite struct PeerVerificationTests {
    let authority: CertificateAuthority
    let node: NodeIdentity
    let bundle: TrustBundle

    init() throws {
        authority = try CertificateAuthority.create(at: start)
        node = try identity(of: authority, worker(), validity: days(1))
        bundle = try trust(authority)
    }

    func refusal(_ chain: [X509Certificate], at now: Timestamp = start) -> String? {
        message { _ = try PeerVerifier(trust: bundle).verify(chain: chain.map(\.der), at: now) }
    }

    @Test func `an expired certificate is refused with both times`() {
        #expect(refusal(node.chain, at: start + hours(24) + .seconds(-1)) == nil)
        let text = refusal(node.chain, at: start + hours(26)) ?? ""
        #expect(
            text.contains(
                "expired at \(start + hours(24)), 2h before this node's clock (\(start + hours(26)))"))
        #expect(text.contains(worker().nodeID))
    }

    @Test func `a clock that lags by two hours is named as the likely cause`() {
        // An hour of difference is what backdating forgives.
        #expect(refusal(node.chain, at: start + hours(-1)) == nil)
        let text = refusal(node.chain, at: start + hours(-2)) ?? ""
        #expect(text.contains("is valid only from \(start + hours(-1)), 1h after this node's clock"))
        #expect(text.contains("is this node's clock off by 1h or more?"))
    }

    @Test func `another cluster's certificate is refused by name, though its root has the same name`() throws
    {
        let other = try CertificateAuthority.create(at: start)
        let stranger = NodePrincipal(
            nodeID: "strangeraaaaaaaaaaaaaaaaa", role: .manager, clusterID: "othercluster")
        let foreign = try identity(of: other, stranger)
        let text = refusal(foreign.chain) ?? ""
        #expect(text.contains("is of another cluster (othercluster, this is \(clusterID))"))
        // Its root sent along helps nothing.
        #expect(refusal(foreign.chain + [other.root])?.contains("another cluster") == true)
        // One that claims to be of this cluster is not believed either.
        let impostor = try identity(of: other, worker())
        #expect(refusal(impostor.chain)?.contains("was not issued by a CA that this cluster") == true)
        // Nor one of our CA that was made for another cluster.
        let misplaced = try authority.issue(X509Request.forNode(key: .generate()), to: stranger, at: start)
        #expect(refusal(misplaced)?.contains("is of another cluster") == true)
    }

    @Test func `every flipped bit of a certificate is refused`() throws {
        let der = node.certificate.der
        for bit in 0..<der.count * 8 {
            var changed = der
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: SwarmError.self) {
                try PeerVerifier(trust: bundle).verify(chain: [changed], at: start)
            }
        }
        var forged = der
        forged[forged.count - 1] ^= 1
        #expect(refusal([try X509Certificate(der: forged)])?.contains("it was changed or forged") == true)
    }

    @Test func `the role and the node are checked when they are asked for`() throws {
        let chain = node.chain.map(\.der)
        #expect(
            try PeerVerifier(trust: bundle, expecting: .role(.worker)).verify(chain: chain, at: start)
                == worker())
        do throws(SwarmError) {
            _ = try PeerVerifier(trust: bundle, expecting: .role(.manager)).verify(chain: chain, at: start)
            Issue.record("a worker passed for a manager")
        } catch {
            #expect(error.code == .permissionDenied)
            #expect(
                error.message == "node \(worker().nodeID) is a swarm-worker; only a swarm-manager may do this"
            )
        }
        #expect(
            message {
                _ = try PeerVerifier(trust: bundle, expecting: .node("other")).verify(chain: chain, at: start)
            }
                == "node \(worker().nodeID) answers where node other was expected")
        #expect(
            try PeerVerifier(trust: bundle, expecting: .node(worker().nodeID)).verify(chain: chain, at: start)
                == worker())
    }

    @Test func `subjects that leave room for two readings are refused`() throws {
        // openssl dates certificates by the machine's clock.
        let now = Timestamp(nanoseconds: Int64(time(nil)) * 1_000_000_000)
        let authority = try CertificateAuthority.create(at: now)
        let certificate = try withDirectory { folder in
            try write(authority.root.pem, to: "\(folder)/ca.pem")
            try write(authority.keyPEM, to: "\(folder)/ca.key")
            shell(
                "cd \(folder); openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out r -subj "
                    + "/O=\(clusterID)/OU=swarm-worker/OU=swarm-manager/CN=x; openssl x509 -req -in r -CA ca.pem "
                    + "-CAkey ca.key -days 10 -out c")
            return try read("\(folder)/c")
        }
        let leaf = try X509Certificate(der: PEMBlock.parse(certificate)[0].bytes)
        #expect(leaf.subject.organizationalUnits == ["swarm-worker", "swarm-manager"])
        let believed = try trust(authority)
        let text = message {
            _ = try believed.principal(of: [leaf], at: now + .seconds(60))
        }
        #expect(text?.contains("one OU (role)") == true)
        // The root itself is no node.
        #expect(refusal([self.authority.root])?.contains("is no node's") == true)
        #expect(refusal([])?.contains("presented no certificate") == true)
        #expect(refusal(Array(repeating: node.certificate, count: 7))?.contains("at most 6 are read") == true)
    }

    @Test func `a worker's key cannot sign certificates for others`() throws {
        let forged = try X509Template(
            subject: X509Name(commonName: "m", organizationalUnit: "swarm-manager", organization: clusterID),
            publicKey: P256PrivateKey.generate().publicKey, serial: [7], notBefore: start.seconds - 10,
            notAfter: start.seconds + 1000, usage: .peer
        ).signed(by: node.key, issuer: node.certificate)
        #expect(refusal([forged, node.certificate])?.contains("may sign none") == true)
    }

    @Test func `TLS gets its bytes`() throws {
        let material = TLSMaterial(identity: node)
        #expect(
            material.versionMin == .tls13 && material.versionMax == .tls13 && material.requiresPeerCertificate
        )
        #expect(try PEMBlock.parse(material.certificateChainPEM).map(\.bytes) == node.chain.map(\.der))
        #expect(try PEMBlock.parse(material.trustRootsPEM).map(\.bytes) == [authority.root.der])
        #expect(try PEMBlock.parse(material.privateKeyPEM).map(\.bytes) == [node.key.pkcs8])
    }
}
