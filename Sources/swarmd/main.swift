import FoundationEssentials
import Glibc
import Logging
import SwarmCore
import SwarmDaemon

let usage = """
    swarmd: a node of a swarm.
      --data-dir DIR        state, default /var/lib/swarmd
      --run-dir DIR         what a reboot may lose, default /run/swarmd
      --host ADDRESS        where the API is served, default unix:///run/swarmd.sock; may be repeated.
                            tcp://ADDRESS:PORT needs --tlsverify with the three files below, or --insecure-tcp
      --tlsverify           clients over TCP must show a certificate of --tlscacert FILE;
                            --tlscert FILE and --tlskey FILE are the daemon's own
      --insecure-tcp        serve tcp:// without TLS: whoever reaches it is root on this machine
      --containerd SOCKET   use this containerd; by default swarmd runs its own
      --cgroup-parent PATH  default /swarmd
      --log-level LEVEL     debug, info, warning, error
      --remove-everything   remove containers, namespaces and links, then end
    Each is also SWARMD_DATA_DIR and so on, in the environment or in /etc/swarmd/swarmd.env.
    """
let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.contains("--help") || arguments.contains("-h") {
    print(usage)
    exit(0)
}
do {
    let file = try? String(contentsOf: URL(filePath: DaemonConfiguration.file), encoding: .utf8)
    let configuration = try DaemonConfiguration(
        arguments: arguments, environment: ProcessInfo.processInfo.environment, fileText: file)
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    var logger = Logger(label: "swarmd")
    logger.logLevel = Logger.Level(rawValue: configuration.logLevel) ?? .info
    try await Daemon.run(configuration, logger: logger)
} catch {
    print("swarmd: \(error)")
    exit(1)
}
