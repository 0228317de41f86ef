import SwarmCore

/// A member under suspicion: who accuses it, and when it will be declared dead unless it refutes.
struct Suspicion: Sendable, Equatable {
    var startedAt: Instant
    /// Sorted; the first accuser and at most ``confirmationsNeeded`` more.
    private(set) var accusers: [NodeID]
    /// Whoever has said when the member was last heard; more than ``witnessesMax`` are not needed.
    private var witnesses: [NodeID]
    private static let witnessesMax = 64
    /// Somebody else has declared the member dead: only evidence of this node's own holds the verdict up.
    var isDeclaredElsewhere = false
    let confirmationsNeeded: Int
    let shortest: Duration
    let longest: Duration

    init(accuser: NodeID, at now: Instant, members count: Int, configuration: MembershipConfiguration) {
        startedAt = now
        (accusers, witnesses) = ([accuser], [accuser])
        // Besides the suspect and the first accuser, only n - 2 members can confirm.
        confirmationsNeeded = max(0, min(configuration.confirmationsMax, count - 2))
        shortest = configuration.suspicionMin(members: count)
        longest = confirmationsNeeded == 0 ? shortest : shortest * configuration.suspicionMaxFactor
    }

    /// Returns true when the accuser is new and still counts.
    mutating func confirm(by accuser: NodeID) -> Bool {
        guard accusers.count <= confirmationsNeeded, !accusers.contains(accuser) else { return false }
        accusers.append(accuser)
        accusers.sort()
        return true
    }

    mutating func admitWitness(_ witness: NodeID) -> Bool {
        guard witnesses.count < Self.witnessesMax, !witnesses.contains(witness) else { return false }
        witnesses.append(witness)
        return true
    }

    /// Falls logarithmically from longest to shortest with each confirmation (Lifeguard, LHA-Suspicion).
    var timeout: Duration {
        guard confirmationsNeeded > 0, !isDeclaredElsewhere else { return shortest }
        let confirmations = Double(accusers.count - 1)
        let share = Logarithm.base2(confirmations + 1) / Logarithm.base2(Double(confirmationsNeeded) + 1)
        return max(shortest, longest - (longest - shortest) * share)
    }
}
