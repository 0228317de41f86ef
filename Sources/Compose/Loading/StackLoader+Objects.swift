/// What a file says of networks, volumes, secrets and configs, and of variables.
extension StackLoader {
    /// Makes `external` a plain flag with a name, and the paths of secrets and configs absolute.
    mutating func normalizeObjects(_ tree: inout Value, _ context: FileContext) {
        for (section, kind) in [
            ("networks", "network"), ("volumes", "volume"), ("secrets", "secret"), ("configs", "config"),
        ] {
            guard var objects = tree[section], let entries = objects.entries else { continue }
            var result: [Value.Entry] = []
            for var entry in entries {
                if entry.value.entries != nil && entry.value.directive == nil {
                    normalize(&entry.value, name: entry.key, kind: kind, "\(section).\(entry.key)", context)
                }
                result.append(entry)
            }
            objects.content = .map(result)
            tree[section] = objects
        }
    }

    private mutating func normalize(
        _ object: inout Value, name: String, kind: String, _ path: String, _ context: FileContext
    ) {
        let isExternal = normalizeExternal(&object, name: name, kind: kind, path)
        if kind == "volume" && isExternal {
            for key in ["driver", "driver_opts", "labels"] where !(object[key]?.isZero(.string) ?? true) {
                findings.error(
                    at: object.keyPosition(key), path: isDocker ? "" : path,
                    "conflicting parameters \"external\" and \"\(key)\" specified for volume \"\(name)\"")
            }
        }
        guard kind == "secret" || kind == "config" else { return }
        if isExternal { return }
        let file = object["file"]
        if let driver = object["driver"]?.string, !driver.isEmpty {
            if let file, file.string != "" {
                findings.error(
                    at: file.position, path: isDocker ? "" : path,
                    "\(kind) \(name): \(kind).driver and \(kind).file conflict; only use \(kind).driver")
            }
        } else if isDocker || file != nil {
            let text = file?.string ?? ""
            // Docker takes a tilde here for a directory's name.
            let full =
                isDocker
                ? FilePath.joinAbsolute(context.directory, text)
                : FilePath.resolve(text, from: context.directory, home: options.home)
            object["file"] = Value(.string(full), at: file?.position ?? object.position)
        }
    }

    private mutating func normalizeExternal(
        _ object: inout Value, name: String, kind: String, _ path: String
    ) -> Bool {
        guard let external = object["external"] else { return false }
        if let flag = external.bool, !flag {
            object["external"] = nil
            return false
        }
        if let old = external["name"]?.string, !old.isEmpty {
            if !(object["name"]?.isZero(.string) ?? true) {
                findings.error(
                    at: external.position, path: isDocker ? "" : path,
                    "\(kind) \(name): \(kind).external.name and \(kind).name conflict; only use \(kind).name")
            }
            findings.warn(
                at: external.position, path: isDocker ? "" : path,
                "\(kind) \(name): \(kind).external.name is deprecated in favor of \(kind).name")
            object["name"] = Value(.string(old), at: external.position)
        } else if object["name"]?.isZero(.string) ?? true {
            object["name"] = Value(.string(name), at: external.position)
        }
        object["external"] = Value(.bool(true), at: external.position)
        return true
    }

    // MARK: Variables

    /// The process's environment, over what `.env` says where the specification reads it.
    ///
    /// - Parameters:
    ///   - envFile: the files to read in place of the directory's `.env`.
    ///   - base: where their relative paths start.
    mutating func variables(
        _ environment: [String: String], envFile: [Value]? = nil, from base: String = "", directory: String
    ) -> [String: String] {
        guard !isDocker else { return environment }
        var result: [String: String] = [:]
        let named: [(path: String, position: Position?)] =
            envFile?.compactMap { file in
                file.string.map { (FilePath.resolve($0, from: base, home: options.home), file.position) }
            } ?? [(FilePath.join(directory, ".env"), nil)]
        for (path, position) in named {
            // A `.env` that nobody named need not be there.
            if position == nil && (try? files.read(path, atMost: 0)) == nil { continue }
            guard let bytes = bytes(path, shownAs: path, at: position) else { continue }
            for (name, value) in dotenv(bytes, path, result.merging(environment) { $1 }) {
                if let value { result[name] = value }
            }
        }
        return result.merging(environment) { _, process in process }
    }

