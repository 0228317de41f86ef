import SwarmCore
import Testing

@testable import Consensus

/// The replicated state of the tests: how far it is, and a hash of all that led there.
struct HashState: Equatable {
    var index: LogIndex = 0
    var hash: UInt64 = 0
    static let imageSize = 200

    mutating func apply(_ entry: Entry) {
        hash = Self.mix(Self.mix(hash ^ entry.index) ^ entry.term)
        for byte in entry.payload { hash = Self.mix(hash ^ UInt64(byte)) }
        index = entry.index
    }
    static func mix(_ value: UInt64) -> UInt64 { (value ^ value >> 29) &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    /// Padded, so that it takes several pieces.
    var image: [UInt8] {
        var bytes: [UInt8] = []
        for value in [index, hash] { for shift in 0..<8 { bytes.append(UInt8(value >> UInt64(8 * shift) & 255)) } }
        while bytes.count < Self.imageSize { bytes.append(UInt8((bytes.count * 7 + Int(index & 63)) & 255)) }
        return bytes
    }
    init() {}
    init?(image: [UInt8]) {
        guard image.count >= 16 else { return nil }
        index = (0..<8).reduce(0) { $0 | UInt64(image[$1]) << UInt64(8 * $1) }
        hash = (0..<8).reduce(0) { $0 | UInt64(image[8 + $1]) << UInt64(8 * $1) }
        guard self.image == image else { return nil }
    }
}

/// Members, their disks and a network that loses, delays, duplicates, reorders and splits, all from one seed.
struct RaftWorld {
    enum Item { case event(RaftEvent), written(LogBatch) }
    struct Node {
        var machine: RaftMachine?
        var disk = RecoveredState()
        var unwritten: [LogBatch] = []
        /// How many of the unwritten batches the disk is writing now; all that piled up go together.
        var writing = 0
        var isSlow = false
        /// Raised by each crash: what was on its way to the former process is lost.
        var life = 0
        var pausedUntil: Instant?
        var inbox: [Item] = []
        var clockOffset = Duration.zero
        var plannedDeadline: Instant?
        var state = HashState()
        var applied: [Entry] = []
    }
    enum Happening {
        case deliver(RaftMessage)
        case written(MemberID, life: Int)
        case deadline(MemberID, life: Int)
        case resume(MemberID, life: Int)
    }

    var nodes: [MemberID: Node] = [:]
    let ids: [MemberID]
    let founders: Set<MemberID>
    var agenda = Agenda<Happening>()
    var generator: SeededGenerator
    var now = Instant(nanoseconds: 1_000_000_000)
    var lossPercent: UInt64 = 0
    var duplicatePercent: UInt64 = 0
    var delayMicroseconds: UInt64 = 5000
    var blocked: Set<[MemberID]> = []
    var snapshotsEvery: LogIndex = 0
    var configuration = RaftConfiguration()
    let mutations: RaftMutations
    var check = RaftChecker()
    var leadershipChanges = 0
    var installs = 0
    var rejections: [UInt64: RaftRejection] = [:]
    var messages = 0

    init(
        members count: UInt64, spares: UInt64 = 0, seed: UInt64, configuration: RaftConfiguration? = nil,
        mutations: RaftMutations = []
    ) {
        founders = Set(1...count)
        ids = Array(1...(count + spares))
        generator = SeededGenerator(seed: seed)
        self.mutations = mutations
        if let configuration { self.configuration = configuration }
        for id in ids {
            nodes[id] = Node()
            start(id)
        }
    }

    // MARK: Lives

    mutating func start(_ id: MemberID) {
        guard nodes[id]?.machine == nil, let disk = nodes[id]?.disk else { return }
        let voters = founders.contains(id) ? founders : []
        var machine = RaftMachine(id: id, voters: voters, seed: generator.next(), configuration: configuration)
        machine.mutations = mutations
        nodes[id]?.machine = machine
        nodes[id]?.state = HashState(image: disk.snapshot) ?? HashState()
        nodes[id]?.applied = []
        deliver(.recovered(disk), to: id)
    }

    /// Loses the process and what was not yet durable; the batch under way may be torn.
    mutating func crash(_ id: MemberID) {
        guard nodes[id]?.machine != nil, let unwritten = nodes[id]?.unwritten else { return }
        let survivors = unwritten.isEmpty ? 0 : Int(generator.next() % UInt64(unwritten.count + 1))
        for batch in unwritten.prefix(survivors) { write(batch, on: id) }
        if survivors < unwritten.count, generator.next() % 2 == 0 {
            var torn = LogBatch(sequence: 0)
            torn.truncateFrom = unwritten[survivors].truncateFrom
            let entries = unwritten[survivors].entries
            torn.entries = Array(entries.prefix(Int(generator.next() % UInt64(entries.count + 1))))
            if unwritten[survivors].snapshot == nil { write(torn, on: id) }
        }
        nodes[id]?.machine = nil
        nodes[id]?.unwritten = []
        nodes[id]?.writing = 0
        nodes[id]?.inbox = []
        nodes[id]?.pausedUntil = nil
        nodes[id]?.plannedDeadline = nil
        nodes[id]?.life += 1
    }

