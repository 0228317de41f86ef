import SwarmCore

/// Unpacks gzip (RFC 1952) with its DEFLATE data (RFC 1951), piece by piece.
///
/// Whatever the input, memory stays bounded: one call gives at most about ``outputBytes``.
struct GzipInflater {
    private enum State {
        case header, blockStart, trailer, end
        case stored(Int)
        case codes(literals: HuffmanTable, distances: HuffmanTable)
    }

    /// There is not enough input for the next step.
    private struct Starved: Error {}

    /// What can be undone when the input runs dry in the middle of a step.
    private struct Cursor {
        var position = 0
        var bits: UInt64 = 0
        var bitCount = 0
    }

    private static let outputBytes = 1 << 20
    /// How far back matches reach.
    private static let windowBytes = 32 << 10

    private var input: [UInt8] = []
    private var cursor = Cursor()
    private var mark = Cursor()
    private var state = State.header
    private var isLastBlock = false
    /// The window, then what was unpacked and not yet handed out.
    private var output: [UInt8] = []
    private var handedOut = 0
    private var checksum = CRC32()
    private var memberBytes: UInt32 = 0
    /// A whole member has been unpacked and nothing of another has come.
    private(set) var isAtEnd = false

    mutating func push(_ more: [UInt8]) {
        input.removeFirst(cursor.position)
        cursor.position = 0
        input += more
    }

    /// The next unpacked bytes; nil when more input is needed.
    mutating func pull() throws(SwarmError) -> [UInt8]? {
        mark = cursor
        do {
            while output.count - handedOut < Self.outputBytes, try step() { mark = cursor }
        } catch is Starved {
            cursor = mark
        } catch {
            throw error as? SwarmError ?? Self.damaged
        }
        let fresh = Array(output[handedOut...])
        let kept = min(output.count, Self.windowBytes)
        output.removeFirst(output.count - kept)
        handedOut = kept
        return fresh.isEmpty ? nil : fresh
    }

    /// - Returns: false at the end.
    private mutating func step() throws -> Bool {
        switch state {
        case .header: try header()
        case .blockStart: try blockStart()
        case .stored(let count): try stored(count)
        case .codes(let literals, let distances): try codes(literals, distances)
        case .trailer: try trailer()
        case .end: return false
        }
        return true
    }

    private static var damaged: SwarmError { SwarmError(.invalidArgument, "the compressed archive is damaged") }

    // MARK: Members

    private mutating func header() throws {
        if isAtEnd {
            // Another member may follow; anything else after a member is padding.
            guard cursor.position < input.count else { throw Starved() }
            guard input[cursor.position] == 0x1f else {
                state = .end
                return
            }
        }
        guard try bits(16) == 0x8b1f, try bits(8) == 8 else { throw Self.damaged }
        let flags = try bits(8)
        for _ in 0..<6 { _ = try bits(8) }
        if flags & 4 != 0 { for _ in 0..<(try bits(16)) { _ = try bits(8) } }
        for flag in [8, 16] where flags & flag != 0 { while try bits(8) != 0 {} }
        if flags & 2 != 0 { _ = try bits(16) }
        (isAtEnd, isLastBlock, checksum, memberBytes) = (false, false, CRC32(), 0)
        state = .blockStart
    }

    private mutating func trailer() throws {
        cursor.bits >>= UInt64(cursor.bitCount % 8)
        cursor.bitCount -= cursor.bitCount % 8
        let sum = UInt32(try bits(16)) | UInt32(try bits(16)) << 16
        let size = UInt32(try bits(16)) | UInt32(try bits(16)) << 16
        guard sum == checksum.value, size == memberBytes else { throw Self.damaged }
        // Bytes that were taken into the bit buffer ahead of time go back.
        cursor.position -= cursor.bitCount / 8
        (cursor.bits, cursor.bitCount) = (0, 0)
        (state, isAtEnd) = (.header, true)
    }

    // MARK: Blocks

    private mutating func blockStart() throws {
        if isLastBlock {
            state = .trailer
            return
        }
        let isLast = try bits(1) == 1
        switch try bits(2) {
        case 0:
            cursor.bits >>= UInt64(cursor.bitCount % 8)
            cursor.bitCount -= cursor.bitCount % 8
            let (length, complement) = (try bits(16), try bits(16))
            guard length == complement ^ 0xffff else { throw Self.damaged }
            state = .stored(length)
        case 1: state = .codes(literals: .fixedLiterals, distances: .fixedDistances)
        case 2: state = try dynamicCodes()
        default: throw Self.damaged
        }
        isLastBlock = isLast
    }

    private mutating func stored(_ count: Int) throws {
        if count == 0 {
            state = .blockStart
            return
        }
        emit(UInt8(try bits(8)))
        state = .stored(count - 1)
    }

    /// The order in which code length code lengths come (RFC 1951 §3.2.7).
    private static let lengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

