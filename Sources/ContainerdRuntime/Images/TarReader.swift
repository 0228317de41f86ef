import SwarmCore

/// What a tar archive holds at one place.
struct TarEntry: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        case file, directory, other
        /// The place within the archive that the link leads to.
        case link(String)
        /// What a symbolic link says, wherever that leads; only where links are to be kept as they are.
        case symbolicLink(String)
    }

    /// Relative to the archive's root, without `.` and `..`.
    var path: String
    var kind: Kind
    var size: Int64
    var mode: UInt32 = 0o644
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    /// Seconds since 1970.
    var modified: Int64 = 0
}

/// Reads a tar archive (POSIX.1-2001 pax, ustar and GNU) as it arrives, without keeping it.
///
/// Archives come from anywhere: paths and links that leave the archive, absurd sizes and numbers are refused.
actor TarReader {
    private let iterator: AsyncThrowingStream<[UInt8], any Error>.AsyncIterator
    private var buffer: ArraySlice<UInt8> = []
    /// What is still to come of the current entry: its bytes and the padding after them.
    private var unread: Int64 = 0
    private var padding: Int64 = 0
    private var entries = 0
    private let keepsLinks: Bool
    private let entriesMax: Int

    /// The most entries of an archive of images.
    static let imageEntriesMax = 20_000
    /// The most entries of a tree that is copied into a container.
    static let treeEntriesMax = 10_000_000
    /// The largest entry, in bytes: 1 TiB.
    private static let entryBytesMax: Int64 = 1 << 40
    /// The largest extended header, in bytes.
    private static let extensionBytesMax: Int64 = 64 << 10
    private static let blockBytes = 512

    init(
        _ archive: AsyncThrowingStream<[UInt8], any Error>, keepsLinks: Bool = false,
        entriesMax: Int = TarReader.imageEntriesMax
    ) {
        iterator = archive.makeAsyncIterator()
        (self.keepsLinks, self.entriesMax) = (keepsLinks, entriesMax)
    }

    /// The next entry; what was not read of the one before is skipped.
    func next() async throws -> TarEntry? {
        var (longPath, longLink): (String?, String?) = (nil, nil)
        var longSize: Int64?
        while true {
            try await skip(unread + padding)
            guard let block = try await header() else { return nil }
            entries += 1
            guard entries <= entriesMax else {
                throw SwarmError(.invalidArgument, "the archive has more than \(entriesMax) entries")
            }
            let type = block[156]
            let size = if let longSize { longSize } else { try Self.number(block[124..<136]) }
            guard (0...Self.entryBytesMax).contains(size) else {
                throw SwarmError(.invalidArgument, "the archive has an entry of \(size) bytes")
            }
            (unread, padding) = (size, (512 - size % 512) % 512)
            switch type {
            case UInt8(ascii: "x"):
                for (key, value) in Self.records(try await extended()) {
                    switch key {
                    case "path": longPath = value
                    case "linkpath": longLink = value
                    case "size": longSize = Int64(value)
                    default: break
                    }
                }
            case UInt8(ascii: "g"): break
            case UInt8(ascii: "L"): longPath = Self.text(try await extended()[...])
            case UInt8(ascii: "K"): longLink = Self.text(try await extended()[...])
            default:
                let path = try Self.inside(longPath ?? Self.name(block))
                let target = longLink ?? Self.text(block[157..<257])
                let isKept = keepsLinks && type == UInt8(ascii: "2")
                let kind = isKept ? .symbolicLink(target) : try Self.kind(type, path, target)
                var entry = TarEntry(path: path, kind: kind, size: size)
                entry.mode = UInt32(truncatingIfNeeded: try Self.number(block[100..<108]))
                entry.uid = UInt32(truncatingIfNeeded: try Self.number(block[108..<116]))
                entry.gid = UInt32(truncatingIfNeeded: try Self.number(block[116..<124]))
                entry.modified = try Self.number(block[136..<148])
                return entry
            }
        }
    }

    /// Hands on the current entry's bytes.
    func read(_ deliver: @Sendable ([UInt8]) async throws -> Void) async throws {
        while unread > 0 {
            if buffer.isEmpty { try await fill() }
            let piece = Array(buffer.prefix(Int(min(unread, Int64(buffer.count)))))
            buffer = buffer.dropFirst(piece.count)
            unread -= Int64(piece.count)
            try await deliver(piece)
        }
    }

    // MARK: Bytes

    private func more() async throws -> [UInt8]? {
        // Copies of a stream's iterator share its place.
        var iterator = self.iterator
        return try await iterator.next(isolation: self)
    }

    private func fill() async throws {
        guard let more = try await self.more() else {
            throw SwarmError(.invalidArgument, "the archive ends early: unexpected EOF")
        }
        buffer += more
    }

    private func skip(_ count: Int64) async throws {
        var left = count
        while left > 0 {
            if buffer.isEmpty { try await fill() }
            let step = Int(min(left, Int64(buffer.count)))
            buffer = buffer.dropFirst(step)
            left -= Int64(step)
        }
        (unread, padding) = (0, 0)
    }

    /// The next header; nil at the end of the archive. What follows the end is read and dropped.
    private func header() async throws -> [UInt8]? {
        while buffer.count < Self.blockBytes {
            guard let more = try await self.more() else {
                if buffer.isEmpty && entries > 0 { return nil }
                throw SwarmError(.invalidArgument, "the archive is no tar file or ends early: unexpected EOF")
            }
            buffer += more
        }
        let block = Array(buffer.prefix(Self.blockBytes))
        buffer = buffer.dropFirst(Self.blockBytes)
        if block.allSatisfy({ $0 == 0 }) {
            buffer = []
            while try await more() != nil {}
            return nil
        }
        let sum = block.enumerated().reduce(0) {
            $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element))
        }
        guard try Self.number(block[148..<156]) == Int64(sum) else {
            throw SwarmError(.invalidArgument, "the archive is no tar file: invalid tar header")
        }
        return block
    }

    private func extended() async throws -> [UInt8] {
        guard unread <= Self.extensionBytesMax else {
            throw SwarmError(.invalidArgument, "the archive has an extended header of \(unread) bytes")
        }
        var bytes: [UInt8] = []
        while unread > 0 {
            if buffer.isEmpty { try await fill() }
            let piece = buffer.prefix(Int(min(unread, Int64(buffer.count))))
            buffer = buffer.dropFirst(piece.count)
            unread -= Int64(piece.count)
            bytes += piece
        }
        return bytes
    }

    // MARK: Fields

    private static func kind(_ type: UInt8, _ path: String, _ target: String) throws(SwarmError)
        -> TarEntry.Kind
    {
        switch type {
        case UInt8(ascii: "0"), 0, UInt8(ascii: "7"): return .file
        case UInt8(ascii: "5"): return .directory
        case UInt8(ascii: "1"): return .link(try inside(target))
        case UInt8(ascii: "2"):
            guard !target.hasPrefix("/") else { throw outside(target) }
            let folder = path.split(separator: "/").dropLast().joined(separator: "/")
            return .link(try inside(folder.isEmpty ? target : folder + "/" + target))
        default: return .other
        }
    }

    /// A path without detours; one that leaves the archive is refused.
    private static func inside(_ path: String) throws(SwarmError) -> String {
        guard !path.hasPrefix("/"), !path.utf8.contains(0) else { throw outside(path) }
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." {
                guard parts.popLast() != nil else { throw outside(path) }
            } else {
                parts.append(part)
            }
        }
        return parts.joined(separator: "/")
    }

    private static func outside(_ path: String) -> SwarmError {
        SwarmError(.invalidArgument, "the archive has an entry that leads out of it: \(path)")
    }

    private static func name(_ block: [UInt8]) -> String {
        let name = text(block[0..<100])
        let prefix = text(block[345..<500])
        return text(block[257..<262]) == "ustar" && !prefix.isEmpty ? prefix + "/" + name : name
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Octal digits, or GNU's base 256 when the first bit is set.
    private static func number(_ field: ArraySlice<UInt8>) throws(SwarmError) -> Int64 {
        if let first = field.first, first & 0x80 != 0 {
            var value: Int64 = 0
            for byte in [first & 0x7f] + field.dropFirst() {
                guard value < 1 << 55 else {
                    throw SwarmError(.invalidArgument, "invalid tar header: number too large")
                }
                value = value << 8 | Int64(byte)
            }
            return value
        }
        let digits = text(field).split(separator: " ").first ?? "0"
        guard let value = Int64(digits, radix: 8), value >= 0 else {
            throw SwarmError(.invalidArgument, "the archive is no tar file: invalid tar header")
        }
        return value
    }

    /// `LENGTH KEY=VALUE\n`, again and again; what breaks this ends the reading.
    private static func records(_ bytes: [UInt8]) -> [(key: String, value: String)] {
        var found: [(key: String, value: String)] = []
        var rest = bytes[...]
        while let space = rest.firstIndex(of: 0x20),
            let length = Int(String(decoding: rest[rest.startIndex..<space], as: UTF8.self)),
            length > space - rest.startIndex + 1, length <= rest.count
        {
            let record = rest[(space + 1)..<(rest.startIndex + length - 1)]
            rest = rest.dropFirst(length)
            guard let equals = record.firstIndex(of: 0x3d) else { break }
            found.append(
                (
                    String(decoding: record[record.startIndex..<equals], as: UTF8.self),
                    String(decoding: record[(equals + 1)...], as: UTF8.self)
                ))
        }
        return found
    }
}

