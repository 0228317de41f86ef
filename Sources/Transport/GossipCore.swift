import ClusterSecurity
import Logging
import Membership
import NIOCore
import NIOPosix
import NIOSSL
import SwarmCore
import SwarmWire

/// What a ``GossipTransport`` knows; touched on its event loop only.
final class GossipCore {
    struct Callbacks: Sendable {
        var now: @Sendable () -> Timestamp
        var receive: @Sendable (MembershipEvent) -> Void
    }
    struct Place: Sendable {
        var host: String
        var port: UInt16
    }

    static let connectTimeout = TimeAmount.seconds(1)
    /// A datagram socket that broke is opened anew after so long.
    static let rebindPause = TimeAmount.milliseconds(200)
    static let datagramsPerRead = 16

    let loop: any EventLoop
    let place: Place
    let counters: GossipCounters
    let logger: Logger
    let callbacks: Callbacks
    var ring: KeyRing
    private(set) var identity: NodeIdentity
    private var contexts: TLSContexts?
    private var server: (any Channel)?
    private var datagrams: (any Channel)?
    private var port: UInt16 = 0
    private var streams: [ObjectIdentifier: GossipStream] = [:]
    /// Accepted streams that wait for this node's answer.
    private var asking: [UInt64: GossipStream] = [:]
    private var nextTicket: UInt64 = 0
    private var isShutDown = false
    private var limiter = LogLimiter()

    init(
        loop: any EventLoop, place: Place, ring: KeyRing, identity: NodeIdentity, counters: GossipCounters,
        logger: Logger, callbacks: Callbacks
    ) {
        (self.loop, self.place, self.ring, self.identity) = (loop, place, ring, identity)
        (self.counters, self.logger, self.callbacks) = (counters, logger, callbacks)
    }

    // MARK: Listening

