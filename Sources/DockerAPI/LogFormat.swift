import EngineHTTP
import LogGathering
import NIOCore
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel

/// Docker's framing of log lines: an 8-byte header and one whole line in each frame.
struct LogFormat: Sendable {
    private let showsTime: Bool
    private let showsDetails: Bool

    init(_ request: Request) {
        showsTime = request.flag("timestamps")
        showsDetails = request.flag("details")
    }

    /// Of a frame: stream, padding, length.
    static let frameHeaderBytes = 8

    static var rawHeaders: HTTPHeaders { ["Content-Type": "application/vnd.docker.raw-stream"] }
    var headers: HTTPHeaders { ["Content-Type": "application/vnd.docker.multiplexed-stream"] }

    static func options(_ request: Request) throws -> LogOptions {
        var options = LogOptions()
        options.stdout = request.flag("stdout")
        options.stderr = request.flag("stderr")
        options.follow = request.flag("follow")
        options.since = try time(request.value("since"), "since")
        options.until = try time(request.value("until"), "until")
        if let tail = request.value("tail"), !tail.isEmpty, tail != "all" {
            guard let count = Int(tail), count >= 0 else {
                throw SwarmError(.unknown, "tail value must be a positive integer or \"all\"")
            }
            options.tail = count
        }
        return options
    }

    private static func time(_ text: String?, _ name: String) throws -> Timestamp? {
        guard let text, !text.isEmpty, text != "0" else { return nil }
        guard let time = EngineRoutes.time(text) else {
            throw SwarmError(
                .unknown,
                "could not parse \(name) timestamp: strconv.ParseInt: parsing \"\(text)\": invalid syntax")
        }
        return time
    }

    /// - Parameter source: whose line it is; nil for a container that is no task.
    func frame(_ line: LogLine, of source: GatheredLine?) -> ByteBuffer {
        var text = ""
        if showsTime { text += line.time.descriptionWithFixedFraction + " " }
        if showsDetails {
            if let source {
                text += "com.docker.swarm.node.id=\(source.node),com.docker.swarm.service.id=\(source.service),"
                text += "com.docker.swarm.task.id=\(source.task)"
            }
            text += " "
        }
        let newline = line.isPartial ? 0 : 1
        var buffer = ByteBuffer()
        buffer.writeBytes([line.stream.rawValue, 0, 0, 0])
        buffer.writeInteger(UInt32(text.utf8.count + line.text.count + newline))
        buffer.writeString(text)
        buffer.writeBytes(line.text)
        if newline == 1 { buffer.writeStaticString("\n") }
        return buffer
    }
}
