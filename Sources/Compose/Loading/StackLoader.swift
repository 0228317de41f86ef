import SwarmCore

/// Reads stack files and what they name, and makes one project of them.
package struct StackLoader {
    let options: StackOptions
    let files: any StackFiles
    /// Where relative paths start, and what `include` and `extends` must not leave.
    let directory: String
    var findings = Findings()
    var ignoredOptions: Set<String> = []
    var deprecatedOptions: [String: String] = [:]
    private var filesLeft = StackLimits.filesMax
    private var bytesLeft = StackLimits.fileBytesMax * 4
    /// Files that `extends` names, by path.
    var extendedTrees: [String: Value?] = [:]
    /// Services whose `extends` is done, by file and name.
    var extendedServices: [String: Value] = [:]

    private init(_ options: StackOptions, _ files: any StackFiles, directory: String) {
        (self.options, self.files, self.directory) = (options, files, directory)
    }

    var isDocker: Bool { options.dialect == .docker }

    /// Loads the files, later ones over earlier ones.
    ///
    /// - Parameters:
    ///   - names: as given with `-c`: paths, or `-` for standard input.
    ///   - options: whose rules, and what of the process matters.
    ///   - files: where bytes come from.
    /// - Throws: every error of all files at once.
    package static func load(
        _ names: [String], _ options: StackOptions, from files: any StackFiles
    ) throws(StackFileErrors) -> Project {
        guard let first = names.first else {
            throw StackFileErrors([Diagnostic(.error, at: nil, "Specify a Compose file (with --compose-file)")])
        }
        let working = options.workingDirectory
        let directory = first == "-" ? working : FilePath.directory(of: FilePath.join(absolute: working, first))
        var loader = StackLoader(options, files, directory: directory)
        let variables = loader.variables(options.environment, directory: directory)
        let context = FileContext(directory: directory, variables: variables, chain: [])
        var merged: Value?
        var minor: Int?
        for name in names {
            let path = name == "-" ? name : FilePath.join(absolute: working, name)
            guard let tree = loader.tree(path, shownAs: name, context) else { continue }
            if loader.isDocker { loader.checkVersions(tree, &minor) }
            merged = merged.map { Merge(dialect: options.dialect).files($0, tree) } ?? tree
        }
        try loader.findings.check()
        guard var document = merged else {
            throw StackFileErrors([Diagnostic(.error, at: nil, "no stack file was read")])
        }
        if !loader.isDocker { document = loader.finished(document, variables) }
        loader.noteOptions()
        try loader.findings.check()
        return Project(
            document: document, dialect: options.dialect, variables: variables, warnings: loader.findings.warnings)
    }

    // MARK: Files

    /// What is the same for one file and all that it leads to.
    struct FileContext {
        var directory: String
        var variables: [String: String]
        /// The files that led here, for cycles.
        var chain: [String]
    }

    /// The bytes of a file; nil when it cannot be read, which is noted.
    mutating func bytes(_ path: String, shownAs name: String, at position: Position?, _ place: String = "")
        -> [UInt8]?
    {
        filesLeft -= 1
        guard filesLeft >= 0 else {
            findings.error(at: position, path: place, "more than \(StackLimits.filesMax) files are named")
            return nil
        }
        let bytes: [UInt8]
        do throws(SwarmError) {
            bytes = try files.read(path, atMost: StackLimits.fileBytesMax)
        } catch {
            findings.error(at: position, path: place, error.description)
            return nil
        }
        bytesLeft -= bytes.count
        guard bytes.count <= StackLimits.fileBytesMax, bytesLeft >= 0 else {
            let limit = bytesLeft < 0 ? "the files together" : "the file \(name)"
            let most = bytesLeft < 0 ? StackLimits.fileBytesMax * 4 : StackLimits.fileBytesMax
            findings.error(at: position, path: place, "\(limit) is too large: at most \(most) bytes are read")
            return nil
        }
        return bytes
    }

    /// A file's tree, checked, in canonical form, with its includes and extensions put in; nil when it has errors
    /// that leave nothing to go on with.
    mutating func tree(
        _ path: String, shownAs name: String, at position: Position? = nil, _ context: FileContext
    ) -> Value? {
        guard let raw = parsed(path, shownAs: name, at: position) else { return nil }
        guard var tree = checked(raw, context) else { return nil }
        if isDocker {
            resolveEnvironment(&tree, context)
            return tree
        }
        tree = extended(tree, path, context)
        return included(tree, path, context)
    }

    mutating func parsed(_ path: String, shownAs name: String, at position: Position?) -> Value? {
        guard let bytes = bytes(path, shownAs: name, at: position) else { return nil }
        do throws(YAMLProblem) {
            let (document, duplicates) = try YAMLReader.read(bytes, file: name)
            for duplicate in duplicates { findings.error(at: duplicate.position, duplicate.message) }
            guard let document, document.entries != nil else {
                findings.error(
                    at: document?.position ?? Position(file: name), "top-level object must be a mapping")
                return nil
            }
            return document
        } catch {
            findings.error(at: error.position, isDocker ? "yaml: \(error.message)" : error.message)
            return nil
        }
    }

    /// The checked tree of a file, without its includes and extensions.
    mutating func checked(_ raw: Value, _ context: FileContext) -> Value? {
        guard let minor = minorVersion(raw) else { return nil }
        var checker = Checker(
            options, minorVersion: minor, directory: context.directory, projectDirectory: directory,
            variables: context.variables)
        let tree = checker.check(raw, .object(TopShape.object), Path())
        findings.add(checker.findings.diagnostics)
        ignoredOptions.formUnion(checker.ignoredOptions)
        deprecatedOptions.merge(checker.deprecatedOptions) { first, _ in first }
        guard var tree else { return nil }
        normalizeObjects(&tree, context)
        return tree
    }

    /// The 3.x that a file declares; nil when Docker would refuse it.
    private mutating func minorVersion(_ raw: Value) -> Int? {
        let newest = 13
        guard isDocker, let version = raw["version"] else { return newest }
        guard let text = version.string else {
            findings.error(
                at: version.position,
                version.isNull ? "unsupported Compose file version: <nil>" : "version must be a string")
            return nil
        }
        if text == "" || text == "3" { return newest }
        guard text.hasPrefix("3."), let minor = Int(text.dropFirst(2)), (0...newest).contains(minor),
            text == "3.\(minor)"
        else {
            findings.error(at: version.position, "unsupported Compose file version: \(text)")
            return nil
        }
        return minor
    }

    private mutating func checkVersions(_ tree: Value, _ minor: inout Int?) {
        let own = tree["version"]?.string.flatMap { $0.isEmpty || $0 == "3" ? 13 : Int($0.dropFirst(2)) } ?? 13
        if let minor, minor != own {
            findings.error(
                at: tree["version"]?.position ?? tree.position,
                "version mismatched between two composefiles : 3.\(minor) and 3.\(own)")
        }
        minor = minor ?? own
    }

    /// Docker's two lines.
    private mutating func noteOptions() {
        if !ignoredOptions.isEmpty {
            findings.warn(
                at: nil, "Ignoring unsupported options: \(ignoredOptions.sorted().joined(separator: ", "))")
        }
        if !deprecatedOptions.isEmpty {
            let hints = deprecatedOptions.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
            findings.warn(at: nil, "Ignoring deprecated options:\n\n" + hints.joined(separator: "\n\n"))
        }
    }

    // MARK: The specification's last steps

    /// What is done once with all files merged.
    private mutating func finished(_ document: Value, _ variables: [String: String]) -> Value {
        var document = document.withoutDirectives
        selectProfiles(&document, variables)
        resolveEnvironment(&document, FileContext(directory: directory, variables: variables, chain: []))
        References.check(document, &findings)
        return document
    }

    private mutating func selectProfiles(_ document: inout Value, _ variables: [String: String]) {
        guard let services = document["services"]?.entries else { return }
        let named = variables["COMPOSE_PROFILES"]?.split(separator: ",").map(String.init)
        let active = options.profiles ?? Set(named ?? [])
        let kept = services.filter { service in
            guard let profiles = service.value["profiles"]?.list, !profiles.isEmpty else { return true }
            return active.contains("*") || profiles.contains { $0.string.map(active.contains) ?? false }
        }
        guard kept.count < services.count, let value = document["services"] else { return }
        document["services"] = Value(.map(kept), at: value.position)
    }
}

extension FilePath {
    /// An absolute path stays, a relative one is taken from a directory.
    static func join(absolute directory: String, _ path: String) -> String {
        path.hasPrefix("/") ? clean(path) : join(directory, path)
    }

    /// The same, where an absolute path is left as it is written.
    static func joinAbsolute(_ directory: String, _ path: String) -> String {
        path.hasPrefix("/") ? path : join(directory, path)
    }
}
