import CNFTables
package import SwarmCore

/// One libnftables context, bound for life to the network namespace of the thread that opened it.
///
/// Not thread-safe: only the `KernelNetwork` actor uses it after it was opened.
@safe package final class NFTablesContext: @unchecked Sendable {
    // Sendable because it is made on a short-lived thread and handed to the one actor that uses it.
    private let context: OpaquePointer

    package init() throws(SwarmError) {
        guard let context = unsafe nft_ctx_new(UInt32(NFT_CTX_DEFAULT)) else {
            throw SwarmError(.unavailable, "cannot open nftables: libnftables refused")
        }
        unsafe self.context = context
        unsafe nft_ctx_buffer_error(context)
        unsafe nft_ctx_buffer_output(context)
    }

    deinit {
        // Closing a netlink socket after a deletion waits 12 to 20 ms for the kernel; nobody needs to wait
        // with it.
        let pending = unsafe Disposal(context)
        runDetached { pending.free() }
    }

    /// Runs commands as one transaction: all or nothing.
    /// - Returns: what they printed.
    @discardableResult
    package func run(_ commands: String) throws(SwarmError) -> String {
        let status = unsafe nft_run_cmd_from_buffer(context, commands)
        let output = unsafe nft_ctx_get_output_buffer(context).map { unsafe String(cString: $0) } ?? ""
        let errors = unsafe nft_ctx_get_error_buffer(context).map { unsafe String(cString: $0) } ?? ""
        guard status == 0 else {
            throw SwarmError(.internal, "nftables refused the rules: \(errors.prefix(Self.errorLengthMax))")
        }
        return output
    }

    /// Errors quote whole lines of rules.
    private static let errorLengthMax = 600

    @safe private struct Disposal: @unchecked Sendable {
        // The context has one owner at a time: first the object, then this.
        private let context: OpaquePointer
        init(_ context: OpaquePointer) { unsafe self.context = context }
        func free() { unsafe nft_ctx_free(context) }
    }
}
