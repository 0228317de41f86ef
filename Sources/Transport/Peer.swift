import NIOCore
import SwarmCore

/// One node as this one talks to it: what waits for it, and the connection over which it goes.
final class Peer {
    static let backoffInitial = Duration.milliseconds(50)
    static let backoffMax = Duration.seconds(1)
    /// A connection that lived so long was a success: the next attempt comes at once.
    static let successAfter = TimeAmount.seconds(1)
    /// So many rounds must fail, for a second or so, before it is worth a warning: a daemon that is just coming up
    /// refuses a few.
    static let warnsAfter = 5
    /// A connection that was lost is sought again for so long, even when nothing waits.
    static let wantedAfterLoss = TimeAmount.seconds(10)
    /// A node whose address changed is sought at the new one at most so often.
    static let moveInterval = TimeAmount.seconds(1)

    /// One walk over the addresses.
    final class Dial {
        let endpoints: [Endpoint]
        var index = 0
        var failures: [String] = []
        var connection: PeerConnection?

        init(_ endpoints: [Endpoint]) { self.endpoints = endpoints }
    }
    struct PendingCall {
        var promise: EventLoopPromise<Result<[UInt8], SwarmError>>
        var timeout: Scheduled<Void>
        /// Gossip says who is a manager, certificates prove it.
        var needsManager: Bool
        /// Its answer may take its time.
        var isPatient: Bool
        /// Over which it went; nil while it waits.
        var connection: PeerConnection?
    }

    let nodeID: String
    var addresses: [String] = []
    var queue: OutgoingQueue
    /// Over which messages go.
    var current: PeerConnection?
    /// Takes over when `current` has ended.
    var next: PeerConnection?
    var dial: Dial?
    var retry: Scheduled<Void>?
    var backoff = Backoff(initial: Peer.backoffInitial, maximum: Peer.backoffMax)
    /// Rounds over all addresses that failed, one after another.
    var failedRounds = 0
    var wantedUntil = NIODeadline.distantPast
    var movedAt = NIODeadline.distantPast
    /// Connections that were ready so far.
    var readyCount: UInt64 = 0
    var calls: [UInt64: PendingCall] = [:]
    /// Those of ``calls`` that may take their time.
    var patientCalls = 0

    init(nodeID: String, queue: OutgoingQueue) { (self.nodeID, self.queue) = (nodeID, queue) }

    var isIdle: Bool {
        current == nil && next == nil && dial == nil && retry == nil && queue.isEmpty && calls.isEmpty
    }

    /// How long to wait before the next round: not at all after the first failure.
    func pause(using generator: inout some RandomNumberGenerator) -> TimeAmount {
        failedRounds += 1
        return failedRounds == 1 ? .zero : backoff.next(using: &generator).timeAmount
    }

    func succeeded() {
        failedRounds = 0
        backoff.reset()
    }
}
