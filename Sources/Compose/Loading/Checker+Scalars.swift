/// Scalars and plain collections.
extension Checker {
    mutating func string(_ value: Value, _ path: Path) -> Value? {
        if value.string != nil { return value }
        // What an unquoted number or boolean says as text is what it was written as, nearly always.
        if !isDocker, let text = value.text {
            warn(value, path, "\(value.kindName) is taken as the text \"\(text)\"; put it in quotes")
            return Value(.string(text), at: value.position)
        }
        mustBe([.string], value, path)
        return nil
    }

    mutating func text(_ value: Value, _ path: Path) -> Value? {
        guard let text = value.text, value.bool == nil else {
            mustBe([.number, .string], value, path)
            return nil
        }
        if isDocker && value.string == nil {
            refuse(value, path, "expected type 'string', got unconvertible type 'int', value: '\(text)'")
            return nil
        }
        return Value(.string(text), at: value.position)
    }

    mutating func boolean(_ value: Value, _ path: Path) -> Value? {
        if value.bool != nil { return value }
        if !isDocker, let flag = value.string.flatMap(Self.flag) { return Value(.bool(flag), at: value.position) }
        mustBe([.boolean], value, path)
        return nil
    }

    mutating func integer(_ value: Value, _ path: Path) -> Value? {
        if let number = value.wholeNumber, Int64(exactly: number) != nil {
            return Value(.integer(number), at: value.position)
        }
        if !isDocker, let number = value.string.flatMap({ Int64($0) }) {
            return Value(.integer(Int128(number)), at: value.position)
        }
        mustBe([.integer], value, path)
        return nil
    }

    mutating func number(_ value: Value, _ path: Path) -> Value? {
        if value.number != nil { return value }
        if !isDocker, let text = value.string {
            if let whole = Int64(text) { return Value(.integer(Int128(whole)), at: value.position) }
            if let number = PlainScalar.float(text) { return Value(.float(number), at: value.position) }
        }
        mustBe([.number], value, path)
        return nil
    }

    mutating func truncated(_ value: Value, _ path: Path) -> Value? {
        guard let number = number(value, path), let double = number.number else { return nil }
        guard let whole = Int64(exactly: double.rounded(.towardZero)) else {
            mustBe([.integer], value, path)
            return nil
        }
        if Double(whole) != double { warn(value, path, "only the whole part of \(GoNumber.format(double)) counts") }
        return Value(.integer(number.integer ?? Int128(whole)), at: value.position)
    }

    mutating func duration(_ value: Value, _ path: Path) -> Value? {
        guard let text = value.string else {
            mustBe([.string], value, path)
            return nil
        }
        guard let nanoseconds = GoDuration.parse(text, withDays: !isDocker) else {
            refuse(
                value, path, isDocker ? "Does not match format 'duration'" : "is no duration such as 1m30s: \(text)"
            )
            return nil
        }
        return Value(.string(GoDuration.format(nanoseconds)), at: value.position)
    }

    /// Docker takes text only, the specification a number of bytes as well; a mount's tmpfs is the other way round.
    mutating func size(_ value: Value, _ path: Path) -> Value? {
        let isTmpfs = path.keys.suffix(2).first == "tmpfs"
        if isTmpfs || !isDocker, let bytes = value.wholeNumber {
            guard bytes >= 0 && bytes <= Int128(Int64.max) else {
                refuse(value, path, "must be greater than or equal to 0")
                return nil
            }
            return Value(isTmpfs ? .integer(bytes) : .string("\(bytes)"), at: value.position)
        }
        guard let text = value.string, !(isTmpfs && isDocker) else {
            mustBe([isTmpfs && isDocker ? .integer : .string], value, path)
            return nil
        }
        guard let bytes = ByteSize.parse(text) else {
            refuse(value, path, "invalid size: '\(text)'")
            return nil
        }
        return Value(isTmpfs ? .integer(Int128(bytes)) : .string("\(bytes)"), at: value.position)
    }

    mutating func cpus(_ value: Value, _ path: Path) -> Value? {
        if !isDocker, value.number != nil, let text = value.text { return Value(.string(text), at: value.position) }
        guard value.string != nil else {
            mustBe([.string], value, path)
            return nil
        }
        return value
    }

    /// `0440` in YAML is octal already; as a text of three or four octal digits it is read as such.
    mutating func fileMode(_ value: Value, _ path: Path) -> Value? {
        if let number = value.wholeNumber, UInt32(exactly: number) != nil {
            return Value(.integer(number), at: value.position)
        }
        if !isDocker, let text = value.string {
            if (3...4).contains(text.utf8.count), let mode = Int128(text, radix: 8) {
                return Value(.integer(mode), at: value.position)
            }
            if let mode = UInt32(text) { return Value(.integer(Int128(mode)), at: value.position) }
        }
        mustBe([.number], value, path)
        return nil
    }

    mutating func choice(_ value: Value, _ choices: [String], _ path: Path) -> Value? {
        guard let text = value.string else {
            mustBe([.string], value, path)
            return nil
        }
        guard choices.contains(text) else {
            let list = choices.map { "\"\($0)\"" }.joined(separator: ", ")
            refuse(value, path, (isDocker ? "\(path) " : "") + "must be one of the following: \(list)")
            return nil
        }
        return value
    }

    // MARK: Collections

    mutating func list(_ value: Value, _ inner: Shape, isUnique: Bool, _ path: Path) -> Value? {
        guard let items = value.list else {
            mustBe([.list], value, path)
            return nil
        }
        if isUnique { checkUnique(items, value, path) }
        var result: [Value] = []
        for (index, item) in items.enumerated() {
            if item.isNull && !isDocker { continue }
            if let item = check(item, inner, path.item(index)) { result.append(item) }
        }
        return Value(.list(result), at: value.position)
    }

