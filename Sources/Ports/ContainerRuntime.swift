package import SwarmCore
package import SwarmModel

/// The seams between the node machine and the world. Each has an in-memory twin and one conformance suite.

/// What tasks of this node wrote, piece by piece.
package protocol TaskLogs: Sendable {
    /// Reads on in the log of a task's container from where somebody has come to; does not wait.
    /// - Parameter bytesMax: how much text is returned at most; a single line may be longer.
    /// - Throws: `.notFound` when the container is not there or another task's; `.unimplemented` when its log cannot
    ///   be read.
    func readLog(
        _ containerID: String, ofTask task: ObjectID, _ options: LogOptions, from position: LogPosition, bytesMax: Int
    ) async throws(SwarmError) -> LogPiece
    /// Returns when there may be more than there was at the position, or the caller is cancelled.
    func waitForLog(_ containerID: String, beyond position: LogPosition) async
}

/// Runs containers. Implemented on containerd by `ContainerdRuntime`.
///
/// Every call is idempotent: creating what exists, stopping what has stopped and removing what is gone
/// succeed.
package protocol ContainerRuntime: TaskLogs {
    /// Makes the image present on this node; a digest-pinned image that is present costs one look-up.
    /// - Throws: `.notFound("No such image: x:latest")`, `.unauthenticated`, `.resourceExhausted`, `.unavailable`.
    func ensureImage(_ reference: String, registryAuth: String?) async throws(SwarmError)
    /// Creates the container's file system, specification and record; nothing runs yet.
    func create(_ request: ContainerRequest) async throws(SwarmError)
    /// Starts the container's process.
    /// - Returns: its process id on the host.
    func start(_ containerID: String) async throws(SwarmError) -> Int
    /// Sends the stop signal, waits for the grace period, then kills; returns once the process is gone.
    func stop(_ containerID: String, gracePeriod: Duration?) async throws(SwarmError)
    func kill(_ containerID: String, signal: String) async throws(SwarmError)
    /// Removes record, file system, anonymous volumes and logs; kills first when `force`.
    func remove(_ containerID: String, force: Bool) async throws(SwarmError)
    /// As above; `keepsVolumes` leaves its anonymous volumes to whoever wants them.
    func remove(_ containerID: String, force: Bool, keepsVolumes: Bool) async throws(SwarmError)
    /// What is there now, running or not, for re-adoption after a restart.
    func containers() async throws(SwarmError) -> [ContainerInfo]
    func inspect(_ containerID: String) async throws(SwarmError) -> ContainerInfo
    /// State changes from now on: start, exit, health, OOM. One stream for each call; it ends with the
    /// runtime.
    func events() async -> AsyncStream<ContainerEvent>

    /// Log lines of a container, running or ended, oldest first; `follow` continues until the container ends.
    func logs(_ containerID: String, _ options: LogOptions) async throws(SwarmError)
        -> AsyncThrowingStream<LogLine, any Error>
    func exec(_ containerID: String, _ request: ExecRequest) async throws(SwarmError) -> String
    /// Starts a created exec; output frames come from the stream, input goes through the handle.
    /// - Throws: `.conflict` when it was started before; a start failure's text is runc's.
    func startExec(_ execID: String, _ options: ExecStart) async throws(SwarmError) -> any ProcessStreams
    func inspectExec(_ execID: String) async throws(SwarmError) -> ExecInfo
    func resizeExec(_ execID: String, width: Int, height: Int) async throws(SwarmError)
    /// Freezes every process of the container.
    func pause(_ containerID: String) async throws(SwarmError)
    func unpause(_ containerID: String) async throws(SwarmError)
    /// Returns the exit code once the condition holds.
    func wait(_ containerID: String, for condition: WaitCondition) async throws(SwarmError) -> Int
    func processes(_ containerID: String) async throws(SwarmError) -> [ProcessInfo]
    func statistics(_ containerID: String) async throws(SwarmError) -> ContainerStatistics

    // MARK: Containers that are no tasks

    /// Output from now on, whether it runs already or is started later, and its standard input if it has one and
    /// `input` asks for it. The container waits for a slow reader, as it would for a terminal.
    func attach(_ containerID: String, input: Bool) async throws(SwarmError) -> any ProcessStreams
    /// Sets the size of the container's terminal.
    func resize(_ containerID: String, width: Int, height: Int) async throws(SwarmError)
    func rename(_ containerID: String, to name: String) async throws(SwarmError)
    /// Replaces what is kept of a standalone container's wishes.
    func update(_ containerID: String, _ standalone: StandaloneContainer) async throws(SwarmError)
    /// What is at a path of the container's file system, links not followed in its last place.
    /// - Throws: `.notFound` in Docker's words.
    func pathStatus(_ containerID: String, _ path: String) async throws(SwarmError) -> PathStatus
    /// Hands on a tar archive of what is at a path, under its own name; the container may run or not.
    func readArchive(
        _ containerID: String, _ path: String, to deliver: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws(SwarmError)
    /// Puts a tar archive's files into a directory of the container.
    /// - Parameter keepsKinds: a directory does not give way to a file, nor a file to a directory.
    func writeArchive(
        _ containerID: String, _ path: String, keepsKinds: Bool,
        _ archive: AsyncThrowingStream<[UInt8], any Error>
    ) async throws(SwarmError)
    /// How much the container has written to its file system.
    func writtenBytes(_ containerID: String) async throws(SwarmError) -> Int64
    /// Writes /etc/hosts anew: `address name` pairs beyond the defaults. For before a start and while it runs.
    func setHosts(_ containerID: String, _ hosts: [String]) async throws(SwarmError)
}

/// Keeps named volumes on this node.
package protocol VolumeStore: Sendable {
    func volumes() async throws(SwarmError) -> [VolumeInfo]
    func createVolume(_ name: String?, driver: Driver?, labels: [String: String]) async throws(SwarmError)
        -> VolumeInfo
    func volume(_ name: String) async throws(SwarmError) -> VolumeInfo
    /// - Throws: `.conflict` while a container has it.
    func removeVolume(_ name: String, force: Bool) async throws(SwarmError)
    /// Identifiers of the containers that have the volume.
    func volumeUsers(_ name: String) async -> [String]
}

/// All that the runtime needs to know to create a task's container; everything in it is resolved and
/// validated.
package struct ContainerRequest: Sendable, Equatable {
    /// 64 hexadecimal digits.
    package var id: String
    /// `web.1.<task id>`.
    package var name: String
    package var image: String
    package var spec: ContainerSpec
    package var limits: ResourceLimit?
    package var reservations: Resources?
    /// Docker's `com.docker.swarm.*` labels merged with the spec's.
    package var labels: [String: String]
    package var network: NetworkMode
    /// What the container finds in /etc/hosts beyond the defaults, as `address name` pairs.
    package var hosts: [String] = []
    /// The full text of /etc/resolv.conf; nil keeps the host's.
    package var resolvConf: String?
    /// Contents of secrets and configs by path in the container.
    package var files: [ContainerFile] = []
    /// `json-file` when empty.
    package var logDriver = ""
    package var logOptions: [String: String] = [:]
    /// Nil for a task's container. With it, the process is made when the container is started, which may be often.
    package var standalone: StandaloneContainer?

    package enum NetworkMode: Sendable, Equatable { case namespace(path: String), host, none }

    package init(
        id: String, name: String, image: String, spec: ContainerSpec, limits: ResourceLimit? = nil,
        reservations: Resources? = nil, labels: [String: String] = [:], network: NetworkMode = .none
    ) {
        (self.id, self.name, self.image, self.spec, self.limits) = (id, name, image, spec, limits)
        (self.reservations, self.labels, self.network) = (reservations, labels, network)
    }
}

/// A secret's or config's file in a container.
package struct ContainerFile: Sendable, Equatable {
    package var path: String
    package var data: [UInt8]
    package var uid: UInt32
    package var gid: UInt32
    package var mode: UInt32
    /// Secrets live on a tmpfs and never reach the disk.
    package var isSecret: Bool

    package init(path: String, data: [UInt8], uid: UInt32, gid: UInt32, mode: UInt32, isSecret: Bool) {
        (self.path, self.data, self.uid, self.gid, self.mode, self.isSecret) = (
            path, data, uid, gid, mode, isSecret
        )
    }
}

package enum ContainerState: String, Sendable, Equatable { case created, running, paused, exited }

package enum HealthStatus: String, Sendable, Equatable { case none, starting, healthy, unhealthy }

/// One health check that was made.
package struct HealthCheck: Sendable, Equatable {
    package var start: Timestamp
    package var end: Timestamp
    /// -1 when the check could not be run or took too long.
    package var exitCode: Int
    /// At most 4 KiB.
    package var output: String

    package init(start: Timestamp, end: Timestamp, exitCode: Int, output: String) {
        (self.start, self.end, self.exitCode, self.output) = (start, end, exitCode, output)
    }
}

/// A container as the runtime knows it.
package struct ContainerInfo: Sendable {
    package var id: String
    package var name: String
    package var image: String
    package var imageID: String
    package var labels: [String: String]
    package var state: ContainerState
    package var health: HealthStatus = .none
    package var failingStreak = 0
    /// The last few health checks, oldest first.
    package var healthChecks: [HealthCheck] = []
    package var pid: Int?
    package var exitCode: Int?
    package var oomKilled = false
    package var createdAt: Timestamp
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    /// What it was made from; nil for a container whose record was lost.
    package var request: ContainerRequest?
    /// The command line as merged with the image's.
    package var arguments: [String] = []
    package var environment: [String] = []
    package var workingDirectory = ""
    package var mounts: [ContainerMount] = []
    /// Execs that run or wait to be started.
    package var execIDs: [String] = []

    package init(
        id: String, name: String, image: String, imageID: String, labels: [String: String],
        state: ContainerState,
        createdAt: Timestamp
    ) {
        (self.id, self.name, self.image, self.imageID) = (id, name, image, imageID)
        (self.labels, self.state, self.createdAt) = (labels, state, createdAt)
    }
}

/// One mount of a container, as `docker inspect` shows it.
package struct ContainerMount: Sendable, Equatable, Codable {
    /// `bind`, `volume` or `tmpfs`.
    package var type: String
    /// The volume's name; empty for the other types.
    package var name: String
    package var source: String
    package var destination: String
    package var isWritable: Bool
    package var propagation: String

    package init(
        type: String, name: String = "", source: String, destination: String, isWritable: Bool,
        propagation: String = ""
    ) {
        (self.type, self.name, self.source, self.destination) = (type, name, source, destination)
        (self.isWritable, self.propagation) = (isWritable, propagation)
    }
}

/// A change in a container's life.
package enum ContainerEvent: Sendable, Equatable {
    case started(containerID: String, pid: Int)
    case exited(containerID: String, exitCode: Int, oomKilled: Bool, at: Timestamp)
    /// A signal was sent to its process, by its number.
    case signalled(containerID: String, signal: Int)
    /// A further process in it has ended.
    case execEnded(containerID: String, execID: String, exitCode: Int)
    /// `.starting` comes before the container's start and says that there is a check at all.
    case health(containerID: String, HealthStatus, output: String)
    /// The runtime itself was lost and is back: every state must be read again with `containers()`.
    case runtimeRestarted
}

package struct LogOptions: Sendable, Equatable {
    package var stdout = true
    package var stderr = true
    package var follow = false
    package var since: Timestamp?
    package var until: Timestamp?
    /// The last so many lines; nil means all.
    package var tail: Int?

    package init() {}
}

/// How far somebody has read in a container's log; means the same after the log's rotation and the daemon's restart.
package struct LogPosition: Sendable, Hashable {
    /// The time of its file's first record, in nanoseconds since 1970; 0 for the oldest file there is.
    package var file: Int64
    /// Bytes from the beginning of the file.
    package var offset: Int

    package init(file: Int64, offset: Int) { (self.file, self.offset) = (file, offset) }

    package static let beginning = LogPosition(file: 0, offset: 0)
}

/// Some lines of a log, and where to go on.
package struct LogPiece: Sendable, Equatable {
    package var lines: [LogLine]
    package var position: LogPosition
    /// Nothing more will ever come.
    package var isOver: Bool
    /// There is more at hand than fitted.
    package var hasMore: Bool
    /// Lines were thrown away by the log's rotation before they were read.
    package var hasGap: Bool

    package init(
        lines: [LogLine] = [], position: LogPosition, isOver: Bool = false, hasMore: Bool = false, hasGap: Bool = false
    ) {
        (self.lines, self.position) = (lines, position)
        (self.isOver, self.hasMore, self.hasGap) = (isOver, hasMore, hasGap)
    }
}

package struct LogLine: Sendable, Equatable {
    package enum Stream: UInt8, Sendable { case stdin = 0, stdout = 1, stderr = 2, system = 3 }
    /// What a line costs its reader beyond its text.
    package static let overheadBytes = 32

    package var time: Timestamp
    package var stream: Stream
    /// Without its newline; `isPartial` when the line was longer than one record.
    package var text: [UInt8]
    package var isPartial: Bool
    /// The next line is at hand: both can go out in one write.
    package var isFollowedAtOnce = false

    package init(time: Timestamp, stream: Stream, text: [UInt8], isPartial: Bool = false) {
        (self.time, self.stream, self.text, self.isPartial) = (time, stream, text, isPartial)
    }
}

package struct ExecRequest: Sendable, Equatable {
    package var command: [String]
    package var environment: [String] = []
    package var user: String?
    package var workingDirectory: String?
    package var tty = false
    package var attachStdin = false
    package var attachStdout = true
    package var attachStderr = true
    package var privileged = false
    package var consoleSize: ConsoleSize?

    package init(command: [String]) { self.command = command }
}

/// How a created exec is started.
package struct ExecStart: Sendable, Equatable {
    /// Nobody takes its output or gives it input.
    package var isDetached = false
    package var consoleSize: ConsoleSize?

    package init(isDetached: Bool = false, consoleSize: ConsoleSize? = nil) {
        (self.isDetached, self.consoleSize) = (isDetached, consoleSize)
    }
}

/// A terminal's size in characters.
package struct ConsoleSize: Sendable, Equatable {
    package var height: Int
    package var width: Int

    package init(height: Int, width: Int) { (self.height, self.width) = (height, width) }
}

package struct ExecInfo: Sendable, Equatable {
    package var id: String
    package var containerID: String
    package var request: ExecRequest
    package var isRunning: Bool
    package var exitCode: Int?
    package var pid: Int?

    package init(id: String, containerID: String, request: ExecRequest, isRunning: Bool) {
        (self.id, self.containerID, self.request, self.isRunning) = (id, containerID, request, isRunning)
    }
}

/// The three streams of an attached process.
package protocol ProcessStreams: Sendable {
    /// Output as it comes, read only as fast as it is taken; ends when the process and its children have closed
    /// their ends.
    var output: AsyncThrowingStream<(LogLine.Stream, [UInt8]), any Error> { get }
    func write(_ bytes: [UInt8]) async throws
    func closeInput() async
    /// The exit code, once the process has ended and its output has been taken.
    func wait() async throws(SwarmError) -> Int
    /// Nobody is interested any more: input ends, output is thrown away, the process goes on. To be called in any
    /// case when the streams are no longer used.
    func detach()
}

package struct VolumeInfo: Sendable, Equatable {
    package var name: String
    package var driver: String
    package var mountpoint: String
    package var createdAt: Timestamp
    package var labels: [String: String]
    package var options: [String: String]

    package init(
        name: String, driver: String, mountpoint: String, createdAt: Timestamp, labels: [String: String],
        options: [String: String]
    ) {
        (self.name, self.driver, self.mountpoint) = (name, driver, mountpoint)
        (self.createdAt, self.labels, self.options) = (createdAt, labels, options)
    }
}
