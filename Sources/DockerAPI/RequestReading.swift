import EngineHTTP
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Store
import SwarmCore
import SwarmModel

/// Reading what clients send, with Docker's refusals.
extension Request {
    /// The largest JSON body that is read, in bytes; secrets and configs are the largest honest ones.
    static let bodyMax = 8 << 20

    func decode<Value: Decodable>(_ type: Value.Type) async throws -> Value {
        let content = head.headers.first(name: "content-type") ?? ""
        let buffer = try await body.collect(upTo: Self.bodyMax)
        guard buffer.readableBytes > 0 else { return try decode(Array("{}".utf8)) }
        guard content.isEmpty || content.lowercased().hasPrefix("application/json") else {
            throw SwarmError(
                .invalidArgument, "unsupported Content-Type header (\(content)): must be 'application/json'")
        }
        return try decode(Array(buffer.readableBytesView))
    }

    private func decode<Value: Decodable>(_ bytes: [UInt8]) throws -> Value {
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .custom { path in
                FieldName(stringValue: GoFieldNames.declaredName(of: path.last?.stringValue ?? ""))
            }
            return try decoder.decode(Value.self, from: Data(bytes))
        } catch let error as DecodingError {
            // The decoder calls numbers that do not fit the field no JSON, and does not say where.
            if case .dataCorrupted(let context) = error, context.codingPath.isEmpty,
                (try? JSONDecoder().decode(WellFormed.self, from: Data(bytes))) != nil
            {
                throw SwarmError(
                    .invalidArgument,
                    "invalid JSON: a number in it is negative, too large or a fraction where its field takes none")
            }
            throw SwarmError(.invalidArgument, "invalid JSON: \(error.words(of: "the body"))")
        }
    }

    /// Docker's booleans: absent, empty, 0, no, false and none are false.
    func flag(_ name: String) -> Bool {
        guard let text = value(name)?.lowercased() else { return false }
        return !["", "0", "no", "false", "none"].contains(text)
    }

    /// `?version=N`, which every update must carry.
    func requiredVersion(_ kind: String) throws -> UInt64 {
        let text = value("version") ?? ""
        guard let version = UInt64(text) else {
            // Docker gives the reason for these two to its log alone.
            guard kind != "secret", kind != "config" else {
                throw SwarmError(.invalidArgument, "invalid \(kind) version")
            }
            let reason = "strconv.ParseUint: parsing \"\(text)\": invalid syntax"
            throw SwarmError(.invalidArgument, "invalid \(kind) version '\(text)': \(reason)")
        }
        return version
    }

    /// `filters={"name":{"web":true}}` or `{"name":["web"]}`; unknown keys are refused.
    func filters(_ known: Set<String>) throws -> [String: [String]] {
        guard let text = value("filters"), !text.isEmpty else { return [:] }
        guard let parsed = try? JSONDecoder().decode([String: FilterValues].self, from: Data(text.utf8))
        else {
            throw SwarmError(.invalidArgument, "invalid filter: \(text)")
        }
        for key in parsed.keys.sorted() where !known.contains(key) {
            throw SwarmError(.invalidArgument, "Invalid filter '\(key)'")
        }
        return parsed.mapValues(\.values).filter { !$0.value.isEmpty }
    }
}

/// A field of a request's body.
private struct FieldName: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// Any JSON text: only the decoder's reading of it counts.
private struct WellFormed: Decodable {
    init(from decoder: any Decoder) throws {}
}

/// One filter's values in either of the two shapes that clients send.
private struct FilterValues: Decodable {
    var values: [String]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let list = try? container.decode([String].self) {
            values = list
        } else {
            values = try container.decode([String: Bool].self).filter(\.value).keys.sorted()
        }
    }
}

/// Finding objects as Docker does: full identifier, exact name, unique identifier prefix.
enum Lookup {
    static func find<Object: SwarmObject>(
        _ argument: String, _ kind: String, in objects: [Object], name: (Object) -> String?
    ) throws(SwarmError) -> Object {
        if let exact = objects.first(where: { $0.id == argument }) { return exact }
        let named = objects.filter { name($0) == argument }
        if let only = named.first, named.count == 1 { return only }
        let prefixed = argument.isEmpty ? [] : objects.filter { $0.id.hasPrefix(argument) }
        let matches = named.isEmpty ? prefixed : named
        guard matches.count <= 1 else {
            throw SwarmError(
                .invalidArgument, "\(kind) \(argument) is ambiguous (\(matches.count) matches found)")
        }
        guard let match = matches.first else { throw SwarmError(.notFound, "\(kind) \(argument) not found") }
        return match
    }

    /// The same without a walk through all objects where the whole identifier or name is given.
    static func find<Object: SwarmObject>(
        _ argument: String, _ kind: String, in table: Table<Object>, name: (Object) -> String?
    ) throws(SwarmError) -> Object {
        if let exact = table[argument] { return exact }
        if let named = table.named(argument), name(named) == argument { return named }
        return try find(argument, kind, in: table.sorted, name: name)
    }

    static func matches(_ labels: [String: String]?, _ wanted: [String]) -> Bool {
        wanted.allSatisfy { text in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
                String.init)
            guard let value = labels?[parts[0]] else { return false }
            return parts.count == 1 || value == parts[1]
        }
    }

    static func hasPrefix(_ text: String, _ prefixes: [String]) -> Bool {
        prefixes.isEmpty || prefixes.contains { text.hasPrefix($0) }
    }
}

/// Turns our errors into Docker's status codes.
enum StatusMapping {
    static func describe(_ error: any Error) -> APIError {
        guard let error = error as? SwarmError else { return APIError(.internalServerError, "\(error)") }
        let status: HTTPResponseStatus =
            switch error.code {
            case .invalidArgument, .failedPrecondition: .badRequest
            case .notFound: .notFound
            case .conflict: .conflict
            case .unauthenticated: .unauthorized
            case .permissionDenied: .forbidden
            case .unimplemented: .notImplemented
            case .unavailable, .notLeader: .serviceUnavailable
            case .outdatedVersion, .deadlineExceeded, .resourceExhausted, .unknown, .internal:
                .internalServerError
            }
        return APIError(status, error.description)
    }
}
