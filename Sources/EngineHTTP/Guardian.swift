import NIOHTTP1

/// Who may ask, by what browsers say of themselves: a client certificate or the reach of a network would let any page
/// command this machine in its visitor's name.
package enum Guardian: Sendable {
    /// The socket's mode guards it.
    case none
    /// Requests of web pages are refused, and those that call this machine by a name that is not its own; nil under
    /// TLS, where a page whose name was made to resolve here (DNS rebinding) fails by our certificate.
    case network(names: Set<String>?)

    /// What to tell a client that may not ask.
    func refusal(of head: HTTPRequestHead) -> String? {
        guard case .network(let names) = self else { return nil }
        let hosts = head.headers["host"]
        guard hosts.count == 1, let host = hosts.first.map(Self.name) else {
            return hosts.isEmpty && head.version == .http1_0 ? nil : "a request needs one Host header"
        }
        if let names, !Self.isAddress(host), !names.contains(host) {
            return "this machine is not called \(host): use its address or name"
        }
        if let origin = head.headers.first(name: "origin") {
            return "requests of web pages are not answered (Origin: \(origin))"
        }
        return nil
    }

    /// `[::1]:80` -> `::1`, `Host:80` -> `host`.
    private static func name(_ header: String) -> String {
        let text = header.lowercased()
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") { return String(text.dropFirst()[..<end]) }
        guard let colon = text.lastIndex(of: ":") else { return text }
        return String(text[..<colon])
    }

    /// Addresses cannot be rebound. Docker's client sends a fixed name for sockets, which TCP never sees.
    private static func isAddress(_ host: String) -> Bool {
        if host.contains(":") {
            let letters = Set("0123456789abcdef:.".utf8)
            return host.utf8.allSatisfy(letters.contains)
        }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}
