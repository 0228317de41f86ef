package import SwarmModel

/// A plan in the making: a snapshot, and on top of it the changes that the planner's steps have decided so
/// far.
///
/// Each step sees what earlier steps decided; the result is at most one action for each object, and none
/// for an
/// object that ended up as it was.
package struct StoreDraft: Sendable {
    package let base: ObjectStore
    /// The snapshot with all changes so far.
    package internal(set) var store: ObjectStore
    /// Counts changes, also those of what was changed before.
    package private(set) var changes = 0
    /// At most this many objects change; steps leave the rest for the next pass.
    package let maximumActions: Int
    private var touched: [Key] = []
    private var changed: [Key: Change] = [:]

    private struct Key: Hashable {
        var kind: ObjectKind
        var id: ObjectID

        /// Identifiers of different kinds are seldom equal.
        func hash(into hasher: inout Hasher) { hasher.combine(id) }
    }
    private struct Change {
        /// Whether the snapshot has the object.
        var isInBase: Bool
        /// What was changed once is another; what was changed again may be as it was.
        var isRepeated = false
    }

    package init(_ base: ObjectStore, maximumActions: Int) {
        (self.base, store, self.maximumActions) = (base, base, maximumActions)
    }

    package var isFull: Bool { touched.count >= maximumActions }

    /// Whether one more change of this object fits.
    package func accepts(_ kind: ObjectKind, _ id: ObjectID) -> Bool {
        !isFull || changed[Key(kind: kind, id: id)] != nil
    }

    package mutating func put(_ object: StoreObject) {
        let before = store.object(object.kind, object.id)
        guard before != object else { return }
        note(object.kind, object.id, isNew: before == nil)
        store.put(object, replacing: before)
    }

    /// As ``put(_:)`` of a task that is in ``store`` and certainly differs from what is there.
    package mutating func replace(_ task: SwarmTask) {
        note(.task, task.id, isNew: false)
        store.replace(task)
    }

    package mutating func remove(_ kind: ObjectKind, _ id: ObjectID) {
        guard let before = store.object(kind, id) else { return }
        note(kind, id, isNew: false)
        store.take(before)
    }

    /// What it takes to turn the snapshot into the draft.
    package var actions: [StoreAction] {
        touched.compactMap { key in
            guard let change = changed[key] else { return nil }
            guard let after = store.object(key.kind, key.id) else {
                return change.isInBase ? .remove(key.kind, key.id) : nil
            }
            guard change.isInBase else { return .create(after) }
            return change.isRepeated && base.object(key.kind, key.id) == after ? nil : .update(after)
        }
    }

    private mutating func note(_ kind: ObjectKind, _ id: ObjectID, isNew: Bool) {
        changes += 1
        let key = Key(kind: kind, id: id)
        if let before = changed.updateValue(Change(isInBase: !isNew), forKey: key) {
            changed[key] = Change(isInBase: before.isInBase, isRepeated: true)
        } else {
            touched.append(key)
        }
    }
}
