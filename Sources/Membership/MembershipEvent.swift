/// What happens to a ``MembershipMachine``.
package enum MembershipEvent: Sendable, Equatable {
    /// Starts the machine; the seeds are tried until one answers, and again whenever no member is left.
    case join(seeds: [PeerAddress])
    case received(GossipDatagram, from: PeerAddress)
    /// A peer opened an exchange; answered with `.answerExchange` of the same ticket.
    case exchangeRequested(ticket: UInt64, StateExchange)
    case exchangeAnswered(ticket: UInt64, StateExchange)
    case exchangeFailed(ticket: UInt64)
    /// A peer asks over a stream whether this node lives.
    case streamPinged(ticket: UInt64, target: NodeID)
    case streamPingAnswered(sequence: UInt64)
    case deadlineReached
    /// This node has new metadata or another address.
    case contactChanged(Contact)
    case leave
}

/// What the driver does for a ``MembershipMachine``, in order.
package enum MembershipEffect: Sendable, Equatable {
    case send(GossipDatagram, to: PeerAddress)
    case openExchange(ticket: UInt64, to: PeerAddress, StateExchange)
    case answerExchange(ticket: UInt64, StateExchange)
    /// Ping over a stream, for networks that swallow datagrams; silence is an answer too.
    case openStreamPing(sequence: UInt64, target: NodeID, to: PeerAddress)
    case answerStreamPing(ticket: UInt64)
    /// New, back from suspicion, or back from the dead.
    case memberAlive(Member)
    case memberSuspect(Member)
    case memberDead(Member)
    case memberLeft(Member)
    /// Alive before and after; its contact changed.
    case memberUpdated(Member)
    /// Somebody else uses this node's identifier from that address, or did before a restart.
    case identityContested(PeerAddress)
    /// A datagram in the name of that member came from an address that is not known to be its: it was dropped.
    case senderDoubted(NodeID, at: PeerAddress)
    /// `speaker` said that the member left, which the member itself denies.
    case departureDenied(NodeID, speaker: NodeID)
    /// The farewell has been spread; sockets may be closed.
    case leftCluster
}

/// Counters for metrics; they never influence a decision.
package struct MembershipStatistics: Sendable, Equatable {
    package var probes = 0
    package var failedProbes = 0
    package var refutations = 0
    package var ownPauses = 0
    package var refusedInput = 0
    package var refusedMembers = 0
    /// Deaths by hearsay that first-hand evidence turned into suspicions.
    package var doubtedDeaths = 0
    /// Datagrams in a member's name from an address that is not known to be its.
    package var doubtedSenders = 0
    /// Changed contacts by hearsay, about which the member itself was asked.
    package var doubtedContacts = 0
    /// Departures by hearsay that the member itself denied.
    package var deniedDepartures = 0

    package init() {}
}
