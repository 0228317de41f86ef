import CLinux
import FoundationEssentials
import Glibc
package import Logging
package import SwarmCore

/// Starts a containerd of our own, adopts one that a former daemon left, and starts it again when it dies.
///
/// Containers do not depend on it: their shims go on, and a new containerd finds them by its state directory.
package actor ContainerdSupervisor {
    package nonisolated let socket: String
    private let root: String
    private let state: String
    private let logger: Logger
    private var watcher: Task<Void, Never>?
    private var isStopping = false
    private var processID: pid_t?

    /// How long a containerd may take to make its socket.
    private static let startTimeout = Duration.seconds(20)

    package init(dataDirectory: String, runDirectory: String, logger: Logger) {
        root = dataDirectory + "/containerd"
        state = runDirectory + "/containerd"
        socket = runDirectory + "/containerd.sock"
        self.logger = logger
    }

    private var configurationPath: String { state + "/config.toml" }
    private var processFile: String { state + "/containerd.pid" }

    /// Returns once a containerd answers on ``socket``.
    package func start() async throws(SwarmError) {
        try makeDirectories()
        if let adopted = runningProcess() {
            processID = adopted
            logger.info("containerd adopted", metadata: ["process.id": "\(adopted)"])
        } else {
            try launch()
        }
        try await waitForSocket()
        watcher = Task { await self.watch() }
    }

    /// Leaves containerd and the containers running; `everything` ends containerd too.
    package func stop(everything: Bool) async {
        isStopping = true
        watcher?.cancel()
        guard everything, let processID else { return }
        kill(processID, SIGTERM)
        for _ in 0..<200 where isAlive(processID) { try? await Task.sleep(for: .milliseconds(20)) }
        if isAlive(processID) { kill(processID, SIGKILL) }
        unsafe unlink(processFile)
    }

    private func makeDirectories() throws(SwarmError) {
        do {
            for path in [root, state] {
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            try Data(configuration.utf8).write(to: URL(filePath: configurationPath))
        } catch {
            throw SwarmError(.unavailable, "cannot prepare \(root) and \(state) for containerd", cause: "\(error)")
        }
    }

    private var configuration: String {
        let unused = [
            "grpc.v1.cri", "snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper",
            "snapshotter.v1.zfs", "snapshotter.v1.native", "monitor.v1.cgroups", "internal.v1.restart",
            "internal.v1.opt", "internal.v1.tracing", "tracing.processor.v1.otlp",
        ].map { "\"io.containerd.\($0)\"" }.joined(separator: ", ")
        return """
            version = 2
            root = "\(root)"
            state = "\(state)"
            disabled_plugins = [\(unused)]
            oom_score = -500
            [grpc]
              address = "\(socket)"

            """
    }

    private func runningProcess() -> pid_t? {
        guard let text = try? String(contentsOf: URL(filePath: processFile), encoding: .utf8),
            let process = pid_t(text.filter(\.isNumber)), isAlive(process),
            // A recycled number belongs to somebody else.
            let command = FileManager.default.contents(atPath: "/proc/\(process)/cmdline"),
            String(decoding: command, as: UTF8.self).contains(configurationPath)
        else { return nil }
        return process
    }

    private func isAlive(_ process: pid_t) -> Bool {
        var status: Int32 = 0
        // Our own child is reaped here; an adopted one only probed.
        if unsafe waitpid(process, &status, WNOHANG) == process { return false }
        return kill(process, 0) == 0
    }

    private func launch() throws(SwarmError) {
        unsafe unlink(socket)
        let places: [String] = ["/usr/bin/containerd", "/usr/local/bin/containerd", "/bin/containerd"]
        guard let program = places.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
            throw SwarmError(.unavailable, "containerd is not installed: apt-get install containerd runc")
        }
        let log = root + "/containerd.log"
        let environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        let process = try ChildProcess.spawnDetached(
            program, ["--config", configurationPath], environment: environment, logFile: log)
        processID = process
        try? Data("\(process)\n".utf8).write(to: URL(filePath: processFile))
        logger.info("containerd started", metadata: ["process.id": "\(process)", "log": "\(log)"])
    }

    private func waitForSocket() async throws(SwarmError) {
        let deadline = ContinuousClock.now + Self.startTimeout
        while ContinuousClock.now < deadline {
            if unsafe clinux_unix_socket_accepts(socket) != 0 { return }
            if let processID, !isAlive(processID) { break }
            try? await Task.sleep(for: .milliseconds(5))
        }
        throw SwarmError(
            .unavailable, "containerd did not come up on \(socket); see \(root)/containerd.log")
    }

    private func watch() async {
        var backoff = Backoff(initial: .milliseconds(100), maximum: .seconds(5))
        var generator = SystemRandomNumberGenerator()
        while !Task.isCancelled && !isStopping {
            try? await Task.sleep(for: .milliseconds(200))
            guard !isStopping, let current = processID, !isAlive(current) else { continue }
            logger.warning("containerd died and is started again", metadata: ["process.id": "\(current)"])
            do {
                try launch()
                try await waitForSocket()
                backoff.reset()
            } catch {
                logger.error("containerd does not start", metadata: ["error": "\(error)"])
                try? await Task.sleep(for: backoff.next(using: &generator))
            }
        }
    }
}

/// Starting a program without `fork` in this process's threads.
enum ChildProcess {
    /// Starts `program` in a session of its own, output appended to `logFile`, no other descriptor inherited.
    static func spawnDetached(
        _ program: String, _ arguments: [String], environment: [String], logFile: String
    ) throws(SwarmError) -> pid_t {
        var process = pid_t()
        let status = unsafe withCStrings([program] + arguments) { argv in
            unsafe withCStrings(environment) { envp in
                unsafe clinux_spawn_detached(program, argv, envp, logFile, &process)
            }
        }
        guard status == 0 else { throw SwarmError(.unavailable, "cannot start \(program): errno \(status)") }
        return process
    }

    /// Lends `strings` as a null-terminated array of C strings.
    private static func withCStrings(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Int32
    ) -> Int32 {
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe pointers.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return EINVAL }
            return unsafe body(start)
        }
    }
}
