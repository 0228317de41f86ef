import COpenSSL

/// AES-256 in Galois/Counter Mode (NIST SP 800-38D) with 96-bit nonces and 128-bit tags.
///
/// A nonce must never seal twice under one key; with random nonces a key is good for 2^32 messages.
package enum AES256GCM {
    package static let keyByteCount = 32
    package static let nonceByteCount = 12
    package static let tagByteCount = 16

    /// The ciphertext, as long as the plaintext, followed by the tag.
    package static func seal(
        _ plaintext: [UInt8], key: [UInt8], nonce: [UInt8], authenticating data: [UInt8] = []
    ) -> [UInt8] {
        precondition(
            key.count == keyByteCount && nonce.count == nonceByteCount, "a key of 32 and a nonce of 12 bytes")
        let context = CipherContext()
        var output = [UInt8](repeating: 0, count: plaintext.count + tagByteCount)
        var length: Int32 = 0
        unsafe require(
            EVP_EncryptInit_ex(context.pointer, EVP_aes_256_gcm(), nil, key, nonce), "EVP_EncryptInit_ex")
        if !data.isEmpty {
            unsafe require(
                EVP_EncryptUpdate(context.pointer, nil, &length, data, Int32(data.count)), "EVP_EncryptUpdate"
            )
        }
        unsafe output.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            if !plaintext.isEmpty {
                unsafe require(
                    EVP_EncryptUpdate(context.pointer, start, &length, plaintext, Int32(plaintext.count)),
                    "EVP_EncryptUpdate")
            }
            let tag = unsafe start + plaintext.count
            unsafe require(EVP_EncryptFinal_ex(context.pointer, tag, &length), "EVP_EncryptFinal_ex")
            unsafe require(
                EVP_CIPHER_CTX_ctrl(context.pointer, EVP_CTRL_AEAD_GET_TAG, Int32(tagByteCount), tag),
                "EVP_CTRL_AEAD_GET_TAG")
        }
        return output
    }

    /// The plaintext; nothing of it is returned unless the tag fits.
    package static func open(
        _ sealed: ArraySlice<UInt8>, key: [UInt8], nonce: [UInt8], authenticating data: [UInt8] = []
    ) throws(CryptoError) -> [UInt8] {
        precondition(
            key.count == keyByteCount && nonce.count == nonceByteCount, "a key of 32 and a nonce of 12 bytes")
        guard sealed.count >= tagByteCount else {
            throw .malformed("sealed bytes are shorter than their tag")
        }
        let context = CipherContext()
        let ciphertext = Array(sealed.dropLast(tagByteCount))
        var tag = Array(sealed.suffix(tagByteCount))
        var plaintext = [UInt8](repeating: 0, count: ciphertext.count)
        var length: Int32 = 0
        unsafe require(
            EVP_DecryptInit_ex(context.pointer, EVP_aes_256_gcm(), nil, key, nonce), "EVP_DecryptInit_ex")
        if !data.isEmpty {
            unsafe require(
                EVP_DecryptUpdate(context.pointer, nil, &length, data, Int32(data.count)), "EVP_DecryptUpdate"
            )
        }
        if !ciphertext.isEmpty {
            unsafe require(
                EVP_DecryptUpdate(context.pointer, &plaintext, &length, ciphertext, Int32(ciphertext.count)),
                "EVP_DecryptUpdate")
        }
        unsafe require(
            EVP_CIPHER_CTX_ctrl(context.pointer, EVP_CTRL_AEAD_SET_TAG, Int32(tagByteCount), &tag),
            "EVP_CTRL_AEAD_SET_TAG")
        var rest = [UInt8](repeating: 0, count: tagByteCount)
        guard unsafe EVP_DecryptFinal_ex(context.pointer, &rest, &length) == 1 else {
            ERR_clear_error()
            throw .authenticationFailed
        }
        return plaintext
    }
}

/// Owns an `EVP_CIPHER_CTX`, which wipes its key schedule when freed.
@safe private final class CipherContext {
    let pointer: OpaquePointer

    init() {
        guard let pointer = unsafe EVP_CIPHER_CTX_new() else {
            preconditionFailure("EVP_CIPHER_CTX_new: out of memory")
        }
        unsafe self.pointer = pointer
    }

    deinit { unsafe EVP_CIPHER_CTX_free(pointer) }
}
