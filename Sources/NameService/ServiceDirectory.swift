package import SwarmCore

/// Every name of every network this node has part in; swapped whole.
package struct ServiceDirectory: Sendable, Equatable {
    /// By network id.
    package var networks: [String: NetworkZone]
    package init(networks: [String: NetworkZone] = [:]) { self.networks = networks }
}

/// The names of one network, indexed when it is made.
package struct NetworkZone: Sendable, Equatable {
    package let id: String
    package let name: String
    package let isInternal: Bool
    package let services: [ServiceRecord]
    package let containers: [ContainerRecord]
    let suffix: Name
    private(set) var entries: [Name: Entry] = [:]
    private(set) var reverse: [IPv4Address: Name] = [:]

    /// The addresses of one name; a lower rank hides a higher one, equal ranks unite.
    struct Entry: Sendable, Equatable {
        var rank: Int
        var addresses: [IPv4Address]
    }

    package init(
        id: String, name: String, isInternal: Bool = false, services: [ServiceRecord] = [],
        containers: [ContainerRecord] = []
    ) {
        (self.id, self.name, self.isInternal) = (id, name, isInternal)
        (self.services, self.containers) = (services, containers)
        suffix = Name(name)?.lowercased ?? Name(uncheckedWire: [])
        for service in services { index(service) }
        for container in containers {
            for name in container.names { add(name, 2, [container.address]) }
            if let first = container.names.first { addReverse(container.address, first) }
        }
    }

    private mutating func index(_ service: ServiceRecord) {
        let all = service.endpoints.map(\.address)
        let own = service.virtualIP.map { [$0] } ?? all
        for (rank, name) in [(0, service.name)] + service.aliases.map({ (1, $0) }) {
            add(name, rank, own)
            add("tasks." + name, rank, all)
        }
        if let address = service.virtualIP { addReverse(address, service.name) }
        for endpoint in service.endpoints {
            let swapped = endpoint.taskName.split(separator: ".").reversed().joined(separator: ".")
            let id = String(endpoint.containerID.prefix(12))
            for name in [endpoint.containerName, id, endpoint.taskName, swapped] {
                add(name, 2, [endpoint.address])
            }
            for name in endpoint.aliases { add(name, 3, [endpoint.address]) }
            addReverse(endpoint.address, endpoint.containerName)
        }
    }

    /// Text that is no domain name cannot be asked for and is left out.
    private mutating func add(_ text: String, _ rank: Int, _ addresses: [IPv4Address]) {
        guard let name = Name(text)?.lowercased, !name.wire.isEmpty else { return }
        guard var entry = entries[name], entry.rank <= rank else {
            entries[name] = Entry(rank: rank, addresses: addresses)
            return
        }
        guard entry.rank == rank else { return }
        entry.addresses += addresses.filter { !entry.addresses.contains($0) }
        entries[name] = entry
    }

    private mutating func addReverse(_ address: IPv4Address, _ text: String) {
        guard reverse[address] == nil, let name = Name(text), let suffix = Name(self.name) else { return }
        reverse[address] = name.appending(suffix)
    }
}

/// A service on one network.
package struct ServiceRecord: Sendable, Equatable {
    package var name: String
    package var aliases: [String]
    /// Nil in DNS round robin mode.
    package var virtualIP: IPv4Address?
    /// Running and healthy tasks only.
    package var endpoints: [EndpointRecord]

    package init(
        name: String, aliases: [String] = [], virtualIP: IPv4Address? = nil, endpoints: [EndpointRecord] = []
    ) {
        (self.name, self.aliases, self.virtualIP, self.endpoints) = (name, aliases, virtualIP, endpoints)
    }
}

/// A running task of a service.
package struct EndpointRecord: Sendable, Equatable {
    package var address: IPv4Address
    /// `web.1`
    package var taskName: String
    /// `web.1.<task id>`
    package var containerName: String
    package var containerID: String
    /// Host name and aliases of this one task.
    package var aliases: [String]

    package init(
        address: IPv4Address, taskName: String, containerName: String, containerID: String, aliases: [String] = []
    ) {
        (self.address, self.taskName, self.containerName) = (address, taskName, containerName)
        (self.containerID, self.aliases) = (containerID, aliases)
    }
}

/// A container that is no task.
package struct ContainerRecord: Sendable, Equatable {
    package var address: IPv4Address
    /// The first is its name, the others are aliases.
    package var names: [String]

    package init(address: IPv4Address, names: [String]) { (self.address, self.names) = (address, names) }
}
