import SwarmClient
import SwarmCore
import SwarmModel

/// Looks names up for completion.
enum CompletionNames {
    /// Who pressed a key waits no longer than this; then there are no names.
    static let answerWait = Duration.seconds(3)

    /// - Returns: nothing when the engine does not answer, or has no swarm: a shell's line is no place for errors.
    static func load(_ noun: Noun, _ client: EngineClient) async -> [String] {
        await withTaskGroup(of: [String].self) { group in
            group.addTask { (try? await names(of: noun, client)) ?? [] }
            group.addTask {
                // Ended early when the names are there.
                try? await Task.sleep(for: answerWait)
                return []
            }
            let first = await group.next() ?? []
            group.cancelAll()
            return first
        }
    }

    private static func names(of noun: Noun, _ client: EngineClient) async throws -> [String] {
        switch noun {
        case .service: return try await client.services().map(\.spec.name)
        case .node: return try await client.nodes().map { $0.description.hostname ?? $0.id }
        case .network: return try await client.networks().map(\.name)
        case .secret: return try await client.secrets().map(\.spec.name)
        case .config: return try await client.configs().map(\.spec.name)
        case .stack: return try await client.services().compactMap { $0.spec.labels?[StackLabel.namespace] }
        case .container:
            let containers: [ContainerSummary] = try await client.get("/containers/json", ["all": "1"])
            return containers.compactMap { $0.names?.first }.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 }
        case .image:
            let images: [ImageSummary] = try await client.get("/images/json")
            return images.flatMap { $0.repoTags ?? [] }.filter { !$0.contains("<none>") }
        case .volume:
            return try await client.json("/volumes")["Volumes"]?.elements.compactMap { $0["Name"]?.text } ?? []
        case .task:
            let services = try await client.services()
            let nodes = try await client.nodes()
            let listing = TaskListing(
                serviceNames: Dictionary(services.map { ($0.id, $0.spec.name) }) { first, _ in first },
                nodeNames: Dictionary(nodes.map { ($0.id, $0.description.hostname ?? $0.id) }) { first, _ in first },
                truncates: true, now: .zero)
            return try await client.tasks(filters: [(key: "desired-state", value: "running")]).map(listing.name)
        }
    }
}
