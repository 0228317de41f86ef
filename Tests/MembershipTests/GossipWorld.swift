import SwarmCore
import Testing

@testable import Membership

/// Members, their sockets and a network that loses, delays, duplicates, reorders and splits, all from one seed.
struct GossipWorld {
    struct Node {
        var machine: MembershipMachine
        var address: PeerAddress
        var isRunning = true
        var pausedUntil: Instant?
        /// What the kernel keeps for a stopped process.
        var inbox: [MembershipEvent] = []
        var plannedDeadline: Instant?
    }
    enum Happening {
        case deliver(MembershipEvent, to: PeerAddress)
        case deliverTo(MembershipEvent, NodeID)
        case deadline(NodeID)
        case resume(NodeID)
    }
    struct Death { var at: Instant, observer: NodeID, subject: NodeID, isFalse: Bool }
    static let socketBufferDatagrams = 256

    var nodes: [NodeID: Node] = [:]
    var byAddress: [PeerAddress: NodeID] = [:]
    var ids: [NodeID] = []
    var agenda = Agenda<Happening>()
    var generator: SeededGenerator
    var now = Instant(nanoseconds: 1_000_000_000)
    var lossPercent: UInt64 = 0
    var duplicatePercent: UInt64 = 0
    var delayMicroseconds: ClosedRange<Int64> = 100...3000
    /// Datagrams and streams from left to right are swallowed.
    var blocked: Set<[NodeID]> = []
    var streamsWork = true
    let configuration: MembershipConfiguration
    let mutations: MembershipMutations
    /// What a checker found; a test that plants a fault wants some, every other none.
    var violations: [String] = []
    var deaths: [Death] = []
    var effects: [(at: Instant, observer: NodeID, effect: MembershipEffect)] = []
    var keepsEffects = false
    var sent = 0
    var steps = 0
    private var incarnations: [NodeID: [NodeID: Incarnation]] = [:]

    init(
        _ count: Int, seed: UInt64, configuration: MembershipConfiguration = .lan, mutations: MembershipMutations = []
    ) {
        self.mutations = mutations
        generator = SeededGenerator(seed: seed)
        self.configuration = configuration
        for number in 0..<count {
            let digits = String(number)
            add("n" + String(repeating: "0", count: 4 - digits.count) + digits, port: UInt16(1000 + number))
        }
    }

    mutating func add(_ id: NodeID, port: UInt16, incarnation: Incarnation = 1) {
        let address = PeerAddress(host: "198.18.0.1", port: port)
        let metadata = MemberMetadata(
            role: .worker, addresses: ["198.18.0.1:2377"], dataPathAddress: "198.18.0.1", version: "1.0")
        if let old = nodes[id] { byAddress[old.address] = nil }
        var machine = MembershipMachine(
            id: id, contact: Contact(address: address, metadata: metadata), incarnation: incarnation,
            seed: generator.next(), configuration: configuration)
        machine.mutations = mutations
        nodes[id] = Node(machine: machine, address: address)
        byAddress[address] = id
        if !ids.contains(id) { ids.append(id) }
        // A restart begins from nothing: its memory of others may go back.
        incarnations[id] = nil
    }

    /// Everybody knows everybody, as after a quiet hour.
    mutating func startAcquainted() {
        let everybody = ids.compactMap { nodes[$0]?.machine.members.first }
        for id in ids {
            deliver(.join(seeds: []), to: id)
            let state = StateExchange(from: ids.first { $0 != id } ?? id, members: everybody)
            deliver(.exchangeRequested(ticket: 0, state), to: id)
            nodes[id]?.machine.queue = PiggybackQueue()
        }
        run(for: .seconds(1))
    }

    func address(_ index: Int) -> PeerAddress { nodes[ids[index]]?.address ?? PeerAddress(host: "", port: 0) }

    mutating func joinAll(seeds indexes: [Int]) {
        let seeds = indexes.map(address)
        for id in ids { deliver(.join(seeds: seeds), to: id) }
    }

    mutating func crash(_ id: NodeID) {
        nodes[id]?.isRunning = false
        nodes[id]?.inbox = []
    }

    mutating func pause(_ id: NodeID, for duration: Duration) {
        nodes[id]?.pausedUntil = now + duration
        agenda.add(.resume(id), at: now + duration)
    }

    mutating func split(_ left: [NodeID], _ right: [NodeID]) {
        for one in left { for other in right { blocked.formUnion([[one, other], [other, one]]) } }
    }

