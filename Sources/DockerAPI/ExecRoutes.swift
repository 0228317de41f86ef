import EngineHTTP
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Ports
import SwarmCore
import SwarmModel
import SwarmNode

/// `docker exec`: create, start with the connection taken over, inspect, resize.
extension EngineRoutes {
    func addExecs(_ router: inout Router) {
        router.on(.POST, "/containers/{id}/exec") { try await createExec($0) }
        router.on(.POST, "/exec/{id}/start") { try await startExec($0) }
        router.on(.GET, "/exec/{id}/json") { request in
            try Self.json(describe(try await node.runtime.inspectExec(request.capture("id"))))
        }
        router.on(.POST, "/exec/{id}/resize") { request in
            let size = try Self.consoleSize(request)
            try await node.runtime.resizeExec(request.capture("id"), width: size.width, height: size.height)
            return Response(.ok)
        }
    }

    static func consoleSize(_ request: Request) throws -> ConsoleSize {
        func number(_ name: String) throws -> Int {
            let text = request.value(name) ?? ""
            guard let number = UInt16(text) else {
                throw SwarmError(
                    .invalidArgument,
                    "invalid resize \(name == "h" ? "height" : "width") \"\(text)\": must be a number of characters"
                )
            }
            return Int(number)
        }
        return ConsoleSize(height: try number("h"), width: try number("w"))
    }

    private func createExec(_ request: Request) async throws -> Response {
        let asked = try await request.decode(ExecCreation.self)
        let container = try await findContainer(request.capture("id"))
        var exec = ExecRequest(command: asked.command ?? [])
        exec.environment = asked.environment ?? []
        exec.user = asked.user
        exec.workingDirectory = asked.workingDirectory
        exec.tty = asked.tty ?? false
        exec.attachStdin = asked.attachStdin ?? false
        exec.attachStdout = asked.attachStdout ?? false
        exec.attachStderr = asked.attachStderr ?? false
        exec.privileged = asked.privileged ?? false
        exec.consoleSize = try Self.size(asked.consoleSize)
        let id = try await node.runtime.exec(container.id, exec)
        await tell("exec_create: " + Self.shown(exec.command), container, ["execID": id])
        return try Self.json(["Id": .string(id)] as JSONDocument, .created)
    }

    /// A command as Docker's events have it: the program, a space, its arguments.
    private static func shown(_ command: [String]) -> String {
        "\(command.first ?? "") " + command.dropFirst().joined(separator: " ")
    }

    private static func size(_ pair: [Int]?) throws -> ConsoleSize? {
        guard let pair, pair != [0, 0] else { return nil }
        guard pair.count == 2, pair.allSatisfy({ (0...65535).contains($0) }) else {
            throw SwarmError(.invalidArgument, "invalid ConsoleSize: must be [height, width]")
        }
        return ConsoleSize(height: pair[0], width: pair[1])
    }

    private func startExec(_ request: Request) async throws -> Response {
        let asked = try await request.decode(ExecStartBody.self)
        let id = request.capture("id")
        let info = try await node.runtime.inspectExec(id)
        let isTTY = asked.tty ?? false
        let options = ExecStart(
            isDetached: asked.detach ?? false,
            consoleSize: try Self.size(asked.consoleSize) ?? info.request.consoleSize)
        let started = "exec_start: " + Self.shown(info.request.command)
        let container = try? await findContainer(info.containerID)
        if options.isDetached {
            _ = try await node.runtime.startExec(id, options)
            if let container { await tell(started, container, ["execID": id]) }
            return Response(.ok)
        }
        var headers = ExecFraming.headers(request, isTTY: isTTY)
        let asksForUpgrade = request.head.headers.contains(name: "upgrade")
        if asksForUpgrade {
            headers.add(name: "Connection", value: "Upgrade")
            headers.add(name: "Upgrade", value: "tcp")
        }
        let status: HTTPResponseStatus =
            asksForUpgrade ? .custom(code: 101, reasonPhrase: "UPGRADED") : .ok
        let runtime = node.runtime
        return Response(
            status, headers: headers,
            body: .hijack { raw in
                let streams: any ProcessStreams
                do {
                    streams = try await runtime.startExec(id, options)
                    if let container { await tell(started, container, ["execID": id]) }
                } catch {
                    // The head is out already: as in Docker, the reason comes where output was expected.
                    let text = Array("\(StatusMapping.describe(error).message)\r\n".utf8)
                    return try await raw.output.write(ExecFraming.frame(.stdout, text, isTTY: isTTY))
                }
                try await Self.relay(raw, streams, info.request, isTTY: isTTY)
            })
    }

