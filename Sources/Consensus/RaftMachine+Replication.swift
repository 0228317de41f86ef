import SwarmCore

/// The log, from leader to followers (thesis §3.5, §10.2).
extension RaftMachine {
    mutating func receive(_ message: RaftMessage, at now: Instant) -> [RaftEffect] {
        guard message.to == id, message.from != id else { return [] }
        var effects: [RaftEffect] = []
        if message.term > hardState.term, !message.isOfFutureTerm {
            effects += becomeFollower(term: message.term, leader: message.isFromLeader ? message.from : nil, at: now)
        }
        if message.isFromLeader {
            guard message.term == hardState.term else {
                return effects + [.send(appended(to: message.from, success: false, matched: commitIndex, round: 0))]
            }
            // Two leaders in one term cannot be: whatever claims so is not heard.
            guard role != .leader else { return effects }
            if role != .follower || leader != message.from {
                effects += becomeFollower(term: message.term, leader: message.from, at: now)
            }
            leaderHeardAt = now
            resetElectionDeadline(at: now)
        }
        return effects + dispatch(message, at: now)
    }

    private mutating func dispatch(_ message: RaftMessage, at now: Instant) -> [RaftEffect] {
        switch message.body {
        case .requestVote: return answerVote(message, at: now)
        case .vote(let granted, let isPreVote):
            guard isPreVote || message.term == hardState.term else { return [] }
            return countVote(from: message.from, granted: granted, isPreVote: isPreVote, at: now)
        case .append(let previousIndex, let previousTerm, let entries, let commit, let round):
            let position = (previousIndex, previousTerm)
            return accept(entries, after: position, commit: commit, round: round, from: message.from, at: now)
        case .appended(let success, let matched, let round):
            guard message.term == hardState.term else { return [] }
            return acknowledge(message.from, success: success, matched: matched, round: round, at: now)
        case .snapshotPiece(let piece): return acceptPiece(piece, from: message.from, at: now)
        case .snapshotReceived(let index, let checksum, let offset, let round):
            guard message.term == hardState.term else { return [] }
            return acknowledgePiece(
                message.from, snapshot: (index, checksum), offset: offset, round: round, at: now)
        case .timeoutNow: return mayCampaign ? campaign(isPreVote: false, at: now) : []
        case .readRequest(let context): return remoteRead(from: message.from, context: context, at: now)
        case .readReply(let context, let index): return readAnswered(context: context, index: index)
        }
    }

    func appended(to member: MemberID, success: Bool, matched: LogIndex, round: UInt64) -> RaftMessage {
        RaftMessage(
            from: id, to: member, term: hardState.term,
            body: .appended(success: success, matched: matched, round: round))
    }

    // MARK: Follower

    private mutating func accept(
        _ entries: [Entry], after previous: (index: LogIndex, term: Term), commit: LogIndex, round: UInt64,
        from leader: MemberID, at now: Instant
    ) -> [RaftEffect] {
        // What the snapshot covers is committed, so it is the same in every leader's log.
        guard previous.index >= log.snapshotIndex else {
            return acknowledging(leader, matched: log.snapshotIndex, round: round, nil)
        }
        guard log.term(at: previous.index) == previous.term || skipsCheck(previous.index) else {
            // The whole run of a wrong term is skipped at once (thesis §3.5, last paragraph).
            let wrong = previous.index > log.lastIndex ? log.lastIndex : log.firstIndex(ofTermAt: previous.index) - 1
            let hint = max(min(wrong, previous.index - 1), commitIndex)
            return [.send(appended(to: leader, success: false, matched: hint, round: round))]
        }
        guard isWellFormed(entries, after: previous.index) else { return [] }
        let matched = previous.index + LogIndex(entries.count)
        let fresh = Array(entries.drop { log.term(at: $0.index) == $0.term })
        var batch: LogBatch?
        if let first = fresh.first {
            // Nobody may rewrite what is committed; a peer that tries is wrong.
            guard first.index > commitIndex || mutations.contains(.skipsPreviousEntryCheck) else { return [] }
            batch = store(fresh, from: first.index)
            if batch == nil { return [] }
            if mayCampaign && electionDeadline == nil { resetElectionDeadline(at: now) }
        }
        let known = mutations.contains(.appliesBeforeCommit) ? matched : min(commit, matched)
        return acknowledging(leader, matched: matched, round: round, batch) + self.commit(upTo: known)
    }

    private func skipsCheck(_ index: LogIndex) -> Bool {
        mutations.contains(.skipsPreviousEntryCheck) && index <= log.lastIndex
    }

    /// An answer with new entries leaves when they are on disk. One without vouches for what is there already, so
    /// that heartbeats cost no write however long the disk takes.
    mutating func acknowledging(
        _ leader: MemberID, matched: LogIndex, round: UInt64, _ batch: LogBatch?
    ) -> [RaftEffect] {
        if mutations.contains(.acknowledgesBeforePersisting) {
            let early = appended(to: leader, success: true, matched: matched, round: round)
            return [.send(early)] + (batch.map { [.persist($0)] } ?? [])
        }
        if var batch {
            batch.sendAfter = [appended(to: leader, success: true, matched: matched, round: round)]
            return [.persist(batch)]
        }
        let answer = appended(to: leader, success: true, matched: min(matched, durableIndex), round: round)
        guard let waiting = termSequence else { return [.send(answer)] }
        // Nothing is said in a term that is not on disk yet; one empty batch after it carries the answer.
        guard carrierSequence < waiting else { return [] }
        var carrier = makeBatch()
        carrierSequence = carrier.sequence
        carrier.sendAfter = [answer]
        return [.persist(carrier)]
    }

