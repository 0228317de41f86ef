import FoundationEssentials
import Glibc
package import Ports
package import SwarmCore
package import SwarmModel

/// What is remembered of a volume beside its directory.
struct VolumeRecord: Codable, Sendable {
    var labels: [String: String]
    /// As they were given; what the driver makes of them is in a file of its own.
    var options: [String: String]

    /// Docker's label of volumes that nobody named, which go with their container.
    static let anonymousLabel = "com.docker.volume.anonymous"
}

/// `docker volume …`: this node's volumes as objects.
extension ContainerdRuntimeService: VolumeStore {
    package func volumes() throws(SwarmError) -> [VolumeInfo] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: volumeDirectory)) ?? []
        return names.sorted().compactMap(volumeInfo)
    }

    package func volume(_ name: String) throws(SwarmError) -> VolumeInfo {
        guard let info = volumeInfo(name) else {
            throw SwarmError(.notFound, "get \(name): no such volume")
        }
        return info
    }

    /// - Returns: the volume of this name if there is one with the same options, as Docker does.
    package func createVolume(
        _ name: String?, driver: Driver?, labels: [String: String]
    ) throws(SwarmError) -> VolumeInfo {
        var (name, labels) = (name ?? "", labels)
        if name.isEmpty {
            var generator = SystemRandomNumberGenerator()
            name = (0..<4).map { _ in Identifier.hexadecimal(generator.next()) }.joined()
            labels[VolumeRecord.anonymousLabel] = ""
        }
        let options = try Self.checkVolume(name, driver)
        if let present = volumeInfo(name) {
            guard present.options == driver?.options ?? [:] || driver?.options == nil else {
                throw SwarmError(.conflict, "create \(name): volume already exists with other options")
            }
            return present
        }
        try makeDirectory(volumeDirectory + "/" + name + "/_data")
        try write(VolumeRecord(labels: labels, options: driver?.options ?? [:]), of: name)
        if let options { try write(options, of: name) }
        return try volume(name)
    }

    package func removeVolume(_ name: String, force: Bool) throws(SwarmError) {
        guard volumeInfo(name) != nil else {
            if force { return }
            throw SwarmError(.notFound, "get \(name): no such volume")
        }
        let users = volumeUsers(name)
        guard users.isEmpty else {
            throw SwarmError(.conflict, "remove \(name): volume is in use - [\(users.joined(separator: ", "))]")
        }
        removeVolumes([name])
        guard volumeInfo(name) == nil else {
            throw SwarmError(
                .resourceExhausted, "remove \(name): not all files below \(volumeDirectory)/\(name) can be removed")
        }
    }

    /// Containers that have the volume or are being given it.
    package func volumeUsers(_ name: String) -> [String] {
        let made = records.values.filter { ($0.mounts ?? []).contains { $0.name == name } }.map(\.id)
        return (made + volumesOfUnmade.filter { $0.value.contains(name) }.keys).sorted()
    }

    private func volumeInfo(_ name: String) -> VolumeInfo? {
        guard Self.isVolumeName(name) else { return nil }
        let directory = volumeDirectory + "/" + name
        var status = stat()
        guard unsafe stat(directory + "/_data", &status) == 0 else { return nil }
        let made = unsafe stat(directory, &status) == 0 ? Int64(status.st_mtim.tv_sec) : 0
        let record = FileManager.default.contents(atPath: directory + "/volume.json").flatMap {
            try? JSONDecoder().decode(VolumeRecord.self, from: $0)
        }
        return VolumeInfo(
            name: name, driver: "local", mountpoint: directory + "/_data",
            createdAt: Timestamp(nanoseconds: made.multipliedReportingOverflow(by: 1_000_000_000).partialValue),
            labels: record?.labels ?? [:], options: record?.options ?? [:])
    }
}
