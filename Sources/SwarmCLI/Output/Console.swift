import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Standard output and error, and what they are connected to.
package final class Console: Sendable {
    /// The width that help and progress assume when there is no terminal to ask.
    static let defaultColumns = 80
    /// Output is collected up to this many bytes before it is written.
    static let bufferBytesMax = 64 << 10

    package let isTerminal: Bool
    package let isInputTerminal: Bool
    package let columns: Int
    private let output: CInt
    private let errors: CInt
    private let buffer = Mutex<[UInt8]>([])

    package init(output: CInt, errors: CInt) {
        (self.output, self.errors) = (output, errors)
        isTerminal = isatty(output) == 1
        isInputTerminal = isatty(STDIN_FILENO) == 1
        var size = winsize()
        let known = unsafe isTerminal && ioctl(output, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        columns = known ? Int(size.ws_col) : Self.defaultColumns
    }

    /// The terminal's size now, rows first; nil without one.
    package func size() -> [Int]? {
        var size = winsize()
        guard unsafe isTerminal && ioctl(output, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return nil
        }
        return [Int(size.ws_row), Int(size.ws_col)]
    }

    package static func standard() -> Console { Console(output: STDOUT_FILENO, errors: STDERR_FILENO) }

    package func print(_ line: String) { write(line + "\n") }
    package func write(_ text: String) { write(bytes: Array(text.utf8)) }

    package func write(bytes: [UInt8]) {
        buffer.withLock { buffer in
            buffer += bytes
            if isTerminal || buffer.count >= Self.bufferBytesMax {
                Self.send(buffer, to: output)
                buffer = []
            }
        }
    }

    package func flush() {
        buffer.withLock { buffer in
            Self.send(buffer, to: output)
            buffer = []
        }
    }

    /// Writes a line to standard error, after everything printed so far.
    package func complain(_ line: String) {
        flush()
        Self.send(Array(line.utf8) + [0x0a], to: errors)
    }

    package func writeError(bytes: [UInt8]) {
        flush()
        Self.send(bytes, to: errors)
    }

    private static func send(_ bytes: [UInt8], to descriptor: CInt) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            // Nobody reads any more, or the disk is full: there is nobody left to tell.
            if count <= 0 { exit(errno == EPIPE ? 0 : 1) }
            rest = rest.dropFirst(count)
        }
    }
}

/// The process's environment as a dictionary.
package enum ProcessEnvironment {
    package static var current: [String: String] {
        var values: [String: String] = [:]
        var next = unsafe environ
        while let entry = unsafe next.pointee {
            let (key, value) = unsafe String(cString: entry).keyAndValue
            values[key] = value ?? ""
            unsafe next = next.advanced(by: 1)
        }
        return values
    }
}

/// Wall-clock time.
package enum WallClock {
    package static var nanoseconds: Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
    package static var monotonicNanoseconds: Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
