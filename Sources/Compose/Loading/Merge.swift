/// Lays one file's tree over another's; both are in canonical form.
struct Merge {
    let dialect: Dialect

    /// Two files' trees.
    func files(_ base: Value, _ over: Value) -> Value {
        guard dialect == .docker else { return object(base, over, TopShape.object) }
        var result = base
        for entry in over.entries ?? [] {
            switch entry.key {
            case "services":
                result[entry.key] = base[entry.key].map { services($0, entry.value) } ?? entry.value
            case "networks", "volumes", "secrets", "configs":
                result[entry.key] = replaced(base[entry.key], entry.value)
            default: continue
            }
        }
        return result
    }

    /// Docker's: what both have is the later's as a whole.
    private func replaced(_ base: Value?, _ over: Value) -> Value {
        guard var result = base else { return over }
        for entry in over.entries ?? [] { result[entry.key] = entry.value }
        return result
    }

    private func services(_ base: Value, _ over: Value) -> Value {
        keyed(base, over) { service($0, $1) }
    }

    /// Two services, as for two files and for `extends`.
    func service(_ base: Value, _ over: Value) -> Value {
        var result = object(base, over, ServiceShape.object)
        guard dialect == .docker else { return result }
        // Docker sorts what it merges by key, even where the later file says nothing of it.
        for (key, field) in [
            ("ports", "published"), ("volumes", "target"), ("secrets", "source"), ("configs", "source"),
        ] {
            if let items = result[key], base[key]?.isZero(.ports) == false {
                result[key] = unique(items, by: field)
            }
        }
        return result
    }

    // MARK: By shape

    private func object(_ base: Value, _ over: Value, _ shape: ObjectShape) -> Value {
        guard base.entries != nil, let entries = over.entries else { return over }
        var result = base
        for entry in entries {
            let row = shape[entry.key] ?? Row(key: entry.key, shape: .anything)
            if dialect == .specification {
                switch entry.value.directive {
                case .reset:
                    result[entry.key] = nil
                    continue
                case .override:
                    result[entry.key] = entry.value.withoutDirective
                    continue
                case nil: break
                }
            }
            guard let old = result[entry.key] else {
                append(entry, to: &result)
                continue
            }
            if let merged = value(old, entry.value, row) { result[entry.key] = merged }
        }
        return result
    }

    private func append(_ entry: Value.Entry, to result: inout Value) {
        result.content = .map((result.entries ?? []) + [entry])
    }

    /// Nil: the old value stands.
    private func value(_ base: Value, _ over: Value, _ row: Row) -> Value? {
        switch row.shape {
        case .object(let shape):
            return row.key == "logging" ? logging(base, over, shape) : object(base, over, shape)
        case .orNull(let inner):
            if over.isNull { return nil }
            if base.isNull { return over }
            return value(base, over, Row(key: row.key, shape: inner, keepsZero: row.keepsZero))
        case .map(let inner, _):
            return keyed(base, over) { value($0, $1, Row(key: "", shape: inner)) ?? $0 }
        case .keyValues(let isPointer): return keyValues(base, over, isPointer: isPointer && dialect == .docker)
        case .options:
            return row.key == "driver_opts" && dialect == .docker ? base : keyValues(base, over, isPointer: false)
        case .words: return dialect == .docker && over.isZero(row.shape) ? nil : over
        case .test: return dialect == .docker ? appended(base, over) : over
        case .ulimits: return keyed(base, over) { $1 }
        case .list, .strings, .hosts, .expose, .envFiles:
            return dialect == .docker ? appended(base, over) : withoutRepeats(appended(base, over))
        case .ports:
            return dialect == .docker
                ? appended(base, over) : unique(appended(base, over), byFields: Self.portFields)
        case .mounts:
            return dialect == .docker ? appended(base, over) : unique(appended(base, over), byFields: ["target"])
        case .fileReferences:
            return dialect == .docker
                ? appended(base, over) : unique(appended(base, over), byFields: ["target", "source"])
        case .attachments: return keyed(base, over) { attachment($0, $1) }
        case .dependencies: return dependencies(base, over)
        case .build: return object(base, over, FormShapes.build)
        case .anything, .includes: return anything(base, over)
        default:
            let overridesWithZero = dialect == .specification || (row.keepsZero && row.shape.isNumeric)
            return overridesWithZero || !over.isZero(row.shape) ? over : nil
        }
    }

    private static let portFields = ["host_ip", "target", "published", "protocol"]

    private func keyed(_ base: Value, _ over: Value, _ merge: (Value, Value) -> Value) -> Value {
        guard let old = base.entries, let new = over.entries else { return over }
        var entries = old
        var places = Dictionary(old.enumerated().map { ($1.key, $0) }) { first, _ in first }
        var dropped: Set<String> = []
        for var entry in new {
            if dialect == .specification && entry.value.directive == .reset {
                dropped.insert(entry.key)
                continue
            }
            dropped.remove(entry.key)
            let isOverride = dialect == .specification && entry.value.directive == .override
            entry.value = entry.value.withoutDirective
            if let place = places[entry.key] {
                entries[place].value = isOverride ? entry.value : merge(entries[place].value, entry.value)
            } else {
                places[entry.key] = entries.count
                entries.append(entry)
            }
        }
        return Value(.map(entries.filter { !dropped.contains($0.key) }), at: base.position)
    }

