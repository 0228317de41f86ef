/// A first-in, first-out list whose head leaves without moving the rest; whoever fills it bounds it.
package struct Queue<Element>: RandomAccessCollection, ExpressibleByArrayLiteral {
    /// The gap in front is closed once it is this long and half of the whole.
    private static var gapMin: Int { 64 }
    private var storage: [Element?] = []
    private var head = 0

    package init() {}
    package init(arrayLiteral elements: Element...) { storage = elements }

    package var startIndex: Int { 0 }
    package var endIndex: Int { storage.count - head }

    package subscript(position: Int) -> Element {
        get {
            guard let element = storage[head + position] else { preconditionFailure("the gap holds nothing") }
            return element
        }
        set { storage[head + position] = newValue }
    }

    package mutating func append(_ element: Element) { storage.append(element) }

    package mutating func popFirst() -> Element? {
        guard head < storage.count else { return nil }
        let first = storage[head].take()
        head += 1
        if head >= Self.gapMin && head * 2 >= storage.count {
            storage.removeFirst(head)
            head = 0
        }
        return first
    }

    /// Takes out everything from that position on.
    package mutating func removeTail(from position: Int) -> [Element] {
        let tail = storage[(head + position)...].compactMap { $0 }
        storage.removeSubrange((head + position)...)
        return tail
    }

    package mutating func removeAll(where isUnwanted: (Element) -> Bool) {
        storage.removeAll { $0.map(isUnwanted) ?? true }
        head = 0
    }
}

extension Queue: Sendable where Element: Sendable {}
