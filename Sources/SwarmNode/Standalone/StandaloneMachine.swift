package import Overlay
package import Ports
package import SwarmCore
package import SwarmModel

/// What this node's standalone containers ask of it; each that has an answer comes back as ``StandaloneEvent``.
package enum StandaloneEffect: Sendable, Equatable {
    /// Ask the managers for an address on one of the swarm's networks.
    case attach(containerID: String, AttachmentWish)
    /// Give the managers one back.
    case detach(attachment: ObjectID)
    /// Make the kernel and the resolvers match ``StandaloneMachine/networking``; answered with the same version.
    case applyNetworking(version: UInt64)
    case start(containerID: String, hosts: [String])
    /// Its networks changed while it runs.
    case setHosts(containerID: String, [String])
    /// It is gone for good, with its anonymous volumes.
    case remove(containerID: String)
    case save(containerID: String, StandaloneContainer)
    case saveNetworks([LocalNetwork])
    case answer(ticket: UInt64, SwarmError?)
    /// For `docker events`.
    case tell(containerID: String, network: String, networkID: String, isConnected: Bool)
}

/// An address on a network that managers keep.
package struct AttachmentWish: Sendable, Equatable {
    /// The network's name or identifier, as a user gave it.
    package var network: String
    package var containerName: String
    /// Its short identifier and its `--network-alias`es.
    package var aliases: [String]
    package var address: IPv4Address?

    package init(network: String, containerName: String, aliases: [String], address: IPv4Address? = nil) {
        (self.network, self.containerName, self.aliases, self.address) = (
            network, containerName, aliases, address
        )
    }
}

/// What managers have given: an attachment task of this node, with its address.
package struct ContainerAttachment: Sendable, Equatable {
    package var id: ObjectID
    package var containerID: String
    package var networkID: ObjectID
    package var networkName: String
    package var isInternal: Bool
    package var address: IPv4Subnet

    package init(
        id: ObjectID, containerID: String, networkID: ObjectID, networkName: String, isInternal: Bool,
        address: IPv4Subnet
    ) {
        (self.id, self.containerID, self.networkID) = (id, containerID, networkID)
        (self.networkName, self.isInternal, self.address) = (networkName, isInternal, address)
    }
}

package enum StandaloneEvent: Sendable {
    /// What the runtime holds when swarmd comes up, and the networks of this node; nothing is accepted before it.
    case found([ContainerInfo], [LocalNetwork])
    case created(ContainerInfo)
    case start(containerID: String, ticket: UInt64)
    /// A user wants it to be stopped, and it to stay so; or it is only stopped to be started anew at once.
    case stopWanted(containerID: String, staysDown: Bool)
    case renamed(containerID: String, String)
    case restartRule(containerID: String, RestartRule)
    case removed(containerID: String)
    case started(containerID: String, SwarmError?)
    case exited(containerID: String, code: Int, at: Timestamp)
    case connect(containerID: String, StandaloneEndpoint, ticket: UInt64)
    case disconnect(containerID: String, network: String, force: Bool, ticket: UInt64)
    /// All attachments of this node that managers know of; nil while no manager has told.
    case attachments([ContainerAttachment]?)
    case attachAnswered(containerID: String, network: String, Result<ObjectID, SwarmError>)
    case detachAnswered(attachment: ObjectID, isDone: Bool)
    /// As ``AgentEvent/networkApplied(version:failures:ports:)``.
    case networkApplied(version: UInt64, failures: [String: String], ports: [PublishedPort.Key: String])
    /// Ports of this node that tasks and services have.
    case occupied(Set<PublishedPort.Key>)
    case networkMade(LocalNetwork)
    case networkRemoved(id: String)
    case deadlineReached
}

