import Consensus
import Overlay
import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

@Suite struct NodeMachineTests {
    private func started(networks: [String] = []) throws -> NodeHarness {
        var node = NodeHarness()
        node.start()
        for name in networks { try node.demand(.createNetwork(NetworkSpec(name: name))) }
        return node
    }

    @Test func `a service's replicas run, each with an address, behind one virtual address`() throws {
        var node = try started(networks: ["front"])
        let id = try node.createService(NodeHarness.spec("web", replicas: 3, networks: ["front"]))
        #expect(node.running(id).map(\.slot) == [1, 2, 3])
        let addresses = node.running(id).compactMap {
            $0.networksAttachments?.first?.addresses?.first?.address
        }
        #expect(Set(addresses).count == 3)
        let network = try #require(node.store.networks.named("front"))
        let virtual = try #require(node.networking.networks[network.id]?.services.first)
        #expect(virtual.backends == addresses.sorted())
        #expect(!addresses.contains(virtual.virtualIP))
        #expect(node.store.services[id]?.endpoint.virtualIPs?.first?.addr?.address == virtual.virtualIP)
    }

    @Test func `scaling down removes the highest slots and everything of them`() throws {
        var node = try started()
        let id = try node.createService(NodeHarness.spec("web", replicas: 5))
        let version = try #require(node.store.services[id]).version.index
        _ = node.request(
            .updateService(id: id, version: version, NodeHarness.spec("web", replicas: 2), .init()))
        #expect(node.running(id).map(\.slot) == [1, 2])
        #expect(node.tasks(id).count == 2)
        #expect(node.containers.count == 2)
        _ = node.request(.removeService(id: id))
        #expect(node.store.tasks.isEmpty)
        #expect(node.containers.isEmpty)
        #expect(node.networking.sandboxes.isEmpty)
    }

    @Test
    func
        `a task that dies is replaced in its slot after the restart delay and leaves every balancer at once`()
        throws
    {
        var node = try started(networks: ["front"])
        let id = try node.createService(NodeHarness.spec("web", replicas: 2, networks: ["front"]))
        let victim = try #require(node.running(id).first?.status.containerStatus?.containerID)
        node.exit(victim, code: 137)
        node.send(.deadlineReached)
        #expect(node.running(id).map(\.slot) == [2])
        #expect(node.networking.networks.values.flatMap(\.services).first?.backends.count == 1)
        node.advance(.seconds(4))
        #expect(node.running(id).count == 1)
        node.advance(.seconds(2))
        #expect(node.running(id).map(\.slot) == [1, 2])
        let dead = try #require(node.tasks(id).first { $0.status.state == .failed })
        #expect(dead.status.err == "task: non-zero exit (137)")
        #expect(dead.slot == 1)
    }

    @Test func `a slot keeps five tasks of history`() throws {
        var node = try started()
        let id = try node.createService(NodeHarness.spec("web"))
        for _ in 0..<9 {
            let container = try #require(node.running(id).first?.status.containerStatus?.containerID)
            node.exit(container, code: 1)
            node.advance(.seconds(6))
        }
        #expect(node.running(id).count == 1)
        #expect(node.tasks(id).count == 5)
        #expect(node.containers.count <= 5)
    }

    @Test func `an image that cannot be had is said in the task's status and nothing is left`() throws {
        var node = try started()
        node.missingImages["nope:1"] = "No such image: nope:1"
        let id = try node.createService(NodeHarness.spec("web", image: "nope:1"))
        let task = try #require(node.tasks(id).first)
        #expect(task.status.state == .rejected)
        #expect(task.status.err == "No such image: nope:1")
        #expect(node.containers.isEmpty)
        node.missingImages = [:]
        node.advance(.seconds(11))
        #expect(node.running(id).count == 1)
    }

