package import Logging
package import Overlay
package import SwarmCore

/// What of the desired state could not be had, in words for a person.
package struct NetworkReport: Sendable, Equatable {
    package var networks: [String: String] = [:]
    package var sandboxes: [String: String] = [:]
    package var ports: [PublishedPort.Key: String] = [:]
    /// What concerns the whole node: without it nothing is published and nothing gets out.
    package var host: String?

    package var isClean: Bool { networks.isEmpty && sandboxes.isEmpty && ports.isEmpty && host == nil }

    mutating func add(_ subject: NetworkOperation.Subject, _ words: String) {
        switch subject {
        case .network(let id): networks[id] = networks[id] ?? words
        case .sandbox(let id): sandboxes[id] = sandboxes[id] ?? words
        case .port(let key): ports[key] = ports[key] ?? words
        case .host: host = host ?? words
        }
    }
}

/// Makes the kernel of this node match the desired networking, through netlink and nftables, and mends it.
///
/// Namespaces are files under the run directory and outlive the daemon: a restarted daemon adopts them, and
/// no
/// established flow notices.
package actor KernelNetwork {
    package struct Configuration: Sendable {
        /// Holds `netns/<container id>` and `networks/<network id>`.
        package var runDirectory: String
        /// Starts the name of every link made in the host's namespace; at most 6 bytes, no other link may
        /// start with it.
        package var namePrefix: String
        /// A pinned namespace to treat as the host; nil is the daemon's own.
        package var hostNamespace: String?

        package init(runDirectory: String, namePrefix: String = "swm-", hostNamespace: String? = nil) {
            (self.runDirectory, self.namePrefix) = (runDirectory, namePrefix)
            self.hostNamespace = hostNamespace
        }
    }

    struct NamespaceHandles: Sendable {
        var netlink: NetlinkSocket
        var nftables: NFTablesContext
    }

    nonisolated let configuration: Configuration
    nonisolated let logger: Logger
    private nonisolated let thread = BlockingThread()
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    var host: NamespaceHandles?
    var networkHandles: [String: NamespaceHandles] = [:]
    var reservations: [PublishedPort.Key: PortReservation] = [:]
    var observed = ObservedNetworking()
    var desired: DesiredNetworking?
    /// Counts up and never repeats, since the name of a dying link stays taken for a while.
    var nextDoor = 0
    var nextPort = 0
    /// What `nft` prints for a table right after we loaded it; differs once somebody else touched it.
    var hostListing: String?
    var networkListings: [String: String] = [:]
    /// VXLAN identifiers that somebody else's device on this host holds.
    var contested: Set<UInt32> = []
    /// Sandboxes removed since the last look: their interfaces go when the kernel has cleared the namespace away.
    var departing: Set<String> = []

    package init(configuration: Configuration, logger: Logger) {
        (self.configuration, self.logger) = (configuration, logger)
    }

    // MARK: - Life

    /// Checks what the kernel offers, prepares the host, and adopts what an earlier daemon left.
    /// - Throws: `.failedPrecondition` with the module or privilege that is missing.
    package func start() throws(SwarmError) {
        guard configuration.namePrefix.utf8.count <= 6, !configuration.namePrefix.isEmpty else {
            throw SwarmError(
                .invalidArgument, "a link name prefix has 1 to 6 bytes: \(configuration.namePrefix)")
        }
        guard Sysctl.exists("net/bridge/bridge-nf-call-iptables") else {
            throw SwarmError(
                .failedPrecondition,
                "the kernel module br_netfilter is not loaded: run \"modprobe br_netfilter\" and add it to "
                    + "/etc/modules-load.d")
        }
        for directory in ["", "/netns", "/networks"] {
            try makeDirectory(configuration.runDirectory + directory)
        }
        host = try inHost { () throws(SwarmError) in
            try Sysctl.write("net.ipv4.ip_forward", "1")
            // All namespaces of a machine share one neighbour table, which is made for a LAN; beyond its size nobody
            // finds anybody. Only the machine's first namespace has these settings.
            for (name, value) in [("gc_thresh3", 32_768), ("gc_thresh2", 16_384), ("gc_thresh1", 4096)] {
                Sysctl.raise("net/ipv4/neigh/default/" + name, to: value)
            }
            return try NamespaceHandles(netlink: NetlinkSocket(), nftables: NFTablesContext())
        }
        try observe()
    }

    /// Makes the kernel match; one bad object never keeps the others from being applied.
    package func apply(_ desired: DesiredNetworking) -> NetworkReport {
        self.desired = desired
        return carryOut(NetworkPlanner.plan(desired, from: observed)).report
    }

    /// Compares the kernel with the last desired state and mends what differs.
    ///
    /// Rules that were loaded since the last look are loaded once more, since only what `nft` prints of them can be
    /// compared later; that is one transaction, disturbs no flow and is no repair.
    /// - Returns: what was mended.
    package func repair() -> [String] {
        guard let desired else { return [] }
        let balancers = observed.networks.compactMapValues(\.balancer)
        let hostRuleset = observed.hostRuleset
        let departing = self.departing
        self.departing = []
        do throws(SwarmError) {
            try observe()
        } catch {
            logger.warning("network state unreadable", metadata: ["error": "\(error)"])
            return []
        }
        for (id, found) in observed.networks {
            // What is on its way out is no damage; what is still there on the next look is.
            observed.networks[id]?.ports = found.ports.filter { !departing.contains($0.sandboxID) }
        }
        let isHostKnown = hostListing != nil
        let known = Set(networkListings.keys)
        if isHostKnown, hostListing == listing(host, HostRuleset.tableName) { observed.hostRuleset = hostRuleset }
        for (id, handles) in networkHandles where observed.networks[id] != nil {
            guard let before = networkListings[id], before == listing(handles, BalancerTable.tableName) else {
                continue
            }
            observed.networks[id]?.balancer = balancers[id]
        }
        let (_, done) = carryOut(NetworkPlanner.plan(desired, from: observed))
        hostListing = listing(host, HostRuleset.tableName)
        for (id, handles) in networkHandles { networkListings[id] = listing(handles, BalancerTable.tableName) }
        let mended = done.filter { operation in
            switch operation {
            case .setHostRuleset: isHostKnown
            case .setBalancer(let id, _): known.contains(id)
            default: true
            }
        }.map(\.summary)
        for line in mended { logger.warning("network repaired", metadata: ["network.repair": "\(line)"]) }
        return mended
    }

    /// Closes all handles. With `removeEverything` no namespace, link, route, rule or mount of ours is left.
    package func shutdown(removeEverything: Bool) {
        if removeEverything {
            try? observe()
            _ = carryOut(NetworkPlanner.plan(DesiredNetworking(), from: observed))
            _ = try? host?.nftables.run(
                "table \(HostRuleset.tableName)\ndelete table \(HostRuleset.tableName)\n")
            for directory in ["/netns", "/networks", ""] {
                removeDirectory(configuration.runDirectory + directory)
            }
        }
        desired = nil
        networkHandles = [:]
        reservations = [:]
        observed = ObservedNetworking()
        host = nil
    }

    private func carryOut(_ plan: NetworkPlanner.Plan) -> (report: NetworkReport, done: [NetworkOperation]) {
        var report = NetworkReport()
        var done: [NetworkOperation] = []
        for (subject, words) in plan.refusals { report.add(subject, words) }
        for operation in plan.operations {
            do throws(SwarmError) {
                try perform(operation)
                done.append(operation)
                logger.debug("network operation", metadata: ["network.operation": "\(operation.summary)"])
            } catch {
                report.add(operation.subject, error.description)
                logger.warning(
                    "network operation failed",
                    metadata: ["network.operation": "\(operation.summary)", "error": "\(error)"])
            }
        }
        return (report, done)
    }

    // MARK: - Places

    /// The file to give to the container runtime as the container's network namespace.
    package nonisolated func namespacePath(of sandboxID: String) -> String {
        "\(configuration.runDirectory)/netns/\(sandboxID)"
    }

    nonisolated func networkPath(_ id: String) -> String { "\(configuration.runDirectory)/networks/\(id)" }

    /// The subnets this host already routes elsewhere, so that no pool hands them out.
    package nonisolated func hostRoutes() -> [IPv4Subnet] {
        do throws(SwarmError) {
            let socket = try inHost { () throws(SwarmError) in try NetlinkSocket() }
            let ours = Set(try socket.links().filter { isDoor($0.name) }.map(\.index))
            return try socket.routes().filter {
                $0.table == 254 && $0.destination.prefixLength > 0 && !ours.contains($0.index)
            }.map(\.destination)
        } catch {
            logger.warning("host routes unreadable", metadata: ["error": "\(error)"])
            return []
        }
    }

    nonisolated func inHost<Value: Sendable>(
        _ body: @escaping @Sendable () throws(SwarmError) -> Value
    ) throws(SwarmError) -> Value {
        try openInNetworkNamespace(configuration.hostNamespace, body)
    }

    nonisolated func isDoor(_ name: String) -> Bool { name.hasPrefix(configuration.namePrefix) }

    func listing(_ handles: NamespaceHandles?, _ table: String) -> String? {
        try? handles?.nftables.run("list table \(table)\n")
    }
}
