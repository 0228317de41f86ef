import SwarmCore

/// What lies between the nodes.
struct Network {
    struct Link: Hashable { var from: Int, to: Int }
    /// Parts of a thousand.
    var datagramLoss = 0
    var messageLoss = 0
    var duplicates = 0
    var delayMin: Int64 = 300_000
    var delaySpread: Int64 = 1_500_000
    /// A few messages take very long, so that others overtake them.
    var stragglers = 0
    /// Links that carry nothing, by the fault that cut them.
    private(set) var cuts: [String: Set<Link>] = [:]
    private(set) var clogged: [String: (link: Set<Link>, delay: Int64)] = [:]

    mutating func draw(using generator: inout SeededGenerator, hasFaults: Bool) {
        guard hasFaults else { return }
        datagramLoss = Int(generator.next() % 100)
        messageLoss = Int(generator.next() % 20)
        duplicates = Int(generator.next() % 50)
        stragglers = Int(generator.next() % 30)
        delaySpread = Int64(1 + generator.next() % 8) * 1_000_000
    }

    mutating func calm() {
        (datagramLoss, messageLoss, duplicates, stragglers) = (0, 0, 0, 0)
        (cuts, clogged) = ([:], [:])
    }

    mutating func cut(_ links: Set<Link>, as name: String) { cuts[name] = links }
    mutating func clog(_ links: Set<Link>, by delay: Int64, as name: String) {
        clogged[name] = (links, delay)
    }
    mutating func heal(_ name: String) { (cuts[name], clogged[name]) = (nil, nil) }

    func isCut(_ from: Int, _ to: Int) -> Bool {
        !cuts.isEmpty && cuts.values.contains { $0.contains(Link(from: from, to: to)) }
    }
    var hasTrouble: Bool { !cuts.isEmpty || !clogged.isEmpty }

    func isTouched(_ node: Int) -> Bool {
        cuts.values.contains { $0.contains { $0.from == node || $0.to == node } }
            || clogged.values.contains { $0.link.contains { $0.from == node || $0.to == node } }
    }

    /// When something sent now arrives, once for each copy; empty when it is lost.
    func delays(
        _ from: Int, _ to: Int, loss: Int, mayDouble: Bool, using generator: inout SeededGenerator
    ) -> [Int64] {
        guard !isCut(from, to), Int(generator.next() % 1000) >= loss else { return [] }
        let copies = mayDouble && Int(generator.next() % 1000) < duplicates ? 2 : 1
        return (0..<copies).map { _ in
            var delay = delayMin + Int64(generator.next() % UInt64(delaySpread))
            if Int(generator.next() % 1000) < stragglers { delay += Int64(generator.next() % 400_000_000) }
            for clog in clogged.values where clog.link.contains(Link(from: from, to: to)) {
                delay += clog.delay
            }
            return delay
        }
    }
}
