import Consensus
import Dispatching
import Membership
import SwarmCore
import SwarmModel
import SwarmNode

/// Random values of every shape that goes over the wire, from one seed.
struct Generated {
    var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &generator) }
    mutating func flag() -> Bool { Bool.random(using: &generator) }

    /// Small, large and border values alike.
    mutating func number() -> UInt64 {
        switch below(4) {
        case 0: UInt64(below(3))
        case 1: [127, 128, 16_383, 16_384, .max, UInt64(Int64.max)][below(6)]
        case 2: UInt64.random(in: 0...0xFFFF_FFFF, using: &generator)
        default: generator.next()
        }
    }

    mutating func size() -> Int { Int(truncatingIfNeeded: number() & UInt64(Int.max)) }

    mutating func text() -> String {
        let alphabet: [Character] = ["a", "Z", "0", ".", "-", "ü", "\"", "\\", "\n", "\0", "日", "🐳", "/"]
        return String((0..<below(12)).map { _ in alphabet[below(alphabet.count)] })
    }

    mutating func id() -> String { Identifier.random(using: &generator) }

    mutating func optional<Value>(_ make: (inout Generated) -> Value) -> Value? { flag() ? make(&self) : nil }
    mutating func list<Value>(_ make: (inout Generated) -> Value) -> [Value] {
        (0..<below(4)).map { _ in make(&self) }
    }
    mutating func texts() -> [String] { list { $0.text() } }
    mutating func labels() -> [String: String] {
        Dictionary(list { ($0.text(), $0.text()) }) { _, last in last }
    }
    mutating func time() -> Timestamp {
        let (seconds, rest) = (Int64(below(2_000_000_000)), Int64(below(999_999_999)))
        return flag() ? .zero : Timestamp(nanoseconds: seconds * 1_000_000_000 + rest)
    }
    mutating func bytes(_ limit: Int = 40) -> [UInt8] {
        (0..<below(limit)).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }
    mutating func address() -> IPv4Address { IPv4Address(UInt32(truncatingIfNeeded: number())) }
}

// MARK: Consensus

extension Generated {
    mutating func raft(_ kind: Int) -> RaftMessage {
        RaftMessage(from: number(), to: number(), term: number(), body: raftBody(kind))
    }

    static let raftKinds = 9

    private mutating func raftBody(_ kind: Int) -> RaftMessage.Body {
        switch kind {
        case 0: .requestVote(lastIndex: number(), lastTerm: number(), isPreVote: flag())
        case 1: .vote(granted: flag(), isPreVote: flag())
        case 2:
            .append(
                previousIndex: number(), previousTerm: number(),
                entries: list {
                    Entry(
                        term: $0.number(), index: $0.number(),
                        kind: [.noop, .command, .configuration][$0.below(3)],
                        payload: $0.bytes())
                },
                commit: number(), round: number())
        case 3: .appended(success: flag(), matched: number(), round: number())
        case 4:
            .snapshotPiece(
                SnapshotPiece(
                    index: number(), term: number(),
                    configuration: ClusterConfiguration(
                        voters: Set(list { $0.number() }), outgoing: Set(list { $0.number() }),
                        learners: Set(list { $0.number() })),
                    checksum: number(), size: size(), offset: size(), bytes: bytes(), round: number()))
        case 5: .snapshotReceived(index: number(), checksum: number(), offset: size(), round: number())
        case 6: .timeoutNow
        case 7: .readRequest(context: number())
        default: .readReply(context: number(), index: optional { $0.number() })
        }
    }
}

// MARK: Sessions

extension Generated {
    mutating func leader() -> LeaderClaim { LeaderClaim(epoch: number(), term: number(), nodeID: text()) }
    mutating func session() -> SessionID { SessionID(leader: leader(), number: number()) }

    mutating func key() -> AssignmentKey {
        switch below(5) {
        case 0: .task(id())
        case 1: .network(id())
        case 2: .secret(id())
        case 3: .config(id())
        default: .endpoints(id())
        }
    }

    mutating func status() -> TaskStatus {
        TaskStatus(
            timestamp: time(), state: TaskState.allCases[below(TaskState.allCases.count)],
            message: optional { $0.text() },
            err: optional { $0.text() },
            containerStatus: optional {
                ContainerStatus(containerID: $0.text(), pid: $0.below(1000), exitCode: $0.below(256))
            }, portStatus: PortStatus(ports: optional { $0.list { $0.port() } }))
    }

