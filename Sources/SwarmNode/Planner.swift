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
    /// What the next plan of this leadership need not look at.
    package var settled = SettledServices()
}

/// Orchestrate, allocate, schedule: one pure function from a snapshot to one transaction.
package enum Planner {
    /// One transaction changes at most this many objects; the next pass goes on.
    package static let maximumActions = 500

    /// The last of the three steps alone, without a limit.
    package static func schedule(_ store: ObjectStore, at now: Timestamp) -> [StoreAction] {
        var draft = StoreDraft(store, maximumActions: .max)
        Scheduler.schedule(&draft, at: now)
        return draft.actions
    }

    package static func plan(_ store: ObjectStore, at now: Timestamp, facts: AllocationFacts, seed: UInt64)
        -> Plan
    {
        guard store.cluster != nil else { return Plan(actions: [], revisitAt: nil) }
        var draft = StoreDraft(store, maximumActions: maximumActions)
        var generator = SeededGenerator(seed: seed)
        let revisit = Reconciler.reconcile(&draft, at: now, using: &generator)
        Allocator.allocate(&draft, at: now, facts: facts)
        Scheduler.schedule(&draft, at: now)
        return Plan(
            actions: draft.actions, revisitAt: draft.isFull ? now : revisit, settled: draft.store.settled)
    }
}
