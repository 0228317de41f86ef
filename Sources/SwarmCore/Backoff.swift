/// Exponential delay with full jitter and a ceiling, for anything that retries.
package struct Backoff: Sendable {
    package var initial: Duration
    package var maximum: Duration
    package private(set) var attempts = 0

    package init(initial: Duration, maximum: Duration) { (self.initial, self.maximum) = (initial, maximum) }

    /// The next delay: uniform in (0.5, 1] of `initial * 2^attempts`, at most `maximum`.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let ceiling = min(maximum.wholeNanoseconds, initial.wholeNanoseconds << min(attempts, 20))
        attempts += 1
        return .nanoseconds(Int64.random(in: (ceiling / 2)...max(ceiling, 1), using: &generator))
    }

    package mutating func reset() { attempts = 0 }
}