    /// - Parameter isPointer: whether an empty later value counts as none.
    private func keyValues(_ base: Value, _ over: Value, isPointer: Bool) -> Value {
        keyed(base, over) { isPointer && $1.isZero(.string) ? $0 : $1 }
    }

    private func logging(_ base: Value, _ over: Value, _ shape: ObjectShape) -> Value {
        guard let driver = over["driver"]?.string, let old = base["driver"]?.string, driver != old else {
            return object(base, over, shape)
        }
        return over
    }

    private func attachment(_ base: Value, _ over: Value) -> Value {
        if over.isNull { return base }
        if base.isNull { return over }
        guard dialect == .docker else { return object(base, over, FormShapes.attachment) }
        var result = base
        result["aliases"] = over["aliases"]
        for key in ["ipv4_address", "ipv6_address"] {
            if let value = over[key], !value.isZero(.string) { result[key] = value }
        }
        return result
    }

    private func dependencies(_ base: Value, _ over: Value) -> Value {
        if base.list != nil && over.list != nil {
            return dialect == .docker ? appended(base, over) : withoutRepeats(appended(base, over))
        }
        return keyed(Dependencies.mapping(base), Dependencies.mapping(over)) {
            object($0, $1, FormShapes.dependency)
        }
    }

    private func anything(_ base: Value, _ over: Value) -> Value {
        if base.entries != nil && over.entries != nil { return keyed(base, over) { anything($0, $1) } }
        if base.list != nil && over.list != nil { return appended(base, over) }
        return over
    }

    // MARK: Lists

    private func appended(_ base: Value, _ over: Value) -> Value {
        Value(.list((base.list ?? []) + (over.list ?? [])), at: base.position)
    }

    private func withoutRepeats(_ list: Value) -> Value {
        var seen: Set<String> = []
        return Value(.list((list.list ?? []).filter { seen.insert($0.fingerprint).inserted }), at: list.position)
    }

    /// The later of two items with equal fields stands, in the place of the earlier.
    private func unique(_ list: Value, byFields fields: [String]) -> Value {
        var items: [Value] = []
        var places: [String: Int] = [:]
        for item in list.list ?? [] {
            // A reference without a target is known by its source.
            let isReference = fields == ["target", "source"]
            let chosen = isReference ? [item["target"] == nil ? "source" : "target"] : fields
            let print = chosen.map { item[$0]?.fingerprint ?? "" }.joined(separator: "|")
            if let place = places[print] {
                items[place] = item
            } else {
                places[print] = items.count
                items.append(item)
            }
        }
        return Value(.list(items), at: list.position)
    }

    /// Docker's: the last of the items with an equal field, in the field's order.
    private func unique(_ list: Value, by field: String) -> Value {
        var last: [String: Value] = [:]
        for item in list.list ?? [] { last[item[field]?.text ?? ""] = item }
        let items =
            field == "published"
            ? last.values.sorted { ($0[field]?.integer ?? 0) < ($1[field]?.integer ?? 0) }
            : last.sorted { Array($0.key.utf8).lexicographicallyPrecedes(Array($1.key.utf8)) }.map(\.value)
        return Value(.list(items), at: list.position)
    }
}

extension Shape {
    var isNumeric: Bool {
        switch self {
        case .integer, .number, .truncated: true
        default: false
        }
    }
}

extension Value {
    var withoutDirective: Value { Value(content, at: position) }

    /// Without what `!reset` takes away, and without directives, when there is no earlier file to apply them to.
    var withoutDirectives: Value {
        var value = withoutDirective
        switch content {
        case .map(let entries):
            value.content = .map(
                entries.compactMap { entry in
                    if entry.value.directive == .reset { return nil }
                    var entry = entry
                    entry.value = entry.value.withoutDirectives
                    return entry
                })
        case .list(let items):
            value.content = .list(items.compactMap { $0.directive == .reset ? nil : $0.withoutDirectives })
        default: break
        }
        return value
    }
}

/// `depends_on` in either form.
enum Dependencies {
    /// The long form: each name with its `condition`.
    static func mapping(_ value: Value) -> Value {
        guard let names = value.list else { return value }
        let entries = names.compactMap { name -> Value.Entry? in
            guard let text = name.string else { return nil }
            let condition = Value.Entry(
                key: "condition", keyPosition: name.position,
                value: Value(.string("service_started"), at: name.position))
            return Value.Entry(
                key: text, keyPosition: name.position, value: Value(.map([condition]), at: name.position))
        }
        return Value(.map(entries), at: value.position)
    }
}
