import Glibc
import SwarmCore

/// SQLite's write-ahead log as a file, looked at before SQLite opens it.
///
/// SQLite takes what comes before the first frame that does not fit, and says nothing. That is right for a write that
/// a power failure tore, since nobody was told that it was done. It is wrong for a bit that flipped further up:
/// batches that were acknowledged would be gone, and a vote with them. What follows tells the two apart: each
/// transaction is synced before the next begins, so only the last can be torn.
///
/// Format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>
enum JournalFile {
    private static let headerByteCount = 32
    private static let frameHeaderByteCount = 24

    /// - Throws: `internal` when a write before the last one is damaged.
    static func check(_ path: String) throws(SwarmError) {
        guard let file = try FileReader(path) else { return }
        let header = try file.read(headerByteCount)
        guard header.count == headerByteCount else { return }
        guard var sums = Sums(header: header) else {
            // Without a frame there is nothing to lose.
            guard try file.read(1).isEmpty else { throw damaged(path, "its header does not fit") }
            return
        }
        let frameByteCount = frameHeaderByteCount + Int(word(header, 8))
        /// Pages that the transaction at hand has written: none comes twice in one.
        var pages: Set<UInt32> = []
        var (isTorn, hasEnded) = (false, false)
        while true {
            let frame = try file.read(frameByteCount)
            guard frame.count == frameByteCount else { return }
            let isOfThisRound = frame[8..<16] == header[16..<24]
            if !isTorn {
                sums.add(frame[..<8])
                sums.add(frame[frameHeaderByteCount...])
                isTorn = !isOfThisRound || !sums.match(frame, at: 16)
            }
            guard isOfThisRound else { continue }
            let isNew = pages.insert(word(frame, 0)).inserted
            let isCommit = word(frame, 4) != 0
            if isTorn {
                guard isNew, !hasEnded else { throw damaged(path, "a write before the last one does not fit") }
                hasEnded = isCommit
            } else if isCommit {
                pages = []
            }
        }
    }

    private static func damaged(_ path: String, _ why: String) -> SwarmError { Damage.error(path, "journal", why) }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        bytes[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The running checksum over the header and every frame after it.
    private struct Sums {
        private var first: UInt32 = 0
        private var second: UInt32 = 0
        private let isBigEndian: Bool

        /// Nil when the header is none, or damaged.
        init?(header: [UInt8]) {
            let magic = JournalFile.word(header, 0)
            let pageByteCount = JournalFile.word(header, 8)
            guard magic | 1 == 0x377f_0683, (512...65536).contains(pageByteCount) else { return nil }
            isBigEndian = magic & 1 == 1
            add(header[..<24])
            guard match(header, at: 24) else { return nil }
        }

        mutating func add(_ bytes: ArraySlice<UInt8>) {
            var position = bytes.startIndex
            while position + 8 <= bytes.endIndex {
                first &+= word(bytes, position) &+ second
                second &+= word(bytes, position + 4) &+ first
                position += 8
            }
        }

        /// The two sums are stored big-endian always.
        func match(_ bytes: [UInt8], at offset: Int) -> Bool {
            JournalFile.word(bytes, offset) == first && JournalFile.word(bytes, offset + 4) == second
        }

        private func word(_ bytes: ArraySlice<UInt8>, _ at: Int) -> UInt32 {
            let word =
                UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16
                | UInt32(bytes[at + 3]) << 24
            return isBigEndian ? word.byteSwapped : word
        }
    }
}

/// Reads a file from its beginning.
private final class FileReader {
    private let file: Int32
    private let path: String

    /// Nil when there is no such file.
    init?(_ path: String) throws(SwarmError) {
        self.path = path
        file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file < 0 else { return }
        guard errno == ENOENT else { throw Self.failure("open", path) }
        return nil
    }

    deinit { if file >= 0 { close(file) } }

    /// So many bytes, or those that are left.
    func read(_ count: Int) throws(SwarmError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe Glibc.read(file, buffer.baseAddress.map { unsafe $0 + filled }, count - filled)
            }
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw Self.failure("read", path) }
            if got == 0 { break }
            filled += got
        }
        return Array(bytes[..<filled])
    }

    private static func failure(_ step: String, _ path: String) -> SwarmError {
        let number = errno
        let reason = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
        return SwarmError(.unavailable, "cannot \(step) \(path): \(reason)")
    }
}
