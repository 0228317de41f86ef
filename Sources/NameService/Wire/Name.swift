/// A domain name in wire form, without the root label (RFC 1035 §3.1).
///
/// Equality is by bytes; ``lowercased`` makes it the case-insensitive equality of RFC 4343.
package struct Name: Sendable, Hashable, CustomStringConvertible {
    /// Length-prefixed labels, at most 254 bytes.
    package private(set) var wire: [UInt8]

    package static let maximumLength = 254
    package static let maximumLabel = 63

    init(uncheckedWire wire: [UInt8]) { self.wire = wire }

    /// Parses dotted text, with or without the final dot; nil for an empty label or an overlong name.
    package init?(_ text: String) {
        var text = text[...]
        if text.hasSuffix(".") { text = text.dropLast() }
        wire = []
        if text.isEmpty { return }
        for label in text.split(separator: ".", omittingEmptySubsequences: false) {
            let bytes = Array(label.utf8)
            guard !bytes.isEmpty, bytes.count <= Name.maximumLabel else { return nil }
            wire.append(UInt8(bytes.count))
            wire.append(contentsOf: bytes)
        }
        guard wire.count <= Name.maximumLength else { return nil }
    }

    package var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var index = 0
        while index < wire.count {
            let end = index + 1 + Int(wire[index])
            labels.append(wire[(index + 1)..<end])
            index = end
        }
        return labels
    }

    package var description: String {
        labels.map { String(decoding: $0, as: UTF8.self) + "." }.joined()
    }

    package var isSingleLabel: Bool { !wire.isEmpty && Int(wire[0]) + 1 == wire.count }

    package var lowercased: Name {
        Name(uncheckedWire: wire.map { $0 >= 65 && $0 <= 90 ? $0 | 32 : $0 })
    }

    package func appending(_ other: Name) -> Name? {
        wire.count + other.wire.count <= Name.maximumLength ? Name(uncheckedWire: wire + other.wire) : nil
    }

    /// The name before `suffix`, if this name ends with it at a label boundary and has more labels.
    package func dropping(suffix: Name) -> Name? {
        let start = wire.count - suffix.wire.count
        guard start > 0, !suffix.wire.isEmpty, wire[start...].elementsEqual(suffix.wire) else { return nil }
        var index = 0
        while index < start { index += 1 + Int(wire[index]) }
        return index == start ? Name(uncheckedWire: Array(wire[..<start])) : nil
    }

    /// The address of an `in-addr.arpa` name (RFC 1035 §3.5).
    package var reverseAddress: [UInt8]? {
        let labels = self.labels
        guard labels.count == 6, labels[4].elementsEqual("in-addr".utf8), labels[5].elementsEqual("arpa".utf8)
        else { return nil }
        var octets: [UInt8] = []
        for label in labels[..<4].reversed() {
            guard let octet = UInt8(String(decoding: label, as: UTF8.self)) else { return nil }
            octets.append(octet)
        }
        return octets
    }
}
