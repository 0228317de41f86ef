import NIOCore
import NIOPosix
import NIOSSL
import SwarmCore
import Synchronization
import Testing
import Transport

/// Stands between two nodes: passes bytes on, keeps what it saw, and can stop.
final class Proxy: Sendable {
    private let server: any Channel
    private let state: ProxyState
    let port: UInt16

    init(to target: UInt16) async throws {
        let state = ProxyState()
        self.state = state
        server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { near in
                ClientBootstrap(group: near.eventLoop)
                    .channelInitializer { far in
                        far.eventLoop.makeCompletedFuture {
                            try far.pipeline.syncOperations.addHandler(PassOn(to: near, state))
                        }
                    }
                    .connect(host: "127.0.0.1", port: Int(target))
                    .flatMap { far in
                        state.add(near)
                        state.add(far)
                        return near.eventLoop.makeCompletedFuture {
                            try near.pipeline.syncOperations.addHandler(PassOn(to: far, state))
                        }
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = UInt16(server.localAddress?.port ?? 0)
    }

    var recorded: [UInt8] { state.seen.withLock { $0 } }

    /// The kernel's buffers fill up behind this.
    func stopReading() {
        for channel in state.channels.withLock({ $0 }) {
            channel.setOption(.autoRead, value: false).whenComplete { _ in }
        }
    }

    /// Takes everything and passes nothing on.
    func swallow() { state.swallows.withLock { $0 = true } }

    func close() {
        server.close(promise: nil)
        for channel in state.channels.withLock({ $0 }) { channel.close(promise: nil) }
    }
}

final class ProxyState: Sendable {
    let seen = Mutex<[UInt8]>([])
    let channels = Mutex<[any Channel]>([])
    let swallows = Mutex(false)
    func add(_ channel: any Channel) { channels.withLock { $0.append(channel) } }
}

private final class PassOn: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    let other: any Channel
    let state: ProxyState

    init(to other: any Channel, _ state: ProxyState) { (self.other, self.state) = (other, state) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        state.seen.withLock { $0 += Array(bytes.readableBytesView) }
        guard !state.swallows.withLock({ $0 }) else { return }
        other.writeAndFlush(bytes, promise: nil)
    }
    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// A program that knows nothing of frames.
enum Raw {
    /// Sends the bytes; whether the other end closed the connection within ten seconds.
    static func exchange(_ bytes: [UInt8], port: UInt16, tls: Bool) async throws -> Bool {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = [PeerTransport.protocolName]
        let context = try NIOSSLContext(configuration: configuration)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: context, serverHostname: nil))
                    }
                    try channel.pipeline.syncOperations.addHandler(Ignore())
                }
            }
            .connect(host: "127.0.0.1", port: Int(port)).get()
        // It may be closed before all is written.
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
        let closed = Record<Bool>()
        channel.closeFuture.whenComplete { _ in closed.append(true) }
        defer { channel.close(promise: nil) }
        return await closed.wait(.seconds(15)) { !$0.isEmpty }
    }

    private final class Ignore: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }
}
