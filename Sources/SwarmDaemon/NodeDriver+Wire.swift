import ClusterSecurity
import DNSServer
import Dispatching
import Logging
import Membership
import Persistence
import Store
import SwarmCore
import SwarmModel
import SwarmNode
import Transport

/// What travels between nodes.
extension NodeDriver {
    func take(_ event: NodeEvent, of generation: Int) {
        guard generation == self.generation else { return }
        // The leader's log begins to arrive: this node is to be a manager, and needs a manager's certificate to
        // answer.
        if case .peer(.raft, _) = event, swarm?.identity.principal.role == .worker { wantCertificate() }
        stepSoon(event)
    }

    func transmit(_ message: PeerMessage, to route: PeerRoute) {
        guard let swarm else { return }
        // The others would refuse it, and hold it against this node.
        if message.needsManager, swarm.identity.principal.role != .manager { return }
        swarm.peers.send(message, to: complete(route))
    }

    /// With the ports that are meant, and what is remembered when nothing newer is known.
    func complete(_ route: PeerRoute) -> PeerRoute {
        var known: [String] = []
        let remembered = swarm?.record.peers.first { $0.nodeID == route.nodeID }?.addresses ?? []
        for address in (route.addresses + remembered).map(HostAndPort.withPort) where !known.contains(address)
        {
            known.append(address)
        }
        return PeerRoute(nodeID: route.nodeID, addresses: known)
    }

    func gossip(_ effect: MembershipEffect) {
        switch effect {
        case .identityContested(let address):
            logger.warning(
                "another node speaks as this one, or did before a restart",
                metadata: ["peer.address": "\(address)"])
        default: swarm?.gossip.perform(effect)
        }
    }

    func eraseLog(_ epoch: UInt64) {
        logger.warning(
            "the swarm was made anew elsewhere; this node forgets its log", metadata: ["epoch": "\(epoch)"])
        swarm?.log.erase()
        swarm?.record.epoch = epoch
        swarm?.record.isFounder = false
        saveRecord()
    }

    func saveRecord() {
        guard let record = swarm?.record else { return }
        do throws(SwarmError) { try record.save(to: paths.record) } catch {
            logger.error("what this node knows of its swarm cannot be kept", metadata: ["error": "\(error)"])
        }
    }

    /// `trouble`: why nothing can be written; nil when all that waited is.
    func noteFullDisk(_ trouble: SwarmError?, of generation: Int) {
        guard generation == self.generation else { return }
        diskTrouble = trouble
        if let trouble {
            logger.error(
                "the log cannot be written: this manager accepts no changes until it can; containers go on",
                metadata: ["error": "\(trouble)"])
            // What is under way is written when there is room: nobody is to wait until then.
            let refusal = SwarmError(
                .resourceExhausted,
                "this manager cannot write its log: free space on its disk; the change may still be made then, so look "
                    + "before you try again", cause: trouble.message)
            let waiting = waiters
            waiters = [:]
            for waiter in waiting.values { waiter.resume(returning: .failure(refusal)) }
            if let machine, machine.isLeader, machine.voters.count > 1 { step(.standDown) }
        } else {
            logger.info("the log is written again: this manager accepts changes")
        }
    }

    func snapshotFailed(_ error: SwarmError, of generation: Int) {
        guard generation == self.generation else { return }
        // The log is whole without it.
        logger.error("a snapshot could not be saved", metadata: ["error": "\(error)"])
    }

    // MARK: What changes slowly

    func keepHouse() {
        guard let machine, swarm != nil else { return }
        rememberPeers(machine)
        if swarm?.record.isForced == true, machine.isLeader,
            machine.store.nodes.sorted.allSatisfy({ $0.id == machine.nodeID || $0.spec.role == "worker" })
        {
            swarm?.record.isForced = false
            saveRecord()
        }
        keepCertificate()
        followRoots(machine)
        keepUnlockKey()
        noteRefusedStatuses(machine)
        noteUnreadableQueries()
        announceSelf(machine)
        followGossipKeys(machine)
    }

    /// Once for each look, however many there were: a container can send as many as it likes.
    private func noteUnreadableQueries() {
        let (unreadable, refused) = (names.counters.malformed, names.counters.refused)
        if unreadable > loggedUnreadableQueries {
            logger.warning(
                "containers sent DNS packets that cannot be read",
                metadata: ["packets": "\(unreadable - loggedUnreadableQueries)"])
        }
        if refused > loggedRefusedQueries {
            logger.warning(
                "names outside the swarm were not looked up: too many lookups were under way; are the resolvers up?",
                metadata: ["queries": "\(refused - loggedRefusedQueries)"])
        }
        (loggedUnreadableQueries, loggedRefusedQueries) = (unreadable, refused)
    }

    /// Once for each look at what changes slowly, however many there were.
    private func noteRefusedStatuses(_ machine: NodeMachine) {
        let refused = machine.refusedStatuses
        for (node, count) in refused.sorted(by: { $0.key < $1.key })
        where count > loggedRefusals[node, default: 0] {
            logger.warning(
                "a node reported on tasks of other nodes, which was refused",
                metadata: ["peer.id": "\(node)", "statuses": "\(count - loggedRefusals[node, default: 0])"])
        }
        loggedRefusals = refused
    }

    /// The peers that this node knows now, itself left out, managers first.
    func knownPeers(_ machine: NodeMachine) -> [NodeRecord.Peer] {
        let members = (machine.gossip?.members ?? []).filter { $0.isPresent && $0.id != machine.nodeID }
        return members.map { member in
            NodeRecord.Peer(
                nodeID: member.id, addresses: member.contact.metadata.addresses,
                gossipAddress: member.contact.address.description,
                isManager: member.contact.metadata.role == .manager)
        }
        .sorted { ($0.isManager ? 0 : 1, $0.nodeID) < ($1.isManager ? 0 : 1, $1.nodeID) }
    }

    private func rememberPeers(_ machine: NodeMachine) {
        let known = Array(knownPeers(machine).prefix(NodeRecord.peersMax))
        // Alone in the dark, the last that were known are all there is.
        guard let record = swarm?.record, !known.isEmpty, known != record.peers else { return }
        swarm?.record.peers = known
        saveRecord()
    }
}

extension PeerMessage {
    /// Whether only managers may say this.
    var needsManager: Bool {
        switch self {
        case .raft, .toAgent, .request, .answer, .refused: true
        case .toManager, .ask: false
        }
    }
}
