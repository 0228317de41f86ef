import LibCrypto
import Testing

@Suite struct X509Tests {
    static let now: Int64 = 1_800_000_000

    static func root(_ key: P256PrivateKey) throws -> X509Certificate {
        try X509Template(
            subject: X509Name(commonName: "root"), publicKey: key.publicKey,
            serial: X509Template.randomSerial(),
            notBefore: now - 10, notAfter: now + 1000, usage: .authority(pathLength: nil)
        ).signed(by: key)
    }

    static func leaf(
        of root: X509Certificate, _ rootKey: P256PrivateKey, from: Int64 = -10, until: Int64 = 500
    ) throws -> X509Certificate {
        try X509Template(
            subject: X509Name(commonName: "leaf", organizationalUnit: "unit", organization: "organization"),
            publicKey: P256PrivateKey.generate().publicKey, serial: X509Template.randomSerial(),
            notBefore: now + from, notAfter: now + until, usage: .peer, dnsNames: ["leaf", "other.example"]
        ).signed(by: rootKey, issuer: root)
    }

    @Test func `a certificate says what its template said, and is read back`() throws {
        let key = P256PrivateKey.generate()
        let root = try Self.root(key)
        let leaf = try Self.leaf(of: root, key)
        #expect(leaf.subject.commonNames == ["leaf"])
        #expect(leaf.subject.organizationalUnits == ["unit"])
        #expect(leaf.subject.organizations == ["organization"])
        #expect(leaf.issuer == root.subject)
        #expect(leaf.dnsNames == ["leaf", "other.example"])
        #expect((leaf.notBefore, leaf.notAfter) == (Self.now - 10, Self.now + 500))
        #expect(
            (leaf.isAuthority, root.isAuthority, root.isSelfIssued, leaf.isSelfIssued) == (
                false, true, true, false
            ))
        #expect(leaf.authorityKeyIdentifier == root.subjectKeyIdentifier)
        #expect(leaf.isSigned(by: root))
        #expect(!root.isSigned(by: leaf))
        let again = try X509Certificate(der: PEMBlock.parse(leaf.pem)[0].bytes)
        #expect(again == leaf)
    }

    @Test func `a chain is believed or the reason is told`() throws {
        let key = P256PrivateKey.generate()
        let root = try Self.root(key)
        let leaf = try Self.leaf(of: root, key)
        try X509Verification.verify([leaf], roots: [root], at: Self.now)
        func reason(_ chain: [X509Certificate], _ roots: [X509Certificate], _ time: Int64) -> X509Distrust
            .Reason?
        {
            do throws(X509Distrust) { try X509Verification.verify(chain, roots: roots, at: time) } catch {
                return error.reason
            }
            return nil
        }
        #expect(reason([leaf], [root], Self.now + 501) == .expired)
        #expect(reason([leaf], [root], Self.now - 11) == .notYetValid)
        let otherKey = P256PrivateKey.generate()
        let other = try Self.root(otherKey)
        #expect(reason([leaf], [other], Self.now) == .unknownIssuer)
        #expect(reason([leaf, root], [other], Self.now) == .unknownIssuer)
        #expect(reason([other], [root], Self.now) == .unknownIssuer)
        #expect(reason([leaf], [], Self.now) == .unknownIssuer)
        // A leaf's key may not sign; and its forged child must not pass.
        let forger = P256PrivateKey.generate()
        let middle = try X509Template(
            subject: X509Name(commonName: "middle"), publicKey: forger.publicKey, serial: [1],
            notBefore: Self.now - 10,
            notAfter: Self.now + 10, usage: .peer
        ).signed(by: key, issuer: root)
        let child = try Self.leaf(of: middle, forger)
        #expect(reason([child, middle], [root], Self.now) == .notAuthority)
        var flipped = leaf.der
        flipped[flipped.count - 1] ^= 1
        #expect(reason([try X509Certificate(der: flipped)], [root], Self.now) == .badSignature)
        #expect(reason([], [root], Self.now) == .other("no certificate was presented"))
        #expect(
            reason(Array(repeating: leaf, count: 7), [root], Self.now)
                == .other("a chain of more than 6 certificates"))
    }

    @Test func `the program openssl reads and believes our certificates, keys and requests`() throws {
        let key = P256PrivateKey.generate()
        let root = try Self.root(key)
        let leaf = try Self.leaf(of: root, key)
        let verified = try shell(
            "openssl verify -x509_strict -attime \(Self.now) -CAfile root.pem -purpose sslclient leaf.pem",
            files: ["root.pem": root.pem, "leaf.pem": leaf.pem])
        #expect(verified.output == "leaf.pem: OK\n")
        let text = try shell("openssl x509 -in leaf.pem -noout -text", files: ["leaf.pem": leaf.pem]).output
        #expect(text.contains("DNS:leaf, DNS:other.example"))
        #expect(text.contains("TLS Web Server Authentication, TLS Web Client Authentication"))
        #expect(text.contains("O = organization, OU = unit, CN = leaf"))
        let checkedKey = try shell(
            "openssl pkey -in key.pem -noout -check",
            files: ["key.pem": PEMBlock(PEMBlock.privateKey, key.pkcs8).encoded])
        #expect(checkedKey.output.contains("Key is valid"))
        let request = try X509Request(subject: X509Name(commonName: "node"), key: key)
        let checked = try shell("openssl req -in r.pem -verify -noout", files: ["r.pem": request.pem])
        #expect(checked.output.contains("verify OK"))
    }

    @Test func `we read and believe what the program openssl makes`() throws {
        let made = try shell(
            """
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
              -subj /CN=theirs -days 30 2>/dev/null && openssl req -newkey ec \
              -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout l.key -out l.csr -subj /O=o/OU=u/CN=l 2>/dev/null && openssl x509 -req -in l.csr -CA ca.pem \
              -CAkey ca.key -days 20 -out l.pem 2>/dev/null; cat ca.pem l.pem l.csr l.key
            """)
        let blocks = try PEMBlock.parse(Array(made.output.utf8))
        #expect(
            blocks.map(\.label) == ["CERTIFICATE", "CERTIFICATE", "CERTIFICATE REQUEST", "PRIVATE KEY"])
        let authority = try X509Certificate(der: blocks[0].bytes)
        let leaf = try X509Certificate(der: blocks[1].bytes)
        try X509Verification.verify([leaf], roots: [authority], at: leaf.notBefore + 10)
        let request = try X509Request(der: blocks[2].bytes)
        #expect(request.subject.commonNames == ["l"])
        let key = try P256PrivateKey(pkcs8: blocks[3].bytes)
        #expect(key.publicKey == request.publicKey)
        #expect(leaf.publicKey == key.publicKey.subjectPublicKeyInfo)
    }

    @Test(arguments: ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519"])
    func `keys and requests of other kinds are refused`(kind: String) throws {
        let made = try shell(
            "openssl req -newkey \(kind) -nodes -keyout k -out r -subj /CN=x 2>/dev/null; cat k r")
        let blocks = try PEMBlock.parse(Array(made.output.utf8))
        #expect(blocks.count == 2)
        #expect(throws: CryptoError.self) { try P256PrivateKey(pkcs8: blocks[0].bytes) }
        #expect(throws: CryptoError.self) { try X509Request(der: blocks[1].bytes) }
    }

    @Test func `a request whose signature is another key's is refused`() throws {
        let request = try X509Request(subject: X509Name(commonName: "node"), key: .generate())
        #expect(try X509Request(der: request.der) == request)
        var refused = 0
        for index in request.der.indices {
            var changed = request.der
            changed[index] ^= 1
            if (try? X509Request(der: changed)) == nil { refused += 1 }
        }
        #expect(refused == request.der.count)
    }

    @Test func `a signature is accepted of its key, message and bits only`() throws {
        let key = P256PrivateKey.generate()
        let message = Array("message".utf8)
        let signature = try key.signature(over: message)
        #expect(key.publicKey.accepts(signature, over: message))
        #expect(!key.publicKey.accepts(signature, over: message + [0]))
        #expect(!P256PrivateKey.generate().publicKey.accepts(signature, over: message))
        #expect(!key.publicKey.accepts([], over: message))
        for index in signature.indices {
            var changed = signature
            changed[index] ^= 1
            #expect(!key.publicKey.accepts(changed, over: message))
        }
        #expect("\(key)" == "P-256 private key")
    }

    @Test func `random and damaged bytes are refused or read, and never trap`() throws {
        var generator = SecureRandom()
        let key = P256PrivateKey.generate()
        let root = try Self.root(key)
        let request = try X509Request(subject: X509Name(commonName: "node"), key: key)
        let originals: [[UInt8]] = [
            root.der, request.der, key.pkcs8, key.publicKey.subjectPublicKeyInfo, root.pem,
            try Self.leaf(of: root, key).der,
        ]
        for round in 0..<3000 {
            var input = SecureRandom.bytes(Int.random(in: 1...200, using: &generator))
            if round % 3 != 0 {
                input = originals[round % originals.count]
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    input[Int.random(in: 0..<input.count, using: &generator)] = UInt8.random(
                        in: 0...255, using: &generator)
                }
                if round % 5 == 0 { input.removeLast(Int.random(in: 0..<input.count, using: &generator)) }
            }
            if let certificate = try? X509Certificate(der: input) {
                _ = try? X509Verification.verify([certificate], roots: [root], at: Self.now)
            }
            _ = try? X509Request(der: input)
            _ = try? P256PrivateKey(pkcs8: input)
            _ = try? P256PublicKey(subjectPublicKeyInfo: input)
            _ = try? PEMBlock.parse(input)
            _ = Base64.decode(input)
            _ = key.publicKey.accepts(input, over: [])
        }
    }
}
