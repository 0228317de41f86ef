import Consensus
import Dispatching
import Membership
import SwarmCore
import SwarmModel
import SwarmNode
import SwarmWire
import Testing

@Suite struct CodecTests {
    @Test(arguments: 1...40) func `every message comes back as it was`(seed: UInt64) throws {
        var generated = Generated(seed: seed)
        for message in generated.messages() {
            let bytes = try PeerMessageCodec.encode(message)
            #expect(bytes.first == PeerMessageCodec.version)
            #expect(try PeerMessageCodec.kind(of: bytes) == PeerMessageCodec.Kind(of: message))
            #expect(try PeerMessageCodec.decode(bytes) == message)
            // Equal messages are equal bytes.
            #expect(try PeerMessageCodec.encode(PeerMessageCodec.decode(bytes)) == bytes)
        }
    }

    @Test(arguments: 1...200) func `gossip comes back as it was and keeps to its size`(seed: UInt64) throws {
        var generated = Generated(seed: seed)
        for kind in 0..<Generated.gossipKinds {
            let datagram = generated.datagram(kind)
            let bytes = GossipCodec.encode(datagram)
            #expect(bytes.count <= datagram.sizeBound)
            #expect(try GossipCodec.decodeDatagram(bytes) == datagram)
        }
        let exchange = generated.exchange()
        #expect(try GossipCodec.decodeExchange(GossipCodec.encode(exchange)) == exchange)
    }

    @Test func `an error comes back with its words and its cause`() throws {
        let error = SwarmError(.outdatedVersion, "update out of sequence", cause: "version 7")
        let bytes = try PeerMessageCodec.encode(.answer(number: 3, .failure(error)))
        guard case .answer(3, .failure(let read)) = try PeerMessageCodec.decode(bytes) else {
            Issue.record("another message came back")
            return
        }
        #expect(read.code == error.code && read.message == error.message && read.cause == error.cause)
        let alone = try ErrorCodec.decode(ErrorCodec.encode(error))
        #expect(alone.code == error.code && alone.description == error.description)
    }

    @Test func `payloads of entries and pieces of snapshots are in the bytes as they are`() throws {
        let payload = Array("payload \u{0} \"raw\"".utf8)
        let append = RaftMessage.Body.append(
            previousIndex: 1, previousTerm: 1,
            entries: [Entry(term: 1, index: 2, kind: .command, payload: payload)],
            commit: 1, round: 1)
        let bytes = try PeerMessageCodec.encode(
            .raft(RaftMessage(from: 1, to: 2, term: 1, body: append), epoch: 0))
        #expect(bytes.count < payload.count + 40)
        #expect(bytes.suffix(payload.count) == payload[...])
    }

    // MARK: Hostile bytes

    /// Whatever `decode` says of the bytes, it says it.
    private func reads(_ bytes: [UInt8]) -> Bool {
        do throws(SwarmError) {
            _ = try PeerMessageCodec.decode(bytes)
            return true
        } catch { return false }
    }

    @Test(arguments: [1]) func `a message cut off anywhere is refused`(seed: UInt64) throws {
        var generated = Generated(seed: seed)
        for message in generated.messages() {
            let bytes = try PeerMessageCodec.encode(message)
            for length in 0..<bytes.count { #expect(!reads(Array(bytes.prefix(length)))) }
            #expect(!reads(bytes + [0]))
        }
    }

    @Test(arguments: [1]) func `a message with any byte changed does no harm`(seed: UInt64) throws {
        var generated = Generated(seed: seed)
        for message in generated.messages() {
            let bytes = try PeerMessageCodec.encode(message)
            for index in bytes.indices {
                for change in [UInt8(0x01), 0x80, 0xFF, generated.bytes(2).first ?? 0x40] {
                    var changed = bytes
                    changed[index] ^= change
                    _ = reads(changed)
                }
            }
            var newer = bytes
            newer[0] = PeerMessageCodec.version + 1
            #expect(!reads(newer))
        }
    }

    @Test(arguments: 1...40) func `gossip cut off or changed does no harm`(seed: UInt64) throws {
        var generated = Generated(seed: seed)
        for kind in 0..<Generated.gossipKinds {
            let bytes = GossipCodec.encode(generated.datagram(kind))
            for length in 0..<bytes.count {
                #expect(throws: SwarmError.self) {
                    try GossipCodec.decodeDatagram(Array(bytes.prefix(length)))
                }
            }
            for index in bytes.indices {
                var changed = bytes
                changed[index] ^= 1 << UInt8(generated.below(8))
                _ = try? GossipCodec.decodeDatagram(changed)
            }
        }
        let bytes = GossipCodec.encode(generated.exchange())
        for length in 0..<bytes.count {
            #expect(throws: SwarmError.self) { try GossipCodec.decodeExchange(Array(bytes.prefix(length))) }
        }
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 0xFF
            _ = try? GossipCodec.decodeExchange(changed)
        }
    }

    @Test func `random bytes do no harm`() {
        var generated = Generated(seed: 7)
        for _ in 0..<20_000 {
            let bytes = generated.bytes(64)
            _ = reads(bytes)
            for kind in PeerMessageCodec.Kind.allCases {
                _ = reads([PeerMessageCodec.version, kind.rawValue] + bytes)
            }
            _ = try? GossipCodec.decodeDatagram([GossipCodec.version] + bytes)
            _ = try? GossipCodec.decodeExchange([GossipCodec.version] + bytes)
            _ = try? ErrorCodec.decode(bytes)
        }
    }

    @Test func `counts and lengths that the bytes cannot hold are refused without memory`() {
        let huge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]
        let append: [UInt8] = [1, 1, 0] + [UInt8](repeating: 0, count: 16) + [1, 3, 0, 0, 0, 0]
        #expect(!reads(append + huge))
        #expect(!reads(append + [1, 0, 0, 1] + huge))
        // A number of more than 64 bits.
        #expect(!reads([1, 6] + [UInt8](repeating: 0xFF, count: 9) + [0x02]))
        #expect(!reads([1, 6] + [UInt8](repeating: 0x80, count: 40)))
    }

    @Test func `JSON that nests too deep is refused`() throws {
        let deep = Array(String(repeating: "[", count: 1_000_000).utf8)
        var length: [UInt8] = []
        var rest = deep.count
        while rest >= 0x80 {
            length.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        length.append(UInt8(rest))
        // A request to make a network: number, leader, no tokens.
        #expect(!reads([1, 4, 0, 0, 0, 0, 0, 7] + length + deep))
    }
}
