package import Overlay
package import Ports
package import SwarmCore
import SwarmModel

/// One standalone container as its node's machine knows it.
package struct StandaloneMember: Sendable, Equatable {
    package enum Phase: Sendable, Equatable {
        /// Created or ended; it holds nothing but its files.
        case resting
        /// Waits for its addresses.
        case attaching(until: Instant)
        /// Waits for the kernel.
        case joining(version: UInt64)
        case starting
        case running
        /// Between an end and the next start by its restart rule; it keeps its networks.
        case waiting(until: Instant)
        case removing
    }

    package let id: String
    package internal(set) var name: String
    package internal(set) var wishes: StandaloneContainer
    package internal(set) var phase = Phase.resting
    let hostname: String
    /// `--add-host`, as `address name`.
    let extraHosts: [String]
    /// `--dns`.
    let nameservers: [String]
    /// Who waits for its start.
    var tickets: [UInt64] = []
    var startedAt: Instant?
    var lastExit: Timestamp?
    var earlyExit: EarlyExit?
    /// Before its next restart.
    var pause = StandaloneMachine.restartPause
    /// Ends in a row that its restart rule has answered.
    var failures = 0
    /// Its end was asked for: its restart rule does not count.
    var isHeldDown = false
    /// By network: who waits for an address on it while the container runs.
    var connecting: [String: UInt64] = [:]
    /// Who waits for the kernel, and for which version.
    var joins: [Join] = []
    /// When to ask again for an address that was lost while it runs.
    var reattachAt: Instant?

    struct EarlyExit: Sendable, Equatable {
        var code: Int
        var time: Timestamp
    }
    struct Join: Sendable, Equatable {
        var version: UInt64
        var ticket: UInt64
    }

    init(_ info: ContainerInfo, _ wishes: StandaloneContainer) {
        let spec = info.request?.spec
        (id, name, self.wishes) = (info.id, info.name, wishes)
        hostname = spec?.hostname ?? String(info.id.prefix(12))
        extraHosts = spec?.hosts ?? []
        nameservers = spec?.dnsConfig?.nameservers ?? []
        lastExit = info.finishedAt
    }

    /// Whether it has a network namespace of its own making, with or without networks in it: a container that has left
    /// its last network may join another.
    var usesNamespace: Bool {
        !["host", "none"].contains(wishes.networkMode) && !wishes.networkMode.hasPrefix("container:")
    }

    /// Whether its namespace must exist in the kernel.
    package var holdsNetwork: Bool {
        switch phase {
        case .joining, .starting, .running, .waiting: usesNamespace
        case .resting, .attaching, .removing: false
        }
    }

    /// Whether addresses that managers gave it are still its own.
    var wantsAddresses: Bool {
        if case .attaching = phase { return true }
        return holdsNetwork
    }

    /// What /etc/hosts has beyond the defaults.
    var hosts: [String] {
        extraHosts + wishes.endpoints.compactMap { $0.address.map { "\($0.address) \(hostname)" } }
    }

    func waitsForNetwork(after version: UInt64) -> Bool {
        if case .joining(let wanted) = phase, wanted > version { return true }
        return joins.contains { $0.version > version }
    }

    /// The names by which other containers find it, besides its own.
    func aliases(on endpoint: StandaloneEndpoint) -> [String] { [String(id.prefix(12))] + endpoint.aliases }

    func index(ofNetwork text: String) -> Int? {
        wishes.endpoints.firstIndex { endpoint in
            endpoint.networkName == text || endpoint.networkID == text
                || (text.count >= 4 && endpoint.networkID.hasPrefix(text))
        }
    }

    func portFailure(in failures: [PublishedPort.Key: String]) -> String? {
        guard !failures.isEmpty else { return nil }
        for port in wishes.ports {
            guard let key = port.key, let reason = failures[key] else { continue }
            return "driver failed programming external connectivity on endpoint \(name) (\(id)): \(reason)"
        }
        return nil
    }

    func told(isConnected: Bool) -> [StandaloneEffect] {
        wishes.endpoints.filter { $0.address != nil }.map {
            .tell(containerID: id, network: $0.networkName, networkID: $0.networkID, isConnected: isConnected)
        }
    }

    mutating func releaseAddresses() {
        for index in wishes.endpoints.indices {
            wishes.endpoints[index].address = nil
            wishes.endpoints[index].attachmentID = nil
        }
        for index in wishes.ports.indices { wishes.ports[index].assignedPort = nil }
    }
}

extension PortBinding {
    /// While it is assigned.
    package var key: PublishedPort.Key? {
        guard let number = assignedPort, let proto = TransportProtocol(rawValue: transport) else {
            return nil
        }
        return PublishedPort.Key(transport: proto, port: number)
    }
}

extension StandaloneContainer {
    /// - Parameters:
    ///   - failures: ends in a row before this one that the rule has answered.
    ///   - isBoot: swarmd comes up and finds the container ended.
    func mayRestart(code: Int, failures: Int, isBoot: Bool) -> Bool {
        guard !removesItself, !(isStoppedByHand && (!isBoot || restart.name != .always)) else { return false }
        switch restart.name {
        case .no: return false
        case .always, .unlessStopped: return true
        case .onFailure:
            return code != 0 && (restart.maximumRetries == 0 || failures < restart.maximumRetries)
        }
    }
}
