package import SwarmCore

/// The keys that let go of a container without ending it: `ctrl-p,ctrl-q` unless told otherwise.
package struct DetachKeys: Sendable, Equatable {
    package static let standard = "ctrl-p,ctrl-q"
    package static let flag = Flag(
        "detach-keys", FlagKind("string") { text throws(SwarmError) in _ = try DetachKeys(text) },
        "Override the key sequence for detaching a container")

    let bytes: [UInt8]
    /// How many of the keys have been pressed, one after the other.
    private var pressed = 0

    /// - Throws: `.invalidArgument` for what is no list of single keys and `ctrl-KEY`.
    package init(_ text: String) throws(SwarmError) {
        var bytes: [UInt8] = []
        for part in (text.isEmpty ? Self.standard : text).split(separator: ",", omittingEmptySubsequences: false) {
            let key = part.hasPrefix("ctrl-") ? part.dropFirst(5) : part
            guard let byte = key.utf8.first, key.utf8.count == 1 else { throw Self.refusal(text) }
            guard part.hasPrefix("ctrl-") else {
                bytes.append(byte)
                continue
            }
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): bytes.append(byte - UInt8(ascii: "a") + 1)
            case UInt8(ascii: "@")...UInt8(ascii: "_"): bytes.append(byte - UInt8(ascii: "@"))
            default: throw Self.refusal(text)
            }
        }
        self.bytes = bytes
    }

    private static func refusal(_ text: String) -> SwarmError {
        SwarmError(
            .invalidArgument, "invalid detach keys (\(text)) provided: write a, ctrl-a or a list such as a,ctrl-b")
    }

    /// What of the typed bytes goes on to the container, and whether the keys were complete.
    ///
    /// The beginning of a sequence is held back until it is known not to be one.
    package mutating func pass(_ typed: [UInt8]) -> (passed: [UInt8], isComplete: Bool) {
        var passed: [UInt8] = []
        for byte in typed {
            if byte != bytes[pressed] {
                // What was held back was typed for the container, after all.
                passed += bytes[..<pressed]
                pressed = 0
            }
            guard byte == bytes[pressed] else {
                passed.append(byte)
                continue
            }
            pressed += 1
            if pressed == bytes.count {
                pressed = 0
                return (passed, true)
            }
        }
        return (passed, false)
    }
}
