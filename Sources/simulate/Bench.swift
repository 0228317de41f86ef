import Glibc
import Simulation

/// Processor time, so that what else runs on the machine does not count.
func cpuSeconds(of work: () -> Void) -> Double {
    func now() -> Double {
        var value = timespec()
        unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &value)
        return Double(value.tv_sec) + Double(value.tv_nsec) / 1e9
    }
    let start = now()
    work()
    return now() - start
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
