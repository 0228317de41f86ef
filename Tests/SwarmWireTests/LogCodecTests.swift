import LogGathering
import Ports
import SwarmCore
import SwarmModel
import SwarmWire
import Testing

@Suite struct LogCodecTests {
    static func ask(_ generator: inout SeededGenerator) -> LogAsk {
        var options = LogOptions()
        options.stdout = Bool.random(using: &generator)
        options.stderr = Bool.random(using: &generator)
        func time() -> Timestamp? {
            let nanoseconds = Int64.random(in: .min ... .max, using: &generator)
            return nanoseconds % 2 == 0 ? Timestamp(nanoseconds: nanoseconds) : nil
        }
        (options.since, options.until) = (time(), time())
        let wants = (0..<Int.random(in: 0..<6, using: &generator)).map { index in
            LogAsk.Want(
                task: "task\(index)", container: String(repeating: "ä", count: index),
                position: LogPosition(
                    file: .random(in: .min ... .max, using: &generator),
                    offset: .random(in: 0 ... .max, using: &generator)),
                tail: Bool.random(using: &generator) ? .random(in: 0 ... .max, using: &generator) : nil)
        }
        return LogAsk(
            wants, options, patience: .nanoseconds(Int64.random(in: 0..<1 << 40, using: &generator)),
            bytesMax: .random(in: 0 ... .max, using: &generator))
    }

    static func answer(_ generator: inout SeededGenerator) -> LogAnswer {
        var answer = LogAnswer(isComplete: Bool.random(using: &generator))
        for index in 0..<Int.random(in: 0..<6, using: &generator) {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: answer.outcomes[index * 3] = .absent
            case 1: answer.outcomes[index * 3] = .failed("no such \(index)")
            default:
                var piece = LogPiece(position: LogPosition(file: Int64(index), offset: index))
                piece.isOver = Bool.random(using: &generator)
                piece.hasMore = Bool.random(using: &generator)
                piece.hasGap = Bool.random(using: &generator)
                piece.lines = (0..<Int.random(in: 0..<4, using: &generator)).map { length in
                    LogLine(
                        time: Timestamp(nanoseconds: .random(in: .min ... .max, using: &generator)),
                        stream: length % 2 == 0 ? .stdout : .stderr,
                        text: (0..<length * 20).map { _ in .random(in: 0...255, using: &generator) },
                        isPartial: Bool.random(using: &generator))
                }
                answer.outcomes[index * 3] = .piece(piece)
            }
        }
        return answer
    }

    @Test(arguments: 1...200 as ClosedRange<UInt64>) func `what is asked and answered comes back as it was`(
        seed: UInt64
    ) throws {
        var generator = SeededGenerator(seed: seed)
        let (ask, answer) = (Self.ask(&generator), Self.answer(&generator))
        #expect(try LogCallCodec.decodeAsk(LogCallCodec.encode(ask)) == ask)
        #expect(try LogCallCodec.decodeAnswer(LogCallCodec.encode(answer)) == answer)
    }

    /// Whatever a hostile node sends is read or refused.
    @Test(arguments: 1...200 as ClosedRange<UInt64>) func `damaged bytes are refused in words or read, never a trap`(
        seed: UInt64
    ) throws {
        var generator = SeededGenerator(seed: seed)
        let ask = try LogCallCodec.encode(Self.ask(&generator))
        let answer = try LogCallCodec.encode(Self.answer(&generator))
        for length in 0..<ask.count {
            #expect(throws: SwarmError.self) { _ = try LogCallCodec.decodeAsk(Array(ask.prefix(length))) }
        }
        for length in 0..<answer.count {
            #expect(throws: SwarmError.self) { _ = try LogCallCodec.decodeAnswer(Array(answer.prefix(length))) }
        }
        for bytes in [ask, answer] {
            for length in 0..<bytes.count {
                _ = try? LogCallCodec.decodeAsk(Array(bytes.prefix(length)))
                _ = try? LogCallCodec.decodeAnswer(Array(bytes.prefix(length)))
            }
            for _ in 0..<100 {
                var damaged = bytes
                let index = Int.random(in: 0..<damaged.count, using: &generator)
                damaged[index] = .random(in: 0...255, using: &generator)
                _ = try? LogCallCodec.decodeAsk(damaged)
                _ = try? LogCallCodec.decodeAnswer(damaged)
            }
        }
    }
}
