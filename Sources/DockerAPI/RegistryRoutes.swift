import EngineHTTP
import NIOHTTP1
import Ports
import SwarmCore
import SwarmNode

/// What this node asks registries for its clients: to let them in, and to search.
extension EngineRoutes {
    func addRegistries(_ router: inout Router) {
        router.on(.POST, "/auth") { request in
            let body = try await request.decode(LoginBody.self)
            let login = RegistryIdentity(
                username: body.username ?? "", password: body.password ?? "", identityToken: body.identitytoken ?? "")
            try await node.images.logIn(body.serveraddress ?? "", login)
            return try Self.json(["Status": "Login Succeeded", "IdentityToken": ""] as JSONDocument)
        }
        router.on(.GET, "/images/search") { request in
            let filters = try request.filters(["is-automated", "is-official", "stars"])
            let isAutomated = try Self.truth("is-automated", filters)
            let isOfficial = try Self.truth("is-official", filters)
            let stars = try (filters["stars"] ?? []).map { text in
                guard let count = Int(text) else {
                    throw SwarmError(.invalidArgument, "invalid filter 'stars=\(text)'")
                }
                return count
            }.max() ?? 0
            let found = try await node.images.search(
                request.value("term") ?? "", limit: try Self.searchLimit(request),
                registryAuth: request.head.headers.first(name: "x-registry-auth"))
            let wanted = found.filter { image in
                (isAutomated ?? image.isAutomated) == image.isAutomated
                    && (isOfficial ?? image.isOfficial) == image.isOfficial && image.stars >= stars
            }
            return try Self.json(wanted.map(Self.finding))
        }
    }

    /// How many images one search finds, unless it says: Docker's number.
    private static let searchStandard = 25
    private static let searchMax = 100

    private static func searchLimit(_ request: Request) throws(SwarmError) -> Int {
        guard let text = request.value("limit"), !text.isEmpty else { return searchStandard }
        guard let limit = Int(text) else {
            throw SwarmError(.invalidArgument, "strconv.Atoi: parsing \(JSONText.quoted(text)): invalid syntax")
        }
        guard limit != 0 else { return searchStandard }
        guard (1...searchMax).contains(limit) else {
            throw SwarmError(.invalidArgument, "Limit \(limit) is outside the range of [1, \(searchMax)]")
        }
        return limit
    }

    /// What a filter asks for; nil when it is not given.
    private static func truth(_ key: String, _ filters: [String: [String]]) throws(SwarmError) -> Bool? {
        guard let value = filters[key]?.first else { return nil }
        guard let truth = ["true": true, "1": true, "false": false, "0": false][value] else {
            throw SwarmError(.invalidArgument, "invalid filter '\(key)=[\(value)]'")
        }
        return truth
    }

    private static func finding(_ image: ImageFinding) -> JSONDocument {
        [
            "star_count": .integer(Int64(image.stars)), "is_official": .bool(image.isOfficial),
            "name": .string(image.name), "is_automated": .bool(image.isAutomated),
            "description": .string(image.description),
        ]
    }
}

/// The body of `POST /auth`, whose names are not written like others'.
private struct LoginBody: Decodable {
    var username: String?
    var password: String?
    var serveraddress: String?
    var identitytoken: String?
}
