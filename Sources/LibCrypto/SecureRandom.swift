import COpenSSL

/// Unpredictable bytes from libcrypto's generator, for tokens and keys.
package struct SecureRandom: RandomNumberGenerator {
    package init() {}

    package static func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let status = unsafe RAND_bytes(&bytes, Int32(count))
        // A machine that cannot give random bytes must not hand out tokens.
        precondition(status == 1, "RAND_bytes failed: the random generator has no seed")
        return bytes
    }

    package mutating func next() -> UInt64 { Self.bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }
}

/// Comparison of secrets in time that depends on their length only.
package enum ConstantTime {
    package static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return unsafe CRYPTO_memcmp(left, right, left.count) == 0
    }
}
