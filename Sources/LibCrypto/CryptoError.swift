import COpenSSL

/// Why a primitive refused its input; callers turn it into words about their own objects.
package enum CryptoError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The bytes are not what they should be; the text says which part.
    case malformed(String)
    /// A tag or a signature does not fit: another key, or the bytes were changed.
    case authenticationFailed
    /// libcrypto refused; the text is its own reason.
    case refused(String)

    package var description: String {
        switch self {
        case .malformed(let what): what
        case .authenticationFailed: "authentication failed: wrong key, or the bytes were changed"
        case .refused(let reason): "libcrypto refused: \(reason)"
        }
    }

    /// The newest entry of the thread's error queue, which is emptied so that it explains no later failure.
    static func newest(_ step: String) -> CryptoError {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0, let reason = unsafe ERR_reason_error_string(code) else { return .refused(step) }
        return unsafe .refused("\(step): \(String(cString: reason))")
    }
}

/// Calls of libcrypto that fail only when memory is out or the library is broken.
func require(_ status: Int32, _ step: StaticString) {
    precondition(status == 1, "\(step) failed: libcrypto is out of memory or broken")
}

/// The DER that an `i2d` function writes: it is asked for the length first, then for the bytes.
func derBytes(
    _ write: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> Int32
) throws(CryptoError) -> [UInt8] {
    let length = write(nil)
    guard length > 0 else { throw .newest("encoding DER") }
    var bytes = [UInt8](repeating: 0, count: Int(length))
    let written = unsafe bytes.withUnsafeMutableBufferPointer { buffer in
        var cursor = buffer.baseAddress
        return unsafe write(&cursor)
    }
    guard written == length else { throw .newest("encoding DER") }
    return bytes
}

/// What a `d2i` function makes of `bytes`; nil when they are no such object or more follows it.
func decodeDER(
    _ bytes: [UInt8], _ read: (UnsafeMutablePointer<UnsafePointer<UInt8>?>, Int) -> OpaquePointer?,
    free: (OpaquePointer) -> Void
) -> OpaquePointer? {
    let object = unsafe bytes.withUnsafeBufferPointer { buffer -> OpaquePointer? in
        var cursor = buffer.baseAddress
        guard let object = unsafe read(&cursor, buffer.count) else { return nil }
        let used = unsafe cursor.map { unsafe $0 - (buffer.baseAddress ?? $0) } ?? 0
        guard used == buffer.count else {
            unsafe free(object)
            return nil
        }
        return unsafe object
    }
    if unsafe object == nil { ERR_clear_error() }
    return unsafe object
}
