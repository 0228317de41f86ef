import ContainerdAPI
import GRPCCore
import LibCrypto
import RegistryClient
import SwarmCore
import SwiftProtobuf

/// Reading and writing containerd's content store.
struct ContentWriter: Sendable {
    let client: ContainerdClient
    /// The lease that keeps what is written from being collected before an image names it.
    let lease: String

    /// containerd takes messages of up to 16 MiB; smaller pieces keep memory flat.
    static let pieceBytes = 4 << 20

    var metadata: Metadata { ["containerd-lease": "\(lease)"] }

    static func digest(of bytes: [UInt8]) -> String { SHA256.digest(of: bytes) }

    /// What became of a blob that was to be written.
    struct Written: Sendable {
        var digest: String
        var size: Int64
        /// It was there already, and nothing was asked of its source.
        var existed: Bool
    }

    /// Stores one small blob; a blob that is there already keeps its bytes and gets the labels.
    func write(_ bytes: [UInt8], mediaType: String, labels: [String: String] = [:]) async throws(SwarmError)
        -> BlobDescriptor
    {
        let digest = Self.digest(of: bytes)
        let written = try await write(total: Int64(bytes.count), expected: digest, labels: labels) { sink in
            try await sink.write(bytes)
        }
        return BlobDescriptor(mediaType: mediaType, digest: written.digest, size: Int64(bytes.count))
    }

    /// Streams one blob into the store.
    /// - Parameters:
    ///   - total: its size, or 0 when unknown.
    ///   - expected: its digest, which containerd verifies; nil when unknown.
    ///   - produce: called when the store needs the bytes; hands them to the sink, in order.
    func write(
        total: Int64, expected: String?, labels: [String: String],
        produce: @escaping @Sendable (IngestSink) async throws -> Void
    ) async throws(SwarmError) -> Written {
        let reference = "ingest-" + (expected ?? String(UInt64.random(in: 0 ... .max), radix: 36))
        let sink = IngestSink(reference: reference, hashes: expected == nil)
        do {
            try await exchange(sink, total: total, expected: expected, labels: labels, produce: produce)
        } catch where error.code == .conflict {
            let digest: String
            if let expected { digest = expected } else { digest = await sink.digest() }
            try await relabel(digest, labels)
            let size = await sink.offset
            return Written(digest: digest, size: size > 0 ? size : total, existed: true)
        } catch {
            let known: String
            if let expected { known = expected } else { known = await sink.digest() }
            if error.code == .unavailable, await exists(known) {
                // The answer was lost, not the blob.
                try await relabel(known, labels)
                return Written(digest: known, size: await sink.offset, existed: false)
            }
            // The ingest must go even when the failure is that nobody wants the image any more.
            await Task { await abort(reference) }.value
            if let cause = await sink.sourceFailure { throw cause }
            throw error
        }
        let digest: String
        if let expected { digest = expected } else { digest = await sink.digest() }
        let size = await sink.offset
        return Written(digest: digest, size: size, existed: false)
    }

    private func exchange(
        _ sink: IngestSink, total: Int64, expected: String?, labels: [String: String],
        produce: @escaping @Sendable (IngestSink) async throws -> Void
    ) async throws(SwarmError) {
        // The source cannot be read again: no call of this is made twice.
        try await containerd("Content.Write", isRepeatable: false) {
            do {
                try await sink.open(on: client, metadata: metadata, total: total, expected: expected)
                try await sink.fill(produce)
                try await sink.commit(expected: expected, labels: labels)
            } catch {
                await sink.close()
                throw error
            }
        }
    }

    private func abort(_ reference: String) async {
        // Most often there is nothing left to abort.
        try? await containerd("Content.Abort") {
            _ = try await client.content.abort(.with { $0.ref = reference }, options: ContainerdClient.quick)
        }
    }

    /// Whether a whole blob with this digest is in the store.
    private func exists(_ digest: String) async -> Bool {
        let found = try? await containerd("Content.Info") {
            _ = try await client.content.info(
                .with { $0.digest = digest }, metadata: metadata, options: ContainerdClient.quick)
            return true
        }
        return found == true
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
        let collector = ByteCollector()
        try await stream(digest) { piece in
            guard await collector.add(piece) <= limit else {
                throw SwarmError(.resourceExhausted, "\(digest) is larger than \(limit) bytes")
            }
        }
        return await collector.bytes
    }

