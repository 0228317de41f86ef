import Glibc
package import Membership
import NIOCore
import NIOPosix

/// Whether a machine is there at all, by what its kernel says to a connection: accepted and refused are both answers.
package enum HostProbe {
    static let timeout: TimeAmount = .milliseconds(500)

    package static func isThere(_ address: PeerAddress) async -> Bool {
        guard let target = try? SocketAddress(ipAddress: address.host, port: Int(address.port)) else {
            return false
        }
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(timeout)
        do {
            let channel = try await bootstrap.connect(to: target).get()
            channel.close(promise: nil)
            return true
        } catch let error as IOError {
            return error.errnoCode == ECONNREFUSED || error.errnoCode == ECONNRESET
        } catch { return false }
    }
}
