import Glibc
import Synchronization

/// The process: its signals and its end.
enum DaemonProcess {
    private static let stopRequested = Atomic<Bool>(false)
    /// How long a stop signal may go unnoticed.
    private static let pollInterval: Duration = .milliseconds(50)

    static func exit(code: Int32) -> Never { Glibc.exit(code) }

    /// Returns once SIGTERM or SIGINT has come.
    static func stopSignal() async {
        _ = signal(SIGPIPE, SIG_IGN)
        let handler: @convention(c) (Int32) -> Void = { _ in
            DaemonProcess.stopRequested.store(true, ordering: .relaxed)
        }
        _ = signal(SIGTERM, handler)
        _ = signal(SIGINT, handler)
        while !stopRequested.load(ordering: .relaxed), !Task.isCancelled {
            try? await Task.sleep(for: pollInterval)
        }
    }
}
