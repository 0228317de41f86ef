package import SwarmCore

/// The outcome of one health check.
package struct HealthResult: Sendable, Equatable {
    package var start: Timestamp
    package var end: Timestamp
    /// -1 when the check could not be run or took too long.
    package var exitCode: Int
    package var output: String

    package init(start: Timestamp, end: Timestamp, exitCode: Int, output: String) {
        (self.start, self.end, self.exitCode, self.output) = (start, end, exitCode, output)
    }
}

/// One container's health, from check to check, as Docker Engine counts it.
///
/// One check runs at a time; the next is due an interval after the last has ended.
package struct HealthMachine: Sendable, Equatable {
    package enum Status: String, Sendable { case starting, healthy, unhealthy }

    package enum Event: Sendable, Equatable {
        /// The container runs, since `age`; also after a pause and after a restart of the daemon.
        case started(age: Duration)
        case finished(check: Int, HealthResult)
        /// ``deadline`` has come.
        case deadlineReached(Timestamp)
        /// The container is paused or has ended.
        case suspended
    }

    package enum Effect: Sendable, Equatable {
        /// To be answered by `.finished` with the same number.
        case run(check: Int)
        /// It has taken too long; its answer is no longer waited for.
        case kill(check: Int)
        /// The status has changed; `output` is that of the check that changed it.
        case report(Status, output: String)
    }

    /// Results that are kept for those who ask.
    package static let resultsMax = 5

    package let settings: HealthSettings
    package private(set) var status: Status
    package private(set) var failingStreak = 0
    /// The last few, oldest first.
    package private(set) var results: [HealthResult] = []
    /// When the machine next wants to be woken; nil while it waits for nothing.
    package private(set) var deadline: Instant?
    private var startPeriodEnd = Instant.zero
    private var checks = 0
    /// The running check, and when it began.
    private var running: (number: Int, start: Timestamp)?

    /// - Parameter wasHealthy: what a former daemon had found out.
    package init(settings: HealthSettings, wasHealthy: Bool = false) {
        self.settings = settings
        status = wasHealthy ? .healthy : .starting
    }

    /// The check whose answer is waited for.
    package var currentCheck: Int? { running?.number }

    package mutating func receive(_ event: Event, at now: Instant) -> [Effect] {
        switch event {
        case .started(let age):
            startPeriodEnd = now + (settings.startPeriod - age)
            deadline = now + interval(at: now)
            return []
        case .suspended:
            deadline = nil
            guard let running = running.take() else { return [] }
            return [.kill(check: running.number)]
        case .deadlineReached(let time):
            guard let deadline, now >= deadline else { return [] }
            if let running = running.take() { return timedOut(running, time, now) }
            checks += 1
            running = (checks, time)
            self.deadline = now + settings.timeout
            return [.run(check: checks)]
        case .finished(let check, let result):
            guard let running, running.number == check else { return [] }
            self.running = nil
            return record(result, at: now)
        }
    }

    private func interval(at now: Instant) -> Duration {
        status == .starting && now < startPeriodEnd ? settings.startInterval : settings.interval
    }

    private mutating func timedOut(
        _ check: (number: Int, start: Timestamp), _ time: Timestamp, _ now: Instant
    ) -> [Effect] {
        let text = "Health check exceeded timeout (\(Self.describe(settings.timeout)))"
        let result = HealthResult(start: check.start, end: time, exitCode: -1, output: text)
        return [.kill(check: check.number)] + record(result, at: now)
    }

    private mutating func record(_ result: HealthResult, at now: Instant) -> [Effect] {
        if results.count >= Self.resultsMax { results.removeFirst() }
        results.append(result)
        let before = status
        if result.exitCode == 0 {
            (failingStreak, status) = (0, .healthy)
        } else if status != .starting || now - startPeriodEnd >= result.end - result.start {
            // A check that began within the start period does not count, whenever it ended.
            failingStreak += 1
            if failingStreak >= settings.retries { status = .unhealthy }
        }
        deadline = now + interval(at: now)
        return status == before ? [] : [.report(status, output: result.output)]
    }

    /// Go's way to write a duration, for whole numbers of one unit.
    static func describe(_ duration: Duration) -> String {
        let nanoseconds = duration.wholeNanoseconds
        let milliseconds = nanoseconds / 1_000_000
        if milliseconds < 1000 { return "\(milliseconds)ms" }
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000)
        let fraction = rest == 0 ? "" : "." + String(1000 + rest).dropFirst().trimmingZeros
        if seconds < 60 { return "\(seconds)\(fraction)s" }
        let minutes = seconds / 60
        let tail = "\(seconds % 60)\(fraction)s"
        return minutes < 60 ? "\(minutes)m\(tail)" : "\(minutes / 60)h\(minutes % 60)m\(tail)"
    }

    package static func == (left: HealthMachine, right: HealthMachine) -> Bool {
        left.settings == right.settings && left.status == right.status && left.results == right.results
            && left.failingStreak == right.failingStreak && left.deadline == right.deadline
            && left.checks == right.checks && left.startPeriodEnd == right.startPeriodEnd
            && left.running?.number == right.running?.number
    }
}

extension Substring {
    /// Without zeros at the end.
    fileprivate var trimmingZeros: Substring {
        var text = self
        while text.last == "0" { text.removeLast() }
        return text
    }
}
