import FoundationEssentials
import Glibc
import Ports

/// What `ps -ef` tells of a process, read from /proc.
enum ProcessTable {
    /// Every process of the machine, as far as this one sees it.
    static func all() -> [pid_t] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }
    }

    /// Who has which children; kernels need not have a file that tells.
    static func children() -> [pid_t: [pid_t]] {
        var children: [pid_t: [pid_t]] = [:]
        for pid in all() {
            guard let stat = TextFile.read("/proc/\(pid)/stat"), let end = stat.lastIndex(of: ")") else { continue }
            // After the bracket: the state, then the parent.
            let fields = stat[stat.index(after: end)...].split(separator: " ", maxSplits: 2)
            guard fields.count == 3, let parent = pid_t(fields[1]) else { continue }
            children[parent, default: []].append(pid)
        }
        return children
    }

    /// nil when the process has gone meanwhile.
    static func describe(_ pid: Int) -> Ports.ProcessInfo? {
        guard let stat = TextFile.read("/proc/\(pid)/stat"),
            // The command may hold spaces and brackets: the fields begin after the last one.
            let open = stat.firstIndex(of: "("), let end = stat.lastIndex(of: ")")
        else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let parent = Int(fields[1]), let user = UInt64(fields[11]),
            let system = UInt64(fields[12]), let started = UInt64(fields[19])
        else { return nil }
        let status = TextFile.read("/proc/\(pid)/status") ?? ""
        let uid = status.split(separator: "\n").first { $0.hasPrefix("Uid:") }
            .flatMap { $0.split(separator: "\t").dropFirst().first }.flatMap { Int($0) }
        let seconds = Int((user + system) / MachineClock.ticksPerSecond)
        let start = MachineClock.bootTime + Int(started / MachineClock.ticksPerSecond)
        let name = stat[stat.index(after: open)..<end]
        var info = Ports.ProcessInfo(
            pid: pid, uid: uid ?? 0, ppid: parent, command: commandLine(pid) ?? "[\(name)]",
            startTime: clock(start), cpuTime: time(seconds))
        info.processorShare = share(seconds, since: start)
        info.tty = terminal(Int(fields[4]) ?? 0)
        return info
    }

    private static func commandLine(_ pid: Int) -> String? {
        guard let text = TextFile.read("/proc/\(pid)/cmdline"), !text.isEmpty else { return nil }
        let words = text.split(separator: "\0", omittingEmptySubsequences: false)
        return (words.last?.isEmpty == true ? words.dropLast() : words[...]).joined(separator: " ")
    }

    private static func terminal(_ device: Int) -> String {
        guard device != 0 else { return "?" }
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff | (device >> 12 & 0xfff00))
        return (136...143).contains(major) ? "pts/\(minor)" : "?"
    }

    private static func share(_ seconds: Int, since start: Int) -> Int {
        let age = max(1, Int(Glibc.time(nil)) - start)
        return seconds * 100 / age
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    static func time(_ seconds: Int) -> String {
        "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
    }

    /// Time of day, or the date of what is older than a day, as ps writes it.
    private static func clock(_ seconds: Int) -> String {
        var moment = seconds
        var parts = unsafe tm()
        _ = unsafe localtime_r(&moment, &parts)
        if Int(Glibc.time(nil)) - seconds < 86_400 {
            return unsafe "\(two(Int(parts.tm_hour))):\(two(Int(parts.tm_min)))"
        }
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        return unsafe "\(months[Int(parts.tm_mon) % 12])\(two(Int(parts.tm_mday)))"
    }
}

/// Traffic of a container's network interfaces.
enum NetworkCounters {
    static func read(process: Int) -> [InterfaceCounters] {
        parse(TextFile.read("/proc/\(process)/net/dev") ?? "")
    }

    /// - Parameter text: contents of `/proc/<pid>/net/dev`: two lines of heading, then an interface on each.
    static func parse(_ text: String) -> [InterfaceCounters] {
        text.split(separator: "\n").dropFirst(2).compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let name = line[..<colon].filter { $0 != " " }
            let numbers = line[line.index(after: colon)...].split(separator: " ").compactMap { UInt64($0) }
            guard numbers.count >= 12, name != "lo" else { return nil }
            return InterfaceCounters(
                name: name, received: .init(
                    bytes: numbers[0], packets: numbers[1], errors: numbers[2], dropped: numbers[3]),
                sent: .init(bytes: numbers[8], packets: numbers[9], errors: numbers[10], dropped: numbers[11]))
        }
    }
}
