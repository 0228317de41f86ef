import NIOCore

/// Lets each thing be said once in a while, and remembers a bounded number of things.
struct LogLimiter {
    static let interval = TimeAmount.seconds(60)
    static let topicsMax = 1024

    private var silentUntil: [String: NIODeadline] = [:]

    /// Whether to say it now.
    mutating func admits(_ topic: String, at now: NIODeadline = .now()) -> Bool {
        if let until = silentUntil[topic], now < until { return false }
        if silentUntil.count >= Self.topicsMax {
            silentUntil = silentUntil.filter { now < $0.value }
            // All of it within a minute: somebody is inventing topics.
            guard silentUntil.count < Self.topicsMax else { return false }
        }
        silentUntil[topic] = now + Self.interval
        return true
    }

    /// What was mended may be said again when it breaks again.
    mutating func forget(_ topic: String) { silentUntil[topic] = nil }
}
