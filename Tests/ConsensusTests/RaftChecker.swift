import SwarmCore

@testable import Consensus

/// What must hold after every step, whatever fails; a violation says what did not.
struct RaftChecker {
    struct Committed { var entry: Entry, hash: UInt64 }
    struct Place: Hashable { var index: LogIndex, term: Term }

    var violations: [String] = []
    private(set) var committed: [LogIndex: Committed] = [:]
    private(set) var lastCommitted: LogIndex = 0
    private var leaders: [Term: MemberID] = [:]
    private var known: [Place: (previous: Term?, payload: [UInt8])] = [:]
    private var terms: [MemberID: Term] = [:]
    /// What some client has been told: a later read must not see less.
    private(set) var promised: LogIndex = 0
    /// What had been promised when each open read began.
    var reads: [UInt64: LogIndex] = [:]
    private(set) var acknowledged: Set<UInt64> = []
    private(set) var servedReads = 0

    /// Election safety and leader completeness.
    mutating func elected(_ machine: RaftMachine) {
        let term = machine.hardState.term
        if let other = leaders[term], other != machine.id {
            violations.append("members \(other) and \(machine.id) both lead in term \(term)")
        }
        leaders[term] = machine.id
        guard machine.log.lastIndex >= lastCommitted else {
            violations.append("leader \(machine.id) of term \(term) lacks what is committed up to \(lastCommitted)")
            return
        }
        guard lastCommitted > machine.log.snapshotIndex else { return }
        for index in (machine.log.snapshotIndex + 1)...lastCommitted {
            if let entry = committed[index]?.entry, machine.log.term(at: index) != entry.term {
                violations.append("leader \(machine.id) of term \(term) has another entry at \(index)")
            }
        }
    }

    /// Log matching: one index and term, one entry and one predecessor, wherever it is.
    mutating func written(_ batch: LogBatch, by machine: RaftMachine?) {
        for entry in batch.entries {
            let previous = machine?.log.term(at: entry.index - 1)
            let place = Place(index: entry.index, term: entry.term)
            guard let first = known[place] else {
                known[place] = (previous, entry.payload)
                continue
            }
            if first.payload != entry.payload {
                violations.append("two entries at \(entry.index) of term \(entry.term)")
            }
            if let one = first.previous, let other = previous, one != other {
                violations.append("entry \(entry.index) of term \(entry.term) follows terms \(one) and \(other)")
            }
        }
    }

    /// State machine safety, and that what is committed is on the disks of a majority.
    mutating func applied(
        _ item: AppliedEntry, state: HashState, on machine: RaftMachine,
        isDurable: (MemberID, LogIndex, Term) -> Bool
    ) {
        let entry = item.entry
        if let first = committed[entry.index] {
            if first.entry != entry || first.hash != state.hash {
                violations.append(
                    "index \(entry.index): term \(first.entry.term) was committed, member \(machine.id) applied term "
                        + "\(entry.term)")
            }
        } else {
            committed[entry.index] = Committed(entry: entry, hash: state.hash)
            lastCommitted = max(lastCommitted, entry.index)
            if machine.isLeader, entry.term == machine.hardState.term {
                // The next configuration may already be in force when the last entry of the old one is committed.
                let holds = { (member: MemberID) in isDurable(member, entry.index, entry.term) }
                if !machine.membership.hasQuorum(holds), !machine.membership(at: entry.index).hasQuorum(holds) {
                    violations.append("entry \(entry.index) was committed without a majority of the disks")
                }
            }
        }
        if let ticket = item.ticket {
            acknowledged.insert(ticket)
            promised = max(promised, entry.index)
        }
    }

    mutating func installed(_ state: HashState, on member: MemberID) {
        if let first = committed[state.index], first.hash != state.hash {
            violations.append("member \(member) installed another state at \(state.index)")
        }
    }

    // MARK: Linearizable reads

    mutating func asked(_ ticket: UInt64) { reads[ticket] = promised }

    mutating func served(_ ticket: UInt64, at index: LogIndex) {
        guard let floor = reads.removeValue(forKey: ticket) else { return }
        servedReads += 1
        if index < floor { violations.append("a read saw index \(index) after \(floor) had been seen") }
        promised = max(promised, index)
    }

    mutating func look(at machine: RaftMachine) {
        if machine.log.lastIndex < machine.commitIndex {
            violations.append("member \(machine.id) has committed beyond its log")
        }
        if machine.durableIndex > machine.log.lastIndex {
            violations.append("member \(machine.id) holds more for durable than it has")
        }
        if machine.reads.count > machine.configuration.readsMax { violations.append("too many reads wait") }
        for follower in machine.progress.values {
            let bound = machine.configuration.inflightBytesMax + machine.configuration.appendBytesMax
            if follower.inflight.bytes > bound { violations.append("the window of \(machine.id) is too wide") }
        }
    }
}
