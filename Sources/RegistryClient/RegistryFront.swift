import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
package import SwarmCore
import SwarmModel

/// What is asked of a registry as a whole: whether it knows someone, and what its index has.
package struct RegistryFront: Sendable {
    private let settings: RegistrySettings

    package init(settings: RegistrySettings) { self.settings = settings }

    /// Docker Hub's name among those whom people are logged in at.
    private static let hub = "index.docker.io"
    /// The largest answer of an index, in bytes.
    private static let answerBytesMax = 8 << 20

    /// Asks the registry's front door with someone's credentials, before a client keeps them.
    ///
    /// - Parameter server: as clients write it: `host[:port]`, or a whole URL; nothing is Docker Hub.
    /// - Throws: `.unauthenticated` when the registry refuses them; otherwise why it could not be asked.
    package func logIn(_ server: String, _ credentials: RegistryCredentials) async throws(SwarmError) {
        let host = Self.host(of: server)
        // A name without a dot would be a folder of Docker Hub's. Any repository will do: only the front door is asked.
        let isPlain = !host.contains { ".:".contains($0) } && host != "localhost"
        guard let reference = ImageReference("\(host)\(isPlain ? ":443" : "")/login") else {
            throw SwarmError(.invalidArgument, "\(server) is no registry's address: expected HOST or HOST:PORT")
        }
        let repository = try Repository(reference, credentials: credentials, settings: settings)
        do throws(TransferFailure) {
            let response = try await repository.knock()
            guard response.status != .ok else { return }
            guard response.status == .unauthorized else { throw await repository.failure(of: response, .ping) }
            throw TransferFailure(await Self.refusal(response, at: repository.address), mayRetry: false)
        } catch {
            throw error.error
        }
    }

    private static func refusal(_ response: HTTPClientResponse, at address: RegistryAddress) async -> SwarmError {
        // A refusal whose explanation cannot be read is explained by its status.
        let body = (try? await HTTPExchange.collect(response, limit: Repository.errorBytesMax, what: "")) ?? []
        let words = RegistryErrors.words(body)?.text ?? "unauthorized: incorrect username or password"
        return SwarmError(.unauthenticated, "Get \"https://\(address)/v2/\": \(words)")
    }

    private static func host(of server: String) -> String {
        let bare = server.firstRange(of: "://").map { String(server[$0.upperBound...]) } ?? server
        let host = String(bare.prefix { $0 != "/" })
        return host.isEmpty || host == "docker.io" ? hub : host
    }

    /// What an index finds (version 1 of Docker's registry API, the only one that searches).
    ///
    /// - Parameter term: a word, with `host/` before it for an index that is not Docker Hub's.
    package func search(
        _ term: String, limit: Int, _ credentials: RegistryCredentials?
    ) async throws(SwarmError) -> [FoundImage] {
        var (host, word) = (Self.hub, term)
        if let slash = term.firstIndex(of: "/") {
            let first = String(term[..<slash])
            if first.contains(".") || first.contains(":") || first == "localhost" {
                (host, word) = (Self.host(of: first), String(term[term.index(after: slash)...]))
            }
        }
        guard let address = RegistryAddress(host), !word.isEmpty else {
            throw SwarmError(.invalidArgument, "invalid reference format: \(term)")
        }
        let exchange = HTTPExchange(insecure: settings.insecure, trust: settings.trust)
        var headers: HTTPHeaders = [:]
        if let credentials, credentials.isBasic {
            headers.add(name: "authorization", value: credentials.basicAuthorization)
        }
        let query = Repository.encode([("q", word), ("n", String(limit))])
        var failure: SwarmError?
        for scheme in exchange.insecure.contains(address) ? ["https", "http"] : ["https"] {
            let url = "\(scheme)://\(address)/v1/search?\(query)"
            do throws(TransferFailure) {
                let response = try await exchange.send(.GET, url, headers: headers)
                let bytes = try await HTTPExchange.collect(response, limit: Self.answerBytesMax, what: url)
                guard response.status == .ok, let answer = try? JSONDecoder().decode(Answer.self, from: Data(bytes))
                else {
                    // An answer says more than that nobody speaks TLS there.
                    failure = SwarmError(.unavailable, "Unexpected status code \(response.status.code) of \(address)")
                    continue
                }
                return answer.results ?? []
            } catch { failure = failure ?? error.error }
        }
        throw failure ?? SwarmError(.internal, "no way to reach \(address)")
    }

    private struct Answer: Decodable { var results: [FoundImage]? }
}

extension Repository {
    /// One request to the front door, with what it asks for.
    func knock() async throws(TransferFailure) -> HTTPClientResponse {
        let base = try await connect()
        var headers: HTTPHeaders = [:]
        if let authorization = try await authorization(scope: "") {
            headers.add(name: "authorization", value: authorization)
        }
        return try await exchange.send(.GET, "\(base)/v2/", headers: headers)
    }
}

/// One image that an index found.
package struct FoundImage: Sendable, Equatable, Decodable {
    package var name: String
    package var description: String?
    package var stars: Int?
    package var isOfficial: Bool?
    package var isAutomated: Bool?

    enum CodingKeys: String, CodingKey {
        case name, description, stars = "star_count", isOfficial = "is_official", isAutomated = "is_automated"
    }
}
