import Simulation

/// Runs seeds: `simulate SEED` one with its transcript when it fails, `simulate --count N [--from SEED]` many.
func run(_ seed: UInt64) -> Bool {
    var plan = WorldPlan()
    plan.managers = [3, 3, 5, 1][Int(seed % 4)]
    plan.workers = Int(seed / 4 % 4)
    var world = World(seed: seed, plan: plan)
    world.isVerbose = CommandLine.arguments.contains("--verbose")
    do throws(Violation) {
        try world.run()
        print("seed \(seed): well after \(world.steps) steps, digest \(world.digest)")
        return true
    } catch {
        for line in world.lastLines { print(line) }
        print("seed \(seed) fails after \(world.steps) steps: \(error)")
        return false
    }
}

let words = CommandLine.arguments.dropFirst()
func number(after word: String) -> UInt64? {
    words.firstIndex(of: word).flatMap { words.indices.contains($0 + 1) ? UInt64(words[$0 + 1]) : nil }
}

if let count = number(after: "--count") {
    let first = number(after: "--from") ?? 1
    var failures: [UInt64] = []
    for seed in first..<(first + count) where !run(seed) { failures.append(seed) }
    print("\(count) seeds, \(failures.count) failures: \(failures)")
} else if let seed = words.first.flatMap({ UInt64($0) }) {
    _ = run(seed)
} else {
    print("usage: simulate SEED | --count N [--from SEED]")
}
