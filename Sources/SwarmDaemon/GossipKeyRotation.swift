import ClusterSecurity
import Dispatching
import Logging
import Store
import SwarmCore
import SwarmModel
import SwarmNode
import Transport

/// When the key of the gossip changes: a new one is made known before anybody seals with it, and the old one is kept
/// until nobody does.
enum GossipKeyRotation {
    static let interval: Duration = .seconds(12 * 3600)
    /// Every node has asked for the keys in this time, or is cut off and asks when it is back.
    static let spread: Duration = .seconds(300)
    /// Nodes that are no managers ask so often.
    static let pollInterval: Duration = .seconds(60)

    /// The next step's keys, newest first, or nil when it is not due; `changedAt` is when the last was taken.
    static func next(keys: [String], changedAt: Timestamp, at now: Timestamp, fresh: () -> String)
        -> [String]?
    {
        guard let primary = keys.first else { return [fresh()] }
        let age = now - changedAt
        switch keys.count {
        // One key for long: another is made known.
        case 1: return age >= interval ? [primary, fresh()] : nil
        // Everybody knows it: it is sealed with.
        case 2: return age >= spread ? [keys[1], primary, primary] : nil
        // Nobody seals with the old one any more.
        default: return age >= spread ? [primary] : nil
        }
    }
}

extension NodeDriver {
    func followGossipKeys(_ machine: NodeMachine) {
        if let cluster = machine.store.cluster, machine.isManager {
            takeGossipKeys(cluster.gossipKeys ?? [])
            let now = SystemClock.timestamp()
            let fresh = { GossipKeys.text(.generate()) }
            guard machine.isLeader,
                let keys = GossipKeyRotation.next(
                    keys: cluster.gossipKeys ?? [],
                    changedAt: cluster.gossipKeysChangedAt ?? cluster.createdAt,
                    at: now, fresh: fresh)
            else { return }
            var changed = cluster
            (changed.gossipKeys, changed.gossipKeysChangedAt) = (keys, now)
            let actions: [StoreAction] = [.update(.cluster(changed))]
            Task { _ = try? await self.write { .bootstrap(ticket: $0, actions) } }
            return
        }
        let now = SystemClock.now()
        if let asked = certificates.gossipKeysAskedAt, now - asked < GossipKeyRotation.pollInterval { return }
        guard machine.session.session != nil else { return }
        certificates.gossipKeysAskedAt = now
        let generation = self.generation
        Task {
            guard let answer = try? await self.askManagers(PeerCall(name: ClusterCall.gossipKeys, body: [])),
                let keys = try? ClusterCall.decode([String].self, answer), generation == self.generation
            else { return }
            self.takeGossipKeys(keys)
        }
    }

    private func takeGossipKeys(_ keys: [String]) {
        guard let swarm, !keys.isEmpty else { return }
        let ring = swarm.identity.storageRing(.secret)
        guard (try? GossipKeys.opened(swarm.record.sealedGossipKeys, with: ring, of: paths.record)) != keys,
            let fresh = try? GossipKeys.ring(keys)
        else { return }
        swarm.gossip.replaceRing(fresh)
        self.swarm?.record.sealedGossipKeys = GossipKeys.sealed(keys, with: ring)
        saveRecord()
        logger.info("the gossip's keys changed")
    }
}
