import SwarmCore
import SwarmModel

/// What a task asks of its node, read once for many nodes.
struct Wishes {
    let service: ObjectID
    let nanoCPUs: Int64
    let memory: Int64
    /// How many of each kind of generic resource.
    let generic: [String: Int64]
    /// Nil when one of them cannot be read: no node satisfies it.
    let constraints: [PlacementConstraint]?
    let platforms: [Platform]
    /// The log and volume drivers that the task names.
    let plugins: [EnginePlugin]
    let hostPorts: Set<PortConfig>
    let replicasMax: UInt64

    /// Whether any node will do that has room.
    var isUndemanding: Bool { plugins.isEmpty && platforms.isEmpty && constraints?.isEmpty == true }

    init(_ task: SwarmTask) {
        service = task.serviceID ?? ""
        let reserved = task.spec.reservedResources
        (nanoCPUs, memory) = (reserved.nanoCPUs ?? 0, reserved.memoryBytes ?? 0)
        generic = reserved.genericCounts
        let parsed = task.spec.constraintTexts.map { try? PlacementConstraint($0) }
        constraints = parsed.contains { $0 == nil } ? nil : parsed.compactMap { $0 }
        platforms = task.spec.placement?.platforms ?? []
        let volumes = (task.spec.containerSpec?.mounts ?? []).compactMap(\.volumeOptions?.driverConfig?.name)
        plugins =
            ([task.spec.logDriver?.name].compactMap(\.self).map { EnginePlugin(type: "Log", name: $0) }
            + volumes.map { EnginePlugin(type: "Volume", name: $0) }).filter { !$0.name.isEmpty }
        let ports = task.endpoint?.ports ?? task.endpoint?.spec.ports ?? []
        hostPorts = Set(
            ports.filter { $0.isHostMode && ($0.publishedPort ?? 0) != 0 }.map {
                PortConfig(proto: $0.effectiveProtocol, publishedPort: $0.publishedPort)
            })
        replicasMax = task.spec.maxReplicasPerNode
    }
}

/// Why a node does not take a task, in the order in which Docker checks.
enum Refusal: Int, Hashable, Comparable {
    case notAvailable, resources, plugin, constraints, platform, hostPort, maxReplicas

    static func < (left: Refusal, right: Refusal) -> Bool { left.rawValue < right.rawValue }

    func text(_ count: Int) -> String {
        let nodes = count == 1 ? "1 node" : "\(count) nodes"
        return switch self {
        case .notAvailable: "\(nodes) not available for new tasks"
        case .resources: "insufficient resources on \(nodes)"
        case .plugin: "missing plugin on \(nodes)"
        case .constraints: "scheduling constraints not satisfied on \(nodes)"
        case .platform: "unsupported platform on \(nodes)"
        case .hostPort: "host-mode port already in use on \(nodes)"
        case .maxReplicas: "max replicas per node limit exceed"
        }
    }

    static func explain(_ refusals: [Refusal: Int]) -> String {
        guard !refusals.isEmpty else { return "" }
        let ordered = refusals.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        return " (" + ordered.map { $0.key.text($0.value) }.joined(separator: "; ") + ")"
    }
}
