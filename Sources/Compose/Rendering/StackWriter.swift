/// Prints a project as `docker stack config` does: keys in the client's order, without what says nothing.
enum StackWriter {
    static func write(_ document: Value, dialect: Dialect) -> String {
        YAMLWriter.write(StackWriter.arranged(document, dialect), isLikeGo: dialect == .docker)
    }

    /// The client's order of a service's keys, which is nearly the alphabet's.
    private static let serviceOrder: [String] = [
        "extends", "profiles", "build", "cap_add", "cap_drop", "cgroupns_mode", "cgroup_parent", "command",
        "configs",
        "container_name", "credential_spec", "depends_on", "deploy", "devices", "dns", "dns_search", "domainname",
        "entrypoint", "environment", "env_file", "expose", "external_links", "extra_hosts", "hostname",
        "healthcheck",
        "image", "init", "ipc", "isolation", "labels", "links", "logging", "mac_address", "network_mode",
        "networks",
        "pid", "ports", "privileged", "read_only", "restart", "secrets", "security_opt", "shm_size", "stdin_open",
        "stop_grace_period", "stop_signal", "sysctls", "tmpfs", "tty", "ulimits", "user", "userns_mode", "volumes",
        "working_dir",
    ]
    private static let serviceRank = Dictionary(
        uniqueKeysWithValues: serviceOrder.enumerated().map { ($1, $0) })

    private static func arranged(_ document: Value, _ dialect: Dialect) -> Value {
        var document = document
        let version = document["version"]?.string ?? ""
        if dialect == .docker && (version == "" || version == "3") {
            document["version"] = Value(.string("3.13"), at: document.position)
        }
        if document["services"] == nil { document["services"] = Value(.map([]), at: document.position) }
        let kept = members(document, TopShape.object, dialect, keepsEmpty: ["services"])
        return Value(.map(kept), at: document.position)
    }

    /// The entries worth printing, in order.
    private static func members(
        _ value: Value, _ shape: ObjectShape, _ dialect: Dialect, keepsEmpty: Set<String> = []
    ) -> [Value.Entry] {
        let isService = shape === ServiceShape.object
        func rank(_ key: String) -> Int {
            let extras = shape.rows.count + serviceOrder.count
            if isService { return serviceRank[key] ?? (shape.index[key].map { $0 + serviceOrder.count } ?? extras) }
            return shape.index[key] ?? extras
        }
        var kept: [Value.Entry] = []
        var value = value
        if shape === DeployShape.discreteResource {
            if value["kind"] == nil { value["kind"] = Value(.string(""), at: value.position) }
            if value["value"] == nil { value["value"] = Value(.integer(0), at: value.position) }
        }
        for var entry in value.entries ?? [] {
            guard let row = shape[entry.key] else {
                // The client forgets the extensions of networks and volumes that are not external.
                let isForgotten =
                    (shape === TopShape.network || shape === TopShape.volume) && value["external"]?.bool != true
                if dialect == .docker && isForgotten { continue }
                entry.value = sorted(entry.value)
                kept.append(entry)
                continue
            }
            if dialect == .docker && isService && entry.key == "oom_score_adj" { continue }
            guard let item = printed(entry.value, row.shape, dialect) else { continue }
            if !row.keepsZero && item.isZero(row.shape) && !keepsEmpty.contains(entry.key) { continue }
            entry.value = item
            kept.append(entry)
        }
        return kept.sorted { left, right in
            let (first, second) = (rank(left.key), rank(right.key))
            return first == second ? KeyOrder.isLess(left.key, right.key) : first < second
        }
    }

