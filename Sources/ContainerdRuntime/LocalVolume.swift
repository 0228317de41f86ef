import FoundationEssentials
import Glibc
import SwarmCore

/// What `volume-opt=type=…,device=…,o=…` asks of Docker's local driver: a mount(2) on the volume's directory.
struct LocalVolumeOptions: Codable, Sendable, Equatable {
    var type: String
    var device: String
    /// As `mount -o` takes them.
    var options: String

    /// - Returns: nil for a plain directory.
    /// - Throws: Docker's words for options that the driver does not take.
    init?(_ options: [String: String], volume: String) throws(SwarmError) {
        func refusal(_ words: String) -> SwarmError { SwarmError(.invalidArgument, "create \(volume): \(words)") }
        for name in options.keys.sorted() where !["type", "device", "o", "size"].contains(name) {
            throw refusal("invalid option: \"\(name)\"")
        }
        guard options["size"] == nil else { throw refusal("quota size requested but no quota support") }
        guard !options.isEmpty else { return nil }
        for name in ["device", "type"] where options[name] == nil {
            throw refusal("missing required option: \"\(name)\"")
        }
        (type, device, self.options) = (options["type"] ?? "", options["device"] ?? "", options["o"] ?? "")
    }

    /// Flags of mount(2) by the names of mount(8); a cleared flag is the default.
    private static let flags: [String: (bits: Int, isCleared: Bool)] = [
        "defaults": (0, false), "ro": (MS_RDONLY, false), "rw": (MS_RDONLY, true), "suid": (MS_NOSUID, true),
        "nosuid": (MS_NOSUID, false), "dev": (MS_NODEV, true), "nodev": (MS_NODEV, false),
        "exec": (MS_NOEXEC, true), "noexec": (MS_NOEXEC, false), "sync": (MS_SYNCHRONOUS, false),
        "async": (MS_SYNCHRONOUS, true), "dirsync": (MS_DIRSYNC, false), "mand": (MS_MANDLOCK, false),
        "nomand": (MS_MANDLOCK, true), "atime": (MS_NOATIME, true), "noatime": (MS_NOATIME, false),
        "diratime": (MS_NODIRATIME, true), "nodiratime": (MS_NODIRATIME, false), "bind": (MS_BIND, false),
        "rbind": (MS_BIND | MS_REC, false), "relatime": (MS_RELATIME, false), "norelatime": (MS_RELATIME, true),
        "strictatime": (MS_STRICTATIME, false), "nostrictatime": (MS_STRICTATIME, true),
    ]
    private static let propagations: [String: Int] = [
        "private": MS_PRIVATE, "rprivate": MS_PRIVATE | MS_REC, "shared": MS_SHARED, "rshared": MS_SHARED | MS_REC,
        "slave": MS_SLAVE, "rslave": MS_SLAVE | MS_REC, "unbindable": MS_UNBINDABLE,
        "runbindable": MS_UNBINDABLE | MS_REC,
    ]

    /// What mount(2) takes: flags, how the mount is shared with others (0: as it comes), and the file system's own.
    var parsed: (flags: Int, propagation: Int, data: String) {
        var (flags, propagation, data) = (0, 0, [Substring]())
        for option in options.split(separator: ",") {
            if let flag = Self.flags[String(option)] {
                if flag.isCleared { flags &= ~flag.bits } else { flags |= flag.bits }
            } else if let bits = Self.propagations[String(option)] {
                propagation = bits
            } else {
                data.append(option)
            }
        }
        return (flags, propagation, data.joined(separator: ","))
    }

    /// Mounts over `path` unless that is done.
    func mount(on path: String) throws(SwarmError) {
        guard !MountTable.contains(path) else { return }
        let (flags, propagation, data) = parsed
        func attempt(_ flags: Int) throws(SwarmError) {
            guard unsafe Glibc.mount(device, path, type, UInt(flags), data) != 0 else { return }
            let words = SystemText.error(errno)
            let details = data.isEmpty ? "" : ", data: \(data)"
            throw RequestCheck.startFailure(
                "error while mounting volume '\(path)': failed to mount local volume: mount \(device):\(path), "
                    + "flags: 0x\(String(flags, radix: 16))\(details): \(words)")
        }
        try attempt(flags)
        // A bind takes its other flags only from a second look.
        let others = flags & ~(MS_BIND | MS_REC)
        do throws(SwarmError) {
            if flags & MS_BIND != 0, others != 0 { try attempt(flags | MS_REMOUNT) }
            if propagation != 0 { try attempt(propagation) }
        } catch {
            MountTable.clear(path)
            throw error
        }
    }
}

/// What is mounted where, as this process sees it.
enum MountTable {
    static func contains(_ path: String) -> Bool {
        guard let data = FileManager.default.contents(atPath: "/proc/self/mountinfo") else { return false }
        let marker = " " + path + " "
        return String(decoding: data, as: UTF8.self).split(separator: "\n").contains { $0.contains(marker) }
    }

    /// Takes every mount off `path`; containers that have it keep it.
    /// - Returns: whether the directory itself is bare.
    @discardableResult
    static func clear(_ path: String) -> Bool {
        for _ in 0..<mountsMax where unsafe umount2(path, Int32(MNT_DETACH)) != 0 { break }
        return !contains(path)
    }

    /// Mounts on top of one another that are taken off.
    private static let mountsMax = 16
}

enum SystemText {
    /// The kernel's error as Go prints it, with a small first letter.
    static func error(_ number: Int32) -> String {
        let text = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "errno \(number)"
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
