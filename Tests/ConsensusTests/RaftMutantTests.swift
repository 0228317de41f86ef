import SwarmCore
import Testing

@testable import Consensus

/// Proof that the checkers can find something: each planted fault must be caught within so many seeds.
@Suite struct RaftMutantTests {
    struct Mutant: Sendable, CustomTestStringConvertible {
        var name: String
        var mutation: RaftMutations
        var members: UInt64 = 3
        var spares: UInt64 = 0
        var faults: [RaftChaos.Fault] = []
        var seeds = 60
        var testDescription: String { name }
    }

    static let crashes: [RaftChaos.Fault] = [.crashAll, .restart, .crashAll, .isolateLeader, .slowDisk, .heal]
    static let splits: [RaftChaos.Fault] = [.isolateLeader, .halves, .oneWay, .pause, .heal, .restart, .flap]
    static let changes: [RaftChaos.Fault] = [.reconfigure, .reconfigure, .halves, .isolateLeader, .heal, .heal, .restart]

    static let mutants = [
        Mutant(name: "votes twice in a term", mutation: .votesTwice, members: 5, faults: splits),
        Mutant(name: "serves reads without asking a majority", mutation: .servesReadsUnconfirmed, faults: splits),
        Mutant(name: "votes for candidates with shorter logs", mutation: .votesForShorterLogs, faults: splits),
        Mutant(
            name: "forgets the outgoing majority of a joint configuration", mutation: .forgetsOutgoingQuorum, members: 3,
            spares: 3, faults: changes, seeds: 200),
        Mutant(name: "applies before the commit", mutation: .appliesBeforeCommit, faults: splits),
        Mutant(name: "acknowledges entries before they are on disk", mutation: .acknowledgesBeforePersisting, faults: crashes),
        Mutant(name: "skips the check of the previous entry", mutation: .skipsPreviousEntryCheck, faults: splits),
        Mutant(name: "counts its own entries before they are on disk", mutation: .countsOwnUnsyncedEntries, faults: crashes),
        Mutant(name: "counts learners as voters", mutation: .countsLearners, spares: 2, faults: changes, seeds: 200),
        Mutant(name: "takes pieces of a snapshot in any order", mutation: .acceptsPiecesAnywhere, faults: splits + crashes),
        Mutant(
            name: "confirms reads by answers to earlier rounds", mutation: .confirmsReadsByOldRounds,
            faults: [.stallLeader, .stallLeader, .heal, .restart]),
        Mutant(name: "keeps entries that conflict with the leader's", mutation: .keepsConflictingEntries, faults: splits),
        Mutant(
            name: "serves reads before an entry of its own term is committed", mutation: .readsBeforeOwnCommit,
            faults: splits + [.transfer, .crash], seeds: 200),
    ]

    @Test(arguments: mutants)
    func `a planted fault is caught`(mutant: Mutant) {
        var chaos = RaftChaos(members: mutant.members, spares: mutant.spares, faults: mutant.faults)
        chaos.mutations = mutant.mutation
        for seed in 1...UInt64(mutant.seeds) {
            let run = chaos.run(seed: seed)
            guard let found = run.violations.first else { continue }
            print("mutant \(mutant.name): seed \(seed), \(found)")
            return
        }
        Issue.record("\(mutant.name): not caught in \(mutant.seeds) seeds")
    }

    /// Without pre-vote, a member that was cut off comes back with a higher term and deposes a healthy leader.
    @Test func `a planted lack of pre-votes is caught`() {
        func isDeposed(_ mutations: RaftMutations) -> Bool {
            var world = RaftWorld(members: 3, seed: 5, mutations: mutations)
            world.run(for: .seconds(6))
            guard let leader = world.leader, let cut = world.ids.first(where: { $0 != leader }) else { return true }
            let changes = world.leadershipChanges
            world.isolate(cut)
            world.run(for: .seconds(8))
            world.blocked = []
            world.run(for: .seconds(5))
            return world.leadershipChanges != changes
        }
        #expect(isDeposed(.skipsPreVote))
        #expect(!isDeposed([]))
    }

