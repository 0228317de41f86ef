import ClusterSecurity
import Dispatching
import LibCrypto
import Logging
import NIOCore
import NIOPosix
import SwarmCore
import SwarmNode
import Synchronization
import Testing
import Transport

let clusterID = "clusteraaaaaaaaaaaaaaaaaa"
let testTime = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

func days(_ count: Int64) -> Duration { .seconds(count * 86_400) }
func manager(_ letter: String) -> NodePrincipal {
    NodePrincipal(nodeID: "node" + String(repeating: letter, count: 21), role: .manager, clusterID: clusterID)
}
func worker(_ letter: String) -> NodePrincipal {
    NodePrincipal(nodeID: "node" + String(repeating: letter, count: 21), role: .worker, clusterID: clusterID)
}

/// One cluster's authority, and the identities it gives.
struct TestCluster {
    let authority: CertificateAuthority

    init() throws { authority = try CertificateAuthority.create(at: testTime) }

    func identity(
        _ node: NodePrincipal, validity: Duration = days(90), at now: Timestamp = testTime,
        trusting trusted: CertificateAuthority? = nil
    ) throws -> NodeIdentity {
        let key = P256PrivateKey.generate()
        let chain = try authority.issue(X509Request.forNode(key: key), to: node, validity: validity, at: now)
        let trust = try TrustBundle(roots: [authority.root], clusterID: node.clusterID)
        let identity = try NodeIdentity(key: key, chain: chain, trust: trust, storageKeys: [.generate()])
        guard let trusted else { return identity }
        return try identity.trusting(
            TrustBundle(roots: [authority.root, trusted.root], clusterID: node.clusterID))
    }
}

/// Waits for what happens elsewhere, at most so long; never for a fixed time.
final class Record<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var waiters: [(condition: ([Element]) -> Bool, CheckedContinuation<Bool, Never>, UInt64)] = []
        var next: UInt64 = 0
    }
    private let state = Mutex(State())

    var all: [Element] { state.withLock { $0.elements } }

    func append(_ element: Element) {
        let ready = state.withLock { state in
            state.elements.append(element)
            let elements = state.elements
            let ready = state.waiters.filter { $0.condition(elements) }
            state.waiters.removeAll { waiter in ready.contains { $0.2 == waiter.2 } }
            return ready.map(\.1)
        }
        for continuation in ready { continuation.resume(returning: true) }
    }

    /// Whether `condition` came to hold within `limit`.
    @discardableResult func wait(
        _ limit: Duration = .seconds(15), until condition: @escaping @Sendable ([Element]) -> Bool
    ) async -> Bool {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        let timer = Task {
            try await Task.sleep(for: limit)
            let waiter = state.withLock { state in
                defer { state.waiters.removeAll { $0.2 == number } }
                return state.waiters.first { $0.2 == number }
            }
            waiter?.1.resume(returning: false)
        }
        defer { timer.cancel() }
        return await withCheckedContinuation { continuation in
            let holds = state.withLock { state in
                if condition(state.elements) { return true }
                state.waiters.append((condition, continuation, number))
                return false
            }
            if holds { continuation.resume(returning: true) }
        }
    }
}

/// Polls what only can be asked for, at most so long.
func eventually(_ limit: Duration = .seconds(15), _ condition: () async -> Bool) async -> Bool {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while clock.now < end {
        if await condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return await condition()
}

/// Keeps log lines for tests to look at.
struct RecordingLog: LogHandler {
    let lines: Record<String>
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }
    func log(event: LogEvent) {
        lines.append("\(event.level) \(event.message) \(event.metadata ?? [:])")
    }
}

/// A node's clock, which stands still until it is set.
final class Clock: Sendable {
    private let time: Mutex<Timestamp>
    init(_ now: Timestamp) { time = Mutex(now) }
    var now: Timestamp {
        get { time.withLock { $0 } }
        set { time.withLock { $0 = newValue } }
    }
}

/// A transport, what it received and what it logged.
final class TestNode: Sendable {
    struct Received: Sendable {
        var message: PeerMessage
        var from: NodePrincipal
    }
    let principal: NodePrincipal
    let transport: PeerTransport
    let received = Record<Received>()
    let calls = Record<String>()
    let log = Record<String>()
    private let boundPort = Mutex<UInt16>(0)
    let clock: Clock

    init(
        _ identity: NodeIdentity, at now: Timestamp = testTime,
        _ change: (inout PeerTransport.Configuration) -> Void = { _ in }
    ) {
        var configuration = PeerTransport.Configuration()
        configuration.listenHost = "127.0.0.1"
        configuration.listenPort = 0
        change(&configuration)
        principal = identity.principal
        let clock = Clock(now)
        self.clock = clock
        let (received, calls, log) = (received, calls, log)
        var logger = Logger(label: "test") { _ in RecordingLog(lines: log) }
        logger.logLevel = .debug
        transport = PeerTransport(
            configuration: configuration, identity: identity, logger: logger, now: { clock.now },
            receive: { received.append(Received(message: $0, from: $1)) },
            answer: { call, from, _ in
                calls.append("\(call.name) of \(from?.nodeID ?? "a stranger")")
                switch call.name {
                case "echo": return .success(call.body)
                case "fail": return .failure(SwarmError(.notFound, "no such thing", cause: "asked for"))
                case "hang":
                    try? await Task.sleep(for: .seconds(60))
                    return .success([])
                default: return .failure(SwarmError(.unimplemented, "unknown call"))
                }
            })
    }

    func start() async throws -> TestNode {
        let port = try await transport.start()
        boundPort.withLock { $0 = port }
        return self
    }

    var port: UInt16 { boundPort.withLock { $0 } }
    var address: String { "127.0.0.1:\(port)" }
    var route: PeerRoute { PeerRoute(nodeID: principal.nodeID, addresses: [address]) }

    /// The numbers of the `refused` messages that came, in their order: messages that are delivered once or never.
    var numbers: [UInt64] { received.all.compactMap { number(of: $0.message) } }

    func waitForNumber(_ number: UInt64) async -> Bool {
        await received.wait { $0.contains { numbered($0.message) == number } }
    }
}

/// The number that a test gave a message.
func number(of message: PeerMessage) -> UInt64? {
    switch message {
    case .refused(let number), .answer(let number, _): number
    case .request(let number, _, _, _): number
    case .toManager(.beat(_, let version)): version
    default: nil
    }
}
func numbered(_ message: PeerMessage) -> UInt64? { number(of: message) }

let claim = LeaderClaim(epoch: 1, term: 1, nodeID: "x")

func beat(_ number: UInt64) -> PeerMessage {
    .toManager(.beat(SessionID(leader: claim, number: 1), version: number))
}
