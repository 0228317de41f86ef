import SwarmCore
import SwarmModel
import Testing

@testable import RegistryClient

@Suite struct ParsingTests {
    @Test func `challenges are read with their parameters`() {
        let found = Challenge.parse([
            "Bearer realm=\"https://auth.example/token\",service=\"a, b\" , scope=\"repository:x:pull,push\"",
            "Basic realm=\"say \\\"please\\\"\", Negotiate",
        ])
        #expect(found.map(\.scheme) == ["bearer", "basic", "negotiate"])
        #expect(found[0].parameters["service"] == "a, b")
        #expect(found[0].parameters["scope"] == "repository:x:pull,push")
        #expect(found[1].parameters["realm"] == "say \"please\"")
    }

    @Test func `two challenges may share a header`() {
        let found = Challenge.parse(["Basic realm=here, Bearer realm=\"there\",error=invalid_token"])
        #expect(found.map(\.scheme) == ["basic", "bearer"])
        #expect(found[0].parameters == ["realm": "here"])
        #expect(found[1].parameters == ["realm": "there", "error": "invalid_token"])
    }

    @Test(arguments: [
        "", ",,,", "=", "Bearer realm=", "Bearer realm=\"open", "\"", "Bearer \\", "realm=\"x\"", "Bearer realm=\"x\\",
    ]) func `broken challenges end the reading and nothing else`(_ header: String) {
        #expect(Challenge.parse([header]).count <= 1)
    }

    @Test func `an endless challenge is not read`() {
        #expect(Challenge.parse(["Basic realm=" + String(repeating: "x", count: 10_000)]).isEmpty)
    }

    @Test func `credentials come in either base64 alphabet`() throws {
        // {"username":"u","password":"??>>~~"}
        for text in [
            "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6Ij8_Pj5-fiJ9", "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6Ij8/Pj5+fiJ9",
        ] {
            let credentials = try RegistryCredentials(header: text)
            #expect(credentials == RegistryCredentials(username: "u", password: "??>>~~"))
        }
        // {"auth":"dTpwOnE="}
        #expect(try RegistryCredentials(header: "eyJhdXRoIjoiZFRwd09uRT0ifQ")?.password == "p:q")
    }

    @Test func `no credentials are no error, and nonsense is one`() throws {
        #expect(try RegistryCredentials(header: nil) == nil)
        #expect(try RegistryCredentials(header: "") == nil)
        #expect(try RegistryCredentials(header: "e30=") == nil)
        for text in ["%%%", "bm9uc2Vuc2U=", "WzFd"] {
            #expect(throws: SwarmError.self) { _ = try RegistryCredentials(header: text) }
        }
    }

    @Test func `Docker Hub answers under another name`() {
        #expect(RegistryAddress(domain: "docker.io")?.description == "registry-1.docker.io")
        #expect(RegistryAddress(domain: "index.docker.io")?.host == "registry-1.docker.io")
        #expect(RegistryAddress(domain: "a.example:5000")?.port == 5000)
        #expect(RegistryAddress("a:0") == nil)
        #expect(RegistryAddress("a:b") == nil)
        #expect(RegistryAddress("") == nil)
    }

    @Test func `insecure registries are hosts, hosts with ports and networks`() throws {
        let list = try InsecureRegistries(["plain.example:5000", "any.example", "10.1.0.0/16"])
        func isInsecure(_ text: String) -> Bool { RegistryAddress(text).map(list.contains) ?? false }
        #expect(isInsecure("plain.example:5000"))
        #expect(!isInsecure("plain.example"))
        #expect(isInsecure("any.example") && isInsecure("any.example:443"))
        #expect(isInsecure("10.1.2.3:5000") && !isInsecure("10.2.2.3:5000"))
        #expect(isInsecure("127.0.0.1") && isInsecure("127.8.9.1:5000") && isInsecure("localhost:5000"))
        #expect(!isInsecure("registry-1.docker.io"))
        for wrong in ["http://a.example", "a.example/x", "10.0.0.0/33", "a:99999"] {
            #expect(throws: SwarmError.self) { _ = try InsecureRegistries([wrong]) }
        }
    }

    // MARK: Platforms

