import COpenSSL

/// A distinguished name (RFC 5280 section 4.1.2.4), with the three attributes that certificates of a cluster use.
package struct X509Name: Sendable, Hashable, CustomStringConvertible {
    package let commonNames: [String]
    package let organizations: [String]
    package let organizationalUnits: [String]
    package let der: [UInt8]

    /// The most that RFC 5280's upper bounds let one attribute hold.
    package static let attributeCharactersMax = 64

    package init(
        commonName: String, organizationalUnit: String? = nil, organization: String? = nil
    ) throws(CryptoError) {
        guard let name = unsafe X509_NAME_new() else { preconditionFailure("X509_NAME_new: out of memory") }
        defer { unsafe X509_NAME_free(name) }
        let attributes = [
            (NID_organizationName, organization), (NID_organizationalUnitName, organizationalUnit),
            (NID_commonName, commonName),
        ]
        for (kind, value) in attributes {
            guard let bytes = value.map({ Array($0.utf8) }) else { continue }
            guard
                unsafe X509_NAME_add_entry_by_NID(name, kind, MBSTRING_UTF8, bytes, Int32(bytes.count), -1, 0)
                    == 1
            else { throw .newest("adding an attribute to a name") }
        }
        try unsafe self.init(borrowing: name)
    }

    init(borrowing name: OpaquePointer) throws(CryptoError) {
        der = try unsafe derBytes { unsafe i2d_X509_NAME(name, $0) }
        commonNames = unsafe Self.texts(name, NID_commonName)
        organizations = unsafe Self.texts(name, NID_organizationName)
        organizationalUnits = unsafe Self.texts(name, NID_organizationalUnitName)
    }

    package var description: String {
        let parts =
            organizations.map { "O=\($0)" } + organizationalUnits.map { "OU=\($0)" }
            + commonNames.map { "CN=\($0)" }
        return parts.joined(separator: ", ")
    }

    /// Gives a copy that the caller frees.
    func makeName() throws(CryptoError) -> OpaquePointer {
        let decoded = unsafe decodeDER(
            der, { unsafe d2i_X509_NAME(nil, $0, $1) }, free: { unsafe X509_NAME_free($0) })
        guard let name = unsafe decoded else {
            throw .malformed("a distinguished name that libcrypto cannot read")
        }
        return unsafe name
    }

    private static func texts(_ name: OpaquePointer, _ kind: Int32) -> [String] {
        var texts: [String] = []
        var index = unsafe X509_NAME_get_index_by_NID(name, kind, -1)
        while index >= 0 {
            let entry = unsafe X509_NAME_get_entry(name, index)
            var utf8: UnsafeMutablePointer<UInt8>?
            let length = unsafe ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry))
            if length >= 0, let start = unsafe utf8 {
                let bytes = unsafe UnsafeBufferPointer(start: start, count: Int(length))
                texts.append(String(decoding: unsafe Array(bytes), as: UTF8.self))
                unsafe CRYPTO_free(start, #fileID, #line)
            } else {
                ERR_clear_error()
            }
            index = unsafe X509_NAME_get_index_by_NID(name, kind, index)
        }
        return texts
    }
}
