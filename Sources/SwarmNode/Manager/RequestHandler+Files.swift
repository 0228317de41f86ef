import Store
import SwarmCore
import SwarmModel

/// Secrets and configs: immutable data under a unique name.
extension RequestHandler {
    func secretRequest(
        _ request: ControlRequest, using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> Outcome {
        switch request {
        case .createSecret(let spec):
            try spec.validate()
            guard store.secrets.named(spec.name) == nil else {
                throw Self.rpc(.conflict, "secret \(spec.name) already exists")
            }
            var secret = Secret(id: Identifier.random(using: &generator))
            secret.spec = spec
            return Outcome(actions: [.create(.secret(secret))], response: .created(secret.id))
        case .updateSecret(let id, let version, let spec):
            guard var secret = store.secrets[id] else { throw notFound("secret", id) }
            try requireVersion(version, secret.version)
            let sameData = spec.data == nil || spec.data == secret.spec.data
            guard spec.name == secret.spec.name && sameData else {
                throw Self.rpc(.invalidArgument, "only updates to Labels are allowed")
            }
            secret.spec.labels = spec.labels
            return Outcome(actions: [.update(.secret(secret))], response: .done)
        case .removeSecret(let id):
            guard let secret = store.secrets[id] else { throw notFound("secret", id) }
            let users = store.services.sorted.filter { service in
                service.spec.taskTemplate.containerSpec?.secrets?.contains { $0.secretID == id } == true
            }
            try refuse(removing: "secret", secret.spec.name, usedBy: users)
            return Outcome(actions: [.remove(.secret, id)], response: .done)
        default: throw SwarmError(.internal, "not a secret request")
        }
    }

    func configRequest(
        _ request: ControlRequest, using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> Outcome {
        switch request {
        case .createConfig(let spec):
            try spec.validate()
            guard store.configs.named(spec.name) == nil else {
                throw Self.rpc(.conflict, "config \(spec.name) already exists")
            }
            var config = Config(id: Identifier.random(using: &generator))
            config.spec = spec
            return Outcome(actions: [.create(.config(config))], response: .created(config.id))
        case .updateConfig(let id, let version, let spec):
            guard var config = store.configs[id] else { throw notFound("config", id) }
            try requireVersion(version, config.version)
            let sameData = spec.data == nil || spec.data == config.spec.data
            guard spec.name == config.spec.name && sameData else {
                throw Self.rpc(.invalidArgument, "only updates to Labels are allowed")
            }
            config.spec.labels = spec.labels
            return Outcome(actions: [.update(.config(config))], response: .done)
        case .removeConfig(let id):
            guard let config = store.configs[id] else { throw notFound("config", id) }
            let users = store.services.sorted.filter { service in
                service.spec.taskTemplate.containerSpec?.configs?.contains { $0.configID == id } == true
            }
            try refuse(removing: "config", config.spec.name, usedBy: users)
            return Outcome(actions: [.remove(.config, id)], response: .done)
        default: throw SwarmError(.internal, "not a config request")
        }
    }

    private func refuse(removing kind: String, _ name: String, usedBy users: [Service]) throws(SwarmError) {
        guard !users.isEmpty else { return }
        let names = users.map(\.spec.name).sorted().joined(separator: ", ")
        let noun = users.count > 1 ? "services" : "service"
        throw Self.rpc(.invalidArgument, "\(kind) '\(name)' is in use by the following \(noun): \(names)")
    }
}
