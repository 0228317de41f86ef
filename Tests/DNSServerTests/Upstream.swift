import Foundation
import NIOCore
import NIOPosix
import Synchronization

/// Runs a shell line and gives what it printed; no `Process`, whose waiting spins on pool threads.
func shell(_ script: String) -> String {
    guard let pipe = popen("{ \(script)\n} 2>&1", "r") else { return "" }
    defer { pclose(pipe) }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = fread(&buffer, 1, buffer.count, pipe)
        guard count > 0 else { break }
        output += buffer.prefix(count)
    }
    return String(decoding: output, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
}

/// A name server of the wider world, on loopback: `a.test` is 192.0.2.1, `big.test` has 60 addresses that come over TCP
/// only, `silent.test` is never answered, everything else does not exist.
final class Upstream: Sendable {
    let port: Int
    private let datagram: any Channel
    private let stream: any Channel
    /// Queries by name, over either transport.
    let asked: Counter

    final class Counter: Sendable {
        private let counts = Mutex<[String: Int]>([:])
        func add(_ name: String) { counts.withLock { $0[name, default: 0] += 1 } }
        subscript(name: String) -> Int { counts.withLock { $0[name] ?? 0 } }
    }

    init() async throws {
        let asked = Counter()
        self.asked = asked
        stream = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(StreamSide(asked: asked))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = stream.localAddress?.port ?? 0
        datagram = try await DatagramBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DatagramSide(asked: asked))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
    }

    func stop() async throws {
        try await datagram.close()
        try await stream.close()
    }

    static func answer(_ query: [UInt8], isStream: Bool, _ asked: Counter) -> [UInt8]? {
        var labels: [String] = []
        var index = 12
        while query[index] != 0 {
            labels.append(String(decoding: query[(index + 1)...(index + Int(query[index]))], as: UTF8.self))
            index += 1 + Int(query[index])
        }
        let name = labels.joined(separator: ".").lowercased()
        asked.add(name)
        var reply = Array(query[..<(index + 5)])
        (reply[2], reply[3], reply[10], reply[11]) = (0x81, 0x80, 0, 0)
        func record(_ last: Int) -> [UInt8] { [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, UInt8(last)] }
        switch name {
        case "a.test":
            reply[7] = 1
            reply += record(1)
        case "big.test":
            if isStream {
                reply[7] = 60
                for number in 1...60 { reply += record(number) }
            } else {
                reply[2] |= 2
            }
        case "silent.test": return nil
        default: reply[3] |= 3
        }
        return reply
    }
}

private final class DatagramSide: ChannelInboundHandler, Sendable {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    let asked: Upstream.Counter
    init(asked: Upstream.Counter) { self.asked = asked }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let reply = Upstream.answer(Array(envelope.data.readableBytesView), isStream: false, asked) else { return }
        let out = AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: reply))
        context.channel.writeAndFlush(out, promise: nil)
    }
}

private final class StreamSide: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    let asked: Upstream.Counter
    init(asked: Upstream.Counter) { self.asked = asked }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        guard let length: UInt16 = buffer.readInteger(), let bytes = buffer.readBytes(length: Int(length)),
            let reply = Upstream.answer(bytes, isStream: true, asked)
        else { return }
        var out = ByteBuffer()
        out.writeInteger(UInt16(reply.count))
        out.writeBytes(reply)
        context.channel.writeAndFlush(out, promise: nil)
    }
}
