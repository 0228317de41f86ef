import FoundationEssentials
import Glibc
import SwarmCore
import Testing

@testable import ContainerdRuntime

/// Shell commands, for what only the real tools can prove.
enum Shell {
    @discardableResult static func run(_ command: String) throws -> String {
        let stream = try #require(popen("(\(command)) 2>&1", "r"))
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, stream), count > 0 { output += buffer[..<count] }
        let status = pclose(stream)
        let text = String(decoding: output, as: UTF8.self)
        guard status == 0 else { throw SwarmError(.unknown, "\(command): \(text)") }
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }
}

/// Debian's docker-registry on a port of loopback, with whatever protection the test wants.
struct RegistryFixture {
    enum Protection { case none, passwords, tls }

    let directory: String
    let port: Int
    let protection: Protection
    private let process: pid_t

    /// Loopback addresses are trusted without proof, so that TLS is tried on an address that is not one.
    private let address: String
    var host: String { "\(address):\(port)" }
    var storage: String { directory + "/storage/docker/registry/v2" }
    var certificates: String { directory + "/certs.d" }
    static let user = "tester", password = "s3cret:word"

    static let isInstalled = ["docker-registry", "skopeo", "htpasswd", "openssl", "zstd"].allSatisfy {
        FileManager.default.fileExists(atPath: "/usr/bin/" + $0)
    }

    static func with(_ protection: Protection, _ body: (RegistryFixture) async throws -> Void) async throws {
        let fixture = try RegistryFixture(protection)
        do {
            try await body(fixture)
        } catch {
            fixture.end()
            throw error
        }
        fixture.end()
    }

    private init(_ protection: Protection) throws {
        self.protection = protection
        directory = try Shell.run("mktemp -d /tmp/swarm-registry-XXXXXX")
        port = try Self.freePort()
        address = protection == .tls ? try Self.claimAddress() : "127.0.0.1"
        var http = "http:\n  addr: \(address):\(port)\n"
        var auth = ""
        switch protection {
        case .none: break
        case .passwords:
            try Shell.run("htpasswd -Bbn \(Self.user) \(Self.password) > \(directory)/htpasswd")
            auth = "auth:\n  htpasswd:\n    realm: here\n    path: \(directory)/htpasswd\n"
        case .tls:
            let folder = "\(directory)/certs.d/\(address):\(port)"
            try Shell.run(
                """
                set -e; cd \(directory); mkdir -p '\(folder)'
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=test authority' \
                  -keyout ca.key -out ca.crt
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=registry' -keyout server.key \
                  -out server.csr
                printf 'subjectAltName=IP:\(address)' > san
                openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san \
                  -out server.crt
                cp ca.crt '\(folder)/ca.crt'
                """)
            http += "  tls:\n    certificate: \(directory)/server.crt\n    key: \(directory)/server.key\n"
        }
        let configuration = """
            version: 0.1
            log:
              level: error
            storage:
              filesystem:
                rootdirectory: \(directory)/storage
              cache: {}
            \(auth)\(http)
            """
        try configuration.write(
            to: URL(filePath: directory + "/config.yml"), atomically: true, encoding: .utf8)
        let started = try Shell.run(
            "docker-registry serve \(directory)/config.yml > \(directory)/log 2>&1 < /dev/null & echo $!")
        process = try #require(pid_t(started))
        try waitUntilListening()
    }

    private func waitUntilListening() throws {
        for _ in 0..<200 {
            if Self.connects(to: address, port) { return }
            usleep(20_000)
        }
        end()
        throw SwarmError(.unavailable, "docker-registry does not listen")
    }

