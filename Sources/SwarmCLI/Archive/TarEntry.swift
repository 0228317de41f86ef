/// The head of one file in a tar archive: POSIX ustar, with pax records for what does not fit (IEEE 1003.1-2017, pax).
package struct TarEntry: Sendable, Equatable {
    package enum Kind: UInt8, Sendable {
        case file = 0x30
        case hardLink = 0x31
        case symbolicLink = 0x32
        case folder = 0x35
    }

    /// Without a slash at its end.
    package var name: String
    package var kind: Kind
    package var mode: UInt32
    package var uid: Int64 = 0
    package var gid: Int64 = 0
    package var sizeBytes: Int64 = 0
    /// Seconds since 1970.
    package var modified: Int64 = 0
    /// Where a link points.
    package var target = ""

    package init(name: String, kind: Kind, mode: UInt32) { (self.name, self.kind, self.mode) = (name, kind, mode) }

    static let blockBytes = 512
    /// The longest name in a ustar head, in bytes.
    private static let nameBytesMax = 100
    /// The largest size in a ustar head: eleven octal digits.
    private static let sizeMax: Int64 = 0o77_777_777_777

    /// What fills the last block of so many bytes.
    package static func padding(after bytes: Int64) -> Int { Int((512 - bytes % 512) % 512) }
    /// Two blocks of zeros.
    package static let end = [UInt8](repeating: 0, count: 2 * blockBytes)

    /// The head's blocks.
    package var head: [UInt8] {
        let written = kind == .folder ? name + "/" : name
        var records = ""
        if written.utf8.count > Self.nameBytesMax { records += Self.record("path", written) }
        if target.utf8.count > Self.nameBytesMax { records += Self.record("linkpath", target) }
        if sizeBytes > Self.sizeMax { records += Self.record("size", String(sizeBytes)) }
        guard !records.isEmpty else { return block(written, kind.rawValue, sizeBytes) }
        let bytes = Array(records.utf8)
        var extra = TarEntry(name: "pax", kind: .file, mode: 0o644)
        extra.modified = modified
        return extra.block("PaxHeaders/" + String(written.suffix(40)), UInt8(ascii: "x"), Int64(bytes.count)) + bytes
            + [UInt8](repeating: 0, count: Self.padding(after: Int64(bytes.count)))
            + block(written, kind.rawValue, min(sizeBytes, Self.sizeMax))
    }

    /// `LENGTH KEY=VALUE` and a line end, where the length counts itself.
    private static func record(_ key: String, _ value: String) -> String {
        let rest = " \(key)=\(value)\n"
        var length = rest.utf8.count
        while String(length).utf8.count + rest.utf8.count != length {
            length = String(length).utf8.count + rest.utf8.count
        }
        return "\(length)\(rest)"
    }

    private func block(_ name: String, _ type: UInt8, _ size: Int64) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: Self.blockBytes)
        func put(_ bytes: some Sequence<UInt8>, at offset: Int, _ length: Int) {
            for (index, byte) in bytes.prefix(length).enumerated() { block[offset + index] = byte }
        }
        func octal(_ value: Int64, at offset: Int, _ digits: Int) {
            let text = String(max(value, 0), radix: 8)
            let zeros = String(repeating: "0", count: max(0, digits - text.count))
            put((zeros + text.suffix(digits)).utf8, at: offset, digits)
        }
        put(name.utf8, at: 0, Self.nameBytesMax)
        octal(Int64(mode & 0o7777), at: 100, 7)
        octal(uid, at: 108, 7)
        octal(gid, at: 116, 7)
        octal(size, at: 124, 11)
        octal(modified, at: 136, 11)
        block[156] = type
        put(target.utf8, at: 157, Self.nameBytesMax)
        put("ustar\0".utf8, at: 257, 6)
        put("00".utf8, at: 263, 2)
        // The checksum counts itself as spaces.
        put([UInt8](repeating: 0x20, count: 8), at: 148, 8)
        octal(block.reduce(0) { $0 + Int64($1) }, at: 148, 6)
        (block[154], block[155]) = (0, 0x20)
        return block
    }
}
