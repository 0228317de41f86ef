import SwarmCore
import Testing

@Suite struct TimestampTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"), (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_795_403_339_617_024_649, "2026-11-23T03:08:59.617024649Z"), (-1, "1969-12-31T23:59:59.999999999Z"),
    ] as [(Int64, String)])
    func `times print as Go prints them and parse back`(nanoseconds: Int64, text: String) {
        #expect(Timestamp(nanoseconds: nanoseconds).description == text)
        #expect(Timestamp(text)?.nanoseconds == nanoseconds)
    }

    @Test func `the zero time is Go's, offsets count, nonsense is refused`() {
        #expect(Timestamp.zero.description == "0001-01-01T00:00:00Z")
        #expect(Timestamp("0001-01-01T00:00:00Z") == .zero)
        #expect(Timestamp("1970-01-01T01:00:00+01:00")?.nanoseconds == 0)
        for text in ["", "now", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z"] {
            #expect(Timestamp(text) == nil, "\(text)")
        }
    }
}

@Suite struct AddressTests {
    @Test func `addresses are strict and subnets know what they hold`() throws {
        #expect(IPv4Address("10.0.1.2")?.description == "10.0.1.2")
        for text in ["10.0.1", "10.0.1.256", "010.0.1.2", "10.0.1.2 ", "a.b.c.d"] { #expect(IPv4Address(text) == nil) }
        let subnet = try #require(IPv4Subnet("10.0.1.7/24"))
        #expect(subnet.canonical.description == "10.0.1.0/24")
        #expect(subnet.broadcast.description == "10.0.1.255")
        #expect(subnet.overlaps(try #require(IPv4Subnet("10.0.0.0/8"))))
        #expect(!subnet.overlaps(try #require(IPv4Subnet("10.0.2.0/24"))))
        #expect(IPv4Subnet("10.0.1.0/33") == nil)
    }
}

@Suite struct IdentifierTests {
    @Test func `identifiers have 25 characters of base 36 and replay from a seed`() {
        var first = SeededGenerator(seed: 1)
        var second = SeededGenerator(seed: 1)
        let id = Identifier.random(using: &first)
        #expect(id.count == 25)
        #expect(id.allSatisfy { $0.isNumber || ("a"..."z").contains($0) })
        #expect(id == Identifier.random(using: &second))
        #expect(Identifier.randomHex(using: &first).count == 64)
    }
}

@Suite struct BoundedQueueTests {
    @Test func `a full queue refuses and counts`() {
        var queue = BoundedQueue<Int>(capacity: 2)
        let taken = [1, 2, 3].map { queue.append($0) }
        #expect(taken == [true, true, false])
        #expect(queue.refused == 1)
        let first = queue.popFirst()
        #expect(first == 1)
        let fits = queue.append(4)
        #expect(fits)
        let rest = [queue.popFirst(), queue.popFirst(), queue.popFirst()]
        #expect(rest == [2, 4, nil])
    }
}

@Suite struct TimeTests {
    /// A restart delay of centuries wrapped round, and tasks were started again without any.
    @Test func `what lies beyond time's end is its end`() {
        let (longest, shortest) = (Duration.nanoseconds(Int64.max), Duration.nanoseconds(Int64.min))
        let late = Timestamp(nanoseconds: 5) + longest
        #expect(late == Timestamp(nanoseconds: .max))
        let early = Instant(nanoseconds: -5) + shortest
        #expect(early == Instant(nanoseconds: .min))
        let apart = late - Timestamp(nanoseconds: -1)
        #expect(apart == longest)
        let since = Timestamp.zero - Timestamp(nanoseconds: 1)
        #expect(since == shortest)
        #expect(Duration.seconds(Int64.max / 1_000_000_000 + 1).wholeNanoseconds == .max)
    }

    /// A client's `since` beyond that ended the daemon.
    @Test func `seconds of any size make a time, and no number makes none`() {
        #expect(Timestamp(seconds: 1.5) == Timestamp(nanoseconds: 1_500_000_000))
        #expect(Timestamp(seconds: 1e300) == Timestamp(nanoseconds: .max))
        #expect(Timestamp(seconds: -.infinity).map { $0 < Timestamp(seconds: 0) ?? .zero } == true)
        #expect(Timestamp(seconds: .nan) == nil)
    }
}
