import ClusterSecurity
import SwarmCore

/// Closes records for the disk and opens them again, each only in the place that it was made for.
///
/// With a ring a record is sealed and its place authenticated; without one, a checksum over both ends it. Either
/// way a flipped bit, a cut and a record moved elsewhere are noticed.
struct RecordSeal {
    private static let checksumByteCount = 8
    /// Names the file in errors.
    let path: String
    var ring: KeyRing?

    func close(_ content: [UInt8], at place: Place) -> [UInt8] {
        if let ring { return ring.seal(content, authenticating: place.bytes) }
        return content + Self.bigEndian(Self.checksum(place, content))
    }

    /// - Throws: `internal`, naming the place and what is wrong there.
    func open(_ record: [UInt8], at place: Place) throws(SwarmError) -> [UInt8] {
        guard let ring else {
            let content = record.dropLast(Self.checksumByteCount)
            let sum = record.suffix(Self.checksumByteCount)
            guard record.count >= Self.checksumByteCount,
                sum.elementsEqual(Self.bigEndian(Self.checksum(place, content)))
            else { throw Damage.error(path, place.name, "its checksum does not fit") }
            return Array(content)
        }
        do throws(SealError) {
            return try ring.open(record, authenticating: place.bytes)
        } catch {
            throw Damage.error(path, place.name, error.description)
        }
    }

    func isSealedWithOlderKey(_ record: [UInt8]) -> Bool { ring?.isSealedWithOlderKey(record) ?? false }

    static func bigEndian(_ number: UInt64) -> [UInt8] {
        stride(from: 56, through: 0, by: -8).map { UInt8(number >> UInt64($0) & 0xFF) }
    }

    /// FNV-1a, then mixed: finds any single flipped bit.
    private static func checksum(_ place: Place, _ content: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in place.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        for byte in content { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash ^= hash >> 29
        return hash &* 0x94D0_49BB_1331_11EB
    }
}

/// Where a record belongs: part of what is authenticated, and its name in errors.
struct Place {
    var name: String
    var bytes: [UInt8]

    /// `kind` tells records apart that have the same numbers.
    init(_ name: String, kind: UInt8, _ numbers: [UInt64]) {
        self.name = name
        bytes = [kind] + numbers.flatMap { RecordSeal.bigEndian($0) }
    }
}

/// One way to say that stored state cannot be used, and what to do about it.
enum Damage {
    static func error(_ path: String, _ what: String, _ why: String) -> SwarmError {
        SwarmError(
            .internal,
            "\(path): the \(what) is damaged (\(why)); stop swarmd and restore the file from a backup, "
                + "or remove this node's state and join again")
    }
}
