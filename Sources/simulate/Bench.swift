import Glibc
import Simulation

/// Processor time, so that what else runs on the machine does not count.
func cpuSeconds() -> Double {
    var value = timespec()
    unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &value)
    return Double(value.tv_sec) + Double(value.tv_nsec) / 1e9
}

func cpuSeconds(of work: () -> Void) -> Double {
    let start = cpuSeconds()
    work()
    return cpuSeconds() - start
}

/// Resident memory at its highest, in MiB.
func peakMemory() -> Int {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss / 1024
}

func rounded(_ value: Double) -> String {
    let thousandths = Int((value * 1000).rounded())
    let rest = String(1000 + thousandths % 1000).dropFirst()
    return "\(thousandths / 1000).\(rest)"
}

/// `simulate scale`: a leader of many nodes, on virtual time.
func scale(nodes: Int, services: Int, replicas: Int) {
    func report(_ what: String, _ bench: ScaleBench, _ since: Int) {
        let costs = bench.costs
        print(
            "scale \(what) leader_cpu_s=\(rounded(costs.leader)) planner_cpu_s=\(rounded(costs.planner)) "
                + "slowest_step_ms=\(rounded(costs.slowestStep * 1000)) steps=\(costs.steps) plans=\(costs.plans) "
                + "virtual_s=\(rounded(Double(bench.virtualMilliseconds - since) / 1000)) peak_mib=\(peakMemory())")
        // Lines come as they are made, also into a file.
        fflush(nil)
    }
    do {
        let count = services * replicas
        let store = storeOfPendingTasks(count, services: services, nodes: nodes)
        var placed = 0
        let seconds = cpuSeconds { placed = placeAll(in: store) }
        print("scheduler tasks=\(placed) nodes=\(nodes) per_second=\(Int(Double(placed) / seconds))")
        fflush(nil)
        var bench = ScaleBench(nodes: nodes, clock: cpuSeconds)
        var since = 0
        try bench.join()
        report("join nodes=\(nodes)", bench, since)
        bench.resetCosts()
        since = bench.virtualMilliseconds
        try bench.createServices(services, replicas: UInt64(replicas))
        report("start tasks=\(bench.running)", bench, since)
        bench.resetCosts()
        since = bench.virtualMilliseconds
        try bench.rest(seconds: 60)
        report("rest", bench, since)
        bench.resetCosts()
        since = bench.virtualMilliseconds
        try bench.loseNode(0)
        report("node-lost", bench, since)
    } catch { print("scale: \(error)") }
}

/// `simulate bench`: what the machines themselves cost, one core, no network, no disk, no encoding.
func bench(requests: Int) {
    for managers in [1, 3] {
        for kind in WriteBench.Request.allCases {
            for clients in [1, 64] {
                do {
                    var bench = try WriteBench(managers: managers)
                    try bench.run(kind, count: requests / 10, clients: clients)
                    let (batches, plans) = (bench.batches, bench.plans)
                    var failure: (any Error)?
                    let seconds = cpuSeconds {
                        do {
                            try bench.run(kind, count: requests, clients: clients)
                        } catch { failure = error }
                    }
                    if let failure { throw failure }
                    print(
                        "write \(kind.rawValue) managers=\(managers) clients=\(clients) "
                            + "per_second=\(Int(Double(requests) / seconds)) "
                            + "batches=\(bench.batches - batches) plans=\(bench.plans - plans)")
                } catch { print("write \(kind.rawValue) managers=\(managers) clients=\(clients): \(error)") }
            }
        }
    }
}
