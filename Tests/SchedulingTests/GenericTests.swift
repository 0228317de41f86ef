import Store
import SwarmCore
import SwarmModel
import Testing

@testable import Scheduling

@Suite struct GenericTests {
    private let refusal = "no suitable node (insufficient resources on 1 node)"

    @Test func `counted resources are reserved, and what is left waits with Docker's words`() throws {
        var field = Field()
        try field.addNode("n1", generic: ["ssd=3"])
        field.addTasks(2, Field.spec(generic: ["ssd": 2]))
        let changed = field.schedule()
        #expect(changed.map(\.nodeID) == ["n1", nil])
        #expect(changed[0].genericResources == [.init(discrete: .init(kind: "ssd", value: 2))])
        #expect(changed[0].genericEnvironment == ["DOCKER_RESOURCE_SSD=2"])
        #expect(changed[1].status.err == refusal)
    }

    @Test func `named resources are given one by one, and those of running tasks to nobody else`() throws {
        var field = Field()
        try field.addNode("n1", generic: ["gpu=A", "gpu=B", "gpu=C", "gpu=D"])
        field.addTasks(3, Field.spec(generic: ["gpu": 1]))
        (field.tasks[0].nodeID, field.tasks[0].status.state) = ("n1", .running)
        field.tasks[0].genericResources = [.init(named: .init(kind: "gpu", value: "B"))]
        field.addTasks(2, of: "wide", Field.spec(generic: ["gpu": 2]))
        let changed = field.schedule()
        #expect(changed.map { $0.genericResources?.compactMap(\.named?.value) } == [["A"], ["C"], nil, nil])
        #expect(changed.suffix(2).map(\.status.err) == [refusal, refusal])
        field.tasks[0].status.state = .shutdown
        #expect(field.schedule().map { $0.genericEnvironment } == [
            ["DOCKER_RESOURCE_GPU=A"], ["DOCKER_RESOURCE_GPU=B"], ["DOCKER_RESOURCE_GPU=C,D"], [],
        ])
    }

    @Test func `claims go to the nodes that offer enough`() throws {
        var field = Field()
        try field.addNode("n1", generic: ["gpu=A", "ssd=1"])
        try field.addNode("n2", generic: ["gpu=4"])
        try field.addNode("n3")
        field.addTasks(5, Field.spec(generic: ["gpu": 1]))
        let changed = field.schedule()
        let counts = Dictionary(changed.map { ($0.nodeID ?? "", 1) }, uniquingKeysWith: +)
        #expect(counts == ["n1": 1, "n2": 4])
    }

    @Test func `claims that no number can hold are refused, not added up`() throws {
        var field = Field()
        try field.addNode("n1", generic: ["gpu=1"])
        var spec = Field.spec(generic: ["gpu": .max])
        let claim = try #require(spec.resources?.reservations?.genericResources?.first)
        spec.resources?.reservations?.genericResources = [claim, claim]
        field.addTasks(1, spec)
        #expect(field.schedule().first?.status.err == refusal)
    }

    /// Whatever is placed and removed, no name is held twice and no node gives more than it has.
    @Test(arguments: 0..<100)
    func `nothing is given twice, and nothing that is free is withheld`(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
        var field = Field()
        for index in 0..<draw(1...4) {
            let names = (0..<draw(0...5)).map { "gpu=\(Character(UnicodeScalar(UInt8(65 + $0))))" }
            let count = draw(0...5)
            try field.addNode("n\(index)", generic: names + ["ssd=\(count)"])
        }
        for round in 0..<8 {
            let kind = draw(0...1) == 0 ? "gpu" : "ssd"
            field.addTasks(draw(1...4), of: "s\(round)", Field.spec(generic: [kind: Int64(draw(1...2))]))
            let changed = Dictionary(field.schedule().map { ($0.id, $0) }, uniquingKeysWith: { $1 })
            for index in field.tasks.indices {
                if var task = changed[field.tasks[index].id] {
                    if task.nodeID != nil { task.status.state = .running }
                    field.tasks[index] = task
                }
            }
            var held: Set<String> = []
            var used: [ObjectID: Int64] = [:]
            for task in field.tasks where task.status.state == .running {
                let given = task.genericResources ?? []
                let asked = task.spec.reservedResources.genericCounts
                #expect(Resources(genericResources: given).genericCounts == asked)
                for resource in given {
                    let node = task.nodeID ?? ""
                    if let named = resource.named { #expect(held.insert("\(node) \(named.value)").inserted) }
                    if let discrete = resource.discrete { used[node, default: 0] += discrete.value }
                }
            }
            for node in field.nodes {
                let (all, ssd) = (node.description.resources.genericCounts, used[node.id] ?? 0)
                #expect(ssd <= all["ssd"] ?? 0)
                let names = Int64(held.filter { $0.hasPrefix(node.id + " ") }.count)
                for task in field.tasks where task.nodeID == nil {
                    let asked = task.spec.reservedResources.genericCounts
                    let free = ["ssd": (all["ssd"] ?? 0) - ssd, "gpu": (all["gpu"] ?? 0) - names]
                    #expect(asked.contains { (free[$0.key] ?? 0) < $0.value }, "\(task.id) could run on \(node.id)")
                }
            }
            for index in field.tasks.indices.reversed() where draw(0...2) == 0 { field.tasks.remove(at: index) }
        }
    }
}
