import Glibc

package struct SystemCallError: Error, CustomStringConvertible {
    package var call: String
    package var code: Int32
    package var description: String { unsafe "\(call): \(String(cString: strerror(code)))" }
}

/// Creates a listening path that never exists with the wrong mode and never steals a live daemon's socket.
enum UnixSocket {
    static func bind(path: String, mode: mode_t, group: gid_t?) throws(SystemCallError) -> Int32 {
        if try isAlive(path) { throw SystemCallError(call: "bind \(path)", code: EADDRINUSE) }
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let fd = try check("socket", socket(AF_UNIX, Int32(kind), 0))
        do throws(SystemCallError) {
            let temporary = "\(path).\(getpid())"
            _ = unsafe unlink(temporary)
            try unsafe withAddress(temporary) { (address, length) throws(SystemCallError) in
                _ = try unsafe check("bind", Glibc.bind(fd, address, length))
            }
            // Not connectable yet: nobody listens, and nobody knows the name.
            _ = try unsafe check("chmod", chmod(temporary, mode))
            if let group { _ = try unsafe check("chown", chown(temporary, uid_t.max, group)) }
            _ = try unsafe check("rename", rename(temporary, path))
            return fd
        } catch {
            close(fd)
            throw error
        }
    }

    private static func isAlive(_ path: String) throws(SystemCallError) -> Bool {
        let fd = try check("socket", socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
        defer { close(fd) }
        var alive = false
        try unsafe withAddress(path) { address, length in alive = unsafe connect(fd, address, length) == 0 }
        return alive
    }

    private static func check(_ call: String, _ result: Int32) throws(SystemCallError) -> Int32 {
        guard result >= 0 else { throw SystemCallError(call: call, code: errno) }
        return result
    }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemCallError) -> Void
    ) throws(SystemCallError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemCallError(call: "socket path \(path)", code: ENAMETOOLONG)
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        var failure: SystemCallError?
        unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                do throws(SystemCallError) {
                    try unsafe body(address, socklen_t(MemoryLayout<sockaddr_un>.size))
                } catch { failure = error }
            }
        }
        if let failure { throw failure }
    }
}
