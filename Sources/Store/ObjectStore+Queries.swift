import HashTreeCollections
package import SwarmModel

/// Who uses what, for refusing a removal with the users' names.
extension ObjectStore {
    /// Objects of all kinds.
    package var count: Int {
        nodes.count + services.count + networks.count + secrets.count + configs.count + tasks.count
            + (cluster == nil ? 0 : 1)
    }

    /// The services whose template refers to a secret, in the order of their names.
    package func services(usingSecret id: ObjectID) -> [Service] {
        byName { $0.secrets?.contains { $0.secretID == id } == true }
    }

    /// The services whose template refers to a config, in the order of their names.
    package func services(usingConfig id: ObjectID) -> [Service] {
        byName { $0.configs?.contains { $0.configID == id } == true }
    }

    /// Every secret that some service's template refers to.
    package var secretsInUse: Set<ObjectID> {
        Set(containerSpecs.flatMap { ($0.secrets ?? []).map(\.secretID) })
    }

    /// Every config that some service's template refers to.
    package var configsInUse: Set<ObjectID> {
        Set(containerSpecs.flatMap { ($0.configs ?? []).map(\.configID) })
    }

    /// The routing mesh's network, if there is one.
    package var ingressNetwork: Network? { networks.sorted.first { $0.spec.ingress == true } }

    private var containerSpecs: [ContainerSpec] {
        var specs: [ContainerSpec] = []
        services.forEach { service in if let spec = service.spec.taskTemplate.containerSpec { specs.append(spec) } }
        return specs
    }

    private func byName(where matches: (ContainerSpec) -> Bool) -> [Service] {
        var found: [Service] = []
        services.forEach { if $0.spec.taskTemplate.containerSpec.map(matches) == true { found.append($0) } }
        return found.sorted { ($0.spec.name, $0.id) < ($1.spec.name, $1.id) }
    }
}
