import AsyncHTTPClient
import LibCrypto
import NIOCore
import NIOHTTP1
package import SwarmCore
import SwarmModel

extension Repository {
    /// Attempts that bring nothing before a download is given up.
    private static let fruitlessAttemptsMax = 5
    /// Attempts in all, for a connection that breaks again and again.
    private static let attemptsMax = 100

    /// Fetches a blob, in order and without gaps, and verifies its size and digest.
    ///
    /// A connection that breaks is taken up again where it broke; what can only fail again is not tried again.
    /// - Parameter deliver: takes the next bytes; its failure ends the download.
    package nonisolated func download(
        _ blob: BlobDescriptor, deliver: @Sendable ([UInt8]) async throws -> Void
    ) async throws(SwarmError) {
        let hasher = SHA256()
        var received: Int64 = 0
        var backoff = Backoff(initial: .milliseconds(200), maximum: .seconds(5))
        var generator = SystemRandomNumberGenerator()
        var attempts = 0
        while received < blob.size || attempts == 0 {
            let before = received
            attempts += 1
            do throws(TransferFailure) {
                try await receive(blob, hasher, &received, deliver)
            } catch {
                if received > before { backoff.reset() }
                guard error.mayRetry, !Task.isCancelled, attempts < Self.attemptsMax,
                    backoff.attempts + 1 < Self.fruitlessAttemptsMax
                else { throw error.error }
                // Cancellation is noticed by the next attempt.
                try? await Task.sleep(for: backoff.next(using: &generator))
            }
        }
        let digest = hasher.finishAsDigest()
        guard digest == blob.digest else {
            throw SwarmError(
                .unknown,
                "filesystem layer verification failed for digest \(blob.digest): \(address) sent \(digest)")
        }
    }

    /// A small blob as a whole, such as an image's configuration.
    package nonisolated func fetch(_ blob: BlobDescriptor, limit: Int) async throws(SwarmError) -> [UInt8] {
        guard blob.size <= limit else {
            throw SwarmError(
                .resourceExhausted, "the configuration of \(reference.familiar) is larger than \(limit) bytes")
        }
        let collector = Collector()
        try await download(blob) { await collector.add($0) }
        return await collector.bytes
    }

    private actor Collector {
        var bytes: [UInt8] = []
        func add(_ more: [UInt8]) { bytes += more }
    }

    /// One connection's worth.
    private nonisolated func receive(
        _ blob: BlobDescriptor, _ hasher: SHA256, _ received: inout Int64,
        _ deliver: @Sendable ([UInt8]) async throws -> Void
    ) async throws(TransferFailure) {
        let headers = received > 0 ? [("range", "bytes=\(received)-")] : []
        let response = try await request(.GET, "blobs/\(blob.digest)", headers)
        // A server that knows no ranges sends everything again.
        var skipped: Int64 = 0
        switch response.status {
        case .ok: skipped = received
        case .partialContent where Self.begins(response, at: received): break
        case .rangeNotSatisfiable: throw truncated(blob, received)
        default: throw await failure(of: response, .blob(blob.digest))
        }
        if let text = response.headers.first(name: "content-length"), let length = Int64(text),
            length != blob.size - received + skipped
        {
            throw truncated(blob, received - skipped + length)
        }
        let what = HTTPExchange.shown(.GET, "\(address)/v2/\(reference.path)/blobs/\(blob.digest)")
        do {
            for try await part in response.body {
                var bytes = Array(part.readableBytesView)
                if skipped > 0 {
                    let dropped = Int(min(skipped, Int64(bytes.count)))
                    bytes.removeFirst(dropped)
                    skipped -= Int64(dropped)
                    if bytes.isEmpty { continue }
                }
                guard received + Int64(bytes.count) <= blob.size else {
                    throw truncated(blob, received + Int64(bytes.count))
                }
                hasher.update(bytes)
                do {
                    try await deliver(bytes)
                } catch {
                    let failure =
                        error as? SwarmError ?? SwarmError(.unknown, "cannot keep \(blob.digest)", cause: "\(error)")
                    throw TransferFailure(failure, mayRetry: false)
                }
                received += Int64(bytes.count)
            }
        } catch {
            throw FailureWords.describe(error, what, address)
        }
        guard received == blob.size else {
            var failure = truncated(blob, received)
            failure.mayRetry = true
            throw failure
        }
    }

    private nonisolated func truncated(_ blob: BlobDescriptor, _ size: Int64) -> TransferFailure {
        TransferFailure(
            SwarmError(
                .unknown,
                "blob \(blob.digest) of \(reference.familiar) is damaged in the registry: it has \(size) bytes there, "
                    + "its manifest says \(blob.size)"),
            mayRetry: false)
    }

    /// `Content-Range: bytes 100-199/200` begins at 100; a server that leaves it out is believed.
    private static func begins(_ response: HTTPClientResponse, at offset: Int64) -> Bool {
        guard let range = response.headers.first(name: "content-range") else { return true }
        return range.hasPrefix("bytes \(offset)-")
    }
}
