import FoundationEssentials
import Glibc
import Ports
import SwarmCore
import SwarmModel

/// Volumes of this node: directories, made on first use, that may be mounts of something else.
extension ContainerdRuntimeService {
    func volumeMount(
        _ name: String, isAnonymous: Bool = false, _ mount: Mount, _ target: String, lower: [String]
    ) throws(SwarmError) -> ResolvedMount {
        let options = try Self.checkVolume(name, mount)
        let data = volumeDirectory + "/" + name + "/_data"
        let isNew = !FileManager.default.fileExists(atPath: data)
        try makeDirectory(data)
        if isNew {
            let labels = isAnonymous ? [VolumeRecord.anonymousLabel: ""] : mount.volumeOptions?.labels ?? [:]
            let given = mount.volumeOptions?.driverConfig?.options ?? [:]
            try write(VolumeRecord(labels: labels, options: given), of: name)
            if let options { try write(options, of: name) }
        }
        if let options = storedOptions(of: name) {
            try options.mount(on: data)
        } else if isNew && mount.volumeOptions?.noCopy != true {
            // A new volume starts with what the image has at its place.
            for layer in lower.reversed() { try TreeCopy.merge(layer + "/" + target, into: data) }
        }
        let isReadOnly = mount.readOnly == true
        return ResolvedMount(
            specification: .init(
                destination: target, type: "bind", source: data,
                options: ["rbind"] + (isReadOnly ? ["ro"] : [])),
            description: ContainerMount(
                type: "volume", name: name, source: data, destination: target, isWritable: !isReadOnly))
    }

    private static func checkVolume(
        _ name: String, _ mount: Mount
    ) throws(SwarmError) -> LocalVolumeOptions? {
        try checkVolume(name, mount.volumeOptions?.driverConfig)
    }

    /// Docker's rule, which also keeps `.`, `..` and `_data` from being taken for volumes.
    static func isVolumeName(_ name: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        }
        return name.utf8.first.map(isAlphanumeric) == true
            && name.utf8.allSatisfy { isAlphanumeric($0) || [45, 46, 95].contains($0) }
    }

    /// - Throws: Docker's words for names, drivers and options that the local driver does not take.
    static func checkVolume(_ name: String, _ driver: Driver?) throws(SwarmError) -> LocalVolumeOptions? {
        guard isVolumeName(name) else {
            throw SwarmError(
                .invalidArgument,
                "create \(name): \"\(name)\" includes invalid characters for a local volume name, only "
                    + "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed")
        }
        if let driver = driver?.name, !driver.isEmpty, driver != "local" {
            throw SwarmError(
                .notFound, "create \(name): plugin \"\(driver)\" not found: only local volumes are here")
        }
        return try LocalVolumeOptions(driver?.options ?? [:], volume: name)
    }

    // MARK: Volumes that are mounts

    func optionsFile(of name: String) -> String { volumeDirectory + "/" + name + "/opts.json" }

    func write(_ options: LocalVolumeOptions, of name: String) throws(SwarmError) {
        try write(options, to: optionsFile(of: name))
    }

    func write(_ record: VolumeRecord, of name: String) throws(SwarmError) {
        try write(record, to: volumeDirectory + "/" + name + "/volume.json")
    }

    private func write(_ value: some Encodable, to path: String) throws(SwarmError) {
        do {
            try JSONEncoder().encode(value).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw SwarmError(.resourceExhausted, "cannot write \(path)", cause: "\(error)")
        }
    }

    private func storedOptions(of name: String) -> LocalVolumeOptions? {
        FileManager.default.contents(atPath: optionsFile(of: name)).flatMap {
            try? JSONDecoder().decode(LocalVolumeOptions.self, from: $0)
        }
    }

    /// A volume that is a mount of something else is one again, after a reboot or its last user's end.
    func remountVolume(_ name: String) throws(SwarmError) {
        guard let options = storedOptions(of: name) else { return }
        try options.mount(on: volumeDirectory + "/" + name + "/_data")
    }

    /// Unmounts those of a container's volumes that no other container has.
    func releaseVolumes(_ names: [String], of id: String) {
        let mounted = names.filter { !$0.isEmpty && !$0.contains("/") && storedOptions(of: $0) != nil }
        guard !mounted.isEmpty else { return }
        let others = Set(records.values.filter { $0.id != id }.flatMap { ($0.mounts ?? []).map(\.name) })
        for name in mounted where !others.contains(name) {
            MountTable.clear(volumeDirectory + "/" + name + "/_data")
        }
    }

    /// Removes anonymous volumes, but nothing through a mount.
    func removeVolumes(_ names: [String]) {
        for name in names where MountTable.clear(volumeDirectory + "/" + name + "/_data") {
            // Absence is what is wanted.
            try? FileManager.default.removeItem(atPath: volumeDirectory + "/" + name)
        }
    }
}
