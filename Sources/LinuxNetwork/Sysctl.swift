import Glibc
import SwarmCore

/// Kernel settings of the calling thread's network namespace, by dotted name.
enum Sysctl {
    /// Writes one setting; a setting that this kernel does not have is an error only when `isRequired`.
    static func write(_ name: String, _ value: String, isRequired: Bool = true) throws(SwarmError) {
        try writePath(name.split(separator: ".").joined(separator: "/"), value, isRequired: isRequired)
    }

    /// As `write`, for names that hold an interface, whose own dots are not separators.
    static func writePath(_ name: String, _ value: String, isRequired: Bool = true) throws(SwarmError) {
        guard !name.split(separator: "/").contains("..") else {
            throw SwarmError(.invalidArgument, "sysctl \(name) is not a kernel setting")
        }
        let path = "/proc/sys/" + name
        let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if !isRequired && errno == ENOENT { return }
            throw systemError("set sysctl \(name)")
        }
        defer { close(descriptor) }
        let bytes = Array(value.utf8)
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard count == bytes.count else { throw systemError("set sysctl \(name) to \(value)") }
    }

    /// Makes a limit at least `value`; one that cannot be read or written stays as it is.
    static func raise(_ name: String, to value: Int) {
        let descriptor = unsafe open("/proc/sys/" + name, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        let digits = bytes.prefix(max(0, count)).prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard let current = Int(String(decoding: digits, as: UTF8.self)), current < value else { return }
        // A container without the right to: the administrator's limit holds.
        try? writePath(name, String(value))
    }

    static func exists(_ name: String) -> Bool { unsafe access("/proc/sys/" + name, F_OK) == 0 }
}
