import Dispatching
import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

/// A node that is not heard: nothing new for it, and nothing taken from it before it is certainly down.
@Suite struct SilentNodeTests {
    /// A leader, and a worker whose daemon the test plays.
    private struct Pair {
        var leader = NodeHarness()
        private var reports: UInt64 = 0

        init() throws {
            leader.start()
            var description = NodeDescription()
            description.resources = Resources(nanoCPUs: 2_000_000_000, memoryBytes: 8 << 30)
            try leader.demand(
                .joinSwarm(
                    NodeJoin(nodeID: "n2", role: "worker", description: description, address: "198.18.0.12")))
            open()
        }

        mutating func open() { leader.send(.peer(.toManager(.open(attempt: 1, held: [:])), from: "n2")) }

        private var session: SessionID? {
            for case (.toAgent(.update(let update)), "n2") in leader.sent.reversed() { return update.session }
            return nil
        }

        mutating func beat() {
            guard let session else { return }
            leader.send(.peer(.toManager(.beat(session, version: .max)), from: "n2"))
        }

        /// Whatever the worker was given runs.
        mutating func runAll() {
            guard let session else { return }
            var statuses: [ObjectID: TaskStatus] = [:]
            for task in tasks where task.status.state < .running {
                statuses[task.id] = TaskStatus(timestamp: leader.time, state: .running)
            }
            reports += 1
            leader.send(.peer(.toManager(.statuses(session, number: reports, statuses)), from: "n2"))
        }

        mutating func pass(seconds: Int, beating: Bool = false) {
            for _ in 0..<seconds {
                leader.advance(.seconds(1))
                if beating { beat() }
            }
        }

        mutating func serve(replicas: UInt64) throws {
            guard let service = leader.store.services.named("web") else {
                _ = try leader.createService(NodeHarness.spec("web", replicas: replicas))
                pass(seconds: 1, beating: true)
                return runAll()
            }
            let spec = NodeHarness.spec("web", replicas: replicas)
            try leader.demand(.updateService(id: service.id, version: service.version.index, spec, .init()))
            leader.advance(.milliseconds(100))
        }

        var state: String? { leader.store.nodes["n2"]?.status.state }
        /// The worker's, as far as they are wanted.
        var tasks: [SwarmTask] {
            leader.store.tasks(onNode: "n2").filter { $0.desiredState <= .running && !$0.status.state.isTerminal }
        }
    }

    @Test func `what is silent for some seconds is given nothing new and keeps what it has`() throws {
        var pair = try Pair()
        try pair.serve(replicas: 4)
        let before = pair.tasks.map(\.id)
        #expect(pair.state == "ready")
        #expect(before.count == 2)
        pair.pass(seconds: 3)
        #expect(pair.state == "unknown")
        try pair.serve(replicas: 8)
        #expect(pair.tasks.map(\.id) == before, "nothing new, and nothing restarted")
        pair.beat()
        #expect(pair.state == "ready")
        try pair.serve(replicas: 10)
        #expect(Set(pair.tasks.map(\.id)).isSuperset(of: before))
        #expect(pair.tasks.count == 4, "those that are emptiest come first again")
    }

    @Test func `what gossip holds for dead is given nothing new from that moment`() throws {
        var pair = try Pair()
        try pair.serve(replicas: 2)
        _ = pair.leader.machine.lost("n2", hasLeft: false, at: pair.leader.now, pair.leader.time)
        pair.leader.send(.deadlineReached)
        #expect(pair.state == "unknown")
        try pair.serve(replicas: 6)
        #expect(pair.tasks.count == 1)
        pair.pass(seconds: 2)
        #expect(pair.state == "down")
    }

    @Test func `a new leader doubts whoever does not come back within seconds, and takes nothing from it`() throws {
        var pair = try Pair()
        try pair.serve(replicas: 4)
        let before = pair.tasks.map(\.id)
        pair.leader.restart()
        pair.pass(seconds: 2)
        #expect(pair.state == "ready")
        pair.pass(seconds: 1)
        #expect(pair.state == "unknown")
        pair.pass(seconds: 20)
        #expect(pair.tasks.map(\.id) == before)
        pair.open()
        #expect(pair.state == "ready")
        #expect(pair.tasks.map(\.id) == before)
    }

    @Test func `a leader that was stopped for a minute takes nobody for silent`() throws {
        var pair = try Pair()
        try pair.serve(replicas: 4)
        let before = pair.tasks.map(\.id)
        (pair.leader.now, pair.leader.time) = (pair.leader.now + .seconds(60), pair.leader.time + .seconds(60))
        pair.leader.send(.deadlineReached)
        #expect(pair.state == "ready")
        pair.beat()
        #expect(pair.tasks.map(\.id) == before)
        pair.pass(seconds: 3)
        #expect(pair.state == "unknown", "what it does not hear from then on counts")
    }
}
