import ClusterSecurity
import LibCrypto
import SwarmCore
import Testing

/// Every parser meets thousands of random, damaged and cut inputs: it may refuse them, and must not trap.
@Suite struct HostileInputTests {
    var generator = SeededGenerator(seed: 20_261_124)

    mutating func damage(_ original: [UInt8]) -> [UInt8] {
        var bytes = original
        switch Int.random(in: 0..<4, using: &generator) {
        case 0:
            return (0..<Int.random(in: 0...200, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
        case 1: bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &generator)))
        default:
            for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
                bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
        }
        return bytes
    }

    @Test mutating func `certificates, chains, bundles and requests`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let node = try identity(of: authority, worker())
        let verifier = PeerVerifier(trust: node.trust)
        let request = try X509Request.forNode(key: .generate())
        var believed = 0
        for _ in 0..<3000 {
            let certificate = damage(node.certificate.der)
            if (try? verifier.verify(chain: [certificate, damage(authority.root.der)], at: start)) != nil {
                #expect(certificate == node.certificate.der)
                believed += 1
            }
            _ = try? X509Request.received(damage(request.der))
        }
        #expect(believed < 30)
        for _ in 0..<500 {
            let pem = damage(authority.certificatesPEM)
            _ = try? TrustBundle(pem: pem, clusterID: clusterID)
            _ = try? CertificateAuthority(certificatesPEM: pem, keyPEM: damage(authority.keyPEM))
        }
    }

    @Test mutating func `tokens and unlock keys`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let pair = JoinTokenPair(root: authority.root, using: &generator)
        let unlock = UnlockKey.generate().text
        for _ in 0..<5000 {
            let text = String(decoding: damage(Array(pair.worker.text.utf8)), as: UTF8.self)
            if (try? pair.role(of: text)) != nil { #expect(text == pair.worker.text) }
            _ = try? UnlockKey(String(decoding: damage(Array(unlock.utf8)), as: UTF8.self))
        }
    }

    @Test mutating func `sealed bytes and re-enrolments`() throws {
        let ring = KeyRing(purpose: .gossip, primary: .generate())
        let sealed = ring.seal(Array("plain".utf8))
        let authority = try CertificateAuthority.create(at: start)
        let node = try identity(of: authority, worker())
        let challenge = Reenrolment.freshChallenge()
        let good = try Reenrolment(of: node, newKey: .generate(), challenge: challenge)
        for round in 0..<5000 {
            let changed = damage(sealed)
            if changed != sealed { #expect(throws: SealError.self) { try ring.open(changed) } }
            guard round % 5 == 0 else { continue }
            let sent = Reenrolment(
                chain: [round % 2 == 0 ? good.chain[0] : damage(good.chain[0])],
                request: round % 3 == 0 ? good.request : damage(good.request),
                proof: round % 7 == 0 ? good.proof : damage(good.proof))
            _ = try? sent.verify(challenge: challenge, trust: node.trust, at: start)
        }
    }

    @Test mutating func `identity files`() throws {
        let authority = try CertificateAuthority.create(at: start)
        let node = try identity(of: authority, worker())
        try withDirectory { folder in
            let store = IdentityStore(directory: folder)
            try store.save(node)
            let path = "\(folder)/swarm-node.pem"
            let file = try read(path)
            for _ in 0..<1000 {
                try write(damage(file), to: path)
                _ = try? store.state()
                _ = try? store.load()
            }
            let unlock = UnlockKey.generate()
            try store.save(node, unlockKey: unlock)
            let sealed = try read(path)
            for _ in 0..<20 {
                try write(damage(sealed), to: path)
                _ = try? store.load(unlockKey: unlock)
            }
        }
    }
}