    /// A voter that forgets its vote in a crash votes again in the same term.
    @Test func `a planted vote that leaves before it is on disk is caught`() {
        #expect((1...20).contains { !Self.lostVote(seed: $0, [.sendsVoteBeforePersisting]).isEmpty })
        for seed in 1...20 as ClosedRange<UInt64> { #expect(Self.lostVote(seed: seed, []) == [], "seed \(seed)") }
    }

    static func lostVote(seed: UInt64, _ mutations: RaftMutations) -> [String] {
        var world = RaftWorld(members: 3, seed: seed, mutations: mutations)
        world.run(for: .seconds(5))
        guard let first = world.leader else { return [] }
        world.crash(first)
        let others = world.ids.filter { $0 != first }
        for id in others { world.nodes[id]?.isSlow = true }
        world.run(for: .seconds(10)) { $0.leader != nil }
        guard let second = world.leader, let voter = others.first(where: { $0 != second }) else { return [] }
        // Its noop has not left yet; the voter dies and comes back, and so does the first leader.
        world.isolate(second)
        world.crash(voter)
        world.nodes[voter]?.isSlow = false
        world.start(voter)
        world.start(first)
        world.run(for: .seconds(10))
        return world.check.violations
    }

    /// Figure 3.7 of the thesis: an entry of an old term on a majority may still be overwritten.
    @Test func `a planted commit of earlier terms by counting is caught`() {
        #expect((1...20).contains { !Self.figureEight(seed: $0, [.commitsEarlierTermsByCounting]).isEmpty })
        for seed in 1...20 as ClosedRange<UInt64> { #expect(Self.figureEight(seed: seed, []) == [], "seed \(seed)") }
    }

    static func figureEight(seed: UInt64, _ mutations: RaftMutations) -> [String] {
        var configuration = RaftConfiguration()
        configuration.appendEntriesMax = 1
        var world = RaftWorld(members: 5, seed: seed, configuration: configuration, mutations: mutations)
        world.run(for: .seconds(5))
        guard let first = world.leader, let friend = world.ids.first(where: { $0 != first }) else { return [] }
        let others = world.ids.filter { $0 != first && $0 != friend }
        // An entry reaches one follower only, and its leader dies.
        for other in others { world.isolate(other) }
        world.deliver(.propose(payload: [42], ticket: 1), to: first)
        world.run(for: .milliseconds(60))
        let contested = world.machine(friend)?.log.lastIndex ?? 0
        world.crash(first)
        // Another leader writes at the same place, alone, and dies.
        world.blocked = []
        world.isolate(friend)
        world.run(for: .seconds(10)) { $0.leader != nil }
        guard let second = world.leader else { return [] }
        world.isolate(second)
        world.run(for: .milliseconds(20))
        world.crash(second)
        // The old entry spreads to a majority under a new term; its holders die as soon as it counts.
        world.blocked = []
        world.isolate(second)
        world.start(first)
        world.run(for: .seconds(20)) { $0.check.lastCommitted >= contested }
        world.isolate(first)
        world.isolate(friend)
        world.crash(first)
        world.crash(friend)
        world.blocked = world.blocked.filter { !$0.contains(second) || $0.contains(first) || $0.contains(friend) }
        world.start(second)
        world.run(for: .seconds(20))
        return world.check.violations
    }

    @Test func `the chaos reaches what it is meant to test`() {
        var (leaders, installs, reads, commits, changes) = (0, 0, 0, LogIndex(0), 0)
        for seed in 1...8 as ClosedRange<UInt64> {
            var chaos = RaftChaos(members: 3, spares: 2)
            chaos.faults += [.reconfigure, .reconfigure, .reconfigure, .heal, .heal]
            let world = chaos.run(seed: seed).world
            leaders += world.leadershipChanges
            installs += world.installs
            reads += world.check.servedReads
            commits += world.check.lastCommitted
            changes += world.check.committed.values.filter { $0.entry.kind == .configuration }.count
        }
        print("8 seeds: \(leaders) elections, \(installs) installs, \(reads) reads, \(commits) entries, \(changes) changes")
        #expect(leaders > 16 && installs > 4 && reads > 100 && commits > 500 && changes > 8)
    }
}
