import Compose
import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// The real file system under a stack's files.
///
/// Only ordinary files are read, so that a name in a stack file cannot make the program wait for ever; pipes that the
/// shell has opened (`-c <(command)`) are the exception.
struct StackDisk: StackFiles {
    /// Read at once, in bytes.
    private static let chunkBytes = 64 << 10

    init() {}

    func read(_ path: String, atMost limit: Int) throws(SwarmError) -> [UInt8] {
        let isInput = path == "-"
        let descriptor = isInput ? STDIN_FILENO : try open(path)
        defer { if !isInput { close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        // One byte more than asked for tells that there is more.
        while bytes.count <= limit {
            let count = unsafe chunk.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                throw SwarmError(.unknown, "read \(isInput ? "standard input" : path): \(Self.reason(errno))")
            }
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return Array(bytes.prefix(limit + 1))
    }

    func resolved(_ path: String) -> String {
        guard let end = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(end) }
        return unsafe String(cString: end)
    }

    private func open(_ path: String) throws(SwarmError) -> CInt {
        // What has no writer would block being opened.
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code: SwarmError.Code = errno == EACCES ? .permissionDenied : .notFound
            throw SwarmError(code, "open \(path): \(Self.reason(errno))")
        }
        var status = stat()
        let kind = unsafe fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
        let isOpened = resolvesToDescriptor(path)
        guard kind == S_IFREG || isOpened && (kind == S_IFIFO || kind == S_IFCHR) else {
            close(descriptor)
            throw SwarmError(
                .invalidArgument,
                "open \(path): \(kind == S_IFDIR ? "is a directory" : "is no ordinary file")")
        }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        return descriptor
    }

    private func resolvesToDescriptor(_ path: String) -> Bool {
        ["/dev/fd/", "/proc/self/fd/"].contains { path.hasPrefix($0) } || path == "/dev/stdin"
    }

    private static func reason(_ code: CInt) -> String {
        code == ENOENT ? "no such file or directory" : unsafe String(cString: strerror(code)).lowercasedFirst
    }
}
