import ClusterSecurity
import Dispatching
import LibCrypto
import Logging
import Store
import SwarmCore
import SwarmModel
import SwarmNode
import Transport

/// What this node is doing about its own certificate.
struct CertificateKeeping: Sendable {
    /// Drawn for the present certificate; nil until it is looked at.
    var renewalTime: Timestamp?
    var isRenewing = false
    var mayTryAt = Instant.zero
    var backoff = Backoff(initial: .seconds(1), maximum: .seconds(60))
    /// Whether this node was a manager when last looked at.
    var wasManager = false
    /// The certificate and address of which the swarm was told.
    var announced = ""
    var isAnnouncing = false
    var gossipKeysAskedAt: Instant?
    var rotation = RootRotationKeeper()

    static func certificates(_ pem: String) throws(SwarmError) -> [X509Certificate] {
        do throws(CryptoError) {
            return try PEMBlock.parse(Array(pem.utf8)).filter { $0.label == PEMBlock.certificate }
                .map { block throws(CryptoError) in try X509Certificate(der: block.bytes) }
        } catch {
            throw SwarmError(
                .unauthenticated, "the manager's answer holds no readable certificate",
                cause: error.description)
        }
    }

    static func pem(_ chain: [X509Certificate]) -> String {
        String(decoding: chain.flatMap(\.pem), as: UTF8.self)
    }

    /// The first node of a swarm certifies itself.
    static func selfIssued(
        nodeID: String, clusterID: String, by authority: CertificateAuthority, validity: Duration,
        at time: Timestamp
    ) throws(SwarmError) -> NodeIdentity {
        let key = P256PrivateKey.generate()
        let principal = NodePrincipal(nodeID: nodeID, role: .manager, clusterID: clusterID)
        let chain = try authority.issue(
            try X509Request.forNode(key: key), to: principal, validity: validity, at: time)
        let trust = try TrustBundle(roots: [authority.root], clusterID: clusterID)
        return try NodeIdentity(key: key, chain: chain, trust: trust, storageKeys: [.generate()])
    }

    /// Signs for a node of the store, in the role that the store gives it.
    static func issue(
        _ request: X509Request, to nodeID: String, by cluster: Cluster, role: String, at time: Timestamp
    ) throws(SwarmError) -> RenewalGrant {
        let authority = try cluster.authority()
        let principal = NodePrincipal(
            nodeID: nodeID, role: role == "manager" ? .manager : .worker, clusterID: cluster.id)
        let chain = try authority.issue(
            request, to: principal, validity: cluster.spec.certificateValidity, at: time)
        let wanted = WantedRoots(cluster)
        return RenewalGrant(chain: pem(chain), roots: wanted.roots, rootEpoch: wanted.epoch)
    }
}

/// This node's own certificate: renewed before it ends, when the node's role changes, and after it expired.
extension NodeDriver {
    func noticeRole() {
        guard let isManager = machine?.isManager, let role = swarm?.identity.principal.role else { return }
        if isManager, role == .worker { wantCertificate() }
        if !isManager, certificates.wasManager { wantCertificate() }
        certificates.wasManager = isManager
    }

    /// A look at the present certificate.
    func keepCertificate() {
        guard let swarm else { return }
        if certificates.renewalTime == nil {
            var generator = SecureRandom()
            certificates.renewalTime = RenewalPolicy.renewalTime(
                of: swarm.identity.certificate, using: &generator)
        }
        guard let renewalTime = certificates.renewalTime else { return }
        switch RenewalPolicy.decide(
            certificate: swarm.identity.certificate, renewalTime: renewalTime, at: SystemClock.timestamp())
        {
        case .wait: break
        case .renew, .enrolAgain: wantCertificate()
        case .correctClock(let validFrom):
            guard certificates.mayTryAt <= SystemClock.now() else { return }
            certificates.mayTryAt = SystemClock.now() + .seconds(60)
            logger.error(
                "this node's clock is before its certificate; correct the clock, other nodes refuse this one",
                metadata: ["certificate.valid_from": "\(validFrom)"])
        }
    }

