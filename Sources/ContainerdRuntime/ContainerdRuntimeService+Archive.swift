import CLinux
import ContainerdAPI
import FoundationEssentials
import GRPCCore
import Glibc
package import Ports
package import SwarmCore
import SwarmModel
import SwiftProtobuf

/// Copying into containers and out of them, whether they run or not.
extension ContainerdRuntimeService {
    private func withTree<Value: Sendable>(
        of id: String, _ body: @Sendable (ContainerTree) async throws -> Value
    ) async throws(SwarmError) -> Value {
        guard let record = records[id] else { throw Self.noSuchContainer(id) }
        do {
            if let state = states[id], state.state == .running || state.state == .paused, let pid = state.pid
            {
                return try await body(ContainerTree(root: "/proc/\(pid)/root"))
            }
            let root = try await mountTree(of: record)
            defer { unmountTree(root) }
            return try await body(ContainerTree(root: root))
        } catch let error as SwarmError {
            throw error
        } catch {
            throw SwarmError(.unknown, "cannot copy from or to container \(id)", cause: "\(error)")
        }
    }

    /// Its file system with its volumes, for as long as it does not run.
    private func mountTree(of record: ContainerRecord) async throws(SwarmError) -> String {
        let root = configuration.runDirectory + "/trees/\(record.id)-\(UInt32.random(in: 0 ... .max))"
        try makeDirectory(root)
        let mounts = try await containerd("Snapshots.Mounts") {
            try await client.snapshots.mounts(
                .with { ($0.snapshotter, $0.key) = (ImageService.snapshotter, record.id) },
                options: ContainerdClient.quick
            ).mounts
        }
        for mount in mounts {
            let isBind = mount.type == "bind"
            let data = isBind ? "" : mount.options.filter { $0 != "rw" }.joined(separator: ",")
            let flags = isBind ? UInt(MS_BIND | MS_REC) : 0
            guard unsafe Glibc.mount(mount.source, root, mount.type, flags, data) == 0 else {
                let failure = errno
                unmountTree(root)
                throw SwarmError(
                    .internal, "cannot mount the file system of container \(record.id): errno \(failure)")
            }
        }
        let tree = ContainerTree(root: root)
        for mount in record.mounts ?? [] where mount.type != "tmpfs" {
            let place = unsafe clinux_open_beneath(root, mount.destination, ContainerTree.pathOnly, 0)
            // Its mount point is made when it is first started; nothing is hidden by it until then.
            guard place >= 0 else { continue }
            defer { close(place) }
            guard
                unsafe Glibc.mount(mount.source, "/proc/self/fd/\(place)", "", UInt(MS_BIND | MS_REC), nil)
                    == 0
            else {
                unmountTree(tree.root)
                throw SwarmError(.internal, "cannot mount \(mount.destination) of container \(record.id)")
            }
        }
        return root
    }

