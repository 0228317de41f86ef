import NameService
import SwarmCore
import Testing

@Suite struct UpstreamCacheTests {
    /// A reply with one record of the section given; an SOA's data ends with the negative TTL.
    private func reply(
        _ name: String, code: UInt8 = 0, timeToLive: UInt32 = 60, minimum: UInt32? = nil, truncated: Bool = false
    ) -> [UInt8] {
        var bytes = query(name, id: 7, flags: 0x8180)
        bytes[3] |= code
        if truncated { bytes[2] |= 2 }
        let ttl = [24, 16, 8, 0].map { UInt8(timeToLive >> $0 & 255) }
        if let minimum {
            bytes[9] = 1
            let data: [UInt8] = [0, 0] + [UInt8](repeating: 0, count: 16) + [24, 16, 8, 0].map { UInt8(minimum >> $0 & 255) }
            bytes += [0xC0, 12, 0, 6, 0, 1] + ttl + [0, UInt8(data.count)] + data
        } else {
            bytes[7] = 1
            bytes += [0xC0, 12, 0, 1, 0, 1] + ttl + [0, 4, 192, 0, 2, 1]
        }
        return bytes
    }

    private func message(_ bytes: [UInt8]) throws -> Message {
        var reader = MessageReader(bytes)
        return try reader.message().0
    }

    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func `an answer is kept while its records live, and ages`() throws {
        var cache = UpstreamCache()
        let asked = try message(query("example.org", id: 99))
        let key = UpstreamCache.Key(asked, servers: ["192.0.2.53"])
        #expect(cache.answer(asked, key: key, at: at(0)) == nil)
        cache.store(reply("example.org"), key: key, at: at(100))
        let kept = try #require(cache.answer(asked, key: key, at: at(110)))
        let fresh = try #require(Reply(kept))
        #expect(fresh.addresses == ["192.0.2.1"])
        #expect(fresh.timeToLive == 50)
        #expect(fresh.id == 99)
        #expect(cache.answer(asked, key: key, at: at(160)) == nil)
    }

    @Test func `the asker's spelling comes back`() throws {
        var cache = UpstreamCache()
        let first = try message(query("example.org"))
        cache.store(reply("example.org"), key: UpstreamCache.Key(first, servers: []), at: at(0))
        let asked = try message(query("eXaMple.OrG", id: 5))
        let found = try #require(cache.answer(asked, key: UpstreamCache.Key(asked, servers: []), at: at(1)))
        #expect(try message(found).question.name.description == "eXaMple.OrG.")
    }

    @Test func `an absence is kept for as long as its zone says, five minutes at most`() throws {
        var cache = UpstreamCache()
        let asked = try message(query("nosuch.example"))
        let key = UpstreamCache.Key(asked, servers: [])
        cache.store(reply("nosuch.example", code: 3, timeToLive: 900, minimum: 20), key: key, at: at(0))
        #expect(cache.answer(asked, key: key, at: at(19)) != nil)
        #expect(cache.answer(asked, key: key, at: at(20)) == nil)
        cache.store(reply("nosuch.example", code: 3, timeToLive: 90_000, minimum: 90_000), key: key, at: at(0))
        #expect(cache.answer(asked, key: key, at: at(299)) != nil)
        #expect(cache.answer(asked, key: key, at: at(300)) == nil)
    }

    @Test func `failures, cut answers and answers that live no time are not kept`() throws {
        var cache = UpstreamCache()
        let asked = try message(query("example.org"))
        let key = UpstreamCache.Key(asked, servers: [])
        cache.store(reply("example.org", code: 2), key: key, at: at(0))
        cache.store(reply("example.org", truncated: true), key: key, at: at(0))
        cache.store(reply("example.org", timeToLive: 0), key: key, at: at(0))
        cache.store([1, 2, 3], key: key, at: at(0))
        #expect(cache.count == 0)
    }

    @Test func `containers with other servers, and askers with other flags, have other answers`() throws {
        let asked = try message(query("example.org"))
        let keys: Set<UpstreamCache.Key> = [
            .init(asked, servers: ["192.0.2.1"]), .init(asked, servers: ["192.0.2.2"]),
            .init(try message(query("example.org", payload: 1232)), servers: ["192.0.2.1"]),
            .init(try message(query("example.org", flags: 0x0110)), servers: ["192.0.2.1"]),
        ]
        #expect(keys.count == 4)
    }

    @Test func `the oldest goes when there is no room`() throws {
        var cache = UpstreamCache()
        for number in 0..<(UpstreamCache.entriesMax + 10) {
            let name = "n\(number).example"
            cache.store(reply(name), key: UpstreamCache.Key(try message(query(name)), servers: []), at: at(0))
        }
        #expect(cache.count == UpstreamCache.entriesMax)
        let oldest = try message(query("n0.example"))
        #expect(cache.answer(oldest, key: UpstreamCache.Key(oldest, servers: []), at: at(1)) == nil)
        let kept = try message(query("n10.example"))
        #expect(cache.answer(kept, key: UpstreamCache.Key(kept, servers: []), at: at(1)) != nil)
    }

    @Test func `an answer larger than the asker takes is cut to its question`() throws {
        let asked = try message(query("example.org"))
        let cut = UpstreamCache.fitting(reply("example.org"), asked, limit: 30)
        let found = try #require(Reply(cut))
        #expect(found.isTruncated)
        #expect(found.addresses.isEmpty)
    }
}
