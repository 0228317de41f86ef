import DequeModule
import SwarmCore

/// Pieces of a snapshot that have arrived; kept until the whole is here or another one is begun.
struct SnapshotStaging: Sendable, Equatable {
    var index: LogIndex
    var checksum: UInt64
    var size: Int
    var bytes: [UInt8] = []

    func isPart(_ piece: SnapshotPiece) -> Bool {
        index == piece.index && checksum == piece.checksum && size == piece.size
    }
}

/// Forgetting the log's beginning, and giving it to those who still need it (thesis §5).
extension RaftMachine {
    mutating func compact(upTo index: LogIndex) {
        log.compact(upTo: index)
        if let held = snapshot, held.index < log.snapshotIndex { snapshot = nil }
        // The newest configuration that the snapshot covers is the first that is remembered.
        while configurations.count > 1, configurations[1].index <= log.snapshotIndex { configurations.removeFirst() }
    }

    mutating func snapshotSaved(index: LogIndex, image: [UInt8]) {
        guard index <= commitIndex, image.count <= configuration.snapshotBytesMax, let term = log.term(at: index),
            index > snapshot?.index ?? 0
        else { return }
        snapshot = Snapshot(index: index, term: term, configuration: membership(at: index), image: image)
        guard index > configuration.trailingEntriesMax else { return }
        compact(upTo: index - configuration.trailingEntriesMax)
    }

    // MARK: Leader

    func pieceMessage(to member: MemberID, of sending: SnapshotTransfer, isEmpty: Bool) -> RaftMessage {
        let snapshot = sending.snapshot
        let rest = isEmpty ? 0 : snapshot.image.count - sending.offset
        let end = sending.offset + min(rest, configuration.snapshotPieceBytesMax)
        let piece = SnapshotPiece(
            index: snapshot.index, term: snapshot.term, configuration: snapshot.configuration,
            checksum: snapshot.checksum, size: snapshot.image.count, offset: sending.offset,
            bytes: Array(snapshot.image[sending.offset..<end]), round: reads.round)
        return RaftMessage(from: id, to: member, term: hardState.term, body: .snapshotPiece(piece))
    }

    /// The member says where it stands; a restart of it may have taken it back to the beginning.
    mutating func acknowledgePiece(
        _ member: MemberID, snapshot identity: (index: LogIndex, checksum: UInt64), offset: Int, round: UInt64,
        at now: Instant
    ) -> [RaftEffect] {
        guard role == .leader, progress[member] != nil else { return [] }
        progress[member]?.lastHeard = now
        let known = progress[member]?.answeredRound ?? 0
        progress[member]?.answeredRound = max(known, round)
        let effects = confirmReads(at: now)
        guard case .installing(var sending)? = progress[member]?.mode, sending.snapshot.index == identity.index,
            sending.snapshot.checksum == identity.checksum, (0...sending.snapshot.image.count).contains(offset),
            offset != sending.offset || sending.heartbeats >= SnapshotTransfer.patienceHeartbeats
        else { return effects }
        (sending.offset, sending.heartbeats) = (offset, 0)
        progress[member]?.mode = .installing(sending)
        // All bytes are there: the member writes them, and says so when it has.
        guard offset < sending.snapshot.image.count else { return effects }
        return effects + [.send(pieceMessage(to: member, of: sending, isEmpty: false))]
    }

    // MARK: Follower

    mutating func acceptPiece(_ piece: SnapshotPiece, from leader: MemberID, at now: Instant) -> [RaftEffect] {
        guard piece.size >= 0, piece.size <= configuration.snapshotBytesMax, piece.offset >= 0,
            piece.bytes.count <= piece.size, piece.term <= hardState.term, !piece.configuration.voters.isEmpty
        else { return [] }
        guard piece.index > commitIndex else {
            return acknowledging(leader, matched: piece.index, round: piece.round, nil)
        }
        var held = staging ?? SnapshotStaging(index: piece.index, checksum: piece.checksum, size: piece.size)
        if !held.isPart(piece) {
            held = SnapshotStaging(index: piece.index, checksum: piece.checksum, size: piece.size)
        }
        let fits = held.bytes.count + piece.bytes.count <= held.size
        if fits && (piece.offset == held.bytes.count || mutations.contains(.acceptsPiecesAnywhere)) {
            held.bytes += piece.bytes
        }
        guard held.bytes.count == held.size else {
            staging = held
            return [.send(received(held, to: leader, round: piece.round))]
        }
        staging = nil
        guard Snapshot.checksum(of: held.bytes) == held.checksum || mutations.contains(.acceptsPiecesAnywhere) else {
            held.bytes = []
            return [.send(received(held, to: leader, round: piece.round))]
        }
        return install(piece, image: held.bytes, from: leader, at: now)
    }

    private func received(_ held: SnapshotStaging, to leader: MemberID, round: UInt64) -> RaftMessage {
        RaftMessage(
            from: id, to: leader, term: hardState.term,
            body: .snapshotReceived(
                index: held.index, checksum: held.checksum, offset: held.bytes.count, round: round))
    }

    private mutating func install(
        _ piece: SnapshotPiece, image: [UInt8], from leader: MemberID, at now: Instant
    ) -> [RaftEffect] {
        let arrived = Snapshot(index: piece.index, term: piece.term, configuration: piece.configuration, image: image)
        snapshot = arrived
        commitIndex = arrived.index
        var truncatesFrom: LogIndex?
        if log.term(at: arrived.index) == arrived.term {
            // What follows the snapshot is the leader's too, as far as anybody knows.
            compact(upTo: arrived.index)
            if configurations[0].index < arrived.index { configurations[0] = (arrived.index, arrived.configuration) }
        } else {
            truncatesFrom = arrived.index + 1
            log = RaftLog(snapshotIndex: arrived.index, snapshotTerm: arrived.term)
            configurations = [(arrived.index, arrived.configuration)]
            for position in writing.indices { writing[position].lastIndex = 0 }
            durableIndex = 0
        }
        resetElectionDeadline(at: now)
        var batch = makeBatch()
        batch.snapshot = arrived
        batch.truncateFrom = truncatesFrom
        let place = Entry(term: arrived.term, index: arrived.index, kind: .noop)
        let replaced = AppliedEntry(entry: place, ticket: nil, meaning: .snapshot(arrived))
        let ready = reads.takeReady(upTo: commitIndex, term: hardState.term)
        return acknowledging(leader, matched: arrived.index, round: piece.round, batch) + [.apply([replaced] + ready)]
    }
}