    /// A killed swarmd may have been copying.
    func removeTrees() {
        let base = configuration.runDirectory + "/trees"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: base)) ?? [] {
            unmountTree(base + "/" + name)
        }
    }

    private func unmountTree(_ root: String) {
        unsafe umount2(root, Int32(MNT_DETACH))
        // Only if it is empty: what is still mounted must not be emptied.
        unsafe rmdir(root)
    }

    package func pathStatus(_ containerID: String, _ path: String) async throws(SwarmError) -> PathStatus {
        try await withTree(of: containerID) { tree in try tree.status(path, container: containerID) }
    }

    package func readArchive(
        _ containerID: String, _ path: String, to deliver: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws(SwarmError) {
        try await withTree(of: containerID) { tree in
            try await tree.read(path, container: containerID, to: deliver)
        }
    }

    package func writeArchive(
        _ containerID: String, _ path: String, keepsKinds: Bool,
        _ archive: AsyncThrowingStream<[UInt8], any Error>
    ) async throws(SwarmError) {
        try await withTree(of: containerID) { tree in
            try await tree.write(path, container: containerID, keepsKinds: keepsKinds, archive)
        }
    }

    package func writtenBytes(_ containerID: String) async throws(SwarmError) -> Int64 {
        guard records[containerID] != nil else { throw Self.noSuchContainer(containerID) }
        let mounts = try await containerd("Snapshots.Mounts") {
            try await client.snapshots.mounts(
                .with { ($0.snapshotter, $0.key) = (ImageService.snapshotter, containerID) },
                options: ContainerdClient.quick
            ).mounts
        }
        // containerd counts directories and blocks, too; Docker's users know the size of the files alone.
        let prefix = "upperdir="
        let upper = mounts.flatMap(\.options).first { $0.hasPrefix(prefix) }?.dropFirst(prefix.count)
        return await Self.fileBytes(under: upper.map(String.init) ?? "")
    }

    /// Off this actor: a large tree takes its time.
    @concurrent private static func fileBytes(under path: String) async -> Int64 {
        guard !path.isEmpty else { return 0 }
        var (total, folders): (Int64, [String]) = (0, [path])
        while let folder = folders.popLast() {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
                let child = folder + "/" + name
                var about = stat()
                // What goes away meanwhile does not count.
                guard unsafe lstat(child, &about) == 0 else { continue }
                switch about.st_mode & S_IFMT {
                case S_IFDIR: folders.append(child)
                case S_IFREG: total += Int64(about.st_size)
                default: break
                }
            }
        }
        return total
    }
}

/// A container's file system as a tree: every path and every link in it stays below its root.
struct ContainerTree: Sendable {
    let root: String
    /// `O_PATH`, which Glibc's module hides.
    static let pathOnly: Int32 = 0o10_000_000
    private static let chunkBytes = 256 * 1024
    /// Directories inside directories that are followed.
    private static let depthMax = 512

    private static func notFound(_ path: String, _ container: String) -> SwarmError {
        SwarmError(.notFound, "Could not find the file \(path) in container \(container)")
    }

    private static func failure(_ what: String, _ path: String) -> SwarmError {
        SwarmError(
            errno == ENOSPC ? .resourceExhausted : .unknown,
            "cannot \(what) \(path): \(SystemText.error(errno))")
    }

    /// The directory that holds the path's last part, open, and that part; `.` for the root.
    private func parent(of path: String, container: String) throws(SwarmError) -> (
        descriptor: Int32, name: String
    ) {
        let parts = path.split(separator: "/").filter { $0 != "." }
        let name = parts.last.map(String.init) ?? "."
        let folder = "/" + parts.dropLast().joined(separator: "/")
        let isPlain = name != ".."
        let descriptor = unsafe clinux_open_beneath(root, isPlain ? folder : path, O_RDONLY | O_DIRECTORY, 0)
        guard descriptor >= 0 else { throw Self.notFound(path, container) }
        return (descriptor, isPlain ? name : ".")
    }

