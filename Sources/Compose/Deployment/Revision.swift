package import SwarmModel

/// One deployment of a stack as it is kept: everything that brings the stack back to it.
///
/// Secrets and configs are without their data, which the objects of these names bear for as long as a revision needs
/// them. Kept as the content of a config, hence within a config's bounds.
package struct Revision: Sendable, Equatable, Codable {
    /// Deployments of one stack that are kept.
    package static let keptMax = 10
    /// Of one revision as text, in bytes: a config's.
    package static let bytesMax = 1000 << 10

    /// From 1; the newest is the highest.
    package var number: Int
    package var stack: String
    package var networks: [NetworkSpec]
    package var externalNetworks: [String]
    package var secrets: [SecretSpec]
    package var configs: [ConfigSpec]
    package var services: [KeptService]

    package struct KeptService: Sendable, Equatable, Codable {
        package var key: String
        package var spec: ServiceSpec
        package var dependencies: [StackService.Dependency]

        enum CodingKeys: String, CodingKey { case key = "Key", spec = "Spec", dependencies = "DependsOn" }
    }

    enum CodingKeys: String, CodingKey {
        case number = "Number", stack = "Stack", networks = "Networks", externalNetworks = "ExternalNetworks",
            secrets = "Secrets", configs = "Configs", services = "Services"
    }

    /// - Parameters:
    ///   - specs: with secrets and configs under their objects' names, see `StackVersions.resolve`.
    package init(_ number: Int, of specs: StackSpecs) {
        (self.number, stack) = (number, specs.namespace)
        (networks, externalNetworks) = (specs.networks, specs.externalNetworks)
        secrets = specs.secrets.map { spec in
            var spec = spec
            spec.data = nil
            return spec
        }
        configs = specs.configs.map { spec in
            var spec = spec
            spec.data = nil
            return spec
        }
        services = specs.services.map {
            KeptService(key: $0.key, spec: $0.spec, dependencies: $0.dependencies)
        }
    }

    /// What a deployment would deploy to come back to this one.
    package var specs: StackSpecs {
        var specs = StackSpecs(namespace: stack)
        (specs.networks, specs.externalNetworks) = (networks, externalNetworks)
        (specs.secrets, specs.configs) = (secrets, configs)
        specs.services = services.map {
            StackService(key: $0.key, spec: $0.spec, dependencies: $0.dependencies)
        }
        return specs
    }

    /// Whether deploying this and the other would leave the same stack.
    package func isSame(as other: Revision) -> Bool {
        var other = other
        other.number = number
        return self == other
    }

    /// The stack as it would be after this deployment, to compare others with.
    package var state: StackState {
        StackState(
            networks: networks.map { Network(id: $0.name, spec: $0) },
            secrets: secrets.map { Secret(id: $0.name, spec: $0) },
            configs: configs.map { Config(id: $0.name, spec: $0) },
            services: services.map { Service(id: $0.spec.name, spec: $0.spec) })
    }

    /// What was deployed between this and a later or earlier deployment.
    package func plan(to other: Revision) -> StackPlan {
        StackPlan(other.specs, over: state, prune: .everything)
    }

    /// What of a revision's secrets and configs is not there any more, in words; empty when it can be deployed.
    package func missing(from state: StackState) -> [String] {
        let secretNames = Set(state.secrets.map(\.spec.name))
        let configNames = Set(state.configs.map(\.spec.name))
        return secrets.map(\.name).filter { !secretNames.contains($0) }.map { "secret \($0)" }
            + configs.map(\.name).filter { !configNames.contains($0) }.map { "config \($0)" }
    }
}

/// The config that holds a revision.
package enum RevisionConfig {
    /// Longer stack names leave no room for a number.
    static let stackBytesMax = 50

    /// Nil when the stack's name is too long.
    package static func name(stack: String, number: Int) -> String? {
        stack.utf8.count <= stackBytesMax ? "\(stack).revision-\(number)" : nil
    }

    package static func labels(stack: String, number: Int, author: String, origin: String) -> [String: String]
    {
        [
            StackLabel.namespace: stack, StackLabel.revision: String(number), StackLabel.author: author,
            StackLabel.origin: origin,
        ]
    }

    /// Nil for other configs.
    package static func number(_ config: Config) -> Int? {
        config.spec.labels?[StackLabel.revision].flatMap { Int($0) }
    }
}
