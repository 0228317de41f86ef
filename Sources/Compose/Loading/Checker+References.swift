/// What refers to other parts of the file, or to other files.
extension Checker {
    private func made(_ key: String, _ content: Value.Content, _ value: Value) -> Value {
        Value(
            .map([Value.Entry(key: key, keyPosition: value.position, value: Value(content, at: value.position))]),
            at: value.position)
    }

    mutating func fileReferences(_ value: Value, _ path: Path) -> Value? {
        guard let items = value.list else {
            mustBe([.list], value, path)
            return nil
        }
        if !isDocker { checkUnique(items, value, path) }
        var result: [Value] = []
        for (index, item) in items.enumerated() {
            let place = path.item(index)
            if item.entries != nil {
                if let reference = check(item, .object(FormShapes.fileReference), place) {
                    result.append(reference)
                }
            } else if item.string != nil, let name = check(item, .string, place) {
                result.append(made("source", name.content, name))
            } else if item.string == nil {
                mustBe(isDocker ? [.string] : [.string, .mapping], item, place)
            }
        }
        return Value(.list(result), at: value.position)
    }

    mutating func attachments(_ value: Value, _ path: Path) -> Value? {
        if value.list != nil {
            guard let names = list(value, .string, isUnique: true, path)?.list else { return nil }
            let entries = names.compactMap { name in
                name.string.map {
                    Value.Entry(key: $0, keyPosition: name.position, value: Value(.null, at: name.position))
                }
            }
            return Value(.map(entries), at: value.position)
        }
        guard value.entries != nil else {
            mustBe(isDocker ? [.list] : [.list, .mapping], value, path)
            return nil
        }
        return map(value, .orNull(.object(FormShapes.attachment)), .name, path)
    }

    /// Canonical: a list where only names are given, as Docker has it; else a mapping.
    mutating func dependencies(_ value: Value, _ path: Path) -> Value? {
        if value.list != nil { return list(value, .string, isUnique: true, path) }
        guard value.entries != nil, !isDocker else {
            mustBe(isDocker ? [.list] : [.list, .mapping], value, path)
            return nil
        }
        return map(value, .object(FormShapes.dependency), .name, path)
    }

    /// Canonical: a list of paths, or of long forms where the specification has them.
    mutating func envFiles(_ value: Value, _ path: Path) -> Value? {
        if isDocker { return strings(value, path) }
        let items = value.list ?? [value]
        var result: [Value] = []
        for (index, item) in items.enumerated() {
            let place = value.list == nil ? path : path.item(index)
            if item.entries != nil {
                guard var file = check(item, .object(FormShapes.envFile), place) else { continue }
                if let name = file["path"], let text = name.string {
                    file["path"] = Value(.string(resolve(text)), at: name.position)
                }
                result.append(file)
            } else if let name = check(item, .string, place), let text = name.string {
                result.append(Value(.string(resolve(text)), at: name.position))
            }
        }
        return Value(.list(result), at: value.position)
    }

    private func resolve(_ file: String) -> String {
        directory == projectDirectory ? file : FilePath.resolve(file, from: directory, home: home)
    }

    mutating func ulimits(_ value: Value, _ path: Path) -> Value? {
        guard let entries = value.entries else {
            mustBe([.mapping], value, path)
            return nil
        }
        var result: [Value.Entry] = []
        for var entry in entries {
            let place = path.key(entry.key)
            let isLong = entry.value.entries != nil
            let shape: Shape = isLong ? .object(FormShapes.ulimit) : .integer(isCast: true)
            guard let limit = check(entry.value, shape, place) else { continue }
            entry.value = limit
            result.append(entry)
        }
        return Value(.map(result), at: value.position)
    }

    mutating func external(_ value: Value, _ path: Path) -> Value? {
        let isFile = path.keys.first == "secrets" || path.keys.first == "configs"
        let shape = isFile ? FormShapes.fileExternal : FormShapes.external
        if value.entries != nil { return check(value, .object(shape), path) }
        return boolean(value, path)
    }

    mutating func build(_ value: Value, _ path: Path) -> Value? {
        if value.string != nil { return made("context", value.content, value) }
        guard let entries = value.entries else {
            mustBe([.string], value, path)
            return nil
        }
        if isDocker {
            if let size = value["shm_size"], size.string == nil && size.wholeNumber == nil {
                mustBe([.integer, .string], size, path.key("shm_size"))
            }
            return check(value, .object(FormShapes.build), path)
        }
        // The whole has no meaning in a swarm, so that nothing more is said of its parts.
        let checked = entries.compactMap { entry in
            var entry = entry
            let shape = FormShapes.build[entry.key]?.shape ?? .anything
            guard let part = check(entry.value, shape, path.key(entry.key)) else { return nil as Value.Entry? }
            entry.value = part
            return entry
        }
        return Value(.map(checked), at: value.position)
    }

    mutating func extends(_ value: Value, _ path: Path) -> Value? {
        if value.string != nil { return made("service", value.content, value) }
        return check(value, .object(FormShapes.extends), path)
    }

    mutating func includes(_ value: Value, _ path: Path) -> Value? {
        guard let items = value.list else {
            mustBe([.list], value, path)
            return nil
        }
        var result: [Value] = []
        for (index, item) in items.enumerated() {
            let place = path.item(index)
            if item.string != nil {
                guard let name = check(item, .string, place) else { continue }
                result.append(made("path", .list([name]), name))
            } else if let include = check(item, .object(FormShapes.include), place) {
                result.append(include)
            }
        }
        return Value(.list(result), at: value.position)
    }
}
