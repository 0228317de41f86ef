package import Store
package import SwarmCore
package import SwarmModel

/// The leader's end of all agents' sessions; made anew with every leadership.
///
/// Laws: an agent holds exactly what the store says of its node at the stream's version, or asks again; statuses
/// count only from the node that the task was given to, and are acknowledged when the log has them.
package struct Dispatcher: Sendable {
    package struct Outgoing: Sendable, Equatable {
        package var node: ObjectID
        package var message: DispatchMessage

        package init(node: ObjectID, message: DispatchMessage) { (self.node, self.message) = (node, message) }
    }
    /// What an agent's message leads to.
    package struct Outcome: Sendable {
        package var messages: [Outgoing] = []
        /// To be put into the log; then ``Dispatcher/committed(_:)`` with the receipt.
        package var statuses: [ObjectID: TaskStatus] = [:]
        package var receipt: Receipt?

        package init() {}
    }
    /// Whom to tell that statuses are in the log.
    package struct Receipt: Sendable, Equatable {
        package var node: ObjectID
        package var session: SessionID
        package var number: UInt64
    }

    private struct Session: Sendable {
        var id: SessionID
        var version: UInt64
        var sent: [AssignmentKey: UInt64]
        var sentAt: Instant
        var managers: [ObjectID]
        /// The last report heard; an earlier one that was overtaken on its way says nothing new.
        var reportNumber: UInt64 = 0
    }

    package let claim: LeaderClaim
    package private(set) var startedAt: Instant
    let configuration: DispatchConfiguration
    package var mutations: DispatchMutations = []
    /// By sender, statuses of tasks that it does not own: a sign of a node gone wrong.
    package private(set) var refusedStatuses: [ObjectID: Int] = [:]
    private var sessions: [ObjectID: Session] = [:]
    private var lastHeard: [ObjectID: Instant] = [:]
    private var announced: Set<ObjectID> = []
    private var nextNumber: UInt64 = 1
    private var directory = EndpointDirectory()

    package init(claim: LeaderClaim, configuration: DispatchConfiguration = .init(), at now: Instant) {
        (self.claim, self.configuration, startedAt) = (claim, configuration, now)
    }

    package func hasSession(_ node: ObjectID) -> Bool { sessions[node] != nil }
    package func lastHeard(_ node: ObjectID) -> Instant? { lastHeard[node] }

    // MARK: Down

    /// Tells nodes that have not heard of this leader, and sends every session what it lacks.
    ///
    /// Must follow every change of the store before anything else is asked.
    /// - Parameter nodes: whose assignments may have changed; nil for all.
    /// - Parameter services: whose endpoints may have changed, for whoever holds them.
    package mutating func storeChanged(
        _ store: ObjectStore, managers: [ObjectID], nodes: Set<ObjectID>? = nil, services: Set<ObjectID> = [],
        at now: Instant
    ) -> [Outgoing] {
        var messages: [Outgoing] = []
        if nodes == nil { directory.forgetAll() }
        for service in services { directory.forget(service) }
        // A service without a network is on no other node's list.
        let stale = services.sorted().filter { directory.entry($0, in: store)?.service.isVisible == true }
        if announced.count < store.nodes.count {
            for node in store.nodes.ids where announced.insert(node).inserted {
                messages.append(Outgoing(node: node, message: .leader(claim)))
            }
        }
        for node in stale.isEmpty ? nodes?.sorted() ?? store.nodes.ids : store.nodes.ids where sessions[node] != nil {
            guard store.nodes.contains(node) else { continue }
            if nodes?.contains(node) ?? true {
                messages += refresh(node, store, managers: managers, at: now)
            } else {
                messages += refreshEndpoints(node, stale, store, managers: managers, at: now)
            }
        }
        for node in sessions.keys.filter({ !store.nodes.contains($0) }).sorted() {
            sessions[node] = nil
            lastHeard[node] = nil
            announced.remove(node)
            messages.append(Outgoing(node: node, message: .nodeUnknown(claim)))
        }
        return messages
    }

    /// Services came, went or changed their networks; ``storeChanged`` follows.
    package mutating func servicesChanged() { directory.forgetAll() }

    private mutating func refresh(
        _ node: ObjectID, _ store: ObjectStore, managers: [ObjectID], at now: Instant
    ) -> [Outgoing] {
        guard var session = sessions[node] else { return [] }
        let assignment = Assignment(of: store, node: node, &directory)
        let fingerprints = directory.fingerprints(of: assignment, in: store)
        let delta = assignment.delta(from: session.sent, to: fingerprints)
        guard !delta.isEmpty || session.managers != managers else { return [] }
        (session.sent, session.sentAt, session.managers) = (fingerprints, now, managers)
        return [next(&session, delta, node)]
    }

    /// Most changes of a big cluster are of this kind: a task came up or went down somewhere, and this node, on which
    /// nothing has changed, must know.
    private mutating func refreshEndpoints(
        _ node: ObjectID, _ services: [ObjectID], _ store: ObjectStore, managers: [ObjectID], at now: Instant
    ) -> [Outgoing] {
        guard var session = sessions[node] else { return [] }
        var delta = AssignmentDelta()
        for service in services {
            let key = AssignmentKey.endpoints(service)
            guard let held = session.sent[key], let entry = directory.entry(service, in: store),
                held != entry.fingerprint
            else { continue }
            delta.changed.append(.endpoints(entry.service))
            session.sent[key] = entry.fingerprint
        }
        guard !delta.isEmpty else { return [] }
        (session.sentAt, session.managers) = (now, managers)
        return [next(&session, delta, node)]
    }

    private mutating func next(_ session: inout Session, _ delta: AssignmentDelta, _ node: ObjectID) -> Outgoing {
        let update = AssignmentUpdate(
            session: session.id, base: .version(session.version), version: session.version + 1, delta: delta,
            managers: session.managers)
        session.version += 1
        sessions[node] = session
        return Outgoing(node: node, message: .update(update))
    }

    /// Says once more who leads, to nodes that are back.
    package func announce(to node: ObjectID) -> Outgoing { Outgoing(node: node, message: .leader(claim)) }

    private mutating func sendAll(
        _ node: ObjectID, _ store: ObjectStore, managers: [ObjectID], at now: Instant
    ) -> [Outgoing] {
        guard var session = sessions[node] else { return [] }
        let assignment = Assignment(of: store, node: node, &directory)
        session.version += 1
        session.sent = directory.fingerprints(of: assignment, in: store)
        (session.sentAt, session.managers) = (now, managers)
        sessions[node] = session
        let update = AssignmentUpdate(
            session: session.id, base: .nothing, version: session.version,
            delta: AssignmentDelta(changed: assignment.items), managers: managers)
        return [Outgoing(node: node, message: .update(update))]
    }

    // MARK: Up

    package mutating func receive(
        _ message: AgentMessage, from node: ObjectID, _ store: ObjectStore, managers: [ObjectID],
        at now: Instant
    ) -> Outcome {
        var outcome = Outcome()
        guard store.nodes.contains(node) else {
            // Before its first objects are there, a cluster knows no node at all.
            if store.cluster != nil {
                outcome.messages = [Outgoing(node: node, message: .nodeUnknown(claim))]
            }
            return outcome
        }
        switch message {
        case .open(let attempt, let held):
            outcome.messages = open(node, attempt, held, store, managers: managers, at: now)
        case .beat(let id, let version):
            guard let session = known(id, node, &outcome) else { break }
            lastHeard[node] = now
            outcome.messages.append(Outgoing(node: node, message: .beatAnswered(id)))
            if version < session.version, now - session.sentAt >= configuration.updatePatience {
                outcome.messages += sendAll(node, store, managers: managers, at: now)
            }
        case .resynchronize(let id):
            guard known(id, node, &outcome) != nil else { break }
            lastHeard[node] = now
            outcome.messages = sendAll(node, store, managers: managers, at: now)
        case .statuses(let id, let number, let statuses):
            guard let session = known(id, node, &outcome) else { break }
            lastHeard[node] = now
            // The next report leaves when the one before it was acknowledged.
            guard number >= session.reportNumber else { break }
            sessions[node]?.reportNumber = number
            for (task, status) in statuses {
                let isOwner = store.tasks[task].map { $0.nodeID == node } ?? true
                if isOwner || mutations.contains(.acceptsForeignStatuses) {
                    outcome.statuses[task] = status
                } else {
                    refusedStatuses[node, default: 0] += 1
                }
            }
            let receipt = Receipt(node: node, session: id, number: number)
            if mutations.contains(.acknowledgesStatusesEarly) { outcome.messages += committed([receipt]) }
            outcome.receipt = receipt
        }
        return outcome
    }

    private func known(_ id: SessionID, _ node: ObjectID, _ outcome: inout Outcome) -> Session? {
        guard let session = sessions[node], session.id == id else {
            outcome.messages = [Outgoing(node: node, message: .sessionUnknown(id))]
            return nil
        }
        return session
    }

    private mutating func open(
        _ node: ObjectID, _ attempt: UInt64, _ held: [AssignmentKey: UInt64], _ store: ObjectStore,
        managers: [ObjectID], at now: Instant
    ) -> [Outgoing] {
        let id = SessionID(leader: claim, number: nextNumber)
        nextNumber += 1
        let assignment = Assignment(of: store, node: node, &directory)
        let fingerprints = directory.fingerprints(of: assignment, in: store)
        sessions[node] = Session(id: id, version: 1, sent: fingerprints, sentAt: now, managers: managers)
        lastHeard[node] = now
        announced.insert(node)
        let update = AssignmentUpdate(
            session: id, base: .held(attempt: attempt), version: 1,
            delta: assignment.delta(from: held, to: fingerprints), managers: managers)
        return [Outgoing(node: node, message: .update(update))]
    }

    /// The statuses behind these receipts are in the log.
    package func committed(_ receipts: [Receipt]) -> [Outgoing] {
        receipts.filter { sessions[$0.node]?.id == $0.session }.map {
            Outgoing(node: $0.node, message: .acknowledged($0.session, number: $0.number))
        }
    }

    // MARK: Who is there

    package enum Presence: Sendable, Equatable {
        /// It has a session and was heard lately.
        case present
        /// It may be there or not: what runs on it goes on, and nothing new is given to it.
        case doubted
        /// It has been silent for so long that it is down.
        case silent
        /// This leadership is too young to tell.
        case unknown
    }

    /// What sessions say of a node.
    /// - Parameters:
    ///   - isHeldForDead: what gossip says.
    ///   - isAbsent: gossip hears no daemon there, although the machine answers.
    package func presence(
        of node: ObjectID, isHeldForDead: Bool, isAbsent: Bool = false, at now: Instant
    ) -> Presence {
        let silence = now - (lastHeard[node] ?? startedAt)
        let limits = silenceLimits(of: node)
        if silence >= (isHeldForDead ? limits.dead : limits.alive) { return .silent }
        if isHeldForDead || isAbsent || silence >= configuration.doubtAfter { return .doubted }
        return sessions[node] != nil ? .present : .unknown
    }

    /// When a node's presence changes next although nothing happens; not after `now` when it never will.
    package func nextChange(of node: ObjectID, isHeldForDead: Bool, at now: Instant) -> Instant {
        let heard = lastHeard[node] ?? startedAt
        let limits = silenceLimits(of: node)
        let (doubted, silent) = (heard + configuration.doubtAfter, heard + (isHeldForDead ? limits.dead : limits.alive))
        return doubted > now ? min(doubted, silent) : silent
    }

    /// This process did not run for so long: what it did not hear in that time says nothing about the nodes.
    package mutating func forgive(_ pause: Duration) {
        startedAt = startedAt + pause
        lastHeard = lastHeard.mapValues { $0 + pause }
    }

    private func silenceLimits(of node: ObjectID) -> (dead: Duration, alive: Duration) {
        guard lastHeard[node] == nil else {
            return (configuration.silenceConfirmation, configuration.silenceMax)
        }
        if mutations.contains(.grantsNoGrace) { return (.zero, .zero) }
        return (configuration.deathGrace, configuration.leaderChangeGrace)
    }
}

extension ServiceEndpoints {
    /// Whether any node but its tasks' own may hold it.
    fileprivate var isVisible: Bool { !networks.isEmpty || !ports.isEmpty }
}
