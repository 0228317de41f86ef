import FoundationEssentials
import Glibc
import Ports
import SwarmCore
import SwarmModel

/// A mount for runc, and how it is described to users.
struct ResolvedMount: Sendable {
    var specification: OCISpecification.Mount
    /// nil for what swarmd adds by itself.
    var description: ContainerMount?
}

/// What a task's `--mount` options, its image's volumes and its secrets become.
extension ContainerdRuntimeService {
    /// - Returns: the mounts, and the names of the anonymous volumes made for them.
    func taskMounts(
        of request: ContainerRequest, _ image: ImageConfiguration, lower: [String]
    ) throws(SwarmError) -> ([ResolvedMount], [String]) {
        var mounts: [ResolvedMount] = []
        var anonymous: [String] = []
        func anonymousName(_ target: String) -> String {
            let name = String(ContentWriter.digest(of: Array("\(request.id) \(target)".utf8)).dropFirst(7))
            anonymous.append(name)
            return name
        }
        for mount in request.spec.mounts ?? [] {
            let target = mount.target ?? ""
            switch mount.type ?? "volume" {
            case "bind": mounts.append(try bindMount(mount, target))
            case "tmpfs": mounts.append(Self.temporaryMount(mount, target))
            case "volume":
                let named = mount.source.flatMap { $0.isEmpty ? nil : $0 }
                let name = named ?? anonymousName(target)
                mounts.append(try volumeMount(name, isAnonymous: named == nil, mount, target, lower: lower))
            case let type:
                throw SwarmError(
                    .invalidArgument, "invalid mount config for type \"\(type)\": not supported here")
            }
        }
        let taken = Set(mounts.map(\.specification.destination))
        for target in (image.volumes ?? [:]).keys.sorted() where !taken.contains(target) {
            mounts.append(try volumeMount(anonymousName(target), isAnonymous: true, Mount(), target, lower: lower))
        }
        for (index, file) in request.files.enumerated() {
            let source = secretDirectory(of: request.id) + "/\(index)"
            mounts.append(
                ResolvedMount(
                    specification: .init(
                        destination: file.path, type: "bind", source: source,
                        options: ["rbind", "rprivate", "ro"])))
        }
        return (mounts, anonymous)
    }

    private func bindMount(_ mount: Mount, _ target: String) throws(SwarmError) -> ResolvedMount {
        let source = mount.source ?? ""
        if !FileManager.default.fileExists(atPath: source) {
            guard mount.bindOptions?.createMountpoint == true else {
                throw SwarmError(
                    .invalidArgument,
                    "invalid mount config for type \"bind\": bind source path does not exist: \(source)")
            }
            try makeDirectory(source)
        }
        let propagation = mount.bindOptions?.propagation.flatMap { $0.isEmpty ? nil : $0 } ?? "rprivate"
        let recursion = mount.bindOptions?.nonRecursive == true ? "bind" : "rbind"
        let isReadOnly = mount.readOnly == true
        return ResolvedMount(
            specification: .init(
                destination: target, type: "bind", source: source,
                options: [recursion, propagation] + (isReadOnly ? ["ro"] : [])),
            description: ContainerMount(
                type: "bind", source: source, destination: target, isWritable: !isReadOnly,
                propagation: propagation))
    }

    private static func temporaryMount(_ mount: Mount, _ target: String) -> ResolvedMount {
        var options = ["noexec", "nosuid", "nodev", "rprivate"]
        if let size = mount.tmpfsOptions?.sizeBytes, size > 0 { options.append("size=\(size)") }
        if let mode = mount.tmpfsOptions?.mode, mode > 0 { options.append("mode=\(String(mode, radix: 8))") }
        for option in mount.tmpfsOptions?.options ?? [] {
            if option == ["exec"] { options.removeAll { $0 == "noexec" } }
            options.append(option.joined(separator: "="))
        }
        if mount.readOnly == true { options.append("ro") }
        return ResolvedMount(
            specification: .init(destination: target, type: "tmpfs", source: "tmpfs", options: options),
            description: ContainerMount(
                type: "tmpfs", source: "", destination: target, isWritable: mount.readOnly != true))
    }
}

/// Copies directories with owners, modes and times, as they are in an image's layers.
enum TreeCopy {
    /// Directories inside directories that are followed.
    private static let depthMax = 64
    private static let chunkBytes = 1 << 20

    /// Puts what is under `source` over what is under `target`; nothing happens when there is no such directory.
    static func merge(_ source: String, into target: String) throws(SwarmError) {
        var about = stat()
        guard unsafe lstat(source, &about) == 0, about.st_mode & S_IFMT == S_IFDIR else { return }
        try copyDirectory(source, about, to: target, depth: 0)
    }

    private static func failure(_ path: String) -> SwarmError {
        SwarmError(.resourceExhausted, "cannot copy \(path) from the image into a volume: errno \(errno)")
    }

    private static func copyDirectory(
        _ source: String, _ about: stat, to target: String, depth: Int
    ) throws(SwarmError) {
        guard depth < depthMax, let names = try? FileManager.default.contentsOfDirectory(atPath: source) else {
            throw failure(source)
        }
        guard unsafe mkdir(target, 0o755) == 0 || errno == EEXIST else { throw failure(source) }
        for name in names { try copy("\(source)/\(name)", to: "\(target)/\(name)", depth: depth + 1) }
        try adopt(about, target)
    }

    private static func copy(_ source: String, to target: String, depth: Int) throws(SwarmError) {
        var about = stat()
        guard unsafe lstat(source, &about) == 0 else { throw failure(source) }
        switch about.st_mode & S_IFMT {
        case S_IFDIR: return try copyDirectory(source, about, to: target, depth: depth)
        case S_IFCHR where about.st_rdev == 0:
            // overlayfs: deleted in this layer.
            try? FileManager.default.removeItem(atPath: target)
            return
        default: unsafe unlink(target)
        }
        switch about.st_mode & S_IFMT {
        case S_IFREG: try copyFile(source, to: target)
        case S_IFLNK:
            guard let destination = try? FileManager.default.destinationOfSymbolicLink(atPath: source),
                unsafe symlink(destination, target) == 0
            else { throw failure(source) }
        case S_IFIFO, S_IFCHR, S_IFBLK:
            guard unsafe mknod(target, about.st_mode, about.st_rdev) == 0 else { throw failure(source) }
        // A socket is nothing without its owner.
        default: return
        }
        try adopt(about, target)
    }

    private static func copyFile(_ source: String, to target: String) throws(SwarmError) {
        let input = unsafe open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard input >= 0 else { throw failure(source) }
        defer { close(input) }
        let output = unsafe open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw failure(source) }
        defer { close(output) }
        var offset: off_t = 0
        while true {
            let count = unsafe sendfile(output, input, &offset, chunkBytes)
            if count == 0 { return }
            guard count > 0 || errno == EINTR else { throw failure(source) }
        }
    }

    private static func adopt(_ about: stat, _ target: String) throws(SwarmError) {
        guard unsafe lchown(target, about.st_uid, about.st_gid) == 0 else { throw failure(target) }
        if about.st_mode & S_IFMT != S_IFLNK {
            guard unsafe chmod(target, about.st_mode & 0o7777) == 0 else { throw failure(target) }
        }
        let times = [about.st_atim, about.st_mtim]
        _ = unsafe utimensat(AT_FDCWD, target, times, AT_SYMLINK_NOFOLLOW)
    }
}
