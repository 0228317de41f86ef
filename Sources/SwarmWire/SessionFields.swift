import Dispatching
import SwarmCore
import SwarmModel

// Sessions between agents and managers. Lists that have no order of their own are sorted, so that equal messages
// are equal bytes.

extension WireWriter {
    mutating func leaderClaim(_ claim: LeaderClaim) {
        number(claim.epoch)
        number(claim.term)
        text(claim.nodeID)
    }

    mutating func sessionID(_ session: SessionID) {
        leaderClaim(session.leader)
        number(session.number)
    }

    mutating func agentMessage(_ message: AgentMessage) throws(SwarmError) {
        switch message {
        case .open(let attempt, let held):
            byte(1)
            number(attempt)
            try list(held.sorted { $0.key < $1.key }) { writer, item throws(SwarmError) in
                writer.assignmentKey(item.key)
                writer.word(item.value)
            }
        case .beat(let session, let version):
            byte(2)
            sessionID(session)
            number(version)
        case .resynchronize(let session):
            byte(3)
            sessionID(session)
        case .statuses(let session, let count, let statuses):
            byte(4)
            sessionID(session)
            number(count)
            try list(statuses.sorted { $0.key < $1.key }) { writer, item throws(SwarmError) in
                writer.text(item.key)
                try writer.object(item.value)
            }
        }
    }

    mutating func dispatchMessage(_ message: DispatchMessage) throws(SwarmError) {
        switch message {
        case .leader(let claim):
            byte(1)
            leaderClaim(claim)
        case .notLeader(let claim):
            byte(2)
            try optional(claim) { writer, claim throws(SwarmError) in writer.leaderClaim(claim) }
        case .update(let update):
            byte(3)
            try assignmentUpdate(update)
        case .beatAnswered(let session):
            byte(4)
            sessionID(session)
        case .acknowledged(let session, let count):
            byte(5)
            sessionID(session)
            number(count)
        case .sessionUnknown(let session):
            byte(6)
            sessionID(session)
        case .nodeUnknown(let claim):
            byte(7)
            leaderClaim(claim)
        }
    }

    private mutating func assignmentUpdate(_ update: AssignmentUpdate) throws(SwarmError) {
        sessionID(update.session)
        switch update.base {
        case .held(let attempt):
            byte(1)
            number(attempt)
        case .nothing: byte(2)
        case .version(let version):
            byte(3)
            number(version)
        }
        number(update.version)
        try list(update.delta.changed) { writer, item throws(SwarmError) in try writer.assignmentItem(item) }
        try list(update.delta.removed) { writer, key throws(SwarmError) in writer.assignmentKey(key) }
        texts(update.managers)
    }

    private mutating func assignmentKey(_ key: AssignmentKey) {
        let (kind, id) =
            switch key {
            case .task(let id): (UInt8(1), id)
            case .network(let id): (2, id)
            case .secret(let id): (3, id)
            case .config(let id): (4, id)
            case .endpoints(let id): (5, id)
            }
        byte(kind)
        text(id)
    }

    private mutating func assignmentItem(_ item: AssignmentItem) throws(SwarmError) {
        switch item {
        case .task(let task):
            byte(1)
            try object(task)
        case .network(let network):
            byte(2)
            try object(network)
        case .secret(let secret):
            byte(3)
            try object(secret)
        case .config(let config):
            byte(4)
            try object(config)
        case .endpoints(let service):
            byte(5)
            try serviceEndpoints(service)
        }
    }

    private mutating func serviceEndpoints(_ service: ServiceEndpoints) throws(SwarmError) {
        text(service.id)
        text(service.name)
        flag(service.isRoundRobin)
        try addresses(service.virtualIPs)
        try list(service.aliases.sorted { $0.key < $1.key }) { writer, item throws(SwarmError) in
            writer.text(item.key)
            writer.texts(item.value)
        }
        texts(service.networks)
        try list(service.ports) { writer, port throws(SwarmError) in try writer.object(port) }
        try list(service.endpoints) { writer, task throws(SwarmError) in
            writer.text(task.taskID)
            writer.text(task.nodeID)
            writer.text(task.taskName)
            writer.text(task.containerID)
            writer.text(task.hostname)
            try writer.addresses(task.addresses)
            writer.flag(task.isServing)
            try writer.optional(task.nodeAddress) { writer, address throws(SwarmError) in
                writer.number(UInt64(address.value))
            }
        }
    }

    private mutating func addresses(_ addresses: [ObjectID: IPv4Address]) throws(SwarmError) {
        try list(addresses.sorted { $0.key < $1.key }) { writer, item throws(SwarmError) in
            writer.text(item.key)
            writer.number(UInt64(item.value.value))
        }
    }
}

