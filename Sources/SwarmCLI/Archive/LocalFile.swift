import NIOCore
import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// This machine's files, for copying.
enum LocalFile {
    static func reason(_ code: CInt) -> String {
        code == ENOENT ? "no such file or directory" : unsafe String(cString: strerror(code)).lowercasedFirst
    }

    /// Whether there is a folder behind a path, links followed; nil when there is nothing.
    static func isFolder(_ path: String) -> Bool? {
        var about = stat()
        guard unsafe stat(path, &about) == 0 else { return nil }
        return about.st_mode & S_IFMT == S_IFDIR
    }

    static func names(in folder: String) throws(SwarmError) -> [String] {
        guard let stream = unsafe opendir(folder) else {
            throw SwarmError(.permissionDenied, "open \(folder): \(reason(errno))")
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func target(of link: String) throws(SwarmError) -> String {
        var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = unsafe readlink(link, &bytes, bytes.count)
        guard count >= 0 else { throw SwarmError(.unknown, "readlink \(link): \(reason(errno))") }
        return String(decoding: bytes.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func read(_ descriptor: CInt, _ count: Int, of path: String) throws -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        var failure: CInt = 0
        unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            while true {
                let found = unsafe Glibc.read(descriptor, target.baseAddress, count)
                if found >= 0 { return found }
                guard errno == EINTR else {
                    failure = errno
                    return 0
                }
            }
        }
        guard failure == 0 else { throw SwarmError(.unknown, "read \(path): \(reason(failure))") }
        return buffer
    }

    static func write(_ bytes: [UInt8], to descriptor: CInt, _ path: String) throws(SwarmError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SwarmError(.resourceExhausted, "write \(path): \(reason(errno))") }
            rest = rest.dropFirst(count)
        }
    }
}
