import ClusterSecurity
import LibCrypto
import Logging
import Store
import SwarmCore
import SwarmModel
import SwarmNode
import Transport

/// What a manager does for other nodes by call: it lets them in and certifies them.
extension NodeDriver {
    /// Challenges that wait for their proof; the oldest beyond it are forgotten.
    static let challengesMax = 1024
    static let challengeLifetime: Duration = .seconds(60)
    /// A manager that answers at all does so in this time.
    static let callTimeout: Duration = .seconds(5)

    func answer(_ call: PeerCall, from principal: NodePrincipal?, _ address: String) async -> Result<
        [UInt8], SwarmError
    > {
        do throws(SwarmError) {
            switch call.name {
            case ClusterCall.roots: return .success(try ClusterCall.encode(try roots()))
            case ClusterCall.enrol:
                let request = try ClusterCall.decode(EnrolmentRequest.self, call.body)
                return .success(try ClusterCall.encode(try await enrol(request, from: address)))
            case ClusterCall.challenge: return .success(challenge())
            case ClusterCall.reenrol:
                let request = try ClusterCall.decode(ReenrolmentRequest.self, call.body)
                return .success(try ClusterCall.encode(try await reenrol(request)))
            default: break
            }
            guard let principal else {
                throw SwarmError(.unauthenticated, "\(call.name) is for nodes of the swarm; join it first")
            }
            if call.name == ClusterCall.followRoots {
                try principal.require(.manager)
                try follow(try ClusterCall.decode(WantedRoots.self, call.body))
                return .success([])
            }
            // Any node is asked this, a manager or not.
            if call.name == ClusterCall.logs { return .success(try await answerLogs(call.body, to: principal)) }
            let store = try await read()
            guard let cluster = store.cluster, let node = store.nodes[principal.nodeID] else {
                throw SwarmError(
                    .permissionDenied,
                    "node \(principal.nodeID) was removed from the swarm; let it leave and join again")
            }
            switch call.name {
            case ClusterCall.renew:
                let asked = try ClusterCall.decode(RenewalRequest.self, call.body)
                let request = try X509Request.received(try Base64Text.decode(asked.request))
                let grant = try CertificateKeeping.issue(
                    request, to: node.id, by: cluster, role: node.spec.role, at: SystemClock.timestamp())
                return .success(try ClusterCall.encode(grant))
            case ClusterCall.announce:
                let said = try ClusterCall.decode(NodeAnnouncement.self, call.body)
                let join = NodeJoin(
                    nodeID: node.id, role: "worker", description: said.description,
                    address: HostAndPort.host(of: said.address))
                _ = try await submit(.joinSwarm(join))
                return .success([])
            case ClusterCall.gossipKeys:
                return .success(try ClusterCall.encode(cluster.gossipKeys ?? []))
            default:
                throw SwarmError(.unimplemented, "\(call.name): this version of swarmd knows no such call")
            }
        } catch {
            logger.notice(
                "a call of another node was refused",
                metadata: [
                    "call": "\(call.name)", "peer.id": "\(principal?.nodeID ?? "")",
                    "peer.address": "\(address)",
                    "error": "\(error)",
                ])
            return .failure(error)
        }
    }

    private func roots() throws(SwarmError) -> RootsAnswer {
        guard let swarm else { throw SwarmError(.unavailable, SwarmText.notMember) }
        return RootsAnswer(roots: String(decoding: swarm.identity.trust.pem, as: UTF8.self))
    }

    private func enrol(_ asked: EnrolmentRequest, from address: String) async throws(SwarmError)
        -> EnrolmentGrant
    {
        let store = try await read()
        guard let cluster = store.cluster, let tokens = cluster.joinTokens, let swarm, let machine else {
            throw SwarmError(.unavailable, SwarmText.preparing)
        }
        let role = try JoinTokenPair(worker: tokens.worker, manager: tokens.manager).role(of: asked.token)
        let request = try X509Request.received(try Base64Text.decode(asked.request))
        let host = HostAndPort.host(of: address)
        let advertised = HostAndPort.host(of: asked.address)
        var generator = SecureRandom()
        let join = NodeJoin(
            nodeID: Identifier.random(using: &generator), role: role == .manager ? "manager" : "worker",
            availability: asked.availability.isEmpty ? "active" : asked.availability,
            description: asked.description, address: advertised.isEmpty ? host : advertised)
        var certificate = try CertificateKeeping.issue(
            request, to: join.nodeID, by: cluster, role: join.role, at: SystemClock.timestamp())
        _ = try await submit(.joinSwarm(join))
        // Whoever is known is waited for when the root changes; it may have changed before this node was.
        if let changed = try await read().cluster, changed.rootEpoch != cluster.rootEpoch {
            certificate = try CertificateKeeping.issue(
                request, to: join.nodeID, by: changed, role: join.role, at: SystemClock.timestamp())
        }
        let own = NodeRecord.Peer(
            nodeID: machine.nodeID, addresses: [swarm.record.advertiseAddress],
            gossipAddress:
                "\(HostAndPort.host(of: swarm.record.advertiseAddress)):\(configuration.gossipPort)",
            isManager: true)
        logger.info(
            "a node was let in",
            metadata: [
                "node.id": "\(join.nodeID)", "node.role": "\(join.role)", "peer.address": "\(address)",
            ])
        return EnrolmentGrant(
            nodeID: join.nodeID, clusterID: cluster.id, isManager: role == .manager, chain: certificate.chain,
            roots: certificate.roots, gossipKeys: cluster.gossipKeys ?? [],
            dataPathPort: UInt16(clamping: cluster.dataPathPort), epoch: machine.epoch,
            rootEpoch: certificate.rootEpoch,
            peers: [own] + knownPeers(machine), seenAddress: host)
    }

