/// `extends` and `include`, which the specification has and Docker refuses.
extension StackLoader {
    // MARK: extends

    /// A file's tree with every service's `extends` put in.
    mutating func extended(_ tree: Value, _ path: String, _ context: FileContext) -> Value {
        guard var services = tree["services"], let entries = services.entries,
            entries.contains(where: { $0.value["extends"] != nil })
        else { return tree }
        var tree = tree
        let sources = Dictionary(entries.map { ($0.key, $0.value) }) { first, _ in first }
        services.content = .map(
            entries.map { entry in
                var entry = entry
                if entry.value["extends"] != nil {
                    entry.value = extended(entry.key, sources, path, [], context) ?? entry.value
                    entry.value["extends"] = nil
                }
                return entry
            })
        tree["services"] = services
        return tree
    }

    /// A service with what it extends below it; nil when there is no such service, or a cycle, which is noted.
    private mutating func extended(
        _ name: String, _ services: [String: Value], _ path: String, _ chain: [String], _ context: FileContext
    ) -> Value? {
        let link = path + "\u{0}" + name
        if let done = extendedServices[link] { return done }
        guard let service = services[name] else { return nil }
        guard let extends = service["extends"], let base = extends["service"]?.string else { return service }
        let place = "services.\(name).extends"
        guard !chain.contains(link) else {
            findings.error(
                at: extends.position, path: place, "service \(name) extends itself, over \(chain.count) services")
            return nil
        }
        guard chain.count < StackLimits.chainMax else {
            findings.error(
                at: extends.position, path: place, "more than \(StackLimits.chainMax) services extend each other")
            return nil
        }
        var (source, sourcePath) = (services, path)
        if let file = extends["file"], let text = file.string {
            sourcePath = FilePath.resolve(text, from: context.directory, home: options.home)
            guard let tree = extendedTree(sourcePath, shownAs: text, file, place, context) else { return nil }
            source = Dictionary((tree["services"]?.entries ?? []).map { ($0.key, $0.value) }) { first, _ in first }
        }
        var inner = context
        if sourcePath != path { inner.directory = FilePath.directory(of: sourcePath) }
        guard source[base] != nil else {
            findings.error(at: extends.position, path: place, "there is no service \(base) in \(sourcePath)")
            return nil
        }
        guard let below = extended(base, source, sourcePath, chain + [link], inner) else { return nil }
        var own = service
        own["extends"] = nil
        let result = Merge(dialect: .specification).service(below.withoutDirectives, own)
        extendedServices[link] = result
        return result
    }

    private mutating func extendedTree(
        _ path: String, shownAs name: String, _ file: Value, _ place: String, _ context: FileContext
    ) -> Value? {
        if let known = extendedTrees[path] { return known }
        guard isAllowed(path, file, place) else { return nil }
        var inner = context
        inner.directory = FilePath.directory(of: path)
        let result = parsedAndChecked(path, shownAs: name, file, inner)
        extendedTrees[path] = .some(result)
        return result
    }

    private mutating func parsedAndChecked(
        _ path: String, shownAs name: String, _ file: Value, _ context: FileContext
    ) -> Value? {
        guard let raw = parsed(path, shownAs: name, at: file.position) else { return nil }
        return checked(raw, context)
    }

    /// Notes a file outside the project's directory, which a stack file must not reach for.
    private mutating func isAllowed(_ path: String, _ value: Value, _ place: String) -> Bool {
        if options.allowsOutsideFiles { return true }
        guard FilePath.isInside(path, directory) else {
            findings.error(
                at: value.position, path: place, "\(path) is outside the project's directory \(directory)")
            return false
        }
        // A link within the directory may still lead out of it.
        let end = files.resolved(path)
        guard FilePath.isInside(end, files.resolved(directory)) else {
            findings.error(
                at: value.position, path: place,
                "\(path) leads to \(end), outside the project's directory \(directory)")
            return false
        }
        return true
    }

    // MARK: include

    /// A file's tree with what it includes; the same name with other content on both sides is refused.
    mutating func included(_ tree: Value, _ path: String, _ context: FileContext) -> Value {
        guard let includes = tree["include"]?.list else { return tree }
        var tree = tree
        tree["include"] = nil
        guard context.chain.count < StackLimits.chainMax else {
            findings.error(
                at: includes.first?.position, path: "include",
                "more than \(StackLimits.chainMax) files include each other")
            return tree
        }
        for (index, include) in includes.enumerated() {
            let place = "include.\(index)"
            guard let other = includedTree(include, place, path, context) else { continue }
            add(other, to: &tree, place)
        }
        return tree
    }

    private mutating func includedTree(
        _ include: Value, _ place: String, _ path: String, _ context: FileContext
    ) -> Value? {
        let names = include["path"]?.list ?? []
        let paths = names.map { FilePath.resolve($0.string ?? "", from: context.directory, home: options.home) }
        guard let first = paths.first else { return nil }
        var inner = FileContext(
            directory: FilePath.directory(of: first), variables: context.variables, chain: context.chain + [path])
        if let directory = include["project_directory"]?.string {
            inner.directory = FilePath.resolve(directory, from: context.directory, home: options.home)
        }
        for (name, path) in zip(names, paths) {
            guard isAllowed(path, name, place) else { return nil }
            guard !inner.chain.contains(path) else {
                findings.error(
                    at: name.position, path: place, "\(path) includes itself, over \(inner.chain.count) files")
                return nil
            }
        }
        inner.variables = variables(
            context.variables, envFile: include["env_file"]?.list, from: context.directory,
            directory: inner.directory)
        var merged: Value?
        for (name, path) in zip(names, paths) {
            guard let tree = tree(path, shownAs: name.string ?? path, at: name.position, inner) else { return nil }
            merged = merged.map { Merge(dialect: .specification).files($0, tree) } ?? tree
        }
        guard var result = merged?.withoutDirectives else { return nil }
        resolveEnvironment(&result, inner)
        return result
    }

    private mutating func add(_ other: Value, to tree: inout Value, _ place: String) {
        for section in ["services", "networks", "volumes", "secrets", "configs"] {
            guard let incoming = other[section]?.entries else { continue }
            var own = tree[section] ?? Value(.map([]), at: other.position)
            for entry in incoming {
                if let existing = own[entry.key] {
                    if !existing.hasSameContent(as: entry.value) {
                        findings.error(
                            at: existing.position, path: "\(section).\(entry.key)",
                            "conflicts with what \(place) brings from \(entry.keyPosition)")
                    }
                    continue
                }
                own.content = .map((own.entries ?? []) + [entry])
            }
            tree[section] = own
        }
    }
}
