/// One field of an object that is to become another.
package struct FieldChange: Sendable, Hashable, Encodable {
    /// Under Docker's names: `TaskTemplate.ContainerSpec.Env[MODE]`.
    package var path: String
    /// Nil: there was none.
    package var old: String?
    /// Nil: there will be none.
    package var new: String?

    enum CodingKeys: String, CodingKey { case path = "Path", old = "Old", new = "New" }
}

/// Compares objects field by field, where what is absent and what says nothing are the same.
enum SpecDifference {
    static func changes(from old: some Encodable, to new: some Encodable) -> [FieldChange] {
        var changes: [FieldChange] = []
        compare(SpecTree.make(old), SpecTree.make(new), "", &changes)
        return changes
    }

    /// Fields in which zero and nothing differ: nothing stands for a default that is not zero.
    private static let meaningfulZeros: Set<String> = [
        "Replicas", "MaxConcurrent", "TotalCompletions", "StopGracePeriod", "Parallelism",
    ]
    /// What distinguishes the items of a list of objects.
    private static let identities: [String: [String]] = [
        "Mounts": ["Target"], "Secrets": ["File.Name"], "Configs": ["File.Name"],
        "Networks": ["Target"], "Ports": ["TargetPort", "PublishedPort", "Protocol"], "Ulimits": ["Name"],
    ]
    /// Lists of `KEY=VALUE` texts.
    private static let assignments: Set<String> = ["Env"]
    /// Lists of texts in which order means nothing.
    private static let sets: Set<String> = ["CapabilityAdd", "CapabilityDrop", "Aliases", "Groups"]

    private static func isNothing(_ value: Value?, _ name: Substring, _ path: String) -> Bool {
        guard let value else { return true }
        switch value.content {
        case .null: return true
        case .bool(let flag): return !flag
        case .string(let text): return text.isEmpty
        case .integer(let number): return number == 0 && !isMeaningful(name, path)
        case .float(let number): return number == 0
        case .list(let items): return items.isEmpty
        case .map(let entries):
            // A mode is named by an object without members.
            if path.hasPrefix("Mode.") { return false }
            return entries.allSatisfy { isNothing($0.value, Substring($0.key), path + "." + $0.key) }
        }
    }

    private static func isMeaningful(_ name: Substring, _ path: String) -> Bool {
        meaningfulZeros.contains(String(name)) || path.hasSuffix("RestartPolicy.Delay")
            || path.hasSuffix("File.Mode")
    }

    private static func compare(_ old: Value?, _ new: Value?, _ path: String, _ changes: inout [FieldChange]) {
        let name = path.split(separator: ".").last ?? ""
        let (isOldNothing, isNewNothing) = (isNothing(old, name, path), isNothing(new, name, path))
        if isOldNothing && isNewNothing { return }
        let keys = Set((old?.entries ?? []).map(\.key) + (new?.entries ?? []).map(\.key)).sorted()
        if !keys.isEmpty {
            let isFree = ["Labels", "Options", "DriverOpts", "Sysctls", "AuxiliaryAddresses"].contains(String(name))
            for key in keys {
                let place = isFree ? "\(path)[\(key)]" : path.isEmpty ? key : "\(path).\(key)"
                if isFree {
                    note(old?[key], new?[key], place, &changes)
                } else {
                    compare(old?[key], new?[key], place, &changes)
                }
            }
            return
        }
        if let lists = lists(old, new) { return compare(lists.0, lists.1, String(name), path, &changes) }
        note(isOldNothing ? nil : old, isNewNothing ? nil : new, path, &changes)
    }

    private static func lists(_ old: Value?, _ new: Value?) -> ([Value], [Value])? {
        guard old?.list != nil || new?.list != nil else { return nil }
        return (old?.list ?? [], new?.list ?? [])
    }

    private static func compare(
        _ old: [Value], _ new: [Value], _ name: String, _ path: String, _ changes: inout [FieldChange]
    ) {
        if assignments.contains(name) {
            let (left, right) = (assigned(old), assigned(new))
            for key in Set(left.keys).union(right.keys).sorted() {
                note(left[key], right[key], "\(path)[\(key)]", &changes)
            }
        } else if let fields = identities[name], (old + new).allSatisfy({ $0.entries != nil }) {
            let (left, right) = (identified(old, fields), identified(new, fields))
            for key in Set(left.keys).union(right.keys).sorted() {
                compare(left[key], right[key], "\(path)[\(key)]", &changes)
            }
        } else {
            let isSet = sets.contains(name)
            let (left, right) = (isSet ? sorted(old) : old, isSet ? sorted(new) : new)
            let isSame = left.count == right.count && zip(left, right).allSatisfy { $0.hasSameContent(as: $1) }
            if !isSame {
                note(
                    old.isEmpty ? nil : Value(.list(old), at: old[0].position),
                    new.isEmpty ? nil : Value(.list(new), at: new[0].position), path, &changes)
            }
        }
    }

    private static func sorted(_ items: [Value]) -> [Value] { items.sorted { $0.fingerprint < $1.fingerprint } }

    private static func assigned(_ items: [Value]) -> [String: Value] {
        var result: [String: Value] = [:]
        for item in items {
            let parts = (item.string ?? "").split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let content: Value.Content = parts.count == 2 ? .string(String(parts[1])) : .null
            result[String(parts[0])] = Value(content, at: item.position)
        }
        return result
    }

    private static func identified(_ items: [Value], _ fields: [String]) -> [String: Value] {
        var result: [String: Value] = [:]
        for item in items {
            let parts = fields.map { field in
                field.split(separator: ".").reduce(item as Value?) { $0?[String($1)] }?.text ?? ""
            }
            var name = parts.filter { !$0.isEmpty }.joined(separator: ",")
            // Items alike in their identity are told apart by their order.
            while result[name] != nil { name += "+" }
            result[name] = item
        }
        return result
    }

    private static func note(_ old: Value?, _ new: Value?, _ path: String, _ changes: inout [FieldChange]) {
        let (left, right) = (old.map(text), new.map(text))
        if left != right { changes.append(FieldChange(path: path, old: left, new: right)) }
    }

    /// A value on one line.
    private static func text(_ value: Value) -> String {
        switch value.content {
        case .list(let items): "[" + items.map(text).joined(separator: ", ") + "]"
        case .map(let entries): "{" + entries.map { "\($0.key): \(text($0.value))" }.joined(separator: ", ") + "}"
        case .null: "null"
        default: value.text ?? ""
        }
    }
}
