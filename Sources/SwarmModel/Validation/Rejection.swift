package import SwarmCore

/// Docker's words for what a request got wrong, with the prefix that its control API puts before them.
package enum Rejection {
    /// 400, `rpc error: code = InvalidArgument desc = …`.
    package static func invalid(_ text: String) -> SwarmError {
        SwarmError(.invalidArgument, "rpc error: code = InvalidArgument desc = \(text)")
    }

    /// 500, `rpc error: code = Unknown desc = …`.
    package static func unknown(_ text: String) -> SwarmError {
        SwarmError(.unknown, "rpc error: code = Unknown desc = \(text)")
    }

    /// 400 without a prefix: refused by the engine before the control API sees it.
    package static func engine(_ text: String) -> SwarmError { SwarmError(.invalidArgument, text) }
}
