import LibCrypto
import Testing

@Suite struct LibCryptoTests {
    /// FIPS 180-4's own examples.
    @Test func `SHA-256 gives the standard's digests, whole and in pieces`() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(SHA256.digest(of: Array("abc".utf8)) == abc)
        #expect(
            SHA256.digest(of: [])
                == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        let hasher = SHA256()
        for byte in "abc".utf8 { hasher.update([byte]) }
        #expect(hasher.finishAsDigest() == abc)
    }

    @Test func `random bytes are as many as asked for and differ`() {
        let first = SecureRandom.bytes(32)
        #expect(first.count == 32)
        #expect(first != SecureRandom.bytes(32))
    }

    @Test func `secrets compare by content`() {
        #expect(ConstantTime.areEqual([1, 2, 3], [1, 2, 3]))
        #expect(!ConstantTime.areEqual([1, 2, 3], [1, 2, 4]))
        #expect(!ConstantTime.areEqual([1, 2, 3], [1, 2]))
    }
}