    mutating func port() -> PortConfig {
        PortConfig(
            name: optional { $0.text() }, proto: "tcp", targetPort: UInt32(below(65_536)),
            publishedPort: optional { UInt32($0.below(65_536)) }, publishMode: "ingress")
    }

    mutating func item(_ kind: Int) -> AssignmentItem {
        switch kind {
        case 0: .task(task())
        case 1: .network(Network(id: id(), spec: networkSpec(), vni: UInt32(below(1 << 24))))
        case 2: .secret(Secret(id: id(), createdAt: time(), spec: secretSpec()))
        case 3: .config(Config(id: id(), updatedAt: time(), spec: configSpec()))
        default: .endpoints(endpoints())
        }
    }

    private mutating func task() -> SwarmTask {
        SwarmTask(
            id: id(), version: ObjectVersion(index: number()), createdAt: time(), updatedAt: time(),
            name: optional { $0.text() }, labels: labels(), serviceID: optional { $0.id() },
            slot: optional { $0.below(99) }, nodeID: optional { $0.id() }, status: status(),
            desiredState: .running, startAfter: optional { $0.time() }, registryAuth: optional { $0.text() })
    }

    private mutating func endpoints() -> ServiceEndpoints {
        var service = ServiceEndpoints(id: id(), name: text(), isRoundRobin: flag())
        service.virtualIPs = addresses()
        service.aliases = Dictionary(list { ($0.id(), $0.texts()) }) { _, last in last }
        service.networks = texts()
        service.ports = list { $0.port() }
        service.endpoints = list {
            TaskEndpoint(
                taskID: $0.id(), nodeID: $0.id(), taskName: $0.text(), containerID: $0.text(), hostname: $0.text(),
                addresses: $0.addresses(), isServing: $0.flag(), nodeAddress: $0.flag() ? $0.address() : nil)
        }
        return service
    }

    private mutating func addresses() -> [ObjectID: IPv4Address] {
        Dictionary(list { ($0.id(), $0.address()) }) { _, last in last }
    }

    static let agentKinds = 4
    mutating func agentMessage(_ kind: Int) -> AgentMessage {
        switch kind {
        case 0:
            .open(attempt: number(), held: Dictionary(list { ($0.key(), $0.number()) }) { _, last in last })
        case 1: .beat(session(), version: number())
        case 2: .resynchronize(session())
        default:
            .statuses(
                session(), number: number(), Dictionary(list { ($0.id(), $0.status()) }) { _, last in last })
        }
    }

    static let dispatchKinds = 11
    mutating func dispatchMessage(_ kind: Int) -> DispatchMessage {
        switch kind {
        case 0: .leader(leader())
        case 1: .notLeader(optional { $0.leader() })
        case 2: .beatAnswered(session())
        case 3: .acknowledged(session(), number: number())
        case 4: .sessionUnknown(session())
        case 5: .nodeUnknown(leader())
        default: .update(update(item: kind - 6))
        }
    }

    private mutating func update(item kind: Int) -> AssignmentUpdate {
        let base: AssignmentUpdate.Base =
            [.held(attempt: number()), .nothing, .version(number())][below(3)]
        return AssignmentUpdate(
            session: session(), base: base, version: number(),
            delta: AssignmentDelta(
                changed: [item(kind)] + list { $0.item($0.below(5)) }, removed: list { $0.key() }),
            managers: texts())
    }
}

// MARK: Requests

extension Generated {
    mutating func networkSpec() -> NetworkSpec {
        NetworkSpec(
            name: text(), labels: optional { $0.labels() },
            driverConfiguration: optional { Driver(name: $0.text()) },
            attachable: optional { $0.flag() })
    }
    mutating func secretSpec() -> SecretSpec {
        SecretSpec(name: text(), labels: optional { $0.labels() }, data: optional { $0.text() })
    }
    mutating func configSpec() -> ConfigSpec { ConfigSpec(name: text(), data: optional { $0.text() }) }
    mutating func serviceSpec() -> ServiceSpec {
        var spec = ServiceSpec(name: text())
        spec.labels = optional { $0.labels() }
        return spec
    }
    mutating func clusterSpec() -> ClusterSpec {
        var spec = ClusterSpec()
        spec.labels = labels()
        return spec
    }
    mutating func nodeSpec() -> NodeSpec { NodeSpec(name: optional { $0.text() }, labels: labels()) }