    private static func printed(_ value: Value, _ shape: Shape, _ dialect: Dialect) -> Value? {
        var value = value
        func object(_ shape: ObjectShape) { value.content = .map(members(value, shape, dialect)) }
        switch shape {
        case .object(let inner): if value.entries != nil { object(inner) }
        case .orNull(let inner):
            if value.isNull {
                // A network or volume of which nothing is said is an empty object; an attachment stays null.
                if case .object(let shape) = inner, shape === FormShapes.attachment { return value }
                value.content = .map([])
                return value
            }
            return printed(value, inner, dialect)
        case .map(let inner, _):
            value.content = .map(
                (value.entries ?? []).compactMap { entry in
                    var entry = entry
                    guard let item = printed(entry.value, inner, dialect) else { return nil }
                    entry.value = item
                    return entry
                }.sorted { KeyOrder.isLess($0.key, $1.key) })
        case .list(let inner, _): items(&value, inner, dialect)
        case .ports: items(&value, .object(FormShapes.port), dialect)
        case .mounts: items(&value, .object(FormShapes.mount), dialect)
        case .fileReferences: items(&value, .object(FormShapes.fileReference), dialect)
        case .attachments: return printed(value, .map(.orNull(.object(FormShapes.attachment)), .name), dialect)
        case .build: object(FormShapes.build)
        case .ulimits:
            value.content = .map(
                (value.entries ?? []).map { entry in
                    var entry = entry
                    // The client prints a zero as an object without members, which it would not read back.
                    guard dialect == .docker else { return entry }
                    if entry.value.entries != nil {
                        entry.value.content = .map(members(entry.value, FormShapes.ulimit, dialect))
                    } else if entry.value.isZero(.integer(isCast: true)) {
                        entry.value.content = .map([])
                    }
                    return entry
                }.sorted { KeyOrder.isLess($0.key, $1.key) })
        case .number:
            if let number = value.wholeNumber { value.content = .integer(number) }
        default: return sorted(value)
        }
        return value
    }

    private static func items(_ value: inout Value, _ shape: Shape, _ dialect: Dialect) {
        value.content = .list((value.list ?? []).compactMap { printed($0, shape, dialect) })
    }

    private static func sorted(_ value: Value) -> Value {
        var value = value
        switch value.content {
        case .map(let entries):
            value.content = .map(
                entries.map { entry in
                    var entry = entry
                    entry.value = sorted(entry.value)
                    return entry
                }.sorted { KeyOrder.isLess($0.key, $1.key) })
        case .list(let items): value.content = .list(items.map(sorted))
        default: break
        }
        return value
    }
}

extension Value {
    /// Whether Go would take the value of a shape for its type's zero.
    func isZero(_ shape: Shape) -> Bool {
        switch content {
        case .null: return true
        case .bool(let flag): return !flag
        case .integer(let number): return number == 0
        case .float(let number): return number == 0
        case .string(let text):
            switch shape {
            case .duration: return text == "0s"
            case .size: return text == "0"
            default: return text.isEmpty
            }
        case .list(let items): return items.isEmpty
        case .map(let entries): return entries.isEmpty
        }
    }
}

/// The order in which go-yaml prints a map's keys: numbers within by their size, letters after all else.
enum KeyOrder {
    static func isLess(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.unicodeScalars), Array(right.unicodeScalars))
        var isAfterDigit = false
        for index in 0..<min(left.count, right.count) {
            let (one, other) = (left[index], right[index])
            if one == other {
                isAfterDigit = isDigit(one)
                continue
            }
            let (oneIsLetter, otherIsLetter) = (one.properties.isAlphabetic, other.properties.isAlphabetic)
            if oneIsLetter && otherIsLetter { return one < other }
            if oneIsLetter || otherIsLetter { return isAfterDigit ? oneIsLetter : otherIsLetter }
            let before = left[..<index].reversed().prefix(while: isDigit)
            let continuesNumber = (one == "0" || other == "0") && before.contains { $0 != "0" }
            let (first, firstLength) = number(left[index...], from: continuesNumber ? 1 : 0)
            let (second, secondLength) = number(right[index...], from: continuesNumber ? 1 : 0)
            if first != second { return first < second }
            if firstLength != secondLength { return firstLength < secondLength }
            return one < other
        }
        return left.count < right.count
    }

    private static func isDigit(_ scalar: UnicodeScalar) -> Bool {
        scalar.properties.generalCategory == .decimalNumber
    }

    private static func number(_ scalars: ArraySlice<UnicodeScalar>, from start: Int64) -> (Int64, Int) {
        let digits = scalars.prefix(while: isDigit)
        let value = digits.reduce(start) { $0 &* 10 &+ Int64($1.value) &- 48 }
        return (value, digits.count)
    }
}
