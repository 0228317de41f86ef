import ContainerdAPI
import GRPCCore
import SwarmCore

/// One stream of a blob into containerd, on a connection of its own and of bounded length.
///
/// Go's server answers what it receives with pings, about one for each megabyte, and NIO's HTTP/2 takes 200 of them
/// in half a minute for an attack (`controlFrameRateLimit`, which the gRPC transport leaves at its default) and closes
/// the connection. So a large blob goes in several segments: containerd goes on where the one before ended.
final class IngestSegment: Sendable {
    /// Bytes of one segment.
    static let bytesMax = 48 << 20

    private struct Command: Sendable {
        var request: Containerd_Services_Content_V1_WriteContentRequest
        var done: CheckedContinuation<Void, any Error>
    }
    private let commands: AsyncStream<Command>.Continuation
    private let running: Task<Void, any Error>
    private let opened: AsyncThrowingStream<Int64, any Error>

    init(_ client: ContainerdClient, metadata: Metadata) throws(SwarmError) {
        let own = try client.another()
        let (stream, commands) = AsyncStream.makeStream(of: Command.self)
        let (opened, signal) = AsyncThrowingStream<Int64, any Error>.makeStream(
            bufferingPolicy: .bufferingOldest(1))
        (self.commands, self.opened) = (commands, opened)
        running = Task {
            defer { own.shutdown() }
            do {
                try await own.content.write(metadata: metadata) { writer in
                    for await command in stream {
                        do {
                            try await writer.write(command.request)
                            command.done.resume()
                        } catch {
                            command.done.resume(throwing: error)
                            throw error
                        }
                    }
                } onResponse: { response in
                    for try await message in response.messages { signal.yield(message.offset) }
                }
                signal.finish()
            } catch {
                signal.finish(throwing: error)
                commands.finish()
                // Whoever waits to be heard hears why it is over.
                for await command in stream { command.done.resume(throwing: error) }
                throw error
            }
        }
    }

    /// Returns when the transport has taken the message; throws containerd's refusal.
    func send(_ request: Containerd_Services_Content_V1_WriteContentRequest) async throws {
        do {
            try await withCheckedThrowingContinuation { done in
                if case .terminated = commands.yield(Command(request: request, done: done)) {
                    done.resume(throwing: CancellationError())
                }
            }
        } catch {
            // containerd's own words, when it gave any, rather than that the stream is closed.
            commands.finish()
            try await running.value
            throw error
        }
    }

    /// The offset in containerd's first answer.
    func firstOffset() async throws -> Int64? {
        var iterator = opened.makeAsyncIterator()
        return try await iterator.next()
    }

    /// Ends the stream; returns when containerd has let go of the blob.
    func finish() async throws {
        commands.finish()
        try await running.value
    }

    func cancel() {
        commands.finish()
        running.cancel()
    }
}
