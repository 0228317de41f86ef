import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// Puts a tar archive's files onto this machine.
///
/// No entry leaves the place it is copied to: names that climb are refused, and what a link of the archive points to is
/// never written through.
struct TarSink {
    /// What the archive's first name, its root, is called here; nil keeps it.
    let root: (folder: String, name: String?)
    let keepsOwners: Bool
    private var open: (descriptor: CInt, path: String, entry: TarEntry)?
    /// Folders get their modes last: one that forbids writing would keep its own files out.
    private var folders: [(path: String, entry: TarEntry)] = []
    private(set) var skipped: [String] = []
    private(set) var sizeBytes: Int64 = 0

    init(into folder: String, as name: String?, keepsOwners: Bool) {
        (root, self.keepsOwners) = ((folder: folder, name: name), keepsOwners)
    }

    mutating func receive(_ event: TarDecoder.Event) throws(SwarmError) {
        switch event {
        case .skipped(let name): skipped.append(name)
        case .data(let bytes):
            guard let file = open else { return }
            try LocalFile.write(bytes, to: file.descriptor, file.path)
            sizeBytes += Int64(bytes.count)
        case .entry(let entry):
            finishFile()
            try make(entry)
        }
    }

    mutating func finish() {
        finishFile()
        for folder in folders.reversed() { dress(folder.path, folder.entry, nil) }
    }

    /// Where an entry goes; nil for the root itself where that is there already.
    private func place(_ name: String) throws(SwarmError) -> String? {
        var parts = name.split(separator: "/").map(String.init)
        guard !parts.contains("..") else {
            throw SwarmError(.invalidArgument, "the archive has a name that leaves its place: \(name)")
        }
        if let renamed = root.name {
            guard !parts.isEmpty else { return nil }
            // An empty name puts what the root has into the folder itself.
            parts[0] = renamed
        }
        parts.removeAll { $0.isEmpty || $0 == "." }
        return parts.isEmpty ? nil : ([root.folder] + parts).joined(separator: "/")
    }

    private mutating func make(_ entry: TarEntry) throws(SwarmError) {
        guard let path = try place(entry.name) else { return }
        try refuseLinks(above: path)
        var about = stat()
        let isThere = unsafe lstat(path, &about) == 0
        let isFolder = isThere && about.st_mode & S_IFMT == S_IFDIR
        if entry.kind == .folder {
            guard isFolder || !isThere else {
                throw SwarmError(.conflict, "cannot copy a folder over a file: \(path)")
            }
            guard unsafe isFolder || mkdir(path, 0o700) == 0 else { throw failure("mkdir", path) }
            return folders.append((path, entry))
        }
        guard !isFolder else { throw SwarmError(.conflict, "cannot copy a file over a folder: \(path)") }
        if isThere { unsafe unlink(path) }
        switch entry.kind {
        case .folder: break
        case .file:
            let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW
            let descriptor = unsafe Glibc.open(path, flags, 0o600)
            guard descriptor >= 0 else { throw failure("open", path) }
            open = (descriptor, path, entry)
        case .symbolicLink:
            guard unsafe symlink(entry.target, path) == 0 else { throw failure("symlink", path) }
        case .hardLink:
            guard let other = try place(entry.target) else { return }
            try refuseLinks(above: other)
            guard unsafe link(other, path) == 0 else { throw failure("link", path) }
        }
    }

    /// A folder of the archive may not be a link, or what is under it would be somewhere else.
    private func refuseLinks(above path: String) throws(SwarmError) {
        let inner = path.dropFirst(root.folder.count).split(separator: "/").dropLast()
        var current = root.folder
        for part in inner {
            current += "/" + part
            var about = stat()
            guard unsafe lstat(current, &about) == 0, about.st_mode & S_IFMT == S_IFLNK else { continue }
            throw SwarmError(.conflict, "cannot copy through the link \(current)")
        }
    }

    private mutating func finishFile() {
        guard let file = open else { return }
        dress(file.path, file.entry, file.descriptor)
        close(file.descriptor)
        open = nil
    }

    /// Owner, mode and time. A file that cannot have its owner is still a copy.
    private func dress(_ path: String, _ entry: TarEntry, _ descriptor: CInt?) {
        if keepsOwners { _ = unsafe lchown(path, uid_t(clamping: entry.uid), gid_t(clamping: entry.gid)) }
        _ = unsafe chmod(path, mode_t(entry.mode & 0o7777))
        let time = timespec(tv_sec: Int(entry.modified), tv_nsec: 0)
        _ = unsafe utimensat(AT_FDCWD, path, [time, time], 0)
    }

    private func failure(_ call: String, _ path: String) -> SwarmError {
        SwarmError(.unknown, "\(call) \(path): \(LocalFile.reason(errno))")
    }
}