    mutating func checkUnique(_ items: [Value], _ value: Value, _ path: Path) {
        var places: [String: Int] = [:]
        for (index, item) in items.enumerated() {
            let print = item.fingerprint
            if let first = places[print] {
                findings.error(
                    at: item.position, path: "\(path)", "array items[\(first),\(index)] must be unique")
            } else {
                places[print] = index
            }
        }
    }

    mutating func strings(_ value: Value, _ path: Path) -> Value? {
        if value.list != nil { return list(value, .string, isUnique: true, path) }
        return string(value, path).map { Value(.list([$0]), at: value.position) }
    }

    mutating func map(_ value: Value, _ inner: Shape, _ rule: KeyRule, _ path: Path) -> Value? {
        guard let entries = value.entries else {
            mustBe([.mapping], value, path)
            return nil
        }
        var result: [Value.Entry] = []
        for var entry in entries {
            guard rule.allows(entry.key) else {
                notAllowed(entry, path)
                continue
            }
            let inPath = path.key(entry.key)
            guard let item = check(entry.value, inner, inPath) else {
                if entry.value.isNull && !isDocker {
                    findings.error(at: entry.keyPosition, path: "\(inPath)", "must be a mapping, not null")
                }
                continue
            }
            entry.value = item
            result.append(entry)
        }
        return Value(.map(result), at: value.position)
    }

    mutating func notAllowed(_ entry: Value.Entry, _ path: Path, hint: String = "") {
        findings.error(
            at: entry.keyPosition, path: "\(path)", "Additional property \(entry.key) is not allowed\(hint)")
    }

    mutating func object(_ value: Value, _ shape: ObjectShape, _ path: Path) -> Value? {
        guard let entries = value.entries else {
            mustBe([.mapping], value, path)
            return nil
        }
        var result: [Value.Entry] = []
        for var entry in entries {
            guard let row = row(entry, shape, path) else { continue }
            guard let item = check(entry.value, row.shape, path.key(entry.key)) else { continue }
            entry.value = item
            result.append(entry)
        }
        for key in shape.required where value[key] == nil {
            refuse(value, path, "\(key) is required")
        }
        return Value(.map(result), at: value.position)
    }

    /// The row that a key follows; nil when it is refused or passed over.
    private mutating func row(_ entry: Value.Entry, _ shape: ObjectShape, _ path: Path) -> Row? {
        guard let row = shape[entry.key] else {
            if entry.key.hasPrefix("x-") && (!isDocker || shape.extensionsSince.map { $0 <= minorVersion } ?? false)
            {
                return Row(key: entry.key, shape: .anything)
            }
            if shape.isOpenInDocker {
                // Docker interpolates what it does not know here, and passes over it, so a file may have it.
                _ = check(entry.value, .anything, path.key(entry.key))
                if !isDocker {
                    findings.warn(
                        at: entry.keyPosition, path: "\(path.key(entry.key))",
                        "is no key of this, and is passed over\(suggestion(entry.key, shape))")
                }
                return nil
            }
            notAllowed(entry, path, hint: isDocker ? "" : suggestion(entry.key, shape))
            return nil
        }
        let place = path.key(entry.key)
        guard isDocker else {
            if let why = row.meaningless {
                findings.warn(at: entry.keyPosition, path: "\(place)", "has no meaning in a swarm: \(why)")
            }
            return row
        }
        guard row.since <= minorVersion else {
            notAllowed(entry, path)
            return nil
        }
        switch row.docker {
        case .used: return row
        case .dropped: return shape.isOpenInDocker ? nil : row
        case .unknown:
            if shape.isOpenInDocker { return nil }
            notAllowed(entry, path)
            return nil
        case .ignored: ignoredOptions.insert(entry.key)
        case .deprecated(let hint): deprecatedOptions[entry.key] = hint
        case .forbidden(let hint):
            findings.error(
                at: entry.keyPosition, "Compose file contains unsupported options:\n\n\(entry.key): \(hint)")
            return nil
        }
        return row
    }

    private func suggestion(_ key: String, _ shape: ObjectShape) -> String {
        let plain = Self.folded(key)
        let near = shape.rows.map(\.key).first { known in
            let other = Self.folded(known)
            return plain == other || Self.distance(Array(plain.utf8), Array(other.utf8)) <= 2 && plain.count > 3
        }
        return near.map { "; is \($0) meant?" } ?? ""
    }

    private static func folded(_ key: String) -> String { key.lowercased().filter { $0 != "_" && $0 != "-" } }

    /// Levenshtein's, of short texts.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        guard left.count <= 64 else { return .max }
        var row = Array(0...right.count)
        for (i, byte) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<right.count {
                let cost = diagonal + (byte == right[j] ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(cost, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[right.count]
    }
}

extension Value {
    /// A text that equal values share.
    var fingerprint: String {
        switch content {
        case .null: "n"
        case .bool(let flag): "b\(flag)"
        case .integer(let number): "i\(number)"
        case .float(let number): Int128(exactly: number).map { "i\($0)" } ?? "f\(number)"
        case .string(let text): "s\(text.utf8.count):\(text)"
        case .list(let items): "[\(items.map(\.fingerprint).joined(separator: ","))]"
        case .map(let entries):
            "{\(entries.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value.fingerprint)" }.joined(separator: ","))}"
        }
    }
}
