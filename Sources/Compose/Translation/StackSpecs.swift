package import SwarmModel

/// A stack as the objects of a swarm: what `docker stack deploy` would create, with its names and labels.
package struct StackSpecs: Sendable {
    /// Without the quotes and spaces around what the user gave.
    package var namespace: String
    /// Those that some service joins, by name.
    package var networks: [NetworkSpec] = []
    /// Names of networks that must be there already, in the swarm's scope.
    package var externalNetworks: [String] = []
    /// With their data, by name.
    package var secrets: [SecretSpec] = []
    package var externalSecrets: [String] = []
    package var configs: [ConfigSpec] = []
    package var externalConfigs: [String] = []
    /// By name.
    package var services: [StackService] = []
    package var warnings: [Diagnostic] = []

    static let namespaceLabel = StackLabel.namespace
    static let imageLabel = StackLabel.image
}

/// A service of a stack.
///
/// Its references to networks, secrets and configs are by name, where the engine wants identifiers: those that
/// `SecretReference.secretID` and `ConfigReference.configID` hold are empty until a deployment fills them in.
package struct StackService: Sendable, Equatable {
    /// The file's name of it, without the stack's prefix.
    package var key: String
    package var spec: ServiceSpec
    package var dependencies: [Dependency]

    /// What must be so of another service before this one starts.
    package struct Dependency: Sendable, Hashable, Codable {
        package enum Condition: String, Sendable, Codable { case started, healthy, completed }
        /// The file's name of the other service.
        package var service: String
        package var condition: Condition
        /// Whether an update of the other restarts this one.
        package var restarts: Bool
        /// Whether this one waits at all when the other is not there.
        package var isRequired: Bool
    }
}

extension StackSpecs {
    /// The services in an order in which each comes after those that it depends on; by name where that leaves a choice.
    ///
    /// A cycle, which loading refuses but strict loading does not, is broken where it begins.
    package var servicesInOrder: [StackService] {
        let byKey = Dictionary(services.map { ($0.key, $0) }) { first, _ in first }
        var ordered: [StackService] = []
        var seen: Set<String> = []
        for service in services where !seen.contains(service.key) {
            seen.insert(service.key)
            var stack: [(service: StackService, next: Int)] = [(service, 0)]
            while let (top, next) = stack.last {
                guard next < top.dependencies.count else {
                    ordered.append(top)
                    stack.removeLast()
                    continue
                }
                stack[stack.count - 1].next += 1
                if let other = byKey[top.dependencies[next].service], seen.insert(other.key).inserted {
                    stack.append((other, 0))
                }
            }
        }
        return ordered
    }
}

extension Project {
    /// Translates the project into a swarm's objects under a stack's name.
    ///
    /// - Parameters:
    ///   - stack: the name, which objects bear as prefix and label.
    ///   - files: where secrets and configs are read from.
    /// - Throws: everything that no service could be made of, at once.
    package func specs(stack: String, from files: any StackFiles) throws(StackFileErrors) -> StackSpecs {
        var translation = try Translation(self, stack: stack, files: files)
        return try translation.run()
    }
}
