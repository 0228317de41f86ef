import COpenSSL

/// Why a chain of certificates is not believed.
package struct X509Distrust: Error, Sendable, Equatable {
    package enum Reason: Sendable, Equatable {
        case expired, notYetValid, unknownIssuer, badSignature, notAuthority
        /// Another of libcrypto's reasons, in its words.
        case other(String)
    }
    package var reason: Reason
    /// The certificate at fault, where libcrypto names one.
    package var certificate: X509Certificate?
}

/// Path validation (RFC 5280 section 6) by libcrypto, at a time that the caller names.
package enum X509Verification {
    /// A leaf, the cross-signed roots of a rotation, and some room; longer chains are refused unread.
    package static let chainMax = 6

    /// Checks that `chain`, leaf first, leads to one of `roots` at `time` (seconds since 1970).
    package static func verify(
        _ chain: [X509Certificate], roots: [X509Certificate], at time: Int64
    ) throws(X509Distrust) {
        guard let leaf = chain.first else {
            throw X509Distrust(reason: .other("no certificate was presented"))
        }
        guard chain.count <= chainMax else {
            throw X509Distrust(
                reason: .other("a chain of more than \(chainMax) certificates"), certificate: leaf)
        }
        let handles: [CertificateHandle]
        let trusted: [CertificateHandle]
        do throws(CryptoError) {
            handles = try chain.map { certificate throws(CryptoError) in
                try CertificateHandle(der: certificate.der)
            }
            trusted = try roots.map { certificate throws(CryptoError) in
                try CertificateHandle(der: certificate.der)
            }
        } catch {
            throw X509Distrust(reason: .other(error.description), certificate: leaf)
        }
        guard let store = unsafe X509_STORE_new(), let context = unsafe X509_STORE_CTX_new(),
            let others = unsafe OPENSSL_sk_new_null()
        else { preconditionFailure("X509_STORE_new: out of memory") }
        defer {
            // The stack only borrows the certificates, which the handles free.
            unsafe X509_STORE_CTX_free(context)
            unsafe X509_STORE_free(store)
            unsafe OPENSSL_sk_free(others)
            ERR_clear_error()
        }
        for root in trusted {
            unsafe require(X509_STORE_add_cert(store, root.pointer), "X509_STORE_add_cert")
        }
        for other in handles.dropFirst() {
            unsafe _ = OPENSSL_sk_push(others, UnsafeRawPointer(other.pointer))
        }
        unsafe require(X509_STORE_CTX_init(context, store, handles[0].pointer, others), "X509_STORE_CTX_init")
        unsafe X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), Int(time))
        let isValid = withExtendedLifetime((handles, trusted)) { unsafe X509_verify_cert(context) == 1 }
        guard !isValid else { return }
        let code = unsafe X509_STORE_CTX_get_error(context)
        var culprit: X509Certificate?
        if let pointer = unsafe X509_STORE_CTX_get_current_cert(context),
            let bytes = try? unsafe derBytes({ unsafe i2d_X509(pointer, $0) })
        {
            culprit = try? X509Certificate(der: bytes)
        }
        throw X509Distrust(reason: reason(code), certificate: culprit ?? leaf)
    }

    private static func reason(_ code: Int32) -> X509Distrust.Reason {
        switch code {
        case X509_V_ERR_CERT_HAS_EXPIRED: .expired
        case X509_V_ERR_CERT_NOT_YET_VALID: .notYetValid
        case X509_V_ERR_CERT_SIGNATURE_FAILURE, X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE: .badSignature
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
            X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            .unknownIssuer
        case X509_V_ERR_INVALID_CA, X509_V_ERR_PATH_LENGTH_EXCEEDED, X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
            .notAuthority
        default:
            if let text = unsafe X509_verify_cert_error_string(Int(code)) {
                .other(unsafe String(cString: text))
            } else {
                .other("reason \(code) of libcrypto")
            }
        }
    }
}
