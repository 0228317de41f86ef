import AsyncHTTPClient
import FoundationEssentials
package import NIOCore
import NIOHTTP1
package import SwarmCore

/// A typed client of the engine's HTTP API.
///
/// Paths carry no version: every engine then speaks its newest, and no request is needed to negotiate one.
package final class EngineClient: Sendable {
    /// The largest JSON answer that is read, in bytes; lists of some ten thousand tasks stay below.
    static let answerBytesMax = 64 << 20
    /// How long a connection may take to be made.
    static let connectTimeoutSeconds: Int64 = 10
    /// Answers may take long (joins, pulls); streams have no end. Requests carry no deadline of their own.
    static let requestTimeoutHours: Int64 = 24 * 365

    package let host: EngineHost
    private let http: HTTPClient

    /// - Throws: `.invalidArgument` when a file of the host's TLS cannot be used.
    package init(host: EngineHost) throws(SwarmError) {
        self.host = host
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .seconds(Self.connectTimeoutSeconds)
        // A daemon that is not there is reported at once instead of being tried again in the background.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.redirectConfiguration = .disallow
        configuration.tlsConfiguration = try host.security?.configuration()
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    package func shutDown() async {
        // The process ends next; a connection that does not close cleanly harms nobody.
        try? await http.shutdown()
    }

    // MARK: Requests with whole answers

    /// The bytes of an answer, for callers that print or search it.
    package func bytes(
        _ method: HTTPVerb, _ path: String, _ query: Query = [:], headers: [(String, String)] = []
    ) async throws(SwarmError) -> [UInt8] {
        try await collect(try await open(method, path, query, headers: headers))
    }

    package func json(_ path: String, _ query: Query = [:]) async throws(SwarmError) -> JSONValue {
        try JSONValue(parsing: try await bytes(.get, path, query))
    }

    package func get<Answer: Decodable>(
        _ path: String, _ query: Query = [:], as type: Answer.Type = Answer.self
    ) async throws(SwarmError) -> Answer {
        try Self.decode(try await bytes(.get, path, query))
    }

    /// Sends a JSON body and returns the answer's bytes.
    @discardableResult
    package func post(
        _ path: String, _ query: Query = [:], body: some Encodable & Sendable,
        headers: [(String, String)] = []
    ) async throws(SwarmError) -> [UInt8] {
        let encoded = try Self.encode(body)
        let headers = headers + [("Content-Type", "application/json")]
        return try await collect(
            try await open(.post, path, query, headers: headers, body: .bytes(ByteBuffer(bytes: encoded))))
    }

    // MARK: Streams

    /// Opens an answer that is read as it comes.
    package func stream(
        _ method: HTTPVerb, _ path: String, _ query: Query = [:], headers: [(String, String)] = []
    ) async throws(SwarmError) -> EngineStream {
        EngineStream(body: try await open(method, path, query, headers: headers).body)
    }

    /// Sends a file's bytes as they are read and opens the answer.
    package func upload(
        _ path: String, _ query: Query = [:], method: HTTPVerb = .post, contentType: String,
        from source: some AsyncSequence<ByteBuffer, any Error> & Sendable
    ) async throws(SwarmError) -> EngineStream {
        let body = HTTPClientRequest.Body.stream(source, length: .unknown)
        let response = try await open(
            method, path, query, headers: [("Content-Type", contentType)], body: body)
        return EngineStream(body: response.body)
    }

    /// A path of a container: what is there, and with `get` a tar archive of it.
    package func archive(
        _ method: HTTPVerb, of container: String, _ path: String
    ) async throws(SwarmError) -> (status: JSONValue, archive: EngineStream) {
        let response = try await open(method, "/containers/\(container)/archive", ["path": path], headers: [])
        let header = response.headers.first(name: "x-docker-container-path-stat") ?? ""
        guard let decoded = Data(base64Encoded: header) else {
            throw SwarmError(.unknown, "the engine does not say what \(path) is")
        }
        return (try JSONValue(parsing: Array(decoded)), EngineStream(body: response.body))
    }

    // MARK: Steps

    private func open(
        _ method: HTTPVerb, _ path: String, _ query: Query, headers: [(String, String)],
        body: HTTPClientRequest.Body? = nil
    ) async throws(SwarmError) -> HTTPClientResponse {
        let target = PercentCoding.encode(path, keeping: "/:@") + query.text
        var request = HTTPClientRequest(url: host.url(target))
        request.method = method.method
        request.headers.add(name: "Host", value: host.name)
        request.headers.add(name: "User-Agent", value: "swarmctl")
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        request.body = body
        let response: HTTPClientResponse
        do {
            response = try await http.execute(request, timeout: .hours(Self.requestTimeoutHours))
        } catch {
            throw Self.unreachable(host, error)
        }
        guard (200...299).contains(response.status.code) else { throw try await refusal(response) }
        return response
    }

    private func collect(_ response: HTTPClientResponse) async throws(SwarmError) -> [UInt8] {
        do {
            let buffer = try await response.body.collect(upTo: Self.answerBytesMax)
            return Array(buffer.readableBytesView)
        } catch {
            throw SwarmError(
                .unavailable, "the connection to \(host) broke before the answer ended", cause: "\(error)")
        }
    }

    private func refusal(_ response: HTTPClientResponse) async throws(SwarmError) -> SwarmError {
        EngineRefusal.error(status: Int(response.status.code), body: try await collect(response))
    }

    static func unreachable(_ host: EngineHost, _ error: any Error) -> SwarmError {
        if let error = error as? SwarmError { return error }
        let text = "\(error)"
        if text.contains("ermission denied") || text.contains("errno: 13)") {
            return SwarmError(
                .permissionDenied,
                "permission denied while trying to connect to the engine at \(host): run as root")
        }
        let question =
            host.security == nil
            ? "Is swarmd running?" : "Is swarmd running, and does each side trust the other's certificate?"
        return SwarmError(.unavailable, "Cannot connect to the Docker daemon at \(host). \(question)", cause: text)
    }

    static func decode<Answer: Decodable>(_ bytes: [UInt8]) throws(SwarmError) -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(bytes))
        } catch {
            throw SwarmError(.unknown, "the engine's answer is not what was asked for", cause: "\(error)")
        }
    }

    static func encode(_ value: some Encodable) throws(SwarmError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        do {
            return Array(try encoder.encode(value))
        } catch {
            throw SwarmError(.internal, "the request cannot be written as JSON", cause: "\(error)")
        }
    }
}

