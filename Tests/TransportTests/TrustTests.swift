import ClusterSecurity
import LibCrypto
import SwarmCore
import SwarmNode
import Testing
import Transport

/// Who is not believed, and what both ends say about it.
@Suite(.serialized) struct TrustTests {
    /// `from` tries to reach `to`; nothing may arrive, and each end says its words.
    func expectRefusal(
        from: TestNode, to: TestNode, _ words: String, judgedByServer: Bool
    ) async throws {
        from.transport.send(beat(1), to: to.route)
        let (judge, other) = judgedByServer ? (to, from) : (from, to)
        #expect(
            await judge.log.wait { $0.contains { $0.contains("a peer was refused") && $0.contains(words) } })
        #expect(
            await other.log.wait {
                $0.contains { $0.contains("a peer refused this node") && $0.contains(words) }
            })
        #expect(judge.transport.statistics.peersDistrusted >= 1)
        #expect(to.received.all.isEmpty)
        // What happens again and again is said once.
        let distrusted = judge.transport.statistics.peersDistrusted
        #expect(
            await eventually { judge.transport.statistics.peersDistrusted > distrusted + 1 || judge === from }
        )
        #expect(judge.log.all.filter { $0.contains("a peer was refused") }.count == 1)
        await from.transport.shutdown()
        await to.transport.shutdown()
    }

    @Test func `a node of another cluster is refused, and told so`() async throws {
        let (cluster, other) = (try TestCluster(), try TestCluster())
        let foreign = NodePrincipal(nodeID: "nodefffffffffffffffffffff", role: .manager, clusterID: "another")
        let key = P256PrivateKey.generate()
        let chain = try other.authority.issue(X509Request.forNode(key: key), to: foreign, at: testTime)
        let own = try NodeIdentity(
            key: key, chain: chain, trust: TrustBundle(roots: [other.authority.root], clusterID: "another"),
            storageKeys: [.generate()])
        let server = try await TestNode(cluster.identity(manager("a"))).start()
        let client = try await TestNode(own).start()
        client.transport.send(beat(1), to: server.route)
        // Each judges the other.
        let (here, there) = ("(\(clusterID), this is another)", "(another, this is \(clusterID))")
        #expect(
            await client.log.wait { $0.contains { $0.contains("a peer was refused") && $0.contains(here) } })
        #expect(
            await server.log.wait { $0.contains { $0.contains("a peer was refused") && $0.contains(there) } })
        #expect(server.received.all.isEmpty)
        await client.transport.shutdown()
        await server.transport.shutdown()
    }

    @Test func `an expired certificate is refused by the clock of the other node`() async throws {
        let cluster = try TestCluster()
        let server = try await TestNode(cluster.identity(manager("a")), at: testTime + days(2)).start()
        let client = try await TestNode(
            cluster.identity(worker("b"), validity: days(1)), at: testTime
        ).start()
        try await expectRefusal(
            from: client, to: server, "certificate of node \(client.principal.nodeID) expired at",
            judgedByServer: true)
    }

    @Test func `a connection ends when the certificate that it was believed by expires`() async throws {
        let cluster = try TestCluster()
        let server = try await TestNode(cluster.identity(manager("a"))).start()
        let client = try await TestNode(cluster.identity(worker("b"), validity: days(1))).start()
        client.transport.send(beat(1), to: server.route)
        #expect(await server.waitForNumber(1))
        server.clock.now = testTime + days(2)
        let words = "certificate of node \(client.principal.nodeID) expired at"
        #expect(
            await client.log.wait {
                $0.contains { $0.contains("a peer refused this node") && $0.contains(words) }
            })
        client.transport.send(beat(2), to: server.route)
        #expect(await eventually { server.transport.statistics.peersDistrusted >= 2 })
        #expect(server.numbers == [1])
        // Enrolled again, it is back.
        client.transport.replaceIdentity(try cluster.identity(worker("b"), at: testTime + days(2)))
        client.clock.now = testTime + days(2)
        client.transport.send(beat(3), to: server.route)
        #expect(await server.waitForNumber(3))
        await client.transport.shutdown()
        await server.transport.shutdown()
    }

    @Test func `a root that is believed no more ends the connections that it vouched for`() async throws {
        let cluster = try TestCluster()
        let other = try TestCluster()
        let server = try await TestNode(cluster.identity(manager("a"))).start()
        let client = try await TestNode(cluster.identity(worker("b"))).start()
        client.transport.send(beat(1), to: server.route)
        #expect(await server.waitForNumber(1))
        server.transport.replaceIdentity(try other.identity(manager("a")))
        #expect(
            await client.log.wait { $0.contains { $0.contains("a peer refused this node") } })
        await client.transport.shutdown()
        await server.transport.shutdown()
    }

    @Test func `a clock that is off is named as the cause`() async throws {
        let cluster = try TestCluster()
        let server = try await TestNode(cluster.identity(manager("a"), at: testTime)).start()
        let client = try await TestNode(
            cluster.identity(worker("b"), at: testTime), at: testTime + .seconds(-3 * 86_400)
        ).start()
        try await expectRefusal(
            from: client, to: server, "is this node's clock off by 2d23h or more?", judgedByServer: false)
    }

    @Test func `a server that trusts another root refuses the client in words`() async throws {
        let (cluster, other) = (try TestCluster(), try TestCluster())
        let server = try await TestNode(cluster.identity(manager("a"))).start()
        let client = try await TestNode(other.identity(worker("b"), trusting: cluster.authority)).start()
        try await expectRefusal(
            from: client, to: server, "was not issued by a CA that this cluster (\(clusterID)) believes",
            judgedByServer: true)
    }

    @Test func `another node at the address is refused by name`() async throws {
        let cluster = try TestCluster()
        let server = try await TestNode(cluster.identity(manager("a"))).start()
        let client = try await TestNode(cluster.identity(worker("b"))).start()
        client.transport.send(
            beat(1), to: PeerRoute(nodeID: manager("z").nodeID, addresses: [server.address]))
        let words =
            "node \(manager("z").nodeID) was to be at address \(server.address), but what answered there is node "
            + server.principal.nodeID
        #expect(
            await client.log.wait { $0.contains { $0.contains("a peer was refused") && $0.contains(words) } })
        #expect(
            await server.log.wait {
                $0.contains { $0.contains("a peer refused this node") && $0.contains(words) }
            })
        #expect(server.received.all.isEmpty)
        // The next address is tried.
        let lost = try await TestNode(cluster.identity(manager("z"))).start()
        client.transport.send(
            beat(2), to: PeerRoute(nodeID: lost.principal.nodeID, addresses: [server.address, lost.address]))
        #expect(await lost.waitForNumber(2))
        for node in [server, client, lost] { await node.transport.shutdown() }
    }

    @Test func `a copy of this node's own certificate is refused`() async throws {
        let cluster = try TestCluster()
        let identity = try cluster.identity(manager("a"))
        let original = try await TestNode(identity).start()
        let copy = try await TestNode(identity).start()
        let failure = await error { () throws(SwarmError) in
            try await copy.transport.call(
                PeerCall(name: "echo"),
                to: PeerRoute(nodeID: manager("z").nodeID, addresses: [original.address]))
        }
        #expect(failure?.message.contains("but what answered there is node \(manager("a").nodeID)") == true)
        await original.transport.shutdown()
        await copy.transport.shutdown()
    }

    // MARK: New identities

    @Test func `an identity replaced under traffic loses nothing and keeps the order`() async throws {
        let cluster = try TestCluster()
        let a = try await TestNode(cluster.identity(manager("a"))).start()
        let b = try await TestNode(cluster.identity(manager("b"))).start()
        let total: UInt64 = 6000
        for number in 1...total {
            a.transport.send(.refused(number: number), to: b.route)
            b.transport.send(.refused(number: number), to: PeerRoute(nodeID: a.principal.nodeID))
            // The end that opened the connection, and the end that accepted it.
            if number % 2000 == 500 { a.transport.replaceIdentity(try cluster.identity(manager("a"))) }
            if number % 2000 == 1000 { b.transport.replaceIdentity(try cluster.identity(manager("b"))) }
            if number % 500 == 0 {
                #expect(await b.received.wait { $0.count == number })
                #expect(await a.received.wait { $0.count == number })
            }
        }
        #expect(a.numbers == Array(1...total))
        #expect(b.numbers == Array(1...total))
        #expect(await eventually { a.transport.statistics.connectionsOpened >= 3 })
        // A connection that is not drained ends by a timeout.
        #expect(!(a.log.all + b.log.all).contains { $0.contains("did not say goodbye in time") })
        await a.transport.shutdown()
        await b.transport.shutdown()
    }

    @Test func `a promoted node speaks with its new role`() async throws {
        let cluster = try TestCluster()
        let target = try await TestNode(cluster.identity(manager("m"))).start()
        let node = try await TestNode(cluster.identity(worker("p"))).start()
        node.transport.send(beat(1), to: target.route)
        #expect(await target.waitForNumber(1))
        node.transport.replaceIdentity(try cluster.identity(manager("p")))
        #expect(await eventually { node.transport.statistics.connectionsOpened == 2 })
        node.transport.send(.refused(number: 2), to: target.route)
        #expect(await target.waitForNumber(2))
        #expect(target.received.all.map(\.from) == [worker("p"), manager("p")])
        await node.transport.shutdown()
        await target.transport.shutdown()
    }
}
