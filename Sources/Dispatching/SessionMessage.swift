package import SwarmModel

/// Who leads: a later epoch (a cluster made anew by force) outranks every term of an earlier one.
package struct LeaderClaim: Sendable, Hashable, Comparable {
    package var epoch: UInt64
    package var term: UInt64
    package var nodeID: ObjectID

    package init(epoch: UInt64, term: UInt64, nodeID: ObjectID) {
        (self.epoch, self.term, self.nodeID) = (epoch, term, nodeID)
    }

    package static func < (left: LeaderClaim, right: LeaderClaim) -> Bool {
        (left.epoch, left.term) < (right.epoch, right.term)
    }
}

/// One stream between an agent and one leadership; numbers grow within a leadership.
package struct SessionID: Sendable, Hashable {
    package var leader: LeaderClaim
    package var number: UInt64

    package init(leader: LeaderClaim, number: UInt64) { (self.leader, self.number) = (leader, number) }
}

/// A step of the assignment stream.
package struct AssignmentUpdate: Sendable, Equatable {
    /// What the step builds on.
    package enum Base: Sendable, Equatable {
        /// What the agent said it held when it asked for this session.
        case held(attempt: UInt64)
        /// Nothing: everything is in here.
        case nothing
        case version(UInt64)
    }
    package var session: SessionID
    package var base: Base
    /// The stream's version afterwards; the first is 1.
    package var version: UInt64
    package var delta: AssignmentDelta
    /// All managers, so that an agent finds another one.
    package var managers: [ObjectID]

    package init(
        session: SessionID, base: Base, version: UInt64, delta: AssignmentDelta, managers: [ObjectID]
    ) {
        (self.session, self.base, self.version) = (session, base, version)
        (self.delta, self.managers) = (delta, managers)
    }
}

/// From agents to managers. The transport vouches for the sender.
package enum AgentMessage: Sendable, Equatable {
    /// Asks for a session; `held` is empty when the agent knows nothing. `attempt` comes back with the answer.
    case open(attempt: UInt64, held: [AssignmentKey: UInt64])
    /// A sign of life, and how far the assignments have arrived.
    case beat(SessionID, version: UInt64)
    /// A step is missing or did not fit: everything once more.
    case resynchronize(SessionID)
    case statuses(SessionID, number: UInt64, [ObjectID: TaskStatus])
}

/// From managers to agents.
package enum DispatchMessage: Sendable, Equatable {
    case leader(LeaderClaim)
    /// Not the leader; perhaps somebody else is known to be.
    case notLeader(LeaderClaim?)
    case update(AssignmentUpdate)
    case beatAnswered(SessionID)
    /// Statuses of that number are in the log.
    case acknowledged(SessionID, number: UInt64)
    /// The session is not known: open another.
    case sessionUnknown(SessionID)
    /// The leader has no such node.
    case nodeUnknown(LeaderClaim)
}

/// Wrong turns that a test can make both ends take, to prove that the checkers notice. Never set elsewhere.
package struct DispatchMutations: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Steps are applied whatever they build on: twice, or out of order.
    package static let appliesStepsBlindly = DispatchMutations(rawValue: 1 << 0)
    /// Statuses are taken from whoever sends them.
    package static let acceptsForeignStatuses = DispatchMutations(rawValue: 1 << 1)
    /// A deposed leader's assignments are taken.
    package static let obeysStaleSessions = DispatchMutations(rawValue: 1 << 2)
    /// Nodes have no time to come back after a change of leader.
    package static let grantsNoGrace = DispatchMutations(rawValue: 1 << 3)
    /// Statuses are acknowledged before they are in the log.
    package static let acknowledgesStatusesEarly = DispatchMutations(rawValue: 1 << 4)
    /// A gap in the stream goes unnoticed.
    package static let ignoresGaps = DispatchMutations(rawValue: 1 << 5)
}

/// Times and bounds of sessions.
package struct DispatchConfiguration: Sendable {
    /// Agents give a sign of life so often.
    package var beatInterval: Duration = .seconds(1)
    /// A node that has been silent for so long is given no new tasks until it is heard again: two beats are missing.
    package var doubtAfter: Duration = .milliseconds(2500)
    /// A node that is held for dead and has been silent for so long is down.
    package var silenceConfirmation: Duration = .milliseconds(1500)
    /// A node that nobody holds for dead is down after so long without a sign of life.
    package var silenceMax: Duration = .seconds(15)
    /// After a change of leader nodes have so long to come back.
    package var leaderChangeGrace: Duration = .seconds(30)
    /// A node that is held for dead has so long after a change of leader to open its session.
    package var deathGrace: Duration = .seconds(2)
    /// A beat that still names an old version so long after a newer one was sent: that one is lost.
    package var updatePatience: Duration = .seconds(1)
    /// An agent that hears nothing from its leader for so long looks for another.
    package var leaderSilenceMax: Duration = .seconds(3)
    package var retryInitial: Duration = .milliseconds(100)
    package var retryMax: Duration = .seconds(2)
    /// Statuses that were not acknowledged go out again after so long.
    package var statusPatience: Duration = .seconds(2)
    package var statusesPerBatch = 1000
    /// A node believes that it was removed when leaders say so for this long.
    package var removalConfirmation: Duration = .seconds(3)

    package init() {}
}
