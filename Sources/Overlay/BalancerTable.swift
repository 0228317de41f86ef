package import SwarmCore

/// The content of one network's table: which virtual address leads to which tasks, in the numbering of the
/// kernel's maps.
///
/// A service is one element `VIP : K<<20|id`, a task one element `id . slot : address`; no verdict changes
/// when either
/// does, so an update costs the same with ten services and with ten thousand.
package struct BalancerTable: Sendable, Equatable {
    /// The mark has 12 bits for the number of slots; more tasks than that share the first 4095 slots.
    package static let slotsMax = 4095
    /// Services with the same `id` modulo this share a round-robin counter.
    package static let buckets: UInt32 = 16

    package struct Entry: Sendable, Equatable {
        /// 20 bits, the lowest free one when the service came, so that few services never share a counter.
        package var number: UInt32
        package var slots: [IPv4Address]

        package var mark: UInt32 { UInt32(slots.count) << 20 | number }
        package var bucket: UInt32 { number % BalancerTable.buckets }
    }

    package var gateway: IPv4Address
    /// The tasks on this node; each needs help to reach itself through its own service.
    package var members: Set<IPv4Address> = []
    /// Ingress only: what tells the doors of all nodes apart, their data-path addresses.
    package var doors: Set<IPv4Address> = []
    package private(set) var entries: [IPv4Address: Entry] = [:]

    package init(gateway: IPv4Address) { self.gateway = gateway }

    /// Takes over the services, moving as few slots as possible and keeping every number.
    package mutating func setServices(_ services: [VirtualService]) {
        var wanted: [IPv4Address: [IPv4Address]] = [:]
        for service in services { wanted[service.virtualIP, default: []] += service.backends }
        var taken = Set(entries.values.map(\.number))
        var next: UInt32 = 1
        var result: [IPv4Address: Entry] = [:]
        for address in wanted.keys.sorted() {
            let backends = Array(Set(wanted[address] ?? []).sorted().prefix(Self.slotsMax))
            if var entry = entries[address] {
                entry.slots = Self.rearrange(entry.slots, for: backends)
                result[address] = entry
                continue
            }
            while taken.contains(next) { next += 1 }
            taken.insert(next)
            result[address] = Entry(number: next, slots: backends)
        }
        entries = result
    }

    /// Newcomers fill the gaps of those who left, then the last slots do; everybody else stays.
    static func rearrange(_ slots: [IPv4Address], for backends: [IPv4Address]) -> [IPv4Address] {
        let wanted = Set(backends)
        let present = Set(slots)
        var newcomers = backends.filter { !present.contains($0) }[...]
        var result = slots
        var index = 0
        while index < result.count {
            if wanted.contains(result[index]) {
                index += 1
            } else if let newcomer = newcomers.popFirst() {
                result[index] = newcomer
                index += 1
            } else {
                let last = result.removeLast()
                if index < result.count { result[index] = last }
            }
        }
        return result + newcomers
    }

    /// The addresses that were behind a service in `old` and are no longer behind any.
    package func departed(since old: BalancerTable) -> [IPv4Address] {
        let now = Set(entries.values.flatMap(\.slots))
        return Set(old.entries.values.flatMap(\.slots)).subtracting(now).sorted()
    }

    /// The virtual addresses that get their first task: flows that were refused must be forgotten.
    package func awakened(since old: BalancerTable) -> [IPv4Address] {
        entries.keys.filter { entries[$0]?.slots.isEmpty == false && old.entries[$0]?.slots.isEmpty == true }
            .sorted()
    }
}
