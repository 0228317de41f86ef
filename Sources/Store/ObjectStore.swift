import HashTreeCollections
package import SwarmModel

/// All replicated objects at one log index. Copying it is a snapshot (persistent tables, `Decisions/0002`).
package struct ObjectStore: Sendable {
    /// The log index of the last applied transaction.
    package internal(set) var index: UInt64 = 0
    package internal(set) var cluster: Cluster?
    package internal(set) var nodes = Table<Node>()
    package internal(set) var services = Table<Service>()
    package internal(set) var networks = Table<Network>()
    package internal(set) var secrets = Table<Secret>()
    package internal(set) var configs = Table<Config>()
    package internal(set) var tasks = Table<SwarmTask>()
    var taskIDsByService: TreeDictionary<ObjectID, TreeSet<ObjectID>> = [:]
    var taskIDsByNode: TreeDictionary<ObjectID, TreeSet<ObjectID>> = [:]

    package init() {}

    /// A service's tasks, oldest id order, whatever their state.
    package func tasks(ofService id: ObjectID) -> [SwarmTask] { resolve(taskIDsByService[id]) }
    package func tasks(onNode id: ObjectID) -> [SwarmTask] { resolve(taskIDsByNode[id]) }

    private func resolve(_ ids: TreeSet<ObjectID>?) -> [SwarmTask] {
        (ids ?? []).sorted().compactMap { tasks[$0] }
    }
}
