package import SwarmCore
package import SwarmModel

/// `--publish`: `[PUB[-PUB]:]TGT[-TGT][/proto]`, or `target=…,published=…,protocol=…,mode=…`.
package enum PublishOption {
    private static let protocols = ["tcp", "udp", "sctp"]

    package static func parse(_ text: String) throws(SwarmError) -> [PortConfig] {
        guard !text.isEmpty else { throw SwarmError(.invalidArgument, "no port specified: <empty>") }
        let fields = try CommaFields.parse(text)
        return fields[0].contains("=") || fields.count > 1 ? [try long(fields)] : try short(text)
    }

    private static func long(_ fields: [String]) throws(SwarmError) -> PortConfig {
        var port = PortConfig(proto: "tcp", targetPort: 0, publishMode: "ingress")
        for field in fields {
            let (key, value) = field.keyAndValue
            guard let value, !value.isEmpty else {
                throw SwarmError(.invalidArgument, "invalid field: \(field)")
            }
            switch key {
            case "protocol":
                guard protocols.contains(value) else {
                    throw SwarmError(.invalidArgument, "invalid protocol value '\(value)'")
                }
                port.proto = value
            case "mode":
                guard ["ingress", "host"].contains(value) else {
                    throw SwarmError(
                        .invalidArgument,
                        "invalid publish mode value (\(value)): must be either 'ingress' or 'host'")
                }
                port.publishMode = value
            case "target": port.targetPort = try number(value, "target port (\(value))")
            case "published": port.publishedPort = try number(value, "published port (\(value))")
            default: throw SwarmError(.invalidArgument, "invalid field key: \(key)")
            }
        }
        guard port.targetPort != 0 else {
            throw SwarmError(.invalidArgument, "missing mandatory field 'target'")
        }
        return port
    }

    private static func number(_ text: String, _ what: String) throws(SwarmError) -> UInt32 {
        guard let port = UInt16(text) else {
            throw SwarmError(
                .invalidArgument,
                "invalid \(what): value must be an integer: "
                    + (UInt64(text) == nil ? "invalid syntax" : "value out of range"))
        }
        return UInt32(port)
    }

    private static func short(_ text: String) throws(SwarmError) -> [PortConfig] {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        let proto = parts.count == 2 ? parts[1].lowercased() : "tcp"
        let sides = parts[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard sides.count < 3 else {
            let address = sides.dropLast(2).joined(separator: ":")
            guard address.isEmpty || IPv4Address(address) != nil || address.hasPrefix("[") else {
                throw SwarmError(.invalidArgument, "invalid IP address: \(address)")
            }
            throw SwarmError(.invalidArgument, "hostip is not supported")
        }
        let target = sides[sides.count - 1]
        guard !target.isEmpty else {
            throw SwarmError(.invalidArgument, "no port specified: \(text)<empty>")
        }
        guard let targets = range(target) else {
            throw SwarmError(.invalidArgument, "invalid containerPort: \(target)")
        }
        guard protocols.contains(proto) else { throw SwarmError(.invalidArgument, "invalid proto: \(proto)") }
        let published = sides.count == 2 ? sides[0] : ""
        var publishedPorts: ClosedRange<UInt16>?
        if !published.isEmpty {
            guard let range = range(published) else {
                throw SwarmError(.invalidArgument, "invalid hostPort: \(published)")
            }
            publishedPorts = range
        }
        if let publishedPorts, publishedPorts.count != targets.count, targets.count != 1 {
            throw SwarmError(
                .invalidArgument,
                "invalid ranges specified for container and host Ports: \(target) and \(published)")
        }
        guard let publishedPorts else {
            return targets.map { PortConfig(proto: proto, targetPort: UInt32($0), publishMode: "ingress") }
        }
        // One target for a range of published ports means each of them.
        return publishedPorts.enumerated().map { offset, port in
            PortConfig(
                proto: proto,
                targetPort: UInt32(targets.lowerBound) + UInt32(targets.count == 1 ? 0 : offset),
                publishedPort: UInt32(port), publishMode: "ingress")
        }
    }

    private static func range(_ text: String) -> ClosedRange<UInt16>? {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
            first <= last,
            !text.contains("+")
        else { return nil }
        return first...last
    }
}
