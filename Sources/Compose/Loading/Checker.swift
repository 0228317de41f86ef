/// Checks a file's tree against its shape, interpolates it, and brings it to canonical form.
struct Checker {
    let dialect: Dialect
    /// 3.x.
    let minorVersion: Int
    /// Where relative paths are taken from.
    let directory: String
    /// Where the project lies; relative paths of variables' files are kept as they are written there.
    let projectDirectory: String
    let home: String
    let interpolates: Bool
    var interpolation: Interpolation
    var findings = Findings()
    /// What Docker names in its two lines of warnings.
    var ignoredOptions: Set<String> = []
    var deprecatedOptions: [String: String] = [:]
    private var toldUnset: Set<String> = []

    init(
        _ options: StackOptions, minorVersion: Int, directory: String, projectDirectory: String,
        variables: [String: String]
    ) {
        dialect = options.dialect
        self.minorVersion = minorVersion
        self.directory = directory
        self.projectDirectory = projectDirectory
        home = options.home
        interpolates = options.interpolates
        interpolation = Interpolation(options.dialect, variables)
    }

    var isDocker: Bool { dialect == .docker }

    /// The canonical form; nil when there is nothing, or nothing usable.
    mutating func check(_ value: Value, _ shape: Shape, _ path: Path) -> Value? {
        if value.directive == .reset && !isDocker { return Value(.null, at: value.position, directive: .reset) }
        guard var value = interpolate(value, shape, path) else { return nil }
        let directive = isDocker ? nil : value.directive
        value.directive = nil
        if value.isNull, !isDocker, !Self.meansNull(shape) { return nil }
        var result = canonical(value, shape, path)
        result?.directive = directive
        return result
    }

    private static func meansNull(_ shape: Shape) -> Bool {
        switch shape {
        case .anything, .orNull: true
        default: false
        }
    }

    // Dispatch only, hence long.
    private mutating func canonical(_ value: Value, _ shape: Shape, _ path: Path) -> Value? {
        switch shape {
        case .anything: return anything(value, path)
        case .orNull(let inner): return value.isNull ? value : check(value, inner, path)
        case .string: return string(value, path)
        case .text: return text(value, path)
        case .boolean, .literalBoolean: return boolean(value, path)
        case .integer: return integer(value, path)
        case .number: return number(value, path)
        case .truncated: return truncated(value, path)
        case .duration: return duration(value, path)
        case .size: return size(value, path)
        case .cpus: return cpus(value, path)
        case .fileMode: return fileMode(value, path)
        case .choice(let choices): return choice(value, choices, path)
        case .list(let inner, let isUnique): return list(value, inner, isUnique: isUnique, path)
        case .strings: return strings(value, path)
        case .map(let inner, let rule): return map(value, inner, rule, path)
        case .object(let object): return self.object(value, object, path)
        case .words: return words(value, path)
        case .test: return test(value, path)
        case .keyValues(let nullIsKept): return keyValues(value, nullIsKept: nullIsKept, path)
        case .options(let allowsNull): return options(value, allowsNull: allowsNull, path)
        case .hosts: return hosts(value, path)
        case .expose: return expose(value, path)
        case .ports: return ports(value, path)
        case .mounts: return mounts(value, path)
        case .fileReferences: return fileReferences(value, path)
        case .attachments: return attachments(value, path)
        case .dependencies: return dependencies(value, path)
        case .envFiles: return envFiles(value, path)
        case .ulimits: return ulimits(value, path)
        case .external: return external(value, path)
        case .build: return build(value, path)
        case .extends: return extends(value, path)
        case .includes: return includes(value, path)
        }
    }

    // MARK: Words

    enum Kind: String { case string, integer, number, boolean, mapping, list, null }

