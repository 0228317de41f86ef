import Dispatching
import Membership
import SwarmCore
import SwarmModel

/// Who lives: gossip's verdicts count at once and on every node, without a quorum.
extension NodeMachine {
    mutating func hear(_ event: MembershipEvent, at now: Instant, time: Timestamp) -> [NodeEffect] {
        guard let verdicts = gossip?.receive(event, at: now) else { return [] }
        var effects: [NodeEffect] = []
        // Before a node counts as alive again, so that nothing goes to where it was.
        if verdicts.contains(where: \.changesAddresses) {
            effects += absorb(agent.receive(.peers(dataPathAddresses), at: time), at: now, time)
        }
        for verdict in verdicts {
            switch verdict {
            case .send, .openExchange, .answerExchange, .openStreamPing, .answerStreamPing,
                .identityContested, .senderDoubted, .departureDenied:
                effects.append(.gossip(verdict))
            case .leftCluster:
                hasSaidFarewell = true
                effects.append(.gossip(verdict))
            case .memberAlive(let member): effects += revived(member.id, at: now, time)
            case .memberDead(let member):
                if isLost(member, at: now) { effects += lost(member.id, hasLeft: false, at: now, time) }
                mustCheck(member.id)
            case .memberLeft(let member): effects += lost(member.id, hasLeft: true, at: now, time)
            case .memberSuspect(let member): effects += suspected(member, at: now)
            case .memberUpdated(let member): manager?.nodesToCheck.insert(member.id)
            }
        }
        session.candidates =
            gossip?.members.filter { $0.isPresent && $0.contact.metadata.role == .manager && $0.id != nodeID }
            .map(\.id)
            ?? []
        if session.nextDeadline == nil, session.session == nil, !session.candidates.isEmpty {
            session.start(at: now)
        }
        return effects
    }

    /// Where tunnels to other members end; those that left have none.
    private var dataPathAddresses: [ObjectID: IPv4Address] {
        var addresses: [ObjectID: IPv4Address] = [:]
        for member in gossip?.members ?? [] where member.id != nodeID && member.status != .left {
            let metadata = member.contact.metadata
            let candidates = [metadata.dataPathAddress] + metadata.addresses + [member.contact.address.host]
            addresses[member.id] = candidates.lazy.compactMap { IPv4Address($0) }.first
        }
        return addresses
    }

    private mutating func revived(_ id: ObjectID, at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        nodeIDs[Self.memberID(of: id)] = id
        leftNodes.remove(id)
        hosts[id] = nil
        mustCheck(id)
        var effects: [NodeEffect] = []
        if deadNodes.remove(id) != nil { effects += tellAgent(at: now, time) }
        if let announcement = manager?.dispatcher.announce(to: id) { effects += post([announcement]) }
        return effects
    }

    mutating func lost(_ id: ObjectID, hasLeft: Bool, at now: Instant, _ time: Timestamp)
        -> [NodeEffect]
    {
        if hasLeft { leftNodes.insert(id) }
        hosts[id] = nil
        mustCheck(id)
        return deadNodes.insert(id).inserted ? tellAgent(at: now, time) : []
    }

    private mutating func mustCheck(_ id: ObjectID) {
        manager?.nodesToCheck.insert(id)
        // Whether a manager that left can be spared depends on all others.
        if !leftNodes.isEmpty { manager?.nodesToCheck = .all }
        manager?.mustCheckVoters = true
    }

    private mutating func tellAgent(at now: Instant, _ time: Timestamp) -> [NodeEffect] {
        guard !mutations.contains(.keepsEndpointsOfTheDead) else { return [] }
        return absorb(agent.receive(.unreachable(deadNodes), at: time), at: now, time)
    }

    /// Tells everybody whether this node is a manager.
    mutating func announceRole(at now: Instant, time: Timestamp) -> [NodeEffect] {
        guard isManager != wasMember else { return [] }
        wasMember = isManager
        guard var contact = gossip?.contact else { return [] }
        contact.metadata.role = isManager ? .manager : .worker
        return hear(.contactChanged(contact), at: now, time: time)
    }
}

extension MembershipEffect {
    fileprivate var changesAddresses: Bool {
        switch self {
        case .memberAlive, .memberUpdated, .memberLeft: true
        case .send, .openExchange, .answerExchange, .openStreamPing, .answerStreamPing, .identityContested,
            .senderDoubted, .departureDenied, .leftCluster, .memberSuspect, .memberDead:
            false
        }
    }
}
