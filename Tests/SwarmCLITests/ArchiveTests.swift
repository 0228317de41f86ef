import Foundation
import SwarmCLI
import SwarmCore
import Testing

/// Tar archives as `cp` writes and reads them, and the keys that let go.
@Suite struct ArchiveTests {
    private static func events(_ bytes: [UInt8], parts: Int) throws -> [TarDecoder.Event] {
        var decoder = TarDecoder()
        var found: [TarDecoder.Event] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            found += try decoder.receive(Array(rest.prefix(parts)))
            rest = rest.dropFirst(parts)
        }
        #expect(decoder.isWhole)
        // Data comes in whatever parts the bytes came in.
        return found.reduce(into: []) { merged, event in
            if case .data(let more) = event, case .data(let before)? = merged.last {
                merged[merged.count - 1] = .data(before + more)
            } else {
                merged.append(event)
            }
        }
    }

    private static func file(_ name: String, _ text: String) -> (TarEntry, [UInt8]) {
        var entry = TarEntry(name: name, kind: .file, mode: 0o640)
        (entry.uid, entry.gid, entry.modified) = (1000, 100, 1_700_000_000)
        entry.sizeBytes = Int64(text.utf8.count)
        return (entry, Array(text.utf8))
    }

    @Test(arguments: [1, 7, 512, 100_000]) func `what is written is read again, however it is cut`(parts: Int) throws {
        let long = String(repeating: "deep/", count: 60) + "file"
        let (plain, text) = Self.file("a/b", "hello")
        let (far, more) = Self.file(long, String(repeating: "x", count: 1024))
        let folder = TarEntry(name: "a", kind: .folder, mode: 0o755)
        var link = TarEntry(name: "a/l", kind: .symbolicLink, mode: 0o777)
        link.target = "../" + String(repeating: "t", count: 150)
        var bytes = folder.head + plain.head + text + [UInt8](repeating: 0, count: TarEntry.padding(after: 5))
        bytes += far.head + more + link.head + TarEntry.end
        #expect(
            try Self.events(bytes, parts: parts)
                == [.entry(folder), .entry(plain), .data(text), .entry(far), .data(more), .entry(link)])
    }

    @Test func `other people's tar reads ours, and we read theirs`() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/tar-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let name = String(repeating: "n", count: 120)
        let (entry, text) = Self.file(name, "hello")
        let bytes = entry.head + text + [UInt8](repeating: 0, count: 507) + TarEntry.end
        try Data(bytes).write(to: URL(filePath: folder + "/ours.tar"))
        let listed = Process.output("tar -tvf \(folder)/ours.tar --numeric-owner")
        #expect(listed.hasPrefix("-rw-r----- 1000/100"))
        #expect(listed.contains(" 5 "))
        #expect(listed.hasSuffix(" \(name)\n"))
        for format in ["gnu", "pax", "ustar"] {
            let short = format == "ustar" ? "short" : name
            _ = Process.output("cd \(folder) && printf theirs >\(short) && tar --format=\(format) -cf t.tar \(short)")
            let events = try Self.events(Array(try Data(contentsOf: URL(filePath: folder + "/t.tar"))), parts: 333)
            guard case .entry(let found)? = events.first else {
                Issue.record("no entry in tar's \(format) archive")
                continue
            }
            #expect(found.name == short)
            #expect(events.last == .data(Array("theirs".utf8)))
        }
    }

    @Test func `what is no archive is refused, and what is cut off is not whole`() throws {
        var decoder = TarDecoder()
        #expect(throws: SwarmError.self) { try decoder.receive([UInt8](repeating: 0x41, count: 512)) }
        var half = TarDecoder()
        let (entry, _) = Self.file("f", "hello")
        let events = try half.receive(entry.head)
        #expect(events == [.entry(entry)])
        #expect(!half.isWhole)
    }

    @Test func `devices are named and left out`() throws {
        var entry = TarEntry(name: "dev", kind: .file, mode: 0o600).head
        // A character device: the checksum grows with the type.
        entry[156] = UInt8(ascii: "3")
        let sum = entry.enumerated().reduce(0) { $0 + (148..<156 ~= $1.offset ? 0x20 : Int($1.element)) }
        let digits = String(sum, radix: 8)
        for (index, byte) in (String(repeating: "0", count: 6 - digits.count) + digits).utf8.enumerated() {
            entry[148 + index] = byte
        }
        #expect(try Self.events(entry + TarEntry.end, parts: 512) == [.skipped("dev")])
    }

    @Test func `the keys that let go are held back until they are complete`() throws {
        var keys = try DetachKeys("")
        func press(_ bytes: UInt8...) -> String {
            let found = keys.pass(bytes)
            return "\(found.passed)\(found.isComplete ? " and away" : "")"
        }
        #expect(press(0x61, 0x10) == "[97]")
        #expect(press(0x62) == "[16, 98]")
        #expect(press(0x10, 0x10, 0x11, 0x63) == "[16] and away")
        keys = try DetachKeys("ctrl-@,a")
        #expect(press(0x00, 0x61) == "[] and away")
        for wrong in ["ctrl-", "ab", "ctrl-1", "a,,b"] {
            #expect(throws: SwarmError.self) { try DetachKeys(wrong) }
        }
    }
}

extension Process {
    /// What a shell prints.
    fileprivate static func output(_ command: String) -> String {
        guard let pipe = popen(command + " 2>&1", "r") else { return "no shell" }
        defer { pclose(pipe) }
        var (output, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
        while true {
            let count = fread(&buffer, 1, buffer.count, pipe)
            guard count > 0 else { return String(decoding: output, as: UTF8.self) }
            output += buffer.prefix(count)
        }
    }
}
