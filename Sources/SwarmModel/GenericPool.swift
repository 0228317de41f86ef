package import SwarmCore

/// What is left of a node's generic resources: numbers of kinds that are counted, names of those that are named.
package struct GenericPool: Sendable, Equatable {
    private var counts: [String: Int64] = [:]
    /// In the order in which the node offers them.
    private var names: [String: [String]] = [:]

    package init(_ offer: Resources) {
        counts = offer.genericCounts
        for resource in offer.genericResources ?? [] {
            if let named = resource.named { names[named.kind, default: []].append(named.value) }
        }
    }

    package func holds(_ claims: [String: Int64]) -> Bool { claims.allSatisfy { (counts[$0.key] ?? 0) >= $0.value } }

    /// Whether what a task was given is here: of a named kind these very names.
    package func holds(_ given: [GenericResource]) -> Bool {
        given.allSatisfy { resource in
            if let named = resource.named { return names[named.kind]?.contains(named.value) == true }
            guard let discrete = resource.discrete else { return true }
            return names[discrete.kind] == nil && (counts[discrete.kind] ?? 0) >= discrete.value
        }
    }

    /// Takes out what a task asks for.
    /// - Returns: what it gets, kinds in order; nil when it asks for nothing.
    package mutating func claim(_ claims: [String: Int64]) -> [GenericResource]? {
        var given: [GenericResource] = []
        for (kind, count) in claims.sorted(by: { $0.key < $1.key }) where count > 0 {
            counts[kind, default: 0] -= count
            guard let left = names[kind] else {
                given.append(GenericResource(discrete: DiscreteGenericResource(kind: kind, value: count)))
                continue
            }
            let taken = left.prefix(Int(clamping: count))
            names[kind] = Array(left.dropFirst(taken.count))
            given += taken.map { GenericResource(named: NamedGenericResource(kind: kind, value: $0)) }
        }
        return given.isEmpty ? nil : given
    }

    /// Takes out what a task was given before.
    package mutating func take(_ given: [GenericResource]) {
        for resource in given {
            if let discrete = resource.discrete { counts[discrete.kind, default: 0] -= discrete.value }
            guard let named = resource.named else { continue }
            counts[named.kind, default: 0] -= 1
            names[named.kind]?.removeAll { $0 == named.value }
        }
    }
}

extension SwarmTask {
    /// Takes what the task holds out of its node's pool; what it has not been given yet, it is given now.
    package func takeGenericResources(from pool: inout GenericPool) -> [GenericResource]? {
        if let held = genericResources {
            pool.take(held)
            return held
        }
        return pool.claim(spec.reservedResources.genericCounts)
    }

    /// `DOCKER_RESOURCE_<KIND>=…`: the names that the task was given, or how many it may use.
    package var genericEnvironment: [String] {
        var values: [String: [String]] = [:]
        for resource in genericResources ?? [] {
            if let named = resource.named { values[named.kind.uppercased(), default: []].append(named.value) }
            if let discrete = resource.discrete {
                values[discrete.kind.uppercased(), default: []].append(String(discrete.value))
            }
        }
        return values.sorted { $0.key < $1.key }.map { "DOCKER_RESOURCE_\($0)=\($1.joined(separator: ","))" }
    }
}

extension GenericResource {
    /// Reads what a node is said to offer: `kind=N` once, or `kind=NAME` once for each.
    /// - Throws: `.invalidArgument` with Docker's words.
    package static func parse(_ terms: [String]) throws(SwarmError) -> [GenericResource] {
        func refuse(_ why: String) -> SwarmError {
            SwarmError(.invalidArgument, "could not parse GenericResource: \(why)")
        }
        var order: [String] = []
        var values: [String: [String]] = [:]
        for term in terms {
            let parts = term.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2 else { throw refuse("incorrect term \(term), missing '=' or malformed expression") }
            let (kind, value) = (parts[0].trimmingSpaces, parts[1].trimmingSpaces)
            guard !kind.isEmpty, !value.isEmpty else {
                throw refuse("incorrect term \(term), missing '=' or malformed expression")
            }
            if values[kind] == nil { order.append(kind) }
            values[kind, default: []].append(value)
        }
        var resources: [GenericResource] = []
        for kind in order {
            let offered = values[kind] ?? []
            if offered.count == 1, let count = Int64(offered[0]) {
                guard count >= 0 else { throw refuse("cannot ask for negative resource \(kind)") }
                resources.append(GenericResource(discrete: DiscreteGenericResource(kind: kind, value: count)))
                continue
            }
            guard !offered.contains(where: { Int64($0) != nil }) else {
                throw refuse("malformed expression '\(kind)=[\(offered.joined(separator: " "))]'")
            }
            guard Set(offered).count == offered.count else { throw refuse("\(kind) offers the same name twice") }
            resources += offered.map { GenericResource(named: NamedGenericResource(kind: kind, value: $0)) }
        }
        return resources
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        var text = self
        while text.first?.isWhitespace == true { text = text.dropFirst() }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return String(text)
    }
}
