import ContainerdAPI
import LibCrypto
import GRPCCore
import SwarmCore
import SwiftProtobuf

/// What a blob is, as manifests name it.
package struct BlobDescriptor: Sendable, Equatable, Codable {
    package var mediaType: String
    package var digest: String
    package var size: Int64

    package init(mediaType: String, digest: String, size: Int64) {
        (self.mediaType, self.digest, self.size) = (mediaType, digest, size)
    }

    enum CodingKeys: String, CodingKey { case mediaType, digest, size }
}

/// Writing into containerd's content store.
struct ContentWriter: Sendable {
    let client: ContainerdClient
    /// The lease that keeps what is written from being collected before an image names it.
    let lease: String

    /// containerd takes messages of up to 16 MiB; smaller pieces keep memory flat.
    static let pieceBytes = 1 << 20

    var metadata: Metadata { ["containerd-lease": "\(lease)"] }

    static func digest(of bytes: [UInt8]) -> String { SHA256.digest(of: bytes) }

    /// Stores one small blob; a blob that is there already keeps its bytes and gets the labels.
    func write(_ bytes: [UInt8], mediaType: String, labels: [String: String] = [:]) async throws(SwarmError)
        -> BlobDescriptor
    {
        let digest = Self.digest(of: bytes)
        let stream = AsyncThrowingStream<[UInt8], any Error> { continuation in
            continuation.yield(bytes)
            continuation.finish()
        }
        let written = try await write(stream, total: Int64(bytes.count), expected: digest, labels: labels)
        return BlobDescriptor(mediaType: mediaType, digest: written.digest, size: written.size)
    }

    /// Streams one blob into the store.
    /// - Parameters:
    ///   - total: its size, or 0 when unknown.
    ///   - expected: its digest, which containerd verifies; nil when unknown.
    func write(
        _ pieces: AsyncThrowingStream<[UInt8], any Error>, total: Int64, expected: String?,
        labels: [String: String]
    ) async throws(SwarmError) -> (digest: String, size: Int64) {
        let reference = "ingest-" + (expected ?? String(UInt64.random(in: 0 ... .max), radix: 36))
        let hasher = HashingCounter()
        do {
            try await containerd("Content.Write") {
                try await client.content.write(metadata: metadata) { writer in
                    // Both the opening message and the commit name what is expected.
                    try await writer.write(
                        .with {
                            $0.action = .stat
                            $0.ref = reference
                            $0.total = total
                            $0.expected = expected ?? ""
                        })
                    for try await piece in pieces {
                        for start in stride(from: 0, to: piece.count, by: Self.pieceBytes) {
                            let part = piece[start..<min(start + Self.pieceBytes, piece.count)]
                            let offset = await hasher.size
                            try await writer.write(
                                .with {
                                    $0.action = .write
                                    $0.ref = reference
                                    $0.offset = offset
                                    $0.data = .init(part)
                                })
                            await hasher.add(part)
                        }
                    }
                    let (digest, size) = await hasher.result()
                    try await writer.write(
                        .with {
                            $0.action = .commit
                            $0.ref = reference
                            // An offset of 0 would truncate the blob (containerd 1.6).
                            $0.offset = size
                            $0.total = size
                            $0.expected = expected ?? digest
                            $0.labels = labels
                        })
                } onResponse: { response in
                    for try await _ in response.messages {}
                }
            }
        } catch where error.code == .conflict {
            try await relabel(expected ?? "", labels)
        } catch {
            // A failed write leaves its ingest behind; aborting it is the clean-up, not part of the failure.
            try? await containerd("Content.Abort") {
                _ = try await client.content.abort(.with { $0.ref = reference }, options: ContainerdClient.quick)
            }
            throw error
        }
        let (digest, size) = await hasher.result()
        if let expected { return (expected, size > 0 ? size : total) }
        return (digest, size)
    }

    func relabel(_ digest: String, _ labels: [String: String]) async throws(SwarmError) {
        guard !labels.isEmpty, !digest.isEmpty else { return }
        try await containerd("Content.Update") {
            _ = try await client.content.update(
                .with {
                    $0.info.digest = digest
                    $0.info.labels = labels
                    $0.updateMask.paths = labels.keys.sorted().map { "labels.\($0)" }
                }, metadata: metadata, options: ContainerdClient.quick)
        }
    }

    func read(_ digest: String, limit: Int = 16 << 20) async throws(SwarmError) -> [UInt8] {
        try await containerd("Content.Read") {
            try await client.content.read(
                .with { $0.digest = digest }, options: ContainerdClient.quick
            ) { response in
                var bytes: [UInt8] = []
                for try await piece in response.messages {
                    bytes += piece.data
                    guard bytes.count <= limit else {
                        throw SwarmError(.resourceExhausted, "\(digest) is larger than \(limit) bytes")
                    }
                }
                return bytes
            }
        }
    }
}

/// SHA-256 and length of what went by.
private actor HashingCounter {
    private let hash = SHA256()
    private var digest: String?
    private(set) var size: Int64 = 0

    func add(_ bytes: ArraySlice<UInt8>) {
        hash.update(bytes)
        size += Int64(bytes.count)
    }

    func result() -> (digest: String, size: Int64) {
        let final = digest ?? hash.finishAsDigest()
        digest = final
        return (final, size)
    }
}
