import ClusterSecurity
import Logging
import Membership
import NIOCore
import NIOPosix
import SwarmCore
import Synchronization
import Testing
import Transport

/// Two members on loopback.
final class TestMember: Sendable {
    let nodeID: String
    let transport: GossipTransport
    let events = Record<MembershipEvent>()
    let log = Record<String>()
    private let boundPort = Mutex<UInt16>(0)

    init(_ identity: NodeIdentity, ring: KeyRing, at now: Timestamp = testTime) {
        nodeID = identity.principal.nodeID
        let (events, log) = (events, log)
        var logger = Logger(label: "gossip") { _ in RecordingLog(lines: log) }
        logger.logLevel = .debug
        transport = GossipTransport(
            listenHost: "127.0.0.1", port: 0, ring: ring, identity: identity, logger: logger, now: { now },
            receive: { events.append($0) })
    }

    func start() async throws -> TestMember {
        let port = try await transport.start()
        boundPort.withLock { $0 = port }
        return self
    }

    var address: PeerAddress { PeerAddress(host: "127.0.0.1", port: boundPort.withLock { $0 }) }

    func exchange(from other: String? = nil) -> StateExchange {
        let contact = Contact(address: address, metadata: MemberMetadata(role: .worker, version: "1"))
        return StateExchange(
            from: other ?? nodeID,
            members: [Member(id: nodeID, contact: contact, incarnation: 3, status: .alive)])
    }
}

@Suite(.serialized) struct GossipTests {
    let keys = (0..<3).map { _ in SealingKey.generate() }
    func ring(_ primary: Int, _ older: [Int] = []) -> KeyRing {
        KeyRing(purpose: .gossip, primary: keys[primary], older: older.map { keys[$0] })
    }
    func ping(_ from: TestMember, _ to: TestMember, _ number: UInt64) -> MembershipEffect {
        .send(
            GossipDatagram(from: from.nodeID, body: .ping(sequence: number, target: to.nodeID)),
            to: to.address)
    }