    private mutating func store(_ fresh: [Entry], from index: LogIndex) -> LogBatch? {
        var truncatesFrom: LogIndex?
        if index <= log.lastIndex {
            if mutations.contains(.keepsConflictingEntries) { return makeBatch() }
            truncate(from: index)
            truncatesFrom = index
        }
        guard index == log.lastIndex + 1 else { return nil }
        log.append(fresh)
        for entry in fresh { adoptConfiguration(of: entry) }
        var batch = makeBatch(entries: fresh)
        batch.truncateFrom = truncatesFrom
        return batch
    }

    /// A peer may send anything: entries must follow one another, and configurations must be readable.
    private func isWellFormed(_ entries: [Entry], after index: LogIndex) -> Bool {
        var expected = index
        for entry in entries {
            expected += 1
            guard entry.index == expected, entry.term <= hardState.term else { return false }
            if entry.kind == .configuration, ClusterConfiguration(encoded: entry.payload) == nil { return false }
        }
        return true
    }

    // MARK: Leader

    private mutating func acknowledge(
        _ member: MemberID, success: Bool, matched: LogIndex, round: UInt64, at now: Instant
    ) -> [RaftEffect] {
        guard role == .leader, var follower = progress[member], matched <= log.lastIndex else { return [] }
        follower.lastHeard = now
        follower.answeredRound = max(follower.answeredRound, round)
        var resumes = false
        if success {
            follower.matched = max(follower.matched, matched)
            follower.inflight.acknowledge(through: follower.matched)
            follower.next = max(follower.next, follower.matched + 1)
            switch follower.mode {
            case .probing: follower.mode = .pipelining
            case .pipelining: break
            case .installing(let sending):
                if follower.matched >= sending.snapshot.index {
                    (follower.mode, follower.next) = (.pipelining, follower.matched + 1)
                }
            }
        } else {
            switch follower.mode {
            case .installing: break
            case .probing, .pipelining:
                follower.next = max(min(matched + 1, follower.next), follower.matched + 1)
                follower.mode = .probing(isWaiting: false)
                follower.inflight.removeAll()
                resumes = true
            }
        }
        progress[member] = follower
        var effects = advanceCommit(at: now)
        if role == .leader { effects += confirmReads(at: now) + continueChange(at: now) }
        guard role == .leader else { return effects }
        if resumes || (progress[member]?.next ?? 0) <= log.lastIndex {
            effects += replicate(to: member, isHeartbeat: false)
        }
        return effects + continueTransfer()
    }

    /// Sends what the member lacks, as far as its mode and window allow; a heartbeat always sends something.
    mutating func replicate(to member: MemberID, isHeartbeat: Bool) -> [RaftEffect] {
        guard role == .leader, termSequence == nil, var follower = progress[member] else { return [] }
        defer { progress[member] = follower }
        switch follower.mode {
        case .installing(var sending):
            guard isHeartbeat else { return [] }
            // An empty piece asks how far the member has come; a full one may be under way.
            sending.heartbeats += 1
            follower.mode = .installing(sending)
            return [.send(pieceMessage(to: member, of: sending, isEmpty: true))]
        case .probing(let isWaiting):
            guard isHeartbeat || !isWaiting else { return [] }
            if follower.next <= log.snapshotIndex {
                guard let snapshot, snapshot.index >= log.snapshotIndex else {
                    // Nothing to give yet; but the member must know that there is a leader.
                    return [.send(appendMessage(to: member, next: log.lastIndex + 1, limit: log.lastIndex))]
                }
                let sending = SnapshotTransfer(snapshot: snapshot)
                follower.mode = .installing(sending)
                return [.send(pieceMessage(to: member, of: sending, isEmpty: false))]
            }
            follower.mode = .probing(isWaiting: true)
            return [.send(appendMessage(to: member, next: follower.next, limit: log.lastIndex))]
        case .pipelining:
            var effects: [RaftEffect] = []
            while follower.next <= log.lastIndex, follower.next > log.snapshotIndex,
                follower.inflight.hasRoom(
                    bytesMax: configuration.inflightBytesMax, messagesMax: configuration.inflightMessagesMax)
            {
                let message = appendMessage(to: member, next: follower.next, limit: log.lastIndex)
                guard case .append(_, _, let entries, _, _) = message.body, let last = entries.last else { break }
                follower.inflight.add(last: last.index, bytes: entries.reduce(0) { $0 + $1.size })
                follower.next = last.index + 1
                effects.append(.send(message))
            }
            if follower.next <= log.snapshotIndex { follower.mode = .probing(isWaiting: false) }
            guard effects.isEmpty && isHeartbeat else { return effects }
            let next = max(follower.next, log.snapshotIndex + 1)
            return [.send(appendMessage(to: member, next: next, limit: next - 1))]
        }
    }

    /// Entries from `next` through `limit`, at most one message full.
    private func appendMessage(to member: MemberID, next: LogIndex, limit: LogIndex) -> RaftMessage {
        var (last, bytes) = (next - 1, 0)
        for entry in log.entries(from: next, through: limit).prefix(configuration.appendEntriesMax) {
            guard last < next || bytes + entry.size <= configuration.appendBytesMax else { break }
            last = entry.index
            bytes += entry.size
        }
        return RaftMessage(
            from: id, to: member, term: hardState.term,
            body: .append(
                previousIndex: next - 1, previousTerm: log.term(at: next - 1) ?? 0,
                entries: Array(log.entries(from: next, through: last)), commit: commitIndex, round: reads.round))
    }
}
