import ClusterSecurity
import Consensus
import Dispatching
import Logging
import SwarmCore
import SwarmNode
import Testing
import Transport

@Suite(.serialized) struct MessageTests {
    @Test func `two nodes exchange messages in order, both ways over one connection`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        for number in 1...1000 as ClosedRange<UInt64> {
            a.transport.send(.refused(number: number), to: b.route)
        }
        #expect(await b.waitForNumber(1000))
        #expect(b.numbers == Array(1...1000))
        #expect(b.received.all.allSatisfy { $0.from == manager("a") })
        // Without an address: over the connection that is there.
        for number in 1...1000 as ClosedRange<UInt64> {
            b.transport.send(.refused(number: number), to: PeerRoute(nodeID: a.principal.nodeID))
        }
        #expect(await a.waitForNumber(1000))
        #expect(a.numbers == Array(1...1000))
        #expect(a.transport.statistics.connectionsOpened + a.transport.statistics.connectionsAccepted == 1)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `three nodes that all open at once lose nothing and keep one connection each`() async throws {
        let cluster = try TestCluster()
        var nodes: [TestNode] = []
        for letter in ["a", "b", "c"] {
            nodes.append(try await TestNode(cluster.identity(manager(letter))).start())
        }
        for number in 1...200 as ClosedRange<UInt64> {
            for from in nodes {
                for to in nodes where to !== from {
                    from.transport.send(.refused(number: number), to: to.route)
                }
            }
        }
        for to in nodes {
            #expect(await to.received.wait { $0.count == 400 })
            for from in nodes where from !== to {
                let numbers = to.received.all.filter { $0.from == from.principal }.compactMap {
                    number(of: $0.message)
                }
                #expect(numbers == Array(1...200))
            }
        }
        for node in nodes {
            #expect(
                await eventually {
                    let peers = await node.transport.peers()
                    return peers.count == 2 && peers.allSatisfy { $0.address != nil && $0.queuedFrames == 0 }
                })
        }
        // Of two nodes exactly one has opened the connection that stays.
        let opened = await nodes[0].transport.peers().first { $0.nodeID == nodes[1].principal.nodeID }?
            .isOpenedHere
        let accepted = await nodes[1].transport.peers().first { $0.nodeID == nodes[0].principal.nodeID }?
            .isOpenedHere
        #expect(opened != accepted)
        for node in nodes { await node.transport.shutdown() }
    }

    @Test func `consensus arrives as it was sent, with the sender that the certificate names`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let message = PeerMessage.raft(raft(from: a, to: b), epoch: 3)
        a.transport.send(message, to: b.route)
        #expect(await b.received.wait { !$0.isEmpty })
        #expect(b.received.all.first?.message == message)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    func raft(from: TestNode, to: TestNode, payload: [UInt8] = [1, 2, 3]) -> RaftMessage {
        RaftMessage(
            from: NodeMachine.memberID(of: from.principal.nodeID),
            to: NodeMachine.memberID(of: to.principal.nodeID),
            term: 7,
            body: .append(
                previousIndex: 1, previousTerm: 1,
                entries: [Entry(term: 7, index: 2, kind: .command, payload: payload)], commit: 1, round: 9))
    }

    @Test func `a frame of eight megabytes arrives`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let payload = (0..<8 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let message = PeerMessage.raft(raft(from: a, to: b, payload: payload), epoch: 0)
        a.transport.send(message, to: b.route)
        #expect(await b.received.wait { !$0.isEmpty })
        #expect(b.received.all.first?.message == message)
        let answer = try await a.transport.call(PeerCall(name: "echo", body: payload), to: b.route)
        #expect(answer == payload)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    // MARK: Roles

    @Test func `a worker reports to managers, and everything that only managers may say is refused`()
        async throws
    {
        let cluster = try TestCluster()
        let target = try await TestNode(cluster.identity(manager("m"))).start()
        let token = PeerMessage.request(number: 5, .leaveSwarm(force: false), freshTokens: nil, leader: claim)
        let forbidden: [PeerMessage] = [
            .raft(RaftMessage(from: 1, to: 2, term: 1, body: .timeoutNow), epoch: 0),
            .toAgent(.leader(claim)), token,
            .answer(number: 5, .success(.done)), .refused(number: 5),
        ]
        let from = try await TestNode(cluster.identity(worker("w"))).start()
        from.transport.send(beat(1), to: target.route)
        #expect(await target.waitForNumber(1))
        for (index, message) in forbidden.enumerated() {
            from.transport.send(message, to: target.route)
            let violations = UInt64(index + 1)
            #expect(await eventually { target.transport.statistics.violations == violations })
            #expect(await eventually { from.transport.statistics.refusalsHeard == violations })
        }
        // A role is no reason to be banished: reports still arrive.
        from.transport.send(beat(2), to: target.route)
        #expect(await target.waitForNumber(2))
        #expect(target.numbers == [1, 2])
        let lines = target.log.all.filter { $0.contains("overstepped its role") }
        #expect(lines.count == forbidden.count)
        for kind in ["raft", "toAgent", "request", "answer", "refused"] {
            #expect(lines.contains { $0.contains("of kind \(kind), which only managers may send") })
        }
        #expect(
            from.log.all.contains {
                $0.contains("refused this node") && $0.contains("only managers may send")
            })
        await from.transport.shutdown()
        await target.transport.shutdown()
    }

    @Test func `a manager that speaks for another member is refused`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let other = NodeMachine.memberID(of: manager("c").nodeID)
        a.transport.send(
            .raft(RaftMessage(from: other, to: 1, term: 1, body: .timeoutNow), epoch: 0), to: b.route)
        #expect(await eventually { b.transport.statistics.violations == 1 })
        #expect(b.received.all.isEmpty)
        #expect(b.log.all.contains { $0.contains("consensus messages of another member") })
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    // MARK: Calls

    @Test func `calls are answered, failures come back in words, silence ends in time`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(worker("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        #expect(try await a.transport.call(PeerCall(name: "echo", body: [1, 2]), to: b.route) == [1, 2])
        #expect(b.calls.all == ["echo of \(a.principal.nodeID)"])
        let failure = await error { () throws(SwarmError) in
            try await a.transport.call(PeerCall(name: "fail"), to: b.route)
        }
        #expect(failure?.code == .notFound && failure?.description == "no such thing: asked for")
        let late = await error { () throws(SwarmError) in
            try await a.transport.call(PeerCall(name: "hang"), to: b.route, timeout: .milliseconds(100))
        }
        #expect(
            late?.code == .deadlineExceeded
                && late?.message.contains("at \(b.address) did not answer hang") == true)
        let long = await error { () throws(SwarmError) in
            try await a.transport.call(PeerCall(name: String(repeating: "x", count: 65)), to: b.route)
        }
        #expect(long?.code == .invalidArgument)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `a call tries the addresses in order and says what failed where`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(worker("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let closed = try await TestNode(cluster.identity(manager("c"))).start()
        await closed.transport.shutdown()
        let route = PeerRoute(nodeID: b.principal.nodeID, addresses: [closed.address, b.address])
        #expect(try await a.transport.call(PeerCall(name: "echo", body: [3]), to: route) == [3])
        let lost = PeerRoute(nodeID: manager("z").nodeID, addresses: [closed.address, b.address])
        let failure = await error { () throws(SwarmError) in
            try await a.transport.call(PeerCall(name: "echo"), to: lost)
        }
        #expect(failure?.code == .unavailable)
        #expect(failure?.message.contains("\(closed.address): Connection refused") == true)
        #expect(failure?.message.contains("what answered there is node \(b.principal.nodeID)") == true)
        let nowhere = await error { () throws(SwarmError) in
            try await a.transport.call(PeerCall(name: "echo"), to: PeerRoute(nodeID: "nobody"))
        }
        #expect(nowhere?.message.contains("no address of it is known") == true)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `a call whose connection breaks fails, and says that its outcome is unknown`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(worker("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        async let failure = error { () throws(SwarmError) in
            try await a.transport.call(PeerCall(name: "hang"), to: b.route)
        }
        #expect(await b.calls.wait { $0.count == 1 })
        b.transport.disconnect(a.principal.nodeID)
        #expect(await failure?.message.contains("may or may not have done what was asked") == true)
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `strangers are answered only where they may ask`() async throws {
        let cluster = try TestCluster()
        let b = try await TestNode(cluster.identity(manager("b"))) { $0.strangerCalls = ["echo"] }.start()
        let root = cluster.authority.root
        let trust: @Sendable ([[UInt8]]) throws(SwarmError) -> Void = { chain throws(SwarmError) in
            let trust = try TrustBundle(roots: [root], clusterID: clusterID)
            _ = try PeerVerifier(trust: trust, expecting: .role(.manager)).verify(chain: chain, at: testTime)
        }
        let answer = try await StrangerClient.call(
            PeerCall(name: "echo", body: [9]), address: b.address, trust: trust, timeout: .seconds(5))
        #expect(answer == [9])
        #expect(b.calls.all == ["echo of a stranger"])
        let refused = await error { () throws(SwarmError) in
            try await StrangerClient.call(
                PeerCall(name: "fail"), address: b.address, trust: trust, timeout: .seconds(5))
        }
        #expect(
            refused?.code == .permissionDenied
                && refused?.message.contains("only nodes of this cluster") == true)
        let distrusting = await error { () throws(SwarmError) in
            try await StrangerClient.call(
                PeerCall(name: "echo"), address: b.address,
                trust: { _ throws(SwarmError) in
                    throw SwarmError(.unauthenticated, "the token is of another cluster")
                },
                timeout: .seconds(5))
        }
        #expect(distrusting?.message == "the token is of another cluster")
        #expect(b.calls.all.count == 1)
        await b.transport.shutdown()
        let gone = await error { () throws(SwarmError) in
            try await StrangerClient.call(
                PeerCall(name: "echo"), address: b.address, trust: trust, timeout: .seconds(5))
        }
        #expect(gone?.description == "\(b.address) cannot be reached: Connection refused")
    }
}

/// The error that `body` throws.
func error<Value>(_ body: () async throws(SwarmError) -> Value) async -> SwarmError? {
    do throws(SwarmError) {
        _ = try await body()
        return nil
    } catch { return error }
}
