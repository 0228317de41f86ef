/// Something said about a member; rumours spread claims from node to node.
///
/// Claims about one member are totally ordered by incarnation, then alive < suspect < dead < left, then contact:
/// every node that has heard the same claims holds the same view, in whatever order they came.
package struct Claim: Sendable, Hashable {
    package enum Content: Sendable, Hashable {
        case alive(Contact)
        /// `silentMilliseconds`: how long ago the accuser knew of anybody who heard the member.
        case suspect(by: NodeID, silentMilliseconds: UInt32)
        case dead(by: NodeID)
        case left
    }
    package var subject: NodeID
    package var incarnation: Incarnation
    package var content: Content

    package init(subject: NodeID, incarnation: Incarnation, content: Content) {
        (self.subject, self.incarnation, self.content) = (subject, incarnation, content)
    }

    package var sizeBound: Int {
        let fixed = subject.utf8.count + 20
        switch content {
        case .alive(let contact): return fixed + contact.sizeBound
        case .suspect(let accuser, _): return fixed + accuser.utf8.count + 12
        case .dead(let accuser): return fixed + accuser.utf8.count + 4
        case .left: return fixed
        }
    }
}

/// One datagram: a probe message or nothing, and as many rumours as fit.
package struct GossipDatagram: Sendable, Hashable {
    package enum Body: Sendable, Hashable {
        /// Answered with `.ack` by `target` alone: another node may have taken over its address.
        case ping(sequence: UInt64, target: NodeID)
        case pingRequest(sequence: UInt64, target: NodeID, address: PeerAddress)
        case ack(sequence: UInt64)
        /// The helper is well but its own ping found nothing (Lifeguard, LHA-Probe).
        case nack(sequence: UInt64)
        case gossip
    }
    package var from: NodeID
    package var body: Body
    package var claims: [Claim]

    package init(from: NodeID, body: Body, claims: [Claim] = []) {
        (self.from, self.body, self.claims) = (from, body, claims)
    }

    /// An upper bound of any reasonable encoding: fields counted with tag, length and full-width integers.
    package var sizeBound: Int { claims.reduce(headSizeBound) { $0 + $1.sizeBound } }

    var headSizeBound: Int {
        let fixed = from.utf8.count + 16
        switch body {
        case .ping(_, let target): return fixed + 14 + target.utf8.count
        case .pingRequest(_, let target, let address):
            return fixed + 14 + target.utf8.count + address.host.utf8.count + 10
        case .ack, .nack: return fixed + 12
        case .gossip: return fixed
        }
    }
}

/// Everything one node knows, for anti-entropy over a stream: it carries every fact that acceptance depends on.
package struct StateExchange: Sendable, Hashable {
    package var from: NodeID
    package var members: [Member]

    package init(from: NodeID, members: [Member]) { (self.from, self.members) = (from, members) }
}
