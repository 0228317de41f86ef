import Dispatching
import Simulation
import SwarmNode

/// Runs seeds: `simulate SEED` one, with its transcript when it fails; `simulate --count N [--from SEED]` many;
/// `--varied` plays more kinds of faults, `--shared` lets events share a step, `--faults N` and `--settle N` change
/// the seconds of both parts; `--mutant NAME` plants a fault that some seed must notice, `--all` goes on after it;
/// `bench` and `scale` measure.
let words = Array(CommandLine.arguments.dropFirst())

func number(after word: String) -> UInt64? {
    guard let index = words.firstIndex(of: word), words.indices.contains(index + 1) else { return nil }
    return UInt64(words[index + 1])
}

func run(_ seed: UInt64, _ mutant: Mutant?) -> Bool {
    var plan = WorldPlan(seed: seed)
    plan.isVaried = words.contains("--varied")
    plan.sharesSteps = words.contains("--shared")
    if let seconds = number(after: "--faults") { plan.faultSeconds = Int64(clamping: seconds) }
    if let seconds = number(after: "--settle") { plan.settleSeconds = Int64(clamping: seconds) }
    mutant?.plant(in: &plan)
    var world = World(seed: seed, plan: plan)
    world.isVerbose = words.contains("--verbose")
    do throws(Violation) {
        try world.run()
        print("seed \(seed): well after \(world.steps) steps, digest \(world.digest)")
        return true
    } catch {
        if mutant == nil { for line in world.lastLines { print(line) } }
        print("seed \(seed) fails after \(world.steps) steps: \(error)")
        return false
    }
}

let mutant = words.firstIndex(of: "--mutant").flatMap { index in
    words.indices.contains(index + 1) ? Mutant(rawValue: words[index + 1]) : nil
}
if words.first == "bench" {
    bench(requests: Int(number(after: "--requests") ?? 20_000))
} else if words.first == "scale" {
    scale(
        nodes: Int(number(after: "--nodes") ?? 1000), services: Int(number(after: "--services") ?? 1000),
        replicas: Int(number(after: "--replicas") ?? 30))
} else if let count = number(after: "--count") {
    let first = number(after: "--from") ?? 1
    var failures: [UInt64] = []
    for seed in first..<(first + count) where !run(seed, mutant) {
        failures.append(seed)
        if mutant != nil, !words.contains("--all") { break }
    }
    print("\(failures.count) failures among \(count) seeds: \(failures)")
} else if let seed = words.first.flatMap({ UInt64($0) }) {
    _ = run(seed, mutant)
} else {
    print("usage: simulate SEED [--verbose] | --count N [--from SEED]; --varied --faults N --settle N")
    print("       --all --mutant \(Mutant.allCases.map(\.rawValue))")
}
