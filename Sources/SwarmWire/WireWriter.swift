import FoundationEssentials
import SwarmCore

/// Appends values to bytes: numbers in groups of seven bits, low group first (LEB128); texts and blobs behind their
/// length; swarm objects as Docker's JSON, which is a blob here.
struct WireWriter {
    private(set) var bytes: [UInt8] = []

    mutating func byte(_ value: UInt8) { bytes.append(value) }
    mutating func flag(_ value: Bool) { bytes.append(value ? 1 : 0) }

    mutating func number(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Sizes of things in memory: never negative.
    mutating func count(_ value: Int) { number(UInt64(max(0, value))) }

    /// Eight bytes, big-endian: shorter than groups of seven bits for numbers without a pattern.
    mutating func word(_ value: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    mutating func text(_ value: String) {
        count(value.utf8.count)
        bytes.append(contentsOf: value.utf8)
    }

    mutating func blob(_ value: [UInt8]) {
        count(value.count)
        bytes.append(contentsOf: value)
    }

    mutating func optional<Value>(
        _ value: Value?, _ write: (inout WireWriter, Value) throws(SwarmError) -> Void
    ) throws(SwarmError) {
        flag(value != nil)
        if let value { try write(&self, value) }
    }

    mutating func list<Values: Collection>(
        _ values: Values, _ write: (inout WireWriter, Values.Element) throws(SwarmError) -> Void
    ) throws(SwarmError) {
        count(values.count)
        for value in values { try write(&self, value) }
    }

    mutating func texts(_ values: [String]) {
        count(values.count)
        for value in values { text(value) }
    }

    mutating func object(_ value: some Encodable) throws(SwarmError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { blob(Array(try encoder.encode(value))) } catch {
            throw SwarmError(
                .internal, "a \(type(of: value)) cannot be written for another node", cause: "\(error)")
        }
    }

    mutating func reserve(_ count: Int) { bytes.reserveCapacity(count) }
}
