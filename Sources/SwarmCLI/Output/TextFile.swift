import FoundationEssentials
package import SwarmCore

#if canImport(Glibc)
    import Glibc
#endif

/// Small files that flags name.
package enum TextFile {
    /// The largest file that is read whole, in bytes; archives are streamed instead.
    static let bytesMax = 8 << 20

    package static func read(_ path: String) throws(SwarmError) -> String {
        String(decoding: try bytes(path), as: UTF8.self)
    }

    /// `-` means standard input.
    package static func bytes(_ path: String) throws(SwarmError) -> [UInt8] {
        let descriptor = path == "-" ? STDIN_FILENO : try open(path)
        defer { if path != "-" { close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SwarmError(.unknown, "read \(path): \(reason(errno))") }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= bytesMax else {
                throw SwarmError(.invalidArgument, "\(path) is larger than \(bytesMax) bytes")
            }
        }
    }

    /// Opens for reading; the caller closes.
    package static func open(_ path: String) throws(SwarmError) -> CInt {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SwarmError(.notFound, "open \(path): \(reason(errno))") }
        return descriptor
    }

    private static func reason(_ code: CInt) -> String {
        code == ENOENT ? "no such file or directory" : unsafe String(cString: strerror(code)).lowercasedFirst
    }
}

/// The user's logins at registries, as docker keeps them.
package enum RegistryLogin {
    /// The header for an image's registry; nil when nobody is logged in there.
    static func header(for image: String) -> String? {
        guard let reference = ImageReferenceParts(image) else { return nil }
        let home =
            ProcessEnvironment.current["DOCKER_CONFIG"] ?? (ProcessEnvironment.current["HOME"] ?? "/root")
            + "/.docker"
        // No file, or one that is not ours to judge, means no login.
        guard let text = try? TextFile.bytes(home + "/config.json") else { return nil }
        return header(server: reference.server, configuration: text)
    }

    /// Looks a server up in the text of docker's `config.json`.
    package static func header(server: String, configuration: [UInt8]) -> String? {
        struct Configuration: Decodable {
            struct Login: Decodable {
                var auth: String?
                var identitytoken: String?
            }
            var auths: [String: Login]?
        }
        struct Header: Encodable {
            var username: String
            var password: String
            var serveraddress: String
            var identitytoken: String?
        }
        guard let parsed = try? JSONDecoder().decode(Configuration.self, from: Data(configuration)),
            let login = parsed.auths?[server] ?? parsed.auths?["https://\(server)"],
            let auth = login.auth, let data = Data(base64Encoded: auth)
        else { return nil }
        let pair = String(decoding: data, as: UTF8.self)
        guard let colon = pair.firstIndex(of: ":") else { return nil }
        let header = Header(
            username: String(pair[..<colon]), password: String(pair[pair.index(after: colon)...]),
            serveraddress: server, identitytoken: login.identitytoken)
        guard let json = try? JSONEncoder().encode(header) else { return nil }
        return json.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
    }
}
