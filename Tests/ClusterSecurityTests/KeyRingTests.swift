import ClusterSecurity
import LibCrypto
import SwarmCore
import Testing

@Suite struct KeyRingTests {
    let key = SealingKey.generate()
    let plain = Array("a secret of the cluster".utf8)

    @Test func `what is sealed opens, and fits into what the membership protocol reserves`() throws {
        let ring = KeyRing(purpose: .gossip, primary: key)
        for size in [0, 1, 15, 16, 17, 1200, 100_000] {
            let plain = SecureRandom.bytes(size)
            let sealed = ring.seal(plain, authenticating: [1, 2])
            #expect(sealed.count == size + KeyRing.overheadBytes)
            #expect(try ring.open(sealed, authenticating: [1, 2]) == plain)
        }
        #expect(KeyRing.overheadBytes == 33)
        #expect(KeyRing.overheadBytes <= 48)
        #expect(ring.seal(plain) != ring.seal(plain))
    }

    @Test func `every flipped bit of sealed bytes is refused, and every cut`() throws {
        let ring = KeyRing(purpose: .raftLog, primary: key)
        let sealed = ring.seal(plain, authenticating: [9])
        for bit in 0..<sealed.count * 8 {
            var changed = sealed
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: SealError.self) { try ring.open(changed, authenticating: [9]) }
        }
        for length in 0..<sealed.count {
            #expect(throws: SealError.self) {
                try ring.open(Array(sealed.prefix(length)), authenticating: [9])
            }
        }
        #expect(throws: SealError.changed) { try ring.open(sealed + [0], authenticating: [9]) }
        #expect(throws: SealError.changed) { try ring.open(sealed, authenticating: [8]) }
        #expect(throws: SealError.changed) { try ring.open(sealed) }
        #expect(throws: SealError.tooShort) { try ring.open([]) }
        #expect(throws: SealError.unknownVersion(2)) {
            try ring.open([2] + sealed.dropFirst(), authenticating: [9])
        }
    }

    @Test func `bytes sealed for one purpose do not open as another's`() throws {
        for purpose in SealPurpose.allCases {
            let sealed = KeyRing(purpose: purpose, primary: key).seal(plain)
            for other in SealPurpose.allCases {
                let ring = KeyRing(purpose: other, primary: key)
                if other == purpose {
                    #expect(try ring.open(sealed) == plain)
                } else {
                    #expect(throws: SealError.self) { try ring.open(sealed) }
                }
            }
        }
    }

    @Test func `keys rotate without a moment at which a node understands no other`() throws {
        var first = KeyRing(purpose: .gossip, primary: key)
        var second = first
        let fresh = SealingKey.generate()
        // Step 1: everybody knows the new key, one after the other, and nobody seals with it.
        first.accept(fresh)
        #expect(try second.open(first.seal(plain)) == plain)
        second.accept(fresh)
        // Step 2: one after the other seals with it.
        first.makePrimary(fresh)
        #expect(try second.open(first.seal(plain)) == plain)
        #expect(try first.open(second.seal(plain)) == plain)
        let old = second.seal(plain)
        #expect(first.isSealedWithOlderKey(old) && !second.isSealedWithOlderKey(old))
        second.makePrimary(fresh)
        // Step 3: the old key is forgotten.
        first.keepNewest(1)
        #expect(try first.open(second.seal(plain)) == plain)
        #expect(throws: SealError.self) { try first.open(old) }
        #expect(first.keys.map(\.bytes) == [fresh.bytes])
    }

    @Test func `a ring is bounded and drops its oldest key first`() throws {
        let keys = (0..<20).map { _ in SealingKey.generate() }
        var ring = KeyRing(purpose: .snapshot, primary: keys[0])
        let oldest = ring.seal(plain)
        for key in keys.dropFirst() { ring.makePrimary(key) }
        #expect(ring.keys.map(\.bytes) == keys.suffix(KeyRing.keysMax).reversed().map(\.bytes))
        #expect(throws: SealError.self) { try ring.open(oldest) }
        ring.accept(keys[0])
        #expect(ring.keys.count == KeyRing.keysMax)
        #expect(try ring.open(oldest) == plain)
        ring.accept(keys[0])
        #expect(ring.keys.count == KeyRing.keysMax)
        #expect(KeyRing(purpose: .secret, primary: keys[0], older: keys).keys.count == KeyRing.keysMax)
        ring.keepNewest(0)
        #expect(ring.keys.count == 1)
        #expect(SealingKey(bytes: [1, 2, 3]) == nil)
        #expect("\(keys[0])" == "sealing key")
    }
}

@Suite struct IdentityStoreTests {
    let authority: CertificateAuthority
    let node: NodeIdentity

    init() throws {
        authority = try CertificateAuthority.create(at: start)
        node = try identity(of: authority, manager())
    }

    func expectSame(_ loaded: NodeIdentity, _ saved: NodeIdentity) {
        #expect(loaded.principal == saved.principal)
        #expect(loaded.key.pkcs8 == saved.key.pkcs8)
        #expect(loaded.chain == saved.chain)
        #expect(loaded.trust == saved.trust)
        #expect(loaded.storageKeys.map(\.bytes) == saved.storageKeys.map(\.bytes))
    }

