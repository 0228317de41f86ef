import FoundationEssentials
package import SwarmCore
package import SwarmModel

/// Everything that an operator decides about one daemon.
///
/// A flag comes before `SWARMD_*` in the environment, that before `/etc/swarmd/swarmd.env`, that before the default.
package struct DaemonConfiguration: Sendable, Equatable {
    package var dataDirectory = "/var/lib/swarmd"
    package var runDirectory = "/run/swarmd"
    /// Where the API is served, as they were given.
    package var hosts = ["unix:///run/swarmd.sock"]
    /// What `tcp://` addresses need.
    package var tls = APISecurity()
    /// A containerd that is there already; nil runs one of our own.
    package var containerdSocket: String?
    package var cgroupParent = "/swarmd"
    package var logLevel = "info"
    /// `HOST`, `HOST:PORT` or networks: registries without a trusted certificate. All places' values add up.
    package var insecureRegistries: [String] = []
    /// `key=value`: what the swarm knows as the labels of this node's engine.
    package var labels: [String] = []
    /// What tasks may claim of this node beside CPU and memory.
    package var genericResources: [GenericResource] = []
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
        "GOSSIP_PORT", "GOSSIP_PROFILE", "TLSVERIFY", "TLSCACERT", "TLSCERT", "TLSKEY", "INSECURE_TCP",
        "LABEL", "NODE_GENERIC_RESOURCE",
    ]
    /// Flags that need no value.
    private static let switches: Set = ["--tlsverify", "--insecure-tcp"]

    /// Where the values of a list come from: those of one place add up, and replace those of a place that comes later.
    private var places: [String: String] = [:]
    private var genericTerms: [String] = []

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
            if Self.switches.contains(flag) {
                try set(Self.key(flag.dropFirst(2)), "true", "the command line")
                continue
            }
            let parts = flag.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = Self.key(parts[0])
            guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                throw SwarmError(.invalidArgument, "\(flag) needs a value")
            }
            try set(name, value, "the command line")
        }
        _ = try addresses()
    }

    private static func key(_ flag: some StringProtocol) -> String { flag.uppercased().replacing("-", with: "_") }

    private mutating func set(_ key: String, _ value: String, _ place: String) throws(SwarmError) {
        switch key {
        case "DATA_DIR": dataDirectory = value
        case "RUN_DIR": runDirectory = value
        case "HOST":
            add(value.split(separator: ",").map(String.init), to: \.hosts, key, place)
        case "LABEL":
            guard value.contains("="), !value.hasPrefix("=") else {
                throw SwarmError(.invalidArgument, "bad attribute format: \(value) in \(place): must be key=value")
            }
            add([value], to: \.labels, key, place)
        case "NODE_GENERIC_RESOURCE":
            add(value.split(separator: ",").map(String.init), to: \.genericTerms, key, place)
            genericResources = try GenericResource.parse(genericTerms)
        case "TLSCACERT": tls.authority = value
        case "TLSCERT": tls.certificate = value
        case "TLSKEY": tls.key = value
        case "TLSVERIFY": tls.isOn = try Self.isOn(value, key, place)
        case "INSECURE_TCP": tls.allowsPlain = try Self.isOn(value, key, place)
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

    private mutating func add(
        _ values: [String], to list: WritableKeyPath<Self, [String]>, _ key: String, _ place: String
    ) {
        // All lines of the file are one place.
        let source = place.split(separator: ",").first.map(String.init) ?? place
        if places[key] != source { self[keyPath: list] = [] }
        places[key] = source
        self[keyPath: list] += values
    }

    private static func isOn(_ value: String, _ key: String, _ place: String) throws(SwarmError) -> Bool {
        switch value.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off", "": return false
        default:
            throw SwarmError(.invalidArgument, "SWARMD_\(key)=\(value) in \(place): must be true or false")
        }
    }

    /// The API's addresses.
    /// - Throws: `.invalidArgument` for one that cannot be, or that everybody on the network could command.
    package func addresses() throws(SwarmError) -> [APIAddress] {
        var addresses: [APIAddress] = []
        for host in hosts { addresses.append(try APIAddress(host)) }
        guard !addresses.isEmpty else {
            throw SwarmError(.invalidArgument, "no address to serve the API at: set --host")
        }
        guard let open = addresses.first(where: \.isTCP) else { return addresses }
        if tls.isOn {
            for (flag, value) in [
                ("--tlscacert", tls.authority), ("--tlscert", tls.certificate), ("--tlskey", tls.key),
            ] where value.isEmpty {
                throw SwarmError(.invalidArgument, "--tlsverify for \(open) needs \(flag) FILE")
            }
        } else if !tls.allowsPlain {
            throw SwarmError(
                .invalidArgument,
                "host \(open): whoever reaches it would be root on this machine. Give --tlsverify --tlscacert FILE "
                    + "--tlscert FILE --tlskey FILE, or --insecure-tcp if nobody else can reach it")
        }
        return addresses
    }
}

/// Files of the API's TLS, in PEM.
package struct APISecurity: Sendable, Equatable {
    /// Clients must show a certificate of the authority.
    package var isOn = false
    package var allowsPlain = false
    package var authority = ""
    package var certificate = ""
    package var key = ""
}

/// `unix:///path` or `tcp://host:port`.
package enum APIAddress: Sendable, Equatable, CustomStringConvertible {
    case unix(path: String)
    case tcp(host: String, port: Int)

    /// - Throws: `.invalidArgument` with the address.
    package init(_ text: String) throws(SwarmError) {
        let refusal = SwarmError(.invalidArgument, "host \(text): must be unix:///path or tcp://address:port")
        if text.hasPrefix("unix:///") {
            self = .unix(path: String(text.dropFirst("unix://".count)))
            return
        }
        let rest = text.dropFirst("tcp://".count)
        guard text.hasPrefix("tcp://"), let colon = rest.lastIndex(of: ":"),
            let port = Int(rest[rest.index(after: colon)...]), (1...65_535).contains(port)
        else { throw refusal }
        let host = rest[..<colon].filter { $0 != "[" && $0 != "]" }
        self = .tcp(host: host.isEmpty ? "0.0.0.0" : host, port: port)
    }

    var isTCP: Bool { if case .tcp = self { true } else { false } }

    package var description: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let host, let port): "tcp://\(host):\(port)"
        }
    }
}

/// The network that gossip is tuned for.
package enum GossipProfile: String, Sendable {
    case lan, wan, local
}
