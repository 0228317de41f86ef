package import ContainerdAPI
package import GRPCCore
package import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
package import SwarmCore
import Synchronization
import SwiftProtobuf

/// Calls to a containerd, in one of its namespaces.
///
/// Go's server answers calls with pings, and NIO's HTTP/2 takes 200 of them in half a minute for an attack
/// (`controlFrameRateLimit`, which the gRPC transport leaves at its default) and closes the connection with
/// whatever is under way. So each connection serves a bounded number of calls; the next ones go to a new one.
package final class ContainerdClient: Sendable {
    package typealias Transport = HTTP2ClientTransport.Posix

    /// Calls on one connection, well below NIO's limit.
    static let callsPerConnection = 80
    /// Time for calls that were about to begin on a connection when its successor took over.
    static let retirement = Duration.seconds(5)

    package let namespace: String
    private let socket: String
    private let current: Mutex<(connection: Connection, calls: Int)>

    /// - Parameter socket: path of containerd's unix socket; the connection is made when first used and again
    ///   whenever it is lost.
    package init(socket: String, namespace: String = "swarm") throws(SwarmError) {
        (self.namespace, self.socket) = (namespace, socket)
        current = Mutex((try Connection(socket: socket, namespace: namespace), 0))
    }

    deinit { current.withLock { $0.connection.end() } }

    package func shutdown() { current.withLock { $0.connection.end() } }

    /// A client with a connection of its own, which ends with it: for a stream that cannot be begun again.
    package func another() throws(SwarmError) -> ContainerdClient {
        try ContainerdClient(socket: socket, namespace: namespace)
    }

    /// The connection for one more call.
    private var connection: Connection {
        let (serving, retired) = current.withLock { state -> (Connection, Connection?) in
            state.calls += 1
            // When no other can be had, the old one goes on: a lost call is made again.
            guard state.calls > Self.callsPerConnection,
                let next = try? Connection(socket: socket, namespace: namespace)
            else { return (state.connection, nil) }
            let old = state.connection
            state = (next, 1)
            return (next, old)
        }
        if let retired {
            Task {
                try? await Task.sleep(for: Self.retirement)
                await retired.retire()
            }
        }
        return serving
    }

    package var version: Containerd_Services_Version_V1_Version.Client<Transport> { .init(wrapping: connection.client) }
    package var content: Containerd_Services_Content_V1_Content.Client<Transport> { .init(wrapping: connection.client) }
    package var images: Containerd_Services_Images_V1_Images.Client<Transport> { .init(wrapping: connection.client) }
    package var snapshots: Containerd_Services_Snapshots_V1_Snapshots.Client<Transport> {
        .init(wrapping: connection.client)
    }
    package var diff: Containerd_Services_Diff_V1_Diff.Client<Transport> { .init(wrapping: connection.client) }
    package var leases: Containerd_Services_Leases_V1_Leases.Client<Transport> { .init(wrapping: connection.client) }
    package var containers: Containerd_Services_Containers_V1_Containers.Client<Transport> {
        .init(wrapping: connection.client)
    }
    package var tasks: Containerd_Services_Tasks_V1_Tasks.Client<Transport> { .init(wrapping: connection.client) }
    package var events: Containerd_Services_Events_V1_Events.Client<Transport> { .init(wrapping: connection.client) }

    package func pause(_ containerID: String) async throws { try await ofTask("Pause", containerID) }
    package func resume(_ containerID: String) async throws { try await ofTask("Resume", containerID) }

    /// Calls whose request is a container's id alone, in field 1 like that of `Tasks.Delete`.
    private func ofTask(_ method: String, _ containerID: String) async throws {
        try await connection.client.unary(
            request: ClientRequest(
                message: Containerd_Services_Tasks_V1_DeleteTaskRequest.with { $0.containerID = containerID }),
            descriptor: MethodDescriptor(fullyQualifiedService: "containerd.services.tasks.v1.Tasks", method: method),
            serializer: ProtobufSerializer<Containerd_Services_Tasks_V1_DeleteTaskRequest>(),
            deserializer: ProtobufDeserializer<Google_Protobuf_Empty>(), options: Self.slow
        ) { response in _ = try response.message }
    }

    /// One connection and the task that keeps it.
    private final class Connection: Sendable {
        let client: GRPCClient<Transport>
        private let running: Task<Void, any Error>

        init(socket: String, namespace: String) throws(SwarmError) {
            do {
                let transport = try HTTP2ClientTransport.Posix(
                    // containerd's Go server refuses an authority that is a path.
                    target: .unixDomainSocket(path: socket, authority: "localhost"), transportSecurity: .plaintext,
                    config: .defaults { config in config.backoff.max = .seconds(1) })
                client = GRPCClient(
                    transport: transport, interceptors: [NamespaceInterceptor(namespace: namespace)])
            } catch {
                throw SwarmError(.unavailable, "cannot use containerd at \(socket)", cause: "\(error)")
            }
            // The one unstructured task of a connection: it lives exactly as long as the connection does.
            running = Task { [client] in try await client.runConnections() }
        }

        /// Begins no more calls; those under way end with the connection's last reference.
        func end() { client.beginGracefulShutdown() }

        /// Begins no more calls and stays until those under way have ended, each within its own deadline.
        func retire() async {
            end()
            // Why a connection ended that nobody uses does not matter.
            _ = try? await running.value
        }

        deinit { running.cancel() }
    }

    /// Options of a call that must not wait longer than `timeout`.
    package static func within(_ timeout: Duration) -> CallOptions {
        var options = CallOptions.defaults
        options.timeout = timeout
        options.waitForReady = true
        return options
    }

    /// The bounds of ordinary calls, and of those that start or stop processes.
    package static let quick = within(.seconds(10))
    package static let slow = within(.seconds(60))
}

