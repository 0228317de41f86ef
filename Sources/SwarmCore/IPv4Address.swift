/// An IPv4 address, in host order.
package struct IPv4Address: Sendable, Hashable, Comparable, LosslessStringConvertible {
    package var value: UInt32

    package init(_ value: UInt32) { self.value = value }

    /// Parses strict dotted decimal: four numbers from 0 to 255 without leading zeros.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(part), String(byte) == part else { return nil }
            value = value << 8 | UInt32(byte)
        }
        self.value = value
    }

    package var octets: (UInt8, UInt8, UInt8, UInt8) {
        (UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255))
    }
    /// Network byte order.
    package var bytes: [UInt8] { [octets.0, octets.1, octets.2, octets.3] }
    package var description: String { "\(octets.0).\(octets.1).\(octets.2).\(octets.3)" }
    package static func < (left: IPv4Address, right: IPv4Address) -> Bool { left.value < right.value }
    package func advanced(by count: Int) -> IPv4Address {
        IPv4Address(UInt32(truncatingIfNeeded: Int(value) + count))
    }
}

/// An IPv4 network in CIDR notation. ``address`` keeps host bits, as in `10.0.1.3/24`.
package struct IPv4Subnet: Sendable, Hashable, LosslessStringConvertible {
    package var address: IPv4Address
    package var prefixLength: Int

    package init(_ address: IPv4Address, prefixLength: Int) {
        precondition((0...32).contains(prefixLength), "a prefix length is 0...32")
        (self.address, self.prefixLength) = (address, prefixLength)
    }

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(String(parts[0])), let length = Int(parts[1]),
            (0...32).contains(length), String(length) == parts[1]
        else { return nil }
        self.init(address, prefixLength: length)
    }

    package var mask: UInt32 { prefixLength == 0 ? 0 : UInt32.max << (32 - UInt32(prefixLength)) }
    package var network: IPv4Address { IPv4Address(address.value & mask) }
    package var broadcast: IPv4Address { IPv4Address(address.value | ~mask) }
    /// The same network without host bits.
    package var canonical: IPv4Subnet { IPv4Subnet(network, prefixLength: prefixLength) }
    package var description: String { "\(address)/\(prefixLength)" }

    package func contains(_ other: IPv4Address) -> Bool { other.value & mask == network.value }
    package func overlaps(_ other: IPv4Subnet) -> Bool {
        let mask = min(prefixLength, other.prefixLength) == prefixLength ? self.mask : other.mask
        return address.value & mask == other.address.value & mask
    }
}

/// A MAC address.
package struct MACAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// 48 bits, the first byte on the wire highest.
    package var value: UInt64

    /// In the order of the wire; always six.
    package var bytes: [UInt8] { (0..<6).map { UInt8(value >> UInt64(40 - 8 * $0) & 255) } }

    /// Docker's scheme: `02:42:` followed by the IPv4 address, so that it never needs to be looked up.
    package init(derivedFrom address: IPv4Address) { self.init(0x0242, address) }

    /// A locally administered address of the given two first bytes.
    package init(_ prefix: UInt16, _ address: IPv4Address) { value = UInt64(prefix) << 32 | UInt64(address.value) }

    /// - Parameter bytes: six, as on the wire.
    package init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        value = bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    package static func < (left: MACAddress, right: MACAddress) -> Bool { left.value < right.value }

    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.count == 2 ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6 else { return nil }
        self.init(bytes)
    }

    package var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}

extension IPv4Address: Codable {
    package init(from decoder: any Decoder) throws { self = try decodeText(from: decoder) }
    package func encode(to encoder: any Encoder) throws { try encodeText(of: self, to: encoder) }
}

extension IPv4Subnet: Codable {
    package init(from decoder: any Decoder) throws { self = try decodeText(from: decoder) }
    package func encode(to encoder: any Encoder) throws { try encodeText(of: self, to: encoder) }
}

private func decodeText<Value: LosslessStringConvertible>(from decoder: any Decoder) throws -> Value {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let value = Value(text) else {
        throw DecodingError.dataCorrupted(
            .init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is not an \(Value.self)"))
    }
    return value
}

private func encodeText(of value: some CustomStringConvertible, to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(value.description)
}
