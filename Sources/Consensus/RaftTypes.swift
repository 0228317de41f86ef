/// A position in the log; 0 is before the first entry.
package typealias LogIndex = UInt64
package typealias Term = UInt64
/// A member's number: never reused, unlike its address.
package typealias MemberID = UInt64

/// One record of the replicated log.
package struct Entry: Sendable, Equatable {
    package enum Kind: UInt8, Sendable { case noop = 0, command = 1, configuration = 2 }
    package var term: Term
    package var index: LogIndex
    package var kind: Kind
    package var payload: [UInt8]

    package init(term: Term, index: LogIndex, kind: Kind, payload: [UInt8] = []) {
        (self.term, self.index, self.kind, self.payload) = (term, index, kind, payload)
    }
}

/// What must survive a crash before it is acted upon (Raft, figure 2: persistent state).
package struct HardState: Sendable, Equatable {
    package var term: Term
    package var vote: MemberID?

    package init(term: Term = 0, vote: MemberID? = nil) { (self.term, self.vote) = (term, vote) }
}

/// What storage found at start.
package struct RecoveredState: Sendable, Equatable {
    package var hardState = HardState()
    /// The last entry that the snapshot covers; index 0 when there is none.
    package var snapshotIndex: LogIndex = 0
    package var snapshotTerm: Term = 0
    package var snapshot: [UInt8] = []
    /// The members as of the snapshot; nil before the first change, when those given to the machine hold.
    package var configuration: ClusterConfiguration?
    /// Entries after the snapshot, without gaps.
    package var entries: [Entry] = []

    package init() {}
}

/// One durable write. The driver answers `.persisted(sequence)` once all of it is on disk.
///
/// "Persist before send" is data here: what may leave only afterwards is inside the batch. Batches are written in
/// order; a driver may write several at once and answer with the last one's sequence (group commit).
package struct LogBatch: Sendable, Equatable {
    package var sequence: UInt64
    package var hardState: HardState?
    /// Replaces the stored snapshot and every entry up to its index, before `truncateFrom` is looked at.
    package var snapshot: Snapshot?
    /// Entries at and after this index are dropped before `entries` are appended.
    package var truncateFrom: LogIndex?
    package var entries: [Entry] = []
    package var sendAfter: [RaftMessage] = []

    package init(sequence: UInt64) { self.sequence = sequence }
}

/// One entry that a leader is asked to put into the log.
package struct Proposal: Sendable, Equatable {
    package var payload: [UInt8]
    package var ticket: UInt64

    package init(payload: [UInt8], ticket: UInt64) { (self.payload, self.ticket) = (payload, ticket) }
}

package enum RaftEvent: Sendable {
    /// Always first, and only once.
    case recovered(RecoveredState)
    case deadlineReached
    case received(RaftMessage)
    case propose(payload: [UInt8], ticket: UInt64)
    /// Several at once: one write to disk, one message to each member. Those that are not accepted are the last ones.
    case proposeAll([Proposal])
    /// This batch and all before it are on disk.
    case persisted(sequence: UInt64)
    /// The state up to this index is in a durable snapshot: earlier entries can be forgotten.
    case compacted(upTo: LogIndex)
    /// As `compacted`, with the image, so that it can be sent to members that need those entries.
    case snapshotSaved(index: LogIndex, image: [UInt8])
    /// Asks for a moment at which the state read here is linearizable; answered in the stream of `.apply`.
    case read(ticket: UInt64)
    /// New voters and learners; answered when the last entry of the change is applied.
    case reconfigure(voters: Set<MemberID>, learners: Set<MemberID>, ticket: UInt64)
    /// Hands leadership to that member, or to the one that is furthest.
    case transferLeadership(to: MemberID?)
}

package enum RaftEffect: Sendable, Equatable {
    case send(RaftMessage)
    case persist(LogBatch)
    /// What happens to the state, in order, each exactly once; tickets are those given here.
    case apply([AppliedEntry])
    case leadershipChanged(Leadership)
    /// The request was not accepted, or its outcome is unknown (`lostLeadership`).
    case rejected(ticket: UInt64, RaftRejection)
}

