import ClusterSecurity
import ContainerdRuntime
import Dispatching
import LibCrypto
package import Ports
import Store
package import SwarmCore
import SwarmModel
package import SwarmNode

/// What the HTTP API asks of the node.
extension NodeDriver: ControlPlane {
    package func submit(_ request: ControlRequest) async throws(SwarmError) -> ControlResponse {
        switch request {
        case .initializeSwarm(let asked): return try await initialize(asked)
        case .leaveSwarm(let force): return try await leave(force: force)
        default:
            try requireManager()
            guard case .updateSwarm(let version, let spec, var rotation) = request else {
                return try await write { .request(ticket: $0, request, freshTokens: nil) }
            }
            let tokens = try freshTokens()
            rotation.freshUnlockKey = UnlockKey.generate().text
            rotation.root = try await rootChange(version: version, spec)
            let complete = ControlRequest.updateSwarm(version: version, spec, rotation)
            let response = try await write { .request(ticket: $0, complete, freshTokens: tokens) }
            keepUnlockKey()
            return response
        }
    }

    /// For a rotation; drawn here, since the machine has no secure generator.
    private func freshTokens() throws(SwarmError) -> JoinTokens? {
        guard let text = machine?.store.cluster?.tlsInfo.trustRoot,
            let root = try CertificateKeeping.certificates(text).first
        else { return nil }
        var generator = SecureRandom()
        let pair = JoinTokenPair(root: root, using: &generator)
        return JoinTokens(worker: pair.worker.text, manager: pair.manager.text)
    }

    package func localState() -> LocalSwarmState {
        var state = LocalSwarmState()
        if wasRemoved { state.error = SwarmText.removed }
        guard let record = swarm?.record, let machine else {
            if isLocked { state.state = .locked } else if isChangingSwarm { state.state = .pending }
            return state
        }
        state.state =
            machine.isManager || machine.session.session != nil || machine.session.assignment != nil
            ? .active : .pending
        state.nodeID = record.nodeID
        state.nodeAddress = HostAndPort.host(of: record.advertiseAddress)
        state.isManager = machine.isManager
        var managers = knownPeers(machine).filter(\.isManager)
        if managers.isEmpty, !machine.isManager { managers = record.peers.filter(\.isManager) }
        state.remoteManagers = managers.compactMap { peer in peer.addresses.first.map { (peer.nodeID, $0) } }
        if machine.isManager { state.remoteManagers.append((record.nodeID, record.advertiseAddress)) }
        state.remoteManagers.sort { $0.nodeID < $1.nodeID }
        return state
    }

    package func events(since: Timestamp?) -> AsyncStream<SwarmEvent> { hub.events(since: since) }
    package nonisolated var runtime: any ContainerRuntime { service }
    package nonisolated var volumes: any VolumeStore { service }
    package nonisolated var images: any ImageStore { LocalImages.make(service) }
    package nonisolated func now() -> Timestamp { SystemClock.timestamp() }
    package func publish(_ event: SwarmEvent) { hub.publish(event) }

    /// One event for each object that a commit touched, in Docker's words; tasks have none.
    func publish(_ commit: Commit) {
        tellLogWatchers(of: commit)
        for change in commit.changes {
            guard let object = change.after ?? change.before else { continue }
            let action = change.before == nil ? "create" : change.after == nil ? "remove" : "update"
            let (type, name): (String, String)
            switch object {
            case .service(let service): (type, name) = ("service", service.spec.name)
            case .node(let node): (type, name) = ("node", node.description.hostname ?? "")
            case .network(let network): (type, name) = ("network", network.spec.name)
            case .secret(let secret): (type, name) = ("secret", secret.spec.name)
            case .config(let config): (type, name) = ("config", config.spec.name)
            case .cluster:
                keepUnlockKey()
                continue
            case .task: continue
            }
            hub.publish(
                SwarmEvent(
                    type: type, action: action, actorID: object.id,
                    attributes: EventAttributes.changes(change.before, change.after).merging(["name": name]) { $1 },
                    scope: "swarm",
                    time: commit.time))
        }
    }

    /// - Returns: ends once everybody has been told.
    func publishContainer(_ event: ContainerEvent) -> Task<Void, Never> {
        let service = self.service
        let hub = self.hub
        // What happened first is told first, however long looking a container up takes.
        let earlier = lastPublished
        let told = Task {
            await earlier?.value
            let (id, action, extra): (String, String, [String: String])
            switch event {
            case .started(let container, _): (id, action, extra) = (container, "start", [:])
            case .exited(let container, let code, _, _):
                (id, action, extra) = (container, "die", ["exitCode": String(code)])
            case .signalled(let container, let signal):
                (id, action, extra) = (container, "kill", ["signal": String(signal)])
            case .execEnded(let container, let exec, let code):
                (id, action, extra) = (container, "exec_die", ["execID": exec, "exitCode": String(code)])
            case .health(let container, let status, _):
                (id, action, extra) = (container, "health_status: \(status.rawValue)", [:])
            case .runtimeRestarted: return
            }
            var attributes = extra
            if let info = try? await service.inspect(id) {
                attributes.merge(info.shownLabels) { first, _ in first }
                attributes["name"] = info.name
                attributes["image"] = info.image
            }
            hub.publish(
                SwarmEvent(
                    type: "container", action: action, actorID: id, attributes: attributes, scope: "local",
                    time: SystemClock.timestamp()))
        }
        lastPublished = told
        return told
    }
}
