import Foundation
import SwarmCLI
import SwarmCore
import Testing

/// `login` and `logout` in docker's `config.json`.
@Suite struct LoginFileTests {
    private func withFile(_ body: (LoginFile, String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.path + "/login-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(LoginFile(environment: ["DOCKER_CONFIG": folder]), folder + "/config.json")
    }

    @Test func `a login is kept beside what else is in the file, for its user alone`() throws {
        try withFile { file, path in
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try Data("{\"psFormat\": \"x\", \"auths\": {\"old\": {\"auth\": \"eA==\"}}}".utf8)
                .write(to: URL(filePath: path))
            try file.add("new", username: "ann", password: "a:b", identityToken: "")
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.contains("\"psFormat\": \"x\""))
            #expect(text.contains("\"old\""))
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            let header = try #require(RegistryLogin.header(server: "new", configuration: Array(text.utf8)))
            let plain = header.replacing("-", with: "+").replacing("_", with: "/")
            let decoded = String(decoding: try #require(Data(base64Encoded: plain)), as: UTF8.self)
            #expect(decoded.contains("\"password\":\"a:b\""))
            #expect(try file.remove("new"))
            #expect(try !file.remove("new"))
            #expect(try String(contentsOfFile: path, encoding: .utf8).contains("\"old\""))
        }
    }

    @Test func `a token stands for the password`() throws {
        try withFile { file, path in
            try file.add("r", username: "ann", password: "secret", identityToken: "t0ken")
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.contains("t0ken"))
            #expect(!text.contains(Data("ann:secret".utf8).base64EncodedString()))
        }
    }

    @Test func `a file that cannot be read is not written over`() throws {
        try withFile { file, path in
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try Data("{broken".utf8).write(to: URL(filePath: path))
            #expect(throws: SwarmError.self) { try file.add("r", username: "a", password: "b", identityToken: "") }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "{broken")
        }
    }

    @Test(arguments: [
        ("", "https://index.docker.io/v1/"), ("docker.io", "https://index.docker.io/v1/"),
        ("https://index.docker.io/v1/", "https://index.docker.io/v1/"), ("localhost:5000", "localhost:5000"),
        ("https://r.example:1/v2/", "r.example:1"),
    ])
    func `servers are kept under one name`(given: String, kept: String) {
        #expect(LoginFile.server(given) == kept)
    }
}
