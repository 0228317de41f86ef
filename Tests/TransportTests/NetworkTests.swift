import ClusterSecurity
import Consensus
import NIOCore
import NIOPosix
import SwarmCore
import SwarmNode
import Synchronization
import Testing
import Transport

/// What networks and other programs do to connections.
@Suite(.serialized) struct NetworkTests {
    @Test func `a node that comes back on another port is found, and told what comes after`() async throws {
        let cluster = try TestCluster()
        let identity = try cluster.identity(manager("b"))
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let first = try await TestNode(identity).start()
        a.transport.send(.refused(number: 1), to: first.route)
        #expect(await first.waitForNumber(1))
        await first.transport.shutdown()
        let second = try await TestNode(identity).start()
        for number in 2...50 as ClosedRange<UInt64> {
            a.transport.send(.refused(number: number), to: second.route)
        }
        #expect(await second.waitForNumber(50))
        #expect(second.numbers == Array(2...50))
        // The other way: the new process dials while the old connection may still be there.
        let third = try await TestNode(identity).start()
        third.transport.send(.refused(number: 7), to: a.route)
        #expect(await a.waitForNumber(7))
        a.transport.send(.refused(number: 8), to: PeerRoute(nodeID: identity.principal.nodeID))
        #expect(await third.waitForNumber(8))
        for node in [a, second, third] { await node.transport.shutdown() }
    }

    @Test
    func `a node that nobody can reach is spoken to over the connection that it opened, again and again`()
        async throws
    {
        let cluster = try TestCluster()
        let boss = try await TestNode(cluster.identity(manager("m"))).start()
        let hidden = try await TestNode(cluster.identity(worker("w"))).start()
        hidden.transport.send(beat(1), to: boss.route)
        #expect(await boss.waitForNumber(1))
        for number in 2...4 as ClosedRange<UInt64> {
            boss.transport.disconnect(hidden.principal.nodeID)
            // It looks for the connection that it lost by itself.
            #expect(await eventually { await boss.transport.peers().first?.address != nil })
            boss.transport.send(.refused(number: number), to: PeerRoute(nodeID: hidden.principal.nodeID))
            #expect(await hidden.waitForNumber(number))
        }
        await boss.transport.shutdown()
        await hidden.transport.shutdown()
    }

    @Test func `a peer that stops reading costs a bounded amount of memory, and is given up`() async throws {
        let cluster = try TestCluster()
        let limit = 4 << 20
        let a = try await TestNode(cluster.identity(manager("a"))) { $0.queueBytesMax = limit }.start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let proxy = try await Proxy(to: b.port)
        let route = PeerRoute(nodeID: b.principal.nodeID, addresses: ["127.0.0.1:\(proxy.port)"])
        a.transport.send(.refused(number: 1), to: route)
        #expect(await b.waitForNumber(1))
        proxy.stopReading()
        let payload = [UInt8](repeating: 7, count: 1 << 20)
        let message = MessageTests().raft(from: a, to: b, payload: payload)
        for _ in 0..<64 {
            a.transport.send(.raft(message, epoch: 0), to: route)
            let queued = await a.transport.peers().first?.queuedBytes ?? 0
            #expect(queued <= limit)
        }
        #expect(a.transport.statistics.framesDropped > 40)
        #expect(a.log.all.contains { $0.contains("it takes them too slowly") })
        // Unacknowledged for two seconds: the kernel gives up, and so does the transport.
        #expect(await a.log.wait { $0.contains { $0.contains("a connection ended") } })
        await a.transport.shutdown()
        await b.transport.shutdown()
        proxy.close()
    }

    @Test func `a peer that says nothing at all is given up`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))) { $0.silenceMax = .milliseconds(1500) }
            .start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let proxy = try await Proxy(to: b.port)
        let route = PeerRoute(nodeID: b.principal.nodeID, addresses: ["127.0.0.1:\(proxy.port)"])
        a.transport.send(.refused(number: 1), to: route)
        #expect(await b.waitForNumber(1))
        // Heartbeats alone keep it.
        proxy.swallow()
        #expect(await a.log.wait { $0.contains { $0.contains("it was silent for 1.5 seconds") } })
        await a.transport.shutdown()
        await b.transport.shutdown()
        proxy.close()
    }

    @Test func `nothing that is said can be read on the wire`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let proxy = try await Proxy(to: b.port)
        let marker = Array("a marker that must not be readable".utf8)
        let route = PeerRoute(nodeID: b.principal.nodeID, addresses: ["127.0.0.1:\(proxy.port)"])
        #expect(try await a.transport.call(PeerCall(name: "echo", body: marker), to: route) == marker)
        a.transport.send(.raft(MessageTests().raft(from: a, to: b, payload: marker), epoch: 0), to: route)
        #expect(await b.received.wait { !$0.isEmpty })
        let recorded = proxy.recorded
        #expect(recorded.count > 1000)
        #expect(!contains(recorded, marker))
        // TLS 1.3 hides certificates too.
        #expect(!contains(recorded, Array(a.principal.nodeID.utf8)))
        #expect(!contains(recorded, Array(clusterID.utf8)))
        await a.transport.shutdown()
        await b.transport.shutdown()
        proxy.close()
    }

    @Test func `bytes that are no TLS, and TLS that is no frame, end the connection and nothing else`()
        async throws
    {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))) {
            $0.strangerCalls = ["echo"]
            ($0.handshakeTimeout, $0.callTimeout) = (.milliseconds(300), .milliseconds(300))
        }.start()
        var generator = SeededGenerator(seed: 11)
        var streams: [(bytes: [UInt8], tls: Bool)] = []
        for round in 0..<160 {
            var bytes = (0..<Int.random(in: 5...2000, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            switch round % 4 {
            case 0: break
            // Looks like the beginning of a handshake.
            case 1: bytes = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01] + bytes
            case 2: break
            // Right lengths, known kinds, random bodies.
            default:
                let length = UInt32(bytes.count - 4)
                for index in 0..<4 {
                    bytes[index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index))
                }
                bytes[4] = UInt8(round / 4 % 18)
            }
            streams.append((bytes, round % 4 >= 2))
        }
        let port = b.port
        for part in stride(from: 0, to: streams.count, by: 40) {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for (bytes, tls) in streams[part..<part + 40] {
                    group.addTask { try await Raw.exchange(bytes, port: port, tls: tls) }
                }
                for try await isClosed in group { #expect(isClosed) }
            }
        }
        a.transport.send(.refused(number: 1), to: b.route)
        #expect(await b.waitForNumber(1))
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `connections without messages close by themselves, and open again`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))) { $0.idleTimeout = .milliseconds(300) }
            .start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        for number in 1...2 as ClosedRange<UInt64> {
            a.transport.send(.refused(number: number), to: b.route)
            #expect(await b.waitForNumber(number))
            #expect(await eventually { await a.transport.peers().isEmpty })
            #expect(await eventually { await b.transport.peers().isEmpty })
        }
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `a port that is taken is named`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try TestNode(cluster.identity(manager("b"))) { [port = a.port] in $0.listenPort = port }
        let failure = await error { () throws(SwarmError) in try await b.transport.start() }
        #expect(failure?.description.contains("cannot listen for other nodes at 127.0.0.1:\(a.port)") == true)
        #expect(failure?.description.contains("Address already in use") == true)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }
}

func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
    guard let first = part.first else { return true }
    var index = 0
    while let found = bytes[index...].firstIndex(of: first) {
        if bytes[found...].starts(with: part) { return true }
        index = found + 1
    }
    return false
}
