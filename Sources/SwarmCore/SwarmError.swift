/// What went wrong, in the categories that the HTTP API and the peer protocol can both express.
///
/// Two errors are equal when their codes are equal: messages are for people.
package struct SwarmError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        case invalidArgument, notFound, conflict, failedPrecondition, outdatedVersion, notLeader, unavailable
        case deadlineExceeded, unauthenticated, permissionDenied, resourceExhausted, unimplemented, unknown,
            `internal`
    }

    package var code: Code
    /// What was wrong, where, and what to do, in Docker's words where Docker has any.
    package var message: String
    package var cause: String?

    package init(_ code: Code, _ message: String, cause: String? = nil) {
        (self.code, self.message, self.cause) = (code, message, cause)
    }

    package static func == (left: SwarmError, right: SwarmError) -> Bool { left.code == right.code }

    package var description: String { cause.map { "\(message): \($0)" } ?? message }
}