    /// Hands a blob on, piece by piece, as fast as it is taken.
    func stream(
        _ digest: String, to deliver: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws(SwarmError) {
        try await containerd("Content.Read") {
            try await client.content.read(.with { $0.digest = digest }) { response in
                for try await piece in response.messages { try await deliver(Array(piece.data)) }
            }
        }
    }
}

/// Takes the bytes of one blob and sends them on in pieces of good size.
actor IngestSink {
    let reference: String
    private var client: ContainerdClient?
    private var metadata: Metadata = [:]
    private var segment: IngestSegment?
    private var segmentBytes = 0
    /// Another namespace has the blob already: nothing needs to be sent.
    private var isShared = false
    private var pending: [UInt8] = []
    private let hash: SHA256?
    private var final: String?
    /// The bytes that were taken.
    private(set) var offset: Int64 = 0
    /// Why the bytes stopped coming, where containerd is not to blame.
    private(set) var sourceFailure: SwarmError?
    private var isRefused = false
    /// The first bytes, which tell how a layer is compressed.
    private(set) var prefix: [UInt8] = []

    /// Small pieces from a network are gathered up to this size.
    private static let gatherBytes = ContentWriter.pieceBytes

    init(reference: String, hashes: Bool) {
        self.reference = reference
        hash = hashes ? SHA256() : nil
    }

    /// Begins, and learns whether another namespace has the blob: its bytes are shared.
    func open(
        on client: ContainerdClient, metadata: Metadata, total: Int64, expected: String?
    ) async throws {
        (self.client, self.metadata) = (client, metadata)
        let first = try IngestSegment(client, metadata: metadata)
        segment = first
        // Both the opening message and the commit name what is expected.
        try await first.send(
            .with {
                $0.action = .stat
                $0.ref = reference
                $0.total = total
                $0.expected = expected ?? ""
            })
        do {
            let found = try await first.firstOffset() ?? 0
            isShared = found > 0 && found == total && expected != nil
            if isShared { offset = found }
        } catch {
            refuse()
            throw error
        }
    }

    func commit(expected: String?, labels: [String: String]) async throws {
        let digest = expected ?? digest()
        try await deliver(
            .with {
                $0.action = .commit
                $0.ref = reference
                // An offset of 0 would truncate the blob (containerd 1.6).
                $0.offset = offset
                $0.total = offset
                $0.expected = digest
                $0.labels = labels
            }, bytes: 0)
        try await segment?.finish()
        segment = nil
    }

    func close() {
        segment?.cancel()
        segment = nil
    }

    /// Sends one message, on the next segment when this one has had its share.
    private func deliver(
        _ request: Containerd_Services_Content_V1_WriteContentRequest, bytes: Int
    ) async throws {
        if segmentBytes + bytes > IngestSegment.bytesMax, let client {
            try await segment?.finish()
            segment = try IngestSegment(client, metadata: metadata)
            segmentBytes = 0
        }
        segmentBytes += bytes
        do { try await segment?.send(request) } catch {
            refuse()
            throw error
        }
    }

    /// containerd takes no more; what the source says after that is a consequence.
    func refuse() { isRefused = true }

    func write(_ bytes: [UInt8]) async throws {
        if prefix.count < 8 { prefix += bytes.prefix(8 - prefix.count) }
        pending += bytes
        if pending.count >= Self.gatherBytes { try await send() }
    }

    /// Runs the source to its end.
    func fill(_ produce: @Sendable (IngestSink) async throws -> Void) async throws {
        guard !isShared else { return }
        do {
            try await produce(self)
            try await send()
        } catch {
            if !isRefused {
                sourceFailure =
                    error as? SwarmError ?? SwarmError(.unavailable, "the data ended early", cause: "\(error)")
            }
            throw error
        }
    }

    private func send() async throws {
        let bytes = pending
        pending.removeAll(keepingCapacity: true)
        for start in stride(from: 0, to: bytes.count, by: ContentWriter.pieceBytes) {
            let part = bytes[start..<min(start + ContentWriter.pieceBytes, bytes.count)]
            try await deliver(
                .with {
                    $0.action = .write
                    $0.ref = reference
                    $0.offset = offset
                    $0.data = .init(part)
                }, bytes: part.count)
            hash?.update(part)
            offset += Int64(part.count)
        }
    }

    /// The digest of all that was taken; empty when somebody else computes it.
    func digest() -> String {
        if let final { return final }
        let digest = hash?.finishAsDigest() ?? ""
        final = digest
        return digest
    }
}

/// Puts the pieces of something small together.
private actor ByteCollector {
    var bytes: [UInt8] = []
    func add(_ more: [UInt8]) -> Int {
        bytes += more
        return bytes.count
    }
}
