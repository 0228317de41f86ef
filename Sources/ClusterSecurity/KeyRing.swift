import LibCrypto

/// 256 random bits from which a ring derives the key for its own purpose.
package struct SealingKey: Sendable, CustomStringConvertible {
    package static let byteCount = 32
    /// The secret itself.
    package let bytes: [UInt8]

    package static func generate() -> SealingKey { SealingKey(uncheckedBytes: SecureRandom.bytes(byteCount)) }

    /// Nil unless there are 32 bytes.
    package init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.init(uncheckedBytes: bytes)
    }

    private init(uncheckedBytes: [UInt8]) { bytes = uncheckedBytes }

    /// A text without the secret, so that no log line can hold it.
    package var description: String { "sealing key" }
}

/// What sealed bytes are; bytes of one purpose never open as another's, even under one sealing key.
package enum SealPurpose: String, Sendable, CaseIterable {
    case gossip, secret, snapshot
    case raftLog = "raft-log"
}

/// Why sealed bytes were not opened. An enumeration and not a `SwarmError`: each forged datagram makes one.
package enum SealError: Error, Sendable, Equatable, CustomStringConvertible {
    case tooShort
    case unknownVersion(UInt8)
    /// Sealed for another cluster or purpose, or with a key dropped since.
    case unknownKey(UInt32)
    case changed

    package var description: String {
        switch self {
        case .tooShort: "sealed bytes are shorter than the seal itself: they were cut off"
        case .unknownVersion(let version): "sealed bytes have format \(version); this version reads format 1"
        case .unknownKey(let id): "sealed with a key that is not in the ring (\(String(id, radix: 16)))"
        case .changed: "sealed bytes were changed, or are not of this place"
        }
    }
}

/// Seals with AES-256-GCM under the newest key, and opens what any key of the ring sealed.
///
/// Format 1: version (1 byte), key number (4), random nonce (12), ciphertext, tag (16). Version and key number are
/// authenticated, and so is whatever the caller adds. One key is good for ``messagesPerKeyMax`` messages; the owner
/// of the ring replaces it long before.
package struct KeyRing: Sendable {
    /// Bytes that sealing adds; the membership protocol reserves 48.
    package static let overheadBytes = headerBytes + AES256GCM.nonceByteCount + AES256GCM.tagByteCount
    /// Primary and older keys together; adding beyond it drops the oldest.
    package static let keysMax = 8
    /// NIST SP 800-38D section 8.3: with random 96-bit nonces.
    package static let messagesPerKeyMax: UInt64 = 1 << 32

    private static let version: UInt8 = 1
    private static let headerBytes = 5

    private struct Entry: Sendable {
        var source: SealingKey
        var number: UInt32
        var key: [UInt8]

        init(_ source: SealingKey, _ purpose: SealPurpose) {
            self.source = source
            key = HKDFSHA256.deriveKey(
                from: source.bytes, info: Array("swarm seal 1 key \(purpose.rawValue)".utf8),
                byteCount: AES256GCM.keyByteCount)
            let name = HKDFSHA256.deriveKey(
                from: source.bytes, info: Array("swarm seal 1 number \(purpose.rawValue)".utf8), byteCount: 4)
            number = name.reduce(0) { $0 << 8 | UInt32($1) }
        }
    }

    package let purpose: SealPurpose
    /// Primary first; never empty.
    private var entries: [Entry]

    package init(purpose: SealPurpose, primary: SealingKey, older: [SealingKey] = []) {
        self.purpose = purpose
        entries = []
        for key in [primary] + older where entries.count < Self.keysMax {
            let entry = Entry(key, purpose)
            if !entries.contains(where: { $0.number == entry.number }) { entries.append(entry) }
        }
    }

    /// Primary first, to store or to hand to another node.
    package var keys: [SealingKey] { entries.map(\.source) }

    /// Adds `key` for opening only: every node must know a key before the first node seals with it.
    package mutating func accept(_ key: SealingKey) {
        let entry = Entry(key, purpose)
        guard !entries.contains(where: { $0.number == entry.number }) else { return }
        if entries.count == Self.keysMax { entries.removeLast() }
        entries.insert(entry, at: 1)
    }

    /// Seals with `key` from now on; the keys before it still open.
    package mutating func makePrimary(_ key: SealingKey) {
        let entry = Entry(key, purpose)
        entries.removeAll { $0.number == entry.number }
        entries.insert(entry, at: 0)
        if entries.count > Self.keysMax { entries.removeLast() }
    }

    /// Forgets all keys but the newest `count`; what they sealed opens no more.
    package mutating func keepNewest(_ count: Int) { entries = Array(entries.prefix(max(1, count))) }

    package func seal(_ plaintext: [UInt8], authenticating data: [UInt8] = []) -> [UInt8] {
        let entry = entries[0]
        let header = [Self.version] + (0..<4).map { UInt8(truncatingIfNeeded: entry.number >> (24 - 8 * $0)) }
        let nonce = SecureRandom.bytes(AES256GCM.nonceByteCount)
        return header + nonce
            + AES256GCM.seal(plaintext, key: entry.key, nonce: nonce, authenticating: header + data)
    }

    package func open(
        _ sealed: ArraySlice<UInt8>, authenticating data: [UInt8] = []
    ) throws(SealError) -> [UInt8] {
        guard sealed.count >= Self.overheadBytes, let version = sealed.first else { throw .tooShort }
        guard version == Self.version else { throw .unknownVersion(version) }
        let header = Array(sealed.prefix(Self.headerBytes))
        let number = header.dropFirst().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard let entry = entries.first(where: { $0.number == number }) else { throw .unknownKey(number) }
        let rest = sealed.dropFirst(Self.headerBytes)
        do throws(CryptoError) {
            return try AES256GCM.open(
                rest.dropFirst(AES256GCM.nonceByteCount), key: entry.key,
                nonce: Array(rest.prefix(AES256GCM.nonceByteCount)), authenticating: header + data)
        } catch {
            throw .changed
        }
    }

    package func open(_ sealed: [UInt8], authenticating data: [UInt8] = []) throws(SealError) -> [UInt8] {
        try open(sealed[...], authenticating: data)
    }

    /// Whether opening `sealed` would need an older key, so that its owner seals it anew.
    package func isSealedWithOlderKey(_ sealed: [UInt8]) -> Bool {
        guard sealed.count >= Self.overheadBytes, sealed[0] == Self.version else { return false }
        return sealed[1..<Self.headerBytes].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } != entries[0].number
    }
}