/// One step of the state's history as this member lives through it.
package struct AppliedEntry: Sendable, Equatable {
    package enum Meaning: Sendable, Equatable {
        case entry
        /// Not an entry: the state as of now answers the read of this ticket.
        case read
        /// Not an entry: the state is replaced by this one.
        case snapshot(Snapshot)
    }
    package var entry: Entry
    package var ticket: UInt64?
    package var meaning = Meaning.entry
}

package enum RaftRejection: Sendable, Equatable {
    case notLeader(hint: MemberID?)
    case logFull
    case lostLeadership
    /// Too many reads wait, or leadership is being handed over: try again.
    case busy
    /// Another change is under way, or this leader has not committed anything yet.
    case changeInProgress
    case invalidConfiguration
    /// A new member did not catch up in time; it stays a learner.
    case catchUpTimedOut
    /// No leader answered a read in time.
    case timedOut
}

package struct Leadership: Sendable, Equatable {
    package var term: Term
    package var leader: MemberID?
    package var isSelf: Bool
}

/// Names for every time and bound.
package struct RaftConfiguration: Sendable {
    package var heartbeatInterval: Duration = .milliseconds(100)
    /// An election starts after one to two of these without a leader.
    package var electionTimeout: Duration = .milliseconds(1000)
    package var appendEntriesMax = 256
    /// A message takes entries until it has so many bytes; a single entry may be larger.
    package var appendBytesMax = 1 << 20
    /// Sent and not yet acknowledged, for each member.
    package var inflightBytesMax = 4 << 20
    /// Few, so that what is proposed meanwhile shares the next message.
    package var inflightMessagesMax = 8
    package var logBytesMax = 256 << 20
    /// Kept after a snapshot, so that a member that is a little behind needs no snapshot.
    package var trailingEntriesMax: LogIndex = 512
    package var snapshotPieceBytesMax = 1 << 20
    package var snapshotBytesMax = 1 << 30
    /// Reads that wait for a round of heartbeats.
    package var readsMax = 4096
    /// A learner this close to the end of the log may become a voter.
    package var catchUpEntriesMax: LogIndex = 64
    package var catchUpTimeout: Duration = .seconds(30)

    package init() {}
}

/// Wrong turns that a test can make the machine take, to prove that the checkers notice. Never set elsewhere.
package struct RaftMutations: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let sendsVoteBeforePersisting = RaftMutations(rawValue: 1 << 0)
    package static let votesTwice = RaftMutations(rawValue: 1 << 1)
    package static let commitsEarlierTermsByCounting = RaftMutations(rawValue: 1 << 2)
    package static let servesReadsUnconfirmed = RaftMutations(rawValue: 1 << 3)
    package static let votesForShorterLogs = RaftMutations(rawValue: 1 << 4)
    package static let forgetsOutgoingQuorum = RaftMutations(rawValue: 1 << 5)
    package static let appliesBeforeCommit = RaftMutations(rawValue: 1 << 6)
    package static let skipsPreVote = RaftMutations(rawValue: 1 << 7)
    package static let acknowledgesBeforePersisting = RaftMutations(rawValue: 1 << 8)
    package static let skipsPreviousEntryCheck = RaftMutations(rawValue: 1 << 9)
    package static let countsOwnUnsyncedEntries = RaftMutations(rawValue: 1 << 10)
    package static let countsLearners = RaftMutations(rawValue: 1 << 11)
    package static let acceptsPiecesAnywhere = RaftMutations(rawValue: 1 << 12)
    package static let confirmsReadsByOldRounds = RaftMutations(rawValue: 1 << 13)
    package static let keepsConflictingEntries = RaftMutations(rawValue: 1 << 14)
    package static let readsBeforeOwnCommit = RaftMutations(rawValue: 1 << 15)
}
