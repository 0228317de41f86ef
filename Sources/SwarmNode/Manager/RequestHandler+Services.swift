import Store
import SwarmCore
import SwarmModel

extension RequestHandler {
    func createService(
        _ asked: ServiceSpec, _ auth: String?, using generator: inout some RandomNumberGenerator
    ) throws(SwarmError) -> Outcome {
        var spec = try normalized(asked)
        if spec.name.isEmpty { spec.name = RandomName.next(using: &generator) }
        try spec.validate()
        try TaskTemplate.check(spec)
        try checkReferences(of: spec, excluding: nil)
        guard store.services.named(spec.name) == nil else {
            throw Self.rpc(
                .conflict, "name conflicts with an existing object: service \(spec.name) already exists")
        }
        var service = Service(id: Identifier.random(using: &generator))
        service.spec = spec
        service.endpoint = Endpoint()
        service.registryAuth = auth
        if spec.mode.replicatedJob != nil || spec.mode.globalJob != nil {
            service.jobStatus = JobStatus(jobIteration: ObjectVersion(index: 0), lastExecution: time)
        }
        return Outcome(actions: [.create(.service(service))], response: .created(service.id))
    }

    func updateService(
        _ id: ObjectID, _ version: UInt64, _ asked: ServiceSpec, _ options: ServiceUpdateOptions
    ) throws(SwarmError) -> Outcome {
        guard var service = store.services[id] else { throw notFound("service", id) }
        try requireVersion(version, service.version)
        if options.rollback {
            guard let previous = service.previousSpec else {
                throw Self.rpc(.failedPrecondition, "service \(id) does not have a previous spec")
            }
            (service.spec, service.previousSpec) = (previous, service.spec)
            service.updateStatus = UpdateStatus(
                state: "rollback_started", startedAt: time, message: "manually requested rollback")
            return Outcome(actions: [.update(.service(service))], response: .done)
        }
        let spec = try normalized(asked)
        try spec.validate()
        try TaskTemplate.check(spec)
        guard spec.name == service.spec.name else {
            throw Self.rpc(.unimplemented, "renaming services is not supported")
        }
        guard spec.mode.kind == service.spec.mode.kind else {
            throw Self.rpc(.unimplemented, "service mode change is not allowed")
        }
        try checkReferences(of: spec, excluding: id)
        service.previousSpec = service.spec
        service.spec = spec
        service.updateStatus = nil
        if let auth = options.registryAuth { service.registryAuth = auth }
        if spec.mode.replicatedJob != nil || spec.mode.globalJob != nil {
            let iteration = service.jobStatus?.jobIteration.index ?? 0
            service.jobStatus = JobStatus(
                jobIteration: ObjectVersion(index: iteration + 1), lastExecution: time)
        }
        return Outcome(actions: [.update(.service(service))], response: .done)
    }

    /// The spec as Docker's engine stores it: networks by identifier, the runtime and mode written out.
    private func normalized(_ asked: ServiceSpec) throws(SwarmError) -> ServiceSpec {
        var spec = asked
        guard spec.taskTemplate != TaskSpec() else {
            throw SwarmError(.invalidArgument, "mismatched Runtime and *Spec fields")
        }
        if spec.mode == ServiceMode() { spec.mode = ServiceMode(replicated: ReplicatedMode(replicas: 1)) }
        if spec.mode.replicated != nil && spec.mode.replicated?.replicas == nil {
            spec.mode.replicated = ReplicatedMode(replicas: 1)
        }
        if spec.mode.replicatedJob != nil {
            // Clients read both numbers without looking whether they are there.
            spec.mode.replicatedJob = ReplicatedJobMode(
                maxConcurrent: spec.maxConcurrent, totalCompletions: spec.totalCompletions)
        }
        if spec.taskTemplate.containerSpec != nil {
            if spec.taskTemplate.runtime == nil { spec.taskTemplate.runtime = "container" }
            if spec.taskTemplate.containerSpec?.isolation == nil {
                spec.taskTemplate.containerSpec?.isolation = "default"
            }
        }
        if spec.taskTemplate.forceUpdate == nil { spec.taskTemplate.forceUpdate = 0 }
        if spec.endpointSpec != nil && spec.endpointSpec?.mode == nil { spec.endpointSpec?.mode = "vip" }
        spec.taskTemplate.networks = try resolved(spec.taskTemplate.networks)
        spec.networks = try resolved(spec.networks)
        return spec
    }

