package import SwarmModel

/// Which objects of the swarm bear the content of a stack's secrets and configs.
///
/// Content is immutable, so that changed content needs another object. The first one has the name that the Docker
/// client would give it, later ones that name with a number: `st_conf`, `st_conf.2`, `st_conf.3`; a label says whose
/// version they are. Content that was there before is found again instead of being created.
package enum StackVersions {
    /// Of a name, in bytes, as the engine has it.
    static let nameBytesMax = 64

    /// The specs with every secret and config under the name of the object that bears it, or will.
    ///
    /// - Parameters:
    ///   - specs: as translated, under the names that the file gives.
    ///   - state: what is there.
    ///   - sameSecrets: the secrets of `state` whose content, which no API tells, is known to be the wanted one.
    package static func resolve(
        _ specs: StackSpecs, over state: StackState, sameSecrets: Set<ObjectID> = []
    ) -> StackSpecs {
        var resolved = specs
        var taken = Set(state.secrets.map(\.spec.name))
        var secrets: [String: String] = [:]
        for (index, spec) in specs.secrets.enumerated() {
            let versions = self.secrets(of: spec.name, specs.namespace, state)
            let same = versions.last {
                sameSecrets.contains($0.id)
                    || spec.data == nil && $0.spec.driver == spec.driver && spec.driver != nil
            }
            let name = name(spec.name, same?.spec.name, versions.map(\.spec.name), &taken)
            secrets[spec.name] = name
            if name != spec.name { resolved.secrets[index].labels?[StackLabel.versionOf] = spec.name }
            resolved.secrets[index].name = name
        }
        taken = Set(state.configs.map(\.spec.name))
        var configs: [String: String] = [:]
        for (index, spec) in specs.configs.enumerated() {
            let versions = self.configs(of: spec.name, specs.namespace, state)
            let same = versions.last { $0.spec.data == spec.data && $0.spec.templating == spec.templating }
            let name = name(spec.name, same?.spec.name, versions.map(\.spec.name), &taken)
            configs[spec.name] = name
            if name != spec.name { resolved.configs[index].labels?[StackLabel.versionOf] = spec.name }
            resolved.configs[index].name = name
        }
        for index in resolved.services.indices { rename(&resolved.services[index].spec, secrets, configs) }
        return resolved
    }

    /// The versions of a secret that are there, the newest last.
    package static func secrets(of name: String, _ namespace: String, _ state: StackState) -> [Secret] {
        state.secrets.filter { isVersion($0.spec.name, $0.spec.labels, of: name, namespace) }
            .sorted { number($0.spec.name, of: name) < number($1.spec.name, of: name) }
    }

    /// The versions of a config that are there, the newest last.
    package static func configs(of name: String, _ namespace: String, _ state: StackState) -> [Config] {
        state.configs.filter { isVersion($0.spec.name, $0.spec.labels, of: name, namespace) }
            .sorted { number($0.spec.name, of: name) < number($1.spec.name, of: name) }
    }

    /// The name in the file of what an object is a version of.
    static func base(_ name: String, _ labels: [String: String]?) -> String {
        labels?[StackLabel.versionOf] ?? name
    }

    private static func isVersion(
        _ object: String, _ labels: [String: String]?, of name: String, _ namespace: String
    ) -> Bool {
        if labels?[StackLabel.revision] != nil { return false }
        return object == name
            || labels?[StackLabel.versionOf] == name && labels?[StackLabel.namespace] == namespace
    }

    /// 1 for the object with the very name.
    static func number(_ object: String, of name: String) -> Int {
        if object == name { return 1 }
        return object.split(separator: ".").last.flatMap { Int($0) } ?? 1
    }

    private static func name(
        _ name: String, _ same: String?, _ versions: [String], _ taken: inout Set<String>
    ) -> String {
        if let same { return same }
        guard !versions.isEmpty || taken.contains(name) else {
            taken.insert(name)
            return name
        }
        // Every round takes a number that no name of a finite set has had.
        var next = (versions.map { number($0, of: name) }.max() ?? 1) + 1
        while true {
            let suffix = ".\(next)"
            let object = String(name.prefix(nameBytesMax - suffix.utf8.count)) + suffix
            if taken.insert(object).inserted { return object }
            next += 1
        }
    }

    private static func rename(
        _ spec: inout ServiceSpec, _ secrets: [String: String], _ configs: [String: String]
    ) {
        let container = spec.taskTemplate.containerSpec
        spec.taskTemplate.containerSpec?.secrets = container?.secrets?.map { reference in
            SecretReference(
                secretID: reference.secretID,
                secretName: secrets[reference.secretName] ?? reference.secretName,
                file: reference.file)
        }
        spec.taskTemplate.containerSpec?.configs = container?.configs?.map { reference in
            ConfigReference(
                configID: reference.configID,
                configName: configs[reference.configName] ?? reference.configName,
                file: reference.file, runtime: reference.runtime)
        }
        if let name = container?.privileges?.credentialSpec?.config, let object = configs[name] {
            spec.taskTemplate.containerSpec?.privileges?.credentialSpec?.config = object
        }
    }
}

