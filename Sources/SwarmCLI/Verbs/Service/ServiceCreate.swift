import SwarmClient
import SwarmCore
import SwarmModel

/// `swarmctl service create` and `update`.
extension ServiceVerbs {
    static let create = Command(
        "create", "Create a new service", usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]", arguments: .atLeast(1),
        flags: ServiceFlags.create
    ) { invocation in
        let (client, flags) = (invocation.client, invocation.flags)
        var entries: [String] = []
        for path in flags.list("env-file") {
            entries += try EnvironmentFile.parse(try TextFile.read(path), named: path)
        }
        var creation = ServiceCreation(
            flags: flags, arguments: invocation.arguments, environment: invocation.environment,
            fileEntries: entries)
        // Everything that needs no engine is refused before one is asked.
        creation.references = try ReferenceLookup.unresolved(flags, suffix: "")
        _ = try creation.spec()
        creation.references = try await ReferenceLookup.resolve(flags, suffix: "", client)
        var spec = try creation.spec()
        let auth = flags.isOn("with-registry-auth") ? RegistryLogin.header(for: invocation.arguments[0]) : nil
        var doubt: String?
        if !flags.isOn("no-resolve-image") {
            doubt = try await ImagePinning.pin(&spec.taskTemplate, auth, invocation)
        } else {
            ImagePinning.complete(&spec.taskTemplate)
        }
        let created = try await client.createService(spec, registryAuth: auth)
        if let doubt { invocation.console.complain(doubt) }
        for warning in created.warnings { invocation.console.complain(warning) }
        invocation.console.print(created.id)
        guard !flags.isOn("detach") else { return }
        try await ConvergenceWait.run(created.id, name: created.id, invocation, quiet: flags.isOn("quiet"))
    }.endingFlagsAtArguments()

    static let update = Command(
        "update", "Update a service", usage: "[OPTIONS] SERVICE", arguments: .exactly(1),
        flags: ServiceFlags.update
    ) { invocation in
        let (client, flags) = (invocation.client, invocation.flags)
        let name = invocation.arguments[0]
        let service = try await client.service(name)
        if flags.isOn("rollback") {
            let others = ServiceFlags.update.map(\.name).filter {
                !["rollback", "detach", "quiet"].contains($0)
            }
            guard !flags.isAnySet(others) else {
                throw CommandFailure("other flags may not be combined with --rollback")
            }
            try await rollBack(service, invocation)
        } else {
            var change = ServiceChange(flags: flags, environment: invocation.environment)
            change.references = try await ReferenceLookup.resolve(flags, suffix: "-add", client)
            var spec = try change.apply(to: service.spec)
            var query: Query = ["registryAuthFrom": "spec"]
            var (auth, doubt): (String?, String?)
            if flags.isOn("with-registry-auth") {
                auth = RegistryLogin.header(for: spec.taskTemplate.containerSpec?.image ?? "")
                query = [:]
            }
            if flags.isSet("image") {
                spec.taskTemplate.placement?.platforms = nil
                if flags.isOn("no-resolve-image") {
                    ImagePinning.complete(&spec.taskTemplate)
                } else {
                    doubt = try await ImagePinning.pin(&spec.taskTemplate, auth, invocation)
                }
            }
            let warnings = try await client.updateService(service, to: spec, query: query, registryAuth: auth)
            for warning in [doubt].compactMap({ $0 }) + warnings { invocation.console.complain(warning) }
        }
        invocation.console.print(name)
        guard !flags.isOn("detach") else { return }
        try await ConvergenceWait.run(service.id, name: name, invocation, quiet: flags.isOn("quiet"))
    }
}

/// Finds the identifiers of what flags refer to by name.
enum ReferenceLookup {
    /// The names themselves in place of identifiers, for checks that need no engine.
    static func unresolved(_ flags: ParsedFlags, suffix: String) throws(SwarmError) -> ReferenceTable {
        var table = ReferenceTable()
        for name in try sources(flags, "secret" + suffix) { table.secrets[name] = name }
        for name in try sources(flags, "config" + suffix) { table.configs[name] = name }
        return table
    }

    static func resolve(
        _ flags: ParsedFlags, suffix: String, _ client: EngineClient
    ) async throws(SwarmError) -> ReferenceTable {
        var table = ReferenceTable()
        var names: [String] = []
        for text in flags.list("network" + suffix) {
            names.append(try NetworkOption.parse(text).target ?? "")
        }
        names += flags.list("network-rm")
        for name in names { table.networks[name] = try await client.network(name, scope: "swarm").id }
        let secrets = try sources(flags, "secret" + suffix)
        if !secrets.isEmpty {
            for secret in try await client.secrets(filters: secrets.map { (key: "name", value: $0) }) {
                table.secrets[secret.spec.name] = secret.id
            }
        }
        let configs = try sources(flags, "config" + suffix)
        if !configs.isEmpty {
            for config in try await client.configs(filters: configs.map { (key: "name", value: $0) }) {
                table.configs[config.spec.name] = config.id
            }
        }
        return table
    }

    private static func sources(_ flags: ParsedFlags, _ name: String) throws(SwarmError) -> [String] {
        try flags.list(name).map { text throws(SwarmError) in try FileReferenceOption.parse(text).source }
    }
}

/// Records which image a tag means now, so that every node runs the same.
enum ImagePinning {
    /// Adds the tag that is meant where none is written.
    static func complete(_ task: inout TaskSpec) {
        guard let image = task.containerSpec?.image, let reference = ImageReference(image) else { return }
        task.containerSpec?.image = reference.familiar
    }

    /// - Returns: a warning for when the image could not be looked up, which only matters once the service is made.
    static func pin(
        _ task: inout TaskSpec, _ auth: String?, _ invocation: Invocation
    ) async throws -> String? {
        complete(&task)
        guard let image = task.containerSpec?.image, let reference = ImageReference(image),
            reference.digest == nil
        else {
            return nil
        }
        do {
            let found = try await invocation.client.distribution(image, registryAuth: auth)
            guard let digest = found.descriptor.digest, !digest.isEmpty else { return nil }
            task.containerSpec?.image = "\(image)@\(digest)"
            let platforms = (found.platforms ?? []).map { Platform(architecture: $0.architecture, os: $0.os) }
            guard !platforms.isEmpty else { return nil }
            var placement = task.placement ?? Placement()
            placement.platforms = platforms
            task.placement = placement
            return nil
        } catch {
            guard !error.isUnreachable else { throw error }
            return invocation.isOn("quiet") ? nil : warning(image)
        }
    }

    static func warning(_ image: String) -> String {
        """
        image \(image) could not be accessed on a registry to record
        its digest. Each node will access \(image) independently,
        possibly leading to different nodes running different
        versions of the image.

        """
    }
}
