import Ports
import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

@Suite struct GenericResourceTests {
    private func started(offering terms: [String]) throws -> NodeHarness {
        var node = NodeHarness()
        node.start()
        try offer(terms, &node)
        return node
    }

    /// The node's daemon came up with other flags.
    private func offer(_ terms: [String], _ node: inout NodeHarness) throws {
        var description = try #require(node.store.nodes["n1"]).description
        description.resources.genericResources = try GenericResource.parse(terms)
        try node.demand(
            .joinSwarm(NodeJoin(nodeID: "n1", role: "worker", description: description, address: "198.18.0.11")))
    }

    private func spec(_ replicas: UInt64, _ kind: String = "gpu", _ count: Int64 = 1) -> ServiceSpec {
        var spec = NodeHarness.spec("web", replicas: replicas)
        spec.taskTemplate.containerSpec?.env = ["MINE=1"]
        let claim = GenericResource(discrete: DiscreteGenericResource(kind: kind, value: count))
        spec.taskTemplate.resources = ResourceRequirements(reservations: Resources(genericResources: [claim]))
        return spec
    }

    @Test func `a container's environment names what its task was given`() throws {
        var node = try started(offering: ["gpu=A", "gpu=B", "ssd=3"])
        let id = try node.createService(spec(1, "gpu", 2))
        let container = try #require(node.running(id).first?.status.containerStatus?.containerID)
        #expect(node.requests[container]?.spec.env == ["MINE=1", "DOCKER_RESOURCE_GPU=A,B"])
    }

    @Test func `what a task gave back is given to the next`() throws {
        var node = try started(offering: ["gpu=A"])
        let id = try node.createService(spec(2))
        #expect(node.running(id).count == 1)
        let refusal = "no suitable node (insufficient resources on 1 node)"
        #expect(node.tasks(id).compactMap(\.status.err) == [refusal])
        let version = try #require(node.store.services[id]).version.index
        try node.demand(.updateService(id: id, version: version, spec(1), .init()))
        #expect(node.running(id).count == 1)
        #expect(node.tasks(id).count == 1)
        node.exit(try #require(node.running(id).first?.status.containerStatus?.containerID), code: 1)
        node.advance(.seconds(10))
        #expect(node.running(id).first?.genericResources == [.init(named: .init(kind: "gpu", value: "A"))])
    }

    @Test func `a node that no longer offers what a task holds loses this task, and no other`() throws {
        var node = try started(offering: ["gpu=A", "gpu=B"])
        let id = try node.createService(spec(2))
        let before = node.running(id)
        #expect(before.map { $0.genericEnvironment } == [["DOCKER_RESOURCE_GPU=A"], ["DOCKER_RESOURCE_GPU=B"]])
        try offer(["gpu=B"], &node)
        node.advance(.seconds(30))
        #expect(node.running(id).map(\.id) == [before[1].id])
        let evicted = try #require(node.store.tasks[before[0].id])
        #expect(evicted.status.state == .rejected)
        #expect(evicted.status.message == "task rejected by constraint enforcer")
        #expect(evicted.status.err == "assigned node no longer meets constraints")
        #expect(node.tasks(id).contains { $0.status.err?.contains("insufficient resources on 1 node") == true })
        try offer(["gpu=B", "gpu=C"], &node)
        node.advance(.seconds(30))
        #expect(node.running(id).map { $0.genericEnvironment } == [["DOCKER_RESOURCE_GPU=C"], ["DOCKER_RESOURCE_GPU=B"]])
    }

    @Test func `a node that lost CPUs keeps the oldest reservations that still fit`() throws {
        var node = try started(offering: [])
        var spec = NodeHarness.spec("web", replicas: 4)
        spec.taskTemplate.resources = ResourceRequirements(reservations: Resources(nanoCPUs: 500_000_000))
        let id = try node.createService(spec)
        let before = Set(node.running(id).map(\.id))
        #expect(before.count == 4)
        var description = try #require(node.store.nodes["n1"]).description
        description.resources.nanoCPUs = 1_000_000_000
        try node.demand(
            .joinSwarm(NodeJoin(nodeID: "n1", role: "worker", description: description, address: "198.18.0.11")))
        node.advance(.seconds(30))
        #expect(node.running(id).count == 2)
        #expect(Set(node.running(id).map(\.id)).isSubset(of: before))
    }
}
