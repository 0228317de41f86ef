import SwarmCore

extension KernelNetwork {
    /// Makes UDP flows choose again: those of tasks that left, and those that found nobody.
    func forget(_ networkID: String, _ departed: [IPv4Address], _ awakened: [IPv4Address]) {}
}
