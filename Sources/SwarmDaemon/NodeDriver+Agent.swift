import ContainerdRuntime
import DNSServer
import Execution
import LinuxNetwork
import Logging
import Overlay
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

/// What the agent asks of this machine: containers, the kernel's network, names.
extension NodeDriver {
    func perform(_ effect: AgentEffect) {
        let service = self.service
        switch effect {
        case .ensureImage(let task, let image, let auth):
            run(task, .ensureImage, .imageReady) { () throws(SwarmError) in
                try await service.ensureImage(image, registryAuth: auth)
            }
        case .createContainer(let task, let request):
            run(task, .createContainer, .created) { () throws(SwarmError) in
                try await service.create(request)
                guard let info = try? await service.inspect(request.id) else { return }
                await self.publish("create", info)
            }
        case .startContainer(let task, let id):
            let generation = self.generation
            enqueue {
                do throws(SwarmError) {
                    let pid = try await service.start(id)
                    await self.step(.agent(.task(task, .started(pid: pid))), of: generation)
                } catch {
                    await self.step(
                        .agent(.task(task, .failed(.startContainer, error.description))), of: generation)
                }
            }
        case .stopContainer(let task, let id, let grace):
            // Not queued: a grace period must not hold up others' starts.
            let generation = self.generation
            Task { await self.stop(task, id, grace, of: generation) }
        case .removeContainer(let task, let id):
            run(task, .removeContainer, .removed) { () throws(SwarmError) in
                let info = try? await service.inspect(id)
                try await service.remove(id, force: true)
                if let info { await self.publish("destroy", info) }
            }
        case .applyNetworking(let networking, let view, let version):
            (agentNetwork, wantedAgentVersion) = ((networking, view), version)
            stepContainers(.occupied(Set(networking.publishedPorts.map(\.key))))
            if !isApplyingNetwork { applyNetwork() }
        case .report: break
        }
    }

    /// Again until it is done: nobody else would end a container that its task has given up.
    private func stop(_ task: ObjectID, _ id: String, _ grace: Duration, of generation: Int) async {
        var grace = grace
        while generation == self.generation {
            do throws(SwarmError) {
                let info = try? await service.inspect(id)
                try await service.stop(id, gracePeriod: grace)
                if let info, info.state == .running { publish("stop", info) }
                return step(.agent(.task(task, .stopped)), of: generation)
            } catch {
                logger.warning(
                    "a container does not stop; it is tried again",
                    metadata: ["task.id": "\(task)", "container.id": "\(id)", "error": "\(error)"])
            }
            grace = Self.stopRetryPause
            try? await Task.sleep(for: Self.stopRetryPause)
        }
    }

    private func run(
        _ task: ObjectID, _ operation: TaskOperation, _ answer: TaskEvent,
        _ body: @escaping @Sendable () async throws(SwarmError) -> Void
    ) {
        let generation = self.generation
        enqueue {
            do throws(SwarmError) {
                try await body()
                await self.step(.agent(.task(task, answer)), of: generation)
            } catch {
                await self.step(.agent(.task(task, .failed(operation, error.description))), of: generation)
            }
        }
    }

    private func enqueue(_ operation: @escaping @Sendable () async -> Void) {
        operations.append(operation)
        startOperations()
    }

    private func startOperations() {
        while runningOperations < Self.operationsMax, !operations.isEmpty {
            let operation = operations.removeFirst()
            runningOperations += 1
            Task {
                await operation()
                self.runningOperations -= 1
                self.startOperations()
            }
        }
    }

    /// One change of the kernel at a time; what piled up meanwhile goes together, next.
    ///
    /// Not before both halves are known: what one of them does not name yet would be torn down.
    func applyNetwork() {
        guard wantedAgentVersion != nil || wantedStandaloneVersion != nil, standalone.isReady,
            let agentNetwork
        else { return }
        let (agentVersion, standaloneVersion) = (wantedAgentVersion, wantedStandaloneVersion)
        (wantedAgentVersion, wantedStandaloneVersion) = (nil, nil)
        let (networking, view) = standalone.networking.merged(
            into: agentNetwork.networking, agentNetwork.view)
        isApplyingNetwork = true
        let generation = self.generation
        Task {
            await self.names.prepare(view)
            let report = await self.network.apply(networking)
            var failures = report.sandboxes
            for (id, reason) in report.networks {
                for (container, sandbox) in networking.sandboxes
                where sandbox.interfaces.contains(where: { $0.networkID == id }) {
                    failures[container] = failures[container] ?? reason
                }
            }
            let refused = await self.names.apply(view)
            failures.merge(refused) { first, _ in first }
            self.isApplyingNetwork = false
            if let agentVersion {
                self.step(
                    .agent(.networkApplied(version: agentVersion, failures: failures, ports: report.ports)),
                    of: generation)
            }
            if let standaloneVersion {
                self.stepContainers(
                    .networkApplied(version: standaloneVersion, failures: failures, ports: report.ports))
            }
            if !self.isApplyingNetwork { self.applyNetwork() }
        }
    }
}