    func status(_ path: String, container: String) throws(SwarmError) -> PathStatus {
        let (folder, name) = try parent(of: path, container: container)
        defer { close(folder) }
        var about = stat()
        guard unsafe fstatat(folder, name, &about, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw Self.notFound(path, container)
        }
        let kind: PathStatus.Kind =
            switch about.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .symbolicLink
            default: .other
            }
        let modified = Int64(about.st_mtim.tv_sec) * 1_000_000_000 + Int64(about.st_mtim.tv_nsec)
        return PathStatus(
            name: name == "." ? "/" : name, size: Int64(about.st_size), kind: kind,
            permissions: UInt32(about.st_mode) & 0o7777, modified: Timestamp(nanoseconds: modified),
            target: kind == .symbolicLink ? Self.target(of: name, in: folder) : "")
    }

    private static func target(of name: String, in folder: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = unsafe readlinkat(folder, name, &buffer, buffer.count)
        return count > 0
            ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
    }

    // MARK: Out

    func read(
        _ path: String, container: String, to deliver: @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        let (folder, name) = try parent(of: path, container: container)
        defer { close(folder) }
        var about = stat()
        guard unsafe fstatat(folder, name, &about, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw Self.notFound(path, container)
        }
        // `directory/.` is what is in it, and not the directory under its name.
        let shown = path.hasSuffix("/.") || name == "." ? "." : name
        try await add(name, in: folder, as: shown, about, depth: 0, to: deliver)
        try await deliver(TarWriter.end)
    }

    private func add(
        _ name: String, in folder: Int32, as shown: String, _ about: stat, depth: Int,
        to deliver: @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        guard depth < Self.depthMax else {
            throw SwarmError(.invalidArgument, "\(shown) is too deep to be copied")
        }
        var entry = TarEntry(path: shown, kind: .file, size: 0)
        (entry.mode, entry.uid, entry.gid) = (UInt32(about.st_mode), about.st_uid, about.st_gid)
        entry.modified = Int64(about.st_mtim.tv_sec)
        switch about.st_mode & S_IFMT {
        case S_IFREG:
            let file = unsafe openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
            guard file >= 0 else { throw Self.failure("read", shown) }
            defer { close(file) }
            var now = stat()
            guard unsafe fstat(file, &now) == 0 else { throw Self.failure("read", shown) }
            entry.size = Int64(now.st_size)
            try await deliver(TarWriter.header(of: entry))
            try await copy(file, entry.size, shown, to: deliver)
        case S_IFDIR:
            entry.kind = .directory
            try await deliver(TarWriter.header(of: entry))
            let inner = unsafe openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard inner >= 0 else { throw Self.failure("read", shown) }
            defer { close(inner) }
            for child in try Self.names(in: inner, shown) {
                var about = stat()
                // Gone since it was listed.
                guard unsafe fstatat(inner, child, &about, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
                try await add(child, in: inner, as: shown + "/" + child, about, depth: depth + 1, to: deliver)
            }
        case S_IFLNK:
            entry.kind = .symbolicLink(Self.target(of: name, in: folder))
            try await deliver(TarWriter.header(of: entry))
        // Devices, pipes and sockets are nothing outside.
        default: break
        }
    }

    private static func names(in folder: Int32, _ shown: String) throws(SwarmError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd/\(folder)").sorted()
        } catch { throw failure("list", shown) }
    }

    /// Exactly as many bytes as the header says: a file that shrinks meanwhile is filled up, as tar does.
    private func copy(
        _ file: Int32, _ size: Int64, _ shown: String, to deliver: @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        var left = size
        var buffer = [UInt8](repeating: 0, count: Self.chunkBytes)
        while left > 0 {
            let wanted = Int(min(left, Int64(buffer.count)))
            let count = unsafe buffer.withUnsafeMutableBytes {
                unsafe Glibc.read(file, $0.baseAddress, wanted)
            }
            guard count >= 0 || errno == EINTR else { throw Self.failure("read", shown) }
            if count == 0 {
                try await deliver([UInt8](repeating: 0, count: wanted))
                left -= Int64(wanted)
            } else if count > 0 {
                try await deliver(Array(buffer.prefix(count)))
                left -= Int64(count)
            }
        }
        try await deliver(TarWriter.padding(size))
    }

    // MARK: In

    func write(
        _ path: String, container: String, keepsKinds: Bool,
        _ archive: AsyncThrowingStream<[UInt8], any Error>
    ) async throws {
        let place = unsafe clinux_open_beneath(root, path, ContainerTree.pathOnly, 0)
        guard place >= 0 else { throw Self.notFound(path, container) }
        var about = stat()
        let isDirectory = unsafe fstat(place, &about) == 0 && about.st_mode & S_IFMT == S_IFDIR
        close(place)
        guard isDirectory else { throw SwarmError(.invalidArgument, "extraction point is not a directory") }
        let reader = TarReader(
            Inflate.ifCompressed(archive), keepsLinks: true, entriesMax: TarReader.treeEntriesMax)
        let base = path.hasSuffix("/") ? path : path + "/"
        while let entry = try await reader.next() {
            guard !entry.path.isEmpty else { continue }
            try await put(entry, at: base + entry.path, base, keepsKinds, reader)
        }
    }

    private func put(
        _ entry: TarEntry, at path: String, _ base: String, _ keepsKinds: Bool, _ reader: TarReader
    ) async throws {
        let parts = path.split(separator: "/")
        let (folderPath, name) = ("/" + parts.dropLast().joined(separator: "/"), String(parts.last ?? "."))
        let folder = try openFolder(folderPath)
        defer { close(folder) }
        var about = stat()
        let isThere = unsafe fstatat(folder, name, &about, AT_SYMLINK_NOFOLLOW) == 0
        let isFolder = isThere && about.st_mode & S_IFMT == S_IFDIR
        if isThere, keepsKinds, isFolder != (entry.kind == .directory) {
            throw SwarmError(
                .invalidArgument,
                isFolder
                    ? "cannot overwrite directory \"\(path)\" with non-directory"
                    : "cannot overwrite non-directory \"\(path)\" with directory")
        }
        if isThere, !(isFolder && entry.kind == .directory) {
            guard unsafe unlinkat(folder, name, isFolder ? AT_REMOVEDIR : 0) == 0 else {
                throw Self.failure("replace", path)
            }
        }
        switch entry.kind {
        case .directory:
            guard unsafe mkdirat(folder, name, 0o700) == 0 || errno == EEXIST else {
                throw Self.failure("make", path)
            }
        case .file:
            let file = unsafe openat(
                folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
            guard file >= 0 else { throw Self.failure("make", path) }
            defer { close(file) }
            try await reader.read { bytes in try Self.fill(file, bytes, path) }
        case .symbolicLink(let target):
            guard unsafe symlinkat(target, folder, name) == 0 else { throw Self.failure("make", path) }
        case .link(let target):
            let source = unsafe clinux_open_beneath(root, base + target, Self.pathOnly | O_NOFOLLOW, 0)
            guard source >= 0 else { throw Self.failure("link to", base + target) }
            defer { close(source) }
            guard unsafe linkat(AT_FDCWD, "/proc/self/fd/\(source)", folder, name, AT_SYMLINK_FOLLOW) == 0
            else {
                throw Self.failure("link to", base + target)
            }
            return
        case .other: return
        }
        guard unsafe fchownat(folder, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw Self.failure("give an owner to", path)
        }
        if case .symbolicLink = entry.kind { return }
        guard unsafe fchmodat(folder, name, entry.mode & 0o7777, 0) == 0 else {
            throw Self.failure("set the mode of", path)
        }
        let time = timespec(tv_sec: Int(entry.modified), tv_nsec: 0)
        _ = unsafe utimensat(folder, name, [time, time], AT_SYMLINK_NOFOLLOW)
    }

    /// Makes what is missing on the way.
    private func openFolder(_ path: String) throws(SwarmError) -> Int32 {
        var folder = unsafe clinux_open_beneath(root, path, O_RDONLY | O_DIRECTORY, 0)
        guard folder < 0, errno == ENOENT else {
            guard folder >= 0 else { throw Self.failure("open", path) }
            return folder
        }
        let parts = path.split(separator: "/")
        guard let name = parts.last else { throw Self.failure("open", path) }
        let parent = try openFolder("/" + parts.dropLast().joined(separator: "/"))
        defer { close(parent) }
        guard unsafe mkdirat(parent, String(name), 0o755) == 0 || errno == EEXIST else {
            throw Self.failure("make", path)
        }
        folder = unsafe clinux_open_beneath(root, path, O_RDONLY | O_DIRECTORY, 0)
        guard folder >= 0 else { throw Self.failure("open", path) }
        return folder
    }

    private static func fill(_ file: Int32, _ bytes: [UInt8], _ path: String) throws(SwarmError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { throw failure("write", path) }
            rest = rest.dropFirst(max(0, count))
        }
    }
}