    // MARK: Running

    mutating func run(for duration: Duration, until condition: ((GossipWorld) -> Bool)? = nil) {
        let end = now + duration
        // With a planted fault the first finding is enough, and what follows it may never end.
        while let next = agenda.next, next <= end, mutations.isEmpty || violations.isEmpty {
            guard let (at, happening) = agenda.popFirst() else { break }
            now = max(now, at)
            perform(happening)
            if let condition, condition(self) { return }
        }
        now = end
    }

    private mutating func perform(_ happening: Happening) {
        switch happening {
        case .deliver(let event, let address):
            guard let id = byAddress[address] else { return }
            deliver(event, to: id)
        case .deliverTo(let event, let id): deliver(event, to: id)
        case .deadline(let id):
            nodes[id]?.plannedDeadline = nil
            // Nothing here may hold a copy of a node: the machine's arrays would be copied when it changes.
            guard nodes[id]?.isRunning == true, nodes[id]?.pausedUntil == nil else { return }
            guard let due = nodes[id]?.machine.nextDeadline else { return }
            if due <= now { deliver(.deadlineReached, to: id) } else { plan(id) }
        case .resume(let id):
            guard let until = nodes[id]?.pausedUntil, until <= now, let inbox = nodes[id]?.inbox else { return }
            nodes[id]?.pausedUntil = nil
            nodes[id]?.inbox = []
            // Timer or socket first: the scheduler decides.
            let timerFirst = generator.next() % 2 == 0
            if timerFirst { deliver(.deadlineReached, to: id) }
            for event in inbox { deliver(event, to: id) }
            if !timerFirst { deliver(.deadlineReached, to: id) }
        }
    }

    mutating func deliver(_ event: MembershipEvent, to id: NodeID) {
        guard nodes[id]?.isRunning == true else { return }
        guard nodes[id]?.pausedUntil == nil else {
            if let count = nodes[id]?.inbox.count, count < Self.socketBufferDatagrams { nodes[id]?.inbox.append(event) }
            return
        }
        guard let effects = nodes[id]?.machine.receive(event, at: now) else { return }
        for effect in effects { interpret(effect, of: id) }
        plan(id)
        steps += 1
        check(id)
    }

    private mutating func plan(_ id: NodeID) {
        guard let due = nodes[id]?.machine.nextDeadline else { return }
        if let planned = nodes[id]?.plannedDeadline, planned <= due { return }
        nodes[id]?.plannedDeadline = due
        agenda.add(.deadline(id), at: max(due, now))
    }

    private mutating func delay() -> Duration {
        let width = UInt64(delayMicroseconds.upperBound - delayMicroseconds.lowerBound + 1)
        return .microseconds(delayMicroseconds.lowerBound + Int64(generator.next() % width))
    }

    private func isCut(_ from: NodeID, _ address: PeerAddress) -> Bool {
        guard let to = byAddress[address] else { return true }
        return blocked.contains([from, to])
    }

    private mutating func interpret(_ effect: MembershipEffect, of id: NodeID) {
        if keepsEffects { effects.append((now, id, effect)) }
        guard let source = nodes[id]?.address else { return }
        switch effect {
        case .send(let datagram, let address):
            sent += 1
            if datagram.sizeBound > configuration.datagramBytesMax - configuration.sealBytes {
                report("a datagram of \(datagram.sizeBound) bytes")
            }
            guard !isCut(id, address), generator.next() % 100 >= lossPercent else { return }
            let copies = generator.next() % 100 < duplicatePercent ? 2 : 1
            for _ in 0..<copies { agenda.add(.deliver(.received(datagram, from: source), to: address), at: now + delay()) }
        case .openExchange(let ticket, let address, let state): openStream(id, address, ticket, state)
        case .answerExchange: break
        case .openStreamPing(let sequence, let target, let address):
            guard let to = byAddress[address], to == target, streamReaches(id, to) else { return }
            agenda.add(.deliverTo(.streamPingAnswered(sequence: sequence), id), at: now + delay() + delay())
        case .answerStreamPing: break
        case .memberDead(let member):
            let isRunning = nodes[member.id]?.isRunning == true && member.contact.address == nodes[member.id]?.address
            let isFalse = isRunning && !blocked.contains([member.id, id]) && !blocked.contains([id, member.id])
            deaths.append(Death(at: now, observer: id, subject: member.id, isFalse: isFalse))
        case .memberAlive, .memberSuspect, .memberLeft, .memberUpdated, .identityContested, .leftCluster,
            .senderDoubted, .departureDenied:
            break
        }
    }

