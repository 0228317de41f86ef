import SwarmCore

/// Takes gzip (RFC 1952) off a stream that may have it.
enum Inflate {
    /// The archive itself, or what it unpacks to when it begins as gzip does.
    static func ifCompressed(
        _ archive: AsyncThrowingStream<[UInt8], any Error>
    ) -> AsyncThrowingStream<[UInt8], any Error> {
        let source = GzipSource(archive)
        return AsyncThrowingStream { try await source.next() }
    }
}

/// Unpacks as fast as it is read.
private actor GzipSource {
    private enum Form { case unknown, plain, gzip }

    private let iterator: AsyncThrowingStream<[UInt8], any Error>.AsyncIterator
    private var form = Form.unknown
    private var inflater = GzipInflater()
    private var first: [UInt8] = []

    init(_ archive: AsyncThrowingStream<[UInt8], any Error>) { iterator = archive.makeAsyncIterator() }

    private func more() async throws -> [UInt8]? {
        // Copies of a stream's iterator share its place.
        var iterator = self.iterator
        return try await iterator.next(isolation: self)
    }

    func next() async throws -> [UInt8]? {
        switch form {
        case .plain: return try await more()
        case .gzip: return try await unpacked()
        case .unknown:
            while first.count < 2, let more = try await self.more() { first += more }
            guard first.starts(with: [0x1f, 0x8b]) else {
                form = .plain
                return first.isEmpty ? nil : first
            }
            form = .gzip
            inflater.push(first)
            return try await unpacked()
        }
    }

    private func unpacked() async throws -> [UInt8]? {
        while true {
            if let bytes = try inflater.pull() { return bytes }
            guard let more = try await self.more() else {
                guard inflater.isAtEnd else {
                    throw SwarmError(.invalidArgument, "the compressed archive ends early: unexpected EOF")
                }
                return nil
            }
            inflater.push(more)
        }
    }
}
