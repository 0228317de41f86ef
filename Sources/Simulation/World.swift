import Allocation
package import Consensus
package import Dispatching
package import Membership
import Ports
import Store
import SwarmCore
import SwarmModel
package import SwarmNode

/// What a run is made of; everything else follows from the seed.
package struct WorldPlan: Sendable {
    package var managers = 3
    package var workers = 2
    /// Virtual seconds with faults, and at most so many to come to rest afterwards.
    package var faultSeconds: Int64 = 25
    package var settleSeconds: Int64 = 150
    package var hasFaults = true
    package var hasClients = true
    /// Jobs, global services, health checks, nodes that leave or move, power cuts, rings: more than the fixed
    /// seeds know.
    package var isVaried = false
    /// Machines take what arrived in the last moments in one step, as a busy driver's do.
    package var sharesSteps = false
    package var nodeMutations: NodeMutations = []
    package var raftMutations: RaftMutations = []
    package var gossipMutations: MembershipMutations = []
    package var dispatchMutations: DispatchMutations = []
    package var worldMutations: WorldMutations = []

    package init() {}

    /// The size of the cluster is drawn from the seed too.
    package init(seed: UInt64) {
        managers = [3, 3, 5, 1][Int(seed % 4)]
        workers = Int(seed / 4 % 4)
    }
}

/// Wrong turns that belong to no single machine.
package struct WorldMutations: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The planner gives an address that is in use.
    package static let reusesAddresses = WorldMutations(rawValue: 1 << 0)
    /// The scheduler ignores constraints.
    package static let ignoresConstraints = WorldMutations(rawValue: 1 << 1)
    /// Votes and entries are lost by a crash although the disk said that it had them.
    package static let liesAboutSyncing = WorldMutations(rawValue: 1 << 2)
}

/// Something that must never be.
package struct Violation: Error, Sendable, CustomStringConvertible {
    package var text: String
    package var description: String { text }
}

