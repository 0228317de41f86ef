import SwarmClient
import SwarmCore
import SwarmModel
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Whether the user has pressed Ctrl-C; set by a signal handler, which may do no more than this.
private let isInterrupted = Atomic<Bool>(false)

/// Ctrl-C as a question instead of the end of the process.
enum Interrupt {
    static func watch() {
        isInterrupted.store(false, ordering: .relaxed)
        _ = signal(SIGINT) { _ in isInterrupted.store(true, ordering: .relaxed) }
    }
    static func ignore() { _ = signal(SIGINT, SIG_DFL) }
    static var happened: Bool { isInterrupted.load(ordering: .relaxed) }
}

/// Waits until a service is what was asked for, showing how far it is.
enum ConvergenceWait {
    /// How often the service is read.
    static let pollMilliseconds: Int64 = 200

    static func run(_ serviceID: String, name: String, _ invocation: Invocation, quiet: Bool) async throws {
        let (client, console) = (invocation.client, invocation.console)
        var convergence = Convergence(name: name)
        var display = ProgressDisplay(isTerminal: console.isTerminal, columns: console.columns)
        Interrupt.watch()
        defer { Interrupt.ignore() }
        console.flush()
        while true {
            let service = try await client.service(serviceID)
            let tasks = try await client.tasks(filters: [
                (key: "service", value: serviceID), (key: "_up-to-date", value: "true"),
            ])
            let seen = ServiceObservation(service: service, tasks: tasks, nodes: try await client.nodes())
            let (lines, outcome) = convergence.observe(
                seen, at: Instant(nanoseconds: WallClock.monotonicNanoseconds))
            if !quiet {
                console.write(display.show(lines))
                console.flush()
            }
            switch outcome {
            case .converged: return
            case .failed(let message): throw CommandFailure(message)
            case .waiting: break
            }
            if Interrupt.happened {
                console.print("Operation continuing in background.")
                console.print("Use `swarmctl service ps \(name)` to check progress.")
                return
            }
            try await Task.sleep(for: .milliseconds(pollMilliseconds))
        }
    }
}
