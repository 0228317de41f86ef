import COpenSSL

/// SHA-256 (FIPS 180-4) of what is fed to it, by OpenSSL's libcrypto.
///
/// Not `Sendable`: one owner feeds it, piece by piece.
@safe package final class SHA256 {
    package static let byteCount = 32
    private let context: OpaquePointer

    package init() {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("EVP_MD_CTX_new: out of memory") }
        unsafe self.context = context
        let status = unsafe EVP_DigestInit_ex(context, EVP_sha256(), nil)
        precondition(status == 1, "EVP_DigestInit_ex refused SHA-256")
    }

    deinit { unsafe EVP_MD_CTX_free(context) }

    package func update(_ bytes: ArraySlice<UInt8>) {
        let status = unsafe bytes.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
        precondition(status == 1, "EVP_DigestUpdate failed")
    }
    package func update(_ bytes: [UInt8]) { update(bytes[...]) }

    /// Ends the message; the hasher must not be fed again.
    package func finish() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Self.byteCount)
        let status = unsafe EVP_DigestFinal_ex(context, &digest, nil)
        precondition(status == 1, "EVP_DigestFinal_ex failed")
        return digest
    }

    /// `sha256:` and 64 hexadecimal digits, as manifests name blobs (OCI image specification, descriptor.md).
    package func finishAsDigest() -> String { "sha256:" + Hexadecimal.encode(finish()) }

    package static func digest(of bytes: [UInt8]) -> String {
        let hasher = SHA256()
        hasher.update(bytes)
        return hasher.finishAsDigest()
    }
}

/// Lower-case hexadecimal.
package enum Hexadecimal {
    private static let digits = Array("0123456789abcdef".utf8)

    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        return String(decoding: text, as: UTF8.self)
    }
}
