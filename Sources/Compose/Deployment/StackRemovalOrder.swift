import SwarmModel

/// In which order services are removed: none before those that depend on it.
package enum StackRemovalOrder {
    /// - Parameters:
    ///   - services: names in the swarm of those that are there.
    ///   - revision: what knows their dependencies; without one all go at once.
    /// - Returns: rounds of names; those of one round may go at the same time.
    package static func rounds(_ services: [String], _ revision: Revision?) -> [[String]] {
        let kept = revision?.services ?? []
        let names = Dictionary(kept.map { ($0.key, $0.spec.name) }) { first, _ in first }
        var dependencies: [String: Set<String>] = [:]
        for service in kept {
            dependencies[service.spec.name] = Set(service.dependencies.compactMap { names[$0.service] })
        }
        var left = services
        var rounds: [[String]] = []
        while !left.isEmpty {
            let needed = left.reduce(into: Set<String>()) { $0.formUnion(dependencies[$1] ?? []) }
            let free = left.filter { !needed.contains($0) }
            // A cycle, which only strict loading lets through, goes at once.
            rounds.append(free.isEmpty ? left : free)
            left = free.isEmpty ? [] : left.filter { needed.contains($0) }
        }
        return rounds
    }
}
