import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

/// Roots by name: what a certificate is of and what is believed, without certificates.
@Suite struct RootRotationTests {
    private func issuer(_ root: String, believing roots: String) -> TLSInfo {
        TLSInfo(trustRoot: roots, certIssuerSubject: "CN=\(root)", certIssuerPublicKey: "key \(root)")
    }

    private func change(to root: String, from old: String = "A") -> RootChange {
        RootChange(
            rotation: RootRotation(certificate: root, crossSigned: "\(root) by \(old)", key: "secret \(root)"),
            tlsInfo: issuer(root, believing: old))
    }

    private func cluster() -> Cluster {
        var cluster = Cluster(id: "c")
        (cluster.rootCertificates, cluster.rootKey) = ("A", "secret A")
        cluster.tlsInfo = issuer("A", believing: "A")
        return cluster
    }

    private func store(_ cluster: Cluster, _ nodes: [(id: String, shown: TLSInfo, state: String)]) -> ObjectStore {
        var actions: [StoreAction] = [.create(.cluster(cluster))]
        for (id, shown, state) in nodes {
            var node = Node(id: id)
            (node.description.tlsInfo, node.status.state) = (shown, state)
            actions.append(.create(.node(node)))
        }
        var store = ObjectStore()
        _ = store.apply(Transaction(actions: actions, time: .zero), at: 1)
        return store
    }

    @Test func `nobody is told anything while all show what they should`() {
        var keeper = RootRotationKeeper()
        let nodes = (1...3).map { ("n\($0)", issuer("A", believing: "A"), "ready") }
        #expect(keeper.step(store(cluster(), nodes), self: "n1", at: .zero) == .init())
    }

    @Test func `a rotation begins with certificates of the new root, and both are believed`() {
        var cluster = cluster()
        cluster.change(root: change(to: "B"))
        #expect(cluster.rootRotationInProgress)
        #expect(cluster.believedRoots == "BA")
        #expect(cluster.wantedTLSInfo == issuer("B", believing: "BA"))
        // What clients see is the root that all believe, and the issuer that all are to show.
        #expect(cluster.tlsInfo == issuer("B", believing: "A"))
        #expect(cluster.rootEpoch == 1)
    }

    @Test func `its end is when every node shows the new issuer, whatever else it believes`() {
        var cluster = cluster()
        cluster.change(root: change(to: "B"))
        var keeper = RootRotationKeeper()
        let done = ("n1", issuer("B", believing: "BA"), "ready")
        var step = keeper.step(store(cluster, [done, ("n2", issuer("A", believing: "A"), "ready")]), self: "n1", at: .zero)
        #expect(step.told == ["n2"] && !step.isComplete)
        // One that is down is waited for, and not spoken to.
        step = keeper.step(store(cluster, [done, ("n2", issuer("A", believing: "A"), "down")]), self: "n1", at: .zero)
        #expect(step.told == [] && !step.isComplete)
        step = keeper.step(store(cluster, [done, ("n2", issuer("B", believing: "BA"), "down")]), self: "n1", at: .zero)
        #expect(step.isComplete)
        step = keeper.step(store(cluster, [done]), self: "n1", at: .zero)
        #expect(step.isComplete)
        let rotated = cluster.rotated(joinTokens: JoinTokens(worker: "w", manager: "m"))
        #expect(!rotated.rootRotationInProgress)
        #expect(rotated.rootCertificates == "B" && rotated.rootKey == "secret B")
        #expect(rotated.wantedTLSInfo == issuer("B", believing: "B"))
        #expect(rotated.tlsInfo == rotated.wantedTLSInfo)
        #expect(rotated.joinTokens?.worker == "w")
        #expect(rotated.rootEpoch == 2)
        // Then the old root is to be forgotten.
        step = keeper.step(store(rotated, [done, ("n2", issuer("B", believing: "BA"), "ready")]), self: "n1", at: .zero)
        #expect(step.told == ["n2"] && !step.isComplete)
    }

    @Test func `nodes are told in batches, again after a while, and at once when it changes`() {
        var cluster = cluster()
        cluster.change(root: change(to: "B"))
        var keeper = RootRotationKeeper()
        let nodes = (100..<175).map { ("n\($0)", issuer("A", believing: "A"), "ready") }
        let before = store(cluster, nodes)
        var told: [ObjectID] = []
        var counts: [Int] = []
        for second in stride(from: 0, to: 8, by: 2) {
            let step = keeper.step(before, self: "n100", at: Instant(nanoseconds: Int64(second + 1) * 1_000_000_000))
            told += step.told
            counts.append(step.told.count)
        }
        #expect(counts == [30, 30, 14, 0])
        #expect(Set(told).count == 74 && !told.contains("n100"))
        // The first did not answer: told again, before those that were told later.
        let again = keeper.step(before, self: "n100", at: Instant(nanoseconds: 12_000_000_000))
        #expect(again.told == Array(told.prefix(30)))
        cluster.change(root: change(to: "C"))
        let anew = keeper.step(store(cluster, nodes), self: "n100", at: Instant(nanoseconds: 12_000_000_001))
        #expect(anew.told.count == 30)
    }

