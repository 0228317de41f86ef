import SwarmCore
import Testing

@testable import SwarmDaemon

@Suite struct GossipKeyRotationTests {
    private let made = Timestamp(nanoseconds: 1_000_000_000_000_000_000)

    private func next(_ keys: [String], after age: Duration) -> [String]? {
        GossipKeyRotation.next(keys: keys, changedAt: made, at: made + age) { "new" }
    }

    @Test func `a key is known everywhere before anybody seals with it, and kept until nobody does`() {
        var keys = ["old"]
        #expect(next(keys, after: GossipKeyRotation.interval - .seconds(1)) == nil)
        keys = next(keys, after: GossipKeyRotation.interval) ?? []
        #expect(keys == ["old", "new"], "the old key still seals")
        #expect(next(keys, after: GossipKeyRotation.spread - .seconds(1)) == nil)
        keys = next(keys, after: GossipKeyRotation.spread) ?? []
        #expect(keys.first == "new" && keys.contains("old"), "the new key seals, the old one opens")
        #expect(next(keys, after: .seconds(1)) == nil)
        keys = next(keys, after: GossipKeyRotation.spread) ?? []
        #expect(keys == ["new"])
        #expect(
            GossipKeyRotation.spread > GossipKeyRotation.pollInterval * 2, "everybody asks twice meanwhile")
    }
}

@Suite struct HostAndPortTests {
    private let interfaces: [(name: String, address: IPv4Address)] = [
        ("eth0", IPv4Address(198 << 24 | 18 << 16 | 11)), ("eth1", IPv4Address(10 << 24 | 1)),
    ]

    @Test(arguments: [
        ("eth0", "198.18.0.11"), ("eth1:4000", "10.0.0.1"), ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:1", "192.0.2.7"),
    ])
    func `an address may be an interface's name`(_ text: String, _ address: String) {
        #expect(HostAndPort.resolve(text, interfaces: interfaces)?.description == address)
    }

    @Test func `what is neither is no address`() {
        #expect(HostAndPort.resolve("eth7", interfaces: interfaces) == nil)
        #expect(HostAndPort.resolve("", interfaces: interfaces) == nil)
    }

    @Test func `ports are numbers`() throws {
        #expect(try HostAndPort.port(of: "eth0") == 2377)
        #expect(try HostAndPort.port(of: "eth0:2378") == 2378)
        for text in ["eth0:", "eth0:0", "eth0:65536", "eth0:x", "a:b:c"] {
            #expect(throws: SwarmError.self) { try HostAndPort.port(of: text) }
        }
    }
}