    mutating func pause(_ id: MemberID, for duration: Duration) {
        guard nodes[id]?.machine != nil, let life = nodes[id]?.life else { return }
        nodes[id]?.pausedUntil = now + duration
        agenda.add(.resume(id, life: life), at: now + duration)
    }

    mutating func isolate(_ id: MemberID) {
        for other in ids where other != id { blocked.formUnion([[id, other], [other, id]]) }
    }

    // MARK: Running

    mutating func run(for duration: Duration, until condition: ((RaftWorld) -> Bool)? = nil) {
        let end = now + duration
        while let next = agenda.next, next <= end, check.violations.isEmpty {
            guard let (at, happening) = agenda.popFirst() else { break }
            now = max(now, at)
            perform(happening)
            if let condition, condition(self) { return }
        }
        now = end
    }

    private mutating func perform(_ happening: Happening) {
        switch happening {
        case .deliver(let message):
            // A cut takes what is on the wire with it.
            if !blocked.contains([message.from, message.to]) { deliver(.received(message), to: message.to) }
        case .written(let id, let life):
            guard nodes[id]?.life == life, let count = nodes[id]?.writing, count > 0,
                let batches = nodes[id]?.unwritten.prefix(count)
            else { return }
            nodes[id]?.unwritten.removeFirst(count)
            nodes[id]?.writing = 0
            for batch in batches { write(batch, on: id) }
            startWriting(id)
            for batch in batches { finishWrite(batch, of: id, isLast: batch.sequence == batches.last?.sequence) }
        case .deadline(let id, let life):
            guard nodes[id]?.life == life else { return }
            nodes[id]?.plannedDeadline = nil
            guard nodes[id]?.pausedUntil == nil, let due = deadline(of: id) else { return }
            if due <= now { deliver(.deadlineReached, to: id) } else { plan(id) }
        case .resume(let id, let life):
            guard nodes[id]?.life == life, let until = nodes[id]?.pausedUntil, until <= now,
                let inbox = nodes[id]?.inbox
            else { return }
            nodes[id]?.pausedUntil = nil
            nodes[id]?.inbox = []
            // Timer or socket first: the scheduler decides.
            let timerFirst = generator.next() % 2 == 0
            if timerFirst { deliver(.deadlineReached, to: id) }
            for item in inbox {
                switch item {
                case .event(let event): deliver(event, to: id)
                case .written(let batch): finishWrite(batch, of: id, isLast: true)
                }
            }
            if !timerFirst { deliver(.deadlineReached, to: id) }
        }
    }

    private mutating func startWriting(_ id: MemberID) {
        guard let count = nodes[id]?.unwritten.count, count > 0, nodes[id]?.writing == 0 else { return }
        nodes[id]?.writing = count
        let range: UInt64 = nodes[id]?.isSlow == true ? 400_000 : 3000
        let due = now + .microseconds(Int64(generator.next() % range))
        agenda.add(.written(id, life: nodes[id]?.life ?? 0), at: due)
    }

    private mutating func finishWrite(_ batch: LogBatch, of id: MemberID, isLast: Bool) {
        guard nodes[id]?.pausedUntil == nil else {
            nodes[id]?.inbox.append(.written(batch))
            return
        }
        for message in batch.sendAfter { send(message) }
        if isLast { deliver(.persisted(sequence: batch.sequence), to: id) }
    }

    private func deadline(of id: MemberID) -> Instant? {
        guard let node = nodes[id], let due = node.machine?.nextDeadline else { return nil }
        return Instant(nanoseconds: due.nanoseconds - node.clockOffset.wholeNanoseconds)
    }

    private mutating func plan(_ id: MemberID) {
        guard let due = deadline(of: id), let life = nodes[id]?.life else { return }
        if let planned = nodes[id]?.plannedDeadline, planned <= due { return }
        nodes[id]?.plannedDeadline = due
        agenda.add(.deadline(id, life: life), at: max(due, now))
    }

    mutating func deliver(_ event: RaftEvent, to id: MemberID) {
        guard nodes[id]?.machine != nil else { return }
        guard nodes[id]?.pausedUntil == nil else {
            nodes[id]?.inbox.append(.event(event))
            return
        }
        let clock = now + (nodes[id]?.clockOffset ?? .zero)
        guard let effects = nodes[id]?.machine?.receive(event, at: clock) else { return }
        for effect in effects { interpret(effect, of: id) }
        plan(id)
        if let machine = nodes[id]?.machine { check.look(at: machine) }
    }

