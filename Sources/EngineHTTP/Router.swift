package import NIOHTTP1

/// Docker's routes: literal segments, `{name}` for one segment, `{name...}` for one or more (image names).
package struct Router: Sendable {
    package typealias Handler = @Sendable (Request) async throws -> Response

    private enum Piece: Sendable {
        case literal(String)
        case one(String)
        case many(String)
    }

    private struct Route: Sendable {
        var method: HTTPMethod
        var pieces: [Piece]
        var handler: Handler
    }

    /// By first segment: buckets stay short, so a linear search is enough.
    private var routes: [String: [Route]] = [:]
    package let versions: ClosedRange<APIVersion>

    private let describe: @Sendable (any Error) -> APIError

    /// - Parameter describe: what to answer for an error of a handler that is no ``APIError``.
    package init(
        versions: ClosedRange<APIVersion>,
        describe: @escaping @Sendable (any Error) -> APIError = { APIError(.internalServerError, "\($0)") }
    ) {
        self.versions = versions
        self.describe = describe
    }

    package mutating func on(_ method: HTTPMethod, _ pattern: String, _ handler: @escaping Handler) {
        let pieces = pattern.split(separator: "/").map { text -> Piece in
            guard text.hasPrefix("{"), text.hasSuffix("}") else { return .literal(String(text)) }
            let name = text.dropFirst().dropLast()
            return name.hasSuffix("...") ? .many(String(name.dropLast(3))) : .one(String(name))
        }
        guard case .literal(let first)? = pieces.first else {
            preconditionFailure("pattern needs a literal start")
        }
        routes[first, default: []].append(Route(method: method, pieces: pieces, handler: handler))
    }

    func respond(to head: HTTPRequestHead, body: RequestBody, peer: Peer) async -> Response {
        let (path, query) = Self.split(head.uri)
        var segments = path.split(separator: "/", omittingEmptySubsequences: true)
        var version: APIVersion?
        if let first = segments.first, first.first == "v", let asked = APIVersion(first.dropFirst()) {
            segments.removeFirst()
            version = asked
            if asked > versions.upperBound {
                return .error(
                    .badRequest,
                    "client version \(asked) is too new. Maximum supported API version is \(versions.upperBound)"
                )
            }
            if asked < versions.lowerBound {
                return .error(
                    .badRequest,
                    "client version \(asked) is too old. Minimum supported API version is "
                        + "\(versions.lowerBound), please upgrade your client to a newer version"
                )
            }
        }
        var request = Request(
            method: head.method, segments: segments.map(percentDecoded), query: query, version: version,
            head: head, body: body, peer: peer)
        for route in routes[request.segments.first ?? "", default: []] where route.method == head.method {
            guard let captures = Self.match(route.pieces[...], request.segments[...]) else { continue }
            request.captures = captures
            do {
                return try await route.handler(request)
            } catch let error as APIError {
                return .error(error.status, error.message)
            } catch {
                let described = describe(error)
                return .error(described.status, described.message)
            }
        }
        return .error(.notFound, "page not found")
    }

    private static func match(_ pieces: ArraySlice<Piece>, _ segments: ArraySlice<String>) -> [String:
        String]?
    {
        guard let piece = pieces.first else { return segments.isEmpty ? [:] : nil }
        guard let segment = segments.first else { return nil }
        switch piece {
        case .literal(let text):
            return text == segment ? match(pieces.dropFirst(), segments.dropFirst()) : nil
        case .one(let name):
            guard var rest = match(pieces.dropFirst(), segments.dropFirst()) else { return nil }
            rest[name] = segment
            return rest
        case .many(let name):
            // Longest first, so that `/images/json/json` is the image called `json`.
            for count in stride(from: segments.count, to: 0, by: -1) {
                guard var rest = match(pieces.dropFirst(), segments.dropFirst(count)) else { continue }
                rest[name] = segments.prefix(count).joined(separator: "/")
                return rest
            }
            return nil
        }
    }

    private static func split(_ uri: String) -> (Substring, [(name: String, value: String)]) {
        // `http://host/path` is legal and proxies send it.
        var target = uri[...]
        if target.hasPrefix("http://") || target.hasPrefix("https://") {
            target = target.drop { $0 != ":" }.dropFirst(3).drop { $0 != "/" }
        }
        guard let mark = target.firstIndex(of: "?") else { return (target, []) }
        let pairs = target[target.index(after: mark)...].split(separator: "&").map { pair in
            let cut = pair.firstIndex(of: "=") ?? pair.endIndex
            let value = cut == pair.endIndex ? "" : pair[pair.index(after: cut)...]
            return (name: percentDecoded(pair[..<cut], plus: true), value: percentDecoded(value, plus: true))
        }
        return (target[..<mark], pairs)
    }
}

private func percentDecoded(_ text: Substring) -> String { percentDecoded(text, plus: false) }

private func percentDecoded(_ text: Substring, plus: Bool) -> String {
    let bytes = text.utf8
    guard bytes.contains(UInt8(ascii: "%")) || (plus && bytes.contains(UInt8(ascii: "+"))) else {
        return String(text)
    }
    func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count)
    var rest = bytes[...]
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), rest.count >= 2, let high = nibble(rest.first ?? 0),
            let low = nibble(rest.dropFirst().first ?? 0)
        {
            out.append(high << 4 | low)
            rest = rest.dropFirst(2)
        } else {
            out.append(plus && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
        }
    }
    return String(decoding: out, as: UTF8.self)
}
