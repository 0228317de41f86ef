package import SwarmModel

/// What of a stack is there already.
package struct StackState: Sendable {
    /// Those with the stack's label; for names of attachments all others that are known, too.
    package var networks: [Network]
    package var secrets: [Secret]
    package var configs: [Config]
    package var services: [Service]

    package init(
        networks: [Network] = [], secrets: [Secret] = [], configs: [Config] = [], services: [Service] = []
    ) {
        (self.networks, self.secrets, self.configs, self.services) = (networks, secrets, configs, services)
    }
}

/// What a deployment would do, object by object, in the order in which it would.
package struct StackPlan: Sendable, Equatable, Encodable {
    package enum Kind: String, Sendable, Encodable { case network, secret, config, service }

    package enum Action: String, Sendable, Encodable {
        case create
        case update
        /// The object cannot be changed: another must take its place.
        case replace
        case remove
        /// It is there, and no file names it any more; it is left alone.
        case keep
    }

    package struct Change: Sendable, Equatable, Encodable {
        package var kind: Kind
        package var name: String
        package var action: Action
        /// Empty for what is created, removed or kept.
        package var fields: [FieldChange] = []
        /// Whether running tasks are replaced by new ones.
        package var restartsTasks = false

        enum CodingKeys: String, CodingKey {
            case kind = "Kind", name = "Name", action = "Action", fields = "Fields", restartsTasks = "RestartsTasks"
        }
    }

    package var stack: String
    package var changes: [Change]

    enum CodingKeys: String, CodingKey { case stack = "Stack", changes = "Changes" }

    /// Whether deploying would change nothing.
    package var isEmpty: Bool { changes.allSatisfy { $0.action == .keep } }

    /// What is removed of that which no file names any more.
    package enum Prune: Sendable { case nothing, services, everything }
}

extension StackPlan {
    /// Compares what is wanted with what is there.
    ///
    /// Images of wanted services may be pinned to a digest or not: an unpinned one is met by any digest of itself.
    package init(_ specs: StackSpecs, over state: StackState, prune: Prune = .nothing) {
        stack = specs.namespace
        changes = []
        let isOurs: ([String: String]?) -> Bool = { $0?[StackSpecs.namespaceLabel] == specs.namespace }
        compare(.network, specs.networks, state.networks.map(\.spec), name: \.name)
        compare(.secret, specs.secrets, state.secrets.map(\.spec), name: \.name)
        compare(.config, specs.configs, state.configs.map(\.spec), name: \.name)
        let existing = Dictionary(state.services.map { ($0.spec.name, $0.spec) }) { first, _ in first }
        for service in specs.servicesInOrder {
            guard let old = existing[service.spec.name] else {
                changes.append(Change(kind: .service, name: service.spec.name, action: .create))
                continue
            }
            let new = service.spec.reconciled(with: old, networks: state.networks)
            let fields = old.differences(to: new, networks: state.networks)
            guard !fields.isEmpty else { continue }
            let restarts = fields.contains {
                $0.path.hasPrefix("TaskTemplate") || $0.path.hasPrefix("EndpointSpec")
            }
            changes.append(
                Change(
                    kind: .service, name: service.spec.name, action: .update, fields: fields,
                    restartsTasks: restarts))
        }
        // In the order of `stack rm`: what uses goes before what is used.
        let wanted = Set(specs.services.map(\.spec.name))
        leave(
            .service, state.services.map(\.spec).filter { isOurs($0.labels) }.map(\.name), wanted, prune != .nothing
        )
        let all = prune == .everything
        leave(
            .secret, state.secrets.map(\.spec).filter { isOurs($0.labels) }.map(\.name),
            Set(specs.secrets.map(\.name)), all)
        leave(
            .config, state.configs.map(\.spec).filter { isOurs($0.labels) }.map(\.name),
            Set(specs.configs.map(\.name)), all)
        leave(
            .network, state.networks.map(\.spec).filter { isOurs($0.labels) }.map(\.name),
            Set(specs.networks.map(\.name)),
            all)
    }

    /// Networks, and the data of secrets and configs, are replaced; labels of secrets and configs are updated.
    private mutating func compare<Spec: Encodable>(
        _ kind: Kind, _ wanted: [Spec], _ existing: [Spec], name: (Spec) -> String
    ) {
        let known = Dictionary(existing.map { (name($0), $0) }) { first, _ in first }
        for spec in wanted {
            guard let old = known[name(spec)] else {
                changes.append(Change(kind: kind, name: name(spec), action: .create))
                continue
            }
            let fields = Self.fields(kind, from: old, to: spec)
            guard !fields.isEmpty else { continue }
            let isUpdate = kind != .network && fields.allSatisfy { $0.path.hasPrefix("Labels") }
            changes.append(
                Change(kind: kind, name: name(spec), action: isUpdate ? .update : .replace, fields: fields))
        }
    }

