import Ports
import SwarmCore
import SwarmModel

/// What Docker refuses in a container, in its order and words: before anything is made, or as a start that fails.
enum RequestCheck {
    /// A container that Docker would create and could not start; tasks tell the two apart (rejected, failed).
    static let startFailurePrefix = "starting container failed: "

    static func startFailure(_ words: String) -> SwarmError { SwarmError(.unknown, startFailurePrefix + words) }

    static func isStartFailure(_ error: SwarmError) -> Bool { error.message.hasPrefix(startFailurePrefix) }

    /// - Parameter processors: what this machine has of them.
    static func check(_ request: ContainerRequest, processors: Int) throws(SwarmError) {
        let spec = request.spec
        if let directory = spec.dir, !directory.isEmpty, !directory.hasPrefix("/") {
            throw refusal("the working directory '\(directory)' is invalid, it needs to be an absolute path")
        }
        if let signal = spec.stopSignal, !signal.isEmpty { _ = try SignalName.number(signal) }
        if let limit = request.limits?.nanoCPUs, limit > Int64(processors) * 1_000_000_000 {
            throw refusal(
                "Range of CPUs is from 0.01 to \(processors).00, as there are only \(processors) CPUs available")
        }
        for (option, names) in [("CapAdd", spec.capabilityAdd), ("CapDrop", spec.capabilityDrop)] {
            for name in (names ?? []).map(SpecificationBuilder.normalizedCapability)
            where name != "ALL" && !BoundingSet.known.contains(name) {
                throw refusal("invalid \(option): unknown capability: \"\(name)\"")
            }
        }
        try checkLogging(request.logDriver, request.logOptions)
    }

    /// Drivers that keep logs here, by the options that each takes.
    private static let loggingOptions: [String: Set<String>] = [
        "json-file": [
            "max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode",
            "max-buffer-size", "cache-disabled", "cache-max-file", "cache-max-size", "cache-compress",
        ],
        "local": ["max-file", "max-size", "compress", "mode", "max-buffer-size"],
    ]

    private static func checkLogging(_ asked: String, _ options: [String: String]) throws(SwarmError) {
        let driver = asked.isEmpty ? "json-file" : asked
        guard driver != "none" else { return }
        guard let known = loggingOptions[driver] else {
            throw refusal("logger: no log driver named '\(driver)' is registered")
        }
        for name in options.keys.sorted() where !known.contains(name) {
            throw refusal("unknown log opt '\(name)' for \(driver) log driver")
        }
        if let size = options["max-size"], LogFile.bytes(size) == nil {
            throw startFailure("failed to initialize logging driver: invalid size: '\(size)'")
        }
        if let count = options["max-file"], (Int(count) ?? 0) < 1 {
            throw startFailure("failed to initialize logging driver: max-file cannot be less than 1")
        }
    }

    private static func refusal(_ words: String) -> SwarmError { SwarmError(.invalidArgument, words) }
}