    private mutating func interpret(_ effect: RaftEffect, of id: MemberID) {
        switch effect {
        case .send(let message): send(message)
        case .persist(let batch):
            check.written(batch, by: nodes[id]?.machine)
            nodes[id]?.unwritten.append(batch)
            startWriting(id)
        case .apply(let items): for item in items { apply(item, on: id) }
        case .leadershipChanged(let change):
            leadershipChanges += change.isSelf ? 1 : 0
            if change.isSelf, let machine = nodes[id]?.machine { check.elected(machine) }
        case .rejected(let ticket, let reason):
            rejections[ticket] = reason
            check.reads[ticket] = nil
        }
    }

    private mutating func apply(_ item: AppliedEntry, on id: MemberID) {
        guard var state = nodes[id]?.state else { return }
        switch item.meaning {
        case .read:
            if let ticket = item.ticket { check.served(ticket, at: state.index) }
            return
        case .snapshot(let snapshot):
            installs += 1
            guard let installed = HashState(image: snapshot.image), installed.index == snapshot.index else {
                check.violations.append("member \(id) installed a damaged snapshot")
                return
            }
            check.installed(installed, on: id)
            nodes[id]?.state = installed
            return
        case .entry: break
        }
        if item.entry.index != state.index + 1 {
            check.violations.append("member \(id) applied \(item.entry.index) after \(state.index)")
        }
        state.apply(item.entry)
        nodes[id]?.state = state
        nodes[id]?.applied.append(item.entry)
        if let machine = nodes[id]?.machine {
            check.applied(item, state: state, on: machine) { member, index, term in
                guard let disk = nodes[member]?.disk else { return false }
                return disk.snapshotIndex >= index || disk.entries.contains { $0.index == index && $0.term == term }
            }
        }
        guard snapshotsEvery > 0, state.index % snapshotsEvery == 0, let machine = nodes[id]?.machine,
            let term = machine.log.term(at: state.index)
        else { return }
        nodes[id]?.disk.snapshotIndex = state.index
        nodes[id]?.disk.snapshotTerm = term
        nodes[id]?.disk.snapshot = state.image
        nodes[id]?.disk.configuration = machine.membership(at: state.index)
        nodes[id]?.disk.entries.removeAll { $0.index <= state.index }
        _ = nodes[id]?.machine?.receive(.snapshotSaved(index: state.index, image: state.image), at: now)
    }

    mutating func send(_ message: RaftMessage) {
        messages += 1
        guard generator.next() % 100 >= lossPercent, !blocked.contains([message.from, message.to]) else { return }
        let copies = generator.next() % 100 < duplicatePercent ? 2 : 1
        for _ in 0..<copies {
            agenda.add(.deliver(message), at: now + .microseconds(Int64(100 + generator.next() % delayMicroseconds)))
        }
    }

    private mutating func write(_ batch: LogBatch, on id: MemberID) {
        guard var disk = nodes[id]?.disk else { return }
        if let hardState = batch.hardState { disk.hardState = hardState }
        if let snapshot = batch.snapshot, snapshot.index > disk.snapshotIndex {
            (disk.snapshotIndex, disk.snapshotTerm) = (snapshot.index, snapshot.term)
            (disk.snapshot, disk.configuration) = (snapshot.image, snapshot.configuration)
        }
        if let index = batch.truncateFrom { disk.entries.removeAll { $0.index >= index } }
        disk.entries += batch.entries
        disk.entries.removeAll { $0.index <= disk.snapshotIndex }
        nodes[id]?.disk = disk
        for (position, entry) in disk.entries.enumerated()
        where entry.index != disk.snapshotIndex + LogIndex(position) + 1 {
            check.violations.append("the disk of member \(id) has a gap before \(entry.index)")
        }
    }

    // MARK: Looking

    var leader: MemberID? {
        ids.filter { nodes[$0]?.machine?.isLeader == true }.max {
            (nodes[$0]?.machine?.hardState.term ?? 0) < (nodes[$1]?.machine?.hardState.term ?? 0)
        }
    }
    func machine(_ id: MemberID) -> RaftMachine? { nodes[id]?.machine }
    func commands(_ id: MemberID) -> [[UInt8]] {
        (nodes[id]?.applied ?? []).filter { $0.kind == .command }.map(\.payload)
    }

    mutating func read(_ ticket: UInt64, at id: MemberID) {
        check.asked(ticket)
        deliver(.read(ticket: ticket), to: id)
    }
}
