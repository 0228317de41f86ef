import SwarmCore
import Testing

@Suite struct QueueTests {
    @Test func `a queue keeps its order while its gap closes`() {
        var queue: Queue<Int> = []
        var (next, expected) = (0, 0)
        for round in 0..<400 {
            for _ in 0..<(round % 5) {
                queue.append(next)
                next += 1
            }
            for _ in 0..<(round % 4) where !queue.isEmpty {
                #expect(queue.popFirst() == expected)
                expected += 1
            }
            #expect(queue.count == next - expected)
        }
        #expect(Array(queue) == Array(expected..<next))
        #expect(queue.removeTail(from: 1) == Array((expected + 1)..<next))
        queue.append(7)
        queue.removeAll { $0 == expected }
        #expect(Array(queue) == [7])
    }
}