    private func challenge() -> [UInt8] {
        let challenge = Reenrolment.freshChallenge()
        let now = SystemClock.now()
        challenges = challenges.filter { now - $0.value < Self.challengeLifetime }
        if challenges.count >= Self.challengesMax, let oldest = challenges.min(by: { $0.value < $1.value }) {
            challenges[oldest.key] = nil
        }
        challenges[challenge] = now
        return challenge
    }

    private func reenrol(_ asked: ReenrolmentRequest) async throws(SwarmError) -> RenewalGrant {
        let challenge = try Base64Text.decode(asked.challenge)
        guard let made = challenges.removeValue(forKey: challenge),
            SystemClock.now() - made < Self.challengeLifetime, let trust = swarm?.identity.trust
        else {
            throw SwarmError(
                .unauthenticated, "re-enrolment refused: the challenge is not known or too old; try again")
        }
        var chain: [[UInt8]] = []
        for text in asked.chain { chain.append(try Base64Text.decode(text)) }
        let proof = Reenrolment(
            chain: chain, request: try Base64Text.decode(asked.request),
            proof: try Base64Text.decode(asked.proof))
        let now = SystemClock.timestamp()
        let (principal, request) = try proof.verify(challenge: challenge, trust: trust, at: now)
        let store = try await read()
        guard let cluster = store.cluster, let node = store.nodes[principal.nodeID] else {
            throw SwarmError(
                .permissionDenied,
                "node \(principal.nodeID) was removed from the swarm while it was off; let it leave and join again"
            )
        }
        return try CertificateKeeping.issue(request, to: node.id, by: cluster, role: node.spec.role, at: now)
    }

    // MARK: The stranger's side

    /// Asks each address in turn; the words of the last failure when none lets this node in.
    func enrol(
        _ asked: SwarmJoining, _ token: JoinToken, _ key: P256PrivateKey
    ) async throws(SwarmError) -> (grant: EnrolmentGrant, trust: TrustBundle) {
        guard !asked.remoteAddresses.isEmpty else {
            throw SwarmError(.invalidArgument, "at least 1 RemoteAddr is required to join")
        }
        var failure = SwarmError(.unavailable, SwarmText.joinTimeout)
        for remote in asked.remoteAddresses {
            do throws(SwarmError) {
                return try await enrol(asked, token, key, at: HostAndPort.withPort(remote))
            } catch {
                failure = error
                // Another address would say the same of what is wrong with this node or its token.
                if error.code != .unavailable && error.code != .deadlineExceeded { throw error }
            }
        }
        throw Self.inDockersWords(failure)
    }

    /// What its clients look for when nobody listens at the address of a manager.
    private static func inDockersWords(_ failure: SwarmError) -> SwarmError {
        let text = failure.description
        guard let middle = text.firstRange(of: " cannot be reached: ") else { return failure }
        let (address, reason) = (text[..<middle.lowerBound], text[middle.upperBound...].lowercased())
        return SwarmError(
            .unavailable,
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing "
                + "dial tcp \(address): connect: \(reason)\"")
    }

    private func enrol(
        _ asked: SwarmJoining, _ token: JoinToken, _ key: P256PrivateKey, at address: String
    ) async throws(SwarmError) -> (grant: EnrolmentGrant, trust: TrustBundle) {
        let seen = SeenChain()
        let first = try await StrangerClient.call(
            PeerCall(name: ClusterCall.roots, body: []), address: address, trust: { seen.set($0) },
            timeout: Self.callTimeout)
        let roots = try CertificateKeeping.certificates(try ClusterCall.decode(RootsAnswer.self, first).roots)
        let trust = try token.trust(inManager: seen.chain, offering: roots, at: SystemClock.timestamp())
        let interfaces = HostAndPort.interfaces()
        let host = HostAndPort.resolve(asked.advertiseAddress, interfaces: interfaces)?.description ?? ""
        let request = EnrolmentRequest(
            token: asked.joinToken, request: Base64Text.encode(try X509Request.forNode(key: key).der),
            availability: asked.availability, description: facts.description(TLSInfo()), address: host)
        let body = try ClusterCall.encode(request)
        let answer = try await StrangerClient.call(
            PeerCall(name: ClusterCall.enrol, body: body), address: address,
            trust: { chain throws(SwarmError) in
                _ = try PeerVerifier(trust: trust, expecting: .role(.manager))
                    .verify(chain: chain, at: SystemClock.timestamp())
            }, timeout: Self.joinTimeout)
        let grant = try ClusterCall.decode(EnrolmentGrant.self, answer)
        return (grant, try TrustBundle(pem: Array(grant.roots.utf8), clusterID: grant.clusterID))
    }
}
