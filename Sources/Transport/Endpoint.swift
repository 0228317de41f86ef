import NIOCore
import NIOPosix

import SwarmCore

/// Where a node may be reached: `10.0.0.1`, `10.0.0.1:2377`, `[fd00::1]:2377`, `fd00::1` or a host's name.
struct Endpoint: Equatable, CustomStringConvertible {
    var host: String
    var port: UInt16

    /// Nil when the text is no address.
    init?(_ text: String, defaultPort: UInt16) {
        var host = Substring(text)
        port = defaultPort
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            if !rest.isEmpty {
                guard rest.first == ":", let number = UInt16(rest.dropFirst()) else { return nil }
                port = number
            }
        } else if let colon = text.firstIndex(of: ":"), text.lastIndex(of: ":") == colon {
            guard let number = UInt16(text[text.index(after: colon)...]) else { return nil }
            (host, port) = (text[..<colon], number)
        }
        guard !host.isEmpty, host.utf8.count <= 255, host.allSatisfy({ $0.isASCII && !$0.isWhitespace })
        else { return nil }
        self.host = String(host)
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension ClientBootstrap {
    /// Numbers are taken as they are, names are looked up.
    func connect(to endpoint: Endpoint) -> EventLoopFuture<any Channel> {
        guard let address = try? SocketAddress(ipAddress: endpoint.host, port: Int(endpoint.port)) else {
            return connect(host: endpoint.host, port: Int(endpoint.port))
        }
        return connect(to: address)
    }
}

extension SocketAddress {
    /// Without the port, for messages that are rate-bounded by it.
    var host: String { ipAddress ?? "unknown" }
    var endpoint: String {
        let host = self.host
        return (host.contains(":") ? "[\(host)]" : host) + ":\(port ?? 0)"
    }
}