    private static func fields(_ kind: Kind, from old: some Encodable, to new: some Encodable) -> [FieldChange] {
        SpecDifference.changes(from: old, to: new).compactMap { field in
            switch (kind, field.path) {
            // An API does not give secrets away: without the old data there is nothing to compare.
            case (.secret, "Data") where field.old == nil: return nil
            case (.secret, "Data"), (.config, "Data"):
                return FieldChange(path: "Data", old: field.old.map(Self.size), new: field.new.map(Self.size))
            // The engine says these where a file does not.
            case (.network, "Scope"),
                (.network, "IPAMOptions.Driver.Name") where field.new == nil:
                return nil
            default: return field
            }
        }
    }

    /// Data is told by its size only: it may be secret, and is long.
    private static func size(_ base64: String) -> String { "\(Base64.decode(base64)?.count ?? 0) bytes" }

    private mutating func leave(_ kind: Kind, _ existing: [String], _ wanted: Set<String>, _ isRemoved: Bool) {
        for name in existing.sorted() where !wanted.contains(name) {
            changes.append(Change(kind: kind, name: name, action: isRemoved ? .remove : .keep))
        }
    }

    /// The plan for people: one line an object, one line a field.
    package var lines: [String] {
        let signs: [Action: String] = [.create: "+", .update: "~", .replace: "±", .remove: "-", .keep: "="]
        return changes.flatMap { change in
            let note =
                switch change.action {
                case .keep: " (in no file; kept)"
                case .update: change.restartsTasks ? " (tasks restart)" : ""
                default: ""
                }
            return ["\(signs[change.action] ?? "?") \(change.kind.rawValue) \(change.name)\(note)"]
                + change.fields.map { "    \($0.path): \($0.old ?? "(none)") -> \($0.new ?? "(none)")" }
        }
    }
}

extension ServiceSpec {
    /// This wanted spec, as it is to be sent over an existing one: what means the same is taken from the old word for
    /// word, since an engine restarts tasks for any difference; so are the counter of forced updates, a digest of the
    /// same image, and the platforms that were found out with it.
    package func reconciled(with old: ServiceSpec, networks: [Network]) -> ServiceSpec {
        var new = self
        new.taskTemplate.forceUpdate = old.taskTemplate.forceUpdate
        if let pinned = old.taskTemplate.containerSpec?.image, let image = new.taskTemplate.containerSpec?.image,
            ImageReference(image)?.digest == nil, let reference = ImageReference(pinned), reference.digest != nil
        {
            var plain = reference
            plain.digest = nil
            // A digest without a tag pins the tag that is meant when none is named.
            if plain.familiar == image { new.taskTemplate.containerSpec?.image = pinned }
        }
        if new.taskTemplate.placement?.platforms == nil,
            new.taskTemplate.containerSpec?.image == old.taskTemplate.containerSpec?.image
        {
            new.taskTemplate.placement?.platforms = old.taskTemplate.placement?.platforms
        }
        let fields = old.differences(to: new, networks: networks)
        if !fields.contains(where: { $0.path.hasPrefix("TaskTemplate") }) { new.taskTemplate = old.taskTemplate }
        if !fields.contains(where: { $0.path.hasPrefix("EndpointSpec") }) { new.endpointSpec = old.endpointSpec }
        return new
    }

    /// Field by field, with networks, secrets and configs by their names.
    func differences(to new: ServiceSpec, networks: [Network]) -> [FieldChange] {
        let names = Dictionary(networks.map { ($0.id, $0.spec.name) }) { first, _ in first }
        return SpecDifference.changes(from: named(names), to: new.named(names))
    }

    /// Without identifiers, which a file does not have.
    private func named(_ networks: [ObjectID: String]) -> ServiceSpec {
        var spec = self
        spec.taskTemplate.networks = attachments.map { attachment in
            var attachment = attachment
            attachment.target = attachment.target.map { networks[$0] ?? $0 }
            return attachment
        }
        spec.networks = nil
        let secrets = spec.taskTemplate.containerSpec?.secrets
        spec.taskTemplate.containerSpec?.secrets = secrets?.map { reference in
            SecretReference(secretID: "", secretName: reference.secretName, file: reference.file)
        }
        let credentials = spec.taskTemplate.containerSpec?.privileges?.credentialSpec?.config
        let references = spec.taskTemplate.containerSpec?.configs
        if let credentials, let own = references?.first(where: { $0.configID == credentials }) {
            spec.taskTemplate.containerSpec?.privileges?.credentialSpec?.config = own.configName
        }
        spec.taskTemplate.containerSpec?.configs = references?.map { reference in
            ConfigReference(
                configID: "", configName: reference.configName, file: reference.file, runtime: reference.runtime)
        }
        return spec
    }
}
