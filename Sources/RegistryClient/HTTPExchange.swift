import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOSSL
import SwarmCore

/// An attempt that failed, and whether another one may succeed.
struct TransferFailure: Error {
    var error: SwarmError
    var mayRetry: Bool

    init(_ error: SwarmError, mayRetry: Bool) { (self.error, self.mayRetry) = (error, mayRetry) }
}

/// One HTTP request and the head of its answer, redirects followed.
struct HTTPExchange: Sendable {
    /// Connections are kept and shared by all registries; the client lives as long as the process.
    private static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        // Redirects are followed here, where it is known which hosts may see credentials.
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = connectTimeout
        configuration.timeout.read = idleTimeout
        configuration.httpVersion = .http1Only
        // The first failure is the one that explains most; whether to try again is decided by the caller.
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroup: HTTPClient.defaultEventLoopGroup, configuration: configuration)
    }()

    private static let connectTimeout = TimeAmount.seconds(15)
    /// How long a peer may be silent in the middle of an answer.
    private static let idleTimeout = TimeAmount.seconds(60)
    /// How long the head of an answer may take.
    private static let headTimeout = TimeAmount.seconds(60)
    private static let redirectsMax = 5
    private static let redirects: [HTTPResponseStatus] = [
        .movedPermanently, .found, .seeOther, .temporaryRedirect, .permanentRedirect,
    ]

    let insecure: InsecureRegistries
    let trust: TrustStore

    /// Sends a request and follows where it is redirected to; another host never sees the Authorization header.
    /// - Parameter verifies: false where the registry's certificate does not matter.
    func send(
        _ method: HTTPMethod, _ url: String, headers: HTTPHeaders, form: String? = nil
    ) async throws(TransferFailure) -> HTTPClientResponse {
        var (current, headers) = (url, headers)
        for _ in 0...Self.redirectsMax {
            let origin = try Self.origin(of: current)
            let response = try await once(method, current, origin, headers, form)
            guard Self.redirects.contains(response.status) else { return response }
            guard let location = response.headers.first(name: "location"), location.utf8.count <= 16 << 10,
                let next = URL(string: location, relativeTo: URL(string: current))?.absoluteString
            else {
                throw TransferFailure(
                    SwarmError(.unknown, "\(Self.shown(method, current)): redirected to no valid address"),
                    mayRetry: false)
            }
            let target = try Self.origin(of: next)
            if origin.scheme == "https" && target.scheme == "http" && !insecure.contains(target.address) {
                throw TransferFailure(
                    SwarmError(
                        .permissionDenied,
                        "\(Self.shown(method, current)): redirected to \(target.address) without TLS: allow it with "
                            + "--insecure-registry \(target.address) if that is meant"),
                    mayRetry: false)
            }
            if target != origin { headers.remove(name: "authorization") }
            current = next
        }
        throw TransferFailure(
            SwarmError(.unknown, "\(Self.shown(method, url)): more than \(Self.redirectsMax) redirects"),
            mayRetry: false)
    }

    private func once(
        _ method: HTTPMethod, _ url: String, _ origin: Origin, _ headers: HTTPHeaders, _ form: String?
    ) async throws(TransferFailure) -> HTTPClientResponse {
        var request = HTTPClientRequest(url: url)
        request.method = method
        request.headers = headers
        request.headers.replaceOrAdd(name: "user-agent", value: "swarmd")
        if let form {
            request.headers.replaceOrAdd(name: "content-type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(ByteBuffer(string: form))
        }
        if origin.scheme == "https" {
            do {
                request.tlsConfiguration = try trust.configuration(
                    for: origin.address, verifies: !insecure.contains(origin.address))
            } catch {
                throw TransferFailure(error, mayRetry: false)
            }
        }
        do {
            return try await Self.client.execute(request, deadline: .now() + Self.headTimeout)
        } catch {
            throw FailureWords.describe(error, Self.shown(method, url), origin.address)
        }
    }

    /// Reads a whole answer of at most `limit` bytes.
    static func collect(
        _ response: HTTPClientResponse, limit: Int, what: String
    ) async throws(TransferFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        do {
            for try await part in response.body {
                guard bytes.count + part.readableBytes <= limit else {
                    throw TransferFailure(
                        SwarmError(.resourceExhausted, "\(what): the answer is larger than \(limit) bytes"),
                        mayRetry: false)
                }
                bytes += part.readableBytesView
            }
        } catch let failure as TransferFailure {
            throw failure
        } catch {
            throw FailureWords.describe(error, what, nil)
        }
        return bytes
    }

    /// `Get "https://host/v2/"`, as Go's clients begin their errors.
    static func shown(_ method: HTTPMethod, _ url: String) -> String {
        // What follows a question mark may be a signature that opens the blob to everybody.
        let place = url.prefix { $0 != "?" }
        return "\(method.rawValue.prefix(1))\(method.rawValue.dropFirst().lowercased()) \"\(place)\""
    }

    private struct Origin: Equatable {
        var scheme: String
        var address: RegistryAddress
    }

    private static func origin(of url: String) throws(TransferFailure) -> Origin {
        guard let parsed = URL(string: url), let scheme = parsed.scheme?.lowercased(),
            ["http", "https"].contains(scheme), let host = parsed.host(), var address = RegistryAddress(host)
        else {
            throw TransferFailure(
                SwarmError(.invalidArgument, "the registry names an invalid address: \(url.prefix(200))"),
                mayRetry: false)
        }
        address.port = parsed.port.flatMap { UInt16(exactly: $0) }
        return Origin(scheme: scheme, address: address)
    }
}
