package import Dispatching
package import Execution
package import NameService
package import Overlay
package import Ports
package import SwarmCore
package import SwarmModel

/// What the agent asks of its node; answers come back as ``AgentEvent``.
package enum AgentEffect: Sendable {
    case ensureImage(task: ObjectID, image: String, registryAuth: String?)
    case createContainer(task: ObjectID, ContainerRequest)
    case startContainer(task: ObjectID, containerID: String)
    case stopContainer(task: ObjectID, containerID: String, gracePeriod: Duration)
    case removeContainer(task: ObjectID, containerID: String)
    /// Make the kernel and the resolvers match; answered by `.networkApplied` with the same version.
    case applyNetworking(DesiredNetworking, NameSpaceView, version: UInt64)
    case report([ObjectID: TaskStatus])
}

/// What resolvers must know: the names, and which container may see which networks.
package struct NameSpaceView: Sendable, Equatable {
    package var directory: ServiceDirectory
    package var scopes: [String: ResolverScope]
    /// Per container: nameservers that replace the host's.
    package var upstreams: [String: [String]]

    package init(
        directory: ServiceDirectory = ServiceDirectory(networks: [:]), scopes: [String: ResolverScope] = [:],
        upstreams: [String: [String]] = [:]
    ) {
        (self.directory, self.scopes, self.upstreams) = (directory, scopes, upstreams)
    }
}

package enum AgentEvent: Sendable {
    /// What the runtime holds when the agent comes up; nothing else is accepted before it.
    case found([ContainerInfo])
    case assigned(Assignment)
    /// What was assigned before the restart; no manager has been heard since.
    ///
    /// The agent goes on with what runs, and with its names and balancers. It starts nothing and removes nothing:
    /// a task whose process did not survive may run elsewhere by now, and one that is missing here may have come
    /// after this was stored. Both wait for `.assigned`, which also stops what was replaced meanwhile.
    case restored(Assignment)
    case task(ObjectID, TaskEvent)
    case container(ContainerEvent)
    /// `failures`: by container id, in words; `ports`: published ports that this node could not open.
    case networkApplied(version: UInt64, failures: [String: String], ports: [PublishedPort.Key: String])
    /// Nodes that gossip holds for dead: they get no traffic.
    case unreachable(Set<ObjectID>)
    /// The data-path addresses of all other members that gossip knows, dead ones included: they may come back.
    case peers([ObjectID: IPv4Address])
    /// The attachments whose containers are on their networks by now.
    case attached(Set<ObjectID>)
    case leave
}

