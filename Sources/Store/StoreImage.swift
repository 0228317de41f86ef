package import SwarmModel

/// The whole store as plain lists, for snapshots on disk and to followers.
package struct StoreImage: Sendable, Equatable, Codable {
    package var index: UInt64
    package var cluster: Cluster?
    package var nodes: [Node]
    package var services: [Service]
    package var networks: [Network]
    package var secrets: [Secret]
    package var configs: [Config]
    package var tasks: [SwarmTask]

    /// Lists every object in the order of its identifier, so that equal stores have equal images.
    package init(_ store: ObjectStore) {
        index = store.index
        cluster = store.cluster
        nodes = store.nodes.sorted
        services = store.services.sorted
        networks = store.networks.sorted
        secrets = store.secrets.sorted
        configs = store.configs.sorted
        tasks = store.tasks.sorted
    }

    /// The store that this image was taken of, indexes rebuilt.
    package var store: ObjectStore {
        var store = ObjectStore()
        store.index = index
        if let cluster { store.put(.cluster(cluster), replacing: nil) }
        for node in nodes { store.put(.node(node), replacing: nil) }
        for service in services { store.put(.service(service), replacing: nil) }
        for network in networks { store.put(.network(network), replacing: nil) }
        for secret in secrets { store.put(.secret(secret), replacing: nil) }
        for config in configs { store.put(.config(config), replacing: nil) }
        for task in tasks { store.put(.task(task), replacing: nil) }
        return store
    }
}
