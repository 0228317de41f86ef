import NIOCore
import NIOPosix
import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// A file or a folder of this machine as a tar archive, read only as fast as it is taken.
struct TarSource: AsyncSequence, Sendable {
    typealias Element = ByteBuffer
    typealias Failure = any Error

    /// How much of a file is read at once.
    private static let chunkBytes = 256 << 10

    fileprivate struct Item: Sendable {
        var path: String
        var entry: TarEntry
    }
    private let items: [Item]
    /// Of all files together.
    let sizeBytes: Int64

    /// - Parameters:
    ///   - name: what the file or folder is called in the archive; empty for what a folder has, without itself.
    ///   - keepsOwners: whether files keep their numbers; else they belong to root.
    init(_ path: String, named name: String, keepsOwners: Bool) throws(SwarmError) {
        var (found, pending) = ([Item](), [(path: path, name: name)])
        while let next = pending.popLast() {
            var about = stat()
            guard unsafe lstat(next.path, &about) == 0 else {
                throw SwarmError(.notFound, "lstat \(next.path): \(LocalFile.reason(errno))")
            }
            if let entry = try Self.entry(next.path, next.name, about, keepsOwners) {
                found.append(Item(path: next.path, entry: entry))
            }
            guard about.st_mode & S_IFMT == S_IFDIR else { continue }
            for child in try LocalFile.names(in: next.path).reversed() {
                pending.append((next.path + "/" + child, next.name.isEmpty ? child : next.name + "/" + child))
            }
        }
        items = found
        sizeBytes = found.reduce(0) { $0 + $1.entry.sizeBytes }
    }

    private static func entry(
        _ path: String, _ name: String, _ about: stat, _ keepsOwners: Bool
    ) throws(SwarmError) -> TarEntry? {
        let kind: TarEntry.Kind
        switch about.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFLNK: kind = .symbolicLink
        case S_IFDIR: kind = .folder
        // A socket is of use to the process alone that made it; devices and pipes are this machine's.
        default: return nil
        }
        guard !name.isEmpty else { return nil }
        var entry = TarEntry(name: name, kind: kind, mode: about.st_mode)
        if keepsOwners { (entry.uid, entry.gid) = (Int64(about.st_uid), Int64(about.st_gid)) }
        entry.modified = Int64(about.st_mtim.tv_sec)
        if kind == .file { entry.sizeBytes = Int64(about.st_size) }
        if kind == .symbolicLink { entry.target = try LocalFile.target(of: path) }
        return entry
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var rest: ArraySlice<Item>
        fileprivate var open: (descriptor: CInt, path: String, rest: Int64, padding: Int)?
        fileprivate var hasEnded = false

        mutating func next() async throws -> ByteBuffer? {
            if let file = open { return try await part(of: file) }
            guard let item = rest.popFirst() else {
                guard !hasEnded else { return nil }
                hasEnded = true
                return ByteBuffer(bytes: TarEntry.end)
            }
            if item.entry.kind == .file, item.entry.sizeBytes > 0 {
                let size = item.entry.sizeBytes
                open = (try TextFile.open(item.path), item.path, size, TarEntry.padding(after: size))
            }
            return ByteBuffer(bytes: item.entry.head)
        }

        private mutating func part(
            of file: (descriptor: CInt, path: String, rest: Int64, padding: Int)
        ) async throws -> ByteBuffer {
            let count = Int(clamping: Swift.min(file.rest, Int64(TarSource.chunkBytes)))
            var buffer = try await NIOThreadPool.singleton.runIfActive {
                try LocalFile.read(file.descriptor, count, of: file.path)
            }
            let read = Int64(buffer.readableBytes)
            guard read > 0 else {
                close(file.descriptor)
                open = nil
                throw SwarmError(.unknown, "\(file.path) became shorter while it was copied")
            }
            if file.rest > read {
                open?.rest -= read
            } else {
                close(file.descriptor)
                open = nil
                buffer.writeRepeatingByte(0, count: file.padding)
            }
            return buffer
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(rest: items[...]) }
}
