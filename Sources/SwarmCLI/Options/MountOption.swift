package import SwarmCore
package import SwarmModel

/// `--mount type=…,source=…,target=…,…`.
package enum MountOption {
    private static let recursion = ["enabled", "disabled", "writable", "readonly"]
    /// Which type each kind of key belongs to.
    private static let owners: [(prefix: String, type: String)] = [
        ("bind-", "bind"), ("volume-", "volume"), ("image-", "image"), ("tmpfs-", "tmpfs"),
    ]
    /// Keys that stand for true when written alone.
    private static let switches: Set<String> = [
        "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src",
    ]

    package static func parse(_ text: String) throws(SwarmError) -> Mount {
        var mount = Mount(type: "volume")
        var keys: [String] = []
        for field in try CommaFields.parse(text) {
            let (written, given) = field.keyAndValue
            let key = written.lowercased()
            guard let value = given ?? (switches.contains(key) ? "true" : nil) else {
                throw SwarmError(.invalidArgument, "invalid field '\(field)' must be a key=value pair")
            }
            try set(key, value, of: &mount)
            keys.append(key)
        }
        try check(mount, keys)
        return mount
    }

    private static func set(_ key: String, _ value: String, of mount: inout Mount) throws(SwarmError) {
        switch key {
        case "type":
            // The engine knows which types there are.
            mount.type = value.lowercased()
        case "source", "src": mount.source = value
        case "target", "dst", "destination": mount.target = value
        case "readonly", "ro": mount.readOnly = try flag(key, value) ? true : nil
        case "consistency": mount.consistency = value.lowercased()
        case let key where key.hasPrefix("bind-"): try setBind(key, value, of: &mount)
        case let key where key.hasPrefix("volume-"): try setVolume(key, value, of: &mount)
        case "image-subpath": mount.imageOptions = ImageOptions(subpath: value)
        case "tmpfs-size":
            var options = mount.tmpfsOptions ?? TmpfsOptions()
            do { options.sizeBytes = try Size.bytes(value) } catch { throw invalid(key, value) }
            mount.tmpfsOptions = options
        case "tmpfs-mode":
            var options = mount.tmpfsOptions ?? TmpfsOptions()
            do { options.mode = try GoNumber.octal(value) } catch { throw invalid(key, value) }
            mount.tmpfsOptions = options
        default: throw SwarmError(.invalidArgument, "unexpected key '\(key)' in '\(key)=\(value)'")
        }
    }

    private static func setBind(_ key: String, _ value: String, of mount: inout Mount) throws(SwarmError) {
        var options = mount.bindOptions ?? BindOptions()
        switch key {
        case "bind-propagation":
            // The engine knows which there are.
            options.propagation = value.lowercased()
        case "bind-nonrecursive": options.nonRecursive = try flag(key, value) ? true : nil
        case "bind-create-src": options.createMountpoint = try flag(key, value) ? true : nil
        case "bind-recursive":
            guard recursion.contains(value) else {
                throw SwarmError(
                    .invalidArgument,
                    "invalid value for bind-recursive: \(value) "
                        + "(must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")")
            }
            options.nonRecursive = value == "disabled" ? true : nil
            options.readOnlyNonRecursive = value == "writable" ? true : nil
            options.readOnlyForceRecursive = value == "readonly" ? true : nil
        default: throw SwarmError(.invalidArgument, "unexpected key '\(key)' in '\(key)=\(value)'")
        }
        mount.bindOptions = options
    }

    private static func setVolume(_ key: String, _ value: String, of mount: inout Mount) throws(SwarmError) {
        var options = mount.volumeOptions ?? VolumeOptions()
        switch key {
        case "volume-subpath": options.subpath = value
        case "volume-nocopy": options.noCopy = try flag(key, value) ? true : nil
        case "volume-label":
            let (name, label) = value.keyAndValue
            options.labels = (options.labels ?? [:]).merging([name: label ?? ""]) { $1 }
        case "volume-driver":
            var driver = options.driverConfig ?? Driver()
            driver.name = value
            options.driverConfig = driver
        case "volume-opt":
            var driver = options.driverConfig ?? Driver()
            let (name, option) = value.keyAndValue
            driver.options = (driver.options ?? [:]).merging([name: option ?? ""]) { $1 }
            options.driverConfig = driver
        default: throw SwarmError(.invalidArgument, "unexpected key '\(key)' in '\(key)=\(value)'")
        }
        mount.volumeOptions = options
    }

    private static func check(_ mount: Mount, _ keys: [String]) throws(SwarmError) {
        let type = mount.type ?? "volume"
        guard mount.target?.isEmpty == false else { throw SwarmError(.invalidArgument, "target is required") }
        if let source = mount.source, type == "bind" || type == "volume", source.isEmpty {
            throw SwarmError(
                .invalidArgument,
                "source is empty: name a \(type == "bind" ? "path" : "volume") or leave it out")
        }
        for (prefix, owner) in owners where owner != type && keys.contains(where: { $0.hasPrefix(prefix) }) {
            throw SwarmError(.invalidArgument, "cannot mix '\(prefix)*' options with mount type '\(type)'")
        }
        if mount.bindOptions?.readOnlyForceRecursive == true {
            guard mount.readOnly == true else {
                throw SwarmError(
                    .invalidArgument,
                    "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
            }
            guard mount.bindOptions?.propagation == "rprivate" else {
                throw SwarmError(
                    .invalidArgument,
                    "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified "
                        + "in conjunction")
            }
        }
        if mount.bindOptions?.readOnlyNonRecursive == true, mount.readOnly != true {
            throw SwarmError(
                .invalidArgument,
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
        }
    }

    private static func flag(_ key: String, _ value: String) throws(SwarmError) -> Bool {
        do { return try GoNumber.bool(value) } catch { throw invalid(key, value) }
    }

    private static func invalid(_ key: String, _ value: String) -> SwarmError {
        SwarmError(.invalidArgument, "invalid value for \(key): \(value)")
    }
}