    private static func index(_ platforms: [ImagePlatform?]) -> ImageIndex {
        ImageIndex(
            mediaType: MediaType.ociIndex,
            manifests: platforms.enumerated().map {
                BlobDescriptor(mediaType: MediaType.ociManifest, digest: "\($0.offset)", size: 1, platform: $0.element)
            })
    }

    private static func choice(_ here: ImagePlatform, _ platforms: [ImagePlatform?]) -> String? {
        try? here.choose(from: index(platforms), name: "x").digest
    }

    @Test func `the platform's own image is chosen`() {
        let amd64 = ImagePlatform(os: "linux", architecture: "amd64")
        let others = [
            ImagePlatform(os: "windows", architecture: "amd64"), ImagePlatform(os: "linux", architecture: "arm64"),
            ImagePlatform(os: "unknown", architecture: "unknown"),
        ]
        #expect(Self.choice(amd64, others + [amd64, amd64]) == "3")
        #expect(Self.choice(amd64, others) == nil)
        #expect(Self.choice(amd64, [ImagePlatform(os: "linux", architecture: "x86_64")]) == "0")
        #expect(Self.choice(amd64, [nil]) == "0")
        #expect(Self.choice(amd64, [nil, nil]) == nil)
        let version3 = ImagePlatform(os: "linux", architecture: "amd64", variant: "v3")
        #expect(Self.choice(amd64, [version3, amd64]) == "1")
        #expect(Self.choice(amd64, [version3]) == nil)
    }

    @Test func `an older variant runs, a newer one does not`() {
        func arm(_ variant: String?) -> ImagePlatform {
            ImagePlatform(os: "linux", architecture: "arm", variant: variant)
        }
        #expect(Self.choice(arm("v7"), [arm("v5"), arm("v6"), arm("v8")]) == "1")
        #expect(Self.choice(arm("v6"), [arm("v7")]) == nil)
        let arm64 = ImagePlatform(os: "linux", architecture: "arm64")
        #expect(Self.choice(arm64, [ImagePlatform(os: "linux", architecture: "aarch64", variant: "v8")]) == "0")
        let error = #expect(throws: SwarmError.self) { try arm64.choose(from: Self.index([]), name: "busybox") }
        #expect(error?.message == "no matching manifest for linux/arm64 in the manifest list entries of busybox")
    }

    // MARK: Manifests

    @Test func `documents that could be read two ways are refused`() {
        let digest = "sha256:" + String(repeating: "a", count: 64)
        let config = "\"config\":{\"mediaType\":\"\(MediaType.ociConfiguration)\",\"digest\":\"\(digest)\",\"size\":1}"
        let layer = "{\"mediaType\":\"\(MediaType.ociLayer)+zstd\",\"digest\":\"\(digest)\",\"size\":1}"
        let good = "{\"schemaVersion\":2,\(config),\"layers\":[\(layer)]}"
        #expect(throws: Never.self) { try Self.parse(good) }
        for bad in [
            "{\"schemaVersion\":2,\(config),\"layers\":[],\"manifests\":[]}", "{\"schemaVersion\":1,\"fsLayers\":[]}",
            "{}", "[]", "nonsense", good.replacing("\"size\":1", with: "\"size\":-1"),
            good.replacing("\"size\":1", with: "\"size\":99999999999999"),
            good.replacing(digest, with: "sha256:../../etc/passwd"), good.replacing("+zstd", with: "+bzip2"),
            good.replacing(MediaType.ociConfiguration, with: "application/vnd.cncf.helm.config.v1+json"),
        ] {
            #expect(throws: SwarmError.self, "\(bad)") { try Self.parse(bad) }
        }
    }

    private static func parse(_ text: String) throws {
        _ = try ManifestDocument(parsing: Array(text.utf8), mediaType: "", name: "x")
    }

    @Test func `layers are told apart by their compression`() {
        #expect(MediaType.compression(ofLayer: MediaType.dockerLayer) == MediaType.Compression.none)
        #expect(MediaType.compression(ofLayer: MediaType.dockerLayer + ".gzip") == .gzip)
        #expect(MediaType.compression(ofLayer: MediaType.ociLayer + "+zstd") == .zstd)
        #expect(MediaType.compression(ofLayer: "application/octet-stream") == nil)
    }
}
