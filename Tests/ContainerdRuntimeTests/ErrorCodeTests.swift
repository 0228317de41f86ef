import GRPCCore
import SwarmCore
import Testing

@testable import ContainerdRuntime

struct ErrorCodeTests {
    @Test(arguments: [
        // A stop whose grace was over by containerd's clock before it was by ours was taken for a failure,
        // and the container was never killed.
        ("context deadline exceeded: unknown", SwarmError.Code.deadlineExceeded),
        ("write /var/lib/x: no space left on device: unknown", .resourceExhausted),
        ("process already finished: unknown", .notFound),
        ("ttrpc: closed: unknown", .unknown),
    ])
    func `what a shim says is told from its words, for containerd calls all of it UNKNOWN`(
        message: String, code: SwarmError.Code
    ) {
        #expect(RPCError(code: .unknown, message: message).swarmCode == code)
    }
}
