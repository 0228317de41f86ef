import HashTreeCollections
package import SwarmCore
package import SwarmModel

/// Services that the planner found to need nothing, so that it need not look at them again before something changes.
///
/// With a thousand services a commit changes one or two; looking at all of them each time is what would make a big
/// cluster slow.
package struct SettledServices: Sendable {
    private struct Finding: Sendable {
        /// Of the store that was looked at.
        var index: UInt64
        /// When to look again although nothing changes.
        var revisitAt: Timestamp?
    }
    private var findings: [ObjectID: Finding] = [:]
    /// Of the store in which every node had what its tasks need.
    fileprivate var nodesIndex: UInt64?

    package init() {}

    mutating func add(_ service: ObjectID, index: UInt64, revisitAt: Timestamp?) {
        findings[service] = Finding(index: index, revisitAt: revisitAt)
    }
    mutating func remove(_ service: ObjectID) { findings[service] = nil }
    /// - Returns: nil when the service must be looked at.
    fileprivate func finding(_ service: ObjectID, since changedAt: UInt64, at now: Timestamp) -> Timestamp?? {
        guard let finding = findings[service], finding.index >= changedAt else { return nil }
        guard let revisit = finding.revisitAt else { return .some(nil) }
        return revisit > now ? .some(revisit) : nil
    }
}

extension ObjectStore {
    /// Whether no node can have lost anything that its tasks need since they were last looked at.
    package var areNodesSettled: Bool { settled.nodesIndex.map { $0 >= surroundingsChangedAt } ?? false }

    /// Whether nothing can have changed for a service since it was found to need nothing.
    /// - Returns: nil when the service must be looked at; otherwise when it must be next, if ever.
    package func settledUntil(_ service: ObjectID, at now: Timestamp) -> Timestamp?? {
        settled.finding(service, since: max(changedAt[service] ?? .max, surroundingsChangedAt), at: now)
    }
}

extension StoreDraft {
    /// The service, as the snapshot has it, needs nothing before that time.
    package mutating func settle(_ service: ObjectID, until revisitAt: Timestamp?) {
        store.settled.add(service, index: base.index, revisitAt: revisitAt)
    }
    /// Every node, as the snapshot has it, has what its tasks need.
    package mutating func settleNodes() { store.settled.nodesIndex = base.index }
    package mutating func unsettle(_ service: ObjectID) { store.settled.remove(service) }
}