/// N node machines on virtual time; one agenda, one generator, no clock, no thread.
package struct World {
    enum Happening {
        case wake(node: Int, boot: Int)
        case event(node: Int, boot: Int, NodeEvent)
        /// The node takes what has arrived.
        case turn(node: Int, boot: Int)
        case peer(PeerMessage, from: Int, to: Int)
        case datagram(GossipDatagram, from: Int, to: Int)
        case exchange(StateExchange, ticket: UInt64, from: Int, to: Int, boot: Int)
        case exchangeAnswer(StateExchange, ticket: UInt64, from: Int, to: Int, boot: Int)
        case streamPing(sequence: UInt64, from: Int, to: Int, boot: Int, target: String)
        case written(node: Int, boot: Int, generation: Int, sequence: UInt64)
        /// The agent's file has what the agent holds.
        case kept(node: Int, boot: Int)
        case restart(node: Int)
        case fault
        case cut(String, Set<Network.Link>)
        case heal(String)
        case deafen
        case client
        case join(node: Int)
        case finish(node: Int, container: String)
        case leave(node: Int)
        case gone(node: Int, at: Int64)
    }

    /// The transcript keeps so many lines.
    static let transcriptMax = 200
    /// So long nothing is written at rest.
    static let restNanoseconds: Int64 = 3_000_000_000
    /// So often something may be written after everything looked well.
    static let restsMax = 3
    /// A node that leaves waits so long at most until it may go.
    static let farewellNanosecondsMax: Int64 = 7_000_000_000
    /// A crash loses what changed in the assignment so shortly before.
    static let assignmentWriteNanoseconds: Int64 = 100_000_000
    /// What arrives in this time may share a step.
    static let turnNanosecondsMax = 3_000_000

    package let seed: UInt64
    package let plan: WorldPlan
    var generator: SeededGenerator
    var agenda = Agenda<Happening>()
    var now: Int64 = 0
    var nodes: [SimulatedNode] = []
    let codec = RecordTable()
    var network = Network()
    var clients = Clients()
    var checker = Checker()
    var isCalm = false
    var runtimeFailures = 0
    /// Milliseconds that a plan may take.
    package var planMilliseconds: ClosedRange<Int64> = 1...60
    /// A node that dies after so many more effects.
    var armedCrash: (node: Int, effects: Int)?
    /// Exchanges that wait for an answer: who asked, by the answerer's ticket.
    var openExchanges: [UInt64: (from: Int, boot: Int, ticket: UInt64)] = [:]
    var nextTicket: UInt64 = 1
    package private(set) var steps = 0
    /// Prints every step as it happens.
    package var isVerbose = false
    var transcript: [String] = []
    package private(set) var digest: UInt64 = 0xcbf2_9ce4_8422_2325

    package init(seed: UInt64, plan: WorldPlan = WorldPlan()) {
        (self.seed, self.plan) = (seed, plan)
        generator = SeededGenerator(seed: seed)
        for index in 0..<(plan.managers + plan.workers) { nodes.append(SimulatedNode(index: index)) }
        network.draw(using: &generator, hasFaults: plan.hasFaults)
    }

    // MARK: Chance

    mutating func below(_ bound: Int) -> Int { Int(generator.next() % UInt64(max(bound, 1))) }
    mutating func chance(_ perThousand: Int) -> Bool { below(1000) < perThousand }
    /// Milliseconds as nanoseconds, uniform.
    mutating func milliseconds(_ range: ClosedRange<Int64>) -> Int64 {
        let width = UInt64(range.upperBound - range.lowerBound) * 1_000_000 + 1
        return range.lowerBound * 1_000_000 + Int64(generator.next() % width)
    }

    mutating func note(_ text: String) {
        if isVerbose { print("\(now / 1_000_000) ms  \(text)") }
        let line = "\(now / 1_000_000) ms  \(text)"
        for byte in line.utf8 { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01b3 }
        transcript.append(line)
        if transcript.count > 2 * Self.transcriptMax { transcript.removeFirst(Self.transcriptMax) }
    }

    /// The last lines of what happened, to be read when a seed fails.
    package var lastLines: [String] { Array(transcript.suffix(Self.transcriptMax)) }

    mutating func schedule(_ happening: Happening, after delay: Int64) {
        agenda.add(happening, at: Instant(nanoseconds: now + max(delay, 0)))
    }

    // MARK: Running

    /// A whole run: start, faults, calm, rest.
    package mutating func run() throws(Violation) {
        begin()
        if plan.hasFaults { schedule(.fault, after: milliseconds(4000...6000)) }
        if plan.hasClients { schedule(.client, after: milliseconds(2000...3000)) }
        try advance(to: plan.faultSeconds * 1_000_000_000)
        calm()
        try settle()
    }

    package mutating func begin() {
        nodes[0].isMember = true
        start(0)
        for index in nodes.indices.dropFirst() {
            schedule(.join(node: index), after: milliseconds(300...600) + Int64(index) * 150_000_000)
        }
    }

    package mutating func advance(to end: Int64) throws(Violation) {
        while let next = agenda.next, next.nanoseconds <= end, let (at, happening) = agenda.popFirst() {
            now = max(now, at.nanoseconds)
            steps += 1
            try perform(happening)
        }
        now = max(now, end)
    }

    /// Runs until everything is as it should be and stays so for a while, in which nothing is written.
    package mutating func settle() throws(Violation) {
        let end = now + plan.settleSeconds * 1_000_000_000
        var written: [String] = []
        // What the last change brings about may be written after everything looked well; it may not go on for ever.
        for _ in 0..<Self.restsMax {
            var reason = unsettled()
            while reason != nil, now < end {
                try wakeDrainedNodes()
                try advance(to: now + 500_000_000)
                reason = unsettled()
            }
            if let reason { throw Violation(text: "it does not come to rest: \(reason)") }
            let rested = checker.truth
            try advance(to: now + Self.restNanoseconds)
            written = checker.truth.changes(since: rested)
            note("at rest: \(written)")
            if checker.truth.index == rested.index { return try checker.checkAcknowledged(clients) }
        }
        throw Violation(text: "something is written again and again at rest: \(written)")
    }

    private mutating func perform(_ happening: Happening) throws(Violation) {
        switch happening {
        case .wake(let node, let boot):
            guard nodes[node].boot == boot, nodes[node].wakeAt <= now else { return }
            nodes[node].wakeAt = .max
            try checkSpin(node)
            try step(node, .deadlineReached)
        case .event(let node, let boot, let event):
            guard nodes[node].boot == boot else { return }
            try step(node, event)
        case .turn(let node, let boot):
            guard nodes[node].boot == boot else { return }
            guard nodes[node].pausedUntil <= now else {
                return schedule(.turn(node: node, boot: boot), after: nodes[node].pausedUntil - now)
            }
            let arrived = nodes[node].arrived
            nodes[node].arrived = []
            try step(node, arrived)
        case .peer(let message, let from, let to):
            let before = nodes[to].machine?.session
            try step(to, .peer(message, from: nodes[from].id))
            guard case .toAgent(.update(let update)) = message, let before,
                let after = nodes[to].machine?.session,
                let leader = before.leader, update.session.leader < leader,
                after.assignment != before.assignment
            else { return }
            throw Violation(text: "\(nodes[to].id) obeys \(nodes[from].id), which was deposed")
        case .datagram(let datagram, let from, let to):
            try step(to, .gossip(.received(datagram, from: address(of: from))))
        case .exchange(let state, let ticket, let from, let to, let boot):
            guard nodes[to].isUp else { return }
            openExchanges[nextTicket] = (from, boot, ticket)
            nextTicket += 1
            try step(to, .gossip(.exchangeRequested(ticket: nextTicket - 1, state)))
        case .exchangeAnswer(let state, let ticket, _, let to, let boot):
            guard nodes[to].boot == boot else { return }
            try step(to, .gossip(.exchangeAnswered(ticket: ticket, state)))
        case .streamPing(let sequence, let from, let to, let boot, let target):
            guard nodes[to].isUp, nodes[to].pausedUntil <= now, nodes[to].id == target,
                nodes[from].boot == boot
            else { return }
            schedule(
                .event(node: from, boot: boot, .gossip(.streamPingAnswered(sequence: sequence))),
                after: 2_000_000)
        case .written(let node, let boot, let generation, let sequence):
            guard nodes[node].boot == boot, nodes[node].diskGeneration == generation else { return }
            while let first = nodes[node].pending.first, first.sequence <= sequence {
                nodes[node].write(first)
                nodes[node].pending.removeFirst()
            }
            try step(node, .persisted(sequence: sequence))
        case .kept(let node, let boot):
            guard nodes[node].boot == boot, let held = nodes[node].unsaved else { return }
            (nodes[node].held, nodes[node].unsaved) = (held, nil)
        case .restart(let node):
            if !nodes[node].isUp, !nodes[node].isRemoved, !nodes[node].hasLeft { start(node) }
        case .fault: injectFault()
        case .heal(let what):
            note("heals: \(what)")
            network.heal(what)
        case .cut(let name, let links):
            guard !isCalm else { return }
            network.cut(links, as: name)
        case .deafen: deafenLeader()
        case .client: try clientActs()
        case .join(let node): join(node)
        case .finish(let node, let container): endContainer(container, on: node, code: 0)
        case .leave(let node): try leave(node)
        case .gone(let node, let end): go(node, at: end)
        }
    }

    /// A machine that asks to be woken again and again does nothing but that.
    private mutating func checkSpin(_ node: Int) throws(Violation) {
        let second = now / 1_000_000_000
        if nodes[node].wakes.second != second { nodes[node].wakes = (second, 0) }
        nodes[node].wakes.count += 1
        if nodes[node].wakes.count > 1000 {
            throw Violation(text: "\(nodes[node].id) wakes 1000 times in a second")
        }
    }

    /// One event to one machine, its effects, and a look at the result. A paused machine gets it later.
    mutating func step(_ node: Int, _ event: NodeEvent) throws(Violation) {
        guard nodes[node].machine != nil else { return }
        guard nodes[node].pausedUntil <= now else {
            agenda.add(
                .event(node: node, boot: nodes[node].boot, event),
                at: Instant(nanoseconds: nodes[node].pausedUntil))
            return
        }
        guard plan.sharesSteps else { return try step(node, [event]) }
        if nodes[node].arrived.isEmpty {
            schedule(.turn(node: node, boot: nodes[node].boot), after: Int64(below(Self.turnNanosecondsMax)))
        }
        nodes[node].arrived.append(event)
    }

    private mutating func step(_ node: Int, _ events: [NodeEvent]) throws(Violation) {
        for event in events { note("\(nodes[node].id) \(describe(event))") }
        let (instant, time) = clocks(of: node)
        let effects = nodes[node].machine?.receive(events, at: instant, time: time) ?? []
        try observe(node, events, effects)
        for effect in effects {
            guard nodes[node].isUp else { break }
            try perform(effect, of: node)
            crashIfArmed(node)
        }
        if let held = nodes[node].machine?.takeAssignment() {
            if nodes[node].unsaved == nil {
                schedule(.kept(node: node, boot: nodes[node].boot), after: Self.assignmentWriteNanoseconds)
            }
            nodes[node].unsaved = held
        }
        planWake(node)
    }

    func clocks(of node: Int) -> (Instant, Timestamp) {
        (
            Instant(nanoseconds: now + Int64(node) * 7_000_000_000),
            Timestamp(nanoseconds: 1_800_000_000_000_000_000 + now + nodes[node].skew)
        )
    }

    mutating func planWake(_ node: Int) {
        let (instant, time) = clocks(of: node)
        guard let wait = nodes[node].machine?.nextDeadline(now: instant, time: time) else { return }
        let at = now + max(wait.wholeNanoseconds, 100_000)
        guard at < nodes[node].wakeAt else { return }
        nodes[node].wakeAt = at
        agenda.add(.wake(node: node, boot: nodes[node].boot), at: Instant(nanoseconds: at))
    }

    // MARK: Starting and stopping

    func address(of node: Int) -> PeerAddress {
        PeerAddress(host: "10.\(nodes[node].moves).0.\(node + 1)", port: 7946)
    }
    func index(of id: String) -> Int? { id.hasPrefix("node-") ? Int(id.dropFirst(5)) : nil }
    func index(of address: PeerAddress) -> Int? {
        // Who has moved is no longer found at the old address.
        nodes.indices.first { self.address(of: $0) == address }
    }

    mutating func start(_ node: Int) {
        if plan.isVaried, nodes[node].boot > 0, below(6) == 0 { nodes[node].moves = (nodes[node].moves + 1) % 250 }
        nodes[node].boot += 1
        nodes[node].arrived = []
        nodes[node].wakeAt = .max
        nodes[node].troubledAt = now
        nodes[node].pausedUntil = 0
        nodes[node].diskBusyUntil = now
        let boot = nodes[node].boot
        note("\(nodes[node].id) starts, boot \(boot)")
        var setup = ClusterSetup()
        setup.isFounder = node == 0
        (setup.epoch, setup.isForced) = (nodes[node].epoch, nodes[node].isForced)
        setup.managers = nodes[node].managers.isEmpty ? [nodes[0].id] : nodes[node].managers
        setup.snapshotInterval = 40
        setup.raft.trailingEntriesMax = 8
        setup.raft.snapshotPieceBytesMax = 2
        let metadata = MemberMetadata(role: .worker, addresses: [address(of: node).host])
        setup.gossip = ClusterSetup.Gossip(
            contact: Contact(address: address(of: node), metadata: metadata), incarnation: UInt64(boot))
        let facts = AgentFacts(hostname: nodes[node].id, namespaceDirectory: "/run/netns")
        var machine = NodeMachine(
            nodeID: nodes[node].id, agentFacts: facts, allocationFacts: AllocationFacts(), codec: codec,
            seed: generator.next(), setup: setup)
        machine.mutations = plan.nodeMutations
        machine.dispatchMutations = plan.dispatchMutations
        (machine.raftMutations, machine.gossipMutations) = (plan.raftMutations, plan.gossipMutations)
        nodes[node].machine = machine
        nodes[node].isForced = false
        let seeds = nodes.indices.filter { $0 != node && nodes[$0].isMember }.map { address(of: $0) }
        schedule(.event(node: node, boot: boot, .recovered(nodes[node].disk)), after: 0)
        nodes[node].unsaved = nil
        if let held = nodes[node].held { schedule(.event(node: node, boot: boot, .restored(held)), after: 0) }
        schedule(.event(node: node, boot: boot, .gossip(.join(seeds: seeds))), after: 1)
        let found = nodes[node].containers.keys.sorted().compactMap { nodes[node].containers[$0]?.info }
        schedule(.event(node: node, boot: boot, .agent(.found(found))), after: 5_000_000)
        if node == 0, boot == 1 {
            schedule(.event(node: node, boot: boot, .bootstrap(ticket: 0, firstObjects())), after: 6_000_000)
        }
    }

    private func firstObjects() -> [StoreAction] {
        var node = Node(id: nodes[0].id)
        node.spec = NodeSpec(role: "manager", availability: "active")
        node.description = description(of: 0)
        node.status = NodeStatus(state: "ready", addr: address(of: 0).host)
        var ingress = SwarmModel.Network(id: "ingress")
        ingress.spec = NetworkSpec(name: "ingress", ingress: true)
        var front = SwarmModel.Network(id: "front")
        front.spec = NetworkSpec(name: "front")
        return [
            .create(.cluster(Cluster(id: "cluster"))), .create(.node(node)), .create(.network(ingress)),
            .create(.network(front)),
        ]
    }

    func description(of node: Int) -> NodeDescription {
        var description = NodeDescription()
        description.hostname = nodes[node].id
        description.platform = Platform(architecture: "x86_64", os: "linux")
        description.resources = Resources(nanoCPUs: 8_000_000_000, memoryBytes: 8 << 30)
        return description
    }

    private mutating func crashIfArmed(_ node: Int) {
        guard let armed = armedCrash, armed.node == node else { return }
        armedCrash?.effects -= 1
        guard armed.effects <= 0 else { return }
        armedCrash = nil
        crash(node)
        schedule(.restart(node: node), after: milliseconds(200...4000))
    }

    /// The daemon dies; what the disk had not confirmed may be lost, the containers go on.
    mutating func crash(_ node: Int, losingContainers: Bool = false) {
        guard nodes[node].isUp else { return }
        note("\(nodes[node].id) crashes\(losingContainers ? " with its containers" : "")")
        nodes[node].managers = nodes[node].machine?.session.managers ?? []
        // A prefix of what was being written is there; a half-written batch is noticed and dropped.
        let kept = below(nodes[node].pending.count + 1)
        for batch in nodes[node].pending.prefix(kept) { nodes[node].write(batch) }
        nodes[node].pending = []
        if plan.worldMutations.contains(.liesAboutSyncing) {
            nodes[node].disk.entries.removeLast(min(30, nodes[node].disk.entries.count))
        }
        nodes[node].machine = nil
        nodes[node].boot += 1
        nodes[node].arrived = []
        nodes[node].troubledAt = now
        if losingContainers {
            for id in nodes[node].containers.keys { nodes[node].containers[id]?.info.state = .exited }
        }
        clients.lost(node)
    }
}
