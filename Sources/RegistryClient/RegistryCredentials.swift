import FoundationEssentials
package import SwarmCore

/// What a user proves their identity with, as the `X-Registry-Auth` header carries it.
package struct RegistryCredentials: Sendable, Equatable {
    package var username = ""
    package var password = ""
    /// A refresh token, traded for an access token with the registry's token server.
    package var identityToken = ""
    /// An access token, sent as it is.
    package var registryToken = ""

    package init() {}

    package init(username: String, password: String) { (self.username, self.password) = (username, password) }

    package var isEmpty: Bool { username.isEmpty && identityToken.isEmpty && registryToken.isEmpty }
    package var isBasic: Bool { !username.isEmpty }

    /// `Basic` and the pair in base64 (RFC 7617).
    var basicAuthorization: String { "Basic " + Data("\(username):\(password)".utf8).base64EncodedString() }

    /// The largest header that is read, in bytes.
    static let bytesMax = 64 << 10

    private struct Wire: Decodable {
        var username: String?
        var password: String?
        var auth: String?
        var identitytoken: String?
        var registrytoken: String?
    }

    /// Reads the header: base64url of a JSON object; nothing and `{}` mean no credentials.
    package init?(header: String?) throws(SwarmError) {
        guard let header, !header.isEmpty else { return nil }
        guard header.utf8.count <= Self.bytesMax, let data = Self.decodeBase64(header),
            let wire = try? JSONDecoder().decode(Wire.self, from: data)
        else {
            throw SwarmError(
                .invalidArgument,
                "invalid X-Registry-Auth header: it is not the base64url encoding of a JSON object: log in again")
        }
        (username, password) = (wire.username ?? "", wire.password ?? "")
        (identityToken, registryToken) = (wire.identitytoken ?? "", wire.registrytoken ?? "")
        if username.isEmpty, let auth = wire.auth, let pair = Self.decodeBase64(auth) {
            let halves = String(decoding: pair, as: UTF8.self).split(
                separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            if halves.count == 2 { (username, password) = (String(halves[0]), String(halves[1])) }
        }
        if isEmpty { return nil }
    }

    /// Both alphabets, with and without padding: clients differ.
    private static func decodeBase64(_ text: String) -> Data? {
        var plain = text.replacing("-", with: "+").replacing("_", with: "/")
        while plain.hasSuffix("=") { plain.removeLast() }
        plain += String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)
        return Data(base64Encoded: plain)
    }
}
