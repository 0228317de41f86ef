import Compose
import SwarmClient
import SwarmCore
import SwarmModel

/// Looks at all services of a stack at once.
enum StackObservation {
    /// How far each service is, by its name in the swarm.
    static func observe(_ stack: String, _ client: EngineClient) async throws -> [String: ServiceProgress] {
        let label = [(key: "label", value: "\(StackLabel.namespace)=\(stack)")]
        // Services first: tasks that are read later are never older than the spec that they are held against.
        let services = try await client.services(filters: label)
        async let all = client.tasks(filters: label)
        async let current = client.tasks(filters: label + [(key: "_up-to-date", value: "true")])
        async let nodes = client.nodes()
        let byService = Dictionary(grouping: try await all) { $0.serviceID ?? "" }
        let upToDate = Set(try await current.map(\.id))
        let lost = Set(try await nodes.filter { $0.status.state == "down" }.map(\.id))
        var result: [String: ServiceProgress] = [:]
        for service in services {
            result[service.spec.name] = ServiceProgress(
                service, tasks: byService[service.id] ?? [], current: upToDate, lost: lost)
        }
        return result
    }

    /// The tasks of a stack that have not ended.
    static func live(_ stack: String, _ client: EngineClient) async throws(SwarmError) -> [SwarmTask] {
        try await client.tasks(filters: [(key: "label", value: "\(StackLabel.namespace)=\(stack)")])
            .filter { !$0.status.state.isTerminal }
    }
}

/// Deadlines of `--timeout`.
enum StackClock {
    static var now: Instant { Instant(nanoseconds: WallClock.monotonicNanoseconds) }

    /// Nil: no limit.
    static func deadline(_ invocation: Invocation) throws(SwarmError) -> Instant? {
        let nanoseconds = try GoDuration.parse(invocation.flag("timeout") ?? StackDeployment.timeoutStandard)
        return nanoseconds == 0 ? nil : now + .nanoseconds(nanoseconds)
    }
}