/// The methods that the engine's API uses.
package enum HTTPVerb: Sendable {
    case get, post, put, delete, head

    var method: HTTPMethod {
        switch self {
        case .get: .GET
        case .post: .POST
        case .put: .PUT
        case .delete: .DELETE
        case .head: .HEAD
        }
    }
}

/// What the engine says when it refuses.
package enum EngineRefusal {
    /// An error in Docker's words: the prefix is what scripts look for.
    package static func error(status: Int, body: [UInt8]) -> SwarmError {
        let message =
            (try? JSONValue(parsing: body))?["message"]?.text
            ?? trimmed(String(decoding: body, as: UTF8.self))
        let code: SwarmError.Code =
            switch status {
            case 400: .invalidArgument
            case 401: .unauthenticated
            case 403: .permissionDenied
            case 404: .notFound
            case 409: .conflict
            case 501: .unimplemented
            case 503: .unavailable
            default: .unknown
            }
        guard !message.isEmpty else {
            return SwarmError(
                code,
                "request returned status \(status), check if the server supports the requested API version")
        }
        return SwarmError(code, "Error response from daemon: \(message)")
    }

    private static func trimmed(_ text: String) -> String {
        var text = Substring(text)
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}

extension JSONValue {
    /// A value as its encoding writes it, members by name.
    package init(encoding value: some Encodable) throws(SwarmError) {
        self = try JSONValue(parsing: try EngineClient.encode(value))
    }
}