    @Test func `a rotation takes the place of another, or is given up, and nodes come back from it`() {
        var cluster = cluster()
        cluster.change(root: change(to: "B"))
        cluster.change(root: change(to: "C"))
        #expect(cluster.believedRoots == "CA")
        var keeper = RootRotationKeeper()
        let nodes = [("n1", issuer("B", believing: "BA"), "ready"), ("n2", issuer("C", believing: "CA"), "ready")]
        #expect(keeper.step(store(cluster, nodes), self: "", at: .zero).told == ["n1"])
        cluster.change(root: RootChange(rotation: nil, tlsInfo: issuer("A", believing: "A")))
        #expect(!cluster.rootRotationInProgress && cluster.rootKey == "secret A")
        let step = keeper.step(store(cluster, nodes), self: "", at: .zero)
        #expect(step.told == ["n1", "n2"] && !step.isComplete)
    }

    /// Nodes come, go, fall silent and follow at random; rotations begin in between. No root goes that a node still
    /// needs, and once all nodes are up the last rotation ends.
    @Test(arguments: 0..<50)
    func `no root goes that somebody needs, and every rotation ends`(_ seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        var cluster = cluster()
        cluster.joinTokens = JoinTokens(worker: "", manager: "")
        var nodes = (0..<draw(1...5)).map { (id: "n\($0)", shown: issuer("A", believing: "A"), state: "ready") }
        var keeper = RootRotationKeeper()
        var now = Instant.zero
        for round in 0..<300 {
            now = now + .seconds(2)
            let isStorm = round < 250
            if isStorm, draw(0...30) == 0 { cluster.change(root: change(to: "R\(round)", from: cluster.rootCertificates ?? "")) }
            if isStorm, draw(0...20) == 0 { nodes.append(("m\(round)", cluster.wantedTLSInfo, "ready")) }
            if isStorm, draw(0...20) == 0, nodes.count > 1 { nodes.remove(at: draw(0...nodes.count - 1)) }
            // Another leader knows nothing but the store.
            if draw(0...20) == 0 { keeper = RootRotationKeeper() }
            for index in nodes.indices where draw(0...15) == 0 || !isStorm {
                nodes[index].state = isStorm && draw(0...1) == 0 ? "down" : "ready"
            }
            let step = keeper.step(store(cluster, nodes), self: "", at: now)
            if step.isComplete {
                let goes = cluster.rootCertificates ?? ""
                for node in nodes { #expect(node.shown.certIssuerSubject != "CN=\(goes)") }
                cluster = cluster.rotated(joinTokens: JoinTokens(worker: "", manager: ""))
            }
            for id in step.told where draw(0...3) > 0 {
                guard let index = nodes.firstIndex(where: { $0.id == id }) else { continue }
                nodes[index].shown = cluster.wantedTLSInfo
            }
        }
        #expect(!cluster.rootRotationInProgress)
        for node in nodes { #expect(node.shown == cluster.wantedTLSInfo) }
    }

    @Test func `an update takes the root that was made for it, and shows no key`() throws {
        var node = NodeHarness()
        node.start()
        let before = try #require(node.store.cluster)
        var spec = before.spec
        spec.caConfig = CAConfig(signingCACert: "B", signingCAKey: "secret B", forceRotate: 1)
        try node.demand(
            .updateSwarm(version: before.version.index, spec, SwarmRotation(root: change(to: "B"))))
        let after = try #require(node.store.cluster)
        #expect(after.rootRotationInProgress && after.rootRotation?.certificate == "B")
        #expect(after.spec.caConfig?.signingCACert == nil && after.spec.caConfig?.signingCAKey == nil)
        // A client that sends back less than it was shown asks for nothing.
        spec.caConfig = CAConfig()
        try node.demand(.updateSwarm(version: after.version.index, spec, SwarmRotation()))
        #expect(node.store.cluster?.spec.caConfig?.forceRotate == 1)
        #expect(node.store.cluster?.rootRotation == after.rootRotation)
    }
}
