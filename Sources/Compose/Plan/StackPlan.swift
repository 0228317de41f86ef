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
        /// The object that takes the place of one that cannot be changed, when it bears another name.
        package var object: String?
        /// Whether it is kept because a revision needs it or it cannot be changed, and not for want of `--prune`.
        package var isPinned = false

        enum CodingKeys: String, CodingKey {
            case kind = "Kind", name = "Name", action = "Action", fields = "Fields", restartsTasks =
                "RestartsTasks",
                object = "Object"
        }
    }

    package var stack: String
    package var changes: [Change]
    /// The wanted services as they are to be sent, by name; references to secrets and configs are still by name.
    package var services: [String: ServiceSpec] = [:]

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
    ///
    /// - Parameters:
    ///   - specs: with secrets and configs under their objects' names, see `StackVersions.resolve`.
    ///   - needs: what may not be pruned.
    package init(
        _ specs: StackSpecs, over state: StackState, prune: Prune = .nothing,
        needs: StackNeeds = StackNeeds(services: [], tasks: [], revisions: [])
    ) {
        stack = specs.namespace
        changes = []
        compareNetworks(specs.networks, state.networks.map(\.spec))
        compare(.secret, specs.secrets, state.secrets.map(\.spec), name: \.name, labels: \.labels)
        let configs = state.configs.filter { $0.spec.labels?[StackLabel.revision] == nil }
        compare(.config, specs.configs, configs.map(\.spec), name: \.name, labels: \.labels)
        compareServices(specs, state)
        // In the order of `stack rm`: what uses goes before what is used.
        let ours: ([String: String]?) -> Bool = { $0?[StackLabel.namespace] == specs.namespace }
        let services = state.services.map(\.spec).filter { ours($0.labels) }
        leave(.service, services.map(\.name), Set(specs.services.map(\.spec.name)), prune != .nothing, [])
        let all = prune == .everything
        let secretBases = Set(specs.secrets.map { StackVersions.base($0.name, $0.labels) })
        let secrets = state.secrets.map(\.spec).filter {
            ours($0.labels) && !secretBases.contains(StackVersions.base($0.name, $0.labels))
        }
        leave(.secret, secrets.map(\.name), [], all, needs.secretNames)
        let configBases = Set(specs.configs.map { StackVersions.base($0.name, $0.labels) })
        let others = configs.map(\.spec).filter {
            ours($0.labels) && !configBases.contains(StackVersions.base($0.name, $0.labels))
        }
        leave(.config, others.map(\.name), [], all, needs.configNames)
        let networks = state.networks.map(\.spec).filter { ours($0.labels) }
        leave(.network, networks.map(\.name), Set(specs.networks.map(\.name)), all, [])
    }

    private mutating func compareServices(_ specs: StackSpecs, _ state: StackState) {
        let existing = Dictionary(state.services.map { ($0.spec.name, $0.spec) }) { first, _ in first }
        var restarting: Set<String> = []
        for service in specs.servicesInOrder {
            let name = service.spec.name
            guard let old = existing[name] else {
                services[name] = service.spec
                changes.append(Change(kind: .service, name: name, action: .create))
                continue
            }
            var new = service.spec.reconciled(with: old, networks: state.networks)
            if service.dependencies.contains(where: { $0.restarts && restarting.contains($0.service) }) {
                new.taskTemplate.forceUpdate = (old.taskTemplate.forceUpdate ?? 0) + 1
            }
            services[name] = new
            let fields = old.differences(to: new, networks: state.networks)
            guard !fields.isEmpty else { continue }
            let isReplaced = !old.mode.isOfSameKind(as: new.mode)
            let restarts =
                isReplaced
                || fields.contains { $0.path.hasPrefix("TaskTemplate") || $0.path.hasPrefix("EndpointSpec") }
            if restarts { restarting.insert(service.key) }
            changes.append(
                Change(
                    kind: .service, name: name, action: isReplaced ? .replace : .update, fields: fields,
                    restartsTasks: restarts))
        }
    }

    /// An engine changes no network, and one in use cannot be replaced either: what differs is told, and left.
    private mutating func compareNetworks(_ wanted: [NetworkSpec], _ existing: [NetworkSpec]) {
        let known = Dictionary(existing.map { ($0.name, $0) }) { first, _ in first }
        for spec in wanted {
            guard let old = known[spec.name] else {
                changes.append(Change(kind: .network, name: spec.name, action: .create))
                continue
            }
            let fields = Self.fields(.network, from: old.asAsked(by: spec), to: spec)
            guard !fields.isEmpty else { continue }
            changes.append(
                Change(kind: .network, name: spec.name, action: .keep, fields: fields, isPinned: true))
        }
    }

    /// The data of secrets and configs is replaced, labels are updated.
    private mutating func compare<Spec: Encodable>(
        _ kind: Kind, _ wanted: [Spec], _ existing: [Spec], name: (Spec) -> String,
        labels: (Spec) -> [String: String]?
    ) {
        let known = Dictionary(existing.map { (name($0), $0) }) { first, _ in first }
        for spec in wanted {
            if let old = known[name(spec)] {
                let fields = Self.fields(kind, from: old, to: spec)
                guard !fields.isEmpty else { continue }
                let isUpdate = fields.allSatisfy { $0.path.hasPrefix("Labels") }
                changes.append(
                    Change(
                        kind: kind, name: name(spec), action: isUpdate ? .update : .replace, fields: fields))
                continue
            }
            let base = StackVersions.base(name(spec), labels(spec))
            let before = existing.filter { StackVersions.base(name($0), labels($0)) == base }
                .max { StackVersions.number(name($0), of: base) < StackVersions.number(name($1), of: base) }
            guard let before else {
                changes.append(Change(kind: kind, name: name(spec), action: .create))
                continue
            }
            let fields = Self.fields(kind, from: before, to: spec).filter {
                !$0.path.hasPrefix("Labels") && $0.path != "Name"
            }
            changes.append(
                Change(kind: kind, name: base, action: .replace, fields: fields, object: name(spec)))
        }
    }

    private static func fields(_ kind: Kind, from old: some Encodable, to new: some Encodable)
        -> [FieldChange]
    {
        SpecDifference.changes(from: old, to: new).compactMap { field in
            switch (kind, field.path) {
            // An API does not give secrets away: without the old data there is nothing to compare.
            case (.secret, "Data") where field.old == nil: return nil
            // Revisions name objects, which keep their data.
            case (_, "Data") where field.new == nil: return nil
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

    private mutating func leave(
        _ kind: Kind, _ existing: [String], _ wanted: Set<String>, _ isRemoved: Bool, _ needed: Set<String>
    ) {
        for name in existing.sorted() where !wanted.contains(name) {
            let isPinned = isRemoved && needed.contains(name)
            changes.append(
                Change(
                    kind: kind, name: name, action: isRemoved && !isPinned ? .remove : .keep,
                    isPinned: isPinned))
        }
    }

    /// The plan for people: one line an object, one line a field.
    package var lines: [String] {
        let signs: [Action: String] = [.create: "+", .update: "~", .replace: "±", .remove: "-", .keep: "="]
        return changes.flatMap { change in
            ["\(signs[change.action] ?? "?") \(change.kind.rawValue) \(change.name)\(change.note)"]
                + change.fields.map { "    \($0.path): \($0.old ?? "(none)") -> \($0.new ?? "(none)")" }
        }
    }
}

extension StackPlan.Change {
    fileprivate var note: String {
        switch (action, kind) {
        case (.keep, .network) where isPinned: " (kept as it is: a network cannot be changed)"
        case (.keep, _) where isPinned: " (in no file; kept for a revision)"
        case (.keep, _): " (in no file; kept)"
        case (.update, _): restartsTasks ? " (tasks restart)" : ""
        case (.replace, .service): " (another mode: removed, then created)"
        case (.replace, _): object.map { " (version \($0))" } ?? ""
        default: ""
        }
    }
}

extension NetworkSpec {
    /// Without what the engine chose where the file leaves the choice to it.
    fileprivate func asAsked(by wanted: NetworkSpec) -> NetworkSpec {
        var spec = self
        for key in (spec.driverConfiguration?.options ?? [:]).keys
        where wanted.driverConfiguration?.options?[key] == nil
            && key.hasPrefix("com.docker.network.driver.overlay.")
        {
            spec.driverConfiguration?.options?[key] = nil
        }
        guard let asked = wanted.ipamOptions?.configs, asked.count == spec.ipamOptions?.configs?.count else {
            if wanted.ipamOptions?.configs == nil { spec.ipamOptions = wanted.ipamOptions }
            return spec
        }
        for (index, pool) in asked.enumerated() {
            if pool.subnet == nil { spec.ipamOptions?.configs?[index].subnet = nil }
            if pool.range == nil { spec.ipamOptions?.configs?[index].range = nil }
            if pool.gateway == nil { spec.ipamOptions?.configs?[index].gateway = nil }
        }
        return spec
    }
}

extension ServiceMode {
    /// Whether an engine would let a service go from one to the other.
    fileprivate func isOfSameKind(as other: ServiceMode) -> Bool {
        func kind(_ mode: ServiceMode) -> Int {
            mode.global != nil ? 1 : mode.replicatedJob != nil ? 2 : mode.globalJob != nil ? 3 : 0
        }
        return kind(self) == kind(other)
    }
}

extension ServiceSpec {
    /// This wanted spec, as it is to be sent over an existing one: what means the same is taken from the old word for
    /// word, since an engine restarts tasks for any difference; so are the counter of forced updates, a digest of the
    /// same image, and the platforms that were found out with it.
    package func reconciled(with old: ServiceSpec, networks: [Network]) -> ServiceSpec {
        var new = self
        new.taskTemplate.forceUpdate = old.taskTemplate.forceUpdate
        if let pinned = old.taskTemplate.containerSpec?.image,
            let image = new.taskTemplate.containerSpec?.image,
            ImageReference(image)?.digest == nil, let reference = ImageReference(pinned),
            reference.digest != nil
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
        if !fields.contains(where: { $0.path.hasPrefix("TaskTemplate") }) {
            new.taskTemplate = old.taskTemplate
        }
        if !fields.contains(where: { $0.path.hasPrefix("EndpointSpec") }) {
            new.endpointSpec = old.endpointSpec
        }
        return new
    }

    /// Field by field, with networks, secrets and configs by their names.
    func differences(to new: ServiceSpec, networks: [Network]) -> [FieldChange] {
        let names = Dictionary(networks.map { ($0.id, $0.spec.name) }) { first, _ in first }
        return SpecDifference.changes(from: named(names), to: new.named(names))
    }

    /// What an engine writes where a request says nothing.
    private mutating func writeOutDefaults() {
        if mode == ServiceMode() { mode = ServiceMode(replicated: ReplicatedMode()) }
        if let replicated = mode.replicated { mode.replicated = ReplicatedMode(replicas: replicated.replicas ?? 1) }
        if mode.replicatedJob != nil {
            mode.replicatedJob = ReplicatedJobMode(maxConcurrent: maxConcurrent, totalCompletions: totalCompletions)
        }
        if (endpointSpec?.mode ?? "").isEmpty, endpointSpec != nil { endpointSpec?.mode = "vip" }
        if endpointSpec == nil { endpointSpec = EndpointSpec(mode: "vip") }
        if (taskTemplate.runtime ?? "").isEmpty { taskTemplate.runtime = "container" }
        if taskTemplate.containerSpec != nil, (taskTemplate.containerSpec?.isolation ?? "").isEmpty {
            taskTemplate.containerSpec?.isolation = "default"
        }
    }

    /// Without identifiers, which a file does not have, and as complete as an engine has it.
    private func named(_ networks: [ObjectID: String]) -> ServiceSpec {
        var spec = self
        spec.taskTemplate.networks = attachments.map { attachment in
            var attachment = attachment
            attachment.target = attachment.target.map { networks[$0] ?? $0 }
            return attachment
        }
        spec.networks = nil
        spec.writeOutDefaults()
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
                configID: "", configName: reference.configName, file: reference.file,
                runtime: reference.runtime)
        }
        return spec
    }
}
