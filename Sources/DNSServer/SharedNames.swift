import NameService
import SwarmCore
import Synchronization

/// What all resolvers of this node share; read by many threads, swapped whole by the agent.
final class SharedNames: Sendable {
    private let state = Mutex<(directory: ServiceDirectory, version: UInt64)>((ServiceDirectory(), 0))
    private let seed = Mutex(SystemRandomNumberGenerator())
    let counters = NameCounters()

    /// The names, and a number that changes when they do.
    var current: (directory: ServiceDirectory, version: UInt64) { state.withLock { $0 } }

    func replace(_ new: ServiceDirectory) {
        state.withLock { state in
            guard state.directory != new else { return }
            state = (new, state.version + 1)
        }
    }

    func random() -> SeededGenerator { SeededGenerator(seed: seed.withLock { $0.next() }) }
}

/// One container's scope, changed by the agent while its resolver runs.
final class ScopeBox: Sendable {
    struct View: Sendable {
        var scope: ResolverScope
        var upstreams: [String]
        /// Changes when anything of it does.
        var version: UInt64 = 0
    }
    private let state: Mutex<View>

    init(_ scope: ResolverScope, _ upstreams: [String]) {
        state = Mutex(View(scope: scope, upstreams: upstreams))
    }

    func set(_ scope: ResolverScope, _ upstreams: [String]) {
        state.withLock { $0 = View(scope: scope, upstreams: upstreams, version: $0.version + 1) }
    }
    var current: View { state.withLock { $0 } }
}

/// How many queries met which end, since the start.
package final class NameCounters: Sendable {
    private let answeredCount = Atomic<Int>(0)
    private let forwardedCount = Atomic<Int>(0)
    private let malformedCount = Atomic<Int>(0)
    private let refusedCount = Atomic<Int>(0)

    func add(answered: Int = 0, forwarded: Int = 0, malformed: Int = 0, refused: Int = 0) {
        if answered > 0 { answeredCount.wrappingAdd(answered, ordering: .relaxed) }
        if forwarded > 0 { forwardedCount.wrappingAdd(forwarded, ordering: .relaxed) }
        if malformed > 0 { malformedCount.wrappingAdd(malformed, ordering: .relaxed) }
        if refused > 0 { refusedCount.wrappingAdd(refused, ordering: .relaxed) }
    }

    /// Answered here.
    package var answered: Int { answeredCount.load(ordering: .relaxed) }
    /// Passed on to the upstream servers or their cache.
    package var forwarded: Int { forwardedCount.load(ordering: .relaxed) }
    /// Unreadable, and dropped or answered with FORMERR.
    package var malformed: Int { malformedCount.load(ordering: .relaxed) }
    /// Not passed on because too many were on their way.
    package var refused: Int { refusedCount.load(ordering: .relaxed) }
}
