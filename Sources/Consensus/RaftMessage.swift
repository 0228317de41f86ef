/// A message between members.
package struct RaftMessage: Sendable, Equatable {
    package enum Body: Sendable, Equatable {
        case requestVote(lastIndex: LogIndex, lastTerm: Term, isPreVote: Bool)
        case vote(granted: Bool, isPreVote: Bool)
        /// `round` comes back with the answer: it proves that the sender still led after the round began.
        case append(previousIndex: LogIndex, previousTerm: Term, entries: [Entry], commit: LogIndex, round: UInt64)
        /// `matched`: the last index that is now equal; on refusal, a hint of where to try next.
        case appended(success: Bool, matched: LogIndex, round: UInt64)
        case snapshotPiece(SnapshotPiece)
        /// So many bytes of that snapshot are here: the next piece begins there.
        case snapshotReceived(index: LogIndex, checksum: UInt64, offset: Int, round: UInt64)
        /// Stand for election at once (thesis §3.10).
        case timeoutNow
        /// How far must the sender have applied to read what is true now (thesis §6.4)?
        case readRequest(context: UInt64)
        /// Nil: the receiver of the request does not lead.
        case readReply(context: UInt64, index: LogIndex?)
    }
    package var from: MemberID
    package var to: MemberID
    package var term: Term
    package var body: Body

    package init(from: MemberID, to: MemberID, term: Term, body: Body) {
        (self.from, self.to, self.term, self.body) = (from, to, term, body)
    }

    /// A pre-vote speaks of a term that nobody is in yet; so does its consent (thesis §9.6).
    var isOfFutureTerm: Bool {
        switch body {
        case .requestVote(_, _, let isPreVote): isPreVote
        case .vote(let granted, let isPreVote): isPreVote && granted
        case .append, .appended, .snapshotPiece, .snapshotReceived, .timeoutNow, .readRequest, .readReply: false
        }
    }

    /// Only a leader sends these.
    var isFromLeader: Bool {
        switch body {
        case .append, .snapshotPiece, .timeoutNow: true
        case .requestVote, .vote, .appended, .snapshotReceived, .readRequest, .readReply: false
        }
    }
}

/// The whole state at one index: what replaces the log up to there.
package struct Snapshot: Sendable, Equatable {
    package var index: LogIndex
    package var term: Term
    package var configuration: ClusterConfiguration
    package var image: [UInt8]
    package let checksum: UInt64

    package init(index: LogIndex, term: Term, configuration: ClusterConfiguration, image: [UInt8]) {
        (self.index, self.term, self.configuration, self.image) = (index, term, configuration, image)
        checksum = Self.checksum(of: image)
    }

    /// FNV-1a, mixed at the end: tells two images of one index apart, and a wrongly assembled one from either.
    static func checksum(of image: [UInt8]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in image { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return (hash ^ hash >> 29) &* 0x94D0_49BB_1331_11EB
    }
}

package struct SnapshotPiece: Sendable, Equatable {
    package var index: LogIndex
    /// Term of the entry at `index`.
    package var term: Term
    package var configuration: ClusterConfiguration
    package var checksum: UInt64
    package var size: Int
    package var offset: Int
    package var bytes: [UInt8]
    package var round: UInt64

    package init(
        index: LogIndex, term: Term, configuration: ClusterConfiguration, checksum: UInt64, size: Int, offset: Int,
        bytes: [UInt8], round: UInt64
    ) {
        (self.index, self.term, self.configuration) = (index, term, configuration)
        (self.checksum, self.size, self.offset) = (checksum, size, offset)
        (self.bytes, self.round) = (bytes, round)
    }
}
