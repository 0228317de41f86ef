import NIOCore
import NIOHTTP1
import SwarmCore
import SwarmModel
import Synchronization
import Testing

@testable import RegistryClient

@Suite struct ProtocolTests {
    private static func repository(
        _ registry: FakeRegistry, _ name: String = "app", credentials: RegistryCredentials? = nil
    ) throws -> Repository {
        let reference = try #require(ImageReference("\(registry.host)/\(name)"))
        return try Repository(reference, credentials: credentials, settings: RegistrySettings())
    }

    private static func download(_ repository: Repository, _ blob: BlobDescriptor) async throws -> [UInt8] {
        try await repository.fetch(blob, limit: 16 << 20)
    }

    @Test func `a manifest and its layer arrive whole`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ image.reply($0) }) { registry in
            let repository = try Self.repository(registry)
            let top = try await repository.resolve()
            #expect(top.digest == image.digest)
            #expect(try await repository.manifest(top) == image.manifest)
            #expect(try await Self.download(repository, image.layer) == image.blobs[image.layer.digest])
        }
    }

    @Test func `a connection that is cut is taken up where it broke`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ request in
            var reply = image.reply(request)
            if request.path.contains("/blobs/") && reply.body.count > 60_000 { reply.cutAfter = 60_000 }
            return reply
        }) { registry in
            let repository = try Self.repository(registry)
            #expect(try await Self.download(repository, image.layer) == image.blobs[image.layer.digest])
            let ranges = registry.requests.compactMap { $0.header("range") }
            #expect(!ranges.isEmpty)
            #expect(ranges.last != "bytes=0-")
        }
    }

    @Test func `a server without ranges sends everything again and the beginning is skipped`() async throws {
        let image = FakeImage()
        let isFirst = Mutex(true)
        try await FakeRegistry.with({ request in
            var plain = request
            plain.headers.remove(name: "range")
            var reply = image.reply(plain)
            let cuts = request.path.contains("/blobs/") && isFirst.withLock { old in
                defer { old = false }
                return old
            }
            if cuts { reply.cutAfter = 100_000 }
            return reply
        }) { registry in
            let repository = try Self.repository(registry)
            #expect(try await Self.download(repository, image.layer) == image.blobs[image.layer.digest])
        }
    }

    @Test func `a layer with a wrong digest is refused`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ request in
            var reply = image.reply(request)
            if request.path.contains("/blobs/") { reply.body[7] ^= 1 }
            return reply
        }) { registry in
            let repository = try Self.repository(registry)
            let error = await #expect(throws: SwarmError.self) {
                _ = try await Self.download(repository, image.layer)
            }
            #expect(error?.message.contains("filesystem layer verification failed") == true)
        }
    }

    @Test func `a truncated layer is refused and not asked for again and again`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ request in
            var reply = image.reply(request)
            if request.path.contains("/blobs/") { reply.body.removeLast(1000) }
            return reply
        }) { registry in
            let repository = try Self.repository(registry)
            let error = await #expect(throws: SwarmError.self) {
                _ = try await Self.download(repository, image.layer)
            }
            #expect(error?.message.contains("damaged in the registry") == true)
            #expect(registry.requests.filter { $0.path.contains("/blobs/") }.count == 1)
        }
    }

    @Test func `a manifest that is not what its digest says is refused`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ request in
            var reply = image.reply(request)
            if request.path.contains("/manifests/") { reply.body.append(0x20) }
            return reply
        }) { registry in
            let repository = try Self.repository(registry)
            let top = BlobDescriptor(mediaType: image.manifestType, digest: image.digest, size: 10)
            let error = await #expect(throws: SwarmError.self) { _ = try await repository.manifest(top) }
            #expect(error?.message.contains("manifest verification failed") == true)
        }
    }

    @Test func `a registry that answers HEAD with nothing useful is asked for the whole manifest`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ request in
            if request.method == .HEAD { return .init(status: .methodNotAllowed) }
            return image.reply(request)
        }) { registry in
            let repository = try Self.repository(registry)
            #expect(try await repository.resolve().digest == image.digest)
        }
    }

    @Test func `an overloaded registry is asked again`() async throws {
        let image = FakeImage()
        let count = Mutex(0)
        try await FakeRegistry.with({ request in
            let isBusy = request.path.contains("/manifests/") && count.withLock { old in
                old += 1
                return old == 1
            }
            return isBusy ? .init(status: .serviceUnavailable) : image.reply(request)
        }) { registry in
            let repository = try Self.repository(registry)
            #expect(try await repository.resolve().digest == image.digest)
        }
    }

    // MARK: Refusals

    @Test func `an unknown tag and an unknown repository are told apart`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ request in
            // As GET answers; HEAD has no body.
            request.method == .HEAD ? .init(status: .methodNotAllowed) : image.reply(request)
        }) { registry in
            let unknownTag = await #expect(throws: SwarmError.self) {
                _ = try await Self.repository(registry, "app:none").resolve()
            }
            #expect(unknownTag?.code == .notFound)
            #expect(
                unknownTag?.message
                    == "manifest for \(registry.host)/app:none not found: manifest unknown: manifest unknown")
            let unknownName = await #expect(throws: SwarmError.self) {
                _ = try await Self.repository(registry, "other").resolve()
            }
            #expect(unknownName?.message.hasPrefix("repository \(registry.host)/other not found") == true)
        }
    }

    @Test func `a closed door is explained, with and without credentials`() async throws {
        try await FakeRegistry.with({ _ in
            .init(status: .unauthorized, headers: [("www-authenticate", "Basic realm=\"here\"")])
        }) { registry in
            let without = await #expect(throws: SwarmError.self) {
                _ = try await Self.repository(registry).resolve()
            }
            #expect(without?.code == .unauthenticated)
            #expect(without?.message.contains("repository does not exist or may require 'docker login'") == true)
            let wrong = RegistryCredentials(username: "u", password: "wrong")
            let with = await #expect(throws: SwarmError.self) {
                _ = try await Self.repository(registry, credentials: wrong).resolve()
            }
            #expect(with?.message.hasPrefix("unauthorized: authentication required") == true)
            #expect(registry.requests.last?.header("authorization") == "Basic dTp3cm9uZw==")
        }
    }

    @Test func `a refused connection and an unknown host are explained`() async throws {
        let closed = try Repository(
            try #require(ImageReference("127.0.0.1:1/app")), credentials: nil, settings: RegistrySettings())
        let refused = await #expect(throws: SwarmError.self) { _ = try await closed.resolve() }
        #expect(refused?.message.hasSuffix("connection refused") == true)
        let nowhere = try Repository(
            try #require(ImageReference("nowhere.invalid/app")), credentials: nil, settings: RegistrySettings())
        let unknown = await #expect(throws: SwarmError.self) { _ = try await nowhere.resolve() }
        #expect(unknown?.message.hasSuffix("lookup nowhere.invalid: no such host") == true)
    }

    @Test func `an endless manifest and an endless token are cut off`() async throws {
        try await FakeRegistry.with({ request in
            if request.path == "/v2/" { return .init() }
            return .init(body: [UInt8](repeating: 0x20, count: ManifestDocument.bytesMax + 1))
        }) { registry in
            let error = await #expect(throws: SwarmError.self) {
                _ = try await Self.repository(registry).resolve()
            }
            #expect(error?.code == .resourceExhausted)
        }
    }

    // MARK: Redirects

    @Test func `another host never sees the credentials`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ request in
            let digest = request.path.split(separator: "/").last.map(String.init) ?? ""
            return .init(body: image.blobs[digest] ?? [])
        }) { store in
            let place = store.host
            try await FakeRegistry.with({ request in
                if request.header("authorization") == nil {
                    return .init(status: .unauthorized, headers: [("www-authenticate", "Basic realm=\"here\"")])
                }
                guard request.path.contains("/blobs/") else { return image.reply(request) }
                let digest = request.path.split(separator: "/").last ?? ""
                return .init(
                    status: .temporaryRedirect, headers: [("location", "http://\(place)/store/\(digest)?signature=s")])
            }) { registry in
                let credentials = RegistryCredentials(username: "u", password: "p")
                let repository = try Self.repository(registry, credentials: credentials)
                #expect(try await Self.download(repository, image.layer) == image.blobs[image.layer.digest])
                #expect(store.requests.count == 1)
                #expect(store.requests.first?.header("authorization") == nil)
            }
        }
    }

    @Test func `a redirect in a circle ends`() async throws {
        try await FakeRegistry.with({ request in
            if request.path == "/v2/" { return .init() }
            return .init(status: .found, headers: [("location", request.path)])
        }) { registry in
            let error = await #expect(throws: SwarmError.self) {
                _ = try await Self.repository(registry).resolve()
            }
            #expect(error?.message.contains("redirects") == true)
        }
    }

    // MARK: Tokens

    /// A registry and its token server in one.
    private static func guarded(
        _ image: FakeImage, _ request: FakeRegistry.Request, valid: String, expiresIn: Int = 300
    ) -> FakeRegistry.Reply {
        let host = request.header("host") ?? ""
        if request.path == "/token" {
            let isRefresh = request.method == .POST && request.body.contains("refresh_token=secret%2F1")
            let isBasic = request.header("authorization") == "Basic dTpw"
            guard isRefresh || isBasic else { return .init(status: .unauthorized) }
            return .init(body: Array("{\"token\":\"\(valid)\",\"expires_in\":\(expiresIn)}".utf8))
        }
        guard request.header("authorization") == "Bearer \(valid)" else {
            let challenge = "Bearer realm=\"http://\(host)/token\",service=\"fake, registry\",scope=\"repository:app:pull\""
            return .init(status: .unauthorized, headers: [("www-authenticate", challenge)])
        }
        return image.reply(request)
    }

    @Test func `a token is fetched once with the user's credentials`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ Self.guarded(image, $0, valid: "t1") }) { registry in
            let credentials = RegistryCredentials(username: "u", password: "p")
            let repository = try Self.repository(registry, credentials: credentials)
            _ = try await repository.resolve()
            _ = try await Self.download(repository, image.layer)
            let asked = registry.requests.filter { $0.path == "/token" }
            #expect(asked.count == 1)
            #expect(
                asked.first?.query
                    == "service=fake%2C%20registry&scope=repository%3Aapp%3Apull&account=u")
        }
    }

    @Test func `an identity token is traded for an access token`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ Self.guarded(image, $0, valid: "t2") }) { registry in
            var credentials = RegistryCredentials()
            credentials.identityToken = "secret/1"
            let repository = try Self.repository(registry, credentials: credentials)
            #expect(try await repository.resolve().digest == image.digest)
            #expect(registry.requests.contains { $0.body.contains("grant_type=refresh_token") })
        }
    }

    @Test func `a token that is refused in the middle is renewed`() async throws {
        let image = FakeImage()
        let valid = Mutex("first")
        try await FakeRegistry.with({ request in
            let now = valid.withLock { $0 }
            return Self.guarded(image, request, valid: now)
        }) { registry in
            let credentials = RegistryCredentials(username: "u", password: "p")
            let repository = try Self.repository(registry, credentials: credentials)
            _ = try await repository.resolve()
            valid.withLock { $0 = "second" }
            #expect(try await Self.download(repository, image.layer).count == Int(image.layer.size))
        }
    }

    @Test func `a ready-made access token is sent as it is`() async throws {
        let image = FakeImage()
        try await FakeRegistry.with({ Self.guarded(image, $0, valid: "given") }) { registry in
            var credentials = RegistryCredentials()
            credentials.registryToken = "given"
            let repository = try Self.repository(registry, credentials: credentials)
            #expect(try await repository.resolve().digest == image.digest)
            #expect(!registry.requests.contains { $0.path == "/token" })
        }
    }
}