    @Test func `an identity comes back from files that only root reads`() throws {
        try withDirectory { folder in
            let store = IdentityStore(directory: folder + "/certificates")
            #expect(try store.state() == .absent)
            #expect(message { _ = try store.load() } == "This node is not part of a swarm")
            try store.save(node)
            #expect(try store.state() == .clear)
            expectSame(try store.load(), node)
            let fresh = try node.withFreshStorageKey()
            try store.save(fresh)
            expectSame(try store.load(), fresh)
            #expect(fresh.storageKeys.count == 2)
            let modes = shell(
                "stat -c '%a %n' \(folder)/certificates \(folder)/certificates/* | sed 's|\(folder)/||'")
            #expect(
                modes
                    == "700 certificates\n600 certificates/swarm-node.pem\n600 certificates/swarm-root-ca.crt\n"
            )
            // What a crash left half-written is in nobody's way.
            try write([1, 2, 3], to: "\(folder)/certificates/swarm-node.pem.new")
            expectSame(try store.load(), fresh)
            try store.save(node)
            expectSame(try store.load(), node)
            #expect(
                shell("openssl x509 -in \(folder)/certificates/swarm-node.pem -noout -subject")
                    == "subject=O = \(clusterID), OU = swarm-manager, CN = \(manager().nodeID)\n")
            #expect(
                shell("openssl pkey -in \(folder)/certificates/swarm-node.pem -noout -check").contains(
                    "Key is valid"))
            try store.remove()
            try store.remove()
            #expect(try store.state() == .absent)
        }
    }

    @Test func `a locked identity opens with its unlock key only, and holds no secret in clear`() throws {
        try withDirectory { folder in
            let store = IdentityStore(directory: folder)
            let unlock = UnlockKey.generate()
            try store.save(node, unlockKey: unlock)
            #expect(try store.state() == .locked)
            #expect(
                message { _ = try store.load() }?.hasPrefix("Swarm is encrypted and needs to be unlocked")
                    == true)
            #expect(message { _ = try store.load(unlockKey: .generate()) } == "invalid key provided")
            expectSame(try store.load(unlockKey: unlock), node)
            let file = String(decoding: try read("\(folder)/swarm-node.pem"), as: UTF8.self)
            #expect(!file.contains("BEGIN PRIVATE KEY") && !file.contains("STORAGE KEY"))
            let blocks = try PEMBlock.parse(read("\(folder)/swarm-node.pem"))
            let sealed = try #require(blocks.last)
            #expect(sealed.label == "SWARM SEALED KEYS")
            for index in stride(from: 1, to: sealed.bytes.count, by: sealed.bytes.count / 16) {
                var changed = sealed
                changed.bytes[index] ^= 0x10
                try write(
                    blocks.dropLast().flatMap(\.encoded) + changed.encoded, to: "\(folder)/swarm-node.pem")
                #expect(message { _ = try store.load(unlockKey: unlock) } == "invalid key provided")
            }
            // A new unlock key replaces the old one; without one the files are in clear again.
            let next = UnlockKey.generate()
            try store.save(node, unlockKey: next)
            #expect(message { _ = try store.load(unlockKey: unlock) } == "invalid key provided")
            expectSame(try store.load(unlockKey: next), node)
            try store.save(node)
            expectSame(try store.load(), node)
        }
    }

    @Test func `an expired identity still loads, so that it can enrol again`() throws {
        let past = start + days(-700)
        let short = try identity(
            of: CertificateAuthority.create(at: past), worker(), validity: hours(1), at: past)
        try withDirectory { folder in
            let store = IdentityStore(directory: folder)
            try store.save(short)
            expectSame(try store.load(), short)
        }
    }

    @Test func `mixed-up and damaged files are refused with what to do`() throws {
        try withDirectory { folder in
            let store = IdentityStore(directory: folder)
            try store.save(node)
            let other = try identity(of: authority, manager())
            let path = "\(folder)/swarm-node.pem"
            let keyBlock = PEMBlock(PEMBlock.privateKey, other.key.pkcs8).encoded
            let storage = PEMBlock("SWARM STORAGE KEY", node.storageKeys[0].bytes).encoded
            try write(node.certificate.pem + keyBlock + storage, to: path)
            #expect(message { _ = try store.load() }?.contains("does not belong to its certificate") == true)
            try write(node.certificate.pem + storage, to: path)
            #expect(message { _ = try store.load() }?.contains("exactly one block BEGIN PRIVATE KEY") == true)
            try write(storage, to: path)
            #expect(throws: SwarmError.self) { try store.load() }
            try write([UInt8](repeating: 65, count: 2 << 20), to: path)
            #expect(message { _ = try store.load() }?.contains("larger than 1 MiB") == true)
            try store.save(node)
            shell("rm \(folder)/swarm-root-ca.crt")
            #expect(message { _ = try store.load() }?.contains("restore it from a backup") == true)
            let stranger = try CertificateAuthority.create(at: start)
            try write(stranger.root.pem, to: "\(folder)/swarm-root-ca.crt")
            #expect(throws: SwarmError.self) { try store.load() }
        }
        let lost = IdentityStore(directory: "/proc/no/such/place")
        #expect(
            message { try lost.save(node) }?.contains("cannot create directory /proc/no/such/place") == true)
    }
}
