import SwarmCore
import Testing

private struct Leaf: Codable, Equatable {
    var name: String
    var labels: [String: String]?
    var size: Int64?
    var share: Double?
    var isOn: Bool?
}

private enum Choice: Codable, Equatable {
    case leaf(Leaf)
    case pair(Int, String)
    case none
}

private struct Tree: Codable, Equatable {
    var at: Timestamp
    var big: UInt64
    var leaves: [Leaf]
    var choices: [Choice]
    var byName: [String: Leaf]
    var bytes: [UInt8]
    var nothing: Leaf?
    var holes: [Int?]

    static let example = Tree(
        at: Timestamp(nanoseconds: -1), big: .max,
        leaves: [
            Leaf(name: "", labels: ["b": "2", "a": "ä"], size: .min, share: -0.5, isOn: false),
            Leaf(name: "x", labels: [:], size: .max, share: nil, isOn: true), Leaf(name: "only"),
        ],
        choices: [.leaf(Leaf(name: "c")), .pair(-3, "p"), .none], byName: ["k": Leaf(name: "v")],
        bytes: [0, 127, 128, 255], nothing: nil, holes: [1, nil, 300])
}

/// What a later version might write and an earlier one read.
private struct Older: Codable, Equatable { var at: Timestamp }

@Suite struct PackedTests {
    @Test func `values come back as they were`() throws {
        let bytes = try Packed.encode(Tree.example)
        #expect(try Packed.decode(Tree.self, from: bytes) == Tree.example)
        #expect(Packed.isPacked(bytes))
        #expect(!Packed.isPacked(Array("{}".utf8)))
        for number in [Int64.min, -65, -64, -1, 0, 1, 63, 64, .max] {
            #expect(try Packed.decode(Int64.self, from: Packed.encode(number)) == number)
        }
        #expect(try Packed.decode(UInt64.self, from: Packed.encode(UInt64.max)) == .max)
    }

    @Test func `equal values have equal bytes whatever order their maps have in memory`() throws {
        let keys = (0..<64).map(String.init)
        let one = Dictionary(uniqueKeysWithValues: keys.map { ($0, $0) })
        let other = Dictionary(uniqueKeysWithValues: keys.reversed().map { ($0, $0) })
        #expect(try Packed.encode(one) == Packed.encode(other))
    }

    @Test func `fields that a reader does not know are passed over`() throws {
        let bytes = try Packed.encode(Tree.example)
        #expect(try Packed.decode(Older.self, from: bytes) == Older(at: Tree.example.at))
        #expect(throws: DecodingError.self) { try Packed.decode(Tree.self, from: Packed.encode(Older(at: .init(nanoseconds: 0)))) }
    }

    @Test func `bytes that are cut short or follow are refused`() throws {
        let bytes = try Packed.encode(Tree.example)
        for count in 0..<bytes.count {
            #expect(throws: (any Error).self) { try Packed.decode(Tree.self, from: Array(bytes.prefix(count))) }
        }
        #expect(throws: (any Error).self) { try Packed.decode(Tree.self, from: bytes + [0]) }
    }

    @Test func `damaged bytes never trap`() throws {
        let bytes = try Packed.encode(Tree.example)
        var generator = SeededGenerator(seed: 7)
        for place in bytes.indices {
            for value in [0, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &generator)] {
                var damaged = bytes
                damaged[place] = value
                _ = try? Packed.decode(Tree.self, from: damaged)
            }
        }
        for _ in 0..<2000 {
            let noise = (0..<Int.random(in: 0...64, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            _ = try? Packed.decode(Tree.self, from: noise)
        }
    }
}
