/// A parsed image name in Docker's grammar: `[domain/]path[:tag][@digest]`.
///
/// Source: distribution/reference. `busybox` stands for `docker.io/library/busybox:latest`.
package struct ImageReference: Sendable, Hashable, CustomStringConvertible {
    package static let defaultDomain = "docker.io"
    package static let defaultTag = "latest"
    /// Longest repository name, domain included.
    package static let maximumNameLength = 255
    /// Longest tag.
    package static let maximumTagLength = 128

    /// The registry, `docker.io` when none is named.
    package var domain: String
    /// The repository within the registry, such as `library/busybox`.
    package var path: String
    package var tag: String?
    /// `sha256:…`.
    package var digest: String?

    /// Parses a name as a user writes it; nil when it breaks the grammar.
    package init?(_ text: String) {
        var rest = Substring(text)
        if let at = rest.firstIndex(of: "@") {
            let digest = String(rest[rest.index(after: at)...])
            guard Self.isDigest(digest) else { return nil }
            self.digest = digest
            rest = rest[..<at]
        }
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            let tag = String(rest[rest.index(after: colon)...])
            guard Self.isTag(tag) else { return nil }
            self.tag = tag
            rest = rest[..<colon]
        }
        var (domain, path) = (Self.defaultDomain, String(rest))
        if let slash = rest.firstIndex(of: "/") {
            let first = String(rest[..<slash])
            if first.contains(".") || first.contains(":") || first == "localhost"
                || first.lowercased() != first
            {
                (domain, path) = (first, String(rest[rest.index(after: slash)...]))
            }
        }
        if domain == "index.docker.io" { domain = Self.defaultDomain }
        if domain == Self.defaultDomain && !path.contains("/") { path = "library/" + path }
        guard Self.isDomain(domain), Self.isPath(path),
            domain.utf8.count + 1 + path.utf8.count <= Self.maximumNameLength
        else { return nil }
        (self.domain, self.path) = (domain, path)
    }

    /// `docker.io/library/busybox`.
    package var repository: String { "\(domain)/\(path)" }

    /// The repository as people write it: `busybox`.
    package var familiarName: String {
        guard domain == Self.defaultDomain else { return repository }
        let prefix = "library/"
        let short = path.dropFirst(prefix.count)
        return path.hasPrefix(prefix) && !short.contains("/") ? String(short) : path
    }

    /// As people write it, with the tag (`latest` when neither tag nor digest is given) and the digest.
    package var familiar: String { familiarName + suffix }
    /// In full: `docker.io/library/busybox:latest`; what containerd names images by.
    package var canonical: String { repository + suffix }
    package var description: String { canonical }

    /// The tag, or `latest` when neither tag nor digest is given.
    package var effectiveTag: String? { tag ?? (digest == nil ? Self.defaultTag : nil) }

    private var suffix: String {
        (effectiveTag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    private static func isDigest(_ text: String) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let length = ["sha256": 64, "sha512": 128][parts[0]] else { return false }
        return parts[1].utf8.count == length
            && parts[1].utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    private static func isTag(_ text: String) -> Bool {
        guard (1...maximumTagLength).contains(text.utf8.count), let first = text.utf8.first else {
            return false
        }
        return isWord(first) && text.utf8.allSatisfy { isWord($0) || $0 == 0x2d || $0 == 0x2e }
    }

    private static func isWord(_ byte: UInt8) -> Bool { NameRule.isAlphanumeric(byte) || byte == 0x5f }

    private static func isDomain(_ text: String) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { return false }
        if parts.count == 2 && UInt16(parts[1]) == nil { return false }
        return parts[0].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last else { return false }
            return NameRule.isAlphanumeric(first) && NameRule.isAlphanumeric(last)
                && label.utf8.allSatisfy { NameRule.isAlphanumeric($0) || $0 == 0x2d }
        }
    }

    private static func isPath(_ text: String) -> Bool {
        // Sixty-four hexadecimal digits would be mistaken for an image's identifier.
        let plain = text.hasPrefix("library/") ? String(text.dropFirst(8)) : text
        if plain.utf8.count == 64 && plain.utf8.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }) {
            return false
        }
        return text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(isComponent)
    }

    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
    private static func isComponent(_ text: Substring) -> Bool {
        func isLower(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) }
        guard let first = text.utf8.first, let last = text.utf8.last, isLower(first), isLower(last) else {
            return false
        }
        var separator = ""
        for byte in text.utf8 {
            if isLower(byte) {
                let isDashes = separator.allSatisfy { $0 == "-" }
                guard isDashes || [".", "_", "__"].contains(separator) else { return false }
                separator = ""
            } else {
                separator.unicodeScalars.append(UnicodeScalar(byte))
            }
        }
        return true
    }
}
