import Dispatching
import Overlay
import Ports
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

/// A node that restarts while no manager answers has only what it wrote down.
@Suite struct AgentRestartTests {
    private func running(replicas: UInt64 = 3) throws -> (node: NodeHarness, service: ObjectID) {
        var node = NodeHarness()
        node.start()
        try node.demand(.createNetwork(NetworkSpec(name: "front")))
        let id = try node.createService(NodeHarness.spec("web", replicas: replicas, networks: ["front"]))
        #expect(node.running(id).count == Int(replicas))
        return (node, id)
    }

    private func runningContainers(_ node: NodeHarness) -> Set<String> {
        Set(node.containers.filter { $0.value.isRunning }.keys)
    }

    @Test func `without a manager containers, names and balancers are as they were`() throws {
        var (node, _) = try running()
        let before = (node.networking, node.names, runningContainers(node))
        node.restartAlone()
        #expect(node.networking == before.0)
        #expect(node.names == before.1)
        node.advance(.seconds(60))
        #expect(runningContainers(node) == before.2)
        #expect(node.containers.count == 3)
    }

    @Test func `a process that ends leaves names and balancers, and is not started again`() throws {
        var (node, _) = try running()
        node.restartAlone()
        let victim = try #require(runningContainers(node).sorted().first)
        node.exit(victim, code: 1)
        #expect(node.networking.networks.values.flatMap(\.services).flatMap(\.backends).count == 2)
        node.advance(.seconds(60))
        #expect(runningContainers(node).count == 2)
    }

    @Test func `after a reboot nothing is started before a manager was heard`() throws {
        var (node, _) = try running()
        let assignment = try #require(node.held?.assignment)
        for id in node.containers.keys {
            node.containers[id]?.info.state = .exited
            node.containers[id]?.isRunning = false
        }
        node.restartAlone()
        node.advance(.seconds(60))
        #expect(runningContainers(node).isEmpty)
        #expect(node.containers.count == 3)
        // Two were replaced meanwhile; a new one is to run here.
        var next = assignment
        next.tasks.removeFirst(2)
        var fresh = SwarmTask(id: "fresh")
        fresh.nodeID = "n1"
        fresh.status.state = .assigned
        fresh.spec.containerSpec = ContainerSpec(image: "busybox")
        next.tasks.append(fresh)
        node.send(.agent(.assigned(next)))
        #expect(runningContainers(node).count == 1)
        #expect(node.machine.agent.containerID(ofTask: "fresh") == runningContainers(node).first)
        #expect(node.containers.count == 2, "what was replaced is gone, what ended here is kept for its logs")
    }

    @Test func `what was replaced meanwhile stops as soon as a manager says so`() throws {
        var (node, _) = try running()
        let assignment = try #require(node.held?.assignment)
        node.restartAlone()
        var next = assignment
        next.tasks.removeFirst(2)
        node.send(.agent(.assigned(next)))
        #expect(runningContainers(node).count == 1)
        #expect(node.networking.sandboxes.count == 1)
    }

    @Test func `a container that is newer than what was written waits for a manager's word`() throws {
        var (node, _) = try running()
        let whole = try #require(node.held)
        let newest = try #require(whole.assignment.tasks.last)
        node.held?.assignment.tasks.removeLast()
        let before = runningContainers(node)
        node.restartAlone()
        node.advance(.seconds(60))
        #expect(runningContainers(node) == before)
        #expect(node.machine.agent.containerID(ofTask: newest.id) == nil)
        node.send(.agent(.assigned(whole.assignment)))
        #expect(runningContainers(node) == before)
        #expect(node.machine.agent.containerID(ofTask: newest.id) != nil)
    }

    @Test func `containers may be found before or after what was written is read`() throws {
        let (node, _) = try running()
        let held = try #require(node.held)
        let found = node.containers.values.map(\.info)
        func resumed(_ events: [AgentEvent]) -> AgentMachine {
            var agent = AgentMachine(facts: NodeHarness.facts, seed: 9)
            for event in events { _ = agent.receive(event, at: node.time) }
            return agent
        }
        for events in [[AgentEvent.restored(held.assignment), .found(found)], [.found(found), .restored(held.assignment)]] {
            let agent = resumed(events)
            #expect(held.assignment.tasks.allSatisfy { agent.containerID(ofTask: $0.id) != nil })
        }
        let late = resumed([.found(found), .assigned(Assignment(nodeID: "n1")), .restored(held.assignment)])
        #expect(late.assignment == Assignment(nodeID: "n1"))
    }

    @Test func `leaving removes also what no manager has spoken of`() throws {
        var (node, _) = try running()
        node.held?.assignment.tasks = []
        node.restartAlone()
        #expect(node.containers.count == 3)
        node.send(.leave)
        #expect(node.containers.isEmpty)
    }

    @Test func `only a change of the assignment is written`() throws {
        var (node, _) = try running()
        node.held = nil
        node.advance(.seconds(60))
        #expect(node.held == nil)
        try node.demand(.createService(NodeHarness.spec("more"), registryAuth: nil))
        #expect(node.held?.assignment.tasks.count == 4)
    }
}