extension WireReader {
    mutating func leaderClaim() throws(SwarmError) -> LeaderClaim {
        LeaderClaim(epoch: try number(), term: try number(), nodeID: try text())
    }

    mutating func sessionID() throws(SwarmError) -> SessionID {
        SessionID(leader: try leaderClaim(), number: try number())
    }

    mutating func agentMessage() throws(SwarmError) -> AgentMessage {
        switch try byte() {
        case 1:
            let attempt = try number()
            let held = try list(each: 10) { reader throws(SwarmError) in
                (try reader.assignmentKey(), try reader.word())
            }
            return .open(attempt: attempt, held: Dictionary(held) { _, last in last })
        case 2: return .beat(try sessionID(), version: try number())
        case 3: return .resynchronize(try sessionID())
        case 4:
            let session = try sessionID()
            let number = try number()
            let statuses = try list(each: 2) { reader throws(SwarmError) in
                (try reader.text(), try reader.object(TaskStatus.self))
            }
            return .statuses(session, number: number, Dictionary(statuses) { _, last in last })
        case let other: throw damaged("agent message \(other) is not known")
        }
    }

    mutating func dispatchMessage() throws(SwarmError) -> DispatchMessage {
        switch try byte() {
        case 1: return .leader(try leaderClaim())
        case 2: return .notLeader(try optional { reader throws(SwarmError) in try reader.leaderClaim() })
        case 3: return .update(try assignmentUpdate())
        case 4: return .beatAnswered(try sessionID())
        case 5: return .acknowledged(try sessionID(), number: try number())
        case 6: return .sessionUnknown(try sessionID())
        case 7: return .nodeUnknown(try leaderClaim())
        case let other: throw damaged("dispatch message \(other) is not known")
        }
    }

    private mutating func assignmentUpdate() throws(SwarmError) -> AssignmentUpdate {
        let session = try sessionID()
        let base: AssignmentUpdate.Base
        switch try byte() {
        case 1: base = .held(attempt: try number())
        case 2: base = .nothing
        case 3: base = .version(try number())
        case let other: throw damaged("base \(other) is not known")
        }
        let version = try number()
        let changed = try list(each: 2) { reader throws(SwarmError) in try reader.assignmentItem() }
        let removed = try list(each: 2) { reader throws(SwarmError) in try reader.assignmentKey() }
        return AssignmentUpdate(
            session: session, base: base, version: version,
            delta: AssignmentDelta(changed: changed, removed: removed), managers: try texts())
    }

    private mutating func assignmentKey() throws(SwarmError) -> AssignmentKey {
        switch try byte() {
        case 1: return .task(try text())
        case 2: return .network(try text())
        case 3: return .secret(try text())
        case 4: return .config(try text())
        case 5: return .endpoints(try text())
        case let other: throw damaged("assignment key \(other) is not known")
        }
    }

    private mutating func assignmentItem() throws(SwarmError) -> AssignmentItem {
        switch try byte() {
        case 1: return .task(try object(SwarmTask.self))
        case 2: return .network(try object(Network.self))
        case 3: return .secret(try object(Secret.self))
        case 4: return .config(try object(Config.self))
        case 5: return .endpoints(try serviceEndpoints())
        case let other: throw damaged("assignment item \(other) is not known")
        }
    }

    private mutating func serviceEndpoints() throws(SwarmError) -> ServiceEndpoints {
        var service = ServiceEndpoints(id: try text(), name: try text(), isRoundRobin: try flag())
        service.virtualIPs = try addresses()
        let aliases = try list(each: 2) { reader throws(SwarmError) in (try reader.text(), try reader.texts())
        }
        service.aliases = Dictionary(aliases) { _, last in last }
        service.networks = try texts()
        service.ports = try list { reader throws(SwarmError) in try reader.object(PortConfig.self) }
        service.endpoints = try list(each: 8) { reader throws(SwarmError) in
            TaskEndpoint(
                taskID: try reader.text(), nodeID: try reader.text(), taskName: try reader.text(),
                containerID: try reader.text(), hostname: try reader.text(), addresses: try reader.addresses(),
                isServing: try reader.flag(),
                nodeAddress: try reader.optional { reader throws(SwarmError) in try reader.address() })
        }
        return service
    }

    private mutating func addresses() throws(SwarmError) -> [ObjectID: IPv4Address] {
        let items = try list(each: 2) { reader throws(SwarmError) in (try reader.text(), try reader.address())
        }
        return Dictionary(items) { _, last in last }
    }

    private mutating func address() throws(SwarmError) -> IPv4Address {
        guard let value = UInt32(exactly: try number()) else { throw damaged("an address is too large") }
        return IPv4Address(value)
    }
}