    /// Moves bytes both ways until the process's output ends; a client that only stops sending ends its input.
    private static func relay(
        _ raw: RawConnection, _ streams: any ProcessStreams, _ request: ExecRequest, isTTY: Bool
    ) async throws {
        defer { streams.detach() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            if request.attachStdin {
                group.addTask {
                    // Input that the process no longer takes is not the connection's failure.
                    try? await Self.feed(raw.input, to: streams, ends: !isTTY)
                }
            }
            for try await (stream, bytes) in streams.output {
                let isWanted = stream == .stderr ? request.attachStderr : request.attachStdout
                guard isWanted || (isTTY && request.attachStderr) else { continue }
                try await raw.output.write(ExecFraming.frame(stream, bytes, isTTY: isTTY))
            }
            group.cancelAll()
        }
        guard !Task.isCancelled else { return }
        // The client asks for the exit code as soon as the connection ends.
        _ = try await streams.wait()
    }

    /// - Parameter ends: whether the process's input ends with the client's; a terminal has no end.
    private static func feed(_ input: RequestBody, to streams: any ProcessStreams, ends: Bool) async throws {
        for try await part in input { try await streams.write(Array(part.readableBytesView)) }
        guard !Task.isCancelled, ends else { return }
        await streams.closeInput()
    }

    private func describe(_ info: ExecInfo) -> JSONDocument {
        var process: JSONMembers = [
            "tty": .bool(info.request.tty), "entrypoint": .string(info.request.command.first ?? ""),
            "arguments": .strings(Array(info.request.command.dropFirst())),
            "privileged": .bool(info.request.privileged),
        ]
        if let user = info.request.user, !user.isEmpty { process["user"] = .string(user) }
        return [
            "ID": .string(info.id), "Running": .bool(info.isRunning),
            "ExitCode": info.exitCode.map { .integer(Int64($0)) } ?? .null,
            "ProcessConfig": .object(process), "OpenStdin": .bool(info.request.attachStdin),
            "OpenStderr": .bool(info.request.attachStderr), "OpenStdout": .bool(info.request.attachStdout),
            "CanRemove": false, "ContainerID": .string(info.containerID), "DetachKeys": "",
            "Pid": .integer(Int64(info.pid ?? 0)),
        ]
    }
}

/// The body of `POST /containers/{id}/exec`.
private struct ExecCreation: Decodable {
    var user: String?
    var privileged: Bool?
    var tty: Bool?
    var consoleSize: [Int]?
    var attachStdin: Bool?
    var attachStdout: Bool?
    var attachStderr: Bool?
    var environment: [String]?
    var workingDirectory: String?
    var command: [String]?

    enum CodingKeys: String, CodingKey {
        case user = "User", privileged = "Privileged", tty = "Tty", consoleSize = "ConsoleSize"
        case attachStdin = "AttachStdin", attachStdout = "AttachStdout", attachStderr = "AttachStderr"
        case environment = "Env", workingDirectory = "WorkingDir", command = "Cmd"
    }
}

/// The body of `POST /exec/{id}/start`.
private struct ExecStartBody: Decodable {
    var detach: Bool?
    var tty: Bool?
    var consoleSize: [Int]?

    enum CodingKeys: String, CodingKey { case detach = "Detach", tty = "Tty", consoleSize = "ConsoleSize" }
}

/// Bytes of a terminal go as they are; other output goes in frames that name its stream.
enum ExecFraming {
    /// Clients tell the two apart by the content type since this version.
    private static let multiplexedSince = APIVersion(1, 42)

    static func headers(_ request: Request, isTTY: Bool) -> HTTPHeaders {
        let isNamed = (request.version ?? EngineRoutes.maximumVersion) >= multiplexedSince
        let kind = !isTTY && isNamed ? "multiplexed-stream" : "raw-stream"
        return ["Content-Type": "application/vnd.docker.\(kind)"]
    }

    static func frame(_ stream: LogLine.Stream, _ bytes: [UInt8], isTTY: Bool) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(bytes.count + 8)
        if !isTTY {
            buffer.writeBytes([stream.rawValue, 0, 0, 0])
            buffer.writeInteger(UInt32(bytes.count))
        }
        buffer.writeBytes(bytes)
        return buffer
    }
}
