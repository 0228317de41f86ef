import AsyncHTTPClient
package import NIOCore
import NIOPosix
import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// An answer's body, part by part.
package struct EngineStream: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    let body: HTTPClientResponse.Body

    package struct AsyncIterator: AsyncIteratorProtocol {
        var base: HTTPClientResponse.Body.AsyncIterator

        package mutating func next() async throws -> [UInt8]? {
            try await base.next().map { Array($0.readableBytesView) }
        }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: body.makeAsyncIterator()) }
}

/// A file's bytes, read only as fast as they are sent.
package struct FileBytes: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer
    /// How much is read at once.
    static let chunkBytes = 256 << 10

    let descriptor: CInt

    /// The caller keeps the descriptor open until the upload has ended.
    package init(descriptor: CInt) { self.descriptor = descriptor }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let descriptor: CInt

        package mutating func next() async throws -> ByteBuffer? {
            // Reading may block (a pipe on standard input), so it happens on a thread made for that.
            let chunk = try await NIOThreadPool.singleton.runIfActive { [descriptor] in
                try FileBytes.readChunk(descriptor)
            }
            return chunk.readableBytes == 0 ? nil : chunk
        }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(descriptor: descriptor) }

    static func readChunk(_ descriptor: CInt) throws -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: chunkBytes)
        let count = unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: chunkBytes) { target in
            while true {
                let count = unsafe read(descriptor, target.baseAddress, target.count)
                if count >= 0 || errno != EINTR { return Swift.max(count, 0) }
            }
        }
        return count == 0 ? ByteBuffer() : buffer
    }
}

/// Cuts a stream into lines, for answers of one JSON object per line.
package struct LineSplitter: Sendable {
    /// The longest line that is kept, in bytes.
    static let lineBytesMax = 8 << 20
    private var rest: [UInt8] = []

    package init() {}

    /// The whole lines so far, without their ends; empty lines are left out.
    package mutating func lines(adding bytes: [UInt8]) -> [[UInt8]] {
        rest += bytes
        var lines: [[UInt8]] = []
        var start = rest.startIndex
        while let end = rest[start...].firstIndex(of: 0x0a) {
            var line = Array(rest[start..<end])
            if line.last == 0x0d { line.removeLast() }
            if !line.isEmpty { lines.append(line) }
            start = end + 1
        }
        rest.removeSubrange(..<start)
        if rest.count > Self.lineBytesMax { rest.removeAll() }
        return lines
    }

    /// What came after the last line end.
    package mutating func remainder() -> [UInt8] {
        defer { rest = [] }
        return rest
    }
}

/// Docker's framing of output: a header of eight bytes (stream, three zeros, big-endian length), then the text.
package struct FrameSplitter: Sendable {
    package enum Stream: UInt8, Sendable { case stdin = 0, stdout, stderr, systemError }

    package struct Frame: Sendable, Equatable {
        package var stream: Stream
        package var bytes: [UInt8]

        package init(stream: Stream, bytes: [UInt8]) { (self.stream, self.bytes) = (stream, bytes) }
    }

    static let headerBytes = 8
    private var rest: [UInt8] = []

    package init() {}

    /// The whole frames so far; bytes that begin no frame are handed on as output.
    package mutating func frames(adding bytes: [UInt8]) -> [Frame] {
        rest += bytes
        var frames: [Frame] = []
        var position = 0
        while rest.count - position >= Self.headerBytes {
            guard let stream = Stream(rawValue: rest[position]),
                rest[position + 1..<position + 4].allSatisfy({ $0 == 0 })
            else {
                frames.append(Frame(stream: .stdout, bytes: Array(rest[position...])))
                position = rest.count
                break
            }
            let length = rest[position + 4..<position + 8].reduce(0) { $0 << 8 | Int($1) }
            guard rest.count - position - Self.headerBytes >= length else { break }
            let start = position + Self.headerBytes
            frames.append(Frame(stream: stream, bytes: Array(rest[start..<start + length])))
            position = start + length
        }
        rest.removeSubrange(..<position)
        return frames
    }
}
