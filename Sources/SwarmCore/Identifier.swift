/// Identifiers are plain strings: 25 characters of base 36 for swarm objects, 64 hexadecimal digits for
/// containers.
package enum Identifier {
    /// Length of a swarm object's identifier.
    package static let length = 25

    /// A swarm object's identifier: 128 random bits in lower-case base 36, left-padded to 25 characters.
    package static func random(using generator: inout some RandomNumberGenerator) -> String {
        let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)
        var value = UInt128(generator.next()) << 64 | UInt128(generator.next())
        // The first digit can only reach 7 with 128 bits, as swarmkit's identifiers do.
        var digits = [UInt8](repeating: alphabet[0], count: length)
        for index in digits.indices.reversed() {
            digits[index] = alphabet[Int(value % 36)]
            value /= 36
        }
        return String(decoding: digits, as: UTF8.self)
    }

    /// A container's identifier: 64 lower-case hexadecimal digits.
    package static func randomHex(using generator: inout some RandomNumberGenerator) -> String {
        (0..<4).map { _ in hexadecimal(generator.next() as UInt64) }.joined()
    }

    package static func hexadecimal(_ value: UInt64) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}
