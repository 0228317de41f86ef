import ClusterSecurity
import LibCrypto
import LogGathering
import Logging
import Ports
import SwarmCore
import SwarmModel
import SwarmNode
import SwarmWire
import Synchronization
import Testing
import Transport

@testable import SwarmDaemon

/// Logs in memory that readers wait for.
final class MemoryLogs: TaskLogs {
    private struct State {
        var lines: [String: [LogLine]] = [:]
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var next = 0
        var reads = 0
        var bytesRead = 0
    }
    private let state = Mutex(State())

    var reads: Int { state.withLock { $0.reads } }
    var bytesRead: Int { state.withLock { $0.bytesRead } }
    var waiting: Int { state.withLock { $0.waiters.count } }

    func write(_ container: String, _ texts: [String]) {
        let waiters = state.withLock { state in
            for text in texts {
                let line = LogLine(time: Timestamp(nanoseconds: 1), stream: .stdout, text: Array(text.utf8))
                state.lines[container, default: []].append(line)
            }
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume() }
    }

    func readLog(
        _ containerID: String, ofTask task: ObjectID, _ options: LogOptions, from position: LogPosition, bytesMax: Int
    ) async throws(SwarmError) -> LogPiece {
        let piece: LogPiece? = state.withLock { state in
            guard let lines = state.lines[containerID] else { return nil }
            state.reads += 1
            var piece = LogPiece(position: position)
            var bytes = 0
            while piece.position.offset < lines.count, bytes < bytesMax {
                bytes += lines[piece.position.offset].text.count
                piece.lines.append(lines[piece.position.offset])
                piece.position.offset += 1
            }
            piece.hasMore = piece.position.offset < lines.count
            state.bytesRead += bytes
            return piece
        }
        guard let piece else { throw SwarmError(.notFound, "No such container: \(containerID)") }
        return piece
    }

    func waitForLog(_ containerID: String, beyond position: LogPosition) async {
        let key = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    let isOver = Task.isCancelled || (state.lines[containerID]?.count ?? 0) > position.offset
                    if !isOver { state.waiters[key] = continuation }
                    return isOver
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: key) }?.resume()
        }
    }
}

/// What tasks of a test share.
private final class Received<Value: Sendable>: Sendable {
    private let state: Mutex<Value>
    init(_ value: Value) { state = Mutex(value) }
    func withLock<Result>(_ body: (inout Value) -> Result) -> Result { state.withLock { body(&$0) } }
}

