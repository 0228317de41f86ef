package import SwarmCore

/// The rules for names; see Docker's `validateAnnotations` and `validateConfigOrSecretAnnotations`.
package enum NameRule {
    /// Longest name of a service or network.
    package static let maximumLength = 63
    /// Longest name of a secret or config.
    package static let maximumFileNameLength = 64

    /// `^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*$`, at most 63 characters.
    package static func checkService(_ name: String) throws(SwarmError) {
        guard !name.isEmpty else { throw Rejection.invalid("meta: name must be provided") }
        guard isDelimited(name, by: "-_") else {
            throw Rejection.invalid("name must be valid as a DNS name component")
        }
        guard name.utf8.count <= maximumLength else {
            throw Rejection.invalid("name must be 63 characters or fewer")
        }
    }

    /// At most 64 of `[a-zA-Z0-9-_.]`, alphanumeric at both ends.
    package static func checkFile(_ name: String) throws(SwarmError) {
        guard !name.isEmpty else { throw Rejection.invalid("name must be provided") }
        guard name.utf8.count <= maximumFileNameLength && isDelimited(name, by: "-_.") else {
            throw Rejection.invalid(
                "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be "
                    + "[a-zA-Z0-9]")
        }
    }

    private static func isDelimited(_ name: String, by inner: String) -> Bool {
        let inner = Set(inner.utf8)
        guard let first = name.utf8.first, let last = name.utf8.last, isAlphanumeric(first), isAlphanumeric(last)
        else { return false }
        return name.utf8.allSatisfy { isAlphanumeric($0) || inner.contains($0) }
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }
}
