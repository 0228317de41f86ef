import ClusterSecurity
import Consensus
import Dispatching
import Foundation
import Glibc
import LibCrypto
import LogGathering
import Logging
import Membership
import NIOCore
import NIOPosix
import Ports
import SwarmCore
import SwarmModel
import SwarmNode
import SwarmWire
import Testing
import Transport

/// A worker of a real cluster gone bad: it has its certificate and the gossip's key, and tries all it can.
///
/// Run by `ClusterTests/Scenarios/hostile.sh` inside that node's network, which looks at the cluster afterwards.
@Suite(.enabled(if: getenv("SWARM_HOSTILE_IDENTITY") != nil), .serialized) struct HostileNodeTests {
    struct Peer { var id: String, host: String }
    let identity: NodeIdentity
    let manager: Peer
    let victim: Peer
    let victimTask: String

    init() throws {
        func setting(_ name: String) -> String { getenv("SWARM_HOSTILE_" + name).map { String(cString: $0) } ?? "" }
        identity = try IdentityStore(directory: setting("IDENTITY")).load()
        manager = Peer(id: setting("MANAGER"), host: setting("MANAGER_HOST"))
        victim = Peer(id: setting("VICTIM"), host: setting("VICTIM_HOST"))
        victimTask = setting("TASK")
    }

    static var time: Timestamp {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        return Timestamp(nanoseconds: Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec))
    }

    func node() async throws -> TestNode { try await TestNode(identity, at: Self.time).start() }
    var route: PeerRoute { PeerRoute(nodeID: manager.id, addresses: ["\(manager.host):2377"]) }

    @Test func `what only managers may say is refused`() async throws {
        let node = try await node()
        let own = NodeMachine.memberID(of: identity.principal.nodeID)
        let leader = NodeMachine.memberID(of: manager.id)
        let bodies: [RaftMessage.Body] = [
            .requestVote(lastIndex: 1 << 40, lastTerm: 1 << 40, isPreVote: false), .timeoutNow,
            .append(previousIndex: 0, previousTerm: 0, entries: [], commit: 1 << 40, round: 1),
            .vote(granted: true, isPreVote: false),
        ]
        var messages: [PeerMessage] = bodies.flatMap { body -> [PeerMessage] in
            [own, leader].map { .raft(RaftMessage(from: $0, to: leader, term: 1 << 40, body: body), epoch: 0) }
        }
        let claim = LeaderClaim(epoch: 1 << 40, term: 1 << 40, nodeID: identity.principal.nodeID)
        messages += [
            .toAgent(.leader(claim)), .toAgent(.nodeUnknown(claim)),
            .request(number: 1, .removeService(id: "x"), freshTokens: nil, leader: claim),
            .request(number: 2, .removeNode(id: victim.id, force: true), freshTokens: nil, leader: claim),
            .answer(number: 1, .success(.done)), .refused(number: 1),
        ]
        for message in messages {
            let before = node.transport.statistics.refusalsHeard
            node.transport.send(message, to: route)
            #expect(
                await eventually { node.transport.statistics.refusalsHeard > before }, "\(message) was not refused")
        }
        await node.transport.shutdown()
    }

    @Test func `calls give nothing that is not this node's own`() async throws {
        let node = try await node()
        func call(_ name: String, _ body: String = "") async -> Result<[UInt8], SwarmError> {
            do throws(SwarmError) {
                return .success(try await node.transport.call(PeerCall(name: name, body: Array(body.utf8)), to: route))
            } catch { return .failure(error) }
        }
        let request = base64(try X509Request.forNode(key: P256PrivateKey.generate()).der)
        let description = #""description":{"Hostname":"evil","Platform":{},"Resources":{},"Engine":{}}"#
        let refused = [
            ("ca.enrol", #"{"token":"","request":"\#(request)","availability":"active",\#(description),"address":""}"#),
            (
                "ca.enrol",
                #"{"token":"SWMTKN-1-\#(String(repeating: "0", count: 50))-\#(String(repeating: "0", count: 25))","#
                    + #""request":"\#(request)","availability":"active",\#(description),"address":""}"#
            ),
            ("ca.reenrol", #"{"challenge":"AAAA","chain":[],"request":"\#(request)","proof":"AAAA"}"#),
            ("ca.renew", #"{"request":"AAAA"}"#), ("ca.renew", ""), ("node.announce", "{}"), ("node.announce", ""),
            ("node.promote", "{}"), ("swarm.unlock", "{}"), ("ca.key", ""), ("", ""),
        ]
        for (name, body) in refused {
            let result = await call(name, body)
            #expect((try? result.get()) == nil, "\(name) \(body) was granted")
        }
        // What others' tasks wrote, asked for as managers do.
        let ask = LogAsk(
            [LogAsk.Want(task: victimTask, container: "")], LogOptions(), patience: .zero, bytesMax: 1000)
        for peer in [manager, victim] {
            let route = PeerRoute(nodeID: peer.id, addresses: ["\(peer.host):2377"])
            do throws(SwarmError) {
                let body = try LogCallCodec.encode(ask)
                _ = try await node.transport.call(PeerCall(name: "task.logs", body: body), to: route)
                Issue.record("logs were given to a worker by \(peer.host)")
            } catch {
                #expect(error.code == .permissionDenied, "\(peer.host): \(error)")
            }
        }
        // Its own renewal, whatever else it writes into it.
        let body = #"{"request":"\#(request)","role":"manager","nodeID":"\#(victim.id)"}"#
        struct Grant: Decodable { var chain: String }
        let grant = try JSONDecoder().decode(Grant.self, from: Data(try await call("ca.renew", body).get()))
        let leaf = try #require(try PEMBlock.parse(Array(grant.chain.utf8)).first)
        let principal = try PeerVerifier(trust: identity.trust).verify(chain: [leaf.bytes], at: Self.time)
        #expect(principal.nodeID == identity.principal.nodeID && principal.role == .worker)
        await node.transport.shutdown()
    }

    @Test func `statuses of another node's task are refused`() async throws {
        let node = try await node()
        var session: SessionID?
        for attempt in 1...20 as ClosedRange<UInt64> where session == nil {
            node.transport.send(.toManager(.open(attempt: attempt, held: [:])), to: route)
            await node.received.wait(.seconds(1)) { $0.contains { Self.session(in: $0) != nil } }
            session = node.received.all.lazy.compactMap(Self.session).last
        }
        let id = try #require(session, "no session with \(manager.id)")
        let held = node.received.all.compactMap { received -> AssignmentUpdate? in
            guard case .toAgent(.update(let update)) = received.message else { return nil }
            return update
        }
        let isOthers = held.contains { "\($0)".contains(victimTask) && !"\($0)".contains("endpoints") }
        #expect(!isOthers, "it was given another node's task")
        let status = TaskStatus(timestamp: Self.time, state: .failed, message: "forged", err: "forged")
        node.transport.send(.toManager(.statuses(id, number: 1, [victimTask: status])), to: route)
        let isAnswered = await node.received.wait { received in
            received.contains { if case .toAgent(.acknowledged(id, 1)) = $0.message { true } else { false } }
        }
        #expect(isAnswered, "a session that reports nonsense goes on")
        await node.transport.shutdown()
    }

    private static func session(in received: TestNode.Received) -> SessionID? {
        guard case .toAgent(.update(let update)) = received.message else { return nil }
        return update.session
    }

    @Test func `gossip in others' names and about others changes nothing`() async throws {
        let node = try await node()
        let answer = try await node.transport.call(PeerCall(name: "gossip.keys"), to: route)
        let keys = String(decoding: answer, as: UTF8.self).replacing("\\/", with: "/").split { "[]\",".contains($0) }
            .compactMap { Base64.decode(Array($0.utf8)).flatMap { SealingKey(bytes: $0) } }
        let ring = KeyRing(purpose: .gossip, primary: try #require(keys.first))
        let here = Contact(
            address: PeerAddress(host: "198.18.0.14", port: 7946),
            metadata: MemberMetadata(
                role: .manager, addresses: ["198.18.0.14:2377"], dataPathAddress: "198.18.0.14", version: "evil"))
        let high = Incarnation(Self.time.seconds) + 1_000_000
        let far = MembershipConfiguration.incarnationMax
        var claims: [Claim] = []
        for (subject, incarnation) in [(victim.id, high), (manager.id, high), (victim.id, far)] {
            claims += [
                Claim(subject: subject, incarnation: incarnation, content: .alive(here)),
                Claim(subject: subject, incarnation: incarnation, content: .left),
                Claim(subject: subject, incarnation: incarnation, content: .dead(by: identity.principal.nodeID)),
            ]
        }
        let socket = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "0.0.0.0", port: 0).get()
        // Long enough that a lie which is believed would show.
        for round in 0..<60 {
            for name in [identity.principal.nodeID, victim.id, manager.id, "stranger"] {
                for claim in claims {
                    let datagram = GossipDatagram(
                        from: name, body: round % 2 == 0 ? .gossip : .ping(sequence: 1, target: manager.id),
                        claims: [claim])
                    for host in [manager.host, victim.host] {
                        let bytes = ByteBuffer(bytes: ring.seal(GossipCodec.encode(datagram)))
                        let address = try SocketAddress(ipAddress: host, port: 7946)
                        socket.writeAndFlush(AddressedEnvelope(remoteAddress: address, data: bytes), promise: nil)
                    }
                }
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        try await socket.close()
        await node.transport.shutdown()
    }

    private func base64(_ bytes: [UInt8]) -> String { String(decoding: Base64.encode(bytes), as: UTF8.self) }
}
