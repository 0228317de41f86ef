/// Rumours still to be spread: the least spread first, the newest first among equals.
///
/// Bounded by what it holds: one claim for each member, or one for each of the accusers that still count.
struct PiggybackQueue: Sendable {
    private struct Item: Sendable {
        var claim: Claim
        var size: Int
    }
    /// By how often they were sent; within one bucket oldest first.
    private var buckets: [[Item]] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    /// How often the most spread rumour has been sent.
    var transmitsMax: Int { max(0, buckets.count - 1) }

    /// A claim replaces everything said before about the same member; an accuser joins other accusers.
    mutating func insert(_ claim: Claim) {
        remove { queued in
            guard queued.subject == claim.subject else { return false }
            guard case .suspect(let accuser, _) = claim.content, case .suspect(let other, _) = queued.content,
                queued.incarnation == claim.incarnation
            else { return true }
            return accuser == other
        }
        if buckets.isEmpty { buckets.append([]) }
        buckets[0].append(Item(claim: claim, size: claim.sizeBound))
        count += 1
    }

    mutating func removeAll(about subject: NodeID) { remove { $0.subject == subject } }

    private mutating func remove(where condition: (Claim) -> Bool) {
        guard count > 0 else { return }
        count = 0
        for index in buckets.indices {
            if buckets[index].contains(where: { condition($0.claim) }) {
                buckets[index].removeAll { condition($0.claim) }
            }
            count += buckets[index].count
        }
    }

    /// Takes what fits, counts it as sent once more, and forgets what was sent `limit` times.
    mutating func take(bytes: Int, limit: Int) -> [Claim] {
        guard count > 0 else { return [] }
        var left = bytes
        var taken: [Claim] = []
        var promoted: [(bucket: Int, items: [Item])] = []
        for bucket in buckets.indices {
            guard left > 0, !buckets[bucket].isEmpty else { continue }
            var sent: [Item] = []
            var kept: [Item] = []
            for item in buckets[bucket].reversed() {
                if item.size <= left, taken.count < MembershipConfiguration.claimsPerDatagramMax {
                    left -= item.size
                    taken.append(item.claim)
                    sent.append(item)
                } else {
                    kept.append(item)
                }
            }
            buckets[bucket] = kept.reversed()
            promoted.append((bucket + 1, sent.reversed()))
        }
        for (bucket, items) in promoted where !items.isEmpty {
            guard bucket < limit else {
                count -= items.count
                continue
            }
            while buckets.count <= bucket { buckets.append([]) }
            buckets[bucket].append(contentsOf: items)
        }
        return taken
    }
}
