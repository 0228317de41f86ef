import NameService
import SwarmCore
import Testing

struct NotAnsweredHere: Error { var resolution: Resolution }

/// The answers of a container's name server, case by case.
@Suite struct ServiceResolverTests {
    private func resolve(
        _ bytes: [UInt8], isStream: Bool = false, networks: [String] = ["net1"], forwards: Bool = true,
        ndots: Int = 0, replicas: Int = 3, seed: UInt64 = 1
    ) -> Resolution {
        var generator = SeededGenerator(seed: seed)
        return ServiceResolver.resolve(
            bytes, isStream: isStream, in: directory(replicas: replicas),
            scope: ResolverScope(networks: networks, forwardsUpstream: forwards, ndots: ndots), using: &generator)
    }

    private func reply(_ resolution: Resolution) throws -> Reply {
        guard case .answer(let bytes) = resolution else {
            throw NotAnsweredHere(resolution: resolution)
        }
        return try #require(Reply(bytes))
    }

    @Test(arguments: [
        ("web", ["10.0.1.2"]), ("WeB", ["10.0.1.2"]), ("www", ["10.0.1.2"]), ("web.app", ["10.0.1.2"]),
        ("tasks.web", ["10.0.1.11", "10.0.1.12", "10.0.1.13"]), ("tasks.www", ["10.0.1.11", "10.0.1.12", "10.0.1.13"]),
        ("tasks.web.app", ["10.0.1.11", "10.0.1.12", "10.0.1.13"]), ("web.2", ["10.0.1.12"]), ("2.web", ["10.0.1.12"]),
        ("web.2.task2", ["10.0.1.12"]), ("web.2.task2.app", ["10.0.1.12"]), ("c0ffee000003", ["10.0.1.13"]),
        ("api", ["10.0.1.200", "10.0.1.201"]), ("tasks.api", ["10.0.1.200", "10.0.1.201"]), ("apihost", ["10.0.1.200"]),
    ])
    func `names of services, tasks and containers`(name: String, expected: [String]) throws {
        let found = try reply(resolve(query(name)))
        #expect(found.code == .noError)
        #expect(found.addresses.sorted() == expected)
        #expect(found.timeToLive == ServiceResolver.timeToLive)
        #expect(found.id == 0x1234)
    }

    @Test func `a name on two networks is the first network's, unless the other is named`() throws {
        #expect(try reply(resolve(query("web"), networks: ["net1", "net2"])).addresses == ["10.0.1.2"])
        #expect(try reply(resolve(query("web"), networks: ["net2", "net1"])).addresses == ["10.0.2.2"])
        #expect(try reply(resolve(query("web.db"), networks: ["net1", "net2"])).addresses == ["10.0.2.2"])
    }

    @Test func `a network that the container is not on has no names`() {
        guard case .forward = resolve(query("web.db")) else {
            Issue.record("web.db must not be known on net1")
            return
        }
    }

    /// Docker leaks such names to the host's servers, and a wildcard there answers.
    @Test(arguments: ["idle", "tasks.idle", "tasks.down"])
    func `a service without a running task is answered here, with nothing`(name: String) throws {
        let found = try reply(resolve(query(name)))
        #expect(found.code == .noError)
        #expect(found.addresses.isEmpty)
    }

    @Test func `a balanced service without a running task keeps its address`() throws {
        #expect(try reply(resolve(query("down"))).addresses == ["10.0.1.3"])
    }

    @Test(arguments: [28, 15, 16, 33] as [UInt16])
    func `other types of a known name are empty, not absent`(type: UInt16) throws {
        let found = try reply(resolve(query("web", type: type)))
        #expect(found.code == .noError)
        #expect(found.addresses.isEmpty)
    }

    @Test(arguments: [
        ("11.1.0.10.in-addr.arpa", "web.1.task1.app."), ("2.1.0.10.in-addr.arpa", "web.app."),
        ("201.1.0.10.in-addr.arpa", "api.2.t.app."),
    ])
    func `addresses have names`(name: String, expected: String) throws {
        #expect(try reply(resolve(query(name, type: Question.ptr))).names == [expected])
    }

    @Test func `unknown names go upstream, except from internal networks and single labels under ndots`() throws {
        guard case .forward(let message) = resolve(query("example.org")) else {
            Issue.record("example.org must be forwarded")
            return
        }
        #expect(message.question.name.description == "example.org.")
        #expect(try reply(resolve(query("example.org"), forwards: false)).code == .noSuchName)
        #expect(try reply(resolve(query("example"), ndots: 1)).code == .noSuchName)
        guard case .forward = resolve(query("9.9.9.9.in-addr.arpa", type: Question.ptr)) else {
            Issue.record("an unknown address must be forwarded")
            return
        }
    }

    @Test func `what does not fit says so over UDP, and all of it comes over TCP or with a larger buffer`() throws {
        let small = try reply(resolve(query("tasks.web"), replicas: 100))
        #expect(small.isTruncated)
        #expect(small.addresses.count == 30)
        let stream = try reply(resolve(query("tasks.web"), isStream: true, replicas: 100))
        #expect(!stream.isTruncated)
        #expect(Set(stream.addresses).count == 100)
        let large = try reply(resolve(query("tasks.web", payload: 4096), replicas: 100))
        #expect(!large.isTruncated)
        #expect(Set(large.addresses).count == 100)
        let middle = try reply(resolve(query("tasks.web", payload: 1232), replicas: 100))
        #expect(middle.isTruncated)
    }

    @Test func `several addresses come in every order`() throws {
        var first: Set<String> = []
        for seed in 0..<40 { first.insert(try reply(resolve(query("api"), seed: UInt64(seed))).addresses[0]) }
        #expect(first.count == 2)
    }

    @Test func `what is no query is refused or dropped`() {
        #expect(resolve([]) == .drop)
        #expect(resolve(Array(query("web").prefix(11))) == .drop)
        var response = query("web")
        response[2] |= 0x80
        #expect(resolve(response) == .drop)
        guard case .malformed(let bytes) = resolve(Array(query("web").dropLast(3))) else {
            Issue.record("a cut question must be answered with FORMERR")
            return
        }
        #expect(bytes[3] & 15 == 1)
        guard case .answer(let update) = resolve(query("web", flags: 0x2800)) else {
            Issue.record("an UPDATE must be answered")
            return
        }
        #expect(update[3] & 15 == 4)
    }

    @Test func `pointers that lead nowhere end`() {
        var loop = Array(query("web").prefix(12))
        loop += [0xC0, 0x0C, 0, 1, 0, 1]
        guard case .malformed = resolve(loop) else {
            Issue.record("a pointer to itself must be malformed")
            return
        }
    }

    @Test func `twenty thousand damaged packets neither trap nor answer with more than was asked`() {
        var generator = SeededGenerator(seed: 42)
        let originals = [query("tasks.web", payload: 4096), query("11.1.0.10.in-addr.arpa", type: Question.ptr), query("web")]
        for round in 0..<20_000 {
            var bytes = originals[round % originals.count]
            for _ in 0...(generator.next() % 4) {
                bytes[Int(generator.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: generator.next())
            }
            if generator.next() % 8 == 0 { bytes = Array(bytes.prefix(Int(generator.next() % UInt64(bytes.count)))) }
            if case .answer(let reply) = resolve(bytes) { #expect(reply.count <= ServiceResolver.maximumPayload) }
        }
    }
}