    func wantCertificate() {
        guard !certificates.isRenewing, certificates.mayTryAt <= SystemClock.now() else { return }
        certificates.isRenewing = true
        let generation = self.generation
        Task {
            do throws(SwarmError) {
                try await self.renew(generation)
                self.finishRenewal(nil, generation)
            } catch { self.finishRenewal(error, generation) }
        }
    }

    private func finishRenewal(_ error: SwarmError?, _ generation: Int) {
        guard generation == self.generation else { return }
        certificates.isRenewing = false
        var generator = SystemRandomNumberGenerator()
        guard let error else {
            certificates.backoff.reset()
            certificates.mayTryAt = SystemClock.now() + .seconds(1)
            return noticeRole()
        }
        certificates.mayTryAt = SystemClock.now() + certificates.backoff.next(using: &generator)
        logger.warning("no new certificate yet; it is tried again", metadata: ["error": "\(error)"])
    }

    /// At the start: a manager with the CA's key certifies itself again, whatever expired meanwhile.
    func renewExpired() async {
        guard let swarm, machine?.store.cluster?.rootKey != nil,
            case .enrolAgain = RenewalPolicy.decide(
                certificate: swarm.identity.certificate, renewalTime: .zero, at: SystemClock.timestamp())
        else { return }
        do throws(SwarmError) { try await renew(generation) } catch {
            logger.error("this node's expired certificate cannot be renewed", metadata: ["error": "\(error)"])
        }
    }

    private func renew(_ generation: Int) async throws(SwarmError) {
        guard let swarm, let machine else { return }
        let key = P256PrivateKey.generate()
        let request = try X509Request.forNode(key: key)
        let now = SystemClock.timestamp()
        let grant: RenewalGrant
        // One that was demoted before remembers itself as a worker until the log has caught up: it would certify
        // itself as one for ever, and the leader take none of its acknowledgements.
        if machine.isManager, let cluster = machine.store.cluster, cluster.rootKey != nil,
            let node = machine.store.nodes[machine.nodeID], node.spec.role == "manager",
            // Nor is a root gone back to that the log has yet to learn was replaced.
            cluster.rootEpoch ?? 0 >= swarm.record.rootEpoch ?? 0
        {
            grant = try CertificateKeeping.issue(
                request, to: node.id, by: cluster, role: node.spec.role, at: now)
        } else if now >= swarm.identity.certificate.expiry {
            grant = try await enrolAgain(swarm.identity, key)
        } else {
            let body = try ClusterCall.encode(RenewalRequest(request: Base64Text.encode(request.der)))
            grant = try ClusterCall.decode(
                RenewalGrant.self, try await askManagers(PeerCall(name: ClusterCall.renew, body: body)))
        }
        guard generation == self.generation, grant.rootEpoch ?? 0 >= self.swarm?.record.rootEpoch ?? 0 else { return }
        let trust = try TrustBundle(
            pem: Array(grant.roots.utf8), clusterID: swarm.identity.principal.clusterID)
        let renewed = try swarm.identity.renewed(
            key: key, chain: CertificateKeeping.certificates(grant.chain), trust: trust)
        certificates.renewalTime = nil
        try replaceIdentity(renewed)
        noteRootEpoch(grant.rootEpoch ?? 0)
        logger.info(
            "new certificate",
            metadata: [
                "node.role": "\(renewed.principal.role.rawValue)",
                "certificate.expiry": "\(renewed.certificate.expiry)",
            ])
    }

    /// Asks one manager after the other; the error of the last when none answers.
    func askManagers(_ call: PeerCall) async throws(SwarmError) -> [UInt8] {
        var failure = SwarmError(.unavailable, "no manager of the swarm is known that could be asked")
        for route in managerRoutes() {
            guard let peers = swarm?.peers else { throw SwarmError(.unavailable, SwarmText.notMember) }
            do throws(SwarmError) {
                return try await peers.call(call, to: route, needsManager: true)
            } catch { failure = error }
        }
        throw failure
    }

