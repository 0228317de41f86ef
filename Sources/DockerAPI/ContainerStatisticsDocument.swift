import Ports
import SwarmCore

/// One reading of a container's resources in the shape of `GET /containers/{id}/stats`.
struct ContainerStatisticsDocument {
    var info: ContainerInfo
    var now: ContainerStatistics
    /// The reading before, from which clients calculate a share of the processors; nil when there is none.
    var before: ContainerStatistics?
    var isFirstControlGroupVersion: Bool { !now.cpuPerCPUNanoseconds.isEmpty }

    var document: JSONDocument {
        let blocks: JSONDocument = [
            "io_service_bytes_recursive": .array(now.blockBytes.map(block)),
            "io_serviced_recursive": .array(now.blockOperations.map(block)), "io_queue_recursive": [],
            "io_service_time_recursive": [], "io_wait_time_recursive": [], "io_merged_recursive": [],
            "io_time_recursive": [], "sectors_recursive": [],
        ]
        var processes: JSONMembers = ["current": number(now.processes)]
        if now.processesLimit > 0 { processes["limit"] = number(now.processesLimit) }
        var members: JSONMembers = [
            "read": .time(now.readAt), "preread": .time(before?.readAt), "pids_stats": .object(processes),
            "blkio_stats": blocks, "num_procs": 0, "storage_stats": [:],
            "cpu_stats": processor(now), "precpu_stats": processor(before),
            "memory_stats": memory, "name": .string("/" + info.name), "id": .string(info.id),
        ]
        if !now.interfaces.isEmpty {
            let pairs = now.interfaces.map { ($0.name, interface($0)) }
            members["networks"] = .object(JSONMembers(Array(pairs)))
        }
        return .object(members)
    }

    private func number(_ value: UInt64) -> JSONDocument { .integer(Int64(clamping: value)) }

    private func processor(_ reading: ContainerStatistics?) -> JSONDocument {
        var usage: JSONMembers = [
            "total_usage": number(reading?.cpuTotalNanoseconds ?? 0),
            "usage_in_kernelmode": number(reading?.cpuKernelNanoseconds ?? 0),
            "usage_in_usermode": number(reading?.cpuUserNanoseconds ?? 0),
        ]
        if let shares = reading?.cpuPerCPUNanoseconds, !shares.isEmpty {
            usage["percpu_usage"] = .array(shares.map(number))
        }
        var members: JSONMembers = [
            "cpu_usage": .object(usage),
            "throttling_data": [
                "periods": number(reading?.throttlingPeriods ?? 0),
                "throttled_periods": number(reading?.throttledPeriods ?? 0),
                "throttled_time": number(reading?.throttledNanoseconds ?? 0),
            ],
        ]
        if let reading, reading.processors > 0 {
            members["system_cpu_usage"] = number(reading.machineNanoseconds)
            members["online_cpus"] = .integer(Int64(reading.processors))
        }
        return .object(members)
    }

    private var memory: JSONDocument {
        guard now.processors > 0 else { return [:] }
        var members: JSONMembers = [
            "usage": number(now.memoryUsageBytes), "limit": number(now.memoryLimitBytes),
            "stats": .object(JSONMembers(sorted: now.memoryDetails.mapValues(number))),
        ]
        if isFirstControlGroupVersion {
            members["max_usage"] = number(now.memoryMaxUsageBytes)
            if now.memoryFailures > 0 { members["failcnt"] = number(now.memoryFailures) }
        }
        return .object(members)
    }

    private func block(_ counter: BlockCounter) -> JSONDocument {
        [
            "major": number(counter.major), "minor": number(counter.minor), "op": .string(counter.operation),
            "value": number(counter.value),
        ]
    }

    private func interface(_ counters: InterfaceCounters) -> JSONDocument {
        [
            "rx_bytes": number(counters.received.bytes), "rx_packets": number(counters.received.packets),
            "rx_errors": number(counters.received.errors), "rx_dropped": number(counters.received.dropped),
            "tx_bytes": number(counters.sent.bytes), "tx_packets": number(counters.sent.packets),
            "tx_errors": number(counters.sent.errors), "tx_dropped": number(counters.sent.dropped),
        ]
    }
}
