import FoundationEssentials
package import SwarmCore

/// Everything that an operator decides about one daemon.
///
/// A flag comes before `SWARMD_*` in the environment, that before `/etc/swarmd/swarmd.env`, that before the default.
package struct DaemonConfiguration: Sendable, Equatable {
    package var dataDirectory = "/var/lib/swarmd"
    package var runDirectory = "/run/swarmd"
    package var host = "unix:///run/swarmd.sock"
    /// A containerd that is there already; nil runs one of our own.
    package var containerdSocket: String?
    package var cgroupParent = "/swarmd"
    package var logLevel = "info"
    /// `HOST`, `HOST:PORT` or networks: registries without a trusted certificate. All places' values add up.
    package var insecureRegistries: [String] = []
    /// UDP and TCP.
    package var gossipPort: UInt16 = 7946
    /// How quickly silence counts as death: `lan`, `wan`, or `local` for nodes of one machine.
    package var gossipProfile = GossipProfile.lan
    /// Removes containers, namespaces and state, then ends.
    package var removesEverything = false

    package static let file = "/etc/swarmd/swarmd.env"

    /// Keys as the environment and the file name them; flags are the same in lower case with dashes.
    private static let keys = [
        "DATA_DIR", "RUN_DIR", "HOST", "CONTAINERD", "CGROUP_PARENT", "LOG_LEVEL", "INSECURE_REGISTRY",
        "GOSSIP_PORT",
        "GOSSIP_PROFILE",
    ]

    /// - Throws: `.invalidArgument` with the name of a key that is not known.
    package init(
        arguments: [String], environment: [String: String], fileText: String?
    ) throws(SwarmError) {
        for (number, line) in (fileText ?? "").split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            let text = line.trimmingPrefix { $0 == " " }
            guard !text.isEmpty, !text.hasPrefix("#") else { continue }
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
                String.init)
            guard parts.count == 2, parts[0].hasPrefix("SWARMD_") else {
                throw SwarmError(
                    .invalidArgument, "\(Self.file), line \(number + 1): \(text): expected SWARMD_KEY=value")
            }
            try set(String(parts[0].dropFirst(7)), parts[1], "\(Self.file), line \(number + 1)")
        }
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("SWARMD_") {
            try set(String(name.dropFirst(7)), value, "the environment")
        }
        var rest = arguments[...]
        while let flag = rest.popFirst() {
            guard flag.hasPrefix("--") else {
                throw SwarmError(.invalidArgument, "\(flag): swarmd takes no arguments, only --flags")
            }
            if flag == "--remove-everything" {
                removesEverything = true
                continue
            }
            let parts = flag.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0].uppercased().replacing("-", with: "_")
            guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                throw SwarmError(.invalidArgument, "\(flag) needs a value")
            }
            try set(name, value, "the command line")
        }
        guard host.hasPrefix("unix://") else {
            throw SwarmError(.invalidArgument, "host \(host): only unix:// sockets are served")
        }
    }

    private mutating func set(_ key: String, _ value: String, _ place: String) throws(SwarmError) {
        switch key {
        case "DATA_DIR": dataDirectory = value
        case "RUN_DIR": runDirectory = value
        case "HOST": host = value
        case "CONTAINERD": containerdSocket = value.isEmpty ? nil : value
        case "CGROUP_PARENT": cgroupParent = value
        case "LOG_LEVEL": logLevel = value
        case "INSECURE_REGISTRY":
            let entries = value.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init)
            insecureRegistries += entries
        case "GOSSIP_PORT":
            guard let port = UInt16(value), port > 0 else {
                throw SwarmError(.invalidArgument, "gossip port \(value) in \(place): must be 1 to 65535")
            }
            gossipPort = port
        case "GOSSIP_PROFILE":
            guard let profile = GossipProfile(rawValue: value) else {
                throw SwarmError(
                    .invalidArgument, "gossip profile \(value) in \(place): must be lan, wan or local")
            }
            gossipProfile = profile
        default:
            let known = Self.keys.map { "SWARMD_" + $0 }.joined(separator: ", ")
            throw SwarmError(
                .invalidArgument, "unknown setting SWARMD_\(key) in \(place); known are \(known)")
        }
    }

    var socketPath: String { String(host.dropFirst("unix://".count)) }
}

/// The network that gossip is tuned for.
package enum GossipProfile: String, Sendable {
    case lan, wan, local
}