/// The worker's half of a node: assignments in, runtime and network operations out.
package struct AgentMachine: Sendable {
    package internal(set) var assignment: Assignment?
    var machines: [ObjectID: TaskMachine] = [:]
    var tasks: [ObjectID: SwarmTask] = [:]
    /// Tasks that are only an address of a standalone container; the container itself is none of this machine's.
    var attachments: [ObjectID: SwarmTask] = [:]
    /// Those of them whose container is on the network.
    var attached: Set<ObjectID> = [] { didSet { if attached != oldValue { isNetworkStale = true } } }
    var taskIDsByContainer: [String: ObjectID] = [:]
    /// Addresses on the node-local network, by container.
    var localAddresses: [String: IPv4Address] = [:]
    var networkVersion: UInt64 = 0
    /// Tasks that wait for a network version, and for what.
    var waiting: [(version: UInt64, task: ObjectID, event: TaskEvent)] = []
    private var found: [String: ContainerInfo]?
    /// Exits that were heard of before it was known what the runtime holds.
    private var earlyExits: [String: Int] = [:]
    private static let earlyExitsMax = 4096
    private var isLeaving = false
    /// The assignment is of before the restart.
    private var isProvisional = false
    var unreachable: Set<ObjectID> = [] {
        didSet { if unreachable != oldValue { isNetworkStale = true } }
    }
    var peers: [ObjectID: IPv4Address] = [:] {
        didSet { if peers != oldValue { isNetworkStale = true } }
    }
    var generator: SeededGenerator
    let facts: AgentFacts
    private var reported: [ObjectID: TaskStatus] = [:]
    /// Whether anything happened that names, balancers or interfaces depend on; most events are none of theirs.
    private var isNetworkStale = true
    private var lastNetworking: DesiredNetworking?
    private var lastView: NameSpaceView?

    package init(facts: AgentFacts, seed: UInt64) {
        self.facts = facts
        generator = SeededGenerator(seed: seed)
    }

    package mutating func receive(_ event: AgentEvent, at time: Timestamp) -> [AgentEffect] {
        var effects: [AgentEffect] = []
        switch event {
        case .found(let containers):
            found = Dictionary(
                containers.compactMap { info in info.labels[Label.taskID].map { ($0, info) } },
                uniquingKeysWith: { first, _ in first })
            for (task, info) in found ?? [:] {
                guard let code = earlyExits[info.id] else { continue }
                markExited(task, code)
            }
            earlyExits = [:]
            for info in containers where info.labels[Label.taskID] != nil {
                guard let text = info.labels[Label.localAddress], let address = IPv4Address(text) else {
                    continue
                }
                localAddresses[info.id] = address
            }
            if assignment != nil { effects += isProvisional ? resume(at: time) : reconcile(at: time) }
        case .restored(let assignment):
            guard self.assignment == nil, !isLeaving else { return [] }
            (self.assignment, isProvisional) = (assignment, true)
            noteAttachments(assignment)
            effects += resume(at: time)
        case .assigned(let assignment):
            guard !isLeaving else { return [] }
            let old = self.assignment
            if old?.networks != assignment.networks || old?.services != assignment.services {
                isNetworkStale = true
            }
            self.assignment = assignment
            noteAttachments(assignment)
            isProvisional = false
            if found != nil { effects += reconcile(at: time) }
        case .task(let id, let taskEvent): effects += step(id, at: time) { $0.receive(taskEvent, at: time) }
        case .container(let containerEvent): effects += observe(containerEvent, at: time)
        case .networkApplied(let version, let failures, let ports):
            effects += networkApplied(version, failures: failures, ports: ports, at: time)
        case .unreachable(let nodes): unreachable = nodes
        case .peers(let addresses): peers = addresses
        case .attached(let ids): attached = ids
        case .leave:
            isLeaving = true
            for id in machines.keys.sorted() { effects += step(id, at: time) { $0.remove(at: time) } }
            // What waits for a manager's word will not get it.
            for (id, info) in (found ?? [:]).sorted(by: { $0.key < $1.key }) {
                effects.append(.removeContainer(task: id, containerID: info.id))
            }
        }
        return effects + settle()
    }

    /// Whether nothing of the swarm runs here any more.
    package var isEmpty: Bool { machines.isEmpty }
    package func containerID(ofTask id: ObjectID) -> String? { machines[id]?.containerID }

    // MARK: Steps

    private mutating func reconcile(at time: Timestamp) -> [AgentEffect] {
        guard let assignment else { return [] }
        var effects: [AgentEffect] = []
        let listed = Dictionary(assignment.tasks.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for task in assignment.tasks where !task.isAttachment {
            tasks[task.id] = task
            if machines[task.id] == nil { effects += adopt(task, at: time) }
            effects += step(task.id, at: time) { $0.receive(.desired(task.desiredState), at: time) }
        }
        for id in machines.keys.sorted() where listed[id] == nil {
            effects += step(id, at: time) { $0.remove(at: time) }
        }
        // Containers of tasks that are no longer ours: left over from before a restart.
        for (id, info) in (found ?? [:]).sorted(by: { $0.key < $1.key }) where machines[id] == nil {
            effects.append(.removeContainer(task: id, containerID: info.id))
        }
        found = [:]
        return effects
    }

    private mutating func noteAttachments(_ assignment: Assignment) {
        let own = assignment.tasks.filter {
            $0.isAttachment && !$0.status.state.isTerminal && $0.desiredState <= .running
        }
        attachments = Dictionary(own.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Goes on with what runs, on the word that managers gave before the restart.
    private mutating func resume(at time: Timestamp) -> [AgentEffect] {
        guard let assignment, let found else { return [] }
        isNetworkStale = true
        var effects: [AgentEffect] = []
        for task in assignment.tasks {
            guard let state = found[task.id]?.state, state == .running || state == .paused else { continue }
            tasks[task.id] = task
            effects += adopt(task, at: time)
            effects += step(task.id, at: time) { $0.receive(.desired(task.desiredState), at: time) }
        }
        return effects
    }

    private mutating func adopt(_ task: SwarmTask, at time: Timestamp) -> [AgentEffect] {
        let info = found?.removeValue(forKey: task.id)
        let containerID =
            info?.id ?? task.status.containerStatus?.containerID ?? Identifier.randomHex(using: &generator)
        // The image may bring a check that the task does not name; the runtime knows of it.
        let hasFoundCheck = (info?.health ?? HealthStatus.none) != HealthStatus.none
        let machine = TaskMachine(
            task: task, containerID: containerID, hasHealthCheck: facts.hasHealthCheck(task) || hasFoundCheck)
        taskIDsByContainer[containerID] = task.id
        let event: TaskEvent
        switch info?.state {
        case .created: event = .adopted(.created)
        case .running, .paused:
            event = .adopted(.running(pid: info?.pid ?? 0, isHealthy: info?.health == .healthy))
        case .exited: event = .adopted(.exited(code: info?.exitCode ?? 137))
        case nil: event = task.status.state > .assigned ? .adopted(.missing) : .begin
        }
        machines[task.id] = machine
        isNetworkStale = true
        return step(task.id, at: time) { $0.receive(event, at: time) }
    }

    /// Runs one task's machine and turns its operations into effects.
    private mutating func step(
        _ id: ObjectID, at time: Timestamp, _ body: (inout TaskMachine) -> [TaskOperation]
    ) -> [AgentEffect] {
        guard var machine = machines[id] else { return [] }
        let before = (machine.needsNetwork, machine.isServing)
        let operations = body(&machine)
        machines[id] = machine
        if before != (machine.needsNetwork, machine.isServing) { isNetworkStale = true }
        var effects: [AgentEffect] = []
        for operation in operations {
            do throws(SwarmError) {
                if let effect = try perform(operation, for: id) { effects.append(effect) }
            } catch {
                let failure = TaskEvent.failed(operation, error.description)
                effects += step(id, at: time) { $0.receive(failure, at: time) }
            }
        }
        return effects
    }

    /// - Returns: what the node must do; nil when the next network version does it.
    private mutating func perform(
        _ operation: TaskOperation, for id: ObjectID
    ) throws(SwarmError) -> AgentEffect? {
        guard let machine = machines[id], let task = tasks[id] else { return nil }
        let containerID = machine.containerID
        switch operation {
        case .ensureImage:
            return .ensureImage(
                task: id, image: task.spec.containerSpec?.image ?? "", registryAuth: task.registryAuth)
        case .attachNetwork:
            waiting.append((networkVersion + 1, id, .networkAttached))
            allocateLocalAddress(for: containerID, task)
            return nil
        case .withdraw:
            waiting.append((networkVersion + 1, id, .withdrawn))
            return nil
        case .detachNetwork:
            return nil
        case .createContainer:
            return .createContainer(task: id, try containerRequest(task, containerID))
        case .startContainer: return .startContainer(task: id, containerID: containerID)
        case .stopContainer:
            let grace = Duration.nanoseconds(task.spec.containerSpec?.stopGracePeriod ?? 10_000_000_000)
            return .stopContainer(task: id, containerID: containerID, gracePeriod: grace)
        case .removeContainer: return .removeContainer(task: id, containerID: containerID)
        }
    }

    private mutating func observe(_ event: ContainerEvent, at time: Timestamp) -> [AgentEffect] {
        noteUnadopted(event)
        switch event {
        case .started, .signalled, .execEnded, .runtimeRestarted: return []
        case .exited(let containerID, let code, let oomKilled, _):
            guard let id = taskIDsByContainer[containerID] else { return [] }
            return step(id, at: time) { $0.receive(.exited(code: code, oomKilled: oomKilled), at: time) }
        case .health(let containerID, let status, let output):
            guard let id = taskIDsByContainer[containerID] else { return [] }
            let event: TaskEvent
            switch status {
            case .none: return []
            // Only now is the image's own check known; the runtime says so before the container starts.
            case .starting: event = .healthCheckFound
            case .healthy, .unhealthy: event = .health(isHealthy: status == .healthy, output: output)
            }
            return step(id, at: time) { $0.receive(event, at: time) }
        }
    }

    /// What happens to a container before its task is known here must not be lost: it is adopted as it is then.
    private mutating func noteUnadopted(_ event: ContainerEvent) {
        switch event {
        case .started, .signalled, .execEnded, .runtimeRestarted: break
        case .exited(let containerID, let code, _, _):
            guard taskIDsByContainer[containerID] == nil else { return }
            if found == nil, earlyExits.count < Self.earlyExitsMax { earlyExits[containerID] = code }
            guard let task = found?.first(where: { $0.value.id == containerID })?.key else { return }
            markExited(task, code)
        case .health(let containerID, let status, _):
            guard taskIDsByContainer[containerID] == nil,
                let task = found?.first(where: { $0.value.id == containerID })?.key
            else { return }
            found?[task]?.health = status
        }
    }

    private mutating func markExited(_ task: ObjectID, _ code: Int) {
        found?[task]?.state = .exited
        found?[task]?.exitCode = code
    }

    private mutating func networkApplied(
        _ version: UInt64, failures: [String: String], ports: [PublishedPort.Key: String], at time: Timestamp
    ) -> [AgentEffect] {
        let ready = waiting.filter { $0.version <= version }
        waiting.removeAll { $0.version <= version }
        var effects: [AgentEffect] = []
        for item in ready {
            guard let machine = machines[item.task] else { continue }
            var event = item.event
            if event == .networkAttached,
                let reason = failures[machine.containerID] ?? portFailure(of: item.task, in: ports)
            {
                event = .failed(.attachNetwork, reason)
            }
            effects += step(item.task, at: time) { $0.receive(event, at: time) }
        }
        return effects
    }

    /// Why one of the ports that the task publishes could not be opened on this node.
    private func portFailure(of id: ObjectID, in failures: [PublishedPort.Key: String]) -> String? {
        guard !failures.isEmpty else { return nil }
        for port in tasks[id]?.endpoint?.ports ?? [] {
            guard let number = port.publishedPort.flatMap(UInt16.init(exactly:)),
                let transport = TransportProtocol(rawValue: port.effectiveProtocol),
                let reason = failures[PublishedPort.Key(transport: transport, port: number)]
            else { continue }
            return reason
        }
        return nil
    }

    /// After every event: forget what is gone, tell the manager what changed, and bring the network along.
    private mutating func settle() -> [AgentEffect] {
        var effects: [AgentEffect] = []
        for (id, machine) in machines where machine.isGone {
            machines[id] = nil
            isNetworkStale = true
            tasks[id] = nil
            reported[id] = nil
            taskIDsByContainer[machine.containerID] = nil
        }
        for (containerID, _) in localAddresses {
            let machine = taskIDsByContainer[containerID].flatMap { machines[$0] }
            if found?.isEmpty != false && assignment != nil && machine?.needsNetwork != true {
                localAddresses[containerID] = nil
                isNetworkStale = true
            }
        }
        var changed: [ObjectID: TaskStatus] = [:]
        for (id, machine) in machines where reported[id] != machine.status {
            changed[id] = machine.status
            reported[id] = machine.status
        }
        for id in attached.sorted() {
            guard let task = attachments[id], task.status.state < .running, reported[id] == nil else {
                continue
            }
            var status = task.status
            (status.state, status.message) = (.running, "started")
            status.containerStatus = ContainerStatus(
                containerID: task.attachedContainerID ?? "", pid: 0, exitCode: 0)
            changed[id] = status
            reported[id] = status
        }
        for id in reported.keys where machines[id] == nil && attachments[id] == nil { reported[id] = nil }
        if !changed.isEmpty { effects.append(.report(changed)) }
        guard assignment != nil, found != nil else { return effects }
        let mustApply = waiting.contains { $0.version > networkVersion }
        guard isNetworkStale || mustApply else { return effects }
        isNetworkStale = false
        let networking = desiredNetworking()
        let view = nameSpaceView()
        if mustApply || networking != lastNetworking || view != lastView {
            networkVersion += 1
            (lastNetworking, lastView) = (networking, view)
            effects.append(.applyNetworking(networking, view, version: networkVersion))
        }
        return effects
    }
}

/// Facts of this node that tasks depend on.
package struct AgentFacts: Sendable {
    /// Docker's own for `bridge`: 172.17.0.0/16.
    package static let defaultLocalSubnet = IPv4Subnet(IPv4Address(0xAC11_0000), prefixLength: 16)
    package var hostname: String
    package var ingressAddress: IPv4Address?
    package var localSubnet: IPv4Subnet
    package var namespaceDirectory: String
    /// Of networks that end on this node; others take what the underlay carries.
    package var mtu: Int
    /// Where tunnels to this node end; nil leaves its overlay networks without any.
    package var dataPathAddress: IPv4Address?
    /// The cluster's UDP port for tunnels.
    package var dataPathPort: UInt16
    /// The images' own health checks are known to the runtime; it reports them at start.
    package var imageHealthChecks: Set<String> = []

    package init(
        hostname: String, ingressAddress: IPv4Address? = nil,
        localSubnet: IPv4Subnet = AgentFacts.defaultLocalSubnet,
        namespaceDirectory: String, mtu: Int = 1450, dataPathAddress: IPv4Address? = nil,
        dataPathPort: UInt16 = 4789
    ) {
        (self.dataPathAddress, self.dataPathPort) = (dataPathAddress, dataPathPort)
        (self.hostname, self.ingressAddress, self.localSubnet) = (hostname, ingressAddress, localSubnet)
        (self.namespaceDirectory, self.mtu) = (namespaceDirectory, mtu)
    }

    func hasHealthCheck(_ task: SwarmTask) -> Bool {
        guard let test = task.spec.containerSpec?.healthcheck?.test, let kind = test.first else {
            return false
        }
        return kind != "NONE"
    }
}

/// Labels on containers, Docker's and ours.
package enum Label {
    package static let task = "com.docker.swarm.task"
    package static let taskID = "com.docker.swarm.task.id"
    package static let taskName = "com.docker.swarm.task.name"
    package static let nodeID = "com.docker.swarm.node.id"
    package static let serviceID = "com.docker.swarm.service.id"
    package static let serviceName = "com.docker.swarm.service.name"
    /// The container's address on the node-local network, so that a restarted agent keeps it.
    package static let localAddress = "com.swarmd.local-address"
}

extension ContainerInfo {
    /// Its labels without what swarmd keeps for itself.
    package var shownLabels: [String: String] { labels.filter { $0.key != Label.localAddress } }
    /// Its address on the node-local network, if it has one as a task.
    package var localAddress: IPv4Address? { labels[Label.localAddress].flatMap { IPv4Address($0) } }
}
