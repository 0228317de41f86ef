import AsyncHTTPClient
import FoundationEssentials
import LibCrypto
import NIOCore
import NIOHTTP1
package import SwarmCore
package import SwarmModel

/// How registries are reached.
package struct RegistrySettings: Sendable {
    package var insecure: InsecureRegistries
    package var trust: TrustStore

    package init(insecure: InsecureRegistries = .init(), trust: TrustStore = .init()) {
        (self.insecure, self.trust) = (insecure, trust)
    }
}

/// One image's repository in its registry (OCI distribution specification), for the time of one pull.
package actor Repository {
    package nonisolated let reference: ImageReference
    nonisolated let address: RegistryAddress
    nonisolated let exchange: HTTPExchange
    let credentials: RegistryCredentials?

    /// `https://host:port`, once the registry has answered there.
    private var base: String?
    private var challenges: [Challenge] = []
    private var token: AccessToken?
    /// A manifest that came along when only its descriptor was asked for.
    private var fetched: [String: [UInt8]] = [:]

    private struct AccessToken {
        var value: String
        var expiry: ContinuousClock.Instant
    }

    /// The largest answer of a token server, in bytes.
    private static let tokenBytesMax = 256 << 10
    /// The largest error that is read, in bytes.
    static let errorBytesMax = 64 << 10
    /// How often a manifest is asked for before a server's failure counts.
    private static let attemptsMax = 3

    package init(
        _ reference: ImageReference, credentials: RegistryCredentials?, settings: RegistrySettings
    ) throws(SwarmError) {
        guard let address = RegistryAddress(domain: reference.domain) else {
            throw SwarmError(
                .invalidArgument, "invalid reference format: \(reference): no registry \(reference.domain)")
        }
        self.reference = reference
        self.address = address
        self.credentials = credentials
        exchange = HTTPExchange(insecure: settings.insecure, trust: settings.trust)
    }

    // MARK: Manifests

    /// What the reference names now. Asks without fetching, which registries with quotas do not count.
    package func resolve() async throws(SwarmError) -> BlobDescriptor {
        let name = reference.digest ?? reference.effectiveTag ?? ImageReference.defaultTag
        let response = try await manifestExchange(.HEAD, name)
        let type = response.headers.first(name: "content-type") ?? ""
        let digest = response.headers.first(name: "docker-content-digest") ?? reference.digest ?? ""
        let size = response.headers.first(name: "content-length").flatMap { Int64($0) }
        if let size, size > 0, ManifestDocument.isDigest(digest), MediaType.manifests.contains(type) {
            if let pinned = reference.digest, pinned != digest {
                throw SwarmError(
                    .unknown, "manifest verification failed for digest \(pinned): the registry answered with \(digest)")
            }
            return BlobDescriptor(mediaType: type, digest: digest, size: size)
        }
        return try await get(name, expected: reference.digest)
    }

    /// The manifest's bytes, whose digest has been verified.
    package func manifest(_ descriptor: BlobDescriptor) async throws(SwarmError) -> [UInt8] {
        if let bytes = fetched[descriptor.digest] { return bytes }
        _ = try await get(descriptor.digest, expected: descriptor.digest)
        return fetched[descriptor.digest] ?? []
    }

    private func get(_ name: String, expected: String?) async throws(SwarmError) -> BlobDescriptor {
        let response = try await manifestExchange(.GET, name)
        let what = HTTPExchange.shown(.GET, "\(base ?? "")/v2/\(reference.path)/manifests/\(name)")
        let bytes: [UInt8]
        do {
            bytes = try await HTTPExchange.collect(response, limit: ManifestDocument.bytesMax, what: what)
        } catch {
            throw error.error
        }
        let digest = SHA256.digest(of: bytes)
        if let expected, expected != digest {
            throw SwarmError(
                .unknown, "manifest verification failed for digest \(expected): the registry sent \(digest)")
        }
        fetched[digest] = bytes
        let type = (response.headers.first(name: "content-type") ?? "").prefix { $0 != ";" }
        return BlobDescriptor(mediaType: String(type), digest: digest, size: Int64(bytes.count))
    }

    private func manifestExchange(_ method: HTTPMethod, _ name: String) async throws(SwarmError) -> HTTPClientResponse {
        var backoff = Backoff(initial: .milliseconds(200), maximum: .seconds(2))
        var generator = SystemRandomNumberGenerator()
        while true {
            do throws(TransferFailure) {
                let response = try await request(
                    method, "manifests/\(name)", [("accept", MediaType.manifests.joined(separator: ", "))])
                if response.status == .ok { return response }
                // Some registries answer HEAD with nothing useful.
                if method == .HEAD && response.status == .methodNotAllowed { return response }
                throw await failure(of: response, .manifest)
            } catch {
                guard error.mayRetry, backoff.attempts + 1 < Self.attemptsMax else { throw error.error }
                try? await Task.sleep(for: backoff.next(using: &generator))
                guard !Task.isCancelled else { throw error.error }
            }
        }
    }

    // MARK: Requests

    /// One request below `/v2/<repository>/`, with what the registry asks for to let us in.
    func request(
        _ method: HTTPMethod, _ path: String, _ headers: [(String, String)]
    ) async throws(TransferFailure) -> HTTPClientResponse {
        let base = try await connect()
        for attempt in 0...1 {
            var fields = HTTPHeaders(headers)
            if let authorization = try await authorization() { fields.add(name: "authorization", value: authorization) }
            let response = try await exchange.send(method, "\(base)/v2/\(reference.path)/\(path)", headers: fields)
            guard response.status == .unauthorized, attempt == 0 else { return response }
            // A token may have expired, or the registry asks for more here than at its front door.
            let asked = Challenge.parse(response.headers["www-authenticate"])
            guard !asked.isEmpty, token != nil || asked != challenges else { return response }
            (challenges, token) = (asked, nil)
        }
        preconditionFailure("the second attempt returned or threw")
    }

    /// Finds out how the registry is spoken to: TLS first; without it only where the operator allows.
    func connect() async throws(TransferFailure) -> String {
        if let base { return base }
        let schemes = exchange.insecure.contains(address) ? ["https", "http"] : ["https"]
        var failure: TransferFailure?
        for scheme in schemes {
            let candidate = "\(scheme)://\(address)"
            let response: HTTPClientResponse
            do throws(TransferFailure) {
                response = try await exchange.send(.GET, "\(candidate)/v2/", headers: [:])
            } catch {
                // A refused connection is no reason to try again: whoever asked will.
                failure = TransferFailure(error.error, mayRetry: false)
                continue
            }
            switch response.status {
            case .ok: challenges = []
            case .unauthorized: challenges = Challenge.parse(response.headers["www-authenticate"])
            case .notFound:
                throw TransferFailure(
                    SwarmError(.unavailable, "\(candidate)/v2/: \(address) is no registry of API version 2"),
                    mayRetry: false)
            default: throw await self.failure(of: response, .ping)
            }
            base = candidate
            return candidate
        }
        throw failure ?? TransferFailure(SwarmError(.internal, "no way to reach \(address)"), mayRetry: false)
    }

    // MARK: Authorization

    /// - Parameter scope: what a token is asked for; pulling from this repository unless the registry says itself.
    func authorization(scope: String? = nil) async throws(TransferFailure) -> String? {
        if let given = credentials?.registryToken, !given.isEmpty { return "Bearer \(given)" }
        if let bearer = challenges.first(where: { $0.scheme == "bearer" }) {
            if let token, token.expiry > .now { return "Bearer \(token.value)" }
            let fresh = try await fetchToken(bearer, scope: scope)
            token = fresh
            return "Bearer \(fresh.value)"
        }
        guard challenges.contains(where: { $0.scheme == "basic" }), let credentials, credentials.isBasic else {
            return nil
        }
        return credentials.basicAuthorization
    }

    /// Asks the registry's token server (Docker's token authentication specification).
    private func fetchToken(
        _ challenge: Challenge, scope: String?
    ) async throws(TransferFailure) -> AccessToken {
        guard let realm = challenge.parameters["realm"], let url = URL(string: realm), let scheme = url.scheme,
            let host = url.host()
        else {
            throw TransferFailure(
                SwarmError(.unauthenticated, "\(address) asks for a token but does not say where to get one"),
                mayRetry: false)
        }
        let realmAddress = RegistryAddress(host)
        let isGuarded = scheme == "https" || realmAddress.map { exchange.insecure.contains($0) } ?? false
        guard isGuarded || credentials == nil else {
            throw TransferFailure(
                SwarmError(
                    .permissionDenied, "\(address) asks for credentials at \(realm), which is not protected by TLS"),
                mayRetry: false)
        }
        let scope = challenge.parameters["scope"] ?? scope ?? "repository:\(reference.path):pull"
        var fields = scope.isEmpty ? [] : [("scope", scope)]
        if let service = challenge.parameters["service"] { fields.insert(("service", service), at: 0) }
        let response: HTTPClientResponse
        if let refresh = credentials?.identityToken, !refresh.isEmpty {
            fields += [("grant_type", "refresh_token"), ("client_id", "swarmd"), ("refresh_token", refresh)]
            response = try await exchange.send(.POST, realm, headers: [:], form: Self.encode(fields))
        } else {
            var headers = HTTPHeaders()
            if let credentials, credentials.isBasic {
                headers.add(name: "authorization", value: credentials.basicAuthorization)
                fields.append(("account", credentials.username))
            }
            let separator = realm.contains("?") ? "&" : "?"
            response = try await exchange.send(.GET, realm + separator + Self.encode(fields), headers: headers)
        }
        guard response.status == .ok else { throw await failure(of: response, .token) }
        let bytes = try await HTTPExchange.collect(
            response, limit: Self.tokenBytesMax, what: HTTPExchange.shown(.GET, realm))
        guard let answer = try? JSONDecoder().decode(TokenAnswer.self, from: Data(bytes)),
            let value = answer.token ?? answer.accessToken, !value.isEmpty,
            value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else {
            throw TransferFailure(
                SwarmError(.unauthenticated, "the token server \(realm) did not answer with a token"), mayRetry: false)
        }
        // Renewed a little early; the specification's default is a minute.
        let seconds = min(max(answer.expiresIn ?? 60, 10), 24 * 3600)
        return AccessToken(value: value, expiry: .now + .seconds(seconds * 9 / 10))
    }

    private struct TokenAnswer: Decodable {
        var token: String?
        var accessToken: String?
        var expiresIn: Int?

        enum CodingKeys: String, CodingKey {
            case token, accessToken = "access_token", expiresIn = "expires_in"
        }
    }

    /// `application/x-www-form-urlencoded`: everything but unreserved characters escaped (RFC 3986 §2.3).
    static func encode(_ fields: [(String, String)]) -> String {
        func escape(_ text: String) -> String {
            var result = ""
            for byte in text.utf8 {
                let character = Character(UnicodeScalar(byte))
                let isPlain = byte < 0x80 && (character.isLetter || character.isNumber || "-._~".contains(character))
                let digits = String(byte, radix: 16, uppercase: true)
                result += isPlain ? String(character) : "%" + (digits.count == 1 ? "0" : "") + digits
            }
            return result
        }
        return fields.map { "\(escape($0.0))=\(escape($0.1))" }.joined(separator: "&")
    }

    // MARK: Failures

    enum Subject { case ping, token, manifest, blob(String) }

    /// What a refusal means, in the words that Docker's users know.
    func failure(of response: HTTPClientResponse, _ subject: Subject) async -> TransferFailure {
        // A refusal whose explanation cannot be read is explained by its status.
        let body = (try? await HTTPExchange.collect(response, limit: Self.errorBytesMax, what: "")) ?? []
        let told = RegistryErrors.words(body)
        let name = reference.familiarName
        func denied(_ fallback: String) -> String {
            "pull access denied for \(name), repository does not exist or may require 'docker login': "
                + (told?.text ?? fallback)
        }
        switch response.status.code {
        case 401 where credentials != nil:
            let text = "unauthorized: authentication required: \(address) refused the credentials given for \(name)"
            return TransferFailure(SwarmError(.unauthenticated, text), mayRetry: false)
        case 401:
            return TransferFailure(
                SwarmError(.unauthenticated, denied("unauthorized: authentication required")), mayRetry: false)
        case 403:
            return TransferFailure(
                SwarmError(.permissionDenied, denied("denied: requested access to the resource is denied")),
                mayRetry: false)
        case 404:
            let text =
                switch subject {
                case .blob(let digest): "blob \(digest) of \(name) not found: \(told?.text ?? "blob unknown")"
                case _ where told?.code == "NAME_UNKNOWN": "repository \(name) not found: \(told?.text ?? "")"
                default:
                    "manifest for \(reference.familiar) not found: "
                        + (told?.text ?? "manifest unknown: manifest unknown")
                }
            return TransferFailure(SwarmError(.notFound, text), mayRetry: false)
        default:
            let status = "\(response.status.code) \(response.status.reasonPhrase)"
            let text = told?.text ?? "received unexpected HTTP status: \(status)"
            let mayRetry = response.status.code >= 500 || response.status == .tooManyRequests
            return TransferFailure(SwarmError(.unavailable, "\(address): \(text)"), mayRetry: mayRetry)
        }
    }
}

/// The registry's own explanation (OCI distribution specification, "Error Codes").
enum RegistryErrors {
    private struct Answer: Decodable {
        var errors: [Entry]?
        var details: String?

        struct Entry: Decodable {
            var code: String?
            var message: String?
        }
    }

    /// The longest explanation that is passed on, in characters.
    private static let charactersMax = 400

    static func words(_ body: [UInt8]) -> (code: String, text: String)? {
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(body)) else { return nil }
        guard let first = answer.errors?.first, let code = first.code else {
            return answer.details.map { ("", printable($0)) }
        }
        let lower = code.lowercased().replacing("_", with: " ")
        return (code, printable("\(lower): \(first.message ?? lower)"))
    }

    /// Without control characters: it goes to terminals.
    private static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }))
            .prefix(charactersMax).description
    }
}
