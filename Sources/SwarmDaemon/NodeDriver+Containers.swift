import ContainerdRuntime
import Dispatching
import FoundationEssentials
import LinuxNetwork
import Logging
import Overlay
package import Ports
import Store
package import SwarmCore
import SwarmModel
import SwarmNode

/// Containers that are no tasks, and networks of this node alone: the machine decides, this carries out.
extension NodeDriver {
    /// A user waits at most so long for a container's networks.
    static let standalonePatience: Duration = .seconds(60)
    /// Docker's grace before it kills.
    static let defaultGrace: Duration = .seconds(10)

    private var networksFile: String { configuration.dataDirectory + "/networks.json" }

    /// Takes over what a former swarmd left.
    func takeUpContainers() async throws(SwarmError) {
        var networks: [LocalNetwork] = []
        if let bytes = FileManager.default.contents(atPath: networksFile) {
            do {
                networks = try JSONDecoder().decode([LocalNetwork].self, from: bytes)
            } catch {
                throw SwarmError(
                    .internal,
                    "\(networksFile) cannot be read; restore it, or remove it and make the networks anew",
                    cause: "\(error)")
            }
        }
        stepContainers(.found(try await service.containers(), networks))
        if !isApplyingNetwork { applyNetwork() }
    }

    func stepContainers(_ event: StandaloneEvent) {
        for effect in standalone.receive(event, at: SystemClock.now()) { perform(effect) }
        standaloneTimer?.cancel()
        if let deadline = standalone.nextDeadline {
            standaloneTimer = Task {
                try? await Task.sleep(for: max(deadline - SystemClock.now(), .milliseconds(1)))
                guard !Task.isCancelled else { return }
                self.stepContainers(.deadlineReached)
            }
        }
        let serving = standalone.servingAttachments
        guard serving != servingAttachments else { return }
        servingAttachments = serving
        step(.agent(.attached(serving)))
    }

    /// After every step of the node: what managers have given to its containers.
    func followAttachments() {
        let attachments = machine?.agent.containerAttachments
        guard attachments != knownAttachments else { return }
        knownAttachments = attachments
        stepContainers(.attachments(attachments))
    }

    private func perform(_ effect: StandaloneEffect) {
        let service = self.service
        switch effect {
        case .attach(let id, let wish): Task { await self.attach(id, wish) }
        case .detach(let attachment):
            Task {
                let isDone = (try? await self.ask(.detach(attachment: attachment))) != nil
                self.stepContainers(.detachAnswered(attachment: attachment, isDone: isDone))
            }
        case .applyNetworking(let version):
            wantedStandaloneVersion = version
            if !isApplyingNetwork { applyNetwork() }
        case .start(let id, let hosts):
            Task {
                var failure: SwarmError?
                do throws(SwarmError) {
                    try await service.setHosts(id, hosts)
                    _ = try await service.start(id)
                } catch { failure = error }
                self.stepContainers(.started(containerID: id, failure))
            }
        case .setHosts(let id, let hosts):
            // An ended container's file is written anew at its next start.
            Task { try? await service.setHosts(id, hosts) }
        case .remove(let id):
            Task {
                do throws(SwarmError) { try await self.discardContainer(id, keepsVolumes: false) } catch {
                    self.logger.warning(
                        "a container that removes itself is still there",
                        metadata: ["container.id": "\(id)", "error": "\(error)"])
                }
            }
        case .save(let id, let wishes):
            pendingSaves[id] = wishes
            if !isSaving { Task { await self.saveContainers() } }
        case .saveNetworks(let networks): save(networks)
        case .answer(let ticket, let error):
            standaloneWaiters.removeValue(forKey: ticket)?.resume(returning: error)
        case .tell(let id, let network, let networkID, let isConnected):
            let isLocal = standalone.localNetwork(networkID) != nil
            hub.publish(
                SwarmEvent(
                    type: "network", action: isConnected ? "connect" : "disconnect", actorID: networkID,
                    attributes: ["container": id, "name": network, "type": isLocal ? "bridge" : "overlay"],
                    scope: isLocal ? "local" : "swarm", time: SystemClock.timestamp()))
        }
    }

