package import Allocation
package import Consensus
package import Dispatching
package import Membership
package import Store
package import SwarmCore
package import SwarmModel

/// Turns transactions and store images into bytes and back; the machine does not know the format.
package protocol ObjectCodec: Sendable {
    func encode(_ transaction: Transaction) -> [UInt8]
    func decodeTransaction(_ bytes: [UInt8]) throws(SwarmError) -> Transaction
    func encode(_ image: StoreImage) -> [UInt8]
    func decodeImage(_ bytes: [UInt8]) throws(SwarmError) -> StoreImage
}

package enum NodeEvent: Sendable {
    /// Always first: what storage holds.
    case recovered(RecoveredState)
    /// What ``NodeMachine/takeAssignment()`` gave before the restart, if it could be read: follows `.recovered`.
    case restored(HeldAssignment)
    case persisted(sequence: UInt64)
    case deadlineReached
    case request(ticket: UInt64, ControlRequest, freshTokens: JoinTokens?)
    /// Actions that the node itself needs agreed on, such as a swarm's first objects.
    case bootstrap(ticket: UInt64, [StoreAction])
    /// Asks for a moment at which this node's store is linearizable; answered by `.readable`.
    case read(ticket: UInt64)
    case planned(Plan)
    /// Without its image a snapshot cannot be given to other managers. Not sent when storage did not save it, since it
    /// has a newer one or the log was erased.
    case snapshotSaved(index: LogIndex, image: [UInt8] = [])
    case agent(AgentEvent)
    /// From a node whose certificate the transport has checked. Calls (`.request` and its answers) arrive once or
    /// never; everything else may be lost, doubled or reordered.
    case peer(PeerMessage, from: ObjectID)
    case gossip(MembershipEvent)
    /// The machine of that node is there, whatever its daemon does: answers `.askHost`.
    case hostAnswered(ObjectID)
    /// This node leaves: containers stop, the farewell is gossiped, leadership is handed over.
    case leave
    /// This node stops for a while: another manager leads meanwhile.
    case standDown
}

package enum NodeEffect: Sendable {
    case persist(LogBatch)
    /// Run the planner on this snapshot, answer with `.planned`.
    case plan(ObjectStore, AllocationFacts, seed: UInt64)
    /// To be stored with the configuration, which a restarted member needs.
    case saveSnapshot(ObjectStore, index: LogIndex, term: Term, ClusterConfiguration)
    case respond(ticket: UInt64, Result<ControlResponse, SwarmError>)
    /// The store is linearizable now, or why it cannot be known.
    case readable(ticket: UInt64, Result<ObjectStore, SwarmError>)
    case committed(Commit)
    case agent(AgentEffect)
    case send(PeerMessage, to: PeerRoute)
    /// What gossip wants sent or answered; verdicts are followed by the machine itself.
    case gossip(MembershipEffect)
    /// Is the machine there at which that node listened? A connection that is accepted or refused is an answer.
    case askHost(ObjectID, PeerAddress)
    /// The cluster was made anew elsewhere: forget the log, keep this number with the node's identity. What was
    /// given to storage before must not be answered any more.
    case eraseLog(epoch: UInt64)
    /// The cluster no longer knows this node; all of the swarm here must go.
    case removedFromCluster
    /// What storage holds cannot be understood: the node must not go on.
    case fatal(SwarmError)
}

/// A node to be reached, with the addresses at which it was last known, best first.
package struct PeerRoute: Sendable, Equatable {
    package var nodeID: ObjectID
    package var addresses: [String]

    package init(nodeID: ObjectID, addresses: [String] = []) {
        (self.nodeID, self.addresses) = (nodeID, addresses)
    }
}

package enum PeerMessage: Sendable, Equatable {
    /// Consensus of one epoch; those of another are not heard.
    case raft(RaftMessage, epoch: UInt64)
    case toManager(AgentMessage)
    case toAgent(DispatchMessage)
    /// A client's request on its way to the leader; only that leadership may carry it out.
    case request(number: UInt64, ControlRequest, freshTokens: JoinTokens?, leader: LeaderClaim)
    /// What any node may ask, for itself; answered like a request.
    case ask(number: UInt64, AttachmentRequest, leader: LeaderClaim)
    case answer(number: UInt64, Result<ControlResponse, SwarmError>)
    /// Not carried out, and never will be.
    case refused(number: UInt64)
}

/// What makes a node part of a cluster.
package struct ClusterSetup: Sendable {
    package struct Gossip: Sendable {
        package var contact: Contact
        package var incarnation: Incarnation
        package var configuration: MembershipConfiguration

        package init(
            contact: Contact, incarnation: Incarnation, configuration: MembershipConfiguration = .lan
        ) {
            (self.contact, self.incarnation, self.configuration) = (contact, incarnation, configuration)
        }
    }
    package var gossip: Gossip?
    /// Whether this node began the cluster; all others learn of its managers from the log.
    package var isFounder = true
    /// Grows when a cluster is made anew by force; kept with the node's identity.
    package var epoch: UInt64 = 0
    /// The log was just made this node's alone: the other managers are to become workers.
    package var isForced = false
    /// Managers to look for at the start.
    package var managers: [ObjectID] = []
    package var snapshotInterval = NodeMachine.snapshotInterval
    package var snapshotBytes = NodeMachine.snapshotBytes
    package var raft = RaftConfiguration()
    package var dispatch = DispatchConfiguration()

    package init() {}
}

/// Wrong turns that the simulator can make a node take, to prove that its checkers notice. Never set elsewhere.
package struct NodeMutations: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let sendsBeforePersisting = NodeMutations(rawValue: 1 << 0)
    package static let appliesStalePlans = NodeMutations(rawValue: 1 << 1)
    package static let keepsEndpointsOfTheDead = NodeMutations(rawValue: 1 << 2)
    package static let restartsTasksOnLeaderChange = NodeMutations(rawValue: 1 << 3)
    package static let answersBeforeAgreement = NodeMutations(rawValue: 1 << 4)
    package static let readsWithoutAsking = NodeMutations(rawValue: 1 << 5)
    package static let resendsUnansweredRequests = NodeMutations(rawValue: 1 << 6)
    package static let appliesPlansInPart = NodeMutations(rawValue: 1 << 7)
    /// A leader that comes back goes on from what it once hoped would be agreed on.
    package static let keepsLostWrites = NodeMutations(rawValue: 1 << 8)
    /// Requests are refused, or found done already, by writes that are not agreed on.
    package static let answersFromSpeculation = NodeMutations(rawValue: 1 << 9)
}