    /// The port; nil when another one must be tried.
    func listen() -> EventLoopFuture<Result<UInt16?, SwarmError>> {
        do throws(SwarmError) {
            contexts = try TLSContexts(identity, protocolName: GossipTransport.protocolName)
        } catch { return loop.makeSucceededFuture(.failure(error)) }
        let bound = NIOLoopBound(self, eventLoop: loop)
        let place = place
        return ServerBootstrap(group: loop, childGroup: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try bound.value.accept(channel) }
            }
            .bind(host: place.host, port: Int(place.port))
            .flatMap { server in
                let core = bound.value
                core.port = UInt16(server.localAddress?.port ?? 0)
                return core.bindDatagrams().map { datagrams in
                    (bound.value.server, bound.value.datagrams) = (server, datagrams)
                    bound.value.logger.info(
                        "listening for gossip", metadata: ["address": "\(place.host):\(bound.value.port)"])
                    return .success(bound.value.port)
                }.flatMapError { error in
                    server.close().flatMapThrowing {
                        guard place.port == 0 else { throw error }
                        return .success(nil)
                    }
                }
            }
            .flatMapErrorThrowing { error in
                .failure(
                    SwarmError(
                        .failedPrecondition,
                        "cannot listen for gossip at \(place.host):\(place.port): is another swarmd running, or is the "
                            + "address not of this machine?", cause: words(error)))
            }
    }

    private func bindDatagrams() -> EventLoopFuture<any Channel> {
        let bound = NIOLoopBound(self, eventLoop: loop)
        return DatagramBootstrap(group: loop)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelOption(.datagramVectorReadMessageCount, value: Self.datagramsPerRead)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(
                    capacity: GossipTransport.datagramBytesMax * Self.datagramsPerRead)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DatagramHandler(core: bound.value))
                }
            }
            .bind(host: place.host, port: Int(port))
    }

    /// The socket is gone though nobody closed it.
    fileprivate func datagramsClosed() {
        guard !isShutDown, datagrams != nil else { return }
        datagrams = nil
        rebind()
    }

    private func rebind() {
        guard !isShutDown else { return }
        if limiter.admits("rebind") { logger.warning("the gossip socket broke and is opened anew") }
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.rebindPause) {
            bound.value.bindDatagrams().whenComplete { result in
                switch result {
                case .success(let channel): bound.value.datagrams = channel
                case .failure: bound.value.rebind()
                }
            }
        }
    }

    private func accept(_ channel: any Channel) throws {
        guard let contexts, !isShutDown,
            streams.values.count(where: { !$0.isOpenedHere }) < GossipTransport.streamsMax
        else { throw SwarmError(.resourceExhausted, "too many streams") }
        counters.count { $0.streamsAccepted += 1 }
        try add(GossipStream(core: self, purpose: .accepted), to: channel) {
            NIOSSLServerHandler(context: contexts.server, customVerificationCallback: $0)
        }
    }

    private func add(
        _ stream: GossipStream, to channel: any Channel,
        _ tls: (@escaping NIOSSLCustomVerificationCallback) throws -> NIOSSLHandler
    ) throws {
        try channel.pipeline.syncOperations.addHandlers(tls(stream.proof.callback()), stream)
        streams[ObjectIdentifier(stream)] = stream
        channel.eventLoop.assumeIsolated().scheduleTask(in: GossipTransport.streamTimeout.timeAmount) {
            [weak stream] in
            stream?.end("it took longer than \(GossipTransport.streamTimeout)")
        }
    }

    // MARK: Datagrams

    fileprivate func received(_ envelope: AddressedEnvelope<ByteBuffer>) {
        let sealed = Array(envelope.data.readableBytesView)
        let host = envelope.remoteAddress.host
        do throws(SealError) {
            let bytes = try ring.open(sealed)
            do throws(SwarmError) {
                let datagram = try GossipCodec.decodeDatagram(bytes)
                counters.count { $0.datagramsReceived += 1 }
                let port = UInt16(envelope.remoteAddress.port ?? 0)
                callbacks.receive(.received(datagram, from: PeerAddress(host: host, port: port)))
            } catch {
                counters.count { $0.malformed += 1 }
                guard limiter.admits("malformed \(host)") else { return }
                logger.warning(
                    "a gossip datagram cannot be read",
                    metadata: ["peer.address": "\(host)", "error": "\(error)"])
            }
        } catch {
            counters.count { $0.datagramsUnopened += 1 }
            guard limiter.admits("unopened \(host)") else { return }
            logger.warning(
                "a gossip datagram does not open: it is of another cluster, or its sender missed a key",
                metadata: ["peer.address": "\(host)", "error": "\(error)"])
        }
    }

    private func send(_ datagram: GossipDatagram, to address: PeerAddress) {
        guard let datagrams, let remote = try? SocketAddress(ipAddress: address.host, port: Int(address.port))
        else { return }
        counters.count { $0.datagramsSent += 1 }
        let sealed = ring.seal(GossipCodec.encode(datagram))
        datagrams.writeAndFlush(
            AddressedEnvelope(remoteAddress: remote, data: ByteBuffer(bytes: sealed)), promise: nil)
    }

    // MARK: Effects

    func perform(_ effect: MembershipEffect) {
        switch effect {
        case .send(let datagram, let address): send(datagram, to: address)
        case .openExchange(let ticket, let address, let exchange):
            let bytes = GossipCodec.encode(exchange)
            guard bytes.count <= GossipTransport.exchangeBytesMax else {
                logger.error(
                    "the list of members is too large to be exchanged", metadata: ["bytes": "\(bytes.count)"])
                callbacks.receive(.exchangeFailed(ticket: ticket))
                return
            }
            open(.exchange(ticket: ticket, bytes), to: address)
        case .openStreamPing(let sequence, let target, let address):
            open(.ping(sequence: sequence, target: target), to: address)
        case .answerExchange(let ticket, let exchange):
            asking.removeValue(forKey: ticket)?.answer(
                Frame(kind: .exchangeAnswer, body: GossipCodec.encode(exchange)))
        case .answerStreamPing(let ticket):
            asking.removeValue(forKey: ticket)?.answer(Frame(kind: .pingAnswer))
        case .senderDoubted(let member, let address):
            counters.count { $0.sendersDoubted += 1 }
            guard limiter.admits("sender \(member) \(address.host)") else { return }
            logger.warning(
                "gossip in the name of a node came from an address that is not its own and was dropped",
                metadata: ["peer.id": "\(member)", "peer.address": "\(address)"])
        case .departureDenied(let member, let speaker):
            counters.count { $0.departuresDenied += 1 }
            guard limiter.admits("departure \(member) \(speaker)") else { return }
            logger.warning(
                "a node said that another one left, which that one denies",
                metadata: ["peer.id": "\(speaker)", "node.id": "\(member)"])
        case .memberAlive, .memberSuspect, .memberDead, .memberLeft, .memberUpdated, .identityContested,
            .leftCluster:
            break
        }
    }

    private func open(_ purpose: GossipStream.Purpose, to address: PeerAddress) {
        let stream = GossipStream(core: self, purpose: purpose)
        guard let contexts, !isShutDown,
            streams.values.count(where: \.isOpenedHere) < GossipTransport.streamsMax,
            let remote = try? SocketAddress(ipAddress: address.host, port: Int(address.port))
        else {
            stream.end("too many streams, or no address")
            return
        }
        counters.count { $0.streamsOpened += 1 }
        let bound = NIOLoopBound((self, stream), eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (core, stream) = bound.value
                    try core.add(stream, to: channel) {
                        try NIOSSLClientHandler(
                            context: contexts.client, serverHostname: nil, customVerificationCallback: $0)
                    }
                }
            }
            .connect(to: remote)
            .assumeIsolated()
            .whenFailure { stream.end(words($0)) }
    }

    // MARK: Streams

    /// Who is at the other end; throws in the words of ``ClusterSecurity``.
    func judge(_ chain: [[UInt8]]) throws(SwarmError) -> NodePrincipal {
        try PeerVerifier(trust: identity.trust).verify(chain: chain, at: callbacks.now())
    }

    func ask(_ stream: GossipStream, _ event: (UInt64) -> MembershipEvent) {
        nextTicket += 1
        asking[nextTicket] = stream
        stream.ticket = nextTicket
        callbacks.receive(event(nextTicket))
    }

    func over(_ stream: GossipStream, failed: Bool) {
        streams[ObjectIdentifier(stream)] = nil
        if let ticket = stream.ticket { asking[ticket] = nil }
        guard failed else { return }
        counters.count { $0.streamsFailed += 1 }
        if case .exchange(let ticket, _) = stream.purpose {
            callbacks.receive(.exchangeFailed(ticket: ticket))
        }
    }

    func distrusts(_ stream: GossipStream, _ error: SwarmError) {
        counters.count { $0.peersDistrusted += 1 }
        warn("distrust", "a gossip stream was refused", stream, error)
    }

    func malformed(_ stream: GossipStream, _ error: SwarmError) {
        counters.count { $0.malformed += 1 }
        warn("malformed", "a gossip stream cannot be read", stream, error)
    }

    func refused(_ stream: GossipStream, _ error: SwarmError) {
        warn("refusal", "a peer refused this node's gossip", stream, error)
    }

    private func warn(_ topic: String, _ text: String, _ stream: GossipStream, _ error: SwarmError) {
        guard limiter.admits("\(topic) \(stream.host)") else { return }
        logger.warning("\(text)", metadata: ["peer.address": "\(stream.host)", "error": "\(error)"])
    }

    // MARK: Changes from outside

    func replaceIdentity(_ identity: NodeIdentity) {
        guard contexts != nil else {
            self.identity = identity
            return
        }
        do throws(SwarmError) {
            contexts = try TLSContexts(identity, protocolName: GossipTransport.protocolName)
            self.identity = identity
        } catch {
            logger.error(
                "the new certificate cannot be used, the old one stays", metadata: ["error": "\(error)"])
        }
    }

    func shutdown() -> EventLoopFuture<Void> {
        isShutDown = true
        for stream in streams.values { stream.end("the node is shutting down") }
        let closing = [server, datagrams].compactMap { $0?.close() }
        (server, datagrams) = (nil, nil)
        return EventLoopFuture.andAllComplete(closing, on: loop)
    }
}

private final class DatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    let core: GossipCore

    init(core: GossipCore) { self.core = core }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { core.received(unwrapInboundIn(data)) }

    /// As a port that nobody listens on any more: the next datagram may arrive.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}

    func channelInactive(context: ChannelHandlerContext) { core.datagramsClosed() }
}
