import FoundationEssentials
import Ports
import SwarmCore

/// Where one container's control groups are and what they count; both layouts of the kernel.
struct ControlGroup: Sendable {
    /// Path within each hierarchy, by controller; the one of the unified hierarchy is under "".
    let paths: [String: String]
    private let mount: String

    /// The control groups of a process; nil when it is gone.
    init?(process: Int, mount: String = "/sys/fs/cgroup") {
        guard let text = TextFile.read("/proc/\(process)/cgroup") else { return nil }
        self.init(text, mount: mount)
    }

    /// - Parameter text: contents of `/proc/<pid>/cgroup` (cgroups(7)).
    init(_ text: String, mount: String) {
        var paths: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            for controller in fields[1].split(separator: ",", omittingEmptySubsequences: false) {
                paths[String(controller)] = String(fields[2])
            }
        }
        (self.paths, self.mount) = (paths, mount)
    }

    private func file(_ controller: String, _ name: String) -> String? {
        guard let path = paths[controller] else { return nil }
        let base = controller.isEmpty ? mount : "\(mount)/\(controller)"
        return TextFile.read("\(base)\(path)/\(name)")
    }

    private func number(_ controller: String, _ name: String) -> UInt64? {
        file(controller, name).flatMap { UInt64($0.filter { $0 != "\n" }) }
    }

    /// `name value` lines.
    private func table(_ controller: String, _ name: String) -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        for line in (file(controller, name) ?? "").split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count == 2, let value = UInt64(fields[1]) { result[String(fields[0])] = value }
        }
        return result
    }

    /// Host process ids in the group.
    func processes() -> [Int] {
        for controller in ["pids", "memory", "devices", ""] {
            if let text = file(controller, "cgroup.procs"), !text.isEmpty {
                return text.split(separator: "\n").compactMap { Int($0) }
            }
        }
        return []
    }

    // MARK: Counters

    func fill(_ statistics: inout ContainerStatistics) {
        if paths["memory"] != nil || paths["cpuacct"] != nil {
            fillFirstVersion(&statistics)
        } else {
            fillSecondVersion(&statistics)
        }
    }

    private func fillFirstVersion(_ statistics: inout ContainerStatistics) {
        statistics.cpuTotalNanoseconds = number("cpuacct", "cpuacct.usage") ?? 0
        statistics.cpuPerCPUNanoseconds = (file("cpuacct", "cpuacct.usage_percpu") ?? "")
            .split(whereSeparator: { $0 == " " || $0 == "\n" }).compactMap { UInt64($0) }
        let ticks = table("cpuacct", "cpuacct.stat")
        statistics.cpuUserNanoseconds = (ticks["user"] ?? 0) * MachineClock.nanosecondsPerTick
        statistics.cpuKernelNanoseconds = (ticks["system"] ?? 0) * MachineClock.nanosecondsPerTick
        let throttling = table("cpu", "cpu.stat")
        statistics.throttlingPeriods = throttling["nr_periods"] ?? 0
        statistics.throttledPeriods = throttling["nr_throttled"] ?? 0
        statistics.throttledNanoseconds = throttling["throttled_time"] ?? 0
        statistics.memoryUsageBytes = number("memory", "memory.usage_in_bytes") ?? 0
        statistics.memoryMaxUsageBytes = number("memory", "memory.max_usage_in_bytes") ?? 0
        statistics.memoryFailures = number("memory", "memory.failcnt") ?? 0
        statistics.memoryLimitBytes = number("memory", "memory.limit_in_bytes") ?? 0
        statistics.memoryDetails = table("memory", "memory.stat")
        statistics.memoryInactiveFileBytes = statistics.memoryDetails["total_inactive_file"] ?? 0
        statistics.processes = number("pids", "pids.current") ?? UInt64(processes().count)
        statistics.processesLimit = number("pids", "pids.max") ?? 0
        statistics.blockBytes = blockCounters(file("blkio", "blkio.throttle.io_service_bytes_recursive"))
        statistics.blockOperations = blockCounters(file("blkio", "blkio.throttle.io_serviced_recursive"))
    }

    /// Lines such as `8:0 Read 4096`.
    private func blockCounters(_ text: String?) -> [BlockCounter] {
        (text ?? "").split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count == 3, let value = UInt64(fields[2]),
                let (major, minor) = Self.device(fields[0])
            else { return nil }
            return BlockCounter(major: major, minor: minor, operation: String(fields[1]), value: value)
        }
    }

    private static func device(_ text: Substring) -> (UInt64, UInt64)? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let major = UInt64(parts[0]), let minor = UInt64(parts[1]) else { return nil }
        return (major, minor)
    }

    private func fillSecondVersion(_ statistics: inout ContainerStatistics) {
        let cpu = table("", "cpu.stat")
        statistics.cpuTotalNanoseconds = (cpu["usage_usec"] ?? 0) * 1000
        statistics.cpuUserNanoseconds = (cpu["user_usec"] ?? 0) * 1000
        statistics.cpuKernelNanoseconds = (cpu["system_usec"] ?? 0) * 1000
        statistics.throttlingPeriods = cpu["nr_periods"] ?? 0
        statistics.throttledPeriods = cpu["nr_throttled"] ?? 0
        statistics.throttledNanoseconds = (cpu["throttled_usec"] ?? 0) * 1000
        statistics.memoryUsageBytes = number("", "memory.current") ?? 0
        // `max`, which is no number, means no limit.
        statistics.memoryLimitBytes = number("", "memory.max") ?? .max
        statistics.memoryDetails = table("", "memory.stat")
        statistics.memoryInactiveFileBytes = statistics.memoryDetails["inactive_file"] ?? 0
        statistics.processes = number("", "pids.current") ?? UInt64(processes().count)
        statistics.processesLimit = number("", "pids.max") ?? 0
        for line in (file("", "io.stat") ?? "").split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let first = fields.first, let (major, minor) = Self.device(first) else { continue }
            for field in fields.dropFirst() {
                let parts = field.split(separator: "=")
                guard parts.count == 2, let value = UInt64(parts[1]) else { continue }
                func counter(_ operation: String) -> BlockCounter {
                    BlockCounter(major: major, minor: minor, operation: operation, value: value)
                }
                switch parts[0] {
                case "rbytes": statistics.blockBytes.append(counter("read"))
                case "wbytes": statistics.blockBytes.append(counter("write"))
                case "rios": statistics.blockOperations.append(counter("read"))
                case "wios": statistics.blockOperations.append(counter("write"))
                default: break
                }
            }
        }
    }
}

/// Small files of the kernel as text.
enum TextFile {
    static func read(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}
