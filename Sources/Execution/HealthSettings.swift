package import SwarmModel

/// How a container's health is found out, every value decided.
package struct HealthSettings: Sendable, Equatable {
    /// What runs in the container.
    package var command: [String]
    package var interval: Duration
    package var timeout: Duration
    /// Failures this long after the start do not count until a check has succeeded once.
    package var startPeriod: Duration
    /// The interval during the start period.
    package var startInterval: Duration
    /// So many failures in a row make the container unhealthy.
    package var retries: Int

    /// nil when there is no check: none was given, or `NONE`, or a kind that does not exist.
    package init?(_ configuration: HealthConfig?) {
        guard let configuration, let kind = configuration.test?.first else { return nil }
        let words = Array((configuration.test ?? []).dropFirst())
        guard !words.isEmpty else { return nil }
        switch kind {
        case "CMD": command = words
        case "CMD-SHELL": command = ["/bin/sh", "-c", words.joined(separator: " ")]
        default: return nil
        }
        func length(_ nanoseconds: Int64?, or fallback: Duration) -> Duration {
            guard let nanoseconds, nanoseconds > 0 else { return fallback }
            return .nanoseconds(nanoseconds)
        }
        interval = length(configuration.interval, or: .seconds(30))
        timeout = length(configuration.timeout, or: .seconds(30))
        startPeriod = length(configuration.startPeriod, or: .zero)
        startInterval = length(configuration.startInterval, or: .seconds(5))
        retries = configuration.retries.flatMap { $0 > 0 ? $0 : nil } ?? 3
    }
}

extension HealthConfig {
    /// The task's check with what it leaves open taken from the image's; nil when neither has any.
    package static func merged(task: HealthConfig?, image: HealthConfig?) -> HealthConfig? {
        guard var merged = task, let image else { return task ?? image }
        func isOpen<Number: FixedWidthInteger>(_ value: Number?) -> Bool { value == nil || value == 0 }
        if merged.test?.isEmpty != false { merged.test = image.test }
        if isOpen(merged.interval) { merged.interval = image.interval }
        if isOpen(merged.timeout) { merged.timeout = image.timeout }
        if isOpen(merged.startPeriod) { merged.startPeriod = image.startPeriod }
        if isOpen(merged.startInterval) { merged.startInterval = image.startInterval }
        if isOpen(merged.retries) { merged.retries = image.retries }
        return merged
    }
}
