import Glibc
import Ports
import SwarmCore

/// The streams of one running exec: FIFOs that its shim holds open, read only as fast as somebody takes the bytes.
actor ExecSession {
    private let poller: DescriptorPoller
    private let paths: [String]
    private var outputs: [(descriptor: Int32, stream: LogLine.Stream)] = []
    private var input: Int32 = -1
    private var hasExited = false
    private var isDrained = false
    private var isAbandoned = false
    private var drainWaiters: [CheckedContinuation<Void, Never>] = []
    private var buffer = [UInt8](repeating: 0, count: ExecSession.chunkBytes)

    private static let chunkBytes = 64 * 1024
    /// How long output may still be on its way once the process has ended; longer only when a child of it keeps
    /// the pipe open, and then Docker gives up after the same time.
    private static let drainTimeout = Duration.seconds(2)

    /// Makes the FIFOs `<base>-stdin`, `-stdout` and `-stderr` as far as they are wanted and opens them.
    init(
        base: String, input wantsInput: Bool, outputs wanted: [LogLine.Stream], poller: DescriptorPoller
    ) throws(SwarmError) {
        self.poller = poller
        let names = wanted.map { (stream: $0, path: "\(base)-\($0 == .stderr ? "stderr" : "stdout")") }
        paths = names.map(\.path) + (wantsInput ? [base + "-stdin"] : [])
        do {
            for name in names {
                outputs.append((try Self.pipe(name.path, O_RDONLY), name.stream))
            }
            // Open for reading too: it never fails for want of a reader, and never raises SIGPIPE.
            if wantsInput { input = try Self.pipe(base + "-stdin", O_RDWR) }
        } catch {
            for output in outputs { close(output.descriptor) }
            for path in paths { unsafe unlink(path) }
            throw error
        }
    }

    private static func pipe(_ path: String, _ flags: Int32) throws(SwarmError) -> Int32 {
        guard unsafe mkfifo(path, 0o600) == 0 || errno == EEXIST else {
            throw SwarmError(.resourceExhausted, "cannot make the pipe \(path): errno \(errno)")
        }
        let descriptor = unsafe open(path, flags | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            let failure = errno
            unsafe unlink(path)
            throw SwarmError(.resourceExhausted, "cannot open the pipe \(path): errno \(failure)")
        }
        return descriptor
    }

    // MARK: Output

    /// The next bytes, or nil when the process and its children have closed their ends.
    func next() async throws -> (LogLine.Stream, [UInt8])? {
        while !outputs.isEmpty {
            if let chunk = readAvailable() { return chunk }
            guard !outputs.isEmpty else { break }
            try Task.checkCancellation()
            let outcome = await poller.wait(
                for: .readable, on: outputs.map(\.descriptor), timeout: hasExited ? Self.drainTimeout : nil)
            if outcome == .expired { break }
        }
        finishOutput()
        return nil
    }

    private func readAvailable() -> (LogLine.Stream, [UInt8])? {
        for (index, output) in outputs.enumerated().reversed() {
            let count = unsafe read(output.descriptor, &buffer, buffer.count)
            if count > 0 {
                // The other stream is first the next time, so that neither can starve it.
                outputs.insert(outputs.remove(at: index), at: 0)
                return (output.stream, Array(buffer.prefix(count)))
            }
            if count == 0 || (errno != EAGAIN && errno != EINTR) {
                close(output.descriptor)
                outputs.remove(at: index)
            }
        }
        return nil
    }

    private func finishOutput() {
        for output in outputs { close(output.descriptor) }
        outputs = []
        isDrained = true
        for waiter in drainWaiters { waiter.resume() }
        drainWaiters = []
    }

    /// Nobody takes the output any more: it is read and forgotten, so that the process does not block.
    func abandon() async {
        closeInput()
        guard !isAbandoned else { return }
        isAbandoned = true
        while (try? await next()) != nil {}
    }

    // MARK: Input

    func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard input >= 0 else { throw SwarmError(.conflict, "the process's standard input is closed") }
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(input, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                try Task.checkCancellation()
                _ = await poller.wait(for: .writable, on: [input])
            } else if errno != EINTR {
                throw SwarmError(.unavailable, "cannot write to the process: errno \(errno)")
            }
        }
    }

    /// - Returns: whether it was open.
    @discardableResult
    func closeInput() -> Bool {
        guard input >= 0 else { return false }
        poller.interrupt([input])
        close(input)
        input = -1
        return true
    }

    // MARK: End

    /// The process is gone: returns when its output has been taken, or nothing more of it comes.
    func exited() async {
        hasExited = true
        poller.interrupt(outputs.map(\.descriptor))
        closeInput()
        if !isDrained {
            if outputs.isEmpty {
                finishOutput()
            } else {
                await withCheckedContinuation { drainWaiters.append($0) }
            }
        }
        for path in paths { unsafe unlink(path) }
    }

    /// It never ran.
    func discard() {
        closeInput()
        finishOutput()
        for path in paths { unsafe unlink(path) }
    }
}
