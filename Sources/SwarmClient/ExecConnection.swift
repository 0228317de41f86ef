package import NIOCore
import NIOPosix
import NIOSSL
import SwarmCore

/// A connection that the engine hands over as a raw stream of bytes in both directions.
///
/// The HTTP client gives no access to the connection under a request, so this speaks the one request by hand.
package struct ExecConnection: Sendable {
    package typealias Channel = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    /// The longest answer head that is read, in bytes.
    static let headBytesMax = 64 << 10

    /// Sends the request, then runs `body` with what follows the answer's head.
    /// - Throws: what the engine answered when it did not hand the connection over.
    package static func start<Result: Sendable>(
        _ path: String, _ query: Query = [:], of client: EngineClient, body: some Encodable & Sendable,
        _ use: @Sendable (RawStream) async throws -> Result
    ) async throws -> Result {
        let channel = try await connect(client.host)
        let payload = try EngineClient.encode(body)
        let head = """
            POST \(PercentCoding.encode(path, keeping: "/"))\(query.text) HTTP/1.1\r
            Host: \(client.host.name)\r
            User-Agent: swarmctl\r
            Content-Type: application/json\r
            Connection: Upgrade\r
            Upgrade: tcp\r
            Content-Length: \(payload.count)\r
            \r

            """
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(bytes: Array(head.utf8) + payload))
            var reader = inbound.makeAsyncIterator()
            let rest = try await Self.readHead(&reader)
            return try await use(RawStream(first: rest, inbound: reader, outbound: outbound))
        }
    }

    private static func connect(_ host: EngineHost) async throws -> Channel {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
        let security = try host.security.map { try NIOSSLContext(configuration: $0.configuration()) }
        @Sendable func wrap(_ channel: any NIOCore.Channel) -> EventLoopFuture<Channel> {
            channel.eventLoop.makeCompletedFuture {
                if let security, case .tcp(let name, _) = host.transport {
                    // Addresses are checked against the certificate without being sent as a name (RFC 6066, section 3).
                    let isName = (try? SocketAddress(ipAddress: name, port: 0)) == nil
                    let handler = try NIOSSLClientHandler(
                        context: security, serverHostname: isName ? name : nil)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
                return try Channel(
                    wrappingChannelSynchronously: channel,
                    configuration: .init(isOutboundHalfClosureEnabled: true))
            }
        }
        do {
            switch host.transport {
            case .unix(let path):
                return try await bootstrap.connect(unixDomainSocketPath: path, channelInitializer: wrap)
            case .tcp(let name, let port):
                return try await bootstrap.connect(host: name, port: port, channelInitializer: wrap)
            }
        } catch {
            throw EngineClient.unreachable(host, error)
        }
    }

    /// Reads up to the empty line and returns what came after it.
    private static func readHead(
        _ reader: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    ) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            if let end = Self.endOfHead(bytes) {
                let status = Self.status(bytes[..<end])
                var rest = Array(bytes[end...])
                if status == 101 || status == 200 { return rest }
                while rest.count < headBytesMax, let part = try await reader.next() {
                    rest += Array(part.readableBytesView)
                    if (try? JSONValue(parsing: rest)) != nil { break }
                }
                throw EngineRefusal.error(status: status, body: rest)
            }
            guard bytes.count < headBytesMax, let part = try await reader.next() else {
                throw SwarmError(.unavailable, "the engine closed the connection before it answered")
            }
            bytes += Array(part.readableBytesView)
        }
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        bytes.firstRange(of: [0x0d, 0x0a, 0x0d, 0x0a])?.upperBound
    }

    private static func status(_ head: ArraySlice<UInt8>) -> Int {
        let words = String(decoding: head.prefix(64), as: UTF8.self).split(separator: " ", maxSplits: 2)
        return words.count >= 2 ? Int(words[1]) ?? 0 : 0
    }
}

/// Both directions of a connection that was handed over.
package struct RawStream: @unchecked Sendable {
    /// What arrived together with the answer's head.
    package let first: [UInt8]
    /// Read by one task only, which is why handing it to another is safe.
    package var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>

    init(
        first: [UInt8], inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        (self.first, self.inbound, self.outbound) = (first, inbound, outbound)
    }

    package mutating func next() async throws -> [UInt8]? {
        do {
            return try await inbound.next().map { Array($0.readableBytesView) }
        } catch NIOSSLError.uncleanShutdown {
            // The engine's end of the stream; whether the command ended well is asked afterwards.
            return nil
        }
    }

    package func write(_ bytes: ByteBuffer) async throws { try await outbound.write(bytes) }
    /// Closes our direction only: the other side reads the end of its input.
    package func finish() { outbound.finish() }
}