    func end() {
        kill(process, SIGKILL)
        if protection == .tls { _ = try? Shell.run("ip address delete \(address)/32 dev lo") }
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Pushes an image layout with skopeo, as a user would.
    func push(_ layout: String, as name: String, all: Bool = false) throws {
        let credentials = protection == .passwords ? "--dest-creds '\(Self.user):\(Self.password)'" : ""
        try Shell.run(
            "skopeo --insecure-policy copy -q \(all ? "--all" : "") --dest-tls-verify=false \(credentials) "
                + "oci:\(layout) docker://\(host)/\(name)")
    }

    /// Where the registry keeps a blob.
    func blob(_ digest: String) -> String {
        let hex = digest.dropFirst("sha256:".count)
        return "\(storage)/blobs/sha256/\(hex.prefix(2))/\(hex)/data"
    }

    private static func address(_ host: String, _ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = inet_addr(host)
        return address
    }

    /// An address of TEST-NET-2 (RFC 5737) that no other test on this machine has.
    private static func claimAddress() throws -> String {
        for number in (1...254).shuffled() {
            let address = "198.51.100.\(number)"
            // The kernel refuses what somebody else has added.
            if (try? Shell.run("ip address add \(address)/32 dev lo")) != nil { return address }
        }
        throw SwarmError(.resourceExhausted, "no address of 198.51.100.0/24 is free")
    }

    static func freePort() throws -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = address("127.0.0.1", 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) + getsockname(socket, $0, &length)
            }
        }
        try #require(status == 0)
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func connects(to host: String, _ port: Int) -> Bool {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = address(host, port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

/// An OCI image layout on disk, written by hand, for skopeo to push and for archives.
struct ImageLayout {
    let directory: String
    private(set) var layers: [String] = []

    enum Compression: String { case none = "", gzip = "+gzip", zstd = "+zstd" }

    /// - Parameters:
    ///   - text: what /www/text says, which makes images differ.
    ///   - architectures: more than one makes an index; the text then ends with the architecture.
    init(
        _ text: String, _ compression: Compression = .gzip, architectures: [String] = ["amd64"], padding: Int = 0
    ) throws {
        directory = try Shell.run("mktemp -d /tmp/swarm-layout-XXXXXX")
        try Shell.run("mkdir -p \(directory)/blobs/sha256")
        var manifests: [String] = []
        for architecture in architectures {
            let isOnly = architectures.count == 1
            let words = isOnly ? text : "\(text) \(architecture)"
            let manifest = try addImage(words, compression, architecture, padding)
            let platform = isOnly ? "" : ",\"platform\":{\"os\":\"linux\",\"architecture\":\"\(architecture)\"}"
            manifests.append(
                Self.descriptor("application/vnd.oci.image.manifest.v1+json", manifest.digest, manifest.size, platform))
        }
        var top = manifests[0]
        if manifests.count > 1 {
            let type = "application/vnd.oci.image.index.v1+json"
            let index = "{\"schemaVersion\":2,\"mediaType\":\"\(type)\",\"manifests\":[\(manifests.joined(separator: ","))]}"
            let blob = try add(Array(index.utf8))
            top = Self.descriptor(type, blob.digest, blob.size, "")
        }
        try write("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}")
        try write("index.json", "{\"schemaVersion\":2,\"manifests\":[\(top)]}")
    }

    func remove() { try? FileManager.default.removeItem(atPath: directory) }

    private mutating func addImage(
        _ text: String, _ compression: Compression, _ architecture: String, _ padding: Int
    ) throws -> (digest: String, size: Int) {
        let words = Array(text.utf8) + (0..<padding).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }
        let page =
            RootFileSystemArchive.header("www/text", size: words.count, mode: 0o644, type: "0")
            + RootFileSystemArchive.padded(words) + [UInt8](repeating: 0, count: 1024)
        var diffIDs: [String] = []
        var descriptors: [String] = []
        for tar in [try RootFileSystemArchive.busybox(), page] {
            diffIDs.append("\"\(ContentWriter.digest(of: tar))\"")
            let layer = try add(try Self.compress(tar, compression))
            layers.append(layer.digest)
            let type = "application/vnd.oci.image.layer.v1.tar\(compression.rawValue)"
            descriptors.append(Self.descriptor(type, layer.digest, layer.size, ""))
        }
        let config = try add(
            Array(
                """
                {"architecture":"\(architecture)","os":"linux","created":"2026-01-02T03:04:05Z",\
                "config":{"Cmd":["sh"],"Env":["PATH=/bin"],"Labels":{"purpose":"test"}},\
                "rootfs":{"type":"layers","diff_ids":[\(diffIDs.joined(separator: ","))]},\
                "history":[{"created_by":"base"},{"created_by":"ENV","empty_layer":true},{"created_by":"page"}]}
                """.utf8))
        let configuration = Self.descriptor("application/vnd.oci.image.config.v1+json", config.digest, config.size, "")
        let manifest = """
            {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",\
            "config":\(configuration),"layers":[\(descriptors.joined(separator: ","))]}
            """
        return try add(Array(manifest.utf8))
    }

    static func compress(_ bytes: [UInt8], _ compression: Compression) throws -> [UInt8] {
        guard compression != .none else { return bytes }
        let file = try Shell.run("mktemp /tmp/swarm-layer-XXXXXX")
        defer { _ = try? Shell.run("rm -f \(file) \(file).out") }
        try Data(bytes).write(to: URL(filePath: file))
        try Shell.run(compression == .gzip ? "gzip -nc \(file) > \(file).out" : "zstd -qf \(file) -o \(file).out")
        return Array(try #require(FileManager.default.contents(atPath: file + ".out")))
    }

    private func add(_ bytes: [UInt8]) throws -> (digest: String, size: Int) {
        let digest = ContentWriter.digest(of: bytes)
        try Data(bytes).write(to: URL(filePath: "\(directory)/blobs/sha256/\(digest.dropFirst(7))"))
        return (digest, bytes.count)
    }

    private func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(directory)/\(name)"))
    }

    private static func descriptor(_ type: String, _ digest: String, _ size: Int, _ more: String) -> String {
        "{\"mediaType\":\"\(type)\",\"digest\":\"\(digest)\",\"size\":\(size)\(more)}"
    }
}
