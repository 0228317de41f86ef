package import SwarmClient
import SwarmCore

/// `swarmctl stats`.
extension ContainerVerbs {
    static let stats = Command(
        "stats", "Display a live stream of container(s) resource usage statistics",
        usage: "[OPTIONS] [CONTAINER...]", arguments: .any,
        flags: [
            Flag("all", short: "a", .bool, "Show all containers (default shows just running)"),
            ListFlags.format,
            Flag("no-stream", .bool, "Disable streaming stats and only pull the first result"),
            ListFlags.noTruncation,
        ]
    ) { invocation in
        // Above the table, so that the next one comes over this one.
        let home = "\u{1b}[H\u{1b}[2J"
        while true {
            let readings = try await readings(invocation)
            let text = try ContainerUse.listing(readings, truncates: !invocation.isOn("no-trunc"))
                .render(format: invocation.flag("format"))
            guard !invocation.isOn("no-stream") else { return invocation.console.write(text) }
            invocation.console.write((invocation.console.isTerminal ? home : "") + text)
            invocation.console.flush()
        }
    }

    /// One reading of each container; the engine takes a second for it, which is also how often they come.
    private static func readings(_ invocation: Invocation) async throws -> [ContainerUse] {
        let client = invocation.client
        var wanted = invocation.arguments
        if wanted.isEmpty {
            let found: [ContainerSummary] = try await client.get(
                "/containers/json", invocation.isOn("all") ? ["all": "1"] : [:])
            wanted = found.map(\.id)
            // Nothing to wait for: without this the loop would not rest.
            if wanted.isEmpty { try await Task.sleep(for: .seconds(1)) }
        }
        return try await withThrowingTaskGroup(of: (Int, ContainerUse).self) { group in
            for (index, argument) in wanted.enumerated() {
                group.addTask {
                    let answer = try await client.json("/containers/\(argument)/stats", ["stream": "0"])
                    return (index, ContainerUse(answer, asked: argument))
                }
            }
            var found: [(Int, ContainerUse)] = []
            for try await reading in group { found.append(reading) }
            return found.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}

/// What one container uses, from the engine's answer.
package struct ContainerUse: Sendable, Equatable {
    package var asked: String
    package var id: String
    package var name: String
    package var processorPercent = 0.0
    package var memoryBytes: Int64 = 0
    package var memoryLimitBytes: Int64 = 0
    package var received: Int64 = 0
    package var sent: Int64 = 0
    package var read: Int64 = 0
    package var written: Int64 = 0
    package var processes: Int64 = 0

    package init(_ answer: JSONValue, asked: String) {
        self.asked = asked
        id = answer["id"]?.text ?? ""
        let full = answer["name"]?.text ?? ""
        name = full.hasPrefix("/") ? String(full.dropFirst()) : full
        func number(_ path: String...) -> Int64 {
            path.reduce(answer as JSONValue?) { $0?[$1] }?.integer ?? 0
        }
        let spent = number("cpu_stats", "cpu_usage", "total_usage") - number("precpu_stats", "cpu_usage", "total_usage")
        let passed = number("cpu_stats", "system_cpu_usage") - number("precpu_stats", "system_cpu_usage")
        if spent > 0, passed > 0 {
            let processors = max(number("cpu_stats", "online_cpus"), 1)
            processorPercent = Double(spent) / Double(passed) * Double(processors) * 100
        }
        // What the kernel can give back at any time is not used: its name depends on the kernel's interface.
        let cached = max(
            number("memory_stats", "stats", "total_inactive_file"), number("memory_stats", "stats", "inactive_file"))
        let usage = number("memory_stats", "usage")
        memoryBytes = cached < usage ? usage - cached : usage
        memoryLimitBytes = number("memory_stats", "limit")
        for member in answer["networks"]?.members ?? [] {
            received += member.value["rx_bytes"]?.integer ?? 0
            sent += member.value["tx_bytes"]?.integer ?? 0
        }
        for entry in answer["blkio_stats"]?["io_service_bytes_recursive"]?.elements ?? [] {
            switch entry["op"]?.text?.lowercased() {
            case "read": read += entry["value"]?.integer ?? 0
            case "write": written += entry["value"]?.integer ?? 0
            default: break
            }
        }
        processes = number("pids_stats", "current")
    }

    package static func listing(_ readings: [ContainerUse], truncates: Bool) -> Listing {
        var listing = Listing(
            columns: [
                Column("Container", "CONTAINER"), Column("ID", "CONTAINER ID"), Column("Name", "NAME"),
                Column("CPUPerc", "CPU %"), Column("MemUsage", "MEM USAGE / LIMIT"), Column("MemPerc", "MEM %"),
                Column("NetIO", "NET I/O"), Column("BlockIO", "BLOCK I/O"), Column("PIDs", "PIDS"),
            ], shown: ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"])
        listing.rows = readings.map { reading in
            let limit = reading.memoryLimitBytes
            let share = limit > 0 ? Double(reading.memoryBytes) / Double(limit) * 100 : 0
            return [
                "Container": .string(reading.asked),
                "ID": .string(truncates ? reading.id.shortID : reading.id), "Name": .string(reading.name),
                "CPUPerc": .string(percent(reading.processorPercent)),
                "MemUsage": .string("\(Size.humanBinary(reading.memoryBytes)) / \(Size.humanBinary(limit))"),
                "MemPerc": .string(percent(share)),
                "NetIO": .string("\(Size.human(reading.received)) / \(Size.human(reading.sent))"),
                "BlockIO": .string("\(Size.human(reading.read)) / \(Size.human(reading.written))"),
                "PIDs": .string(String(reading.processes)),
            ]
        }
        return listing
    }

    /// With two digits after the point, as Go's `%.2f` has it.
    private static func percent(_ value: Double) -> String {
        let hundredths = Int64((value * 100).rounded())
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)%"
    }
}
