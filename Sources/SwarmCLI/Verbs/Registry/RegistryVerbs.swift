import SwarmClient
import SwarmCore
import SwarmModel

#if canImport(Glibc)
    import Glibc
#endif

/// `swarmctl login`, `logout` and `search`.
enum RegistryVerbs {
    static let login = Command(
        "login", "Authenticate to a registry", usage: "[OPTIONS] [SERVER]", arguments: .atMost(1),
        flags: [
            Flag("password", short: "p", .string, "Password or Personal Access Token (PAT)"),
            Flag("password-stdin", .bool, "Take the Password or Personal Access Token (PAT) from stdin"),
            Flag("username", short: "u", .string, "Username"),
        ]
    ) { invocation in
        let console = invocation.console
        var (username, password) = (invocation.flag("username") ?? "", invocation.flag("password") ?? "")
        if invocation.isOn("password-stdin") {
            guard password.isEmpty else {
                throw CommandFailure("--password and --password-stdin are mutually exclusive")
            }
            guard !username.isEmpty else { throw CommandFailure("Must provide --username with --password-stdin") }
            password = String(decoding: try TextFile.bytes("-"), as: UTF8.self)
            while password.last?.isNewline == true { password.removeLast() }
        } else if !password.isEmpty {
            console.complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
        }
        if username.isEmpty {
            guard console.isInputTerminal else {
                throw CommandFailure("Error: Cannot perform an interactive login from a non TTY device")
            }
            console.write("Username: ")
            console.flush()
            username = (readLine() ?? "").trimmed
            guard !username.isEmpty else { throw CommandFailure("Error: Non-null Username Required") }
        }
        if password.isEmpty {
            guard console.isInputTerminal else {
                throw CommandFailure("Error: Cannot perform an interactive login from a non TTY device")
            }
            password = SecretLine.read("Password: ", console)
            guard !password.isEmpty else { throw CommandFailure("Error: Password Required") }
        }
        let server = LoginFile.server(invocation.arguments.first)
        let body = LoginRequest(username: username, password: password, serveraddress: server)
        let answer = try JSONValue(parsing: try await invocation.client.post("/auth", body: body))
        let file = LoginFile(environment: invocation.environment)
        try file.add(
            server, username: username, password: password, identityToken: answer["IdentityToken"]?.text ?? "")
        console.complain("WARNING! Your credentials are stored unencrypted in '\(file.path)'.")
        console.print(answer["Status"]?.text ?? "Login Succeeded")
    }

    static let logout = Command(
        "logout", "Log out from a registry", usage: "[SERVER]", arguments: .atMost(1)
    ) { invocation in
        let server = LoginFile.server(invocation.arguments.first)
        let shown = invocation.arguments.first ?? server
        _ = try LoginFile(environment: invocation.environment).remove(server)
        invocation.console.print("Removing login credentials for \(shown)")
    }

    private struct LoginRequest: Encodable, Sendable {
        var username: String
        var password: String
        var serveraddress: String
    }

    /// The longest description that is shown without `--no-trunc`.
    private static let descriptionColumns = 45

    static let search = Command(
        "search", "Search Docker Hub for images", usage: "[OPTIONS] TERM", arguments: .exactly(1),
        flags: [
            ListFlags.filter, Flag("format", .string, "Pretty-print search using a Go template"),
            Flag("limit", .int, "Max number of search results"), ListFlags.noTruncation,
        ]
    ) { invocation in
        var query: Query = ["term": invocation.arguments[0]]
        if let limit = invocation.flag("limit") { query.append("limit", limit) }
        query.append(filters: invocation.filters)
        let auth = RegistryLogin.header(for: invocation.arguments[0]).map { [("X-Registry-Auth", $0)] } ?? []
        let found = try JSONValue(
            parsing: try await invocation.client.bytes(.get, "/images/search", query, headers: auth)
        ).elements
        var listing = Listing(
            columns: [
                Column("Name", "NAME"), Column("Description", "DESCRIPTION"), Column("StarCount", "STARS"),
                Column("IsOfficial", "OFFICIAL"),
            ], shown: ["Name", "Description", "StarCount", "IsOfficial"], quietKey: "Name")
        let byStars = found.enumerated().sorted { left, right in
            let (more, fewer) = (left.element["star_count"]?.integer ?? 0, right.element["star_count"]?.integer ?? 0)
            return more != fewer ? more > fewer : left.offset < right.offset
        }.map(\.element)
        listing.rows = byStars.map { image in
            let text = (image["description"]?.text ?? "").replacing("\n", with: " ").replacing("\r", with: " ")
            return [
                "Name": .string(image["name"]?.text ?? ""),
                "Description": .string(invocation.isOn("no-trunc") ? text : text.ellipsis(descriptionColumns)),
                "StarCount": .string(String(image["star_count"]?.integer ?? 0)),
                "IsOfficial": .string(image["is_official"] == .bool(true) ? "[OK]" : ""),
            ]
        }
        invocation.console.write(try listing.render(format: invocation.flag("format")))
    }
}
