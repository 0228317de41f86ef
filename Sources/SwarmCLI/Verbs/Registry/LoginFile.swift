import FoundationEssentials
import SwarmClient
package import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// Docker's `config.json`, as far as logins go; everything else in it stays as it is.
package struct LoginFile: Sendable {
    package let path: String

    package init(environment: [String: String]) {
        let folder = environment["DOCKER_CONFIG"] ?? (environment["HOME"] ?? "/root") + "/.docker"
        path = folder + "/config.json"
    }

    /// Under what name a registry's login is kept; Docker Hub's under its old address.
    package static func server(_ argument: String?) -> String {
        guard let argument, !argument.isEmpty, argument != "docker.io", argument != "index.docker.io" else {
            return ImageReferenceParts.defaultServer
        }
        guard let scheme = argument.firstRange(of: "://"), argument != ImageReferenceParts.defaultServer else {
            return argument
        }
        return String(argument[scheme.upperBound...].prefix { $0 != "/" })
    }

    package func add(
        _ server: String, username: String, password: String, identityToken: String
    ) throws(SwarmError) {
        // A token stands for the password, which then is written nowhere.
        let pair = identityToken.isEmpty ? "\(username):\(password)" : "\(username):"
        var login = [JSONMember("auth", .string(Data(pair.utf8).base64EncodedString()))]
        if !identityToken.isEmpty { login.append(JSONMember("identitytoken", .string(identityToken))) }
        try change { logins in
            logins.removeAll { $0.key == server }
            logins.append(JSONMember(server, .object(login)))
        }
    }

    /// - Returns: false when there was no such login.
    package func remove(_ server: String) throws(SwarmError) -> Bool {
        guard try read()["auths"]?[server] != nil else { return false }
        try change { $0.removeAll { $0.key == server } }
        return true
    }

    private func read() throws(SwarmError) -> JSONValue {
        guard FileManager.default.fileExists(atPath: path) else { return .object([]) }
        do throws(SwarmError) {
            return try JSONValue(parsing: try TextFile.bytes(path))
        } catch {
            throw SwarmError(.invalidArgument, "\(path) cannot be read: \(error.message): mend or remove it")
        }
    }

    private func change(_ body: (inout [JSONMember]) -> Void) throws(SwarmError) {
        var members = try read().members
        var logins = members.first { $0.key == "auths" }?.value.members ?? []
        body(&logins)
        members.removeAll { $0.key == "auths" }
        members.insert(JSONMember("auths", .object(logins)), at: 0)
        try write(JSONValue.object(members).indented + "\n")
    }

    /// In one step and for the user alone: it has passwords.
    private func write(_ text: String) throws(SwarmError) {
        let folder = String(path.dropLast("/config.json".count))
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw SwarmError(.permissionDenied, "cannot make the folder \(folder)", cause: "\(error)")
        }
        let draft = path + ".\(getpid())"
        let descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SwarmError(.permissionDenied, "cannot write \(draft): errno \(errno)") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard count == bytes.count, fsync(descriptor) == 0, unsafe rename(draft, path) == 0 else {
            unsafe unlink(draft)
            throw SwarmError(.resourceExhausted, "cannot write \(path): errno \(errno)")
        }
    }
}
