package import SwarmCore

/// One process of a container, as `ps -ef` would show it.
package struct ProcessInfo: Sendable, Equatable {
    package var pid: Int
    package var uid: Int
    package var ppid: Int
    package var command: String
    package var startTime: String
    package var cpuTime: String
    package var tty: String
    /// Percent of one processor over the process's life.
    package var processorShare = 0

    package init(
        pid: Int, uid: Int, ppid: Int, command: String, startTime: String, cpuTime: String, tty: String = "?"
    ) {
        (self.pid, self.uid, self.ppid, self.command) = (pid, uid, ppid, command)
        (self.startTime, self.cpuTime, self.tty) = (startTime, cpuTime, tty)
    }
}

/// Resource use of one container; zero where the kernel gives no number.
package struct ContainerStatistics: Sendable, Equatable {
    package var readAt: Timestamp
    package var cpuTotalNanoseconds: UInt64 = 0
    package var cpuKernelNanoseconds: UInt64 = 0
    package var cpuUserNanoseconds: UInt64 = 0
    package var memoryUsageBytes: UInt64 = 0
    package var memoryLimitBytes: UInt64 = 0
    package var memoryInactiveFileBytes: UInt64 = 0
    package var memoryMaxUsageBytes: UInt64 = 0
    package var memoryFailures: UInt64 = 0
    /// The lines of the kernel's `memory.stat`.
    package var memoryDetails: [String: UInt64] = [:]
    package var processes: UInt64 = 0
    /// 0 when there is no limit.
    package var processesLimit: UInt64 = 0
    package var cpuPerCPUNanoseconds: [UInt64] = []
    package var throttlingPeriods: UInt64 = 0
    package var throttledPeriods: UInt64 = 0
    package var throttledNanoseconds: UInt64 = 0
    /// What all of the machine's processors have spent, idling included.
    package var machineNanoseconds: UInt64 = 0
    package var processors = 0
    package var blockBytes: [BlockCounter] = []
    package var blockOperations: [BlockCounter] = []
    package var interfaces: [InterfaceCounters] = []

    package init(readAt: Timestamp) { self.readAt = readAt }
}

/// How much of one operation a container made on one block device.
package struct BlockCounter: Sendable, Equatable {
    package var major: UInt64
    package var minor: UInt64
    package var operation: String
    package var value: UInt64

    package init(major: UInt64, minor: UInt64, operation: String, value: UInt64) {
        (self.major, self.minor, self.operation, self.value) = (major, minor, operation, value)
    }
}

/// Traffic of one network interface of a container.
package struct InterfaceCounters: Sendable, Equatable {
    package struct Direction: Sendable, Equatable {
        package var bytes: UInt64
        package var packets: UInt64
        package var errors: UInt64
        package var dropped: UInt64

        package init(bytes: UInt64, packets: UInt64, errors: UInt64, dropped: UInt64) {
            (self.bytes, self.packets, self.errors, self.dropped) = (bytes, packets, errors, dropped)
        }
    }
    package var name: String
    package var received: Direction
    package var sent: Direction

    package init(name: String, received: Direction, sent: Direction) {
        (self.name, self.received, self.sent) = (name, received, sent)
    }
}

/// What `wait` waits for.
package enum WaitCondition: String, Sendable {
    case notRunning = "not-running"
    case nextExit = "next-exit"
    case removed
}
