package import SwarmCore
package import SwarmModel

/// `--network NAME` or `name=NAME,alias=A,driver-opt=k=v`.
package enum NetworkOption {
    package static func parse(_ text: String) throws(SwarmError) -> NetworkAttachmentConfig {
        guard text.contains("=") else {
            guard !text.isEmpty else {
                throw SwarmError(.invalidArgument, "network name/id is not specified")
            }
            return NetworkAttachmentConfig(target: text)
        }
        var network = NetworkAttachmentConfig()
        for field in try CommaFields.parse(text) {
            let (key, value) = field.keyAndValue
            guard let value else { throw SwarmError(.invalidArgument, "invalid field \(field)") }
            switch key.trimmed.lowercased() {
            case "name": network.target = value.trimmed
            case "alias": network.aliases = (network.aliases ?? []) + [value.trimmed]
            case "driver-opt":
                let (name, option) = value.keyAndValue
                guard let option else {
                    throw SwarmError(.invalidArgument, "invalid key value pair format in driver options")
                }
                network.driverOpts = (network.driverOpts ?? [:]).merging([name.lowercased(): option]) { $1 }
            // Accepted for containers; services have no fixed addresses.
            case "ip", "ip6", "mac-address", "link-local-ip", "gw-priority": continue
            case let other: throw SwarmError(.invalidArgument, "invalid field key \(other)")
            }
        }
        guard network.target?.isEmpty == false else {
            throw SwarmError(.invalidArgument, "network name/id is not specified")
        }
        return network
    }
}

/// `--secret` and `--config`: a name, or `source=…,target=…,uid=…,gid=…,mode=…`.
package struct FileReferenceOption: Sendable, Equatable {
    package var source: String
    package var file: ReferencedFile

    package init(source: String, file: ReferencedFile) { (self.source, self.file) = (source, file) }

    package static func parse(_ text: String) throws(SwarmError) -> FileReferenceOption {
        let fields = try CommaFields.parse(text)
        if fields.count == 1, !fields[0].contains("=") {
            return FileReferenceOption(source: fields[0], file: ReferencedFile(name: fields[0]))
        }
        var (source, file) = ("", ReferencedFile(name: ""))
        for field in fields {
            let (key, value) = field.keyAndValue
            guard let value else {
                throw SwarmError(.invalidArgument, "invalid field '\(field)' must be a key=value pair")
            }
            switch key.lowercased() {
            case "source", "src": source = value
            case "target": file.name = value
            case "uid": file.uid = value
            case "gid": file.gid = value
            case "mode":
                do { file.mode = try GoNumber.anyBase(value) } catch {
                    throw SwarmError(.invalidArgument, "invalid mode specified: \(error.message)")
                }
            default: throw SwarmError(.invalidArgument, "invalid field in secret request: \(key)")
            }
        }
        guard !source.isEmpty else { throw SwarmError(.invalidArgument, "source is required") }
        if file.name.isEmpty { file.name = source }
        return FileReferenceOption(source: source, file: file)
    }
}

/// `--placement-pref spread=node.labels.zone`.
package enum PlacementPreferenceOption {
    package static func parse(_ text: String) throws(SwarmError) -> PlacementPreference {
        let (strategy, descriptor) = text.keyAndValue
        guard let descriptor else {
            throw SwarmError(
                .invalidArgument, "placement preference must be of the format \"<strategy>=<arg>\"")
        }
        guard strategy == "spread" else {
            throw SwarmError(
                .invalidArgument, "unsupported placement preference \(strategy) (only spread is supported)")
        }
        return PlacementPreference(spread: SpreadOver(spreadDescriptor: descriptor))
    }
}

/// `--generic-resource kind=N`.
package enum GenericResourceOption {
    /// The form alone; what stands after the sign is read with the rest of the service.
    static let check: FlagCheck = { text throws(SwarmError) in
        guard text.filter({ $0 == "=" }).count == 1 else { throw malformed(text) }
    }

    private static func malformed(_ text: String) -> SwarmError {
        SwarmError(.invalidArgument, "invalid generic-resource format `\(text)` expected `name=value`")
    }

    package static func parse(_ text: String) throws(SwarmError) -> DiscreteGenericResource {
        let (kind, value) = text.keyAndValue
        guard let value, !kind.isEmpty, !value.isEmpty else { throw malformed(text) }
        guard let count = Int64(value) else {
            throw SwarmError(
                .invalidArgument,
                "invalid generic-resource request `\(text)`, Named Generic Resources is not supported "
                    + "for service create or update")
        }
        return DiscreteGenericResource(kind: kind, value: count)
    }
}

/// `--ulimit name=soft[:hard]`.
package enum UlimitOption {
    private static let names: Set<String> = [
        "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio",
        "rttime", "sigpending", "stack",
    ]

    package static func parse(_ text: String) throws(SwarmError) -> Ulimit {
        let (name, value) = text.keyAndValue
        guard let value, !value.isEmpty else {
            throw SwarmError(.invalidArgument, "invalid ulimit argument: \(text)")
        }
        guard names.contains(name) else { throw SwarmError(.invalidArgument, "invalid ulimit type: \(name)") }
        let parts = value.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2 else {
            throw SwarmError(
                .invalidArgument,
                "too many limit value arguments - \(value), can only have up to two, `soft[:hard]`")
        }
        let soft = try GoNumber.int(parts[0])
        let hard = parts.count == 2 ? try GoNumber.int(parts[1]) : soft
        guard hard == -1 || (soft != -1 && soft <= hard) else {
            throw SwarmError(
                .invalidArgument,
                "ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)")
        }
        return Ulimit(name: name, hard: hard, soft: soft)
    }
}