    @Test func `after a restart every running container is adopted as it is`() throws {
        var node = try started(networks: ["front"])
        let id = try node.createService(NodeHarness.spec("web", replicas: 4, networks: ["front"]))
        let before = Set(node.running(id).compactMap { $0.status.containerStatus?.containerID })
        let addresses = node.networking.sandboxes
        node.restart()
        #expect(Set(node.running(id).compactMap { $0.status.containerStatus?.containerID }) == before)
        #expect(node.networking.sandboxes == addresses)
        #expect(node.containers.count == 4)
        node.advance(.seconds(20))
        #expect(node.tasks(id).count == 4)
    }

    @Test func `a rolling update replaces one slot after the other and reports its end`() throws {
        var node = try started()
        var spec = NodeHarness.spec("web", replicas: 3)
        let id = try node.createService(spec)
        spec.taskTemplate.containerSpec?.env = ["A=1"]
        spec.updateConfig = UpdateConfig(parallelism: 1, delay: 1_000_000_000)
        let version = try #require(node.store.services[id]).version.index
        try node.demand(.updateService(id: id, version: version, spec, .init()))
        let renewed = node.running(id).filter { $0.spec.containerSpec?.env == ["A=1"] }
        #expect(renewed.count == 1)
        #expect(node.store.services[id]?.updateStatus?.state == "updating")
        node.advance(.seconds(10))
        #expect(node.running(id).allSatisfy { $0.spec.containerSpec?.env == ["A=1"] })
        #expect(node.running(id).count == 3)
        #expect(node.store.services[id]?.updateStatus?.state == "completed")
    }

    @Test func `an update that fails pauses and leaves the other slots alone`() throws {
        var node = try started()
        let id = try node.createService(NodeHarness.spec("web", replicas: 3))
        node.missingImages["bad:1"] = "No such image: bad:1"
        let version = try #require(node.store.services[id]).version.index
        _ = node.request(
            .updateService(
                id: id, version: version, NodeHarness.spec("web", replicas: 3, image: "bad:1"), .init()))
        node.advance(.seconds(30))
        #expect(node.running(id).count == 2)
        let status = try #require(node.store.services[id]?.updateStatus)
        #expect(status.state == "paused")
        // The task itself may be history by now; nothing stands behind its identifier.
        let words = (status.message ?? "").split(separator: " ")
        #expect(words.dropLast().joined(separator: " ") == "update paused due to failure or early termination of task")
        #expect(words.last?.count == 25)
    }

    @Test func `an update that is rolled back by itself leaves nothing to roll back to`() throws {
        var node = try started()
        var spec = NodeHarness.spec("web")
        let id = try node.createService(spec)
        node.missingImages["bad:1"] = "No such image: bad:1"
        spec.taskTemplate.containerSpec?.image = "bad:1"
        spec.updateConfig = UpdateConfig(failureAction: "rollback")
        let version = try #require(node.store.services[id]).version.index
        try node.demand(.updateService(id: id, version: version, spec, .init()))
        node.advance(.seconds(30))
        let service = try #require(node.store.services[id])
        #expect(service.updateStatus?.state == "rollback_completed")
        #expect(service.spec.taskTemplate.containerSpec?.image == "busybox")
        #expect(service.previousSpec == nil)
    }

    @Test func `a constraint that their nodes satisfy replaces no tasks, and one that they do not replaces them one by one`() throws {
        var node = try started()
        var spec = NodeHarness.spec("web", replicas: 2)
        let id = try node.createService(spec)
        let before = Set(node.running(id).map(\.id))
        func change(_ constraint: String) throws {
            spec.taskTemplate.placement = Placement(constraints: [constraint])
            let version = try #require(node.store.services[id]).version.index
            try node.demand(.updateService(id: id, version: version, spec, .init()))
            node.advance(.seconds(30))
        }
        try change("node.role==manager")
        #expect(Set(node.running(id).map(\.id)) == before)
        try change("node.role==worker")
        // The update waits for the first to find a node before it takes the second.
        #expect(node.running(id).count == 1)
        let waiting = "no suitable node (scheduling constraints not satisfied on 1 node)"
        #expect(node.tasks(id).contains { $0.desiredState <= .running && $0.status.err == waiting })
    }