    private mutating func dotenv(
        _ bytes: [UInt8], _ path: String, _ variables: [String: String]
    ) -> [EnvironmentFile.Entry] {
        do throws(EnvironmentFile.Problem) {
            return try EnvironmentFile.dotenv(bytes, variables: variables)
        } catch {
            findings.error(at: Position(file: path, line: error.line), error.message)
            return []
        }
    }

    /// Reads each service's `env_file` and gives names without a value the environment's.
    mutating func resolveEnvironment(_ tree: inout Value, _ context: FileContext) {
        guard var services = tree["services"], let entries = services.entries else { return }
        var result: [Value.Entry] = []
        for var entry in entries {
            if entry.value.entries != nil {
                resolveEnvironment(of: &entry.value, "services.\(entry.key)", context)
            }
            result.append(entry)
        }
        services.content = .map(result)
        tree["services"] = services
    }

    private mutating func resolveEnvironment(of service: inout Value, _ path: String, _ context: FileContext) {
        var merged: [Value.Entry] = []
        var places: [String: Int] = [:]
        func set(_ entry: Value.Entry) {
            if let place = places[entry.key] {
                merged[place] = entry
            } else {
                places[entry.key] = merged.count
                merged.append(entry)
            }
        }
        for file in service["env_file"]?.list ?? [] {
            for (name, value) in envFile(file, "\(path).env_file", context) {
                guard let value = value ?? context.variables[name] else { continue }
                set(
                    Value.Entry(
                        key: name, keyPosition: file.position, value: Value(.string(value), at: file.position)))
            }
        }
        readLabelFiles(of: &service, path, context)
        guard service["environment"] != nil || !merged.isEmpty else { return }
        for var entry in service["environment"]?.entries ?? [] {
            let isOpen = entry.value.isNull || (isDocker && entry.value.string == "")
            if isOpen, entry.value.directive == nil, let value = context.variables[entry.key] {
                entry.value.content = .string(value)
            }
            set(entry)
        }
        let position = service["environment"]?.position ?? service.position
        service["environment"] = Value(.map(merged), at: position)
    }

    private mutating func envFile(_ file: Value, _ path: String, _ context: FileContext) -> [EnvironmentFile.Entry]
    {
        guard let name = file.string ?? file["path"]?.string else { return [] }
        let full = FilePath.resolve(name, from: context.directory, home: options.home)
        if file["required"]?.bool == false && (try? files.read(full, atMost: 0)) == nil { return [] }
        guard let bytes = bytes(full, shownAs: name, at: file.position, isDocker ? "" : path) else { return [] }
        let isLong = file.entries != nil
        if isLong && file["format"]?.string != "raw" { return dotenv(bytes, full, context.variables) }
        do throws(EnvironmentFile.Problem) {
            let entries = try EnvironmentFile.plain(bytes)
            if !isDocker { warnOfQuotes(entries, file, path) }
            return entries
        } catch {
            // What Docker's plain grammar refuses may be the specification's richer one.
            if !isDocker && !isLong { return dotenv(bytes, full, context.variables) }
            findings.error(
                at: Position(file: full, line: error.line), "invalid env file (\(full)): \(error.message)")
            return []
        }
    }

    /// A plain file's quotes are part of the value, as Docker has it, which may surprise.
    private mutating func warnOfQuotes(_ entries: [EnvironmentFile.Entry], _ file: Value, _ path: String) {
        let quoted = entries.filter { $0.value?.hasPrefix("\"") == true || $0.value?.hasPrefix("'") == true }
        guard let first = quoted.first else { return }
        findings.warn(
            at: file.position, path: path,
            "the quotes around \(first.name) are part of its value, as in docker stack deploy; name the file by "
                + "`path:` to have quotes, escapes and variables understood")
    }

    /// Labels of files stand below those of `labels`.
    private mutating func readLabelFiles(of service: inout Value, _ path: String, _ context: FileContext) {
        guard !isDocker, let names = service["label_file"]?.list else { return }
        var labels = Value(.map([]), at: service.position)
        for name in names {
            for (label, value) in envFile(name, "\(path).label_file", context) {
                labels[label] = Value(.string(value ?? ""), at: name.position)
            }
        }
        for entry in service["labels"]?.entries ?? [] { labels[entry.key] = entry.value }
        service["labels"] = labels
    }
}
