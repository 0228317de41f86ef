import SwarmCore

/// A binary heap of what will happen, ordered by time and then by when it was planned.
struct Agenda<Item> {
    /// Small, so that sifting moves no items.
    private struct Key {
        var at: Int64
        var order: UInt64
        var slot: Int
        static func < (left: Key, right: Key) -> Bool {
            left.at == right.at ? left.order < right.order : left.at < right.at
        }
    }
    private var keys: [Key] = []
    private var items: [Item?] = []
    private var free: [Int] = []
    private var planned: UInt64 = 0

    var next: Instant? { keys.first.map { Instant(nanoseconds: $0.at) } }

    mutating func add(_ item: Item, at instant: Instant) {
        let slot = free.popLast() ?? items.count
        if slot == items.count { items.append(item) } else { items[slot] = item }
        let key = Key(at: instant.nanoseconds, order: planned, slot: slot)
        planned += 1
        var child = keys.count
        keys.append(key)
        while child > 0, key < keys[(child - 1) / 2] {
            keys[child] = keys[(child - 1) / 2]
            child = (child - 1) / 2
        }
        keys[child] = key
    }

    mutating func popFirst() -> (at: Instant, item: Item)? {
        guard let first = keys.first, let item = items[first.slot], let last = keys.popLast() else {
            return nil
        }
        items[first.slot] = nil
        free.append(first.slot)
        guard !keys.isEmpty else { return (Instant(nanoseconds: first.at), item) }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < keys.count else { break }
            if child + 1 < keys.count, keys[child + 1] < keys[child] { child += 1 }
            guard keys[child] < last else { break }
            keys[parent] = keys[child]
            parent = child
        }
        keys[parent] = last
        return (Instant(nanoseconds: first.at), item)
    }
}