    private func attach(_ id: String, _ wish: AttachmentWish) async {
        let result: Result<ObjectID, SwarmError>
        do throws(SwarmError) {
            guard machine != nil else { throw SwarmError(.notFound, "network \(wish.network) not found") }
            switch try await ask(.attach(containerID: id, wish)) {
            case .created(let attachment, _): result = .success(attachment)
            case .done: result = .failure(SwarmError(.internal, "the managers gave no address"))
            }
        } catch { result = .failure(error) }
        stepContainers(.attachAnswered(containerID: id, network: wish.network, result))
    }

    /// Of the leader, wherever it is; workers may ask this much.
    private func ask(_ request: AttachmentRequest) async throws(SwarmError) -> ControlResponse {
        let nodeID = swarm?.record.nodeID ?? ""
        return try await write {
            .request(ticket: $0, .attachment(nodeID: nodeID, request), freshTokens: nil)
        }
    }

    private func saveContainers() async {
        isSaving = true
        while let (id, wishes) = pendingSaves.popFirst() {
            do throws(SwarmError) { try await service.update(id, wishes) } catch {
                guard error.code != .notFound else { continue }
                logger.warning(
                    "what is known of a container is not on disk",
                    metadata: ["container.id": "\(id)", "error": "\(error)"])
            }
        }
        isSaving = false
    }

    private func save(_ networks: [LocalNetwork]) {
        do {
            try JSONEncoder().encode(networks).write(to: URL(filePath: networksFile), options: .atomic)
        } catch {
            logger.error(
                "this node's networks are not on disk: a restart would lose them",
                metadata: ["error": "\(error)"])
        }
    }

    /// Gives the machine a ticket and waits for its answer.
    private func askContainers(_ event: (UInt64) -> StandaloneEvent) async throws(SwarmError) {
        nextStandaloneTicket += 1
        let ticket = nextStandaloneTicket
        let made = event(ticket)
        let timeout = Task {
            try? await Task.sleep(for: Self.standalonePatience)
            let words = "the container's networks were not ready in time; look at swarmd's log"
            self.standaloneWaiters.removeValue(forKey: ticket)?.resume(
                returning: SwarmError(.deadlineExceeded, words))
        }
        let error = await withCheckedContinuation { continuation in
            standaloneWaiters[ticket] = continuation
            stepContainers(made)
        }
        timeout.cancel()
        if let error { throw error }
    }

    func publish(_ action: String, _ info: ContainerInfo, _ extra: [String: String] = [:]) {
        var attributes = info.shownLabels.merging(extra) { $1 }
        (attributes["name"], attributes["image"]) = (info.name, info.image)
        hub.publish(
            SwarmEvent(
                type: "container", action: action, actorID: info.id, attributes: attributes, scope: "local",
                time: SystemClock.timestamp()))
    }

    // MARK: What clients ask

    package func createContainer(_ request: ContainerRequest) async throws(SwarmError) {
        try await reserve(request.name)
        defer { reservedNames.remove(request.name) }
        try await service.create(request)
        let info = try await service.inspect(request.id)
        stepContainers(.created(info))
        publish("create", info)
    }

    /// The caller gives the name free again once a container has it.
    private func reserve(_ name: String) async throws(SwarmError) {
        let holder = try await service.containers().first { $0.name == name }
        if let holder {
            throw SwarmError(
                .conflict,
                "Conflict. The container name \"/\(name)\" is already in use by container \"\(holder.id)\". You have "
                    + "to remove (or rename) that container to be able to reuse that name.")
        }
        guard reservedNames.insert(name).inserted else {
            throw SwarmError(.conflict, "Conflict. The container name \"/\(name)\" is being taken just now.")
        }
    }