/// What still needs secrets and configs.
package struct StackNeeds: Sendable {
    /// By identifier.
    package var secrets: Set<ObjectID> = []
    package var configs: Set<ObjectID> = []
    /// By name, for what revisions need.
    package var secretNames: Set<String> = []
    package var configNames: Set<String> = []

    /// - Parameters:
    ///   - services: all of the swarm; what they were before counts, since they may roll back to it.
    ///   - tasks: all of the swarm; those that have ended need nothing any more.
    ///   - revisions: those that are kept.
    package init(services: [Service], tasks: [SwarmTask], revisions: [Revision]) {
        for service in services {
            add(service.spec.taskTemplate)
            if let previous = service.previousSpec { add(previous.taskTemplate) }
        }
        for task in tasks where !task.status.state.isTerminal { add(task.spec) }
        for revision in revisions {
            secretNames.formUnion(revision.secrets.map(\.name))
            configNames.formUnion(revision.configs.map(\.name))
        }
    }

    private mutating func add(_ task: TaskSpec) {
        secrets.formUnion((task.containerSpec?.secrets ?? []).map(\.secretID))
        configs.formUnion((task.containerSpec?.configs ?? []).map(\.configID))
        if let id = task.containerSpec?.privileges?.credentialSpec?.config { configs.insert(id) }
    }
}

extension StackVersions {
    /// The secrets that a newer version has taken the place of and nothing needs.
    package static func superseded(secrets: [Secret], _ namespace: String, needs: StackNeeds) -> [Secret] {
        superseded(secrets, namespace, name: \.spec.name, labels: \.spec.labels).filter {
            !needs.secrets.contains($0.id) && !needs.secretNames.contains($0.spec.name)
        }
    }

    /// The configs that a newer version has taken the place of and nothing needs.
    package static func superseded(configs: [Config], _ namespace: String, needs: StackNeeds) -> [Config] {
        let versions = configs.filter { $0.spec.labels?[StackLabel.revision] == nil }
        return superseded(versions, namespace, name: \.spec.name, labels: \.spec.labels).filter {
            !needs.configs.contains($0.id) && !needs.configNames.contains($0.spec.name)
        }
    }

    private static func superseded<Object>(
        _ objects: [Object], _ namespace: String, name: (Object) -> String,
        labels: (Object) -> [String: String]?
    ) -> [Object] {
        let ours = objects.filter { labels($0)?[StackLabel.namespace] == namespace }
        let byBase = Dictionary(grouping: ours) { base(name($0), labels($0)) }
        return byBase.sorted { $0.key < $1.key }.flatMap { base, versions in
            versions.sorted { number(name($0), of: base) < number(name($1), of: base) }.dropLast()
        }
    }
}

extension ServiceSpec {
    /// With the identifiers of the secrets and configs that it refers to by name.
    ///
    /// - Returns: the spec, and what is not there, in words.
    package func referring(
        toSecrets secrets: [String: ObjectID], configs: [String: ObjectID]
    ) -> (spec: ServiceSpec, missing: [String]) {
        var (spec, missing) = (self, [String]())
        let container = taskTemplate.containerSpec
        spec.taskTemplate.containerSpec?.secrets = container?.secrets?.map { reference in
            let id = secrets[reference.secretName]
            if id == nil { missing.append("secret not found: \(reference.secretName)") }
            return SecretReference(
                secretID: id ?? "", secretName: reference.secretName, file: reference.file)
        }
        spec.taskTemplate.containerSpec?.configs = container?.configs?.map { reference in
            let id = configs[reference.configName]
            if id == nil { missing.append("config not found: \(reference.configName)") }
            return ConfigReference(
                configID: id ?? "", configName: reference.configName, file: reference.file,
                runtime: reference.runtime)
        }
        if let name = container?.privileges?.credentialSpec?.config, let id = configs[name] {
            spec.taskTemplate.containerSpec?.privileges?.credentialSpec?.config = id
        }
        return (spec, missing)
    }

    /// The names of the secrets and configs that it refers to.
    package var fileNames: Set<String> {
        let container = taskTemplate.containerSpec
        return Set((container?.secrets ?? []).map { "secret \($0.secretName)" })
            .union((container?.configs ?? []).map { "config \($0.configName)" })
    }
}
