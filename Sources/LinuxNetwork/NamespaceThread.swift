import CLinux
import Glibc
package import SwarmCore
import Synchronization

/// Opens handles inside the network namespace at `path`; they stay bound to it and may be used from any
/// thread.
///
/// `open` runs on a thread that lives only for this call. It must open handles or write sysctls and do
/// nothing else: a
/// thread that starts Swift jobs from a foreign namespace hands that namespace to new worker threads.
/// - Parameter path: a pinned namespace; nil stays in the daemon's own.
package func openInNetworkNamespace<Handles: Sendable>(
    _ path: String?, _ open: @escaping @Sendable () throws(SwarmError) -> Handles
) throws(SwarmError) -> Handles {
    guard let path else { return try open() }
    return try onShortLivedThread { () throws(SwarmError) in
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemError("open network namespace \(path)") }
        defer { close(descriptor) }
        guard clinux_setns(descriptor, 0x4000_0000) == 0 else {
            throw systemError("enter network namespace \(path)")
        }
        return try open()
    }
}

/// Makes a new network namespace, pins it at `path`, and opens handles in it.
func createNetworkNamespace<Handles: Sendable>(
    _ path: String, _ open: @escaping @Sendable () throws(SwarmError) -> Handles
) throws(SwarmError) -> Handles {
    try onShortLivedThread { () throws(SwarmError) in
        guard clinux_unshare_network() == 0 else { throw systemError("create a network namespace") }
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o444)
        guard descriptor >= 0 else { throw systemError("create \(path)") }
        close(descriptor)
        guard unsafe clinux_pin_network_namespace(path) == 0 else {
            throw systemError("pin network namespace \(path)")
        }
        return try open()
    }
}

/// Drops the pin; the kernel removes the namespace, with its links, once its last process and socket are
/// gone.
func removeNetworkNamespace(_ path: String) {
    // More than one mount on a file can only come from an earlier crash; a bound keeps a broken kernel from
    // hanging us.
    for _ in 0..<8 where unsafe clinux_is_namespace(path) == 1 { _ = unsafe clinux_unmount(path) }
    _ = unsafe unlink(path)
}

func isNetworkNamespace(_ path: String) -> Bool { unsafe clinux_is_namespace(path) == 1 }

/// An error of the system call that just failed.
func systemError(_ action: String) -> SwarmError {
    let number = errno
    let reason = unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
    let code: SwarmError.Code = number == EPERM || number == EACCES ? .permissionDenied : .unavailable
    return SwarmError(code, "cannot \(action): \(reason)")
}

func onShortLivedThread<Value: Sendable>(
    _ body: @escaping @Sendable () throws(SwarmError) -> Value
) throws(SwarmError) -> Value {
    let box = ResultBox<Value>()
    let thread = startThread {
        do throws(SwarmError) {
            let value = try body()
            box.result.withLock { $0 = .success(value) }
        } catch {
            box.result.withLock { $0 = .failure(error) }
        }
    }
    guard let thread else { throw SwarmError(.resourceExhausted, "cannot start a thread") }
    pthread_join(thread, nil)
    guard let outcome = box.result.withLock({ $0 }) else {
        throw SwarmError(.internal, "a thread ended early")
    }
    return try outcome.get()
}

func runDetached(_ body: @escaping @Sendable () -> Void) {
    if let thread = startThread(body) { pthread_detach(thread) }
}

private final class ResultBox<Value: Sendable>: Sendable {
    let result = Mutex<Result<Value, SwarmError>?>(nil)
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t? {
    var thread = pthread_t()
    let context = unsafe Unmanaged.passRetained(ThreadBody(body))
    let status = unsafe pthread_create(
        &thread, nil,
        { raw in
            guard let raw = unsafe raw else { return nil }
            unsafe Unmanaged<ThreadBody>.fromOpaque(raw).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
    guard status == 0 else {
        unsafe context.release()
        return nil
    }
    return thread
}
