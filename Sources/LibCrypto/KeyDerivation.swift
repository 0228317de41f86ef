import COpenSSL

/// HMAC with SHA-256 (RFC 2104).
package enum HMACSHA256 {
    package static func authenticate(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: SHA256.byteCount)
        var length = 0
        // An empty array has no address, which libcrypto takes for "no key"; HMAC pads keys with zeros anyway.
        let key = key.isEmpty ? [0] : key
        let result = unsafe EVP_Q_mac(
            nil, "HMAC", nil, "SHA256", nil, key, key.count, message, message.count, &code, code.count,
            &length)
        precondition(unsafe result != nil && length == code.count, "EVP_Q_mac refused HMAC with SHA-256")
        return code
    }
}

/// HKDF with SHA-256 (RFC 5869): independent keys out of one that is already uniformly random.
package enum HKDFSHA256 {
    /// The most that one expansion may give, RFC 5869 section 2.3.
    package static let byteCountMax = 255 * SHA256.byteCount

    package static func deriveKey(
        from material: [UInt8], salt: [UInt8] = [], info: [UInt8], byteCount: Int
    ) -> [UInt8] {
        expand(extract(material, salt: salt), info: info, byteCount: byteCount)
    }

    static func extract(_ material: [UInt8], salt: [UInt8]) -> [UInt8] {
        HMACSHA256.authenticate(
            material, key: salt.isEmpty ? [UInt8](repeating: 0, count: SHA256.byteCount) : salt)
    }

    static func expand(_ pseudorandomKey: [UInt8], info: [UInt8], byteCount: Int) -> [UInt8] {
        precondition((1...byteCountMax).contains(byteCount), "HKDF gives 1 to 8160 bytes")
        var output: [UInt8] = []
        var block: [UInt8] = []
        var counter: UInt8 = 0
        while output.count < byteCount {
            counter += 1
            block = HMACSHA256.authenticate(block + info + [counter], key: pseudorandomKey)
            output += block
        }
        return Array(output.prefix(byteCount))
    }
}

/// scrypt (RFC 7914): a key out of a password, at a price in memory and time for whoever guesses.
package enum Scrypt {
    package struct Cost: Sendable, Equatable {
        /// A power of two; memory is 128 · `blockSize` · `rounds` bytes.
        package var rounds: UInt64
        package var blockSize: UInt64
        package var parallelism: UInt64

        package init(rounds: UInt64, blockSize: UInt64, parallelism: UInt64) {
            (self.rounds, self.blockSize, self.parallelism) = (rounds, blockSize, parallelism)
        }

        /// RFC 7914's interactive setting: 16 MiB and some 50 ms.
        package static let interactive = Cost(rounds: 16_384, blockSize: 8, parallelism: 1)
    }

    static let memoryBytesMax: UInt64 = 64 << 20

    package static func deriveKey(
        from password: [UInt8], salt: [UInt8], cost: Cost, byteCount: Int
    ) throws(CryptoError) -> [UInt8] {
        var key = [UInt8](repeating: 0, count: byteCount)
        // A null password asks libcrypto only to check the parameters; an empty one still needs an address.
        let terminated = password.map { CChar(bitPattern: $0) } + [0]
        let status = unsafe EVP_PBE_scrypt(
            terminated, password.count, salt, salt.count, cost.rounds, cost.blockSize, cost.parallelism,
            memoryBytesMax, &key, key.count)
        guard status == 1 else { throw .newest("scrypt") }
        return key
    }
}
