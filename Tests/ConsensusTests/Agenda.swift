import SwarmCore

/// A binary heap of what will happen, ordered by time and then by when it was planned.
struct Agenda<Item> {
    private var items: [(at: Instant, order: UInt64, item: Item)] = []
    private var planned: UInt64 = 0

    var next: Instant? { items.first?.at }

    mutating func add(_ item: Item, at instant: Instant) {
        items.append((instant, planned, item))
        planned += 1
        var child = items.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func popFirst() -> (at: Instant, item: Item)? {
        guard let first = items.first else { return nil }
        items[0] = items[items.count - 1]
        items.removeLast()
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && precedes(child, smallest) {
                smallest = child
            }
            guard smallest != parent else { break }
            items.swapAt(parent, smallest)
            parent = smallest
        }
        return (first.at, first.item)
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        (items[left].at, items[left].order) < (items[right].at, items[right].order)
    }
}
