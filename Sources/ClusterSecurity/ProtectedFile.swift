import Glibc
import SwarmCore

/// Small files that only root reads, replaced as a whole or not at all.
enum ProtectedFile {
    static let byteCountMax = 1 << 20

    static func makeDirectory(_ path: String) throws(SwarmError) {
        guard unsafe mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        throw failure("create directory", path)
    }

    /// Nil when there is no such file.
    static func read(_ path: String) throws(SwarmError) -> [UInt8]? {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("open", path)
        }
        defer { close(file) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = unsafe Glibc.read(file, &buffer, buffer.count)
            if count == 0 { return content }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure("read", path)
            }
            content += buffer.prefix(count)
            guard content.count <= byteCountMax else {
                throw SwarmError(
                    .invalidArgument, "\(path) is larger than 1 MiB and no key or certificate file")
            }
        }
    }

    /// Writes beside the file, syncs, renames over it and syncs the directory: a crash leaves the old or the new.
    static func replace(_ path: String, with content: [UInt8]) throws(SwarmError) {
        let temporary = path + ".new"
        // What a crash left would keep its owner and mode; made anew it has ours.
        unsafe unlink(temporary)
        let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw failure("create", temporary) }
        do throws(SwarmError) {
            defer { close(file) }
            var written = 0
            while written < content.count {
                let rest = Array(content[written...])
                let count = unsafe write(file, rest, rest.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw failure("write", temporary) }
                written += count
            }
            guard fsync(file) == 0 else { throw failure("sync", temporary) }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
        guard unsafe rename(temporary, path) == 0 else { throw failure("rename \(temporary) to", path) }
        try syncDirectory(of: path)
    }

    static func remove(_ path: String) throws(SwarmError) {
        guard unsafe unlink(path) != 0, errno != ENOENT else { return }
        throw failure("remove", path)
    }

    private static func syncDirectory(of path: String) throws(SwarmError) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let directory = parts.isEmpty ? "." : parts.joined(separator: "/") + "/"
        let handle = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard handle >= 0 else { throw failure("open", directory) }
        defer { close(handle) }
        guard fsync(handle) == 0 else { throw failure("sync", directory) }
    }

    private static func failure(_ step: String, _ path: String) -> SwarmError {
        let number = errno
        let reason = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
        let code: SwarmError.Code = number == ENOSPC || number == EDQUOT ? .resourceExhausted : .internal
        return SwarmError(code, "cannot \(step) \(path): \(reason)")
    }
}