    /// A task's container belongs to its service, which brings another one instead.
    private func standaloneInfo(_ id: String) async throws(SwarmError) -> ContainerInfo {
        let info = try await service.inspect(id)
        guard info.request?.standalone != nil else {
            throw SwarmError(
                .conflict, "container \(info.name) is a task's: update or scale its service instead")
        }
        return info
    }

    package func startContainer(_ id: String) async throws(SwarmError) {
        let info = try await standaloneInfo(id)
        let mode = info.request?.standalone?.networkMode ?? ""
        if mode.hasPrefix("container:") {
            let target = try await service.inspect(String(mode.dropFirst("container:".count)))
            guard target.state == .running else {
                throw SwarmError(.conflict, "cannot join network of a non running container: \(target.id)")
            }
        }
        try await askContainers { .start(containerID: id, ticket: $0) }
    }

    package func stopContainer(_ id: String, gracePeriod: Duration?) async throws(SwarmError) {
        let info = try await service.inspect(id)
        guard let wishes = info.request?.standalone else {
            try await service.stop(id, gracePeriod: gracePeriod)
            return publish("stop", info)
        }
        stepContainers(.stopWanted(containerID: id, staysDown: true))
        try await end(info, wishes, gracePeriod)
        publish("stop", info)
    }

    /// Stops it and has the machine know that at once.
    private func end(
        _ info: ContainerInfo, _ wishes: StandaloneContainer, _ gracePeriod: Duration?
    ) async throws(SwarmError) {
        let own = wishes.stopTimeout.map { $0 < 0 ? Duration.seconds(Int32.max) : .seconds($0) }
        if info.state == .paused { try? await service.unpause(info.id) }
        try await service.stop(info.id, gracePeriod: gracePeriod ?? own ?? Self.defaultGrace)
        // One that removes itself may be gone by now.
        guard let now = try? await service.inspect(info.id), now.state == .exited, let time = now.finishedAt
        else {
            return
        }
        stepContainers(.exited(containerID: info.id, code: now.exitCode ?? 137, at: time))
    }

    package func restartContainer(_ id: String, gracePeriod: Duration?) async throws(SwarmError) {
        let info = try await service.inspect(id)
        guard let wishes = info.request?.standalone else {
            return try await service.stop(id, gracePeriod: gracePeriod)
        }
        stepContainers(.stopWanted(containerID: id, staysDown: false))
        if info.state == .running || info.state == .paused {
            try await end(info, wishes, gracePeriod)
            publish("stop", info)
        }
        try await startContainer(id)
        publish("restart", info)
    }

    package func killContainer(_ id: String, signal: String) async throws(SwarmError) {
        let info = try await service.inspect(id)
        if info.request?.standalone != nil {
            guard info.state == .running || info.state == .paused else {
                throw SwarmError(.conflict, "cannot kill container: \(id): container \(id) is not running")
            }
            let ends = ["KILL", "SIGKILL", "9", "TERM", "SIGTERM", "15"].contains(signal.uppercased())
            if ends { stepContainers(.stopWanted(containerID: id, staysDown: true)) }
        }
        try await service.kill(id, signal: signal)
    }

    package func removeContainer(_ id: String, force: Bool, keepsVolumes: Bool) async throws(SwarmError) {
        let info = try await service.inspect(id)
        let isUp = info.state == .running || info.state == .paused
        guard force || !isUp else {
            throw SwarmError(
                .conflict,
                "You cannot remove a running container \(id). Stop the container before attempting removal or force "
                    + "remove")
        }
        guard info.request?.standalone != nil else {
            try await service.remove(id, force: force)
            return publish("destroy", info)
        }
        stepContainers(.stopWanted(containerID: id, staysDown: true))
        try await discardContainer(id, keepsVolumes: keepsVolumes)
    }

