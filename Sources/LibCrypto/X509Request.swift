import COpenSSL

/// A certificate signing request (PKCS #10, RFC 2986): a public key, and proof that its owner asks.
///
/// The subject in it is only the asker's wish; the authority decides what the certificate says.
package struct X509Request: Sendable, Equatable {
    package let der: [UInt8]
    package let subject: X509Name
    package let publicKey: P256PublicKey

    package static let byteCountMax = 16 << 10

    /// Asks for a certificate over `key`, signed with it.
    package init(subject: X509Name, key: P256PrivateKey) throws(CryptoError) {
        guard let request = unsafe X509_REQ_new() else { preconditionFailure("X509_REQ_new: out of memory") }
        defer { unsafe X509_REQ_free(request) }
        let name = try unsafe subject.makeName()
        defer { unsafe X509_NAME_free(name) }
        let handle = try key.handle()
        unsafe require(X509_REQ_set_version(request, 0), "X509_REQ_set_version")
        unsafe require(X509_REQ_set_subject_name(request, name), "X509_REQ_set_subject_name")
        unsafe require(X509_REQ_set_pubkey(request, handle.pointer), "X509_REQ_set_pubkey")
        guard unsafe X509_REQ_sign(request, handle.pointer, EVP_sha256()) > 0 else {
            throw .newest("X509_REQ_sign")
        }
        der = try unsafe derBytes { unsafe i2d_X509_REQ(request, $0) }
        (self.subject, publicKey) = (subject, key.publicKey)
    }

    /// Reads a request and checks its signature; keys other than P-256 are refused.
    package init(der bytes: [UInt8]) throws(CryptoError) {
        guard bytes.count <= Self.byteCountMax else {
            throw .malformed("a signing request larger than 16 KiB")
        }
        let decoded = unsafe decodeDER(
            bytes, { unsafe d2i_X509_REQ(nil, $0, $1) }, free: { unsafe X509_REQ_free($0) })
        guard let request = unsafe decoded else {
            throw .malformed("not a certificate signing request in DER")
        }
        defer {
            unsafe X509_REQ_free(request)
            ERR_clear_error()
        }
        guard let name = unsafe X509_REQ_get_subject_name(request),
            let key = unsafe X509_REQ_get_pubkey(request)
        else { throw .malformed("a signing request without a subject or a readable key") }
        let handle = unsafe KeyHandle(key)
        der = bytes
        subject = try unsafe X509Name(borrowing: name)
        publicKey = try P256PublicKey(handle: handle)
        guard unsafe X509_REQ_verify(request, handle.pointer) == 1 else { throw .authenticationFailed }
    }

    package var pem: [UInt8] { PEMBlock(PEMBlock.certificateRequest, der).encoded }
}