/// The standalone containers of one node, from `docker run`'s start to the last restart, and the networks of this node
/// alone.
///
/// The runtime keeps each container's wishes; the addresses that containers on the swarm's networks have are the
/// managers' word. The machine brings both together: it starts a container only once its network is there, gives back
/// what an ended one held, and starts again what its restart rule says.
package struct StandaloneMachine: Sendable {
    /// Managers are waited for so long, as in Docker.
    static let attachPatience: Duration = .seconds(20)
    /// The first pause before a restart; each further one is twice as long.
    static let restartPause: Duration = .milliseconds(100)
    static let restartPauseMax: Duration = .seconds(60)
    /// A container that ran for so long begins anew with the first pause.
    static let steadyAfter: Duration = .seconds(10)
    /// Between two attempts to reach a manager for what no user waits for.
    static let retryPause: Duration = .seconds(5)

    /// By container id.
    package internal(set) var members: [String: StandaloneMember] = [:]
    /// User-defined networks of this node; the predefined `bridge` is not among them.
    package internal(set) var networks: [LocalNetwork] = []
    package let bridge: LocalNetwork
    var attachments: [ObjectID: ContainerAttachment]?
    /// Asked back from the managers; an attempt without an answer is made again.
    var detaching: [ObjectID: Instant] = [:]
    var occupiedPorts: Set<PublishedPort.Key> = []
    var networkVersion: UInt64 = 0
    /// Whether it knows what was there when swarmd came up: the kernel must not be touched before.
    package private(set) var isReady = false
    private var isNetworkStale = true
    private var lastNetworking: StandaloneNetworking?

    /// - Parameter subnet: of the predefined network `bridge`.
    package init(subnet: IPv4Subnet) {
        bridge = LocalNetwork(
            id: PredefinedNetwork.identifier(of: "bridge"), name: "bridge", subnet: subnet.canonical,
            gateway: subnet.network.advanced(by: 1), createdAt: .zero)
    }

    /// When to send `.deadlineReached`; nil when only an event matters.
    package var nextDeadline: Instant? {
        var deadlines = detaching.values.map { $0 + Self.retryPause }
        for member in members.values {
            switch member.phase {
            case .attaching(let until), .waiting(let until): deadlines.append(until)
            case .resting, .joining, .starting, .running, .removing: break
            }
            if let until = member.reattachAt { deadlines.append(until) }
        }
        return deadlines.min()
    }

    package mutating func receive(_ event: StandaloneEvent, at now: Instant) -> [StandaloneEffect] {
        var effects: [StandaloneEffect] = []
        switch event {
        case .found(let containers, let networks): effects += found(containers, networks, at: now)
        case .created(let info):
            guard let wishes = info.request?.standalone, members[info.id] == nil else { break }
            members[info.id] = StandaloneMember(info, wishes)
        case .start(let id, let ticket): effects += start(id, ticket, at: now)
        case .stopWanted(let id, let staysDown): effects += stopWanted(id, staysDown: staysDown)
        case .renamed(let id, let name):
            members[id]?.name = name
            isNetworkStale = true
        case .restartRule(let id, let rule):
            members[id]?.wishes.restart = rule
            effects += save(id)
        case .removed(let id): effects += removed(id)
        case .started(let id, let failure): effects += started(id, failure, at: now)
        case .exited(let id, let code, let time): effects += exited(id, code, time, at: now)
        case .connect(let id, let endpoint, let ticket): effects += connect(id, endpoint, ticket, at: now)
        case .disconnect(let id, let network, let force, let ticket):
            effects += disconnect(id, network, force: force, ticket)
        case .attachments(let list):
            attachments = list.map {
                Dictionary($0.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
            }
            effects += followAttachments(at: now)
        case .attachAnswered(let id, let network, let result):
            effects += attachAnswered(id, network, result, at: now)
        case .detachAnswered(let attachment, let isDone):
            // What was not done is tried again when its time has come.
            if isDone { detaching[attachment] = nil }
        case .networkApplied(let version, let failures, let ports):
            effects += networkApplied(version, failures, ports, at: now)
        case .occupied(let ports): occupiedPorts = ports
        case .networkMade(let network):
            networks.append(network)
            effects.append(.saveNetworks(networks))
        case .networkRemoved(let id):
            networks.removeAll { $0.id == id }
            isNetworkStale = true
            effects.append(.saveNetworks(networks))
        case .deadlineReached: effects += deadline(at: now)
        }
        return effects + settle(at: now)
    }

    // MARK: Queries

    package func member(named name: String) -> StandaloneMember? { members.values.first { $0.name == name } }

    /// A network of this node by identifier, name or the beginning of its identifier.
    package func localNetwork(_ text: String) -> LocalNetwork? {
        let all = [bridge] + networks
        if let exact = all.first(where: { $0.id == text || $0.name == text }) { return exact }
        if text == "default" { return bridge }
        let matches = text.isEmpty ? [] : all.filter { $0.id.hasPrefix(text) }
        return matches.count == 1 ? matches.first : nil
    }

    /// The attachments whose containers are on the network: they may be told of and called.
    package var servingAttachments: Set<ObjectID> {
        var serving: Set<ObjectID> = []
        for member in members.values where member.phase == .running {
            for endpoint in member.wishes.endpoints {
                if let id = endpoint.attachmentID, attachments?[id] != nil { serving.insert(id) }
            }
        }
        return serving
    }

    // MARK: Life

    private mutating func found(
        _ containers: [ContainerInfo], _ networks: [LocalNetwork], at now: Instant
    ) -> [StandaloneEffect] {
        guard !isReady else { return [] }
        isReady = true
        self.networks = networks
        var effects: [StandaloneEffect] = []
        for info in containers.sorted(by: { $0.id < $1.id }) {
            guard let wishes = info.request?.standalone else { continue }
            var member = StandaloneMember(info, wishes)
            let isUp = info.state == .running || info.state == .paused
            if isUp {
                member.phase = .running
                member.startedAt = now
            } else {
                member.releaseAddresses()
            }
            members[info.id] = member
            guard !isUp, info.startedAt != nil else { continue }
            if wishes.removesItself {
                members[info.id]?.phase = .removing
                effects.append(.remove(containerID: info.id))
            } else if wishes.mayRestart(code: info.exitCode ?? 137, failures: 0, isBoot: true) {
                effects += begin(info.id, at: now)
            }
        }
        return effects
    }

    private mutating func start(_ id: String, _ ticket: UInt64, at now: Instant) -> [StandaloneEffect] {
        guard let member = members[id] else {
            return [.answer(ticket: ticket, SwarmError(.notFound, "No such container: \(id)"))]
        }
        switch member.phase {
        case .running: return [.answer(ticket: ticket, nil)]
        case .removing:
            let words = "container is marked for removal and cannot be started"
            return [.answer(ticket: ticket, SwarmError(.conflict, words))]
        case .attaching, .joining, .starting:
            members[id]?.tickets.append(ticket)
            return []
        case .resting, .waiting:
            members[id]?.tickets.append(ticket)
            members[id]?.failures = 0
            members[id]?.pause = Self.restartPause
            members[id]?.wishes.isStoppedByHand = false
            members[id]?.isHeldDown = false
            members[id]?.wishes.restartCount = 0
            return begin(id, at: now)
        }
    }

    /// Everything that must be there before the process is: addresses, ports, interfaces.
    private mutating func begin(_ id: String, at now: Instant) -> [StandaloneEffect] {
        guard var member = members[id] else { return [] }
        if case .waiting = member.phase {
            // It has kept its networks over the pause.
            return startProcess(id)
        }
        member.phase = .attaching(until: now + Self.attachPatience)
        members[id] = member
        var effects: [StandaloneEffect] = []
        do throws(SwarmError) {
            for index in member.wishes.endpoints.indices { effects += try take(id, index, at: now) }
            try takePorts(id)
        } catch { return effects + fail(id, error) }
        return effects + proceed(id)
    }

    /// Once every endpoint has its address the kernel can follow.
    mutating func proceed(_ id: String) -> [StandaloneEffect] {
        guard let member = members[id], case .attaching = member.phase,
            member.wishes.endpoints.allSatisfy({ $0.address != nil })
        else { return [] }
        guard member.usesNamespace else { return startProcess(id) }
        members[id]?.phase = .joining(version: networkVersion + 1)
        isNetworkStale = true
        return []
    }

    private mutating func startProcess(_ id: String) -> [StandaloneEffect] {
        guard let member = members[id] else { return [] }
        members[id]?.phase = .starting
        members[id]?.earlyExit = nil
        return save(id) + [.start(containerID: id, hosts: member.hosts)]
    }

    private mutating func started(
        _ id: String, _ failure: SwarmError?, at now: Instant
    ) -> [StandaloneEffect] {
        guard let member = members[id], member.phase == .starting else { return [] }
        if let failure { return fail(id, failure) }
        members[id]?.phase = .running
        members[id]?.startedAt = now
        members[id]?.wishes.startFailure = ""
        isNetworkStale = true
        var effects = answer(id, nil) + save(id)
        if let early = member.earlyExit { effects += ended(id, early.code, early.time, at: now) }
        return effects
    }

    /// It does not run: whoever waits is told why, and what it held is given back.
    mutating func fail(_ id: String, _ error: SwarmError) -> [StandaloneEffect] {
        let effects = answer(id, error)
        members[id]?.wishes.startFailure = error.message
        let rested = rest(id)
        guard members[id]?.wishes.removesItself == true else { return effects + rested }
        // Whoever runs it with --rm waits for it to be gone, even if it never ran.
        members[id]?.phase = .removing
        return effects + rested + [.remove(containerID: id)]
    }

    mutating func answer(_ id: String, _ error: SwarmError?) -> [StandaloneEffect] {
        let tickets = members[id]?.tickets ?? []
        members[id]?.tickets = []
        return tickets.map { .answer(ticket: $0, error) }
    }

    private mutating func exited(
        _ id: String, _ code: Int, _ time: Timestamp, at now: Instant
    ) -> [StandaloneEffect] {
        guard let member = members[id], member.lastExit.map({ $0 < time }) ?? true else { return [] }
        switch member.phase {
        // The start's own answer comes later than the end of a short process.
        case .starting: members[id]?.earlyExit = .init(code: code, time: time)
        case .running: return ended(id, code, time, at: now)
        case .resting, .attaching, .joining, .waiting, .removing: members[id]?.lastExit = time
        }
        return []
    }

    private mutating func ended(
        _ id: String, _ code: Int, _ time: Timestamp, at now: Instant
    ) -> [StandaloneEffect] {
        guard var member = members[id] else { return [] }
        (member.lastExit, member.earlyExit) = (time, nil)
        if let since = member.startedAt, now - since >= Self.steadyAfter {
            (member.pause, member.failures) = (Self.restartPause, 0)
        }
        members[id] = member
        guard !member.wishes.removesItself else {
            let effects = rest(id)
            members[id]?.phase = .removing
            return effects + [.remove(containerID: id)]
        }
        guard !member.isHeldDown,
            member.wishes.mayRestart(code: code, failures: member.failures, isBoot: false)
        else { return rest(id) }
        members[id]?.phase = .waiting(until: now + member.pause)
        members[id]?.pause = min(member.pause * 2, Self.restartPauseMax)
        members[id]?.failures += 1
        members[id]?.wishes.restartCount += 1
        isNetworkStale = true
        return save(id)
    }

    private mutating func stopWanted(_ id: String, staysDown: Bool) -> [StandaloneEffect] {
        guard let member = members[id] else { return [] }
        members[id]?.isHeldDown = true
        if staysDown { members[id]?.wishes.isStoppedByHand = true }
        if case .waiting = member.phase { return rest(id) }
        return save(id)
    }

    /// Down, holding nothing.
    mutating func rest(_ id: String) -> [StandaloneEffect] {
        guard let member = members[id] else { return [] }
        let told = member.holdsNetwork ? member.told(isConnected: false) : []
        members[id]?.phase = .resting
        members[id]?.isHeldDown = false
        members[id]?.reattachAt = nil
        members[id]?.releaseAddresses()
        isNetworkStale = true
        return told + save(id)
    }

    private mutating func removed(_ id: String) -> [StandaloneEffect] {
        let effects = answer(id, SwarmError(.notFound, "No such container: \(id)"))
        members[id] = nil
        isNetworkStale = true
        return effects
    }

    func save(_ id: String) -> [StandaloneEffect] {
        members[id].map { [.save(containerID: id, $0.wishes)] } ?? []
    }

    private mutating func deadline(at now: Instant) -> [StandaloneEffect] {
        var effects: [StandaloneEffect] = []
        for id in members.keys.sorted() {
            switch members[id]?.phase {
            case .waiting(let until) where until <= now: effects += begin(id, at: now)
            case .attaching(let until) where until <= now:
                let words =
                    "failed to set up container networking: attaching to network failed, make sure your network "
                    + "options are correct and check manager logs: context deadline exceeded"
                effects += fail(id, SwarmError(.deadlineExceeded, words))
            default: break
            }
        }
        return effects + followAttachments(at: now)
    }

    // MARK: After every event

    private mutating func settle(at now: Instant) -> [StandaloneEffect] {
        guard isReady else { return [] }
        var effects = giveBack(at: now)
        guard isNetworkStale else { return effects }
        isNetworkStale = false
        let wanted = networking
        let mustApply = members.values.contains { $0.waitsForNetwork(after: networkVersion) }
        if mustApply || wanted != lastNetworking {
            networkVersion += 1
            lastNetworking = wanted
            effects.append(.applyNetworking(version: networkVersion))
        }
        return effects
    }

    mutating func networkChanged() { isNetworkStale = true }

    private mutating func networkApplied(
        _ version: UInt64, _ failures: [String: String], _ ports: [PublishedPort.Key: String], at now: Instant
    ) -> [StandaloneEffect] {
        var effects: [StandaloneEffect] = []
        for id in members.keys.sorted() {
            guard let member = members[id] else { continue }
            let refusal = failures[id] ?? member.portFailure(in: ports)
            if case .joining(let wanted) = member.phase, wanted <= version {
                if let refusal {
                    let words = "failed to set up container networking: \(refusal)"
                    effects += fail(id, SwarmError(.unknown, words))
                } else {
                    effects += member.told(isConnected: true) + startProcess(id)
                }
            }
            let done = member.joins.filter { $0.version <= version }
            members[id]?.joins.removeAll { $0.version <= version }
            for join in done {
                effects.append(.answer(ticket: join.ticket, refusal.map { SwarmError(.unknown, $0) }))
            }
            if !done.isEmpty, let member = members[id], member.phase == .running {
                effects.append(.setHosts(containerID: id, member.hosts))
            }
        }
        return effects
    }
}
