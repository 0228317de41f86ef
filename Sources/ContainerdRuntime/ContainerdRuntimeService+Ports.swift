package import Ports
package import SwarmCore

/// The node's seam. What is not there yet is refused in words, never pretended.
extension ContainerdRuntimeService: ContainerRuntime {
    private func missing(_ what: String) -> SwarmError {
        SwarmError(.unimplemented, "\(what) is not supported by this release of swarmd")
    }

    package func exec(_ containerID: String, _ request: ExecRequest) async throws(SwarmError) -> String {
        throw missing("exec")
    }
    package func startExec(_ execID: String, tty: Bool) async throws(SwarmError) -> any ProcessStreams {
        throw missing("exec")
    }
    package func inspectExec(_ execID: String) async throws(SwarmError) -> ExecInfo { throw missing("exec") }
    package func resizeExec(_ execID: String, width: Int, height: Int) async throws(SwarmError) {
        throw missing("exec")
    }
    package func processes(_ containerID: String) async throws(SwarmError) -> [ProcessInfo] {
        throw missing("top")
    }
    package func statistics(_ containerID: String) async throws(SwarmError) -> ContainerStatistics {
        throw missing("stats")
    }
}
