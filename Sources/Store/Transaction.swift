package import SwarmCore
package import SwarmModel

/// One object of any kind; in a box, since a task or a service is large and actions are handed on many times.
package indirect enum StoreObject: Sendable, Equatable, Codable {
    case cluster(Cluster), node(Node), service(Service), network(Network), secret(Secret), config(Config)
    case task(SwarmTask)
}

package enum ObjectKind: String, Sendable, Codable, CaseIterable {
    case cluster, node, service, network, secret, config, task
}

/// One write. `update` is refused when the stored version differs from the object's.
package enum StoreAction: Sendable, Equatable, Codable {
    case create(StoreObject)
    case update(StoreObject)
    case remove(ObjectKind, ObjectID)
}

/// Writes that are applied together, at one log index, with one wall-clock time chosen by the leader.
package struct Transaction: Sendable, Equatable, Codable {
    package var actions: [StoreAction]
    package var time: Timestamp

    package init(actions: [StoreAction] = [], time: Timestamp) { (self.actions, self.time) = (actions, time) }
}

/// One write that took effect, with what was there before.
package struct StoreChange: Sendable, Equatable {
    package var before: StoreObject?
    package var after: StoreObject?

    package init(before: StoreObject?, after: StoreObject?) { (self.before, self.after) = (before, after) }
}

/// What applying a transaction did.
package struct Commit: Sendable {
    package var index: UInt64
    package var time: Timestamp
    package var changes: [StoreChange]
    /// Actions that were refused because what they were based on has changed; the rest took effect.
    package var rejected: [StoreAction]

    package init(index: UInt64, time: Timestamp, changes: [StoreChange] = [], rejected: [StoreAction] = []) {
        (self.index, self.time, self.changes, self.rejected) = (index, time, changes, rejected)
    }
}
