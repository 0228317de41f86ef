/// Who votes and who only listens, as one entry of the log says.
///
/// Between two sets of voters lies a joint configuration: everything needs a majority of both (thesis §4.3).
package struct ClusterConfiguration: Sendable, Equatable {
    /// Managers beyond this number cost more than they protect.
    package static let votersMax = 9
    package static let learnersMax = 9

    package var voters: Set<MemberID>
    /// The voters of before, while the change is under way; empty otherwise.
    package var outgoing: Set<MemberID>
    /// Receive the log without a vote: whoever is to become a voter catches up as one of these.
    package var learners: Set<MemberID>

    package init(voters: Set<MemberID> = [], outgoing: Set<MemberID> = [], learners: Set<MemberID> = []) {
        (self.voters, self.outgoing, self.learners) = (voters, outgoing, learners)
    }

    package var isJoint: Bool { !outgoing.isEmpty }
    package var members: Set<MemberID> { voters.union(outgoing).union(learners) }
    package func isVoter(_ id: MemberID) -> Bool { voters.contains(id) || outgoing.contains(id) }

    /// Whether those for whom `condition` holds are a majority: of both sets in a joint configuration.
    func hasQuorum(_ condition: (MemberID) -> Bool) -> Bool {
        func majority(_ set: Set<MemberID>) -> Bool { set.filter(condition).count > set.count / 2 }
        return majority(voters) && (outgoing.isEmpty || majority(outgoing))
    }

    /// The last index that a majority holds: of both sets in a joint configuration.
    func agreedIndex(_ matched: (MemberID) -> LogIndex) -> LogIndex {
        func agreed(_ set: Set<MemberID>) -> LogIndex {
            guard !set.isEmpty else { return 0 }
            return set.map(matched).sorted(by: >)[set.count / 2]
        }
        return outgoing.isEmpty ? agreed(voters) : min(agreed(voters), agreed(outgoing))
    }

    // MARK: The payload of a configuration entry

    private static let formatVersion: UInt8 = 1

    /// A version byte, then three times a count byte and so many big-endian numbers, ascending.
    package func encoded() -> [UInt8] {
        var bytes = [Self.formatVersion]
        for set in [voters, outgoing, learners] {
            bytes.append(UInt8(clamping: set.count))
            for id in set.sorted() {
                for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(id >> UInt64(shift) & 0xFF)) }
            }
        }
        return bytes
    }

    /// Nil when the bytes are not one well-formed configuration with at least one voter.
    package init?(encoded bytes: [UInt8]) {
        var rest = bytes[...]
        guard rest.popFirst() == Self.formatVersion else { return nil }
        var sets: [Set<MemberID>] = []
        for _ in 0..<3 {
            guard let count = rest.popFirst(), rest.count >= 8 * Int(count) else { return nil }
            var set: Set<MemberID> = []
            for _ in 0..<count {
                set.insert(rest.prefix(8).reduce(0) { $0 << 8 | MemberID($1) })
                rest = rest.dropFirst(8)
            }
            guard set.count == Int(count) else { return nil }
            sets.append(set)
        }
        guard rest.isEmpty, !sets[0].isEmpty, sets[2].isDisjoint(with: sets[0]) else { return nil }
        (voters, outgoing, learners) = (sets[0], sets[1], sets[2])
    }
}
