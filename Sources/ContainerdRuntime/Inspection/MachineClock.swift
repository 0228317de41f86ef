import Glibc

/// Times of the whole machine, as /proc tells them.
enum MachineClock {
    static let ticksPerSecond = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
    static let nanosecondsPerTick = 1_000_000_000 / ticksPerSecond

    /// Seconds since 1970 when the machine was started.
    static var bootTime: Int {
        (TextFile.read("/proc/stat") ?? "").split(separator: "\n").first { $0.hasPrefix("btime ") }
            .flatMap { Int($0.dropFirst("btime ".count)) } ?? 0
    }

    /// What all processors together have spent on anything, idling included, and how many they are.
    static func processors() -> (nanoseconds: UInt64, count: Int) {
        let lines = (TextFile.read("/proc/stat") ?? "").split(separator: "\n")
        // user nice system idle iowait irq softirq steal; guest time is part of user time already.
        let ticks = (lines.first ?? "").split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }
        let count = lines.filter { $0.hasPrefix("cpu") && !$0.hasPrefix("cpu ") }.count
        return (ticks.reduce(0, +) * nanosecondsPerTick, max(1, count))
    }

    static let memoryBytes: UInt64 = UInt64(max(0, sysconf(Int32(_SC_PHYS_PAGES)))) * UInt64(
        max(0, sysconf(Int32(_SC_PAGESIZE))))
}
