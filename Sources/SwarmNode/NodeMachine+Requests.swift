import Consensus
import Dispatching
import Store
import SwarmCore
import SwarmModel

/// A write that waits for its turn, or for a leader.
struct PendingRequest: Sendable {
    enum Body: Sendable {
        case request(ControlRequest, JoinTokens?)
        case bootstrap([StoreAction])
    }
    var origin: RequestOrigin
    var body: Body
    var failsAt: Instant
    /// How often a leader has refused it.
    var refusals = 0
}

/// A request that a leader has; it is carried out once or not at all.
struct ForwardedRequest: Sendable {
    var pending: PendingRequest
    var leader: LeaderClaim
    var failsAt: Instant
}

/// A linearizable read; it changes nothing, so that it is asked again until a leader answers.
struct PendingRead: Sendable {
    /// The client's.
    var ticket: UInt64
    var failsAt: Instant
}

/// Clients talk to any node; the leader carries out.
extension NodeMachine {
    static let noLeader = SwarmError(
        .unavailable,
        "The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half "
            + "of the managers are online.")
    static let unknownOutcome = SwarmError(
        .unavailable,
        "the leader was lost before it answered: the change may or may not have been made; look before you try again"
    )

    mutating func enqueue(_ origin: RequestOrigin, _ body: PendingRequest.Body, at now: Instant)
        -> [NodeEffect]
    {
        guard waiting.count + forwarded.count < Self.maximumWaitingRequests else {
            let text = "too many requests are waiting for this manager; try again"
            return answer(origin, .failure(SwarmError(.unavailable, text)))
        }
        waiting.append(PendingRequest(origin: origin, body: body, failsAt: now + Self.requestTimeout))
        return []
    }

    mutating func answer(_ origin: RequestOrigin, _ result: Result<ControlResponse, SwarmError>)
        -> [NodeEffect]
    {
        switch origin {
        case .client(let ticket): [.respond(ticket: ticket, result)]
        case .peer(let node, let number): post(.answer(number: number, result), to: node)
        }
    }

    /// The leader that this node would ask, if it knows one that answers.
    var knownLeader: LeaderClaim? {
        guard let leader = session.session?.leader else { return nil }
        // A manager hears of a lost leader first.
        if isManager, raft.membership.isVoter(raft.id), raft.leader != Self.memberID(of: leader.nodeID) {
            return nil
        }
        return leader
    }

    /// Sends what waits to the leader; what came from a peer goes back.
    mutating func forwardWaiting(at now: Instant) -> [NodeEffect] {
        guard manager == nil, !waiting.isEmpty, !raft.isLeader else { return [] }
        var effects: [NodeEffect] = []
        var kept: Queue<PendingRequest> = []
        let leader = knownLeader
        for pending in waiting {
            switch (pending.origin, pending.body) {
            case (.peer(let node, let number), _): effects += post(.refused(number: number), to: node)
            case (.client, .bootstrap): kept.append(pending)
            case (.client, .request(let request, let tokens)):
                guard let leader, leader.nodeID != nodeID else {
                    kept.append(pending)
                    continue
                }
                let number = nextForward
                nextForward += 1
                forwarded[number] = ForwardedRequest(
                    pending: pending, leader: leader, failsAt: now + Self.requestTimeout)
                let message: PeerMessage =
                    if case .attachment(_, let own) = request {
                        .ask(number: number, own, leader: leader)
                    } else {
                        .request(number: number, request, freshTokens: tokens, leader: leader)
                    }
                effects += post(message, to: leader.nodeID)
            }
        }
        waiting = kept
        return effects
    }

    mutating func answered(
        _ number: UInt64, _ result: Result<ControlResponse, SwarmError>, by source: ObjectID
    ) -> [NodeEffect] {
        guard let request = forwarded[number], request.leader.nodeID == source else { return [] }
        forwarded[number] = nil
        return answer(request.pending.origin, result)
    }

    mutating func refused(_ number: UInt64, by source: ObjectID, at now: Instant) -> [NodeEffect] {
        guard var request = forwarded[number], request.leader.nodeID == source else { return [] }
        forwarded[number] = nil
        request.pending.refusals += 1
        guard request.pending.refusals < Self.forwardsMax, request.pending.failsAt > now else {
            return answer(request.pending.origin, .failure(Self.noLeader))
        }
        waiting.append(request.pending)
        return []
    }

    /// Another leader: the former one may still answer, but not for long.
    mutating func expectNoMoreAnswers(at now: Instant) {
        for (number, request) in forwarded where request.leader != session.leader {
            if mutations.contains(.resendsUnansweredRequests) {
                forwarded[number] = nil
                waiting.append(request.pending)
            } else {
                forwarded[number]?.failsAt = min(request.failsAt, now + Self.answerPatience)
            }
        }
    }

    mutating func failOverdue(at now: Instant) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        for (number, request) in forwarded.sorted(by: { $0.key < $1.key }) where request.failsAt <= now {
            forwarded[number] = nil
            effects += answer(request.pending.origin, .failure(Self.unknownOutcome))
        }
        for read in waitingReads where read.failsAt <= now {
            effects.append(.readable(ticket: read.ticket, .failure(Self.noLeader)))
        }
        waitingReads.removeAll { $0.failsAt <= now }
        guard manager == nil else { return effects }
        let overdue = waiting.filter { $0.failsAt <= now }
        waiting.removeAll { $0.failsAt <= now }
        for pending in overdue { effects += answer(pending.origin, .failure(Self.noLeader)) }
        return effects
    }

    // MARK: Reads

    mutating func read(_ ticket: UInt64, at now: Instant, time: Timestamp) -> [NodeEffect] {
        guard isManager else {
            return [
                .readable(
                    ticket: ticket, .failure(SwarmError(.unavailable, "This node is not a swarm manager.")))
            ]
        }
        if mutations.contains(.readsWithoutAsking) { return [.readable(ticket: ticket, .success(store))] }
        return ask(PendingRead(ticket: ticket, failsAt: now + Self.readPatience), at: now, time)
    }

    private mutating func ask(_ read: PendingRead, at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        nextTicket += 1
        reads[nextTicket] = read
        return interpret(raft.receive(.read(ticket: nextTicket), at: now), at: now, time)
    }

    /// Nobody answered the read: it waits for another leader, or a moment for the same one.
    mutating func unanswered(_ read: PendingRead, at now: Instant) -> [NodeEffect] {
        guard read.failsAt > now, waitingReads.count < Self.maximumWaitingRequests else {
            return [.readable(ticket: read.ticket, .failure(Self.noLeader))]
        }
        if waitingReads.isEmpty { readsRetryAt = now + Self.readRetry }
        waitingReads.append(read)
        return []
    }

    mutating func askWaitingReads(at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        guard !waitingReads.isEmpty, raft.leader != nil, readsRetryAt <= now else { return [] }
        let asked = waitingReads
        waitingReads = []
        return asked.flatMap { ask($0, at: now, time) }
    }
}
