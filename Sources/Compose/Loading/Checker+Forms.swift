/// What has a short and a long form.
extension Checker {
    private func make(_ text: String, _ value: Value) -> Value { Value(.string(text), at: value.position) }

    private func entry(_ key: String, _ content: Value.Content, _ value: Value) -> Value.Entry {
        Value.Entry(key: key, keyPosition: value.position, value: Value(content, at: value.position))
    }

    mutating func words(_ value: Value, _ path: Path) -> Value? {
        if let text = value.string {
            do throws(ShellWords.Problem) {
                return Value(.list(try ShellWords.split(text).map { make($0, value) }), at: value.position)
            } catch {
                refuse(value, path, error.message)
                return nil
            }
        }
        guard value.list != nil else {
            mustBe([.string], value, path)
            return nil
        }
        return list(value, .string, isUnique: false, path)
    }

    mutating func test(_ value: Value, _ path: Path) -> Value? {
        if value.string != nil { return Value(.list([make("CMD-SHELL", value), value]), at: value.position) }
        return words(value, path)
    }

    mutating func keyValues(_ value: Value, nullIsKept: Bool, _ path: Path) -> Value? {
        var result: [Value.Entry] = []
        var places: [String: Int] = [:]
        func set(_ entry: Value.Entry) {
            if let place = places[entry.key] {
                result[place] = entry
            } else {
                places[entry.key] = result.count
                result.append(entry)
            }
        }
        if value.list != nil {
            for item in list(value, .string, isUnique: true, path)?.list ?? [] {
                let parts = (item.string ?? "").split(
                    separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let text = parts.count == 2 ? String(parts[1]) : nil
                set(entry(String(parts[0]), text.map { .string($0) } ?? (nullIsKept ? .null : .string("")), item))
            }
        } else if let entries = value.entries {
            for var entry in entries {
                guard !(isDocker && entry.key.isEmpty) else {
                    notAllowed(entry, path)
                    continue
                }
                let place = path.key(entry.key)
                guard let item = keyValue(entry.value, place) else { continue }
                let isEmptied = item.isNull && !nullIsKept && item.directive == nil
                entry.value = isEmptied ? make("", item) : item
                set(entry)
            }
        } else {
            mustBe(isDocker ? [.mapping] : [.mapping, .list], value, path)
            return nil
        }
        return Value(.map(result), at: value.position)
    }

    private mutating func keyValue(_ value: Value, _ path: Path) -> Value? {
        guard let item = value.isNull ? value : check(value, .anything, path) else { return nil }
        if item.isNull { return item }
        guard let text = item.text, !(isDocker && item.bool != nil) else {
            mustBe([.string, .number, .null], value, path)
            return nil
        }
        return Value(.string(text), at: item.position, directive: item.directive)
    }

    mutating func options(_ value: Value, allowsNull: Bool, _ path: Path) -> Value? {
        guard let entries = value.entries else {
            mustBe([.mapping], value, path)
            return nil
        }
        var result: [Value.Entry] = []
        for var entry in entries {
            let place = path.key(entry.key)
            guard let item = entry.value.isNull ? entry.value : check(entry.value, .anything, place) else {
                continue
            }
            if item.isNull && (allowsNull || !isDocker) {
                entry.value = make("", item)
            } else if let text = item.text, !(isDocker && item.bool != nil) {
                entry.value = Value(.string(text), at: item.position, directive: item.directive)
            } else {
                mustBe(allowsNull ? [.string, .number, .null] : [.string, .number], item, place)
                continue
            }
            result.append(entry)
        }
        return Value(.map(result), at: value.position)
    }

    mutating func hosts(_ value: Value, _ path: Path) -> Value? {
        var result: [Value] = []
        func add(_ host: String, _ address: String, _ item: Value) {
            var address = address
            if address.hasPrefix("[") && address.hasSuffix("]") { address = String(address.dropFirst().dropLast()) }
            result.append(make("\(host):\(address)", item))
        }
        if value.list != nil {
            guard let items = list(value, .string, isUnique: true, path)?.list else { return nil }
            for (index, item) in items.enumerated() {
                let text = item.string ?? ""
                let mark = text.firstIndex(of: "=") ?? text.firstIndex(of: ":")
                guard let mark else {
                    warn(item, path.item(index), "has no address and is passed over: HOST=ADDRESS is meant")
                    continue
                }
                add(String(text[..<mark]), String(text[text.index(after: mark)...]), item)
            }
        } else if let entries = value.entries {
            for entry in entries.sorted(by: { $0.key < $1.key }) {
                let place = path.key(entry.key)
                let items = isDocker ? [entry.value] : entry.value.list ?? [entry.value]
                for item in items {
                    guard let item = keyValue(item, place), !item.isNull else { continue }
                    add(entry.key, item.text ?? "", item)
                }
            }
        } else {
            mustBe([.mapping], value, path)
            return nil
        }
        return Value(.list(result), at: value.position)
    }

    mutating func expose(_ value: Value, _ path: Path) -> Value? {
        guard let items = value.list else {
            mustBe([.list], value, path)
            return nil
        }
        checkUnique(items, value, path)
        var result: [Value] = []
        for (index, item) in items.enumerated() {
            guard let item = check(item, .anything, path.item(index)) else { continue }
            guard let text = item.text, item.bool == nil else {
                mustBe([.string, .number], item, path.item(index))
                continue
            }
            result.append(make(text, item))
        }
        return Value(.list(result), at: value.position)
    }

    mutating func ports(_ value: Value, _ path: Path) -> Value? {
        guard let items = value.list else {
            mustBe([.list], value, path)
            return nil
        }
        checkUnique(items, value, path)
        var result: [Value] = []
        for (index, item) in items.enumerated() {
            let place = path.item(index)
            if item.entries != nil {
                guard let port = check(item, .object(FormShapes.port), place) else { continue }
                result.append(longPort(port, place))
                continue
            }
            guard let item = check(item, .anything, place) else { continue }
            if let text = item.text, item.bool == nil {
                result += shortPorts(text, item, place)
            } else {
                mustBe(isDocker ? [.number] : [.number, .string, .mapping], item, place)
            }
            guard result.count <= StackLimits.portsMax else {
                refuse(item, path, "more than \(StackLimits.portsMax) ports")
                return nil
            }
        }
        return Value(.list(result), at: value.position)
    }

    private mutating func shortPorts(_ text: String, _ item: Value, _ path: Path) -> [Value] {
        guard let notation = PortNotation(text) else {
            refuse(
                item, path,
                isDocker
                    ? "Does not match format 'ports'" : "is no port such as 8080:80, 8000-8002:80-82/udp: \(text)")
            return []
        }
        if !notation.address.isEmpty {
            findings.warn(
                at: item.position, path: isDocker ? "" : "\(path)",
                isDocker
                    ? "ignoring IP-address (\(text)) service will listen on '0.0.0.0'"
                    : "the address \(notation.address) has no meaning in a swarm: a service's port is open on all of a "
                        + "node's addresses")
        }
        return notation.ports.map { port in
            var entries = [
                entry("mode", .string("ingress"), item), entry("target", .integer(Int128(port.target)), item),
            ]
            if port.published != 0 { entries.append(entry("published", .integer(Int128(port.published)), item)) }
            entries.append(entry("protocol", .string(notation.proto), item))
            return Value(.map(entries), at: item.position)
        }
    }

    private mutating func longPort(_ port: Value, _ path: Path) -> Value {
        if let address = port["host_ip"]?.string, !address.isEmpty, let value = port["host_ip"] {
            warn(
                value, path.key("host_ip"),
                "has no meaning in a swarm: a service's port is open on all of a node's addresses")
        }
        return port
    }

    mutating func mounts(_ value: Value, _ path: Path) -> Value? {
        guard let items = value.list else {
            mustBe([.list], value, path)
            return nil
        }
        if !isDocker { checkUnique(items, value, path) }
        var result: [Value] = []
        for (index, item) in items.enumerated() {
            let place = path.item(index)
            if item.entries != nil {
                if let mount = check(item, .object(FormShapes.mount), place) {
                    result.append(resolvingSource(of: mount, place))
                }
            } else if item.string != nil {
                guard let item = check(item, .string, place) else { continue }
                if let mount = shortMount(item, place) { result.append(resolvingSource(of: mount, place)) }
            } else {
                mustBe(isDocker ? [.string] : [.string, .mapping], item, place)
            }
        }
        return Value(.list(result), at: value.position)
    }

    private mutating func shortMount(_ item: Value, _ path: Path) -> Value? {
        let notation: MountNotation
        do throws(MountNotation.Problem) {
            notation = try MountNotation(item.string ?? "")
        } catch {
            refuse(item, path, error.message)
            return nil
        }
        var entries = [entry("type", .string(notation.type), item)]
        if !notation.source.isEmpty { entries.append(entry("source", .string(notation.source), item)) }
        entries.append(entry("target", .string(notation.target), item))
        if notation.isReadOnly { entries.append(entry("read_only", .bool(true), item)) }
        if let propagation = notation.propagation {
            entries.append(entry("bind", .map([entry("propagation", .string(propagation), item)]), item))
        }
        if notation.isNoCopy {
            entries.append(entry("volume", .map([entry("nocopy", .bool(true), item)]), item))
        }
        return Value(.map(entries), at: item.position)
    }

    /// Makes a bind mount's source absolute.
    private mutating func resolvingSource(of mount: Value, _ path: Path) -> Value {
        guard mount["type"]?.string == "bind" else { return mount }
        guard let source = mount["source"], let text = source.string, !text.isEmpty else {
            refuse(mount, path, "invalid mount config for type \"bind\": field Source must not be empty")
            return mount
        }
        var mount = mount
        if !MountNotation.isAbsoluteOnWindows(text) {
            mount["source"] = make(FilePath.resolve(text, from: directory, home: home), source)
        }
        return mount
    }
}