    /// Tells that a value is of the wrong kind, in Docker's grammar where Docker is to be heard.
    mutating func mustBe(_ kinds: [Kind], _ value: Value, _ path: Path) {
        let names = kinds.map(\.rawValue)
        let list =
            names.count < 3
            ? names.joined(separator: " or ")
            : names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1]
        let article = !isDocker && kinds.first == .integer ? "an" : "a"
        let found = isDocker ? "" : ", not \(value.kindName)"
        findings.error(at: value.position, path: "\(path)", "must be \(article) \(list)\(found)")
    }

    mutating func refuse(_ value: Value, _ path: Path, _ message: String) {
        findings.error(at: value.position, path: "\(path)", message)
    }

    mutating func warn(_ value: Value, _ path: Path, _ message: String) {
        if !isDocker { findings.warn(at: value.position, path: "\(path)", message) }
    }

    // MARK: Interpolation

    private mutating func interpolate(_ value: Value, _ shape: Shape, _ path: Path) -> Value? {
        guard interpolates, let text = value.string else { return value }
        var value = value
        do throws(Interpolation.Problem) {
            let substituted = try interpolation.substitute(text)
            noteUnset(value, path)
            guard substituted != text else { return value }
            value.content = .string(substituted)
        } catch {
            let place = isDocker ? path.withBrackets : "\(path)"
            let quoted = error.message.contains("\"") ? error.message : "\"\(error.message)\""
            findings.error(
                at: value.position, path: isDocker ? "" : place,
                isDocker
                    ? "invalid interpolation format for \(place): \(quoted); "
                        + "you may need to escape any $ with another $"
                    : error.message)
            return nil
        }
        guard isDocker else { return value }
        return cast(value, shape, path)
    }

    private mutating func noteUnset(_ value: Value, _ path: Path) {
        guard !isDocker else { return }
        for name in interpolation.unset where toldUnset.insert(name).inserted {
            warn(value, path, "the variable \(name) is not set; it stands for an empty text")
        }
        if let name = interpolation.unbraced {
            warn(
                value, path,
                "docker stack deploy takes what follows $\(name) for a default; write ${\(name)} to be clear")
        }
        if interpolation.hasLoneDollar { warn(value, path, "a lone $ is kept as it is; write $$ to be clear") }
    }

    /// Docker makes numbers and booleans only of texts that interpolation changed.
    private mutating func cast(_ value: Value, _ shape: Shape, _ path: Path) -> Value? {
        var value = value
        let text = value.string ?? ""
        func refused(_ reason: String) -> Value? {
            findings.error(
                at: value.position,
                "error while interpolating \(path.withBrackets): failed to cast to expected type: "
                    + reason)
            return nil
        }
        switch shape {
        case .integer(isCast: true), .truncated(isCast: true), .fileMode:
            guard let number = Int64(text) else {
                return refused("strconv.Atoi: parsing \"\(text)\": invalid syntax")
            }
            value.content = .integer(Int128(number))
        case .number(isCast: true):
            guard let number = PlainScalar.float(text) else {
                return refused("strconv.ParseFloat: parsing \"\(text)\": invalid syntax")
            }
            value.content = .float(number)
        case .boolean, .external:
            guard let flag = Self.flag(text) else { return refused("invalid boolean: \(text)") }
            value.content = .bool(flag)
        default: break
        }
        return value
    }

    static func flag(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "true", "yes", "y", "on": true
        case "false", "no", "n", "off": false
        default: nil
        }
    }

    /// Interpolates all texts within, and otherwise leaves the value as it is.
    mutating func anything(_ value: Value, _ path: Path) -> Value? {
        var value = value
        switch value.content {
        case .list(let items):
            var result: [Value] = []
            for (index, item) in items.enumerated() {
                if let item = check(item, .anything, path.item(index)) { result.append(item) }
            }
            value.content = .list(result)
        case .map(let entries):
            value.content = .map(
                entries.compactMap { entry in
                    var entry = entry
                    guard let inner = check(entry.value, .anything, path.key(entry.key)) else { return nil }
                    entry.value = inner
                    return entry
                })
        default: break
        }
        return value
    }
}

extension Path {
    /// As Docker's interpolation names places: `services.web.ports.[]`.
    var withBrackets: String { keys.map { Int($0) == nil ? $0 : "[]" }.joined(separator: ".") }
}
