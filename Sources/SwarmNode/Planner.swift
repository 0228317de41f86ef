package import Allocation
import Orchestration
import Scheduling
package import Store
package import SwarmCore

/// What one planning pass decided.
package struct Plan: Sendable {
    package var actions: [StoreAction]
    /// When to plan again although nothing changes.
    package var revisitAt: Timestamp?
}

/// Orchestrate, allocate, schedule: one pure function from a snapshot to one transaction.
package enum Planner {
    /// One transaction changes at most this many objects; the next pass goes on.
    package static let maximumActions = 500

    package static func plan(_ store: ObjectStore, at now: Timestamp, facts: AllocationFacts, seed: UInt64)
        -> Plan
    {
        guard store.cluster != nil else { return Plan(actions: [], revisitAt: nil) }
        var draft = StoreDraft(store, maximumActions: maximumActions)
        var generator = SeededGenerator(seed: seed)
        let revisit = Reconciler.reconcile(&draft, at: now, using: &generator)
        Allocator.allocate(&draft, at: now, facts: facts)
        Scheduler.schedule(&draft, at: now)
        return Plan(actions: draft.actions, revisitAt: draft.isFull ? now : revisit)
    }
}
