package import SwarmCore

/// Where an engine's API listens, as `--host` and `SWARM_HOST` write it.
package struct EngineHost: Sendable, Equatable, CustomStringConvertible {
    package enum Transport: Sendable, Equatable {
        case unix(path: String)
        case tcp(host: String, port: Int)
    }

    /// Where swarmd listens unless told otherwise.
    package static let standard = "unix:///run/swarmd.sock"
    /// Docker's ports for an API without TLS and with it.
    static let (defaultPort, securePort) = (2375, 2376)

    package var transport: Transport
    /// As the user wrote it.
    package var description: String
    /// What to speak TLS with; nil speaks none.
    package var security: EngineSecurity?

    /// Accepts `unix:///path`, `tcp://host[:port]` and `http://host[:port]`.
    package init(_ text: String, security: EngineSecurity? = nil) throws(SwarmError) {
        (description, self.security) = (text, security)
        guard let separator = text.firstRange(of: "://") else {
            throw SwarmError(
                .invalidArgument,
                "unable to parse docker host `\(text)`: write unix:///path or tcp://host:port")
        }
        let rest = String(text[separator.upperBound...])
        switch text[..<separator.lowerBound] {
        case "unix" where rest.hasPrefix("/"): transport = .unix(path: rest)
        case "tcp", "http":
            let authority = rest.split(separator: "/", maxSplits: 1).first.map(String.init) ?? ""
            let parts = authority.split(separator: ":", maxSplits: 1)
            let port = parts.count == 2 ? Int(parts[1]) : security == nil ? Self.defaultPort : Self.securePort
            guard let host = parts.first, let port, (1...65_535).contains(port) else {
                throw SwarmError(.invalidArgument, "invalid bind address format: \(text)")
            }
            transport = .tcp(host: String(host), port: port)
        case let scheme:
            throw SwarmError(
                .invalidArgument,
                "the scheme '\(scheme)' of '\(text)' is not supported: use unix:// or tcp://")
        }
    }

    /// What a request calls the engine; Docker's clients call every socket so.
    var name: String {
        switch transport {
        case .unix: "api.moby.localhost"
        case .tcp(let host, let port): "\(host):\(port)"
        }
    }

    /// The address of a path, in the form that the HTTP client understands.
    func url(_ target: String) -> String {
        switch transport {
        case .unix(let path): "http+unix://\(PercentCoding.encode(path, keeping: ""))\(target)"
        case .tcp(let host, let port): "\(security == nil ? "http" : "https")://\(host):\(port)\(target)"
        }
    }
}

/// Percent coding of request targets (RFC 3986, section 2).
enum PercentCoding {
    /// Everything but unreserved characters, and those of `kept`, becomes `%XX`.
    static func encode(_ text: String, keeping kept: String) -> String {
        let kept = Set((kept + "-._~").utf8)
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: bytes.append(byte)
            case _ where kept.contains(byte): bytes.append(byte)
            default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The part of a request target after `?`, in the order given.
package struct Query: Sendable, ExpressibleByDictionaryLiteral {
    package var items: [(name: String, value: String)]

    package init(_ items: [(name: String, value: String)] = []) { self.items = items }
    package init(dictionaryLiteral elements: (String, String)...) {
        items = elements.map { (name: $0.0, value: $0.1) }
    }

    package mutating func append(_ name: String, _ value: String) { items.append((name: name, value: value)) }

    /// Adds `filters={"name":{"web":true}}`; nothing when there are none.
    package mutating func append(filters: [(key: String, value: String)]) {
        guard !filters.isEmpty else { return }
        var members: [JSONMember] = []
        for key in Set(filters.map(\.key)).sorted() {
            let values = Set(filters.filter { $0.key == key }.map(\.value)).sorted()
            members.append(JSONMember(key, .object(values.map { JSONMember($0, .bool(true)) })))
        }
        append("filters", JSONValue.object(members).compact)
    }

    var text: String {
        guard !items.isEmpty else { return "" }
        let pairs = items.map {
            PercentCoding.encode($0.name, keeping: "") + "=" + PercentCoding.encode($0.value, keeping: "")
        }
        return "?" + pairs.joined(separator: "&")
    }
}
