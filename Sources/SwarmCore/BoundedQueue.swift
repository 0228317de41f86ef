/// A first-in, first-out queue that refuses what does not fit, so that no buffer grows without a name for
/// its bound.
package struct BoundedQueue<Element> {
    package let capacity: Int
    private var storage: [Element] = []
    private var head = 0
    /// How many elements were refused since the queue was made.
    package private(set) var refused = 0

    package init(capacity: Int) { self.capacity = capacity }

    package var count: Int { storage.count - head }
    package var isEmpty: Bool { count == 0 }

    /// Appends, or returns false and counts a refusal when the queue is full.
    package mutating func append(_ element: Element) -> Bool {
        guard count < capacity else {
            refused += 1
            return false
        }
        storage.append(element)
        return true
    }

    package mutating func popFirst() -> Element? {
        guard head < storage.count else { return nil }
        defer {
            head += 1
            if head > 64 && head * 2 > storage.count {
                storage.removeFirst(head)
                head = 0
            }
        }
        return storage[head]
    }
}

extension BoundedQueue: Sendable where Element: Sendable {}
