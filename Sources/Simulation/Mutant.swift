import Consensus
import Dispatching
import Membership
import SwarmNode

/// A planted fault; each must be noticed by some seed, or the checkers prove nothing.
package enum Mutant: String, Sendable, CaseIterable {
    case appliesStepsBlindly, ignoresGaps, acceptsForeignStatuses, obeysStaleSessions, grantsNoGrace
    case acknowledgesStatusesEarly, reusesAddresses, ignoresConstraints, liesAboutSyncing,
        sendsBeforePersisting
    case answersBeforeAgreement, appliesStalePlans, keepsEndpointsOfTheDead, restartsTasksOnLeaderChange
    case readsWithoutAsking, resendsUnansweredRequests, appliesPlansInPart, keepsLostWrites
    case answersFromSpeculation
    case votesTwice, servesReadsUnconfirmed, appliesBeforeCommit, losesRefutations, keepsOldAddresses

    /// Whether the fixed seeds are too tame to notice it soon.
    private var needsVariety: Bool {
        switch self {
        case .keepsLostWrites, .answersFromSpeculation, .sendsBeforePersisting, .acknowledgesStatusesEarly,
            .resendsUnansweredRequests, .appliesStalePlans, .grantsNoGrace, .votesTwice, .appliesBeforeCommit,
            .keepsOldAddresses:
            true
        default: false
        }
    }

    /// - Parameter isPlanted: false for the same world without the fault, to compare with.
    package func plant(in plan: inout WorldPlan, isPlanted: Bool = true) {
        plan.isVaried = plan.isVaried || needsVariety
        guard isPlanted else { return }
        switch self {
        case .appliesStepsBlindly: plan.dispatchMutations = .appliesStepsBlindly
        case .ignoresGaps: plan.dispatchMutations = .ignoresGaps
        case .acceptsForeignStatuses: plan.dispatchMutations = .acceptsForeignStatuses
        case .obeysStaleSessions: plan.dispatchMutations = .obeysStaleSessions
        case .grantsNoGrace: plan.dispatchMutations = .grantsNoGrace
        case .acknowledgesStatusesEarly: plan.dispatchMutations = .acknowledgesStatusesEarly
        case .reusesAddresses: plan.worldMutations = .reusesAddresses
        case .ignoresConstraints: plan.worldMutations = .ignoresConstraints
        case .liesAboutSyncing: plan.worldMutations = .liesAboutSyncing
        case .sendsBeforePersisting: plan.nodeMutations = .sendsBeforePersisting
        case .answersBeforeAgreement: plan.nodeMutations = .answersBeforeAgreement
        case .appliesStalePlans: plan.nodeMutations = .appliesStalePlans
        case .keepsEndpointsOfTheDead: plan.nodeMutations = .keepsEndpointsOfTheDead
        case .restartsTasksOnLeaderChange: plan.nodeMutations = .restartsTasksOnLeaderChange
        case .readsWithoutAsking: plan.nodeMutations = .readsWithoutAsking
        case .resendsUnansweredRequests: plan.nodeMutations = .resendsUnansweredRequests
        case .appliesPlansInPart: plan.nodeMutations = .appliesPlansInPart
        case .keepsLostWrites: plan.nodeMutations = .keepsLostWrites
        case .answersFromSpeculation: plan.nodeMutations = .answersFromSpeculation
        case .votesTwice: plan.raftMutations = .votesTwice
        case .servesReadsUnconfirmed: plan.raftMutations = .servesReadsUnconfirmed
        case .appliesBeforeCommit: plan.raftMutations = .appliesBeforeCommit
        case .losesRefutations: plan.gossipMutations = .losesRefutations
        case .keepsOldAddresses: plan.gossipMutations = .keepsOldAddresses
        }
    }
}