/// Short values that only need a check.
package enum OptionCheck {
    /// `name[:=]address`, stored as /etc/hosts lists it: the address first.
    package static func host(_ text: String) throws(SwarmError) -> String {
        let separator = text.firstIndex(of: "=") ?? text.firstIndex(of: ":")
        guard let separator, separator != text.startIndex else {
            throw SwarmError(.invalidArgument, "bad format for add-host: \"\(text)\"")
        }
        let name = String(text[..<separator])
        var address = String(text[text.index(after: separator)...])
        if address.hasPrefix("["), address.hasSuffix("]") { address = String(address.dropFirst().dropLast()) }
        guard address == "host-gateway" || IPv4Address(address) != nil || looksLikeIPv6(address) else {
            throw SwarmError(.invalidArgument, "invalid IP address in add-host: \"\(address)\"")
        }
        return "\(address) \(name)"
    }

    package static func address(_ text: String) throws(SwarmError) {
        guard IPv4Address(text) != nil || looksLikeIPv6(text) else {
            throw SwarmError(.invalidArgument, "IP address is not correctly formatted: \(text)")
        }
    }

    package static func label(_ text: String) throws(SwarmError) {
        let key = text.keyAndValue.key
        guard !key.isEmpty else {
            throw SwarmError(
                .invalidArgument,
                "invalid label '\(text)': empty name")
        }
        guard !key.contains(where: \.isWhitespace) else {
            throw SwarmError(.invalidArgument, "label '\(key)' contains whitespaces")
        }
    }

    package static func environment(_ text: String) throws(SwarmError) {
        guard !text.keyAndValue.key.isEmpty else {
            throw SwarmError(.invalidArgument, "invalid environment variable: \(text)")
        }
    }

    package static func sysctl(_ text: String) throws(SwarmError) {
        guard text.keyAndValue.value != nil, !text.keyAndValue.key.isEmpty else {
            throw SwarmError(.invalidArgument, "sysctl '\(text)' is not allowed: write key=value")
        }
    }

    package static func subnet(_ text: String) throws(SwarmError) {
        guard IPv4Subnet(text) != nil || (text.contains(":") && text.contains("/")) else {
            throw SwarmError(.invalidArgument, "invalid string being converted to CIDR: \(text)")
        }
    }

    /// A DNS search domain; `.` stands for none.
    package static func domain(_ text: String) throws(SwarmError) {
        let trimmed = text.trimmed
        let labels = trimmed.split(separator: ".", omittingEmptySubsequences: false)
        let isDomain = labels.allSatisfy { label in
            (1...63).contains(label.count)
                && label.utf8.allSatisfy {
                    $0 < 0x80
                        && (Character(UnicodeScalar($0)).isLetter || (0x30...0x39).contains($0) || $0 == 0x2d
                            || $0 == 0x5f)
                }
        }
        guard trimmed == "." || isDomain else {
            throw SwarmError(.invalidArgument, "\(text) is not a valid domain")
        }
    }

    static func looksLikeIPv6(_ text: String) -> Bool {
        let groups = text.split(separator: ":", omittingEmptySubsequences: false)
        return (3...8).contains(groups.count)
            && groups.allSatisfy { $0.count <= 4 && $0.allSatisfy(\.isHexDigit) }
    }
}

/// Reads `NAME=value` lines; a lone `NAME` takes the caller's own value.
package enum EnvironmentFile {
    package static func parse(_ text: String, named path: String) throws(SwarmError) -> [String] {
        var lines: [String] = []
        // A carriage return with its line feed is one character to Swift, and would split nowhere.
        let text = text.replacing("\r\n", with: "\n")
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var line = String(line)
            if index == 0, line.hasPrefix("\u{feff}") { line.removeFirst() }
            while line.first?.isWhitespace == true { line.removeFirst() }
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let key = line.keyAndValue.key
            guard !key.isEmpty else {
                throw SwarmError(
                    .invalidArgument,
                    "poorly formatted environment: no variable name on line '\(line)' of \(path)")
            }
            guard !key.contains(where: \.isWhitespace) else {
                throw SwarmError(
                    .invalidArgument,
                    "poorly formatted environment: variable '\(key)' contains whitespaces in \(path)")
            }
            lines.append(line)
        }
        return lines
    }

    /// Names without a value take the caller's, or stay bare for the node to leave out; of equal names only the last
    /// stays.
    /// - Parameter files: entries of files, where a name that the caller does not have is left out.
    package static func resolve(
        _ entries: [String], files: [String] = [], from environment: [String: String]
    ) -> [String] {
        let known = files.filter { $0.keyAndValue.value != nil || environment[$0] != nil }
        return resolve(known + entries, environment)
    }

    private static func resolve(_ entries: [String], _ environment: [String: String]) -> [String] {
        var resolved: [(key: String, entry: String)] = []
        for entry in entries {
            let (key, value) = entry.keyAndValue
            resolved.removeAll { $0.key == key }
            resolved.append((key: key, entry: (value ?? environment[key]).map { "\(key)=\($0)" } ?? key))
        }
        return resolved.map(\.entry)
    }
}
