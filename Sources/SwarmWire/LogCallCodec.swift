package import LogGathering
import Ports
package import SwarmCore
import SwarmModel

/// What a manager asks of a node's logs, and the answer, as bytes. Format 1: the format's number, then the fields.
package enum LogCallCodec {
    package static let version: UInt8 = 1

    package static func encode(_ ask: LogAsk) throws(SwarmError) -> [UInt8] {
        var writer = WireWriter()
        writer.byte(version)
        writer.flag(ask.stdout)
        writer.flag(ask.stderr)
        for time in [ask.since, ask.until] {
            try writer.optional(time) { writer, time throws(SwarmError) in writer.signed(time.nanoseconds) }
        }
        writer.signed(ask.patience.wholeNanoseconds)
        writer.count(ask.bytesMax)
        try writer.list(ask.wants) { writer, want throws(SwarmError) in
            writer.text(want.task)
            writer.text(want.container)
            writer.position(want.position)
            try writer.optional(want.tail) { writer, tail throws(SwarmError) in writer.count(tail) }
        }
        return writer.bytes
    }

    package static func decodeAsk(_ bytes: [UInt8]) throws(SwarmError) -> LogAsk {
        var reader = WireReader(bytes, "a question for logs")
        try reader.version()
        var options = LogOptions()
        options.stdout = try reader.flag()
        options.stderr = try reader.flag()
        options.since = try reader.optional { reader throws(SwarmError) in Timestamp(nanoseconds: try reader.signed()) }
        options.until = try reader.optional { reader throws(SwarmError) in Timestamp(nanoseconds: try reader.signed()) }
        let patience = Duration.nanoseconds(try reader.signed())
        let bytesMax = try reader.size()
        let wants = try reader.list(each: 12, max: LogAsk.wantsMax) { reader throws(SwarmError) in
            LogAsk.Want(
                task: try reader.text(), container: try reader.text(), position: try reader.position(),
                tail: try reader.optional { reader throws(SwarmError) in try reader.size() })
        }
        try reader.end()
        return LogAsk(wants, options, patience: patience, bytesMax: bytesMax)
    }

    package static func encode(_ answer: LogAnswer) throws(SwarmError) -> [UInt8] {
        var writer = WireWriter()
        writer.byte(version)
        writer.flag(answer.isComplete)
        try writer.list(answer.outcomes.sorted { $0.key < $1.key }) { writer, entry throws(SwarmError) in
            writer.count(entry.key)
            switch entry.value {
            case .piece(let piece):
                writer.byte(0)
                try writer.piece(piece)
            case .absent: writer.byte(1)
            case .failed(let reason):
                writer.byte(2)
                writer.text(reason)
            }
        }
        return writer.bytes
    }

    package static func decodeAnswer(_ bytes: [UInt8]) throws(SwarmError) -> LogAnswer {
        var reader = WireReader(bytes, "a node's logs")
        try reader.version()
        var answer = LogAnswer(isComplete: try reader.flag())
        let entries = try reader.list(each: 2, max: LogAsk.wantsMax) {
            reader throws(SwarmError) -> (Int, LogAnswer.Outcome) in
            let index = try reader.size()
            switch try reader.byte() {
            case 0: return (index, .piece(try reader.piece()))
            case 1: return (index, .absent)
            case 2: return (index, .failed(try reader.text()))
            case let other: throw reader.damaged("outcome \(other) is not known")
            }
        }
        try reader.end()
        for (index, outcome) in entries { answer.outcomes[index] = outcome }
        return answer
    }
}

extension WireWriter {
    fileprivate mutating func signed(_ value: Int64) { word(UInt64(bitPattern: value)) }

    fileprivate mutating func position(_ position: LogPosition) {
        signed(position.file)
        count(position.offset)
    }

    fileprivate mutating func piece(_ piece: LogPiece) throws(SwarmError) {
        position(piece.position)
        flag(piece.isOver)
        flag(piece.hasMore)
        flag(piece.hasGap)
        try list(piece.lines) { writer, line throws(SwarmError) in
            writer.signed(line.time.nanoseconds)
            writer.byte(line.stream.rawValue)
            writer.flag(line.isPartial)
            writer.blob(line.text)
        }
    }
}

extension WireReader {
    fileprivate mutating func version() throws(SwarmError) {
        let version = try byte()
        guard version == LogCallCodec.version else { throw damaged("format \(version) is not known") }
    }

    fileprivate mutating func signed() throws(SwarmError) -> Int64 { Int64(bitPattern: try word()) }

    fileprivate mutating func position() throws(SwarmError) -> LogPosition {
        LogPosition(file: try signed(), offset: try size())
    }

    fileprivate mutating func piece() throws(SwarmError) -> LogPiece {
        var piece = LogPiece(position: try position())
        piece.isOver = try flag()
        piece.hasMore = try flag()
        piece.hasGap = try flag()
        piece.lines = try list(each: 11) { reader throws(SwarmError) in
            let time = Timestamp(nanoseconds: try reader.signed())
            let code = try reader.byte()
            guard let stream = LogLine.Stream(rawValue: code) else {
                throw reader.damaged("stream \(code) is not known")
            }
            let isPartial = try reader.flag()
            return LogLine(time: time, stream: stream, text: try reader.blob(), isPartial: isPartial)
        }
        return piece
    }
}