    private mutating func dynamicCodes() throws -> State {
        let (literalCount, distanceCount, lengthCount) = (try bits(5) + 257, try bits(5) + 1, try bits(4) + 4)
        var codeLengths = [UInt8](repeating: 0, count: 19)
        for place in Self.lengthOrder.prefix(lengthCount) { codeLengths[place] = UInt8(try bits(3)) }
        let table = try HuffmanTable(codeLengths)
        var lengths: [UInt8] = []
        while lengths.count < literalCount + distanceCount {
            switch try symbol(table) {
            case let value where value < 16: lengths.append(UInt8(value))
            case 16:
                guard let last = lengths.last else { throw Self.damaged }
                lengths += [UInt8](repeating: last, count: try bits(2) + 3)
            case 17: lengths += [UInt8](repeating: 0, count: try bits(3) + 3)
            default: lengths += [UInt8](repeating: 0, count: try bits(7) + 11)
            }
        }
        guard lengths.count == literalCount + distanceCount else { throw Self.damaged }
        return .codes(
            literals: try HuffmanTable(Array(lengths[..<literalCount])),
            distances: try HuffmanTable(Array(lengths[literalCount...])))
    }

    private static let lengthBase = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
        227, 258,
    ]
    private static let lengthExtra = [
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
    ]
    private static let distanceBase = [
        1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097,
        6145, 8193, 12289, 16385, 24577,
    ]

    private mutating func codes(_ literals: HuffmanTable, _ distances: HuffmanTable) throws {
        while output.count - handedOut < Self.outputBytes {
            mark = cursor
            let symbol = try symbol(literals)
            if symbol < 256 {
                emit(UInt8(symbol))
                continue
            }
            if symbol == 256 {
                state = .blockStart
                return
            }
            guard symbol - 257 < Self.lengthBase.count else { throw Self.damaged }
            let length = Self.lengthBase[symbol - 257] + (try bits(Self.lengthExtra[symbol - 257]))
            let code = try self.symbol(distances)
            guard code < Self.distanceBase.count else { throw Self.damaged }
            let distance = Self.distanceBase[code] + (try bits(code < 4 ? 0 : code / 2 - 1))
            guard distance <= output.count else { throw Self.damaged }
            for _ in 0..<length { emit(output[output.count - distance]) }
        }
    }

    private mutating func emit(_ byte: UInt8) {
        output.append(byte)
        checksum.add(byte)
        memberBytes &+= 1
    }

    // MARK: Bits

    /// The next `count` bits, at most 16, the first one lowest.
    private mutating func bits(_ count: Int) throws -> Int {
        while cursor.bitCount < count { try load() }
        let value = Int(cursor.bits & (1 << UInt64(count) - 1))
        cursor.bits >>= UInt64(count)
        cursor.bitCount -= count
        return value
    }

    private mutating func load() throws {
        guard cursor.position < input.count else { throw Starved() }
        cursor.bits |= UInt64(input[cursor.position]) << UInt64(cursor.bitCount)
        cursor.position += 1
        cursor.bitCount += 8
    }

    private mutating func symbol(_ table: HuffmanTable) throws -> Int {
        var (code, first, index) = (0, 0, 0)
        for length in 1...HuffmanTable.lengthMax {
            while cursor.bitCount < length { try load() }
            code |= Int(cursor.bits >> UInt64(length - 1) & 1)
            let count = table.counts[length]
            if code - count < first {
                cursor.bits >>= UInt64(length)
                cursor.bitCount -= length
                return table.symbols[index + code - first]
            }
            index += count
            (first, code) = ((first + count) << 1, code << 1)
        }
        throw Self.damaged
    }
}

/// A canonical Huffman code: how many codes of each length, and the symbols in the order of their codes.
struct HuffmanTable {
    static let lengthMax = 15
    private(set) var counts = [Int](repeating: 0, count: lengthMax + 1)
    private(set) var symbols: [Int] = []

    /// - Throws: when more codes are asked for than there are.
    init(_ lengths: [UInt8]) throws(SwarmError) {
        for length in lengths where length > 0 { counts[Int(length)] += 1 }
        var left = 1
        for length in 1...Self.lengthMax {
            left = left << 1 - counts[length]
            guard left >= 0 else { throw SwarmError(.invalidArgument, "the compressed archive is damaged") }
        }
        for length in 1...Self.lengthMax {
            symbols += lengths.indices.filter { lengths[$0] == UInt8(length) }
        }
    }

    private init(complete lengths: [UInt8]) {
        for length in lengths { counts[Int(length)] += 1 }
        for length in 1...Self.lengthMax { symbols += lengths.indices.filter { lengths[$0] == UInt8(length) } }
    }

    /// RFC 1951 §3.2.6.
    static let fixedLiterals = HuffmanTable(
        complete: (0..<288).map { $0 < 144 ? 8 : $0 < 256 ? 9 : $0 < 280 ? 7 : 8 })
    static let fixedDistances = HuffmanTable(complete: [UInt8](repeating: 5, count: 30))
}

/// The checksum of RFC 1952 §8.
struct CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
    }

    private var state: UInt32 = 0xffff_ffff
    var value: UInt32 { ~state }

    mutating func add(_ byte: UInt8) { state = Self.table[Int((state ^ UInt32(byte)) & 0xff)] ^ state >> 8 }
}