    @Test func `a job without numbers runs once, and says so to clients that take them for given`() throws {
        var node = try started()
        var spec = NodeHarness.spec("job")
        spec.mode = ServiceMode(replicatedJob: ReplicatedJobMode())
        let id = try node.createService(spec)
        let job = try #require(node.store.services[id]?.spec.mode.replicatedJob)
        #expect(job == ReplicatedJobMode(maxConcurrent: 1, totalCompletions: 1))
    }

    @Test func `a claim of what no node has waits, and says why`() throws {
        var node = try started()
        var spec = NodeHarness.spec("web")
        let claim = GenericResource(discrete: DiscreteGenericResource(kind: "gpu", value: 1))
        spec.taskTemplate.resources = ResourceRequirements(reservations: Resources(genericResources: [claim]))
        let id = try node.createService(spec)
        #expect(node.running(id).isEmpty)
        #expect(node.tasks(id).first?.status.err == "no suitable node (insufficient resources on 1 node)")
    }

    @Test func `an update watches its last task for the monitoring time, and pauses when it dies in it`() throws {
        var node = try started()
        var spec = NodeHarness.spec("web")
        let id = try node.createService(spec)
        spec.taskTemplate.containerSpec?.env = ["A=1"]
        let version = try #require(node.store.services[id]).version.index
        try node.demand(.updateService(id: id, version: version, spec, .init()))
        node.advance(.seconds(3))
        #expect(node.running(id).first?.spec.containerSpec?.env == ["A=1"])
        #expect(node.store.services[id]?.updateStatus?.state == "updating")
        node.exit(try #require(node.running(id).first?.status.containerStatus?.containerID), code: 1)
        node.advance(.seconds(1))
        #expect(node.store.services[id]?.updateStatus?.state == "paused")
    }

    @Test func `a task that ends well within the monitoring time is no failure of its update`() throws {
        var node = try started()
        var spec = NodeHarness.spec("once")
        spec.taskTemplate.restartPolicy = RestartPolicy(condition: "none")
        let id = try node.createService(spec)
        spec.taskTemplate.containerSpec?.env = ["A=1"]
        let version = try #require(node.store.services[id]).version.index
        try node.demand(.updateService(id: id, version: version, spec, .init()))
        node.advance(.seconds(1))
        node.exit(try #require(node.running(id).first?.status.containerStatus?.containerID), code: 0)
        node.advance(.seconds(10))
        #expect(node.store.services[id]?.updateStatus?.state == "completed")
    }

    @Test func `a rotated join token keeps the half that names the cluster`() throws {
        var node = try started()
        let before = try #require(node.store.cluster)
        try node.demand(
            .updateSwarm(version: before.version.index, before.spec, SwarmRotation(workerToken: true)))
        let after = try #require(node.store.cluster?.joinTokens)
        let tokens = try #require(before.joinTokens)
        #expect(after.manager == tokens.manager)
        #expect(after.worker != tokens.worker)
        #expect(after.worker.split(separator: "-").prefix(3) == tokens.worker.split(separator: "-").prefix(3))
    }

    @Test func `a rotation of the CA without a new root changes nothing`() throws {
        var node = try started()
        let before = try #require(node.store.cluster)
        for asked in [CAConfig(forceRotate: 1), CAConfig(signingCACert: "-----BEGIN CERTIFICATE-----")] {
            var spec = before.spec
            spec.caConfig = asked
            #expect(throws: SwarmError.self) {
                try node.demand(.updateSwarm(version: before.version.index, spec, SwarmRotation()))
            }
        }
        #expect(node.store.cluster == before)
    }

    @Test func `an unlock key comes with autolock, stays until it is rotated, and goes with it`() throws {
        var node = try started()
        func update(_ isLocked: Bool, _ rotates: Bool, _ fresh: String) throws -> String? {
            let cluster = try #require(node.store.cluster)
            var spec = cluster.spec
            spec.encryptionConfig = EncryptionConfig(autoLockManagers: isLocked)
            let rotation = SwarmRotation(unlockKey: rotates, freshUnlockKey: fresh)
            try node.demand(.updateSwarm(version: cluster.version.index, spec, rotation))
            return node.store.cluster?.unlockKey
        }
        #expect(try update(false, false, "first") == nil)
        #expect(try update(true, false, "second") == "second")
        #expect(try update(true, false, "third") == "second")
        #expect(try update(true, true, "fourth") == "fourth")
        #expect(try update(false, true, "fifth") == nil)
    }

    @Test func `published ports get a number and the routing mesh's address`() throws {
        var node = try started()
        var spec = NodeHarness.spec("web", replicas: 2)
        spec.endpointSpec = EndpointSpec(ports: [PortConfig(targetPort: 80)])
        let id = try node.createService(spec)
        let number = try #require(node.store.services[id]?.endpoint.ports?.first?.publishedPort)
        #expect((30_000...32_767).contains(number))
        let port = try #require(node.networking.publishedPorts.first)
        #expect(UInt32(port.publishedPort) == number)
        #expect(port.backends.count == 2)
    }

    @Test func `an exhausted network is said in words`() throws {
        var node = try started()
        var tight = NetworkSpec(name: "tight")
        tight.ipamOptions = IPAM(configs: [IPAMConfig(subnet: "10.9.0.0/29")])
        try node.demand(.createNetwork(tight))
        let id = try node.createService(NodeHarness.spec("web", replicas: 8, networks: ["tight"]))
        // Eight addresses less network, broadcast, gateway and the virtual one.
        #expect(node.running(id).count == 4)
        let waiting = try #require(node.tasks(id).first { $0.status.state == .new })
        #expect(waiting.status.err?.contains("could not find an available IP on network tight") == true)
    }

    @Test func `a job runs to completion and is not started again`() throws {
        var node = try started()
        var spec = NodeHarness.spec("job")
        spec.mode = ServiceMode(replicatedJob: ReplicatedJobMode(maxConcurrent: 2, totalCompletions: 3))
        let id = try node.createService(spec)
        for _ in 0..<4 {
            for task in node.tasks(id) where task.status.state == .running {
                if let container = task.status.containerStatus?.containerID { node.exit(container, code: 0) }
            }
            node.send(.deadlineReached)
        }
        node.advance(.seconds(30))
        #expect(node.tasks(id).filter { $0.status.state == .complete }.count == 3)
        #expect(node.tasks(id).count == 3)
    }

    @Test func `a log of few but large entries is cut, too`() throws {
        var node = try started()
        node.codec.padding = 200_000
        for round in 0..<24 { _ = try node.createService(NodeHarness.spec("web\(round)", replicas: 0)) }
        node.codec.padding = 0
        #expect(node.store.index < 1000)
        #expect(node.disk.snapshotIndex > 0)
        let index = node.disk.snapshotIndex
        // What the log keeps for members that lag behind does not count again.
        _ = try node.createService(NodeHarness.spec("last", replicas: 0))
        #expect(node.disk.snapshotIndex == index)
    }

    @Test func `a full log is cut and the node comes back from its snapshot`() throws {
        var node = try started()
        let id = try node.createService(NodeHarness.spec("web"))
        var spec = NodeHarness.spec("web")
        for round in 0..<Int(NodeMachine.snapshotInterval) {
            spec.labels = ["round": String(round)]
            let version = try #require(node.store.services[id]).version.index
            _ = node.request(.updateService(id: id, version: version, spec, .init()))
        }
        #expect(node.disk.snapshotIndex > 0)
        #expect(node.disk.entries.count <= Int(NodeMachine.snapshotInterval))
        let image = StoreImage(node.store)
        node.restart()
        #expect(StoreImage(node.store).services == image.services)
    }
}
