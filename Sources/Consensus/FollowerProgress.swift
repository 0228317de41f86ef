import DequeModule
import SwarmCore

/// What the leader knows of one member, and how it sends to it.
struct FollowerProgress: Sendable {
    enum Mode: Sendable, Equatable {
        /// One message at a time until it is known where the logs agree.
        case probing(isWaiting: Bool)
        /// Messages follow one another without waiting, as far as the window allows (thesis §10.2.2).
        case pipelining
        case installing(SnapshotTransfer)
    }

    var mode = Mode.probing(isWaiting: false)
    var matched: LogIndex = 0
    var next: LogIndex
    var lastHeard: Instant
    /// The latest round of heartbeats that it has answered; see ``RaftMachine``'s reads.
    var answeredRound: UInt64 = 0
    var inflight = InflightWindow()
}

/// Sent and not yet acknowledged: bounded in bytes and in messages.
struct InflightWindow: Sendable {
    private var messages: Deque<(last: LogIndex, bytes: Int)> = []
    private(set) var bytes = 0

    var isEmpty: Bool { messages.isEmpty }

    func hasRoom(bytesMax: Int, messagesMax: Int) -> Bool { bytes < bytesMax && messages.count < messagesMax }

    mutating func add(last: LogIndex, bytes size: Int) {
        messages.append((last, size))
        bytes += size
    }

    mutating func acknowledge(through index: LogIndex) {
        while let first = messages.first, first.last <= index {
            bytes -= first.bytes
            messages.removeFirst()
        }
    }

    mutating func removeAll() { self = InflightWindow() }
}

/// One snapshot on its way to one member, piece by piece; the image stays the same until it has arrived.
struct SnapshotTransfer: Sendable, Equatable {
    var snapshot: Snapshot
    var offset = 0
    /// Heartbeats since the last piece left; after some of them without news it is taken for lost.
    var heartbeats = 0
    static let patienceHeartbeats = 3
}
