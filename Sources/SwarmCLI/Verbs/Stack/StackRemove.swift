import Compose
import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl stack rm`.
extension StackVerbs {
    static let remove = Command(
        "rm", "Remove one or more stacks", usage: "[OPTIONS] STACK [STACK...]", arguments: .atLeast(1),
        flags: [
            Flag("detach", short: "d", .bool, "Do not wait for the tasks to end", default: "true"),
            Flag("wait", .bool, "Stop service by service, dependents first, until nothing is left"),
            Flag(
                "timeout", .positiveDuration, "How long waiting may take in all; 0 for no limit",
                default: StackDeployment.timeoutStandard),
        ]
    ) { invocation in
        let waits = invocation.isOn("wait") || invocation.flags.isSet("detach") && !invocation.isOn("detach")
        let deadline = try StackClock.deadline(invocation)
        var complaints: [String] = []
        for stack in invocation.arguments {
            let removal = StackRemoval(
                stack: stack, client: invocation.client, console: invocation.console, waits: waits,
                deadline: deadline)
            do {
                complaints += try await removal.run()
            } catch let error as SwarmError {
                complaints.append("stack \(stack): \(error.description)")
            }
        }
        guard complaints.isEmpty else { throw CommandFailure(complaints.joined(separator: "\n")) }
    }.aliased("remove", "down")
}

/// One stack's removal: services, those that others depend on last; then what only services use.
private struct StackRemoval {
    let stack: String
    let client: EngineClient
    let console: Console
    let waits: Bool
    let deadline: Instant?

    /// - Returns: what could not be removed, in words.
    func run() async throws -> [String] {
        let snapshot = try await StackSnapshot.read(stack, client)
        let state = snapshot.state
        func isOurs(_ labels: [String: String]?) -> Bool { labels?[StackLabel.namespace] == stack }
        let secrets = state.secrets.filter { isOurs($0.spec.labels) }
        let configs = state.configs.filter { isOurs($0.spec.labels) }
        let networks = state.networks.filter { isOurs($0.spec.labels) }
        guard !(state.services.isEmpty && secrets.isEmpty && configs.isEmpty && networks.isEmpty) else {
            console.complain("Nothing found in stack: \(stack)")
            return []
        }
        var complaints: [String] = []
        let ids = Dictionary(state.services.map { ($0.spec.name, $0.id) }) { first, _ in first }
        let rounds = StackRemovalOrder.rounds(ids.keys.sorted(), snapshot.revisions.last?.revision)
        for round in rounds {
            complaints += await remove(round.map { (name: $0, id: ids[$0] ?? $0) })
            if waits { try await untilEnded(Set(round.compactMap { ids[$0] })) }
        }
        for secret in secrets.sorted(by: { $0.spec.name < $1.spec.name }) {
            complaints += await remove("secret", secret.id, secret.spec.name)
        }
        for config in configs.sorted(by: { $0.spec.name < $1.spec.name }) {
            let isRevision = config.spec.labels?[StackLabel.revision] != nil
            complaints += await remove("config", config.id, config.spec.name, quietly: isRevision)
        }
        for network in networks.sorted(by: { $0.spec.name < $1.spec.name }) {
            complaints += await remove("network", network.id, network.spec.name)
        }
        return complaints
    }

    /// Removes services, several at a time.
    private func remove(_ services: [(name: String, id: ObjectID)]) async -> [String] {
        var complaints: [String] = []
        var rest = services[...]
        while !rest.isEmpty {
            let batch = rest.prefix(StackDeployment.requestsMax)
            rest = rest.dropFirst(batch.count)
            for service in batch { console.print("Removing service \(service.name)") }
            console.flush()
            complaints += await withTaskGroup(of: [String].self) { group in
                for service in batch {
                    group.addTask { await remove("service", service.id, service.name, quietly: true) }
                }
                return await group.reduce(into: []) { $0 += $1 }
            }
        }
        return complaints.sorted()
    }

    private func remove(_ kind: String, _ id: String, _ name: String, quietly: Bool = false) async -> [String]
    {
        if !quietly {
            console.print("Removing \(kind) \(name)")
            console.flush()
        }
        do {
            try await client.remove(kind, id)
            return []
        } catch {
            // Somebody else has removed it, which is what was asked for.
            return error.code == .notFound ? [] : ["Failed to remove \(kind) \(name): \(error.description)"]
        }
    }

    private func untilEnded(_ services: Set<ObjectID>) async throws {
        while true {
            let left = try await StackObservation.live(stack, client).filter {
                services.contains($0.serviceID ?? "")
            }
            guard !left.isEmpty else { return }
            if let deadline, StackClock.now >= deadline {
                throw CommandFailure(
                    "stack \(stack): the time given with --timeout is over, and \(left.count) tasks have not ended; "
                        + "remove again to go on from here", status: StackStatus.timedOut)
            }
            try await Task.sleep(for: .milliseconds(StackDeployment.pollMilliseconds))
        }
    }
}
