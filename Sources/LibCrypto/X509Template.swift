import COpenSSL

/// What a certificate to be signed shall say.
package struct X509Template: Sendable {
    /// What the key in the certificate may be used for.
    package enum Usage: Sendable, Equatable {
        /// Signs certificates; `pathLength` bounds the authorities below it.
        case authority(pathLength: UInt8?)
        /// Either end of a TLS connection.
        case peer
    }

    package var subject: X509Name
    package var publicKey: P256PublicKey
    /// Magnitude of the serial number.
    package var serial: [UInt8]
    /// Seconds since 1970.
    package var notBefore: Int64
    package var notAfter: Int64
    package var usage: Usage
    package var dnsNames: [String]
    /// Nil for the one that is made of the key; that of another certificate over it, when this one takes its place.
    package var subjectKeyIdentifier: [UInt8]?

    package static let serialBitCount = 128

    package init(
        subject: X509Name, publicKey: P256PublicKey, serial: [UInt8], notBefore: Int64, notAfter: Int64,
        usage: Usage,
        dnsNames: [String] = []
    ) {
        (self.subject, self.publicKey, self.serial) = (subject, publicKey, serial)
        (self.notBefore, self.notAfter, self.usage, self.dnsNames) = (notBefore, notAfter, usage, dnsNames)
    }

    /// 128 random bits, so that no serial can be foreseen or repeat.
    package static func randomSerial() -> [UInt8] { SecureRandom.bytes(serialBitCount / 8) }

    /// Signed by `key`: that of `issuer`, or the template's own for a root when there is no issuer.
    package func signed(by key: P256PrivateKey, issuer: X509Certificate? = nil) throws(CryptoError)
        -> X509Certificate
    {
        guard let new = unsafe X509_new() else { preconditionFailure("X509_new: out of memory") }
        let certificate = unsafe CertificateHandle(new)
        unsafe require(X509_set_version(new, 2), "X509_set_version")
        try setSerial(certificate)
        try setNames(certificate, issuer: issuer?.subject ?? subject)
        guard unsafe ASN1_TIME_set(X509_getm_notBefore(new), Int(notBefore)) != nil,
            unsafe ASN1_TIME_set(X509_getm_notAfter(new), Int(notAfter)) != nil
        else { throw .newest("setting the validity") }
        let subjectKey = try publicKey.handle()
        unsafe require(X509_set_pubkey(new, subjectKey.pointer), "X509_set_pubkey")
        let authorityKey = issuer.map { $0.subjectKeyIdentifier ?? [] } ?? publicKey.keyIdentifier
        for (kind, isCritical, content) in extensions(authorityKeyIdentifier: authorityKey) {
            try add(kind, isCritical, content, to: certificate)
        }
        let signingKey = try key.handle()
        guard unsafe X509_sign(new, signingKey.pointer, EVP_sha256()) > 0 else { throw .newest("X509_sign") }
        return try X509Certificate(der: unsafe derBytes { unsafe i2d_X509(new, $0) })
    }

    private func setSerial(_ certificate: CertificateHandle) throws(CryptoError) {
        let decoded = unsafe DER.positiveInteger(serial).withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            return unsafe d2i_ASN1_INTEGER(nil, &cursor, buffer.count)
        }
        guard let number = unsafe decoded else { throw .newest("encoding the serial number") }
        defer { unsafe ASN1_INTEGER_free(number) }
        unsafe require(X509_set_serialNumber(certificate.pointer, number), "X509_set_serialNumber")
    }

    private func setNames(_ certificate: CertificateHandle, issuer: X509Name) throws(CryptoError) {
        let subjectName = try unsafe subject.makeName()
        defer { unsafe X509_NAME_free(subjectName) }
        let issuerName = try unsafe issuer.makeName()
        defer { unsafe X509_NAME_free(issuerName) }
        unsafe require(X509_set_subject_name(certificate.pointer, subjectName), "X509_set_subject_name")
        unsafe require(X509_set_issuer_name(certificate.pointer, issuerName), "X509_set_issuer_name")
    }

    /// RFC 5280 section 4.2.1; key identifiers tell apart the roots of two clusters, which share one name.
    private func extensions(authorityKeyIdentifier: [UInt8]) -> [(Int32, Bool, [UInt8])] {
        var extensions: [(Int32, Bool, [UInt8])] = []
        switch usage {
        case .authority(let pathLength):
            let limit = pathLength.map { DER.positiveInteger([$0]) } ?? []
            extensions.append(
                (
                    NID_basic_constraints, true,
                    DER.element(DER.sequence, DER.element(DER.boolean, [0xFF]) + limit)
                ))
            // keyCertSign and cRLSign: bits 5 and 6, counted from the most significant.
            extensions.append((NID_key_usage, true, DER.element(DER.bitString, [1, 0b0000_0110])))
        case .peer:
            extensions.append((NID_basic_constraints, true, DER.element(DER.sequence, [])))
            // digitalSignature: bit 0.
            extensions.append((NID_key_usage, true, DER.element(DER.bitString, [7, 0b1000_0000])))
            // serverAuth 1.3.6.1.5.5.7.3.1 and clientAuth 1.3.6.1.5.5.7.3.2
            let purposes: [[UInt8]] = [1, 2].map { [0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, $0] }
            let list = purposes.flatMap { DER.element(DER.objectIdentifier, $0) }
            extensions.append((NID_ext_key_usage, false, DER.element(DER.sequence, list)))
        }
        extensions.append(
            (
                NID_subject_key_identifier, false,
                DER.element(DER.octetString, subjectKeyIdentifier ?? publicKey.keyIdentifier)
            ))
        if !authorityKeyIdentifier.isEmpty {
            let identifier = DER.element(DER.tagged(0), authorityKeyIdentifier)
            extensions.append((NID_authority_key_identifier, false, DER.element(DER.sequence, identifier)))
        }
        if !dnsNames.isEmpty {
            let names = dnsNames.flatMap { DER.element(DER.tagged(2), Array($0.utf8)) }
            extensions.append((NID_subject_alt_name, false, DER.element(DER.sequence, names)))
        }
        return extensions
    }

    private func add(
        _ kind: Int32, _ isCritical: Bool, _ content: [UInt8], to certificate: CertificateHandle
    ) throws(CryptoError) {
        guard let data = unsafe ASN1_OCTET_STRING_new() else {
            preconditionFailure("ASN1_OCTET_STRING_new: out of memory")
        }
        defer { unsafe ASN1_OCTET_STRING_free(data) }
        unsafe require(ASN1_OCTET_STRING_set(data, content, Int32(content.count)), "ASN1_OCTET_STRING_set")
        guard let made = unsafe X509_EXTENSION_create_by_NID(nil, kind, isCritical ? 1 : 0, data) else {
            throw .newest("making an extension")
        }
        defer { unsafe X509_EXTENSION_free(made) }
        guard unsafe X509_add_ext(certificate.pointer, made, -1) == 1 else {
            throw .newest("adding an extension")
        }
    }
}

extension P256PublicKey {
    /// The first 160 bits of the SHA-256 of the point, RFC 7093 section 2 method 1.
    package var keyIdentifier: [UInt8] {
        let hasher = SHA256()
        hasher.update(subjectPublicKeyInfo[(Self.byteCount - 65)...])
        return Array(hasher.finish().prefix(20))
    }
}