/// Writes the headers of a tar archive (ustar).
enum TarWriter {
    static func header(_ path: String, size: Int64) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ offset: Int) {
            for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
        }
        func octal(_ value: Int64, _ width: Int) -> String {
            let digits = String(value, radix: 8)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        put(String(path.prefix(100)), 0)
        put(octal(0o644, 7), 100)
        put(octal(0, 7), 108)
        put(octal(0, 7), 116)
        if size < 1 << 33 {
            put(octal(size, 11), 124)
        } else {
            // Eleven octal digits end at 8 GiB; GNU's base 256 goes on.
            block[124] = 0x80
            for index in 0..<8 { block[135 - index] = UInt8(truncatingIfNeeded: size >> (8 * Int64(index))) }
        }
        put(octal(0, 11), 136)
        put("        ", 148)
        put("0", 156)
        put("ustar", 257)
        put("00", 263)
        put(octal(block.reduce(0) { $0 + Int64($1) }, 6) + "\0 ", 148)
        return block
    }

    /// A file of a container's tree with all that belongs to it; long names and links have a pax header in front.
    static func header(of entry: TarEntry) -> [UInt8] {
        var (link, type, path) = ("", "0", entry.path)
        switch entry.kind {
        case .file, .other: break
        case .directory: (type, path) = ("5", entry.path.hasSuffix("/") ? entry.path : entry.path + "/")
        case .link(let target): (link, type) = (target, "1")
        case .symbolicLink(let target): (link, type) = (target, "2")
        }
        var extended = ""
        for (key, value) in [("path", path), ("linkpath", link)] where value.utf8.count > 100 {
            extended += record(key, value)
        }
        var result: [UInt8] = []
        if !extended.isEmpty {
            let bytes = Array(extended.utf8)
            result += block("pax", "x", "", TarEntry(path: "", kind: .file, size: Int64(bytes.count)))
            result += bytes + padding(Int64(bytes.count))
        }
        return result + block(path, type, link, entry)
    }

    /// `LENGTH KEY=VALUE\n`, whose length counts itself.
    private static func record(_ key: String, _ value: String) -> String {
        let rest = key.utf8.count + value.utf8.count + 3
        var length = rest + String(rest).count
        length = rest + String(length).count
        return "\(length) \(key)=\(value)\n"
    }

    private static func block(_ path: String, _ type: String, _ link: String, _ entry: TarEntry) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: some Sequence<UInt8>, _ offset: Int) {
            for (index, byte) in bytes.enumerated() { block[offset + index] = byte }
        }
        func number(_ value: Int64, _ offset: Int, _ width: Int) {
            let digits = String(value, radix: 8)
            guard value < 0 || digits.count > width - 1 else {
                return put((String(repeating: "0", count: width - 1 - digits.count) + digits).utf8, offset)
            }
            // GNU's base 256 for what octal digits cannot say.
            block[offset] = 0x80
            for index in 0..<min(8, width - 1) {
                block[offset + width - 1 - index] = UInt8(truncatingIfNeeded: value >> (8 * Int64(index)))
            }
        }
        put(path.utf8.prefix(100), 0)
        number(Int64(entry.mode & 0o7777), 100, 8)
        number(Int64(entry.uid), 108, 8)
        number(Int64(entry.gid), 116, 8)
        number(entry.size, 124, 12)
        number(max(0, entry.modified), 136, 12)
        put("        ".utf8, 148)
        put(type.utf8, 156)
        put(link.utf8.prefix(100), 157)
        put("ustar".utf8, 257)
        put("00".utf8, 263)
        let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
        put((String(repeating: "0", count: 6 - sum.count) + sum + "\0 ").utf8, 148)
        return block
    }

    static func padding(_ size: Int64) -> [UInt8] {
        [UInt8](repeating: 0, count: Int((512 - size % 512) % 512))
    }

    /// Two empty blocks.
    static let end = [UInt8](repeating: 0, count: 1024)
}
