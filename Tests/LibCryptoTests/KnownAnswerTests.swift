import LibCrypto
import Testing

@Suite struct KnownAnswerTests {
    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 16 (submitted to NIST).
    @Test(arguments: [
        (
            String(repeating: "00", count: 32), "000000000000000000000000", "", "",
            "530f8afbc74536b9a963b4f1c4cb738b"
        ),
        (
            String(repeating: "00", count: 32), "000000000000000000000000",
            "00000000000000000000000000000000", "",
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        ),
        (
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255", "",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
                + "b094dac5d93471bdec1a502270e3cc6c"
        ),
        (
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                + "76fc6ece0f4e1768cddf8853bb2d551b"
        ),
    ])
    func `AES-256-GCM gives the published ciphertexts and tags, and opens them`(
        vector: (key: String, nonce: String, plain: String, data: String, sealed: String)
    ) throws {
        let sealed = AES256GCM.seal(
            bytes(vector.plain), key: bytes(vector.key), nonce: bytes(vector.nonce),
            authenticating: bytes(vector.data))
        #expect(sealed == bytes(vector.sealed))
        let opened = try AES256GCM.open(
            sealed[...], key: bytes(vector.key), nonce: bytes(vector.nonce),
            authenticating: bytes(vector.data))
        #expect(opened == bytes(vector.plain))
    }

    /// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
    @Test func `HMAC-SHA-256 gives RFC 4231's codes`() {
        let first = HMACSHA256.authenticate(Array("Hi There".utf8), key: [UInt8](repeating: 0x0B, count: 20))
        #expect(
            Hexadecimal.encode(first) == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        let second = HMACSHA256.authenticate(
            Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8))
        #expect(
            Hexadecimal.encode(second) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        let long = HMACSHA256.authenticate(
            Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
            key: [UInt8](repeating: 0xAA, count: 131))
        #expect(
            Hexadecimal.encode(long) == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
        let empty = HMACSHA256.authenticate([], key: [])
        #expect(
            Hexadecimal.encode(empty) == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
    }

    /// RFC 5869, appendix A.1 to A.3.
    @Test func `HKDF-SHA-256 gives RFC 5869's keys`() {
        let material = [UInt8](repeating: 0x0B, count: 22)
        let basic = HKDFSHA256.deriveKey(
            from: material, salt: Array(0...0x0C), info: Array(0xF0...0xF9), byteCount: 42)
        #expect(
            Hexadecimal.encode(basic)
                == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
        let long = HKDFSHA256.deriveKey(
            from: Array(0x00...0x4F), salt: Array(0x60...0xAF), info: Array(0xB0...0xFF), byteCount: 82)
        #expect(
            Hexadecimal.encode(long)
                == "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
                + "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87")
        let bare = HKDFSHA256.deriveKey(from: material, info: [], byteCount: 42)
        #expect(
            Hexadecimal.encode(bare)
                == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")
    }

    /// RFC 7914 section 12; its fourth vector takes 1 GiB and is left out.
    @Test func `scrypt gives RFC 7914's keys and refuses costs that make no sense`() throws {
        let empty = try Scrypt.deriveKey(
            from: [], salt: [], cost: .init(rounds: 16, blockSize: 1, parallelism: 1), byteCount: 64)
        #expect(
            Hexadecimal.encode(empty)
                == "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
                + "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906")
        let wide = try Scrypt.deriveKey(
            from: Array("password".utf8), salt: Array("NaCl".utf8),
            cost: .init(rounds: 1024, blockSize: 8, parallelism: 16), byteCount: 64)
        #expect(
            Hexadecimal.encode(wide)
                == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
                + "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640")
        let interactive = try Scrypt.deriveKey(
            from: Array("pleaseletmein".utf8), salt: Array("SodiumChloride".utf8), cost: .interactive,
            byteCount: 64)
        #expect(
            Hexadecimal.encode(interactive)
                == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                + "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887")
        #expect(throws: CryptoError.self) {
            try Scrypt.deriveKey(
                from: [1], salt: [2], cost: .init(rounds: 1000, blockSize: 8, parallelism: 1), byteCount: 32)
        }
    }

    /// RFC 4648 section 10, and texts that a lax decoder would take.
    @Test func `base 64 is one text for one value`() {
        let pairs = [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ]
        for (plain, text) in pairs {
            #expect(Base64.encode(Array(plain.utf8)) == Array(text.utf8))
            #expect(Base64.decode(Array(text.utf8)) == Array(plain.utf8))
        }
        for wrong in ["Zg", "Zg=", "Zh==", "Zm9=", "Zm8=Zg==", "=", "====", "Zm 8", "Zm8-", "Z", "Zg==="] {
            #expect(Base64.decode(Array(wrong.utf8)) == nil, "\(wrong)")
        }
        #expect(Base64.decode(Array("Zg".utf8), padded: false) == Array("f".utf8))
        #expect(Base64.encode(Array("f".utf8), padded: false) == Array("Zg".utf8))
        #expect(Base64.decode(Array("Zh".utf8), padded: false) == nil)
    }
}