/// Names the containerd namespace on every call.
private struct NamespaceInterceptor: ClientInterceptor {
    let namespace: String

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingClientRequest<Input>, context: ClientContext,
        next: (StreamingClientRequest<Input>, ClientContext) async throws -> StreamingClientResponse<Output>
    ) async throws -> StreamingClientResponse<Output> {
        var request = request
        request.metadata.addString(namespace, forKey: "containerd-namespace")
        return try await next(request, context)
    }
}

/// How often a call is made whose answers get lost, and the pauses between.
private let callsMax = 8
private let firstPause = Duration.milliseconds(10)

/// Runs one containerd call and turns its failure into ours, with the call's name.
///
/// When containerd dies in the middle of a call, what was asked for is done or not done. So a call whose answer was
/// lost is made again, and when that one fails, `lost` looks up what the first one did.
nonisolated(nonsending) func containerd<Value>(
    _ call: String, isRepeatable: Bool = true, lost: (nonisolated(nonsending) () async throws -> Value)? = nil,
    _ body: nonisolated(nonsending) () async throws -> Value
) async throws(SwarmError) -> Value {
    do {
        var wasLost = false
        for attempt in 1..<(isRepeatable ? callsMax : 1) {
            do {
                return try await body()
            } catch let error as RPCError {
                if error.isLostAnswer && !Task.isCancelled {
                    wasLost = true
                    try await Task.sleep(for: firstPause * (1 << attempt))
                    continue
                }
                guard wasLost, lost != nil else { throw error }
            }
            if let lost { return try await lost() }
        }
        return try await body()
    } catch let error as SwarmError {
        throw error
    } catch let error as RPCError {
        let cause = error.cause.map { " (\($0))" } ?? ""
        throw SwarmError(error.swarmCode, error.message, cause: "containerd \(call): \(error.code)\(cause)")
    } catch is CancellationError {
        throw SwarmError(.unavailable, "containerd \(call) was cancelled")
    } catch {
        throw SwarmError(.unknown, "containerd \(call) failed", cause: "\(error)")
    }
}

/// A call that makes or removes one thing by name: found made, or found gone, it has been done.
nonisolated(nonsending) func containerdOnce(
    _ call: String, _ body: nonisolated(nonsending) () async throws -> Void
) async throws(SwarmError) {
    var wasLost = false
    try await containerd(call) {
        do {
            try await body()
        } catch let error as RPCError {
            wasLost = wasLost || error.isLostAnswer
            let isDone = error.swarmCode == .conflict || error.swarmCode == .notFound
            guard wasLost, isDone else { throw error }
        }
    }
}

extension RPCError {
    /// The transport gave up on the call; containerd's own refusals have other codes.
    var isLostAnswer: Bool { code == .unavailable }

    /// containerd 1.6 answers every shim error with UNKNOWN, so that some codes must be read from the text.
    var swarmCode: SwarmError.Code {
        switch code {
        case .notFound: .notFound
        case .alreadyExists: .conflict
        case .failedPrecondition: .failedPrecondition
        case .invalidArgument, .outOfRange: .invalidArgument
        case .unavailable: .unavailable
        case .deadlineExceeded: .deadlineExceeded
        case .resourceExhausted: .resourceExhausted
        case .unimplemented: .unimplemented
        default:
            if message.contains("no space left on device") {
                .resourceExhausted
            } else if message.contains("context deadline exceeded") {
                // Its clock was a little faster than ours.
                .deadlineExceeded
            } else if message.contains("process already finished") || message.contains("not found") {
                .notFound
            } else {
                .unknown
            }
        }
    }
}

extension ContainerdClient {
    /// A writable snapshot for layers to be applied to or a container to run on.
    func prepareSnapshot(
        _ request: Containerd_Services_Snapshots_V1_PrepareSnapshotRequest, metadata: Metadata = [:]
    ) async throws(SwarmError) -> [Containerd_Types_Mount] {
        try await containerd(
            "Snapshots.Prepare",
            lost: {
                try await self.snapshots.mounts(
                    .with { ($0.snapshotter, $0.key) = (request.snapshotter, request.key) }, metadata: metadata,
                    options: Self.quick
                ).mounts
            }
        ) {
            try await self.snapshots.prepare(request, metadata: metadata, options: Self.quick).mounts
        }
    }

    /// Starts a created container or exec.
    /// - Returns: its process id.
    func startProcess(_ containerID: String, execID: String = "") async throws(SwarmError) -> Int {
        let pid = try await containerd(
            "Tasks.Start",
            lost: {
                let found = try await self.tasks.get(
                    .with { ($0.containerID, $0.execID) = (containerID, execID) }, options: Self.quick
                ).process
                guard found.status != .created else {
                    throw SwarmError(.unavailable, "the process does not start: containerd gives no answer")
                }
                return found.pid
            }
        ) {
            try await self.tasks.start(
                .with { ($0.containerID, $0.execID) = (containerID, execID) }, options: Self.slow
            ).pid
        }
        return Int(pid)
    }
}
