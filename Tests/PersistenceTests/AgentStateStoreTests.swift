import ClusterSecurity
import Dispatching
import Glibc
import SwarmCore
import SwarmModel
import Synchronization
import Testing

@testable import Persistence

@Suite struct AgentStateStoreTests {
    private final class Warnings: Sendable {
        private let texts = Mutex<[String]>([])
        var all: [String] { texts.withLock { $0 } }
        func take(_ error: SwarmError) { texts.withLock { $0.append(error.description) } }
    }

    private let scratch = Scratch()
    private let warnings = Warnings()
    private var path: String { scratch.path + "/agent.state" }

    private func store(_ keys: SealingKey...) -> AgentStateStore {
        let warnings = self.warnings
        let ring = KeyRing(purpose: .secret, primary: keys[0], older: Array(keys.dropFirst()))
        return AgentStateStore(path: path, ring: ring) { warnings.take($0) }
    }

    /// Everything that an assignment can hold, with every field that travels.
    private func assignment(tasks: ClosedRange<Int> = 1...3) -> Assignment {
        var assignment = Assignment(nodeID: "n1")
        var network = Network(id: "net", version: ObjectVersion(index: 4))
        network.spec = NetworkSpec(name: "front", labels: ["a": "b"])
        assignment.networks = [network]
        assignment.secrets = [
            Secret(id: "s", version: ObjectVersion(index: 5), spec: SecretSpec(name: "key", data: "aHVzaC1odXNo"))
        ]
        assignment.configs = [
            Config(id: "c", version: ObjectVersion(index: 6), spec: ConfigSpec(name: "conf", data: "eHl6"))
        ]
        var service = ServiceEndpoints(id: "web", name: "web", isRoundRobin: false)
        service.virtualIPs = ["net": IPv4Address(0x0A00_0002)]
        service.aliases = ["net": ["www"]]
        service.networks = ["net"]
        service.ports = [PortConfig(proto: "tcp", targetPort: 80, publishedPort: 8080, publishMode: "ingress")]
        service.endpoints = [
            TaskEndpoint(
                taskID: "t9", nodeID: "n2", taskName: "web.9", containerID: "abc", hostname: "host",
                addresses: ["net": IPv4Address(0x0A00_0009)], isServing: false, nodeAddress: IPv4Address(0xC612_000B))
        ]
        assignment.services = [service]
        assignment.tasks = tasks.map { number in
            var task = SwarmTask(id: "t\(number)", version: ObjectVersion(index: UInt64(10 + number)))
            task.createdAt = Timestamp(nanoseconds: 1_800_000_000_123_456_789)
            (task.serviceID, task.slot, task.nodeID) = ("web", number, "n1")
            task.spec.containerSpec = ContainerSpec(image: "busybox")
            task.status.state = .running
            task.status.containerStatus = ContainerStatus(containerID: "c\(number)", pid: 42, exitCode: 0)
            task.registryAuth = "secret"
            return task
        }
        return assignment
    }

    @Test func `what was saved last is loaded`() async throws {
        let writing = store(Rings.first)
        #expect(await writing.load() == nil)
        var held = HeldAssignment(epoch: 2, assignment: assignment())
        writing.save(held)
        held.assignment.tasks.remove(at: 1)
        held.assignment.tasks[0].version.index = 90
        held.assignment.tasks[0].desiredState = .shutdown
        held.assignment.services[0].endpoints = []
        writing.save(held)
        await writing.shutdown()
        #expect(await store(Rings.first).load() == held)
        #expect(warnings.all == [])
    }

    @Test func `a step after a restart changes only what changed`() async throws {
        let first = store(Rings.first)
        first.save(HeldAssignment(epoch: 1, assignment: assignment()))
        await first.shutdown()
        let before = try rows()
        let second = store(Rings.first)
        var held = try #require(await second.load())
        held.assignment.tasks[0].version.index = 99
        second.save(held)
        await second.shutdown()
        let after = try rows()
        #expect(before.filter { after[$0.key] != $0.value }.keys.sorted() == ["task/t1"])
        #expect(await store(Rings.first).load() == held)
    }

    private func rows() throws -> [String: [SQLiteConnection.Value]] {
        let connection = try SQLiteConnection(path: path)
        var rows: [String: [SQLiteConnection.Value]] = [:]
        for row in try connection.query("SELECT key, fingerprint, record FROM item") {
            if case .text(let key) = row[0] { rows[key] = row }
        }
        return rows
    }

    @Test func `versions of another epoch are not taken for the same items`() async throws {
        let first = store(Rings.first)
        first.save(HeldAssignment(epoch: 1, assignment: assignment()))
        await first.shutdown()
        let second = store(Rings.first)
        var held = try #require(await second.load())
        held.epoch = 2
        // The same version, but another task: made anew from an older backup.
        held.assignment.tasks[0].slot = 77
        second.save(held)
        await second.shutdown()
        #expect(await store(Rings.first).load() == held)
    }

    @Test func `no secret lies open, and another key opens nothing`() async throws {
        let writing = store(Rings.first)
        writing.save(HeldAssignment(epoch: 1, assignment: assignment()))
        await writing.shutdown()
        for word in ["aHVzaC1odXNo", "busybox", "web.9"] {
            #expect(!Files.read(path).contains(Array(word.utf8)))
        }
        #expect(await store(Rings.second, Rings.first).load()?.assignment == assignment())
        #expect(await store(Rings.second).load() == nil)
        #expect(warnings.all.count == 1)
    }

    @Test(arguments: [
        "DELETE FROM item WHERE key = 'task/t1'", "UPDATE item SET fingerprint = 3 WHERE key = 'task/t1'",
        "UPDATE item SET record = (SELECT record FROM item WHERE key = 'task/t2') WHERE key = 'task/t1'",
        "UPDATE item SET key = 'task/t8' WHERE key = 'task/t1'", "UPDATE held SET record = x'00'",
        "INSERT INTO item VALUES ('nonsense', 1, x'00')", "DROP TABLE item",
    ])
    func `what cannot be trusted is as if it were not there`(change: String) async throws {
        let writing = store(Rings.first)
        writing.save(HeldAssignment(epoch: 1, assignment: assignment()))
        await writing.shutdown()
        try SQLiteConnection(path: path).execute(change)
        let second = store(Rings.first)
        #expect(await second.load() == nil)
        #expect(warnings.all.count == 1)
        // It begins anew.
        let held = HeldAssignment(epoch: 1, assignment: assignment(tasks: 4...5))
        second.save(held)
        await second.shutdown()
        #expect(await store(Rings.first).load() == held)
    }

    @Test func `a file that is none is replaced`() async throws {
        Files.write(path, Array("this is no database, but longer than a header of one hundred bytes".utf8) + [UInt8](repeating: 7, count: 200))
        let writing = store(Rings.first)
        #expect(await writing.load() == nil)
        #expect(warnings.all.count == 1)
        let held = HeldAssignment(epoch: 1, assignment: assignment())
        writing.save(held)
        await writing.shutdown()
        #expect(await store(Rings.first).load() == held)
    }

    @Test func `of many changes the newest counts, and leaving removes the file`() async throws {
        let writing = store(Rings.first)
        for count in 1...300 { writing.save(HeldAssignment(epoch: 1, assignment: assignment(tasks: 1...count))) }
        await writing.shutdown()
        let second = store(Rings.first)
        #expect(await second.load()?.assignment.tasks.count == 300)
        await second.erase()
        #expect(Files.read(path).isEmpty)
        #expect(await store(Rings.first).load() == nil)
        #expect(warnings.all == [])
    }
}