    /// Other managers, the leader first.
    private func managerRoutes() -> [PeerRoute] {
        guard let machine else { return [] }
        var peers = knownPeers(machine).filter(\.isManager)
        for peer in swarm?.record.peers ?? []
        where peer.isManager && !peers.contains(where: { $0.nodeID == peer.nodeID }) {
            peers.append(peer)
        }
        let leader = machine.leaderID
        return peers.sorted {
            ($0.nodeID == leader ? 0 : 1, $0.nodeID) < ($1.nodeID == leader ? 0 : 1, $1.nodeID)
        }
        .map { complete(PeerRoute(nodeID: $0.nodeID, addresses: $0.addresses)) }
    }

    /// After expiry: proves to a manager that this node holds the old key.
    private func enrolAgain(_ identity: NodeIdentity, _ key: P256PrivateKey) async throws(SwarmError)
        -> RenewalGrant
    {
        var failure = SwarmError(.unavailable, "no manager of the swarm is known that could be asked")
        for address in managerRoutes().flatMap(\.addresses) {
            do throws(SwarmError) {
                let trust: @Sendable ([[UInt8]]) throws(SwarmError) -> Void = { chain throws(SwarmError) in
                    _ = try PeerVerifier(trust: identity.trust, expecting: .role(.manager))
                        .verify(chain: chain, at: SystemClock.timestamp())
                }
                let challenge = try await StrangerClient.call(
                    PeerCall(name: ClusterCall.challenge, body: []), address: address, trust: trust,
                    timeout: Self.callTimeout)
                let proof = try Reenrolment(of: identity, newKey: key, challenge: challenge)
                let body = try ClusterCall.encode(
                    ReenrolmentRequest(
                        challenge: Base64Text.encode(challenge), chain: proof.chain.map(Base64Text.encode),
                        request: Base64Text.encode(proof.request), proof: Base64Text.encode(proof.proof)))
                let answer = try await StrangerClient.call(
                    PeerCall(name: ClusterCall.reenrol, body: body), address: address, trust: trust,
                    timeout: Self.callTimeout)
                return try ClusterCall.decode(RenewalGrant.self, answer)
            } catch { failure = error }
        }
        throw failure
    }

    // MARK: What the swarm knows of this node

    /// Tells the swarm what this node is and where, after each start and each new certificate.
    func announceSelf(_ machine: NodeMachine) {
        guard let swarm, machine.session.session != nil, !certificates.isAnnouncing else { return }
        let shown = [swarm.identity.certificate.serial] + swarm.identity.trust.roots.map(\.serial)
        let tag = ([swarm.record.advertiseAddress] + shown.map(Base64Text.encode)).joined(separator: " ")
        guard tag != certificates.announced else { return }
        certificates.isAnnouncing = true
        let generation = self.generation
        let description = facts.description(swarm.identity.issuerInfo)
        let announcement = NodeAnnouncement(description: description, address: swarm.record.advertiseAddress)
        Task {
            do throws(SwarmError) {
                if machine.isManager {
                    _ = try await self.write { ticket in
                        .request(
                            ticket: ticket,
                            .joinSwarm(
                                NodeJoin(
                                    nodeID: machine.nodeID, role: "worker", description: description,
                                    address: HostAndPort.host(of: announcement.address))), freshTokens: nil)
                    }
                } else {
                    let call = PeerCall(
                        name: ClusterCall.announce, body: try ClusterCall.encode(announcement))
                    _ = try await self.askManagers(call)
                }
                self.noteAnnounced(tag, generation)
            } catch { self.noteAnnounced(nil, generation) }
        }
    }

    private func noteAnnounced(_ tag: String?, _ generation: Int) {
        guard generation == self.generation else { return }
        certificates.isAnnouncing = false
        if let tag { certificates.announced = tag }
    }
}

extension X509Certificate {
    var expiry: Timestamp {
        Timestamp(nanoseconds: notAfter.multipliedReportingOverflow(by: 1_000_000_000).partialValue)
    }
}

extension NodeIdentity {
    /// The roots that this node believes, and the one that its certificate is of.
    var issuerInfo: TLSInfo {
        var info = trust.issuer(of: certificate).map { TLSInfo($0) } ?? TLSInfo()
        info.trustRoot = String(decoding: trust.pem, as: UTF8.self)
        return info
    }
}
