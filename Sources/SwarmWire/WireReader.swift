import FoundationEssentials
import SwarmCore

/// Reads what ``WireWriter`` wrote, and refuses everything else: no bytes make it trap, and no length or count
/// makes it reserve more memory than the bytes that are there could fill.
struct WireReader {
    private let bytes: [UInt8]
    private var index = 0
    /// Named in errors.
    private let what: String

    init(_ bytes: [UInt8], _ what: String) { (self.bytes, self.what) = (bytes, what) }

    var remaining: Int { bytes.count - index }

    func damaged(_ how: String) -> SwarmError {
        SwarmError(
            .invalidArgument,
            "\(what) cannot be read (\(how) at byte \(index)): do both nodes run one version of swarmd?")
    }

    mutating func byte() throws(SwarmError) -> UInt8 {
        guard index < bytes.count else { throw damaged("cut off") }
        defer { index += 1 }
        return bytes[index]
    }

    mutating func flag() throws(SwarmError) -> Bool {
        switch try byte() {
        case 0: return false
        case 1: return true
        case let other: throw damaged("\(other) is neither yes nor no")
        }
    }

    mutating func number() throws(SwarmError) -> UInt64 {
        var (value, shift) = (UInt64(0), UInt64(0))
        while true {
            let group = try byte()
            // The tenth group has room for one bit.
            guard shift < 63 || (shift == 63 && group <= 1) else { throw damaged("a number is too long") }
            value |= UInt64(group & 0x7F) << shift
            guard group >= 0x80 else { return value }
            shift += 7
        }
    }

    mutating func word() throws(SwarmError) -> UInt64 {
        guard remaining >= 8 else { throw damaged("cut off") }
        var value: UInt64 = 0
        for _ in 0..<8 { value = value << 8 | UInt64(try byte()) }
        return value
    }

    /// A size or offset of this machine.
    mutating func size() throws(SwarmError) -> Int {
        guard let value = Int(exactly: try number()) else { throw damaged("a size is too large") }
        return value
    }

    /// A number of items that have at least so many bytes each.
    mutating func count(each bytesMin: Int) throws(SwarmError) -> Int {
        let value = try number()
        guard value <= UInt64(remaining / max(bytesMin, 1)) else {
            throw damaged("a count is larger than its bytes")
        }
        return Int(value)
    }

    mutating func blob() throws(SwarmError) -> [UInt8] {
        let length = try count(each: 1)
        defer { index += length }
        return Array(bytes[index..<index + length])
    }

    mutating func text() throws(SwarmError) -> String {
        let length = try count(each: 1)
        guard let text = String(validating: bytes[index..<index + length], as: UTF8.self) else {
            throw damaged("a text is not UTF-8")
        }
        index += length
        return text
    }

    mutating func optional<Value>(
        _ read: (inout WireReader) throws(SwarmError) -> Value
    ) throws(SwarmError) -> Value? {
        try flag() ? read(&self) : nil
    }

    mutating func list<Value>(
        each bytesMin: Int = 1, max limit: Int = .max, _ read: (inout WireReader) throws(SwarmError) -> Value
    ) throws(SwarmError) -> [Value] {
        let total = try count(each: bytesMin)
        guard total <= limit else { throw damaged("\(total) items where \(limit) are allowed") }
        var values: [Value] = []
        // What is in memory may be much larger than its bytes here.
        values.reserveCapacity(min(total, 1024))
        for _ in 0..<total { values.append(try read(&self)) }
        return values
    }

    mutating func texts() throws(SwarmError) -> [String] {
        try list { reader throws(SwarmError) in try reader.text() }
    }

    /// JSON nests at most as deep as its decoder allows (512).
    mutating func object<Value: Decodable>(_ type: Value.Type) throws(SwarmError) -> Value {
        let json = try blob()
        do { return try JSONDecoder().decode(type, from: Data(json)) } catch {
            throw SwarmError(
                .invalidArgument,
                "a \(type) in \(what) cannot be read: do both nodes run one version of swarmd?",
                cause: "\(error)")
        }
    }

    func end() throws(SwarmError) {
        guard remaining == 0 else { throw damaged("\(remaining) bytes too many") }
    }
}
