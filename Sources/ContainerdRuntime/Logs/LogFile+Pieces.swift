import Glibc
import Ports
import SwarmCore

/// Reading a log piece by piece, with nothing kept between two pieces: for readers on other nodes.
extension LogFile {
    /// Looked at for one piece, however few of its lines are wanted.
    static let scannedBytesMax = 4 << 20
    private static let chunkBytes = 64 * 1024

    /// What follows the position: at least one line if there is one, and at most `bytesMax` bytes beyond the first.
    ///
    /// `options.tail` counts at the beginning alone; `options.follow` does not count.
    func piece(_ options: LogOptions, from position: LogPosition, bytesMax: Int) -> LogPiece {
        // Taken first: a log that was complete then has nothing that the parts do not show.
        let progress = self.progress()
        let all = parts()
        defer { for part in all { close(part.descriptor) } }
        let parts = all.filter { $0.size > 0 }
        var scan = Scan(options: options, bytesMax: bytesMax, piece: LogPiece(position: position))
        var index = 0
        if position == .beginning, let tail = options.tail {
            (index, scan.piece.position) = Self.start(ofLast: tail, in: parts, options)
        } else if let found = parts.firstIndex(where: { $0.birth == position.file }) {
            index = found
        } else if let first = parts.first {
            // The file that it was in is gone; at its end nothing was missed.
            scan.piece.hasGap = position.file != 0 && position != progress.discarded
            scan.piece.position = LogPosition(file: first.birth, offset: 0)
        }
        while index < parts.count {
            guard scan.read(parts[index]) else { return scan.piece }
            index += 1
            if index < parts.count { scan.piece.position = LogPosition(file: parts[index].birth, offset: 0) }
        }
        scan.piece.isOver = progress.isComplete
        return scan.piece
    }

    /// Where the last `count` wanted lines begin.
    private static func start(ofLast count: Int, in parts: [Part], _ options: LogOptions) -> (Int, LogPosition) {
        var missing = count
        for (index, part) in parts.enumerated().reversed() {
            guard let offset = LogRecord.start(ofLast: &missing, in: part, options) else { continue }
            return (index, LogPosition(file: part.birth, offset: offset))
        }
        return (0, parts.first.map { LogPosition(file: $0.birth, offset: 0) } ?? .beginning)
    }

    /// One walk over a log.
    private struct Scan {
        let options: LogOptions
        let bytesMax: Int
        var piece: LogPiece
        var bytes = 0
        var scanned = 0

        /// From the piece's position to the end of the part.
        /// - Returns: whether the walk goes on after it.
        mutating func read(_ part: Part) -> Bool {
            var pending: [UInt8] = []
            while piece.position.offset + pending.count < part.size {
                let place = piece.position.offset + pending.count
                let start = pending.count
                let wanted = min(LogFile.chunkBytes, part.size - place)
                pending.append(contentsOf: repeatElement(0, count: wanted))
                let count = unsafe pending.withUnsafeMutableBytes { bytes in
                    unsafe pread(
                        part.descriptor, bytes.baseAddress.map { unsafe $0 + start }, wanted, off_t(place))
                }
                pending.removeSubrange((start + max(count, 0))...)
                guard count > 0 else { return true }
                scanned += count
                guard take(&pending) else { return false }
                if scanned >= LogFile.scannedBytesMax {
                    piece.hasMore = true
                    return false
                }
            }
            return true
        }

        /// Cuts whole records off the bytes at the piece's position.
        /// - Returns: false when the piece is full, or the rest is too new.
        private mutating func take(_ pending: inout [UInt8]) -> Bool {
            var start = 0
            defer { pending.removeSubrange(..<start) }
            while let end = pending[start...].firstIndex(of: UInt8(ascii: "\n")) {
                if let line = LogRecord.parse(pending[start..<end]) {
                    if let until = options.until, line.time > until {
                        piece.isOver = true
                        return false
                    }
                    if LogRecord.isWanted(line.stream, options), options.since.map({ line.time >= $0 }) ?? true {
                        let size = line.text.count + LogLine.overheadBytes
                        guard piece.lines.isEmpty || bytes + size <= bytesMax else {
                            piece.hasMore = true
                            return false
                        }
                        bytes += size
                        piece.lines.append(line)
                    }
                }
                piece.position.offset += end + 1 - start
                start = end + 1
            }
            return true
        }
    }
}