    @Test func `datagrams arrive with the address that they came from, sealed by keys that rotate`()
        async throws
    {
        let cluster = try TestCluster()
        let a = try await TestMember(cluster.identity(manager("a")), ring: ring(0)).start()
        let b = try await TestMember(cluster.identity(worker("b")), ring: ring(0)).start()
        a.transport.perform(ping(a, b, 1))
        #expect(await b.events.wait { $0.count == 1 })
        let datagram = GossipDatagram(from: a.nodeID, body: .ping(sequence: 1, target: b.nodeID))
        #expect(b.events.all == [.received(datagram, from: a.address)])
        // Everybody learns of the new key before anybody seals with it. A ring counts from its turn on the
        // transport's loop, and what is sent after it is sent with it: an arrival says that it is in place.
        b.transport.replaceRing(ring(0, [1]))
        b.transport.perform(ping(b, a, 2))
        #expect(await a.events.wait { $0.count == 1 })
        a.transport.replaceRing(ring(1, [0]))
        a.transport.perform(ping(a, b, 3))
        #expect(await b.events.wait { $0.count == 2 })
        b.transport.perform(ping(b, a, 4))
        #expect(await a.events.wait { $0.count == 2 })
        // The old key is forgotten here: what it seals opens no more, and that is said once.
        a.transport.replaceRing(ring(1))
        a.transport.perform(ping(a, b, 5))
        #expect(await b.events.wait { $0.count == 3 })
        for number in 6...8 as ClosedRange<UInt64> { b.transport.perform(ping(b, a, number)) }
        #expect(await eventually { a.transport.statistics.datagramsUnopened == 3 })
        #expect(a.events.all.count == 2)
        #expect(a.log.all.filter { $0.contains("a gossip datagram does not open") }.count == 1)
        b.transport.replaceRing(ring(1, [0]))
        b.transport.perform(ping(b, a, 9))
        #expect(await a.events.wait { $0.count == 3 })
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `members are exchanged over a stream`() async throws {
        let cluster = try TestCluster()
        let a = try await TestMember(cluster.identity(manager("a")), ring: ring(0)).start()
        let b = try await TestMember(cluster.identity(worker("b")), ring: ring(0)).start()
        a.transport.perform(.openExchange(ticket: 77, to: b.address, a.exchange()))
        #expect(await b.events.wait { $0.count == 1 })
        guard case .exchangeRequested(let ticket, let asked)? = b.events.all.first else {
            Issue.record("no exchange was asked for")
            return
        }
        #expect(asked == a.exchange())
        b.transport.perform(.answerExchange(ticket: ticket, b.exchange()))
        #expect(await a.events.wait { $0.count == 1 })
        #expect(a.events.all == [.exchangeAnswered(ticket: 77, b.exchange())])
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `a ping over a stream is answered by its target alone`() async throws {
        let cluster = try TestCluster()
        let a = try await TestMember(cluster.identity(manager("a")), ring: ring(0)).start()
        let b = try await TestMember(cluster.identity(worker("b")), ring: ring(0)).start()
        a.transport.perform(.openStreamPing(sequence: 5, target: b.nodeID, to: b.address))
        #expect(await b.events.wait { $0.count == 1 })
        #expect(b.events.all == [.streamPinged(ticket: 1, target: b.nodeID)])
        b.transport.perform(.answerStreamPing(ticket: 1))
        #expect(await a.events.wait { $0.count == 1 })
        #expect(a.events.all == [.streamPingAnswered(sequence: 5)])
        // Another node at that address may not answer for the target.
        a.transport.perform(.openStreamPing(sequence: 6, target: "somebody", to: b.address))
        #expect(await b.events.wait { $0.count == 2 })
        b.transport.perform(.answerStreamPing(ticket: 2))
        #expect(await a.log.wait { $0.contains { $0.contains("answered a ping for node somebody") } })
        #expect(a.events.all.count == 1)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `nobody exchanges members in another's name`() async throws {
        let cluster = try TestCluster()
        let a = try await TestMember(cluster.identity(worker("a")), ring: ring(0)).start()
        let b = try await TestMember(cluster.identity(manager("b")), ring: ring(0)).start()
        a.transport.perform(.openExchange(ticket: 1, to: b.address, a.exchange(from: b.nodeID)))
        #expect(await a.events.wait { $0.count == 1 })
        #expect(a.events.all == [.exchangeFailed(ticket: 1)])
        #expect(b.events.all.isEmpty)
        #expect(b.log.all.contains { $0.contains("sent the members as if it were node \(b.nodeID)") })
        // Nor is an answer in another's name taken.
        b.transport.perform(.openExchange(ticket: 2, to: a.address, b.exchange()))
        #expect(await a.events.wait { $0.count == 2 })
        a.transport.perform(.answerExchange(ticket: 1, a.exchange(from: "somebody")))
        #expect(await b.events.wait { $0.count == 1 })
        #expect(b.events.all == [.exchangeFailed(ticket: 2)])
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `exchanges fail in time where nobody listens, answers, or is of the cluster`() async throws {
        let (cluster, other) = (try TestCluster(), try TestCluster())
        let a = try await TestMember(cluster.identity(manager("a")), ring: ring(0)).start()
        let foreign = try await TestMember(other.identity(manager("f")), ring: ring(1)).start()
        let silent = try await TestMember(cluster.identity(manager("s")), ring: ring(0)).start()
        let gone = try await TestMember(cluster.identity(manager("g")), ring: ring(0)).start()
        await gone.transport.shutdown()
        a.transport.perform(.openExchange(ticket: 1, to: gone.address, a.exchange()))
        a.transport.perform(.openExchange(ticket: 2, to: foreign.address, a.exchange()))
        a.transport.perform(.openExchange(ticket: 3, to: silent.address, a.exchange()))
        a.transport.perform(
            .openExchange(ticket: 4, to: PeerAddress(host: "nonsense", port: 1), a.exchange()))
        #expect(await a.events.wait { $0.count == 4 })
        for ticket in 1...4 as ClosedRange<UInt64> {
            #expect(a.events.all.contains(.exchangeFailed(ticket: ticket)))
        }
        #expect(foreign.events.all.isEmpty)
        #expect(
            a.log.all.contains {
                $0.contains("a gossip stream was refused") && $0.contains("not issued by a CA")
            })
        for member in [a, foreign, silent] { await member.transport.shutdown() }
    }

    @Test func `datagrams of strangers do no harm and are counted`() async throws {
        let cluster = try TestCluster()
        let a = try await TestMember(cluster.identity(manager("a")), ring: ring(0)).start()
        let b = try await TestMember(cluster.identity(worker("b")), ring: ring(0)).start()
        var generator = SeededGenerator(seed: 3)
        let socket = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let target = try SocketAddress(ipAddress: "127.0.0.1", port: Int(a.address.port))
        for size in [0, 1, 33, 100, 1400, 4000] {
            let bytes = (0..<size).map { _ in UInt8.random(in: 0...255, using: &generator) }
            try await socket.writeAndFlush(
                AddressedEnvelope(remoteAddress: target, data: ByteBuffer(bytes: bytes))
            ).get()
        }
        // Rightly sealed nonsense, too.
        let sealed = ring(0).seal([1, 200, 3])
        try await socket.writeAndFlush(
            AddressedEnvelope(remoteAddress: target, data: ByteBuffer(bytes: sealed))
        ).get()
        #expect(
            await eventually {
                a.transport.statistics.datagramsUnopened == 6 && a.transport.statistics.malformed == 1
            })
        b.transport.perform(ping(b, a, 1))
        #expect(await a.events.wait { $0.count == 1 })
        try await socket.close()
        await a.transport.shutdown()
        await b.transport.shutdown()
    }
}
