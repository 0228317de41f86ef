import SwarmModel

/// A service's volumes.
extension Translation {
    mutating func mounts(_ key: String, _ value: Value) -> [Mount]? {
        var mounts: [Mount] = []
        for (index, item) in (value["volumes"]?.list ?? []).enumerated() {
            if let mount = mount(key, item, "volumes.\(index)") { mounts.append(mount) }
        }
        if !isDocker {
            for (index, item) in (value["tmpfs"]?.list ?? []).enumerated() {
                if let mount = tmpfs(key, item, "tmpfs.\(index)") { mounts.append(mount) }
            }
        }
        return mounts.isEmpty ? nil : mounts
    }

    private mutating func mount(_ key: String, _ item: Value, _ path: String) -> Mount? {
        let type = item["type"]?.string ?? ""
        let source = item["source"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        var mount = Mount(
            type: type, source: source, target: item["target"]?.string.flatMap { $0.isEmpty ? nil : $0 })
        mount.readOnly = item["read_only"]?.bool == true ? true : nil
        mount.consistency = item["consistency"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        guard areOptionsFitting(key, item, type, path) else { return nil }
        switch type {
        case "volume": return volume(item, mount)
        case "bind":
            if let bind = item["bind"] {
                mount.bindOptions = BindOptions(
                    propagation: bind["propagation"]?.string.flatMap { $0.isEmpty ? nil : $0 })
                // Only the specification's dialect keeps the key.
                if bind["create_host_path"]?.bool == true { mount.bindOptions?.createMountpoint = true }
            }
        case "tmpfs":
            guard source == nil else {
                refuse(key, item, path, "invalid tmpfs source, source must be empty")
                return nil
            }
            if let tmpfs = item["tmpfs"] {
                mount.tmpfsOptions = TmpfsOptions(
                    sizeBytes: tmpfs["size"]?.integer.flatMap { $0 == 0 ? nil : Int64(exactly: $0) },
                    mode: tmpfs["mode"]?.integer.flatMap { UInt32(exactly: $0) })
            }
        case "image":
            if let subpath = item["image"]?["subpath"]?.string {
                mount.imageOptions = ImageOptions(subpath: subpath)
            }
        case "npipe", "cluster":
            guard source != nil else {
                refuse(key, item, path, "invalid \(type) source, source cannot be empty")
                return nil
            }
            if type == "cluster", let source, !source.hasPrefix("group:") {
                mount.source = name(project.document["volumes"]?[source], key: source)
            }
        default:
            refuse(key, item, path, "volume type must be volume, bind, tmpfs, npipe, or cluster")
            return nil
        }
        return mount
    }

    /// Whether options of another type of mount are absent.
    private mutating func areOptionsFitting(_ key: String, _ item: Value, _ type: String, _ path: String) -> Bool {
        for options in ["bind", "volume", "tmpfs"] where options != type && item[options] != nil && type != "image"
        {
            // Docker lets `volume` options stand at a cluster volume.
            if type == "cluster" && options == "volume" && !isDocker { continue }
            refuse(
                key, item[options], "\(path).\(options)", "\(options) options are incompatible with type \(type)")
            return false
        }
        return true
    }

    private func volume(_ item: Value, _ mount: Mount) -> Mount {
        guard let source = mount.source else { return mount }
        var mount = mount
        let volume = project.document["volumes"]?[source]
        mount.source = name(volume, key: source)
        var options = VolumeOptions()
        options.noCopy = item["volume"]?["nocopy"]?.bool == true ? true : nil
        options.subpath = item["volume"]?["subpath"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        if !isExternal(volume) {
            options.labels = labels(volume?["labels"])
            options.driverConfig = driver(volume?["driver"], volume?["driver_opts"])
        }
        mount.volumeOptions = options
        return mount
    }

    /// The short form `TARGET[:OPTION,…]`, which Docker passes over in a stack.
    private mutating func tmpfs(_ key: String, _ item: Value, _ path: String) -> Mount? {
        let parts = (item.string ?? "").split(separator: ":", maxSplits: 1).map(String.init)
        guard let target = parts.first else {
            refuse(key, item, path, "names no directory")
            return nil
        }
        var mount = Mount(type: "tmpfs", target: target)
        guard parts.count == 2 else { return mount }
        var options = TmpfsOptions()
        for option in parts[1].split(separator: ",") {
            let pair = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            switch pair[0] {
            case "size" where pair.count == 2:
                guard let bytes = ByteSize.parse(pair[1]) else {
                    refuse(key, item, path, "invalid size: '\(pair[1])'")
                    return nil
                }
                options.sizeBytes = bytes
            case "mode" where pair.count == 2:
                guard let mode = UInt32(pair[1], radix: 8) else {
                    refuse(key, item, path, "invalid mode: '\(pair[1])'")
                    return nil
                }
                options.mode = mode
            case "ro": mount.readOnly = true
            case "rw": mount.readOnly = nil
            default: options.options = (options.options ?? []) + [pair]
            }
        }
        if options != TmpfsOptions() { mount.tmpfsOptions = options }
        return mount
    }
}