/// Two nodes with real certificates and connections: one gathers what the other's tasks wrote.
@Suite(.timeLimit(.minutes(2))) struct LogWireTests {
    static let clusterID = "clusteraaaaaaaaaaaaaaaaaa"
    static let time = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

    final class Node: Sendable {
        let transport: PeerTransport
        let principal: NodePrincipal

        init(_ authority: CertificateAuthority, _ letter: String, _ role: CertificateRole, _ logs: MemoryLogs) throws {
            let principal = NodePrincipal(
                nodeID: "node" + String(repeating: letter, count: 21), role: role, clusterID: LogWireTests.clusterID)
            let key = P256PrivateKey.generate()
            let chain = try authority.issue(
                X509Request.forNode(key: key), to: principal, validity: .seconds(86_400), at: LogWireTests.time)
            let trust = try TrustBundle(roots: [authority.root], clusterID: LogWireTests.clusterID)
            let identity = try NodeIdentity(key: key, chain: chain, trust: trust, storageKeys: [.generate()])
            var configuration = PeerTransport.Configuration()
            (configuration.listenHost, configuration.listenPort) = ("127.0.0.1", 0)
            configuration.patientCalls = [ClusterCall.logs]
            self.principal = principal
            transport = PeerTransport(
                configuration: configuration, identity: identity,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                now: { LogWireTests.time }, receive: { _, _ in },
                answer: { call, from, _ in
                    guard call.name == ClusterCall.logs, let from else {
                        return .failure(SwarmError(.unimplemented, "unknown call"))
                    }
                    do throws(SwarmError) {
                        let ask = try LogTeller.read(call.body, from: from)
                        let answer = await LogTeller(runtime: logs).answer(ask, containers: ask.wants.map(\.container))
                        return .success(try LogCallCodec.encode(answer))
                    } catch { return .failure(error) }
                })
        }
    }

    /// A manager `a`, a worker `b` with logs, and what asks `b` over the wire.
    struct World {
        let logs = MemoryLogs()
        let a: Node
        let b: Node
        /// Another worker.
        let c: Node
        let route: PeerRoute

        init() async throws {
            let authority = try CertificateAuthority.create(at: LogWireTests.time)
            a = try Node(authority, "a", .manager, MemoryLogs())
            b = try Node(authority, "b", .worker, logs)
            c = try Node(authority, "c", .worker, MemoryLogs())
            _ = try await a.transport.start()
            _ = try await c.transport.start()
            route = PeerRoute(nodeID: b.principal.nodeID, addresses: ["127.0.0.1:\(try await b.transport.start())"])
        }

        func place(_ task: String) -> LogPlace {
            LogPlace(
                task: task, service: "web", name: "web.1", node: b.principal.nodeID, nodeName: "b", container: task)
        }

        func collector(_ tasks: [String], from node: Node? = nil) -> LogCollector {
            let (places, route, transport) = (tasks.map(place), route, (node ?? a).transport)
            return LogCollector(
                places: { .places(places, isGone: false) },
                ask: { _, ask in
                    do throws(SwarmError) {
                        let call = PeerCall(name: ClusterCall.logs, body: try LogCallCodec.encode(ask))
                        let answer = try await transport.call(call, to: route, timeout: ask.patience + .seconds(3))
                        return .success(try LogCallCodec.decodeAnswer(answer))
                    } catch { return .failure(error) }
                })
        }

        func shutdown() async {
            await a.transport.shutdown()
            await b.transport.shutdown()
            await c.transport.shutdown()
        }
    }

    static var silent: AsyncStream<Void> { AsyncStream { _ in } }
    static func texts(_ lines: [GatheredLine]) -> [String] {
        lines.map { String(decoding: $0.line.text, as: UTF8.self) }
    }

    @Test func `lines of any size come whole over the wire`() async throws {
        let world = try await World()
        let short = (0..<3000).map { "\($0) " + String(repeating: "x", count: $0 % 700) }
        let wanted = short + [String(repeating: "y", count: 600_000)]
        world.logs.write("t", wanted)
        let found = Mutex<[String]>([])
        try await world.collector(["t"]).run(LogGatherer(.service("web"), LogOptions()), changes: Self.silent) {
            lines in
            found.withLock { $0 += Self.texts(lines) }
        }
        #expect(found.withLock { $0 } == wanted)
        await world.shutdown()
    }

    @Test func `a worker is refused, and gets no line`() async throws {
        let world = try await World()
        world.logs.write("t", ["secret"])
        let lines = Mutex<[String]>([])
        try await world.collector(["t"], from: world.c).run(
            LogGatherer(.service("web"), LogOptions()), changes: Self.silent
        ) { found in lines.withLock { $0 += Self.texts(found) } }
        let found = lines.withLock { $0 }
        #expect(found.count == 1)
        #expect(found.first?.contains("only managers may ask for the logs of tasks") == true, "\(found)")
        #expect(world.logs.reads == 0)
        await world.shutdown()
    }

    @Test func `a thousand followers each get every line, and wait without asking`() async throws {
        let world = try await World()
        let count = 1000
        world.logs.write("t", ["first"])
        let received = Received<[Int: [String]]>([:])
        let (progress, mailbox) = AsyncStream.makeStream(of: Void.self)
        let followers = (0..<count).map { number in
            Task {
                var options = LogOptions()
                options.follow = true
                try await world.collector(["t"]).run(LogGatherer(.service("web"), options), changes: Self.silent) {
                    lines in
                    received.withLock { $0[number, default: []] += Self.texts(lines) }
                    mailbox.yield()
                }
            }
        }
        func wait(_ lines: Int) async {
            for await _ in progress {
                let isThere = received.withLock { $0.count == count && $0.values.allSatisfy { $0.count >= lines } }
                if isThere { return }
            }
        }
        await wait(1)
        for number in 0..<5 {
            world.logs.write("t", ["line \(number)"])
            await wait(number + 2)
        }
        let wanted = ["first"] + (0..<5).map { "line \($0)" }
        #expect(received.withLock { $0.values.allSatisfy { $0 == wanted } })
        for follower in followers { follower.cancel() }
        for follower in followers { _ = try? await follower.value }
        await world.shutdown()
    }

    @Test func `a reader that takes nothing costs the other node nothing more`() async throws {
        let world = try await World()
        world.logs.write("t", (0..<50_000).map { "\($0) " + String(repeating: "x", count: 200) })
        var options = LogOptions()
        options.follow = true
        let (taking, gate) = AsyncStream.makeStream(of: Void.self)
        let received = Received<[String]>([])
        let (progress, mailbox) = AsyncStream.makeStream(of: Int.self)
        let follower = Task { [options] in
            var gates = taking.makeAsyncIterator()
            try await world.collector(["t"]).run(LogGatherer(.service("web"), options), changes: Self.silent) {
                lines in
                let total = received.withLock { received in
                    received += Self.texts(lines)
                    return received.count
                }
                mailbox.yield(total)
                _ = await gates.next()
            }
        }
        var steps = progress.makeAsyncIterator()
        _ = await steps.next()
        // One batch is with the reader, one more may be on its way; ten megabytes stay where they are.
        #expect(world.logs.bytesRead <= 3 * LogGatherer.readBytes)
        for _ in 0..<1000 { gate.yield() }
        while let total = await steps.next(), total < 50_000 {}
        #expect(received.withLock { $0.enumerated().allSatisfy { $1.hasPrefix("\($0) ") } })
        follower.cancel()
        gate.finish()
        _ = try? await follower.value
        await world.shutdown()
    }

    @Test func `a node that goes away costs a warning in bounded time`() async throws {
        let world = try await World()
        world.logs.write("t", ["first"])
        await world.b.transport.shutdown()
        let lines = Mutex<[String]>([])
        let clock = ContinuousClock()
        let start = clock.now
        try await world.collector(["t"]).run(LogGatherer(.service("web"), LogOptions()), changes: Self.silent) {
            found in
            lines.withLock { $0 += Self.texts(found) }
        }
        #expect(clock.now - start < LogGatherer.nodePatience + .seconds(20))
        #expect(lines.withLock { $0.count } == 1)
        #expect(lines.withLock { $0.first?.hasPrefix("warning: incomplete log stream: b is not available (") } == true)
        await world.shutdown()
    }
}
