import Store
import SwarmCore
import SwarmModel
import Testing

@testable import Scheduling

@Suite struct SpreadTests {
    /// How many tasks went to nodes of each value.
    private func count(_ field: Field, by value: (Node) -> String) -> [String: Int] {
        Dictionary(field.schedule().compactMap { field.node($0.nodeID) }.map { (value($0), 1) }, uniquingKeysWith: +)
    }

    @Test func `tasks are spread over the values of a label, not over nodes`() throws {
        var field = Field()
        for (id, zone) in [("n1", "a"), ("n2", "b"), ("n3", "b"), ("n4", "b")] {
            try field.addNode(id, labels: ["zone": zone])
        }
        field.addTasks(6, Field.spec(spread: ["node.labels.zone"]))
        #expect(count(field, by: { $0.spec.labels["zone"] ?? "" }) == ["a": 3, "b": 3])
        #expect(count(field, by: \.id) == ["n1": 3, "n2": 1, "n3": 1, "n4": 1])
    }

    @Test func `preferences nest, and nodes without a label are one group`() throws {
        var field = Field()
        for (id, zone, rack) in [("n1", "a", "1"), ("n2", "a", "2"), ("n3", "a", "2"), ("n4", nil, "1"), ("n5", nil, nil)]
        {
            try field.addNode(
                id, labels: zone.map { ["zone": $0] } ?? [:], engineLabels: rack.map { ["rack": $0] } ?? [:])
        }
        field.addTasks(8, Field.spec(spread: ["Node.Labels.zone", "engine.labels.rack"]))
        #expect(count(field, by: \.id) == ["n1": 2, "n2": 1, "n3": 1, "n4": 2, "n5": 2])
    }

    @Test(arguments: ["node.hostname", "node.labels.", "", "node.labelszone"])
    func `what is no label is passed over`(_ descriptor: String) throws {
        var field = Field()
        for (id, zone) in [("n1", "a"), ("n2", "b"), ("n3", "b")] { try field.addNode(id, labels: ["zone": zone]) }
        field.addTasks(3, Field.spec(spread: [descriptor]))
        #expect(count(field, by: \.id) == ["n1": 1, "n2": 1, "n3": 1])
        field.tasks = []
        field.addTasks(4, Field.spec(spread: [descriptor, "node.labels.zone"]))
        #expect(count(field, by: { $0.spec.labels["zone"] ?? "" }) == ["a": 2, "b": 2])
    }

    @Test func `of groups with as many tasks of the service the emptier one is taken`() throws {
        var field = Field()
        for (id, zone) in [("n1", "a"), ("n2", "b"), ("n3", "b")] { try field.addNode(id, labels: ["zone": zone]) }
        for service in 1...6 { field.addTasks(1, of: "s\(service)", Field.spec(spread: ["node.labels.zone"])) }
        #expect(count(field, by: \.id) == ["n1": 2, "n2": 2, "n3": 2])
    }

    /// Replays what was decided: each task went to a group that had fewest of the service among those that could take
    /// it, at each level; and as many found a node as without any preference.
    @Test(arguments: 0..<200)
    func `preferences never keep a task waiting, and each goes to a group with the fewest`(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        var field = Field()
        for index in 0..<draw(1...12) {
            var labels: [String: String] = [:]
            if draw(0...4) > 0 { labels["zone"] = "z\(draw(0...2))" }
            if draw(0...4) > 0 { labels["rack"] = "r\(draw(0...3))" }
            try field.addNode("n\(100 + index)", labels: labels, isOpen: draw(0...5) > 0)
        }
        let levels = ["node.labels.zone", "node.labels.rack"]
        let limit = draw(0...3)
        let spec = Field.spec(spread: Array(levels.prefix(draw(1...2))), replicasMax: UInt64(limit))
        field.addTasks(draw(1...30), spec)
        // Some of the service's tasks run already, also where none may go any more.
        for index in field.tasks.indices where draw(0...3) == 0 {
            field.tasks[index].nodeID = field.nodes[draw(0...field.nodes.count - 1)].id
            (field.tasks[index].status.state, field.tasks[index].desiredState) = (.running, .running)
        }
        var counts: [ObjectID: Int] = [:]
        for task in field.tasks { if let node = task.nodeID { counts[node, default: 0] += 1 } }
        var plain = field
        for index in plain.tasks.indices { plain.tasks[index].spec.placement?.preferences = nil }
        let placed = field.schedule().filter { $0.nodeID != nil }
        #expect(placed.count == plain.schedule().filter { $0.nodeID != nil }.count)
        for task in placed {
            var group = field.nodes
            let chosen = try #require(field.node(task.nodeID))
            for key in ["zone", "rack"].prefix(spec.placement?.preferences?.count ?? 0) {
                let parts = Dictionary(grouping: group) { $0.spec.labels[key] ?? "" }
                func load(_ nodes: [Node]) -> Int { nodes.reduce(0) { $0 + (counts[$1.id] ?? 0) } }
                let open = parts.filter { _, nodes in
                    nodes.contains {
                        $0.spec.availability == "active" && (limit == 0 || (counts[$0.id] ?? 0) < limit)
                    }
                }
                group = try #require(parts[chosen.spec.labels[key] ?? ""])
                #expect(load(group) == open.values.map(load).min(), "\(key) of \(task.id)")
            }
            #expect(
                counts[chosen.id] ?? 0
                    == group.filter { $0.spec.availability == "active" }.map { counts[$0.id] ?? 0 }.min())
            counts[chosen.id, default: 0] += 1
        }
    }
}
