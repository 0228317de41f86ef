package import SwarmCore

/// Reads a tar archive as it comes.
package struct TarDecoder: Sendable {
    package enum Event: Sendable, Equatable {
        case entry(TarEntry)
        /// Of the entry before.
        case data([UInt8])
        /// A file of a kind that is not copied: a device, a pipe.
        case skipped(String)
    }

    /// The longest record of names that is read, in bytes.
    static let recordBytesMax = 1 << 20

    private enum State {
        case head
        case data(rest: Int64, padding: Int)
        case record(type: UInt8, rest: Int, padding: Int)
        case skipping(rest: Int64)
        case ended
    }

    private var state = State.head
    private var pending: [UInt8] = []
    private var record: [UInt8] = []
    /// What records before a head say in its stead.
    private var overrides: [String: String] = [:]

    package init() {}

    /// - Throws: `.invalidArgument` for what is no archive.
    package mutating func receive(_ bytes: [UInt8]) throws(SwarmError) -> [Event] {
        pending += bytes
        var events: [Event] = []
        var position = 0
        reading: while true {
            let available = pending.count - position
            switch state {
            case .ended:
                position = pending.count
                break reading
            case .head:
                guard available >= TarEntry.blockBytes else { break reading }
                let block = Array(pending[position..<position + TarEntry.blockBytes])
                position += TarEntry.blockBytes
                if let event = try begin(block) { events.append(event) }
            case .data(let rest, let padding):
                guard rest > 0 else {
                    state = .skipping(rest: Int64(padding))
                    continue
                }
                guard available > 0 else { break reading }
                let count = min(available, Int(clamping: rest))
                events.append(.data(Array(pending[position..<position + count])))
                position += count
                state = .data(rest: rest - Int64(count), padding: padding)
            case .record(let type, let rest, let padding):
                guard rest > 0 else {
                    note(type)
                    state = .skipping(rest: Int64(padding))
                    continue
                }
                guard available > 0 else { break reading }
                let count = min(available, rest)
                record += pending[position..<position + count]
                position += count
                state = .record(type: type, rest: rest - count, padding: padding)
            case .skipping(let rest):
                guard rest > 0 else {
                    state = .head
                    continue
                }
                guard available > 0 else { break reading }
                let count = min(available, Int(clamping: rest))
                position += count
                state = .skipping(rest: rest - Int64(count))
            }
        }
        pending.removeSubrange(..<position)
        return events
    }

    /// Whether nothing of an entry is missing.
    package var isWhole: Bool {
        switch state {
        case .head: pending.isEmpty
        case .ended: true
        case .data, .record, .skipping: false
        }
    }

    private mutating func begin(_ block: [UInt8]) throws(SwarmError) -> Event? {
        guard block.contains(where: { $0 != 0 }) else {
            state = .ended
            return nil
        }
        let sum = block.enumerated().reduce(0) { $0 + (148..<156 ~= $1.offset ? 0x20 : Int64($1.element)) }
        guard Self.number(block[148..<156]) == sum else {
            throw SwarmError(.invalidArgument, "archive/tar: invalid tar header")
        }
        let size = Int64(overrides["size"] ?? "") ?? Self.number(block[124..<136])
        let padding = TarEntry.padding(after: size)
        switch block[156] {
        case UInt8(ascii: "x"), UInt8(ascii: "g"), UInt8(ascii: "L"), UInt8(ascii: "K"):
            guard (0...Int64(Self.recordBytesMax)).contains(size) else {
                throw SwarmError(.invalidArgument, "archive/tar: a record of \(size) bytes")
            }
            record = []
            state = .record(type: block[156], rest: Int(size), padding: padding)
            return nil
        default: break
        }
        defer { overrides = [:] }
        let prefix = Self.text(block[345..<500])
        var name = overrides["path"] ?? (prefix.isEmpty ? "" : prefix + "/") + Self.text(block[0..<100])
        while name.hasSuffix("/") { name.removeLast() }
        // Before POSIX, a plain file had no type.
        guard let kind = block[156] == 0 ? .file : TarEntry.Kind(rawValue: block[156]) else {
            state = .skipping(rest: size + Int64(padding))
            return .skipped(name)
        }
        var entry = TarEntry(name: name, kind: kind, mode: UInt32(clamping: Self.number(block[100..<108])))
        entry.uid = Int64(overrides["uid"] ?? "") ?? Self.number(block[108..<116])
        entry.gid = Int64(overrides["gid"] ?? "") ?? Self.number(block[116..<124])
        entry.modified =
            overrides["mtime"].flatMap { Int64($0.prefix { $0 != "." }) } ?? Self.number(block[136..<148])
        entry.target = overrides["linkpath"] ?? Self.text(block[157..<257])
        entry.sizeBytes = kind == .file ? size : 0
        state = kind == .file ? .data(rest: size, padding: padding) : .skipping(rest: size + Int64(padding))
        return .entry(entry)
    }

    private mutating func note(_ type: UInt8) {
        switch type {
        case UInt8(ascii: "L"): overrides["path"] = Self.text(record[...])
        case UInt8(ascii: "K"): overrides["linkpath"] = Self.text(record[...])
        case UInt8(ascii: "x"):
            var rest = record[...]
            while let space = rest.firstIndex(of: 0x20),
                let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
                length > space - rest.startIndex, length <= rest.count
            {
                let line = rest[rest.index(after: space)..<rest.startIndex + length].dropLast()
                let (key, value) = String(decoding: line, as: UTF8.self).keyAndValue
                overrides[key] = value ?? ""
                rest = rest[(rest.startIndex + length)...]
            }
        default: break
        }
    }

    /// Octal digits, or a number of more than eight bytes as GNU's tar writes it.
    private static func number(_ field: ArraySlice<UInt8>) -> Int64 {
        if let first = field.first, first & 0x80 != 0 {
            return field.dropFirst().suffix(8).reduce(0) { $0 << 8 | Int64($1) }
        }
        return field.drop { $0 == 0x20 || $0 == 0 }.prefix { (0x30...0x37).contains($0) }
            .reduce(0) { ($0 << 3) + Int64($1 - 0x30) }
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String {
        String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }
}
