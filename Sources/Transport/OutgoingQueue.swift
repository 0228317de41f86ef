import NIOCore

/// What waits to be written to one peer: bounded in frames and bytes, oldest first.
struct OutgoingQueue {
    /// What may happen to a frame that finds no room, or waits too long.
    enum Delivery: Equatable {
        /// May be lost: the oldest makes room for the newest.
        case newestWins
        /// Once or never: it makes room for nobody, but does not wait for ever.
        case once
        /// As `once`; its sender waits for the answer, and removes it when it waited long enough.
        case call(UInt64)
    }
    struct Item {
        var frame: Frame
        var delivery: Delivery
        var since: NIODeadline
    }

    let framesMax: Int
    let bytesMax: Int
    private var items = CircularBuffer<Item>()
    private(set) var bytes = 0

    init(framesMax: Int, bytesMax: Int) { (self.framesMax, self.bytesMax) = (framesMax, bytesMax) }

    var count: Int { items.count }
    var isEmpty: Bool { items.isEmpty }

    /// How many frames were dropped, this one included when it found no room.
    mutating func append(_ item: Item) -> Int {
        var dropped = 0
        while items.count >= framesMax || (bytes + item.frame.size > bytesMax && !items.isEmpty) {
            guard let oldest = items.firstIndex(where: { $0.delivery == .newestWins }) else {
                return dropped + 1
            }
            remove(at: oldest)
            dropped += 1
        }
        items.append(item)
        bytes += item.frame.size
        return dropped
    }

    mutating func popFirst() -> Item? {
        guard let item = items.popFirst() else { return nil }
        bytes -= item.frame.size
        return item
    }

    /// Drops what has waited too long; calls are left to their senders.
    mutating func expire(_ now: NIODeadline, newestWins: TimeAmount, once: TimeAmount) -> Int {
        let before = items.count
        removeAll {
            switch $0.delivery {
            case .newestWins: $0.since + newestWins <= now
            case .once: $0.since + once <= now
            case .call: false
            }
        }
        return before - items.count
    }

    mutating func removeCall(_ number: UInt64) { removeAll { $0.delivery == .call(number) } }

    private mutating func removeAll(where isOver: (Item) -> Bool) {
        guard items.contains(where: isOver) else { return }
        items.removeAll(where: isOver)
        bytes = items.reduce(0) { $0 + $1.frame.size }
    }

    private mutating func remove(at index: CircularBuffer<Item>.Index) {
        bytes -= items[index].frame.size
        items.remove(at: index)
    }
}
