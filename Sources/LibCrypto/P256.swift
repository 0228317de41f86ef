import COpenSSL

/// A private key on the curve P-256 (FIPS 186-4), held as PKCS#8.
package struct P256PrivateKey: Sendable, CustomStringConvertible {
    /// PKCS#8 in DER: the secret itself.
    package let pkcs8: [UInt8]
    package let publicKey: P256PublicKey

    /// A text without the secret, so that no log line can hold it.
    package var description: String { "P-256 private key" }

    package static func generate() -> P256PrivateKey {
        guard let context = unsafe EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else {
            preconditionFailure("EVP_PKEY_CTX_new_id: out of memory")
        }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        unsafe require(EVP_PKEY_keygen_init(context), "EVP_PKEY_keygen_init")
        unsafe require(
            EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1), "choosing the curve P-256")
        var generated: OpaquePointer?
        unsafe require(EVP_PKEY_keygen(context, &generated), "EVP_PKEY_keygen")
        guard let generated = unsafe generated,
            let key = try? P256PrivateKey(handle: unsafe KeyHandle(generated))
        else { preconditionFailure("EVP_PKEY_keygen made a key that cannot be encoded") }
        return key
    }

    /// Refuses other algorithms and curves.
    package init(pkcs8 bytes: [UInt8]) throws(CryptoError) {
        let decoded = unsafe decodeDER(
            bytes, { unsafe d2i_PKCS8_PRIV_KEY_INFO(nil, $0, $1) },
            free: { unsafe PKCS8_PRIV_KEY_INFO_free($0) })
        guard let info = unsafe decoded else { throw .malformed("not a private key in PKCS#8") }
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(info) }
        guard let key = unsafe EVP_PKCS82PKEY(info) else {
            ERR_clear_error()
            throw .malformed("a private key that libcrypto cannot read")
        }
        try self.init(handle: unsafe KeyHandle(key))
    }

    /// The form of RFC 5915, which names no curve where the caller must.
    package init(sec1 bytes: [UInt8]) throws(CryptoError) {
        // ecPublicKey over prime256v1 (RFC 5480).
        let algorithm: [UInt8] = [
            0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
            0x03, 0x01, 0x07,
        ]
        let key = DER.element(DER.octetString, bytes)
        try self.init(pkcs8: DER.element(DER.sequence, DER.positiveInteger([]) + algorithm + key))
    }

    private init(handle: KeyHandle) throws(CryptoError) {
        publicKey = try P256PublicKey(handle: handle)
        guard let info = unsafe EVP_PKEY2PKCS8(handle.pointer) else { throw .newest("EVP_PKEY2PKCS8") }
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(info) }
        pkcs8 = try unsafe derBytes { unsafe i2d_PKCS8_PRIV_KEY_INFO(info, $0) }
    }

    /// An ECDSA signature over the message's SHA-256, in DER.
    package func signature(over message: [UInt8]) throws(CryptoError) -> [UInt8] {
        let handle = try handle()
        let context = DigestContext()
        var length = 0
        guard unsafe EVP_DigestSignInit(context.pointer, nil, EVP_sha256(), nil, handle.pointer) == 1,
            unsafe EVP_DigestSign(context.pointer, nil, &length, message, message.count) == 1
        else { throw .newest("ECDSA signing") }
        var signature = [UInt8](repeating: 0, count: length)
        guard unsafe EVP_DigestSign(context.pointer, &signature, &length, message, message.count) == 1 else {
            throw .newest("ECDSA signing")
        }
        return Array(signature.prefix(length))
    }

    func handle() throws(CryptoError) -> KeyHandle {
        let decoded = unsafe decodeDER(
            pkcs8, { unsafe d2i_PKCS8_PRIV_KEY_INFO(nil, $0, $1) },
            free: { unsafe PKCS8_PRIV_KEY_INFO_free($0) })
        guard let info = unsafe decoded else { throw .newest("reading PKCS#8") }
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(info) }
        guard let key = unsafe EVP_PKCS82PKEY(info) else { throw .newest("EVP_PKCS82PKEY") }
        return unsafe KeyHandle(key)
    }
}

/// A public key on the curve P-256, held as the SubjectPublicKeyInfo that certificates carry.
package struct P256PublicKey: Sendable, Hashable {
    /// In DER, RFC 5480: always 91 bytes, the point uncompressed.
    package let subjectPublicKeyInfo: [UInt8]

    static let byteCount = 91
    /// SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING (65 bytes) }
    private static let prefix: [UInt8] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
        0x48,
        0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ]

    package init(subjectPublicKeyInfo bytes: [UInt8]) throws(CryptoError) {
        guard bytes.count == Self.byteCount, bytes.starts(with: Self.prefix) else {
            throw .malformed("not a public key on the curve P-256")
        }
        subjectPublicKeyInfo = bytes
        // Decoding checks that the point lies on the curve.
        _ = try handle()
    }

    init(handle: KeyHandle) throws(CryptoError) {
        let bytes = try unsafe derBytes { unsafe i2d_PUBKEY(handle.pointer, $0) }
        guard bytes.count == Self.byteCount, bytes.starts(with: Self.prefix) else {
            throw .malformed("a key that is not on the curve P-256")
        }
        subjectPublicKeyInfo = bytes
    }

    /// Whether `signature` (ECDSA in DER) is this key's over the message's SHA-256.
    package func accepts(_ signature: [UInt8], over message: [UInt8]) -> Bool {
        guard let handle = try? handle() else { return false }
        let context = DigestContext()
        defer { ERR_clear_error() }
        return unsafe EVP_DigestVerifyInit(context.pointer, nil, EVP_sha256(), nil, handle.pointer) == 1
            && EVP_DigestVerify(context.pointer, signature, signature.count, message, message.count) == 1
    }

    func handle() throws(CryptoError) -> KeyHandle {
        let decoded = unsafe decodeDER(
            subjectPublicKeyInfo, { unsafe d2i_PUBKEY(nil, $0, $1) }, free: { unsafe EVP_PKEY_free($0) })
        guard let key = unsafe decoded else { throw .malformed("a public key that is not a point on P-256") }
        return unsafe KeyHandle(key)
    }
}

/// Owns an `EVP_PKEY`.
@safe final class KeyHandle {
    let pointer: OpaquePointer

    @unsafe init(_ pointer: OpaquePointer) { unsafe self.pointer = pointer }

    deinit { unsafe EVP_PKEY_free(pointer) }
}

/// Owns an `EVP_MD_CTX`.
@safe final class DigestContext {
    let pointer: OpaquePointer

    init() {
        guard let pointer = unsafe EVP_MD_CTX_new() else {
            preconditionFailure("EVP_MD_CTX_new: out of memory")
        }
        unsafe self.pointer = pointer
    }

    deinit { unsafe EVP_MD_CTX_free(pointer) }
}
