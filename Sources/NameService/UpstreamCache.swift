package import SwarmCore

/// Answers of the upstream name servers, kept for as long as their records allow (RFC 1035 §7.4, RFC 2308 §5).
///
/// Time comes in; the oldest entry goes when there is no room.
package struct UpstreamCache: Sendable {
    package static let entriesMax = 4096
    /// Longest time an answer is kept, in seconds, whatever its records say.
    package static let timeToLiveMax: UInt32 = 3600
    /// The same for "there is no such name" (RFC 2308 §5 recommends hours; names come and go faster here).
    package static let negativeTimeToLiveMax: UInt32 = 300

    /// What makes two queries ask the same thing of the same servers.
    package struct Key: Sendable, Hashable {
        let question: Question
        let servers: [String]
        let hasEDNS: Bool
        let wantsSignatures: Bool
        /// Recursion desired and checking disabled.
        let flags: UInt16

        package init(_ query: Message, servers: [String]) {
            var question = query.question
            question.name = question.name.lowercased
            (self.question, self.servers) = (question, servers)
            hasEDNS = query.payloadSize != nil
            wantsSignatures = query.wantsSignatures
            flags = query.flags & 0x0110
        }
    }

    private struct Entry: Sendable {
        var reply: [UInt8]
        var timeToLiveOffsets: [Int]
        var storedAt: Instant
        var lifetime: UInt32
    }

    private var entries: [Key: Entry] = [:]
    /// Keys in order of arrival, as a ring.
    private var ring: [Key?] = []
    private var next = 0

    package init() {}
    package var count: Int { entries.count }

    /// The kept answer as a reply to `query`: its identifier, its spelling of the name, its records aged.
    package func answer(_ query: Message, key: Key, at now: Instant) -> [UInt8]? {
        guard let entry = entries[key] else { return nil }
        let age = (now - entry.storedAt).components.seconds
        guard age >= 0, age < Int64(entry.lifetime) else { return nil }
        var reply = entry.reply
        for offset in entry.timeToLiveOffsets {
            let left = Self.long(reply, offset) - min(Self.long(reply, offset), UInt32(age))
            for index in 0..<4 { reply[offset + index] = UInt8(left >> (24 - 8 * UInt32(index)) & 255) }
        }
        return Self.addressed(reply, to: query)
    }

    /// Keeps a reply, if anything in it says for how long.
    package mutating func store(_ reply: [UInt8], key: Key, at now: Instant) {
        var reader = MessageReader(reply)
        guard let (message, records) = try? reader.message(), !message.isTruncated,
            let lifetime = Self.lifetime(message, records, reply), lifetime > 0
        else { return }
        let aged = records.filter { $0.type != Question.opt }
        let entry = Entry(
            reply: reply, timeToLiveOffsets: aged.map(\.timeToLiveOffset), storedAt: now, lifetime: lifetime)
        let isNew = entries.updateValue(entry, forKey: key) == nil
        guard isNew else { return }
        if ring.count < Self.entriesMax {
            ring.append(key)
        } else {
            if let oldest = ring[next] { entries[oldest] = nil }
            ring[next] = key
            next = (next + 1) % Self.entriesMax
        }
    }

    /// Seconds to keep it: the shortest record, or for an absence the SOA's (RFC 2308 §5); nil to keep nothing.
    private static func lifetime(_ message: Message, _ records: [Record], _ reply: [UInt8]) -> UInt32? {
        guard message.code == .noError || message.code == .noSuchName else { return nil }
        let answers = Int(reply[6]) << 8 | Int(reply[7])
        if message.code == .noSuchName || answers == 0 {
            guard let authority = records.first(where: { $0.type == Question.soa }), authority.dataLength >= 4
            else { return nil }
            let minimum = long(reply, authority.dataOffset + authority.dataLength - 4)
            return min(authority.timeToLive, minimum, negativeTimeToLiveMax)
        }
        let shortest = records.filter { $0.type != Question.opt }.map(\.timeToLive).min() ?? 0
        return min(shortest, timeToLiveMax)
    }

    private static func long(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        bytes[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Gives a reply the identifier and the spelling of the name that this asker used.
    package static func addressed(_ reply: [UInt8], to query: Message) -> [UInt8] {
        var reply = reply
        let wire = query.question.name.wire
        guard reply.count >= Message.headerLength + wire.count else { return reply }
        (reply[0], reply[1]) = (UInt8(query.id >> 8), UInt8(query.id & 255))
        for (index, byte) in wire.enumerated() { reply[Message.headerLength + index] = byte }
        return reply
    }

    /// The reply, or its header and question with TC set when the asker takes fewer bytes (RFC 2181 §9).
    package static func fitting(_ reply: [UInt8], _ query: Message, limit: Int) -> [UInt8] {
        guard reply.count > limit else { return reply }
        var cut = ServiceResolver.respond(query, .noError)
        cut[2] |= 2
        return cut
    }
}
