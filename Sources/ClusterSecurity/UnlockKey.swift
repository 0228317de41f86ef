import LibCrypto
package import SwarmCore

/// The key that an operator types to unlock a manager after a restart: `SWMKEY-1-` and 256 bits in base 64.
///
/// It seals key files under a key-encryption key of its own for each file: scrypt, so that filling in the missing
/// part of a half-seen key stays dear, then HKDF to separate purposes.
package struct UnlockKey: Sendable, CustomStringConvertible {
    static let prefix = "SWMKEY-1-"
    private static let byteCount = 32
    private static let saltBytes = 16
    private static let version: UInt8 = 1

    private let bytes: [UInt8]

    private init(bytes: [UInt8]) { self.bytes = bytes }

    package static func generate() -> UnlockKey { UnlockKey(bytes: SecureRandom.bytes(byteCount)) }

    /// Reads a key as a person typed it, white space around it aside.
    package init(_ text: String) throws(SwarmError) {
        let typed = Array(text.utf8).trimmingWhiteSpace
        guard typed.starts(with: Self.prefix.utf8),
            let bytes = Base64.decode(Array(typed.dropFirst(Self.prefix.utf8.count)), padded: false),
            bytes.count == Self.byteCount
        else { throw Self.invalid }
        self.init(bytes: bytes)
    }

    package var text: String {
        Self.prefix + String(decoding: Base64.encode(bytes, padded: false), as: UTF8.self)
    }

    /// Without the secret, so that no log line can hold it.
    package var description: String { "\(Self.prefix)…" }

    /// Docker's words for a key that does not fit.
    static let invalid = SwarmError(.unauthenticated, "invalid key provided")

    package func isEqual(to other: UnlockKey) -> Bool { ConstantTime.areEqual(bytes, other.bytes) }

    /// Version (1 byte), salt (16), nonce (12), ciphertext, tag (16).
    func seal(_ plaintext: [UInt8], purpose: String) throws(SwarmError) -> [UInt8] {
        let salt = SecureRandom.bytes(Self.saltBytes)
        let nonce = SecureRandom.bytes(AES256GCM.nonceByteCount)
        let header = [Self.version] + salt
        let key = try keyEncryptionKey(salt: salt, purpose: purpose)
        return header + nonce + AES256GCM.seal(plaintext, key: key, nonce: nonce, authenticating: header)
    }

    /// A wrong key and changed bytes look alike: the tag does not fit.
    func open(_ sealed: [UInt8], purpose: String) throws(SwarmError) -> [UInt8] {
        let headerBytes = 1 + Self.saltBytes
        guard sealed.count >= headerBytes + AES256GCM.nonceByteCount + AES256GCM.tagByteCount else {
            throw SwarmError(.invalidArgument, "sealed \(purpose) is cut off: restore it from a backup")
        }
        guard sealed[0] == Self.version else {
            throw SwarmError(
                .invalidArgument, "sealed \(purpose) has format \(sealed[0]); this version reads format 1")
        }
        let header = Array(sealed.prefix(headerBytes))
        let rest = sealed.dropFirst(headerBytes)
        let key = try keyEncryptionKey(salt: Array(header.dropFirst()), purpose: purpose)
        do throws(CryptoError) {
            return try AES256GCM.open(
                rest.dropFirst(AES256GCM.nonceByteCount), key: key,
                nonce: Array(rest.prefix(AES256GCM.nonceByteCount)), authenticating: header)
        } catch {
            throw Self.invalid
        }
    }

    private func keyEncryptionKey(salt: [UInt8], purpose: String) throws(SwarmError) -> [UInt8] {
        do throws(CryptoError) {
            let stretched = try Scrypt.deriveKey(
                from: bytes, salt: salt, cost: .interactive, byteCount: AES256GCM.keyByteCount)
            return HKDFSHA256.deriveKey(
                from: stretched, info: Array("swarm unlock 1 \(purpose)".utf8),
                byteCount: AES256GCM.keyByteCount)
        } catch {
            throw SwarmError(
                .resourceExhausted, "the unlock key cannot be stretched, which takes 16 MiB of memory",
                cause: error.description)
        }
    }
}

extension [UInt8] {
    fileprivate var trimmingWhiteSpace: ArraySlice<UInt8> {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        var slice = self.drop(while: isSpace)
        while let last = slice.last, isSpace(last) { slice.removeLast() }
        return slice
    }
}