    private func streamReaches(_ from: NodeID, _ to: NodeID) -> Bool {
        streamsWork && nodes[to]?.isRunning == true && nodes[to]?.pausedUntil == nil
            && !blocked.contains([from, to]) && !blocked.contains([to, from])
    }

    /// A stream either delivers both ways or fails; the answer is computed when the request arrives.
    private mutating func openStream(
        _ id: NodeID, _ address: PeerAddress, _ ticket: UInt64, _ state: StateExchange
    ) {
        guard let to = byAddress[address], streamReaches(id, to) else {
            agenda.add(.deliverTo(.exchangeFailed(ticket: ticket), id), at: now + .milliseconds(20))
            return
        }
        guard let effects = nodes[to]?.machine.receive(.exchangeRequested(ticket: ticket, state), at: now) else { return }
        for effect in effects {
            if case .answerExchange(_, let answer) = effect {
                agenda.add(.deliverTo(.exchangeAnswered(ticket: ticket, answer), id), at: now + delay() + delay())
            } else {
                interpret(effect, of: to)
            }
        }
        plan(to)
        check(to)
    }

    // MARK: Checkers

    private mutating func report(_ violation: String) {
        violations.append(violation)
        if mutations.isEmpty { Issue.record("\(violation)") }
    }

    /// What holds after every step.
    private mutating func check(_ id: NodeID) {
        // Whole views of a large cluster are looked at now and then.
        guard ids.count <= 9 || steps % 499 == 0, let machine = nodes[id]?.machine else { return }
        var counts = [0, 0, 0, 0]
        var known = incarnations[id] ?? [:]
        var found: [String] = []
        func look(_ member: NodeID, _ incarnation: Incarnation) {
            if let before = known[member], before > incarnation {
                found.append("\(id)'s view of \(member) went back from \(before) to \(incarnation)")
            }
            known[member] = incarnation
        }
        for (name, record) in machine.records {
            counts[Int(record.member.status.rawValue)] += 1
            look(name, record.member.incarnation)
            if (record.suspicion != nil) != (record.member.status == .suspect) {
                found.append("\(name) is \(record.member.status) without or with a suspicion")
            }
        }
        look(id, machine.incarnation)
        incarnations[id] = known
        let isConsistent =
            machine.records[id] == nil && machine.present.count == counts[0] + counts[1]
            && machine.suspects.count == counts[1] && machine.departed.count == counts[2] + counts[3]
        if !isConsistent { found.append("the lists of \(id) do not match its table") }
        let isBounded =
            machine.queuedRumours <= (machine.records.count + 1) * (configuration.confirmationsMax + 1)
            && machine.localHealth <= MembershipConfiguration.localHealthMax
            && machine.relays.count <= configuration.relaysMax
            && machine.exchanges.count <= configuration.exchangesMax && machine.urgent.count <= ids.count
        if !isBounded { found.append("a bound of \(id) is exceeded") }
        for violation in found { report(violation) }
    }

    /// Everybody that runs sees everybody that runs as alive, at its present address, and nobody else.
    var isConverged: Bool {
        let running = ids.filter { nodes[$0]?.isRunning == true }
        return running.allSatisfy { id in
            guard let machine = nodes[id]?.machine else { return false }
            let alive = machine.members.filter { $0.status == .alive }
            return alive.map(\.id).sorted() == running
                && alive.allSatisfy { $0.contact.address == nodes[$0.id]?.address }
        }
    }

    /// Runs until converged; nil when it takes longer than the limit.
    mutating func timeToConverge(limit: Duration) -> Duration? {
        let start = now
        while now - start <= limit, mutations.isEmpty || violations.isEmpty {
            if isConverged { return now - start }
            run(for: .milliseconds(50))
        }
        return nil
    }
}

/// Percentiles of durations, in milliseconds.
struct Distribution: CustomStringConvertible {
    let values: [Int64]
    init(_ durations: [Duration]) { values = durations.map { $0.wholeNanoseconds / 1_000_000 }.sorted() }
    func percentile(_ percent: Int) -> Int64 {
        values.isEmpty ? -1 : values[min(values.count - 1, values.count * percent / 100)]
    }
    var description: String {
        "count \(values.count) min \(percentile(0)) p50 \(percentile(50)) p90 \(percentile(90)) "
            + "p99 \(percentile(99)) max \(values.last ?? -1) ms"
    }
}
