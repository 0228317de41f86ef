import FoundationEssentials

/// The capabilities that this process may still hand on; a container asks for more in vain.
enum BoundingSet {
    /// By number, from 0 (capability.h of Linux).
    private static let names = [
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
        "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK",
        "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN",
        "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE",
        "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND",
        "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
    ].map { "CAP_" + $0 }

    /// Every capability that Linux has.
    static let known = Set(names)

    static let current: Set<String> = {
        guard let data = FileManager.default.contents(atPath: "/proc/self/status") else { return Set(names) }
        let lines = String(decoding: data, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("CapBnd:") }),
            let mask = UInt64(line.dropFirst("CapBnd:".count).filter(\.isHexDigit), radix: 16)
        else { return Set(names) }
        return decode(mask)
    }()

    static func decode(_ mask: UInt64) -> Set<String> {
        Set(names.enumerated().filter { mask & (1 << UInt64($0.offset)) != 0 }.map(\.element))
    }
}
