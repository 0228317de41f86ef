import SwarmCore
package import SwarmModel

/// Names one item of an assignment.
package enum AssignmentKey: Sendable, Hashable, Comparable {
    case task(ObjectID), network(ObjectID), secret(ObjectID), config(ObjectID)
    /// The endpoints of one service.
    case endpoints(ObjectID)
}

package enum AssignmentItem: Sendable, Equatable {
    case task(SwarmTask), network(Network), secret(Secret), config(Config)
    case endpoints(ServiceEndpoints)

    package var key: AssignmentKey {
        switch self {
        case .task(let task): .task(task.id)
        case .network(let network): .network(network.id)
        case .secret(let secret): .secret(secret.id)
        case .config(let config): .config(config.id)
        case .endpoints(let service): .endpoints(service.id)
        }
    }

    /// Equal fingerprints of one key mean equal items: what is stored is known by its version, and a set of
    /// endpoints by what it is made of.
    package var fingerprint: UInt64 {
        switch self {
        case .task(let task): task.version.index
        case .network(let network): network.version.index
        case .secret(let secret): secret.version.index
        case .config(let config): config.version.index
        case .endpoints(let service): service.fingerprint
        }
    }
}

extension ServiceEndpoints {
    var fingerprint: UInt64 {
        var hash = Fingerprint()
        hash.mix(name)
        hash.mix(isRoundRobin ? 1 : 0)
        for (network, address) in virtualIPs.sorted(by: { $0.key < $1.key }) {
            hash.mix(network)
            hash.mix(UInt64(address.value))
        }
        for network in networks {
            hash.mix(network)
            for alias in aliases[network] ?? [] { hash.mix(alias) }
        }
        for port in ports {
            hash.mix(UInt64(port.targetPort ?? 0) << 32 | UInt64(port.publishedPort ?? 0))
            hash.mix((port.proto ?? "") + "/" + (port.publishMode ?? ""))
        }
        for endpoint in endpoints {
            for text in [endpoint.taskID, endpoint.nodeID, endpoint.containerID, endpoint.hostname] { hash.mix(text) }
            hash.mix(UInt64(endpoint.nodeAddress?.value ?? 0) << 1 | (endpoint.isServing ? 1 : 0))
            for (network, address) in endpoint.addresses.sorted(by: { $0.key < $1.key }) {
                hash.mix(network)
                hash.mix(UInt64(address.value))
            }
        }
        return hash.value
    }
}

/// FNV-1a over words, equal on every node.
struct Fingerprint {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func mix(_ word: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            value = (value ^ (word >> UInt64(shift) & 255)) &* 0x100_0000_01b3
        }
    }
    mutating func mix(_ text: String) {
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        mix(UInt64(text.utf8.count))
    }
}

/// What turns one assignment into the next one.
package struct AssignmentDelta: Sendable, Equatable {
    package var changed: [AssignmentItem]
    package var removed: [AssignmentKey]

    package init(changed: [AssignmentItem] = [], removed: [AssignmentKey] = []) {
        (self.changed, self.removed) = (changed, removed)
    }

    package var isEmpty: Bool { changed.isEmpty && removed.isEmpty }
}

extension Assignment {
    /// Every item, in the order in which a reader would need them.
    package var items: [AssignmentItem] {
        networks.map { .network($0) } + secrets.map { .secret($0) } + configs.map { .config($0) }
            + services.map { .endpoints($0) } + tasks.map { .task($0) }
    }

    package var fingerprints: [AssignmentKey: UInt64] {
        Dictionary(items.map { ($0.key, $0.fingerprint) }, uniquingKeysWith: { first, _ in first })
    }

    /// What somebody lacks who holds items with these fingerprints.
    package func delta(from held: [AssignmentKey: UInt64]) -> AssignmentDelta {
        delta(from: held, to: fingerprints)
    }

    /// - Parameter current: the fingerprints of this assignment.
    func delta(from held: [AssignmentKey: UInt64], to current: [AssignmentKey: UInt64]) -> AssignmentDelta {
        AssignmentDelta(
            changed: items.filter { held[$0.key] != current[$0.key] },
            removed: held.keys.filter { current[$0] == nil }.sorted())
    }

    /// The assignment after that change; lists stay in the order of their identifiers.
    package mutating func apply(_ delta: AssignmentDelta) {
        for key in delta.removed {
            switch key {
            case .task(let id): tasks.removeAll { $0.id == id }
            case .network(let id): networks.removeAll { $0.id == id }
            case .secret(let id): secrets.removeAll { $0.id == id }
            case .config(let id): configs.removeAll { $0.id == id }
            case .endpoints(let id): services.removeAll { $0.id == id }
            }
        }
        for item in delta.changed {
            switch item {
            case .task(let task): tasks.place(task, by: \.id)
            case .network(let network): networks.place(network, by: \.id)
            case .secret(let secret): secrets.place(secret, by: \.id)
            case .config(let config): configs.place(config, by: \.id)
            case .endpoints(let service): services.place(service, by: \.id)
            }
        }
    }
}

extension Array {
    /// Replaces the element of that identifier, or inserts it in order.
    fileprivate mutating func place(_ element: Element, by id: (Element) -> String) {
        let key = id(element)
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if id(self[middle]) < key { low = middle + 1 } else { high = middle }
        }
        if low < count, id(self[low]) == key { self[low] = element } else { insert(element, at: low) }
    }
}
