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
    /// Entries after the snapshot, without gaps.
    package var entries: [Entry] = []

    package init() {}
}

/// One durable write. The driver answers `.persisted(sequence)` once all of it is on disk.
///
/// "Persist before send" is data here: what may leave only afterwards is inside the batch.
package struct LogBatch: Sendable, Equatable {
    package var sequence: UInt64
    package var hardState: HardState?
    /// Entries at and after this index are dropped before `entries` are appended.
    package var truncateFrom: LogIndex?
    package var entries: [Entry] = []
    package var sendAfter: [RaftMessage] = []

    package init(sequence: UInt64) { self.sequence = sequence }
}

/// A message between members.
package struct RaftMessage: Sendable, Equatable {
    package enum Body: Sendable, Equatable {
        case requestVote(lastIndex: LogIndex, lastTerm: Term, isPreVote: Bool)
        case vote(granted: Bool, isPreVote: Bool)
        case append(previousIndex: LogIndex, previousTerm: Term, entries: [Entry], commit: LogIndex)
        /// `matched`: the last index that is now equal; on refusal, a hint of where to try next.
        case appended(success: Bool, matched: LogIndex)
    }
    package var from: MemberID
    package var to: MemberID
    package var term: Term
    package var body: Body

    package init(from: MemberID, to: MemberID, term: Term, body: Body) {
        (self.from, self.to, self.term, self.body) = (from, to, term, body)
    }
}

package enum RaftEvent: Sendable {
    /// Always first, and only once.
    case recovered(RecoveredState)
    case deadlineReached
    case received(RaftMessage)
    case propose(payload: [UInt8], ticket: UInt64)
    case persisted(sequence: UInt64)
    /// The state up to this index is in a durable snapshot: earlier entries can be forgotten.
    case compacted(upTo: LogIndex)
}

package enum RaftEffect: Sendable, Equatable {
    case send(RaftMessage)
    case persist(LogBatch)
    /// Committed entries, in order, each exactly once; tickets are those proposed here.
    case apply([AppliedEntry])
    case leadershipChanged(Leadership)
    /// The proposal was not accepted: this member does not lead, or its log is full.
    case rejected(ticket: UInt64, RaftRejection)
}

package struct AppliedEntry: Sendable, Equatable {
    package var entry: Entry
    package var ticket: UInt64?
}

package enum RaftRejection: Sendable, Equatable { case notLeader(hint: MemberID?), logFull, lostLeadership }

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
    package var logBytesMax = 256 << 20

    package init() {}
}
