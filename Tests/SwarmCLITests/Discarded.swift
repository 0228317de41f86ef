#if canImport(Glibc)
    import Glibc
#endif

/// Where output goes that nobody looks at.
enum Discarded {
    static let descriptor: CInt = open("/dev/null", O_WRONLY)
}
