/// How well this node itself does, from what it should have received and did not (Lifeguard §IV.A).
///
/// A node that is starved or paused sees everybody else fail; it then probes slower and accuses later.
struct LocalHealth: Sendable, Equatable {
    private(set) var score = 0

    /// Times are multiplied by this.
    var factor: Int { score + 1 }

    mutating func change(by delta: Int) { score = min(max(score + delta, 0), MembershipConfiguration.localHealthMax) }
}