    private func discardContainer(_ id: String, keepsVolumes: Bool) async throws(SwarmError) {
        let info = try? await service.inspect(id)
        try await service.remove(id, force: true, keepsVolumes: keepsVolumes)
        pendingSaves[id] = nil
        stepContainers(.removed(containerID: id))
        if let info { publish("destroy", info) }
    }

    package func renameContainer(_ id: String, to name: String) async throws(SwarmError) {
        let info = try await standaloneInfo(id)
        guard info.name != name else {
            throw SwarmError(.invalidArgument, "Renaming a container with the same name as its current name")
        }
        try await reserve(name)
        defer { reservedNames.remove(name) }
        try await service.rename(id, to: name)
        stepContainers(.renamed(containerID: id, name))
        var renamed = info
        renamed.name = name
        publish("rename", renamed, ["oldName": "/" + info.name])
    }

    package func setRestartRule(_ id: String, _ rule: RestartRule) async throws(SwarmError) {
        _ = try await standaloneInfo(id)
        stepContainers(.restartRule(containerID: id, rule))
    }

    package func connectContainer(_ id: String, _ endpoint: StandaloneEndpoint) async throws(SwarmError) {
        _ = try await standaloneInfo(id)
        try await askContainers { .connect(containerID: id, endpoint, ticket: $0) }
    }

    package func disconnectContainer(
        _ id: String, network: String, force: Bool
    ) async throws(SwarmError) {
        _ = try await standaloneInfo(id)
        try await askContainers { .disconnect(containerID: id, network: network, force: force, ticket: $0) }
    }

    package func isRestarting(_ id: String) -> Bool {
        if case .waiting? = standalone.members[id]?.phase { true } else { false }
    }

    // MARK: Networks of this node

    package func localNetworks() -> [LocalNetwork] { [standalone.bridge] + standalone.networks }

    package func createLocalNetwork(_ asked: LocalNetwork, hasSubnet: Bool) async throws(SwarmError) -> String
    {
        guard standalone.localNetwork(asked.name) == nil, snapshot().networks.named(asked.name) == nil else {
            throw SwarmError(.conflict, "network with name \(asked.name) already exists")
        }
        var made = asked
        let overlays = (machine?.agent.assignment?.networks ?? []).compactMap(\.subnet)
        let taken = overlays + snapshot().networks.sorted.compactMap(\.subnet) + network.hostRoutes()
        if hasSubnet {
            let own = [standalone.bridge.subnet] + standalone.networks.map(\.subnet) + overlays
            guard !own.contains(where: { $0.overlaps(asked.subnet) }) else {
                throw SwarmError(
                    .permissionDenied,
                    "invalid pool request: Pool overlaps with other one on this address space")
            }
        } else {
            guard let free = standalone.freeSubnet(avoiding: taken) else {
                throw SwarmError(
                    .resourceExhausted,
                    "all predefined address pools have been fully subnetted: give a --subnet")
            }
            (made.subnet, made.gateway) = (free, free.network.advanced(by: 1))
        }
        stepContainers(.networkMade(made))
        publishNetwork("create", made)
        return made.id
    }

    package func removeLocalNetwork(_ id: String) async throws(SwarmError) {
        guard let network = standalone.networks.first(where: { $0.id == id }) else {
            throw SwarmError(.notFound, "network \(id) not found")
        }
        guard !standalone.hasEndpoints(onNetwork: id) else {
            throw SwarmError(
                .permissionDenied,
                "error while removing network: network \(network.name) id \(id) has active endpoints")
        }
        stepContainers(.networkRemoved(id: id))
        publishNetwork("destroy", network)
    }

    private func publishNetwork(_ action: String, _ network: LocalNetwork) {
        hub.publish(
            SwarmEvent(
                type: "network", action: action, actorID: network.id,
                attributes: ["name": network.name, "type": "bridge"], scope: "local",
                time: SystemClock.timestamp()))
    }
}
