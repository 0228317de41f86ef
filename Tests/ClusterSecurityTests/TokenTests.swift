import ClusterSecurity
import LibCrypto
import SwarmCore
import Testing

@Suite struct JoinTokenTests {
    let authority: CertificateAuthority
    let pair: JoinTokenPair

    init() throws {
        authority = try CertificateAuthority.create(at: start)
        var generator = SecureRandom()
        pair = JoinTokenPair(root: authority.root, using: &generator)
    }

    @Test func `a token has Docker's shape and tells the role`() throws {
        let text = pair.worker.text
        #expect(text.wholeMatch(of: /SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}/) != nil)
        #expect(text != pair.manager.text)
        #expect(try pair.role(of: pair.worker.text) == .worker)
        #expect(try pair.role(of: pair.manager.text) == .manager)
        let again = try JoinTokenPair(worker: pair.worker.text, manager: pair.manager.text)
        #expect(try again.role(of: text) == .worker)
        #expect(!"\(pair.worker)".contains(text.suffix(25)))
    }

    /// Checked with Python: int(sha256(der)) in base 36.
    @Test func `the digest is the SHA-256 of the root's DER in base 36`() throws {
        let computed = try withDirectory { folder in
            try write(authority.root.der, to: "\(folder)/root.der")
            return shell(
                """
                python3 -c "
                import hashlib
                n = int(hashlib.sha256(open('\(folder)/root.der','rb').read()).hexdigest(), 16)
                s = ''
                while n: n, r = divmod(n, 36); s = '0123456789abcdefghijklmnopqrstuvwxyz'[r] + s
                print(s.rjust(50, '0'), end='')"
                """)
        }
        #expect(JoinToken.digest(of: authority.root) == computed)
    }

    @Test(arguments: [
        "", "SWMTKN-1-bad", "SWMTKN-1-", "swmtkn-1-", "SWMTKN-1-\(String(repeating: "a", count: 50))",
        "SWMTKN-2-\(String(repeating: "a", count: 50))-\(String(repeating: "a", count: 25))",
        "SWMTKN-1-\(String(repeating: "A", count: 50))-\(String(repeating: "a", count: 25))",
        "SWMTKN-1-\(String(repeating: "a", count: 50))-\(String(repeating: "a", count: 26))",
        "SWMTKN-1-\(String(repeating: "a", count: 50))_\(String(repeating: "a", count: 25))",
        "SWMTKN-1-\(String(repeating: "a", count: 50))-\(String(repeating: "é", count: 25))",
    ])
    func `a malformed token is refused in Docker's words`(text: String) {
        #expect(message { _ = try JoinToken(text) } == "invalid join token")
        #expect(message { _ = try pair.role(of: text) } == "invalid join token")
    }

    @Test func `a rotated token, another cluster's and a mistyped one are told apart`() throws {
        var generator = SecureRandom()
        var rotated = pair
        rotated.rotate(.worker, root: authority.root, using: &generator)
        let need = "A valid join token is necessary to join this cluster"
        let old = message { _ = try rotated.role(of: pair.worker.text) } ?? ""
        #expect(old.hasPrefix(need) && old.contains("rotated or mistyped"))
        #expect(try rotated.role(of: pair.manager.text) == .manager)
        #expect(try rotated.role(of: rotated.worker.text) == .worker)
        let other = try CertificateAuthority.create(at: start)
        let foreign = JoinTokenPair(root: other.root, using: &generator)
        let text = message { _ = try pair.role(of: foreign.manager.text) } ?? ""
        #expect(text.hasPrefix(need) && text.contains("another cluster"))
        for index in 60..<pair.worker.text.utf8.count {
            var typed = Array(pair.worker.text.utf8)
            typed[index] = typed[index] == UInt8(ascii: "a") ? UInt8(ascii: "b") : UInt8(ascii: "a")
            #expect(throws: SwarmError.self) { try pair.role(of: String(decoding: typed, as: UTF8.self)) }
        }
    }

    @Test func `a joining node believes only the root that its token names`() throws {
        let other = try CertificateAuthority.create(at: start)
        #expect(try pair.worker.trustedRoot(among: [other.root, authority.root]) == authority.root)
        let text = message { _ = try pair.worker.trustedRoot(among: [other.root]) } ?? ""
        #expect(text.hasPrefix("remote CA does not match fingerprint. Expected: \(pair.worker.digest)"))
        #expect(throws: SwarmError.self) { try pair.worker.trustedRoot(among: []) }
    }

    @Test func `a joining node learns its cluster from the manager that the token's root certified`() throws {
        let host = try identity(of: authority, manager())
        func join(_ chain: [X509Certificate], _ roots: [X509Certificate]) throws -> TrustBundle {
            try pair.worker.trust(inManager: chain.map(\.der), offering: roots, at: start)
        }
        let bundle = try join(host.chain, [authority.root])
        #expect(bundle == host.trust)
        let fake = try CertificateAuthority.create(at: start)
        let impostor = try identity(of: fake, manager())
        #expect(throws: SwarmError.self) { try join(impostor.chain, [fake.root]) }
        #expect(throws: SwarmError.self) { try join(impostor.chain, [fake.root, authority.root]) }
        #expect(throws: SwarmError.self) { try join([], [authority.root]) }
        // A worker that answers in a manager's place gets no secret of the token.
        let plain = try identity(of: authority, worker())
        #expect(
            message { _ = try join(plain.chain, [authority.root]) }?.contains("only a swarm-manager may")
                == true)
        // While the root is replaced the new tokens name the new root, and the chain still leads to it.
        let next = try authority.crossSigning(CertificateAuthority.create(at: start), at: start)
        var generator = SecureRandom()
        let fresh = JoinToken(root: next.root, using: &generator)
        let chain = try next.issue(X509Request.forNode(key: .generate()), to: manager(), at: start).map(\.der)
        let learned = try fresh.trust(inManager: chain, offering: [authority.root, next.root], at: start)
        #expect(learned.roots == [next.root])
    }
}

@Suite struct UnlockKeyTests {
    @Test func `an unlock key has Docker's shape and survives typing`() throws {
        let key = UnlockKey.generate()
        #expect(key.text.wholeMatch(of: /SWMKEY-1-[A-Za-z0-9+\/]{43}/) != nil)
        #expect(try UnlockKey(" \(key.text)\n").isEqual(to: key))
        #expect(!UnlockKey.generate().isEqual(to: key))
        #expect("\(key)" == "SWMKEY-1-…")
        let long = key.text + "A"
        for wrong in [
            "", "SWMKEY-1-", "SWMKEY-1-abc", long, String(key.text.dropLast()),
            "swmkey" + key.text.dropFirst(6),
        ] {
            #expect(message { _ = try UnlockKey(wrong) } == "invalid key provided")
        }
    }
}
