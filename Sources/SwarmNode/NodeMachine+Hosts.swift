import Membership
import SwarmCore
import SwarmModel

/// A member whose daemon is silent, as seen from its host: the kernel there answers for a daemon that was stopped, is
/// being replaced, or hangs, and the containers beside it go on serving.
struct HostWatch: Sendable {
    var address: PeerAddress
    var askAt: Instant
    var answeredAt: Instant?
    /// Since gossip has given the member up.
    var givenUpAt: Instant?
}

/// Gossip hears daemons, not machines. Before it withdraws a silent node's tasks, this node asks whether the machine
/// is there: a connection that is accepted or refused says so, and only silence is a death.
extension NodeMachine {
    /// Between two questions.
    static let hostAskInterval: Duration = .milliseconds(250)
    /// An answer counts for so long.
    static let hostAnswerLifetime: Duration = .milliseconds(800)
    /// A host whose daemon is away for longer is lost whatever its kernel says.
    static let hostPatience: Duration = .seconds(60)

    var nextHostDeadline: Instant? {
        hosts.values.compactMap { watch in
            guard let givenUpAt = watch.givenUpAt, let answeredAt = watch.answeredAt else {
                return watch.askAt
            }
            return min(watch.askAt, answeredAt + Self.hostAnswerLifetime, givenUpAt + Self.hostPatience)
        }.min()
    }

    /// Members whose machine is there and whose daemon is not.
    var absentNodes: Set<ObjectID> {
        Set(hosts.filter { $0.value.givenUpAt != nil }.keys)
    }

    mutating func suspected(_ member: Member, at now: Instant) -> [NodeEffect] {
        guard member.id != nodeID, hosts[member.id] == nil, !deadNodes.contains(member.id) else { return [] }
        hosts[member.id] = HostWatch(address: member.contact.address, askAt: now + Self.hostAskInterval)
        return [.askHost(member.id, member.contact.address)]
    }

    /// Gossip gave the member up; false when its machine answers.
    mutating func isLost(_ member: Member, at now: Instant) -> Bool {
        guard let watch = hosts[member.id], let answeredAt = watch.answeredAt,
            now - answeredAt <= Self.hostAnswerLifetime
        else {
            hosts[member.id] = nil
            return true
        }
        if watch.givenUpAt == nil { hosts[member.id]?.givenUpAt = now }
        return false
    }

    mutating func hostAnswered(_ id: ObjectID, at now: Instant) {
        if hosts[id] != nil { hosts[id]?.answeredAt = now }
    }

    mutating func watchHosts(at now: Instant, time: Timestamp) -> [NodeEffect] {
        var effects: [NodeEffect] = []
        for (id, watch) in hosts.sorted(by: { $0.key < $1.key }) {
            if let givenUpAt = watch.givenUpAt,
                now - (watch.answeredAt ?? givenUpAt) >= Self.hostAnswerLifetime
                    || now - givenUpAt >= Self.hostPatience
            {
                hosts[id] = nil
                effects += lost(id, hasLeft: false, at: now, time)
            } else if watch.askAt <= now {
                hosts[id]?.askAt = now + Self.hostAskInterval
                effects.append(.askHost(id, watch.address))
            }
        }
        return effects
    }
}
