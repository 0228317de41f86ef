import ClusterSecurity
import LibCrypto
import Logging
import Store
import SwarmCore
import SwarmModel
import SwarmNode
import Transport

/// What a node is to believe, and whose certificate it is to show: told by the leader, and part of every certificate
/// that is issued.
struct WantedRoots: Codable, Sendable, Equatable {
    /// Counts changes: what is on its way while it changes again is not gone back to.
    var epoch: UInt64
    /// PEM; the node's certificate is to be of the first.
    var roots: String

    init(_ cluster: Cluster) { (epoch, roots) = (cluster.rootEpoch ?? 0, cluster.believedRoots) }
}

/// The swarm's root and the one that takes its place (decision 26).
extension NodeDriver {
    // MARK: Every node

    /// Believes what is wanted at once where its own certificate allows that; else it asks for one that does.
    func follow(_ wanted: WantedRoots) throws(SwarmError) {
        guard let swarm, wanted.epoch >= swarm.record.rootEpoch ?? 0 else { return }
        let identity = swarm.identity
        let trust = try TrustBundle(pem: Array(wanted.roots.utf8), clusterID: identity.principal.clusterID)
        guard let root = trust.roots.first, identity.certificate.isSigned(by: root) else { return wantCertificate() }
        noteRootEpoch(wanted.epoch)
        // Nobody knows the old root alone any more once it is to be forgotten.
        let chain = trust.roots.count == 1 ? [identity.certificate] : identity.chain
        guard trust != identity.trust || chain != identity.chain else { return }
        try replaceIdentity(try identity.renewed(key: identity.key, chain: chain, trust: trust))
        logger.info("the roots that this node believes changed", metadata: ["roots": "\(trust.roots.count)"])
    }

    func noteRootEpoch(_ epoch: UInt64) {
        guard let swarm, epoch > swarm.record.rootEpoch ?? 0 else { return }
        self.swarm?.record.rootEpoch = epoch
        saveRecord()
    }

    /// On disk first; then new handshakes show it, and who is connected is judged again.
    func replaceIdentity(_ identity: NodeIdentity) throws(SwarmError) {
        guard let swarm else { return }
        try IdentityStore(directory: paths.certificates).save(identity, unlockKey: swarm.unlockKey)
        self.swarm?.identity = identity
        certificates.announced = ""
        swarm.peers.replaceIdentity(identity)
        swarm.gossip.replaceIdentity(identity)
        if let machine { announceSelf(machine) }
    }

    // MARK: Managers

    func followRoots(_ machine: NodeMachine) {
        guard machine.isManager, let cluster = machine.store.cluster else { return }
        do throws(SwarmError) { try follow(WantedRoots(cluster)) } catch {
            logger.error("the swarm's root cannot be followed", metadata: ["error": "\(error)"])
        }
        guard machine.isLeader else {
            certificates.rotation = RootRotationKeeper()
            return
        }
        let step = certificates.rotation.step(machine.store, self: machine.nodeID, at: SystemClock.now())
        if step.isComplete { finishRotation(cluster) }
        if !step.told.isEmpty { tellRoots(step.told) }
    }

    private func finishRotation(_ cluster: Cluster) {
        guard let certificate = cluster.rootRotation?.certificate,
            let root = try? CertificateKeeping.certificates(certificate).first
        else { return }
        var generator = SecureRandom()
        let tokens = JoinTokenPair(root: root, using: &generator)
        let rotated = cluster.rotated(
            joinTokens: JoinTokens(worker: tokens.worker.text, manager: tokens.manager.text))
        Task {
            // Refused when anything about the swarm has changed meanwhile: then the next look decides.
            let made = try? await self.write { .bootstrap(ticket: $0, [.update(.cluster(rotated))]) }
            if made != nil { self.logger.info("every node has a certificate of the new root; the old one goes") }
        }
    }

    /// A batch at a time; who does not answer is told again.
    private func tellRoots(_ nodes: [ObjectID]) {
        guard let machine, let peers = swarm?.peers else { return }
        let known = knownPeers(machine)
        let routes = nodes.map { id in
            complete(PeerRoute(nodeID: id, addresses: known.first { $0.nodeID == id }?.addresses ?? []))
        }
        Task {
            // A leader that was replaced without noticing must not tell what was.
            guard let cluster = try? await self.read().cluster,
                let body = try? ClusterCall.encode(WantedRoots(cluster))
            else { return }
            for route in routes {
                Task {
                    _ = try? await peers.call(
                        PeerCall(name: ClusterCall.followRoots, body: body), to: route, timeout: Self.callTimeout)
                }
            }
        }
    }

    /// What an update asks to become of the root; nil for nothing.
    func rootChange(version: UInt64, _ spec: ClusterSpec) async throws(SwarmError) -> RootChange? {
        let asked = spec.caConfig ?? CAConfig()
        let known = machine?.store.cluster?.lastForcedRotation ?? 0
        guard asked.asksForAnotherRoot(after: known) else { return nil }
        guard let cluster = try await read().cluster, cluster.version.index == version,
            asked.asksForAnotherRoot(after: cluster.lastForcedRotation ?? 0)
        else { return nil }
        return try RootChange(cluster, asked, at: SystemClock.timestamp())
    }
}

extension RootChange {
    init(_ cluster: Cluster, _ asked: CAConfig, at now: Timestamp) throws(SwarmError) {
        guard let certificates = cluster.rootCertificates, let key = cluster.rootKey else {
            throw SwarmError(.unavailable, "this manager does not have the swarm's CA key yet; try again")
        }
        let present = try CertificateAuthority(certificatesPEM: Array(certificates.utf8), keyPEM: Array(key.utf8))
        let successor = try cluster.rootRotation.flatMap { rotation throws(SwarmError) in
            try CertificateKeeping.certificates(rotation.certificate).first
        }
        let wish = RootWish(
            certificate: Array((asked.signingCACert ?? "").utf8), key: Array((asked.signingCAKey ?? "").utf8))
        let verdict: RootWish.Verdict
        do throws(SwarmError) { verdict = try wish.judge(present: present, successor: successor, at: now) } catch {
            guard error.code == .invalidArgument else { throw error }
            throw SwarmError(.invalidArgument, "rpc error: code = InvalidArgument desc = \(error.message)")
        }
        switch verdict {
        case .goOn: self.init(rotation: cluster.rootRotation, tlsInfo: cluster.tlsInfo)
        case .stay: self.init(rotation: nil, tlsInfo: TLSInfo(present.root))
        case .begin(let authority):
            var shown = TLSInfo(authority.root)
            shown.trustRoot = TLSInfo(present.root).trustRoot
            func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
            self.init(
                rotation: RootRotation(
                    certificate: text(authority.root.pem), crossSigned: text(authority.crossSigned?.pem ?? []),
                    key: text(authority.keyPEM)), tlsInfo: shown)
        }
    }
}

extension Cluster {
    /// What issues certificates now: during a rotation the root that is to be.
    func authority() throws(SwarmError) -> CertificateAuthority {
        guard let certificates = rootCertificates, let key = rootKey else {
            throw SwarmError(.unavailable, "this manager does not have the swarm's CA key yet; try again")
        }
        guard let rotation = rootRotation else {
            return try CertificateAuthority(certificatesPEM: Array(certificates.utf8), keyPEM: Array(key.utf8))
        }
        return try CertificateAuthority(
            certificatesPEM: Array((rotation.certificate + rotation.crossSigned).utf8),
            keyPEM: Array(rotation.key.utf8))
    }
}
