package import SwarmCore

/// One condition on a node, such as `node.labels.disk==ssd`; matching is plain equality without regard to
/// case.
package struct PlacementConstraint: Sendable, Hashable {
    package var key: String
    package var isEqual: Bool
    package var value: String

    /// Parses `key == value` or `key != value`.
    /// - Throws: `.unknown` with Docker's words.
    package init(_ text: String) throws(SwarmError) {
        guard let (position, isEqual) = Self.firstOperator(in: text) else {
            throw Rejection.unknown("constraint expected one operator from ==, !=")
        }
        let key = Self.trimmed(text[..<position])
        let value = Self.trimmed(text[text.index(position, offsetBy: 2)...])
        guard Self.isKey(key) else { throw Rejection.unknown("key '\(key)' is invalid") }
        guard Self.isValue(value) else { throw Rejection.unknown("value '\(value)' is invalid") }
        (self.key, self.isEqual, self.value) = (key, isEqual, value)
    }

    /// Whether a node fulfils the condition; a missing label is an empty string, an unknown key never
    /// matches.
    package func matches(_ node: Node) -> Bool {
        let lower = key.lowercased()
        switch lower {
        case "node.id": return compare(node.id)
        case "node.hostname": return compare(node.description.hostname ?? "")
        case "node.role": return compare(node.spec.role)
        case "node.platform.os": return compare(node.description.platform.os ?? "")
        case "node.platform.arch":
            let architecture = Platform.normalized(architecture: node.description.platform.architecture ?? "")
            return (architecture == Platform.normalized(architecture: value.lowercased())) == isEqual
        case "node.ip": return matchesAddress(node.status.addr ?? "")
        default: break
        }
        // Only the part before the label is case-insensitive.
        let (ours, engines) = ("node.labels.", "engine.labels.")
        if lower.hasPrefix(ours) { return compare(node.spec.labels[String(key.dropFirst(ours.count))] ?? "") }
        if lower.hasPrefix(engines) {
            return compare(node.description.engine.labels?[String(key.dropFirst(engines.count))] ?? "")
        }
        return false
    }

    private func compare(_ actual: String) -> Bool { (actual.lowercased() == value.lowercased()) == isEqual }

    private func matchesAddress(_ text: String) -> Bool {
        guard let address = IPv4Address(text) else { return compare(text) }
        if let subnet = IPv4Subnet(value) { return subnet.contains(address) == isEqual }
        return (IPv4Address(value) == address) == isEqual
    }

    private static func firstOperator(in text: String) -> (String.Index, Bool)? {
        var index = text.startIndex
        while index < text.endIndex {
            let rest = text[index...]
            if rest.hasPrefix("==") { return (index, true) }
            if rest.hasPrefix("!=") { return (index, false) }
            index = text.index(after: index)
        }
        return nil
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first?.isWhitespace == true { text = text.dropFirst() }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return String(text)
    }

    private static func isKey(_ text: String) -> Bool {
        guard text.utf8.count >= 2, let first = text.utf8.first else { return false }
        let inner: Set<UInt8> = Set("-_.".utf8)
        return (first == 0x5f || (NameRule.isAlphanumeric(first) && !(0x30...0x39).contains(first)))
            && text.utf8.allSatisfy { NameRule.isAlphanumeric($0) || inner.contains($0) }
    }

    private static func isValue(_ text: String) -> Bool {
        let others = Set(#":-_ .*()?+[]\^$|/"#.utf8).union([0x09, 0x0a, 0x0d])
        return !text.isEmpty && text.utf8.allSatisfy { NameRule.isAlphanumeric($0) || others.contains($0) }
    }
}

extension Platform {
    /// Docker's architecture names: `x86_64` is `amd64`, `aarch64` is `arm64`.
    package static func normalized(architecture: String) -> String {
        switch architecture.lowercased() {
        case "x86_64", "x86-64": "amd64"
        case "aarch64": "arm64"
        case let other: other
        }
    }
}
