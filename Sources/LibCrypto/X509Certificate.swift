import COpenSSL

/// A certificate (RFC 5280), read once into values; the DER is what goes over the wire and to disk.
package struct X509Certificate: Sendable, Hashable {
    package let der: [UInt8]
    package let subject: X509Name
    package let issuer: X509Name
    /// The serial number's magnitude, most significant byte first.
    package let serial: [UInt8]
    /// Whole seconds since 1970.
    package let notBefore: Int64
    package let notAfter: Int64
    /// SubjectPublicKeyInfo in DER, of whatever algorithm.
    package let publicKey: [UInt8]
    package let dnsNames: [String]
    package let isAuthority: Bool
    package let subjectKeyIdentifier: [UInt8]?
    package let authorityKeyIdentifier: [UInt8]?

    /// Larger ones are refused unread.
    package static let byteCountMax = 16 << 10

    package init(der bytes: [UInt8]) throws(CryptoError) {
        let handle = try CertificateHandle(der: bytes)
        let certificate = unsafe handle.pointer
        der = bytes
        guard let subject = unsafe X509_get_subject_name(certificate),
            let issuer = unsafe X509_get_issuer_name(certificate),
            let key = unsafe X509_get_X509_PUBKEY(certificate)
        else { throw .malformed("a certificate without subject, issuer or key") }
        self.subject = try unsafe X509Name(borrowing: subject)
        self.issuer = try unsafe X509Name(borrowing: issuer)
        guard let from = unsafe Self.seconds(X509_get0_notBefore(certificate)),
            let until = unsafe Self.seconds(X509_get0_notAfter(certificate))
        else { throw .malformed("a certificate whose validity is no time") }
        (notBefore, notAfter) = (from, until)
        publicKey = try unsafe derBytes { unsafe i2d_X509_PUBKEY(key, $0) }
        serial = unsafe Self.bytes(X509_get0_serialNumber(certificate))
        dnsNames = try handle.extension(NID_subject_alt_name).map(Self.dnsNames) ?? []
        isAuthority = try handle.extension(NID_basic_constraints).map(Self.isAuthority) ?? false
        subjectKeyIdentifier = try handle.extension(NID_subject_key_identifier).flatMap {
            var reader = DERReader($0[...])
            return reader.next(DER.octetString).map(Array.init)
        }
        authorityKeyIdentifier = try handle.extension(NID_authority_key_identifier).flatMap {
            var reader = DERReader($0[...])
            var inner = DERReader(reader.next(DER.sequence) ?? [])
            return inner.next(DER.tagged(0)).map(Array.init)
        }
    }

    package var pem: [UInt8] { PEMBlock(PEMBlock.certificate, der).encoded }

    /// Subject and issuer are one name and one key, as a root's are.
    package var isSelfIssued: Bool {
        subject.der == issuer.der
            && (authorityKeyIdentifier == nil || authorityKeyIdentifier == subjectKeyIdentifier)
    }

    /// Whether the key of `issuer` signed this certificate; says nothing of times or names.
    package func isSigned(by issuer: X509Certificate) -> Bool {
        guard let own = try? CertificateHandle(der: der), let other = try? CertificateHandle(der: issuer.der),
            let key = unsafe X509_get0_pubkey(other.pointer)
        else { return false }
        defer { ERR_clear_error() }
        return unsafe X509_verify(own.pointer, key) == 1
    }

    private static func isAuthority(_ basicConstraints: [UInt8]) -> Bool {
        var reader = DERReader(basicConstraints[...])
        var inner = DERReader(reader.next(DER.sequence) ?? [])
        return inner.next(DER.boolean).map { $0.first == 0xFF } ?? false
    }

    private static func dnsNames(_ subjectAlternativeName: [UInt8]) -> [String] {
        var reader = DERReader(subjectAlternativeName[...])
        var inner = DERReader(reader.next(DER.sequence) ?? [])
        var names: [String] = []
        while let (tag, content) = inner.next() {
            if tag == DER.tagged(2) { names.append(String(decoding: content, as: UTF8.self)) }
        }
        return names
    }

    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        guard let time = unsafe time, let epoch = unsafe ASN1_TIME_set(nil, 0) else { return nil }
        defer { unsafe ASN1_STRING_free(epoch) }
        var days: Int32 = 0
        var seconds: Int32 = 0
        guard unsafe ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else {
            ERR_clear_error()
            return nil
        }
        return Int64(days) * 86_400 + Int64(seconds)
    }

    private static func bytes(_ string: UnsafePointer<ASN1_INTEGER>?) -> [UInt8] {
        guard let string = unsafe string, let start = unsafe ASN1_STRING_get0_data(string) else { return [] }
        return unsafe Array(UnsafeBufferPointer(start: start, count: Int(ASN1_STRING_length(string))))
    }
}

/// Owns an `X509`.
@safe final class CertificateHandle {
    let pointer: OpaquePointer

    @unsafe init(_ pointer: OpaquePointer) { unsafe self.pointer = pointer }

    init(der: [UInt8]) throws(CryptoError) {
        guard der.count <= X509Certificate.byteCountMax else {
            throw .malformed("a certificate larger than 16 KiB")
        }
        let decoded = unsafe decodeDER(der, { unsafe d2i_X509(nil, $0, $1) }, free: { unsafe X509_free($0) })
        guard let certificate = unsafe decoded else { throw .malformed("not a certificate in DER") }
        unsafe pointer = certificate
    }

    deinit { unsafe X509_free(pointer) }

    /// What the extension holds; nil when it is absent, refused when it is there twice (RFC 5280 section 4.2).
    func `extension`(_ kind: Int32) throws(CryptoError) -> [UInt8]? {
        let index = unsafe X509_get_ext_by_NID(pointer, kind, -1)
        guard index >= 0 else { return nil }
        guard unsafe X509_get_ext_by_NID(pointer, kind, index) < 0 else {
            throw .malformed("a certificate with one extension twice")
        }
        guard let found = unsafe X509_get_ext(pointer, index),
            let data = unsafe X509_EXTENSION_get_data(found),
            let start = unsafe ASN1_STRING_get0_data(data)
        else { throw .malformed("a certificate with an empty extension") }
        return unsafe Array(UnsafeBufferPointer(start: start, count: Int(ASN1_STRING_length(data))))
    }
}