    static let requestKinds = 17
    mutating func request(_ kind: Int) -> ControlRequest {
        switch kind {
        case 0: .initializeSwarm(initialization())
        case 1: .leaveSwarm(force: flag())
        case 2:
            .updateSwarm(
                version: number(), clusterSpec(),
                SwarmRotation(
                    workerToken: flag(), managerToken: flag(), unlockKey: flag(), freshUnlockKey: text()))
        case 3: .createService(serviceSpec(), registryAuth: optional { $0.text() })
        case 4: .updateService(id: id(), version: number(), serviceSpec(), updateOptions())
        case 5: .removeService(id: text())
        case 6: .createNetwork(networkSpec())
        case 7: .removeNetwork(id: text())
        case 8: .createSecret(secretSpec())
        case 9: .updateSecret(id: id(), version: number(), secretSpec())
        case 10: .removeSecret(id: text())
        case 11: .createConfig(configSpec())
        case 12: .updateConfig(id: id(), version: number(), configSpec())
        case 13: .removeConfig(id: text())
        case 14: .updateNode(id: id(), version: number(), nodeSpec())
        case 15: .removeNode(id: text(), force: flag())
        default:
            .joinSwarm(
                NodeJoin(
                    nodeID: id(), role: text(), availability: text(),
                    description: NodeDescription(hostname: optional { $0.text() }), address: text()))
        }
    }

    private mutating func updateOptions() -> ServiceUpdateOptions {
        var options = ServiceUpdateOptions()
        options.registryAuth = optional { $0.text() }
        options.registryAuthFrom = optional { $0.text() }
        options.rollback = flag()
        return options
    }

    private mutating func initialization() -> SwarmInitialization {
        var value = SwarmInitialization(listenAddress: text(), advertiseAddress: text())
        value.dataPathAddress = text()
        value.dataPathPort = UInt32(truncatingIfNeeded: number())
        value.forceNewCluster = flag()
        value.availability = text()
        value.defaultAddressPool = texts()
        value.subnetSize = UInt32(truncatingIfNeeded: number())
        value.spec = clusterSpec()
        return value
    }

    mutating func error() -> SwarmError {
        let codes = SwarmError.Code.allCases
        return SwarmError(codes[below(codes.count)], text(), cause: optional { $0.text() })
    }

    /// Every case of every enumeration that a message can hold, one after another.
    mutating func messages() -> [PeerMessage] {
        var messages: [PeerMessage] = []
        for kind in 0..<Self.raftKinds { messages.append(.raft(raft(kind), epoch: number())) }
        for kind in 0..<Self.agentKinds { messages.append(.toManager(agentMessage(kind))) }
        for kind in 0..<Self.dispatchKinds { messages.append(.toAgent(dispatchMessage(kind))) }
        for kind in 0..<Self.requestKinds {
            messages.append(
                .request(
                    number: number(), request(kind),
                    freshTokens: optional { JoinTokens(worker: $0.text(), manager: $0.text()) },
                    leader: leader()))
        }
        messages.append(.answer(number: number(), .success(.done)))
        messages.append(.answer(number: number(), .success(.created(id(), warnings: texts()))))
        messages.append(.answer(number: number(), .failure(error())))
        messages.append(.refused(number: number()))
        return messages
    }
}

// MARK: Gossip

extension Generated {
    mutating func peerAddress() -> PeerAddress {
        PeerAddress(host: text(), port: UInt16(truncatingIfNeeded: number()))
    }
    mutating func contact() -> Contact {
        Contact(
            address: peerAddress(),
            metadata: MemberMetadata(
                role: flag() ? .manager : .worker, addresses: texts(), dataPathAddress: text(),
                version: text()))
    }
    mutating func claim() -> Claim {
        let content: Claim.Content =
            switch below(4) {
            case 0: .alive(contact())
            case 1: .suspect(by: text(), silentMilliseconds: UInt32(truncatingIfNeeded: number()))
            case 2: .dead(by: id())
            default: .left
            }
        return Claim(subject: flag() ? id() : text(), incarnation: number(), content: content)
    }

    static let gossipKinds = 5
    mutating func datagram(_ kind: Int) -> GossipDatagram {
        let body: GossipDatagram.Body =
            switch kind {
            case 0: .ping(sequence: number(), target: text())
            case 1: .pingRequest(sequence: number(), target: id(), address: peerAddress())
            case 2: .ack(sequence: number())
            case 3: .nack(sequence: number())
            default: .gossip
            }
        return GossipDatagram(from: flag() ? id() : "", body: body, claims: list { $0.claim() })
    }

    mutating func exchange() -> StateExchange {
        StateExchange(
            from: id(),
            members: list {
                Member(
                    id: $0.text(), contact: $0.contact(), incarnation: $0.number(),
                    status: [.alive, .suspect, .dead, .left][$0.below(4)])
            })
    }
}
