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
    private var known: Set<Key> = []

    private struct Key: Hashable {
        var kind: ObjectKind
        var id: ObjectID
    }

    package init(_ base: ObjectStore, maximumActions: Int) {
        (self.base, store, self.maximumActions) = (base, base, maximumActions)
    }

    package var isFull: Bool { touched.count >= maximumActions }

    /// Whether one more change of this object fits.
    package func accepts(_ kind: ObjectKind, _ id: ObjectID) -> Bool {
        !isFull || known.contains(Key(kind: kind, id: id))
    }

    package mutating func put(_ object: StoreObject) {
        let before = store.object(object.kind, object.id)
        guard before != object else { return }
        note(object.kind, object.id)
        store.put(object, replacing: before)
    }

    package mutating func remove(_ kind: ObjectKind, _ id: ObjectID) {
        guard let before = store.object(kind, id) else { return }
        note(kind, id)
        store.take(before)
    }

    /// What it takes to turn the snapshot into the draft.
    package var actions: [StoreAction] {
        touched.compactMap { key in
            let before = base.object(key.kind, key.id)
            guard let after = store.object(key.kind, key.id) else {
                return before == nil ? nil : .remove(key.kind, key.id)
            }
            guard let before else { return .create(after) }
            return before == after ? nil : .update(after)
        }
    }

    private mutating func note(_ kind: ObjectKind, _ id: ObjectID) {
        changes += 1
        let key = Key(kind: kind, id: id)
        if known.insert(key).inserted { touched.append(key) }
    }
}
