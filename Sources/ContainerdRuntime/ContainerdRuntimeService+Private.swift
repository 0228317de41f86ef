import FoundationEssentials
import Glibc
import Logging
import SwarmCore

/// The place of what must not lie on a disk and yet outlive swarmd: as long as the containers themselves can live.
extension ContainerdRuntimeService {
    var privateDirectory: String { configuration.runDirectory + "/private" }
    func privateDirectory(of id: String) -> String { privateDirectory + "/" + id }
    func privateFile(of id: String) -> String { privateDirectory(of: id) + "/record.json" }

    /// Makes it, on a tmpfs of its own, for the run directory may be on a disk; a former daemon's stays.
    func preparePrivateDirectory() throws(SwarmError) {
        try makeDirectory(privateDirectory)
        // A mount is another device than what it is mounted on.
        if FileIdentity(privateDirectory)?.device == FileIdentity(configuration.runDirectory)?.device {
            let flags = UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC)
            guard unsafe mount("tmpfs", privateDirectory, "tmpfs", flags, "mode=0700") == 0 else {
                throw SwarmError(.internal, "cannot mount a tmpfs on \(privateDirectory): errno \(errno)")
            }
        }
        guard unsafe chmod(privateDirectory, 0o700) == 0 else {
            throw SwarmError(.internal, "cannot set the mode of \(privateDirectory): errno \(errno)")
        }
    }

    func removePrivateDirectory() {
        MountTable.clear(privateDirectory)
        // Absence is what is wanted.
        try? FileManager.default.removeItem(atPath: privateDirectory)
    }

    /// A container's record, from both of its files.
    func readRecord(of id: String) -> ContainerRecord? {
        let path = directory(of: id) + "/record.json"
        guard let record = ContainerRecord.read(path, private: privateFile(of: id)) else { return nil }
        if !record.environment.isEmpty && !FileManager.default.fileExists(atPath: privateFile(of: id)) {
            divide(record, path)
        }
        return record
    }

    /// An older swarmd wrote everything into one file.
    private func divide(_ record: ContainerRecord, _ path: String) {
        do throws(SwarmError) {
            try makeDirectory(privateDirectory(of: record.id))
            try record.writePrivate(to: privateFile(of: record.id))
            try record.write(to: path)
        } catch {
            logger.warning("a container's record stays in one file", metadata: ["error": "\(error)"])
        }
    }
}
