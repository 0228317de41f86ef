import Allocation
import Consensus
import Store
import SwarmCore
import SwarmModel
import Testing

@testable import SwarmNode

/// A leader of one whose disk answers when the test says so.
private struct SlowDisk {
    var machine = NodeMachine(
        nodeID: "n1", agentFacts: NodeHarness.facts, allocationFacts: AllocationFacts(), codec: TableCodec(), seed: 1)
    var written: [LogBatch] = []
    var answers: [UInt64: Result<ControlResponse, SwarmError>] = [:]
    private var now = Instant(nanoseconds: 1_000_000_000)

    init() {
        send(.recovered(RecoveredState()))
        var node = Node(id: "n1")
        node.spec = NodeSpec(role: "manager", availability: "active")
        send(.bootstrap(ticket: 0, [.create(.cluster(Cluster(id: "c1"))), .create(.node(node))]))
        while written.contains(where: { !$0.entries.isEmpty }) { sync() }
        (written, answers) = ([], [:])
    }

    mutating func send(_ event: NodeEvent) {
        now = now + .microseconds(1)
        for effect in machine.receive(event, at: now, time: Timestamp(nanoseconds: now.nanoseconds)) {
            switch effect {
            case .persist(let batch): written.append(batch)
            case .respond(let ticket, let result): answers[ticket] = result
            case .plan: send(.planned(Plan(actions: [])))
            default: break
            }
        }
    }

    /// The disk has everything that was written so far.
    mutating func sync() {
        guard let last = written.last else { return }
        written = []
        send(.persisted(sequence: last.sequence))
    }

    mutating func createConfig(_ ticket: UInt64, _ name: String) {
        send(.request(ticket: ticket, .createConfig(ConfigSpec(name: name, data: "YQ==")), freshTokens: nil))
    }
}

@Suite struct PipelineTests {
    @Test func `writes follow one another without waiting for the disk, and no answer comes before it`() {
        var node = SlowDisk()
        for ticket in 1...2 { node.createConfig(UInt64(ticket), "config-\(ticket)") }
        let indexes = node.written.flatMap(\.entries).map(\.index)
        #expect(indexes.count == 2)
        #expect(indexes == Array((indexes.first ?? 0)..<(indexes.first ?? 0) + 2))
        #expect(node.answers.isEmpty)
        #expect(node.machine.store.configs.isEmpty)
        node.sync()
        #expect(node.answers.keys.sorted() == [1, 2])
        #expect(node.machine.store.configs.count == 2)
    }

    @Test func `what finds no room in the pipeline shares the next batch`() {
        var node = SlowDisk()
        for ticket in 1...10 { node.createConfig(UInt64(ticket), "config-\(ticket)") }
        #expect(node.written.map(\.entries.count) == Array(repeating: 1, count: Pipeline.batchesMax))
        node.sync()
        #expect(node.answers.count == Pipeline.batchesMax)
        #expect(node.written.map(\.entries.count) == [10 - Pipeline.batchesMax])
        node.sync()
        #expect(node.answers.count == 10)
    }

    @Test func `a refusal that rests on a write under way comes after that write`() throws {
        var node = SlowDisk()
        node.createConfig(1, "same")
        node.createConfig(2, "same")
        #expect(node.answers.isEmpty)
        node.sync()
        #expect(throws: Never.self) { try node.answers[1]?.get() }
        #expect(throws: SwarmError(.conflict, "")) { try node.answers[2]?.get() }
    }

    @Test func `of two changes of one version the first is made, and the next version is the one it leaves`() throws {
        var node = SlowDisk()
        node.createConfig(1, "one")
        node.sync()
        let config = try #require(node.machine.store.configs.named("one"))
        func update(_ label: String, _ version: UInt64) -> ControlRequest {
            .updateConfig(
                id: config.id, version: version,
                ConfigSpec(name: "one", labels: ["label": label], data: config.spec.data))
        }
        node.send(.request(ticket: 2, update("a", config.version.index), freshTokens: nil))
        node.send(.request(ticket: 3, update("b", config.version.index), freshTokens: nil))
        node.send(.request(ticket: 4, update("c", config.version.index + 1), freshTokens: nil))
        node.sync()
        #expect(node.answers[2] == .success(.done))
        #expect(throws: SwarmError.self) { try node.answers[3]?.get() }
        #expect(node.answers[4] == .success(.done))
        #expect(node.machine.store.configs[config.id]?.spec.labels == ["label": "c"])
    }
}
