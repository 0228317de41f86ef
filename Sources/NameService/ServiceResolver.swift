import SwarmCore

/// What one container may resolve.
package struct ResolverScope: Sendable, Equatable {
    /// In order of preference, never the ingress network.
    package var networks: [String]
    /// False when the container is on internal networks only.
    package var forwardsUpstream: Bool
    /// The container's own `ndots`; above 0, unknown single-label names are not forwarded.
    package var ndots: Int

    package init(networks: [String], forwardsUpstream: Bool = true, ndots: Int = 0) {
        (self.networks, self.forwardsUpstream, self.ndots) = (networks, forwardsUpstream, ndots)
    }
}

/// What to do with a query.
package enum Resolution: Sendable, Equatable {
    case answer([UInt8])
    /// Malformed; the bytes say so to the client.
    case malformed([UInt8])
    /// Not for us to answer.
    case forward(Message)
    /// No answer may be sent.
    case drop
}

/// Answers queries about services, tasks and containers.
package enum ServiceResolver {
    /// Seconds; short so that clients follow a service as it moves.
    package static let timeToLive: UInt32 = 5
    package static let minimumPayload = 512
    package static let maximumPayload = 4096

    /// The most bytes the sender of `query` takes.
    package static func limit(_ query: Message, isStream: Bool) -> Int {
        if isStream { return MessageWriter.maximumLength }
        return min(max(Int(query.payloadSize ?? 0), minimumPayload), maximumPayload)
    }

    package static func resolve(
        _ bytes: [UInt8], isStream: Bool, in directory: ServiceDirectory, scope: ResolverScope,
        using generator: inout some RandomNumberGenerator
    ) -> Resolution {
        guard bytes.count >= Message.headerLength, bytes[2] & 0x80 == 0 else { return .drop }
        let id = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
        var reader = MessageReader(bytes)
        guard let (query, _) = try? reader.message() else { return .malformed(MessageWriter.formatError(id: id)) }
        let limit = limit(query, isStream: isStream)
        guard query.opcode == 0 else { return .answer(respond(query, .notImplemented)) }
        guard query.question.recordClass == Question.internet else { return forward(query, scope) }
        let name = query.question.name.lowercased
        if query.question.type == Question.ptr, let octets = name.reverseAddress {
            let address = IPv4Address(octets.reduce(0) { $0 << 8 | UInt32($1) })
            for network in scope.networks {
                guard let target = directory.networks[network]?.reverse[address] else { continue }
                var writer = MessageWriter(responseTo: query, code: .noError, limit: limit)
                _ = writer.answer(type: Question.ptr, timeToLive: timeToLive, data: target.wire + [0])
                writer.finish()
                return .answer(writer.bytes)
            }
            return forward(query, scope)
        }
        guard var addresses = lookUp(name, in: directory, scope: scope) else { return forward(query, scope) }
        var writer = MessageWriter(responseTo: query, code: .noError, limit: limit)
        if query.question.type == Question.a || query.question.type == Question.any {
            if addresses.count > 1 { addresses.shuffle(using: &generator) }
            for address in addresses {
                guard writer.answer(type: Question.a, timeToLive: timeToLive, data: address.bytes) else { break }
            }
        }
        writer.finish()
        return .answer(writer.bytes)
    }

    /// An empty response.
    package static func respond(_ query: Message, _ code: ResponseCode) -> [UInt8] {
        var writer = MessageWriter(responseTo: query, code: code, limit: MessageWriter.maximumLength)
        writer.finish()
        return writer.bytes
    }

    /// A name that may not leave does not exist, so that the client goes on with its search list.
    private static func forward(_ query: Message, _ scope: ResolverScope) -> Resolution {
        let staysHere = scope.ndots > 0 && query.question.name.isSingleLabel
        return scope.forwardsUpstream && !staysHere ? .forward(query) : .answer(respond(query, .noSuchName))
    }

    /// The whole name in each network, then name and network name; nil when unknown.
    static func lookUp(_ name: Name, in directory: ServiceDirectory, scope: ResolverScope) -> [IPv4Address]? {
        for network in scope.networks {
            if let entry = directory.networks[network]?.entries[name] { return entry.addresses }
        }
        for network in scope.networks {
            guard let zone = directory.networks[network], let rest = name.dropping(suffix: zone.suffix)
            else { continue }
            if let entry = zone.entries[rest] { return entry.addresses }
        }
        return nil
    }
}
