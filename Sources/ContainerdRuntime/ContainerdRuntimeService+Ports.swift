package import Ports
package import SwarmCore

/// The node's seam. What is not there yet is refused in words, never pretended.
extension ContainerdRuntimeService: ContainerRuntime {
    private func missing(_ what: String) -> SwarmError {
        SwarmError(.unimplemented, "\(what) is not supported by this release of swarmd")
    }

    package func processes(_ containerID: String) async throws(SwarmError) -> [ProcessInfo] {
        throw missing("top")
    }
    package func statistics(_ containerID: String) async throws(SwarmError) -> ContainerStatistics {
        throw missing("stats")
    }
}