    private func resolved(_ networks: [NetworkAttachmentConfig]?) throws(SwarmError)
        -> [NetworkAttachmentConfig]?
    {
        guard let networks else { return nil }
        var result: [NetworkAttachmentConfig] = []
        for attachment in networks {
            let target = attachment.target ?? ""
            var attachment = attachment
            if let name = PredefinedNetwork.name(target) {
                attachment.target = name
            } else {
                guard let network = store.networks[target] ?? store.networks.named(target) else {
                    if target == "docker_gwbridge" {
                        let text =
                            "The network \(target) cannot be used with services. Only networks scoped to the swarm "
                            + "can be used, such as those created with the overlay driver."
                        throw SwarmError(.permissionDenied, text)
                    }
                    throw SwarmError(.unknown, "network \(target) not found")
                }
                if network.spec.ingress == true {
                    let name = network.spec.name
                    let text = "Service cannot be explicitly attached to the ingress network \"\(name)\""
                    throw Self.rpc(.invalidArgument, text)
                }
                attachment.target = network.id
            }
            result.append(attachment)
        }
        return result
    }

    /// Refuses references to what does not exist and ports that another service holds.
    private func checkReferences(of spec: ServiceSpec, excluding id: ObjectID?) throws(SwarmError) {
        let container = spec.taskTemplate.containerSpec
        let secrets = (container?.secrets ?? []).filter { store.secrets[$0.secretID] == nil }.map(
            \.secretName)
        if !secrets.isEmpty {
            throw Self.rpc(
                .invalidArgument,
                "secret\(secrets.count > 1 ? "s" : "") not found: \(secrets.joined(separator: ", "))")
        }
        let configs = (container?.configs ?? []).filter { store.configs[$0.configID] == nil }.map(
            \.configName)
        if !configs.isEmpty {
            throw Self.rpc(
                .invalidArgument,
                "config\(configs.count > 1 ? "s" : "") not found: \(configs.joined(separator: ", "))")
        }
        let ports = spec.endpointSpec?.ports ?? []
        if ports.contains(where: { ($0.publishMode ?? "ingress") == "ingress" }),
            !store.networks.sorted.contains(where: { $0.spec.ingress == true })
        {
            throw Self.rpc(
                .failedPrecondition, "service needs ingress network, but no ingress network is present")
        }
        for port in ports where (port.publishedPort ?? 0) != 0 {
            try checkPort(port, excluding: id)
        }
    }

    private func checkPort(_ port: PortConfig, excluding id: ObjectID?) throws(SwarmError) {
        let isIngress = (port.publishMode ?? "ingress") == "ingress"
        for service in store.services.sorted where service.id != id {
            let taken = (service.spec.endpointSpec?.ports ?? []) + (service.endpoint.ports ?? [])
            for other in taken where other.publishedPort == port.publishedPort {
                guard (other.proto ?? "tcp") == (port.proto ?? "tcp") else { continue }
                let otherIsIngress = (other.publishMode ?? "ingress") == "ingress"
                guard isIngress || otherIsIngress else { continue }
                let kind = otherIsIngress ? "an ingress port" : "a host-published port"
                let number = port.publishedPort ?? 0
                throw Self.rpc(
                    .invalidArgument,
                    "port '\(number)' is already in use by service '\(service.spec.name)' (\(service.id)) as \(kind)"
                )
            }
        }
    }
}

extension ServiceMode {
    /// Which of the four modes this is.
    package var kind: String {
        if replicatedJob != nil { return "replicated-job" }
        if globalJob != nil { return "global-job" }
        return global != nil ? "global" : "replicated"
    }
}

/// Names for services that were given none.
enum RandomName {
    private static let adjectives = [
        "bold", "brave", "bright", "calm", "clever", "crisp", "eager", "fair", "gentle", "happy", "jolly",
        "keen",
        "kind", "lively", "lucid", "merry", "nimble", "proud", "quick", "quiet", "sharp", "steady", "sunny",
        "swift",
        "tidy", "vivid", "warm", "wise", "witty", "zealous",
    ]
    private static let surnames = [
        "babbage", "bell", "bohr", "boole", "cerf", "church", "curie", "dijkstra", "einstein", "engelbart",
        "euler",
        "fermat", "franklin", "galois", "gauss", "hamilton", "hopper", "kepler", "knuth", "lamport", "liskov",
        "lovelace", "maxwell", "newton", "noether", "pascal", "ritchie", "shannon", "turing", "wing",
    ]

    static func next(using generator: inout some RandomNumberGenerator) -> String {
        let adjective = adjectives[Int(generator.next() % UInt64(adjectives.count))]
        return adjective + "_" + surnames[Int(generator.next() % UInt64(surnames.count))]
    }
}
